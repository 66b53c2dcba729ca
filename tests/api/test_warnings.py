"""Warnings by the API, and the level at which a client asks to be warned."""

from decimal import Decimal

import pytest

from accounts.models import Account, AccountChange
from tests.api.house import bearer, key, member, post, url
from tests.margin import rows


@pytest.fixture
def writer(db):
    """A key in the name of somebody of Operations."""
    found, text = key("read", "calls:write")
    found.created_by.groups.add(*member("Operations").groups.all())
    return bearer(text)


def test_a_warning_shows_how_near_the_call_is(reader, furnished):
    (one,) = reader.get(url("warnings") + "?account=A-1010&open=true&rung=final").json()["results"]
    assert (one["rung"], one["cover"], one["chance"], one["cleared_at"]) == ("final", "1.02", "0.3100", None)
    assert one["distances"] == [
        {"instrument": "AIG", "mark": "4.76", "covered_to": "4.5"},
        {"instrument": "GOLD", "mark": "10", "covered_to": None},
    ]
    assert reader.get(url("warnings") + "?open=false").json()["count"] == 0


def test_a_client_is_given_a_level_once_and_the_history_keeps_why(writer):
    account = rows.account("A-1")
    body = {"level": "1.4", "reason": "asked by phone"}
    first = post(writer, "accounts/A-1/alert", body)
    assert (first.status_code, first.json()) == (200, {"account": "A-1", "level": "1.4"})
    assert post(writer, "accounts/A-1/alert", body).json() == first.json()
    kept = AccountChange.objects.filter(pgh_obj=account, alert_rate=Decimal("1.4"))
    assert [change.pgh_context.metadata["reason"] for change in kept] == ["asked by phone"]
    assert (
        post(writer, "accounts/A-1/alert", {"level": None, "reason": "no longer"}, once="k-2").json()["level"] is None
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"level": "1", "reason": "why not"}, "level"),
        ({"level": "1.2"}, "reason"),
        ({"level": "1.2", "reason": "x", "regime": "house"}, "regime"),
    ],
)
def test_a_level_that_cannot_be_is_refused_and_nothing_changes(writer, body, field):
    rows.account("A-1")
    answered = post(writer, "accounts/A-1/alert", body)
    assert answered.status_code == 422
    assert field in answered.content.decode()
    assert Account.objects.get(code="A-1").alert_rate is None


def test_an_auditor_may_not_set_a_level_and_an_unknown_account_has_none(writer, client, db):
    rows.account("A-1")
    client.force_login(member("Auditor"))
    body = {"level": "1.4", "reason": "asked"}
    assert post(client, "accounts/A-1/alert", body).status_code == 403
    assert post(writer, "accounts/A-2/alert", body).status_code == 404
