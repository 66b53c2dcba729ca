"""The documents in a real browser, under our own Content-Security-Policy."""

import os


def test_the_documents_open_without_a_word_from_outside(chromium, live_house):
    asked, complaints = [], []
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.goto(f"{live_house}/api/docs")
    page.wait_for_selector(".opblock-tag-section", timeout=120_000)
    paths = page.request.get(f"{live_house}/api/schema", headers={"Accept": "application/json"}).json()["paths"]
    posts = sum("post" in path for path in paths.values())
    assert page.locator(".opblock-post").count() == posts > 30
    if picture := os.environ.get("PICTURE"):
        page.screenshot(path=picture)
    page.close()
    assert all(address.startswith((live_house, "data:")) for address in asked)
    assert complaints == []
