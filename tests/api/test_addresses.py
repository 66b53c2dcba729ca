"""The addresses and their names are a promise: other programs are written against them."""

from pathlib import Path

import pytest
from django.urls import reverse

from backoffice import keys
from tests.api.house import LISTS


@pytest.mark.parametrize("name", LISTS)
def test_every_list_and_row_has_a_stable_name(name):
    assert reverse(f"api:{name}-list") == f"/api/v1/{name}/"
    key = {"quotes": {"instrument": "AIG"}}.get(name)
    if name in ("clients", "accounts", "instruments", "policies"):
        key = {"code": "AIG"}
    assert reverse(f"api:{name}-detail", kwargs=key or {"pk": 7}) == f"/api/v1/{name}/{'AIG' if key else 7}/"


def test_the_documents_have_stable_names():
    assert [reverse(f"api:{name}") for name in ("schema", "docs", "api-root")] == [
        "/api/schema",
        "/api/docs",
        "/api/v1/",
    ]


def test_the_page_about_the_api_names_every_list_and_every_scope():
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    assert [name for name in (*LISTS, *keys.SCOPES) if name not in page] == []
