"""The documents in a real browser, under our own Content-Security-Policy."""

import os
import shutil

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or ""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium")
def test_the_documents_open_without_a_word_from_outside(live_house, monkeypatch):
    from playwright.sync_api import sync_playwright

    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # playwright keeps a loop in this thread
    asked, complaints = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.goto(f"{live_house}/api/docs")
        page.wait_for_selector(".opblock-tag-section", timeout=30_000)
        assert page.locator(".opblock-post").count() == 4
        if picture := os.environ.get("PICTURE"):
            page.screenshot(path=picture)
        browser.close()
    assert all(address.startswith((live_house, "data:")) for address in asked)
    assert complaints == []
