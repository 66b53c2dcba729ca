"""The addresses and their names are a promise: other programs are written against them."""

import pytest
from django.urls import reverse

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
