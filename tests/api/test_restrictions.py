"""The question before an order or a withdrawal, and the registers of rights, as other systems read them."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from margin import restrictions
from margin.models import Event, Restriction
from margin.restriction_terms import Effect
from tests.api import house
from tests.margin import rows, world

pytestmark = pytest.mark.django_db
ADDRESS = "/api/v1/accounts/A-77/check/"


@pytest.fixture
def account(db):
    """100 × 50.00 with 2,600 borrowed: equity 2,400 against 30 % of 5,000: an excess of 900."""
    rows.policy("us_margin", world.securities())
    share = rows.equity("XYZ")
    world.quote(share, "50", timezone.now())
    return world.long_account("100", "2600", share, code="A-77")


def ask(client, body):
    return client.post(ADDRESS, json.dumps(body), content_type="application/json")


def restricted(account, effect):
    at = timezone.now()
    ends_at = at + timedelta(days=90)
    sue = rows.staff("sue", "Supervisor")
    return restrictions.place(account, effect=effect, reason="strikes", ends_at=ends_at, at=at, actor=sue)


def test_an_order_that_nothing_forbids_is_allowed(reader, account):
    answer = ask(reader, {"order": {"instrument": "XYZ", "quantity": "10"}})
    told = answer.json()
    assert answer.status_code == 200
    assert (told["account"], told["allowed"], told["reasons"], told["restrictions"]) == ("A-77", True, [], [])
    assert (told["may_leave"], told["currency"]) == (None, "USD")


def test_a_forbidden_order_is_answered_with_every_reason_and_restriction_and_changes_nothing(reader, account):
    row = restricted(account, Effect.CLOSING_ONLY)
    events = Event.objects.count()
    told = ask(reader, {"order": {"instrument": "XYZ", "quantity": "10", "price": "50"}}).json()
    assert told["allowed"] is False
    assert "closing only" in told["reasons"][0]
    assert [(one["id"], one["effect"]) for one in told["restrictions"]] == [(row.pk, "closing_only")]
    assert ask(reader, {"order": {"instrument": "XYZ", "quantity": "-10"}}).json()["allowed"] is True
    assert Event.objects.count() == events


def test_a_withdrawal_is_told_what_may_leave(reader, account):
    told = ask(reader, {"withdrawal": {"currency": "USD", "amount": "900.01"}}).json()
    assert (told["allowed"], told["may_leave"], told["currency"]) == (False, "900", "USD")
    assert ask(reader, {"withdrawal": {"currency": "USD", "amount": "900.00"}}).json()["allowed"] is True


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, None),
        ({"order": {"instrument": "XYZ", "quantity": "1"}, "withdrawal": {"currency": "USD", "amount": "1"}}, None),
        ({"order": {"instrument": "XYZ"}}, "order.quantity"),
        ({"order": {"instrument": "XYZ", "quantity": 1.5}}, "order.quantity"),
        ({"order": {"instrument": "NOBODY", "quantity": "1"}}, "instrument"),
        ({"withdrawal": {"currency": "USD", "amount": "-1"}}, "withdrawal.amount"),
        ({"withdrawal": {"currency": "USD", "amount": "0.001"}}, "amount"),
        ({"question": "may I?"}, "question"),
    ],
)
def test_a_question_that_cannot_be_read_names_its_field(reader, account, body, field):
    answer = ask(reader, body)
    assert answer.status_code == 400
    assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_another_account_is_not_found_and_nobody_asks_without_a_key(reader, writer, account):
    question = json.dumps({"order": {"instrument": "XYZ", "quantity": "1"}})
    nowhere = reader.post("/api/v1/accounts/NOBODY/check/", question, content_type="application/json")
    assert nowhere.status_code == 404
    assert ask(Client(), {}).status_code == 401
    assert ask(writer, {}).status_code == 403
    assert reader.get(ADDRESS).status_code == 405


@pytest.mark.parametrize(("role", "status"), [("Operations", 200), ("Auditor", 200), ("Administrator", 403)])
def test_staff_ask_who_may_see_restrictions(account, role, status):
    browser = Client()
    browser.force_login(house.member(role))
    assert ask(browser, {"order": {"instrument": "XYZ", "quantity": "1"}}).status_code == status


def test_the_register_is_filtered_by_what_is_in_force(reader, account):
    row = restricted(account, Effect.CASH_ONLY)
    short = restrictions.place(
        account, effect=Effect.NO_WITHDRAWAL, reason="x", at=row.starts_at, actor=rows.staff("sue", "Supervisor"),
        ends_at=row.starts_at + timedelta(days=5),
    )  # fmt: skip
    restrictions.lift(short, reason="done", at=row.starts_at, actor=rows.staff("sue", "Supervisor"))
    listed = reader.get("/api/v1/restrictions/?account=A-77&in_force=true").json()["results"]
    assert [one["id"] for one in listed] == [row.pk]
    over = reader.get("/api/v1/restrictions/?in_force=false").json()["results"]
    assert [(one["id"], one["lifted_by"]) for one in over] == [(short.pk, "sue")]
    assert Restriction.objects.count() == 2
