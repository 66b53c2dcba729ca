"""The documents in a real browser, under our own Content-Security-Policy."""

import os


def test_the_documents_open_without_a_word_from_outside(chromium, live_house):
    asked, complaints = [], []
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.goto(f"{live_house}/api/docs")
    page.wait_for_selector(".opblock-tag-section", timeout=30_000)
    assert page.locator(".opblock-post").count() == 10
    if picture := os.environ.get("PICTURE"):
        page.screenshot(path=picture)
    page.close()
    assert all(address.startswith((live_house, "data:")) for address in asked)
    assert complaints == []
