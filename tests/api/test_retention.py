"""Legal holds and erasures by the API: placed, lifted and asked for by who may; carried out elsewhere."""

import pytest
from django.urls import NoReverseMatch, reverse

from accounts.models import Client
from margin.models import Erasure, Event, LegalHold
from tests.api.house import bearer, key, member, post, url
from tests.margin import rows


@pytest.fixture
def writer(db):
    """A key in the name of somebody of a role."""

    def make(role):
        found, text = key("read", "calls:write")
        found.created_by.groups.set(member(role).groups.all())
        return bearer(text)

    return make


def test_a_hold_is_placed_once_listed_and_lifted_and_each_leaves_its_event(writer, reader):
    account, cora = rows.account("A-1"), writer("Compliance")
    placed = post(cora, "clients/C-A-1/hold", {"reason": "subpoena of 3 March"})
    hold = LegalHold.objects.get()
    assert (placed.status_code, placed.json()) == (200, {"list": "legal-holds", "id": hold.pk})
    again = post(cora, "clients/C-A-1/hold", {"reason": "another"}, once="k-2")
    assert again.status_code == 422
    assert "already" in again.json()["detail"]
    listed = reader.get(url("legal-holds") + "?open=true&client=C-A-1").json()["results"]
    assert [(one["client"], one["reason"], one["lifted_at"]) for one in listed] == [
        ("C-A-1", "subpoena of 3 March", None)
    ]
    assert post(cora, "clients/C-A-1/lift-hold", {"reason": "withdrawn"}, once="k-3").status_code == 200
    assert reader.get(url("legal-holds") + "?open=true").json()["results"] == []
    assert reader.get(url("legal-holds", hold.pk)).json()["lift_reason"] == "withdrawn"
    told = Event.objects.filter(account=account).order_by("seq").values_list("kind", flat=True)
    assert list(told) == ["legal_hold.placed", "legal_hold.lifted"]


def test_an_erasure_is_asked_for_and_refused_while_the_law_keeps_records(writer, reader, settings, tmp_path):
    settings.HISTORY_KEYS = str(tmp_path / "keys")
    rows.account("A-1")
    Client.objects.create(code="C-0", name="Cleo")
    cora = writer("Compliance")
    refused = post(cora, "clients/C-A-1/ask-erasure", {"reason": "asked in writing"})
    assert refused.status_code == 422
    assert "account A-1 of client C-A-1 is open" in refused.json()["detail"]
    asked = post(cora, "clients/C-0/ask-erasure", {"reason": "asked in writing"}, once="k-2")
    assert asked.json() == {"list": "erasures", "id": Erasure.objects.get().pk}
    listed = reader.get(url("erasures") + "?done=false").json()["results"]
    assert [(one["client"], one["approved_by"]) for one in listed] == [("C-0", None)]
    with pytest.raises(NoReverseMatch):  # a key is destroyed for good: by page or command alone
        reverse("api:clients-erase", args=("C-0",))


@pytest.mark.parametrize(("role", "deed"), [("Supervisor", "hold"), ("Risk", "hold"), ("Operations", "ask-erasure")])
def test_other_roles_are_refused(writer, role, deed):
    rows.account("A-1")
    assert post(writer(role), f"clients/C-A-1/{deed}", {"reason": "x"}).status_code == 403
    assert not LegalHold.objects.exists()
