"""Stories of the ways in: people and policies by command, two people by two keys, contacts, held quotes, splits."""

import json
from datetime import timedelta

import pytest
from django.core import mail
from django.core.management.base import CommandError
from django.test import Client

from tests.flows import stories
from tests.flows.stories import TERMS, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def house(db, tmp_path, monkeypatch):
    return stories.build(tmp_path, monkeypatch)


def keyed(house, login, role):
    """A member of staff who has only ever used an API key."""
    house.run("add_staff", login, role)
    key = house.run("create_api_key", f"key of {login}", "--by", login, "--scope", "read", "--scope", "calls:write")
    return Client(headers={"Authorization": f"Bearer {key.strip()}"})


def test_a_policy_is_published_and_approved_by_two_people_at_the_terminal(house):
    file = house.folder / "terms.json"
    file.write_text(json.dumps(TERMS))
    house.run("publish_policy", "us_margin", str(file), "--by", "rita", "--note", "first")
    with pytest.raises(CommandError, match="another person must approve"):
        house.run("approve_policy", "us_margin", "1", "--by", "rita")
    with pytest.raises(CommandError, match="no version 2"):
        house.run("approve_policy", "us_margin", "2", "--by", "rolf")
    with pytest.raises(CommandError, match="takes Risk"):
        house.run("approve_policy", "us_margin", "1", "--by", "olga")
    house.run("approve_policy", "us_margin", "1", "--by", "rolf")
    (version,) = house.get("policies/us_margin")["versions"]
    assert (version["published_by"], version["approved_by"]) == ("rita", "rolf")
    file.write_text('{"sweep": "never"}')
    with pytest.raises(CommandError, match="us_margin"):
        house.run("publish_policy", "us_margin", str(file), "--by", "rita")
    house.open("S-1", {"XYZ": "1000", "USD": "-75000"})
    house.sweep()
    assert house.call()["amount_called"] == "5000"


def test_two_keys_are_two_people(house):
    house.publish("us_margin", TERMS)
    house.open("S-1", {"XYZ": "1000", "USD": "-75000"})
    house.sweep()
    call = house.call()["id"]
    first, second = keyed(house, "petra", "Supervisor"), keyed(house, "paul", "Supervisor")
    until = text((house.at + timedelta(days=2)).replace(microsecond=0))
    said = {"until": until, "reason_code": "bank_transfer", "reason": "the wire was shown"}
    asked = house.send(first, f"calls/{call}/ask_extension", said)["row"]["id"]
    assert "another person must decide" in house.send(first, f"requests/{asked}/grant", {}, 422)["detail"]
    house.send(second, f"requests/{asked}/grant", {})
    assert house.call()["due_at"] == until
    (told,) = house.rows("requests", call=call)
    assert (told["asked_by"], told["decided_by"]) == ("petra", "paul")


def test_a_changed_address_gets_the_next_notice(house):
    house.publish("us_margin", TERMS)
    house.open("S-1", {"XYZ": "1000", "USD": "-75000"})
    house.sweep()
    changed = {"email": "s-1@clients.example", "new_email": "desk@clients.example", "reason": "a letter of 2 March"}
    house.do("rita", "clients/C-S-1/contact", expect=403, **changed)
    house.do("olga", "clients/C-S-1/contact", expect=422, **changed | {"new_email": "two@a.example, b@c.example"})
    house.do("olga", "clients/C-S-1/contact", **changed)
    assert [one["email"] for one in house.get("clients/C-S-1")["contacts"]] == ["desk@clients.example"]
    house.later(hours=25)
    house.sweep()
    assert [sent.to for sent in mail.outbox] == [["s-1@clients.example"], ["desk@clients.example"]]
    told = house.do("olga", "clients/C-S-1/contact", expect=422, **changed)["detail"]
    assert "has no contact at s-1@clients.example" in told


def test_a_price_that_fell_too_far_waits_for_a_person(house):
    house.publish("us_margin", TERMS)
    house.open("S-1", {"XYZ": "1000", "USD": "-60000"})  # 40,000 against 30,000
    house.mark("XYZ", "74")  # 26 % down
    (held,) = house.rows("held-quotes", state="held")
    house.sweep()
    assert house.rows("calls") == []  # no one is called on a guess
    house.do("cora", f"held-quotes/{held['id']}/confirm", expect=403)
    house.do("olga", f"held-quotes/{held['id']}/confirm")
    assert "decided already" in house.do("otto", f"held-quotes/{held['id']}/reject", expect=409, reason="no")["detail"]
    house.later(minutes=1)
    house.sweep()
    assert house.call()["amount_called"] == "8200"  # 14,000 against 22,200


def test_a_split_takes_two_people_and_leaves_nobody_called(house):
    house.publish("us_margin", TERMS)
    house.open("S-1", {"XYZ": "1000", "USD": "-66000"})  # 34,000 against 30,000
    house.later(minutes=1)
    said = {"kind": "split", "effective_at": text(house.at), "new_per_old": "2", "reason": "the issuer's notice"}
    assert house.do("olga", "instruments/NONE/corporate-action", expect=422, **said)["detail"].endswith("load it first")
    lacking = {name: value for name, value in said.items() if name != "new_per_old"}
    assert "new_per_old" in house.do("olga", "instruments/XYZ/corporate-action", expect=422, **lacking)["detail"]
    split = house.do("olga", "instruments/XYZ/corporate-action", **said)["id"]
    house.do("olga", f"corporate-actions/{split}/approve", expect=403)
    house.do("rita", f"corporate-actions/{split}/approve")
    house.run("apply_actions")
    (held,) = [one for one in house.rows("positions", account="S-1") if one["instrument"] == "XYZ"]
    assert held["quantity"] == "2000"
    house.mark("XYZ", "50")  # half the price: held, because nobody told the guard
    for one in house.rows("held-quotes", state="held"):
        house.do("olga", f"held-quotes/{one['id']}/confirm")
    house.later(minutes=1)
    house.sweep()
    assert house.rows("calls") == []


def test_who_cannot_be_added_or_named_is_told_why(house):
    with pytest.raises(CommandError, match="already exists"):
        house.run("add_staff", "olga", "Risk")
    house.publish("us_margin", TERMS)
    with pytest.raises(CommandError, match="no active member of staff"):
        house.run("approve_policy", "us_margin", "1", "--by", "nobody")
    house.open("S-1", {"XYZ": "1000"})
    said = {"account": "S-1", "amount": "100", "reason": "why"}
    assert "has no regime csa" in house.do("olga", "calls", 422, **said, regime="csa")["detail"]
    assert "reason" in str(house.do("olga", "calls", 422, account="S-1", amount="100", regime="house")["errors"])
