"""Whatever is sent wrongly is refused with a sentence, in every state of a call; sweeps ahead of time break nothing."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from margin import controls, verbs
from tests.flows import stories
from tests.flows.stories import TERMS, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def house(db, tmp_path, monkeypatch):
    made = stories.build(tmp_path, monkeypatch)
    made.publish("us_margin", TERMS)
    made.open("S-1", {"XYZ": "1000", "USD": "-75000"})
    made.sweep()
    return made


def filled(columns, at):
    """A body of the right shape, whose values fit nothing in particular."""
    by_name = {"amount": "1", "until": text(at + timedelta(hours=1)), "due_at": text(at + timedelta(hours=1))}
    body = {}
    for name, how in columns.items():
        if "of" in how.options:
            body[name] = how.options["of"][-1]
        elif how.read.__name__ == "instant":
            body[name] = text(at + timedelta(hours=1))
        elif how.read.__name__ == "decimal":
            body[name] = "1"
        elif how.read.__name__ == "integer":
            body[name] = 1
        elif how.read.__name__ == "boolean":
            body[name] = True
        elif how.read.__name__ == "email":
            body[name] = "x@y.example"
        else:
            body[name] = by_name.get(name, "en" if name == "language" else "x")
    body.pop("seq", None)
    return body


def refused(house, addresses):
    """What came of bodies that are empty, wrong or hollow, sent everywhere by everybody: address → worst status."""
    found = {}
    for who in stories.STAFF:
        browser = Client()
        browser.force_login(User.objects.get(username=who))
        for address, columns in addresses.items():
            for body in ({}, [], {"reason": 7, "seq": "x"}, filled(columns, house.at)):
                reply = browser.post(
                    f"/api/v1/{address}", json.dumps(body), content_type="application/json",
                    headers={"Idempotency-Key": f"r-{next(house.numbers)}"},
                )  # fmt: skip
                if reply.status_code >= 400:
                    assert reply.json()["detail"], address
                found[address] = max(found.get(address, 0), reply.status_code)
    return found


def addresses(house):
    call = house.call()["id"]
    ids = {"calls": call, **{on: _latest(house, on) for on in ("requests", "disputes", "tasks", "cures", "plans")}}
    found = {f"{act.on}/{ids[act.on]}/{act.name}/": act.columns for act in verbs.ACTS}
    codes = {"accounts": "S-1", "clients": "C-S-1", "policies": "us_margin", "instruments": "XYZ"}
    for one in controls.CONTROLS:
        key = codes.get(one.on) or _latest(house, one.on)
        found[f"{one.on}/{key}/{one.name}/"] = one.columns
    return found


def _latest(house, on):
    return max((row["id"] for row in house.rows(on)), default=999999)


@pytest.mark.long
def test_nothing_that_is_sent_wrongly_is_our_fault(house):
    found = refused(house, addresses(house))
    assert {address: status for address, status in found.items() if status >= 500} == {}


@pytest.mark.long
def test_nor_is_it_after_the_call_was_met(house):
    house.deposit("5000")
    house.sweep()
    assert house.call()["state"] == "met"
    found = refused(house, addresses(house))
    assert {address: status for address, status in found.items() if status >= 500} == {}


def test_a_sweep_may_be_run_as_of_an_instant_ahead(house):
    """The call falls due in 24 hours; a sweep as of 25 hours from now escalates it, and people go on from there."""
    ahead = house.at + timedelta(hours=25)
    house.run("sweep", "securities", at=ahead)
    call = house.call()
    assert (call["state"], call["escalation_cause"]) == ("escalated", "deadline")
    house.do("olga", f"calls/{call['id']}/note", reason="seen")
    house.do("olga", f"calls/{call['id']}/propose", reason="not paid")
    house.run("send_notices")
    house.deposit("5000")
    house.run("sweep", "securities", at=ahead + timedelta(minutes=1))
    assert house.call()["state"] == "met"
    stamps = [one["at"] for one in house.rows("events", account="S-1", ordering="seq")]
    assert stamps == sorted(stamps)
