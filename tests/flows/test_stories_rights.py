"""Stories of rights and of what comes before a call: strikes, rungs of cover, warnings, deficits that move."""

import json

import pytest

from tests.flows import stories
from tests.flows.stories import TERMS, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def house(db, tmp_path, monkeypatch):
    return stories.build(tmp_path, monkeypatch)


def regime(**terms):
    return {**TERMS, "regimes": [{**stories.HOUSE, **terms}]}


def opened(house, terms, borrowed="75000"):
    house.publish("us_margin", terms)
    house.open("S-1", {"XYZ": "1000", "USD": f"-{borrowed}"})
    house.sweep()


def moved(house, price, **span):
    house.later(**(span or {"minutes": 5}))
    house.mark("XYZ", price)
    house.sweep()


def withdraw(house, amount):
    house.later(minutes=1)
    house.batch(
        "cash-movements", account="S-1", currency="USD", kind="withdrawal", amount=f"-{amount}", source="bank",
        external_reference=f"W-{next(house.numbers)}", effective_at=text(house.at),
    )  # fmt: skip


def sold_out(house, shares, fee):
    """The call passes its deadline and is sold out: two people, one fill at 100."""
    house.sweep()
    house.later(hours=25)
    house.mark("XYZ", "100")
    house.sweep()
    call = house.call()
    assert call["state"] == "escalated"
    plan = house.do("olga", f"calls/{call['id']}/propose", reason="not paid")["row"]["id"]
    house.do("rita", f"plans/{plan}/approve")
    (line,) = house.get(f"plans/{plan}")["lines"]
    assert line["quantity"] == shares
    house.do(
        "olga", f"plans/{plan}/fill", line=line["id"], quantity=shares, price="100", fee=fee, source="oms",
        external_reference=f"X-{next(house.numbers)}",
    )  # fmt: skip
    house.later(minutes=1)
    house.sweep()
    house.later(minutes=1)
    house.sweep()
    assert house.call()["state"] == "liquidated"


def effects(house):
    return sorted({one["effect"] for one in house.rows("restrictions", account="S-1", in_force="true")})


def allowed(house, **action):
    reply = house.machine.post("/api/v1/accounts/S-1/check/", json.dumps(action), content_type="application/json")
    assert reply.status_code == 200, reply.content
    return reply.json()["allowed"]


def test_the_third_liquidation_within_twelve_months_leaves_funds_on_hand_alone(house):
    schedule = {
        "name": "liquidations",
        "kinds": ["liquidated"],
        "steps": [{"at": 3, "effects": ["funds_on_hand"], "days": 90}],
    }
    opened(house, {**TERMS, "strikes": [schedule]})
    # A share sold at 100 releases 30 less 0.10. 5,000 ÷ 29.90 = 167.2; then 832 shares, 58,216.80 owed: 23.20 over
    sold_out(house, "-168", "16.80")
    withdraw(house, "1023.20")  # 1,000 short: 33.4
    sold_out(house, "-34", "3.40")  # 34 × 29.90 = 1,016.60: 16.60 over
    assert effects(house) == []
    withdraw(house, "1016.60")
    sold_out(house, "-34", "3.40")
    assert [one["kind"] for one in house.rows("strikes", account="S-1")] == ["liquidated"] * 3
    assert effects(house) == ["funds_on_hand"]
    (bound,) = house.rows("restrictions", account="S-1", in_force="true")
    house.later(days=89)
    house.mark("XYZ", "100")
    house.sweep()
    assert effects(house) == ["funds_on_hand"]
    house.do("cora", f"restrictions/{bound['id']}/lift", expect=422, reason="enough")  # 90 days take a waiver
    house.later(days=1, minutes=5)
    house.mark("XYZ", "100")
    house.sweep()
    assert effects(house) == []


def test_falling_cover_takes_rights_away_rung_by_rung_and_rising_cover_gives_them_back(house):
    cover = [
        {"below": "1.5", "effects": ["no_withdrawal"]},
        {"below": "1.2", "effects": ["no_withdrawal", "no_new_borrow"]},
    ]
    # 50,000 ÷ 30,000 = 1.67
    opened(house, regime(restrictions={"cover": cover}, watch_rate="2", warning_rate=None), borrowed="50000")
    assert effects(house) == []
    assert allowed(house, withdrawal={"currency": "USD", "amount": "100"})
    moved(house, "90")  # 40,000 ÷ 27,000 = 1.48
    assert effects(house) == ["no_withdrawal"]
    assert not allowed(house, withdrawal={"currency": "USD", "amount": "100"})
    assert allowed(house, order={"instrument": "XYZ", "quantity": "10"})
    moved(house, "78")  # 28,000 ÷ 23,400 = 1.197
    assert effects(house) == ["no_new_borrow", "no_withdrawal"]
    assert not allowed(house, order={"instrument": "XYZ", "quantity": "10"})
    assert allowed(house, order={"instrument": "XYZ", "quantity": "-10"})
    moved(house, "79")  # 29,000 ÷ 23,700 = 1.22
    assert effects(house) == ["no_withdrawal"]
    moved(house, "95")  # 45,000 ÷ 28,500 = 1.58
    assert effects(house) == []
    assert house.rows("calls", account="S-1") == []


def test_a_warned_client_who_comes_back_counts_as_prevented(house):
    opened(house, TERMS)
    house.do("sam", "accounts/S-1/alert", expect=422, level="0.9", reason="asked by mail")
    terms = {**TERMS, "regimes": [{**stories.HOUSE, "warning_rate": "1.10"}]}
    house.publish("other", terms)
    house.open("S-2", {"XYZ": "1000", "USD": "-66500"}, "other")  # 33,500 ÷ 30,000 = 1.117
    house.sweep()
    assert house.rows("warnings", account="S-2") == []
    moved(house, "99")  # 32,500 ÷ 29,700 = 1.094
    (warned,) = house.rows("warnings", account="S-2", open="true")
    assert warned["cover"].startswith("1.094")
    moved(house, "101")  # 34,500 ÷ 30,300 = 1.139, above 1.10 × 1.02
    (cleared,) = house.rows("warnings", account="S-2")
    assert cleared["cleared_at"] is not None
    moved(house, "99")
    moved(house, "94")  # 27,500 ÷ 28,200: called
    assert house.rows("warnings", account="S-2", open="true") == []
    house.open("S-3", {"XYZ": "1000", "USD": "-61500"}, "other")  # 32,500 ÷ 28,200 = 1.152
    moved(house, "93")  # 31,500 ÷ 27,900 = 1.129
    moved(house, "91")  # 29,500 ÷ 27,300 = 1.081
    moved(house, "98")  # 36,500 ÷ 29,400 = 1.241
    house.later(minutes=1)
    told = json.loads(house.run("prevention", "--json"))
    assert (told["warned"], told["prevented"], told["called"]) == (2, 1, 1)


def test_a_price_that_flutters_around_the_level_makes_one_call(house):
    """Fault C11: what the market cures must hold for ten minutes."""
    opened(house, regime(market_cures=True, dwell_seconds=600))
    first = house.call()
    for price in ("110", "100", "110", "100"):
        moved(house, price, minutes=3)
    assert house.kinds().count("call.provisionally_met") == 2
    assert house.kinds().count("call.breached_again") == 2
    moved(house, "110", minutes=3)
    moved(house, "110", minutes=9)
    assert house.call()["state"] == "issued"
    moved(house, "110", minutes=2)
    assert (house.call()["id"], house.call()["state"], house.call()["resolution"]) == (first["id"], "met", "market")
    assert len(house.rows("calls", account="S-1")) == 1


def test_a_deficit_that_grows_raises_the_amount_and_keeps_the_first_deadline(house):
    """Fault C12. 95: 20,000 against 28,500. 94.9: 19,900 against 28,470, within 5 % of what was called."""
    opened(house, TERMS)
    due = house.call()["due_at"]
    moved(house, "95")
    assert (house.call()["amount_called"], house.call()["amount_outstanding"]) == ("8500", "8500")
    moved(house, "94.9")
    assert (house.call()["amount_called"], house.call()["due_at"]) == ("8500", due)
    mailed = {one["kind"] for one in house.rows("notices", account="S-1")}
    assert {"call.issued", "call.amount_changed"} <= mailed
    house.later(hours=1)
    house.deposit("8570")  # 19,900 + 8,570 = 28,470
    house.sweep()
    assert house.call()["state"] == "met"


def test_a_deficit_that_grows_may_make_a_call_of_its_own(house):
    opened(house, regime(stacking="incremental"))
    moved(house, "95", hours=2)
    older, newer = sorted(house.rows("calls", account="S-1"), key=lambda call: call["id"])
    assert (older["amount_called"], newer["amount_called"]) == ("5000", "3500")  # 8,500 together
    assert older["due_at"] < newer["due_at"]
    house.later(minutes=5)
    house.deposit("8500")
    house.sweep()
    assert {call["state"] for call in house.rows("calls", account="S-1")} == {"met"}


def test_an_extension_is_refused_beyond_the_policys_count(house):
    clock = {"unit": "hours", "count": 24, "most_extensions": 1, "extension_authority": "broker"}
    opened(house, regime(clock=clock))
    call = house.call()
    asked = {"reason_code": "bank_transfer", "reason": "the wire was shown"}

    def ask(expect=200, **span):
        until = text((house.at + stories.timedelta(**span)).replace(microsecond=0))
        return house.do("sam", f"calls/{call['id']}/ask_extension", expect=expect, until=until, **asked)

    first = ask(days=2)["row"]["id"]
    house.do("sue", f"requests/{first}/grant")
    assert "extended 1 time" in ask(422, days=3)["detail"]


def test_an_extension_that_was_asked_in_time_is_not_granted_after_the_deadline(house):
    opened(house, TERMS)
    call = house.call()
    asked = house.do(
        "sam", f"calls/{call['id']}/ask_extension", reason_code="bank_transfer", reason="the wire was shown",
        until=text((house.at + stories.timedelta(days=2)).replace(microsecond=0)),
    )["row"]["id"]  # fmt: skip
    house.later(hours=25)
    late = text((house.at + stories.timedelta(days=2)).replace(microsecond=0))
    said = {"reason_code": "other", "reason": "late", "until": late}
    assert "is filed before" in house.do("otto", f"calls/{call['id']}/ask_extension", expect=409, **said)["detail"]
    house.sweep()
    assert house.call()["state"] == "escalated"
    assert house.do("sue", f"requests/{asked}/grant", expect=409)["detail"] != ""
    house.do("sue", f"requests/{asked}/deny", reason="it came too late")
