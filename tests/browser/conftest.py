"""A real Chromium on the real site. Console errors and requests that leave the house fail the test that caused them."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.faces import house as houses


@pytest.fixture
def house(live_house: str, settings) -> houses.House:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return houses.build()


@pytest.fixture
def complaints() -> list[str]:
    """What browsers of this test complained about; empty at its end."""
    return []


@pytest.fixture
def open_page(chromium: Browser, live_house: str, complaints: list[str]) -> Iterator[Callable[..., Page]]:
    """`open_page()` is a fresh browser window; relative addresses are of the house."""
    contexts = []

    def make(width: int = 1280, **options: object) -> Page:
        context = chromium.new_context(
            base_url=live_house, viewport={"width": width, "height": 900}, timezone_id="America/New_York", **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: complaints.append(asked.url) if is_foreign(asked.url, live_house) else None)
        page.set_default_timeout(15_000)
        return page

    yield make
    for context in contexts:
        context.close()


def is_foreign(url: str, home: str) -> bool:
    return not url.startswith((home, "data:", "blob:", "about:"))


@pytest.fixture
def sign_in(open_page: Callable[..., Page]) -> Callable[..., Page]:
    """`sign_in("Risk")` is a window in which somebody of that role has logged in through the form."""

    def make(role: str, name: str = "", **options: object) -> Page:
        name = name or role.lower()
        houses.user(name, role)
        page = open_page(**options)
        page.goto("/admin/login/")
        page.fill("input[name=username]", name)
        page.fill("input[name=password]", houses.PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url("**/admin/")
        return page

    return make
