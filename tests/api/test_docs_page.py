"""The documents in a real browser, under our own Content-Security-Policy."""

import os


def test_the_documents_open_without_a_word_from_outside(chromium, live_house):
    asked, complaints = [], []
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.goto(f"{live_house}/api/docs")
    page.wait_for_selector(".opblock-tag")
    paths = page.request.get(f"{live_house}/api/schema", headers={"Accept": "application/json"}).json()["paths"]
    posts = {path for path, verbs in paths.items() if "post" in verbs}
    assert len(posts) > 30
    assert _posts_down_the_page(page) == posts
    if picture := os.environ.get("PICTURE"):
        page.screenshot(path=picture)
    page.close()
    assert all(address.startswith((live_house, "data:")) for address in asked)
    assert complaints == []


def _posts_down_the_page(page):
    """What is met when scrolling to the end: of a long list the page holds only the part near the window."""
    seen, below = set(), True
    while below:
        paths = page.locator(".opblock-post [data-path]")
        seen.update(paths.evaluate_all("paths => paths.map(path => path.dataset.path)"))
        before = page.evaluate("window.scrollY")
        page.mouse.wheel(0, 600)
        page.wait_for_timeout(100)
        below = page.evaluate("window.scrollY") > before
    return seen
