"""Stories of a broker's days, told by requests and commands alone; every number is worked out in its comment."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail

from tests.flows import stories
from tests.flows.stories import TERMS, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def house(db, tmp_path, monkeypatch):
    return stories.build(tmp_path, monkeypatch)


def called(house, terms=TERMS, account="S-1"):
    """1,000 × 100 with 75,000 borrowed: equity 25,000 against 30 % of 100,000. Called: 5,000, due in 24 hours."""
    house.publish("us_margin", terms)
    house.open(account, {"XYZ": "1000", "USD": "-75000"})
    house.sweep()
    call = house.call(account)
    assert (call["state"], call["amount_called"], call["amount_outstanding"]) == ("issued", "5000", "5000")
    assert call["notified_at"] is not None
    return call


def regime(**terms):
    return {**TERMS, "regimes": [{**stories.HOUSE, **terms}]}


def test_a_call_is_paid_in_two_parts_with_a_reminder_between(house):
    called(house, regime(reminder_minutes=[120]))
    house.later(hours=1)
    house.deposit("2000")
    house.sweep()
    assert (house.call()["state"], house.call()["amount_outstanding"]) == ("issued", "3000")
    house.later(hours=21.5)  # two hours before it is due, and a bit
    house.sweep()
    house.later(hours=1)
    house.deposit("3000")
    house.sweep()
    assert (house.call()["state"], house.call()["amount_outstanding"]) == ("met", "0")
    assert "call.reminded" in house.kinds()
    assert house.kinds()[-1] == "call.met"


def test_a_client_who_says_it_paid_is_not_escalated_while_the_payment_is_looked_for(house):
    call = called(house, regime(claim_minutes=180))
    house.later(hours=23.5)
    said = {"amount": "5000", "currency": "USD", "method": "wire", "reference": "FT 881"}
    cure = house.do("olga", f"calls/{call['id']}/claim", **said)["row"]["id"]
    house.later(hours=1)  # half an hour past the deadline
    house.sweep()
    assert house.call()["state"] == "issued"
    arrived = house.deposit("5000", external_reference="FT 881")
    house.do("otto", f"cures/{cure}/check", finding="arrived", movement=arrived, reason="seen at the bank")
    house.sweep()
    assert (house.call()["state"], house.call()["amount_outstanding"]) == ("met", "0")
    assert house.rows("cures", call=call["id"], state="settled")[0]["release"] == "5000"


def test_a_payment_that_bounces_after_the_call_was_met_makes_a_linked_call(house):
    first = called(house)
    payment = house.deposit("5000")
    house.sweep()
    assert house.call()["state"] == "met"
    house.batch("cash-reversals", reverses=payment, source="bank", external_reference="R-1", note="unpaid")
    house.later(minutes=5)
    house.sweep()
    second = house.call()
    assert second["id"] != first["id"]
    assert (second["predecessor"], second["amount_called"]) == (first["id"], "5000")
    assert second["state"] in ("issued", "escalated")


def test_an_extension_takes_two_people_and_comes_before_the_deadline(house):
    call = called(house)
    asked = {"reason_code": "bank_transfer", "reason": "the wire was shown"}
    until = text(house.at.replace(microsecond=0) + timedelta(days=2))
    address = f"calls/{call['id']}/ask_extension"
    first = house.do("sam", address, until=until, **asked)["row"]["id"]
    house.do("sam", f"requests/{first}/grant", expect=422)
    house.do("sue", f"requests/{first}/deny", reason="show the wire's number")
    second = house.do("sam", address, until=until, **asked)["row"]["id"]
    house.do("sue", f"requests/{second}/grant", external_reference="ERF-2026-17")
    assert house.call()["due_at"] == until
    assert [one["external_reference"] for one in house.rows("requests", state="granted")] == ["ERF-2026-17"]
    house.later(days=2, minutes=1)
    house.run("send_notices")
    house.sweep()
    assert (house.call()["state"], house.call()["escalation_cause"]) == ("escalated", "deadline")


def test_a_hold_stops_the_escalation_until_it_ends(house):
    call = called(house)
    house.later(hours=23)
    until = text(house.at + timedelta(hours=3))
    why = {"reason_code": "payment_check", "reason": "the bank is asked"}
    asked = house.do("olga", f"calls/{call['id']}/ask_hold", until=until, **why)["row"]["id"]
    house.do("sam", f"requests/{asked}/grant")
    house.later(hours=2)  # an hour past the deadline
    house.sweep()
    assert house.call()["state"] == "issued"
    house.later(hours=2)
    house.sweep()
    assert (house.call()["state"], house.call()["escalation_cause"]) == ("escalated", "deadline")
    asked = {"reason_code": "bank_transfer", "reason": "the wire was shown"}
    late = text(house.at + timedelta(days=1))
    house.do("sam", f"calls/{call['id']}/ask_extension", expect=409, until=late, **asked)


def test_a_dispute_that_is_upheld_in_part_leaves_the_rest_due(house):
    call = called(house)
    dispute = house.do(
        "olga", f"calls/{call['id']}/dispute", amount="3000", reason_code="position", reason="300 shares are missing"
    )["row"]["id"]
    assert house.call()["disputed"] == "3000"
    house.do("cora", f"disputes/{dispute}/decide", finding="partly", granted="1000", reason="100 shares were missing")
    assert house.rows("disputes", call=call["id"])[0]["granted"] == "1000"
    house.later(hours=25)
    house.sweep()
    assert house.call()["state"] == "escalated"


def test_an_earlier_deadline_counts_once_the_client_was_told(house):
    call = called(house)
    soon = text(house.at + timedelta(minutes=90))
    asked = house.do(
        "sam", f"calls/{call['id']}/ask_acceleration", due_at=soon, reason_code="volatility", reason="falls by the hour"
    )["row"]["id"]
    house.do("rita", f"requests/{asked}/grant")
    assert house.call()["due_at"] == soon
    house.run("send_notices")
    house.later(hours=2)
    house.sweep()
    assert (house.call()["state"], house.call()["escalation_cause"]) == ("escalated", "deadline")


STORM = {"least_calls": 3, "accounts_rate": "0.50", "instrument_rate": "0.80", "minutes": 15}


def crowd(house, terms):
    """Three accounts, fine at 110: equity 110,000 − 75,000 = 35,000 against 33,000; short of 5,000 each at 100."""
    house.publish("us_margin", terms)
    house.mark("XYZ", "110")
    for number in (1, 2, 3):
        house.open(f"S-{number}", {"XYZ": "1000", "USD": "-75000"})
    house.sweep()
    assert house.rows("calls") == []
    house.later(minutes=5)
    house.mark("XYZ", "100")


def test_a_storm_of_calls_waits_for_a_person_and_a_corrected_price_calls_nobody(house):
    crowd(house, {**TERMS, "storm": STORM})
    house.sweep()
    assert house.rows("calls") == []
    (gate,) = house.rows("gates", state="open")
    assert (gate["calls"], gate["accounts"], gate["instrument"], gate["explained"]) == (3, 3, "XYZ", 3)
    house.do("olga", f"gates/{gate['id']}/release", expect=403, reason="it is real")
    house.mark("XYZ", "110")
    house.sweep()
    assert house.rows("calls") == []
    assert house.rows("gates")[0]["state"] == "passed"


def test_a_storm_that_is_real_is_released_and_everybody_is_called(house):
    crowd(house, {**TERMS, "storm": STORM})
    house.sweep()
    (gate,) = house.rows("gates", state="open")
    house.do("rita", f"gates/{gate['id']}/release", reason="the whole market fell")
    house.sweep()
    assert [call["amount_called"] for call in house.rows("calls")] == ["5000", "5000", "5000"]
    assert house.rows("gates")[0]["closed_by"] == "rita"


def test_calls_of_a_wrong_price_are_retracted_in_one_batch_by_two_people(house):
    since = text(house.at)
    crowd(house, TERMS)
    house.sweep()
    assert len(house.rows("calls", open="true")) == 3
    house.mark("XYZ", "110")
    asked = house.do(
        "olga", "retractions", 201, instrument="XYZ", assessed_from=since, price="100", reason_code="bad_price",
        reason="the venue corrected its price",
    )  # fmt: skip
    assert len(asked["requests"]) == 3
    house.do("sam", f"requests/{asked['requests'][0]}/grant", whole_batch=True)
    assert {call["state"] for call in house.rows("calls")} == {"cancelled"}
    house.sweep()
    assert house.rows("calls", open="true") == []
    corrected = [sent for sent in mail.outbox if "is withdrawn: please disregard it" in sent.subject]
    assert all("It should not have been made, and you need not act on it." in sent.body for sent in corrected)
    assert sorted(sent.to for sent in corrected) == [[f"s-{number}@clients.example"] for number in (1, 2, 3)]


def test_a_short_file_meets_no_call_until_somebody_confirms_the_book(house):
    # Without its short of 1,000 ABC at 50 the account owes less margin: 25,000 − 0 against 30,000 is not the question;
    # the short costs 35 % of 50,000 = 17,500 on top of 30,000; equity 100,000 − 50,000 − 10,000 = 40,000: called 7,500.
    terms = {**TERMS, "regimes": [{**stories.world.HOUSE, "warning_rate": None}]}
    house.publish("us_margin", terms)
    house.open("S-1", {"XYZ": "1000", "ABC": "-1000", "USD": "-10000"})
    house.sweep()
    assert house.call()["amount_called"] == "7500"
    house.later(minutes=10)
    position = {"account": "S-1", "instrument": "ABC", "quantity": "0"}
    house.send(house.machine, "positions", {"rows": [position]}, 201)
    house.sweep()
    assert house.call()["state"] == "issued"
    house.do("rita", "accounts/S-1/reconcile", expect=403, reason="compared")
    house.do("olga", "accounts/S-1/reconcile", reason="the custodian confirms that the short is closed")
    assert house.rows("reconciliations", account="S-1")[0]["confirmed_by"] == "olga"
    house.sweep()
    assert (house.call()["state"], house.call()["resolution"]) == ("met", "market")


def test_a_call_that_nobody_meets_is_sold_out_by_two_people_with_a_strike(house):
    schedule = {
        "name": "sales",
        "kinds": ["liquidated"],
        "steps": [{"at": 1, "effects": ["funds_on_hand"], "days": 90}],
    }
    terms = {**regime(restrictions={"on_escalate": ["closing_only", "no_withdrawal"]}), "strikes": [schedule]}
    call = called(house, terms)
    house.later(hours=25)
    house.sweep()
    assert house.call()["state"] == "escalated"
    effects = {one["effect"] for one in house.rows("restrictions", account="S-1", in_force="true")}
    assert effects == {"closing_only", "no_withdrawal"}

    def ask(**action):
        reply = house.machine.post("/api/v1/accounts/S-1/check/", action, content_type="application/json")
        return reply.json()["allowed"]

    assert not ask(order={"instrument": "ABC", "quantity": "10"})
    assert ask(order={"instrument": "XYZ", "quantity": "-10"})
    assert not ask(withdrawal={"currency": "USD", "amount": "1"})
    plan = house.do("olga", f"calls/{call['id']}/propose", reason="not paid")["row"]["id"]
    house.do("olga", f"plans/{plan}/approve", expect=403)
    house.do("rita", f"plans/{plan}/approve")
    (line,) = house.get(f"plans/{plan}")["lines"]
    # A share sold at 100 releases 30 less a fee of 0.1 %: 5,000 ÷ 29.90 = 167.2
    assert line["quantity"] == "-168"
    house.do(
        "olga", f"plans/{plan}/fill", line=line["id"], quantity="-168", price="100", fee="16.80", source="oms",
        external_reference="X-1",
    )  # fmt: skip
    house.sweep()
    assert (house.call()["state"], house.call()["resolution"]) == ("liquidated", "liquidation")
    house.later(minutes=2)
    house.sweep()
    assert [one["kind"] for one in house.rows("strikes", account="S-1")] == ["liquidated"]
    (bound,) = house.rows("restrictions", account="S-1", effect="funds_on_hand")
    waiver = house.do("sam", f"restrictions/{bound['id']}/waive", reason="first time in ten years")["id"]
    house.do("sam", f"waivers/{waiver}/decide", expect=422, finding="granted", reason="yes")
    house.do("cora", f"waivers/{waiver}/decide", finding="granted", reason="agreed")
    assert house.rows("restrictions", account="S-1", effect="funds_on_hand", in_force="true") == []


def test_a_loan_beyond_its_liquidation_level_is_called_and_escalated_at_first_sight_and_coins_cure_it(house):
    house.publish("crypto_loan", {**stories.world.crypto(), "calendar": "24/7"})
    # 85,000 ÷ 100,000 = 85 % ≥ 80 %; restore to 65 %: repay 85,000 − 65,000 = 20,000
    house.open("L-1", {"BTC": "1", "USD": "-85000"}, "crypto_loan")
    house.sweep("crypto")
    call = house.call("L-1")
    assert (call["state"], call["amount_called"]) == ("escalated", "20000")
    assert house.kinds("L-1")[:2] == ["call.issued", "call.escalated"]
    # 85,000 ÷ 0.65 = 130,769.23: 0.31 BTC more is enough
    house.batch(
        "deliveries", account="L-1", instrument="BTC", change="0.31", reason="brought in", external_reference="D-1",
        effective_at=text(house.at),
    )  # fmt: skip
    house.later(minutes=10)
    house.sweep("crypto")
    assert house.call("L-1")["state"] == "met"


@pytest.mark.parametrize(("short_of", "state"), [(0, "met"), (1, "issued")])
def test_the_suggested_cash_meets_the_call_and_a_cent_less_does_not(house, short_of, state):
    call = called(house)
    told = house.get(f"calls/{call['id']}/cure-options")["this_call"]
    (cash,) = told["cash"]
    assert cash["value"] == "5000"
    house.deposit("4999.99" if short_of else cash["value"])
    house.sweep()
    assert house.call()["state"] == state


@pytest.mark.parametrize(("less", "state"), [(0, "met"), (1, "issued")])
def test_the_suggested_sale_meets_the_call_and_a_share_less_does_not(house, less, state):
    call = called(house)
    (sale, *_) = house.get(f"calls/{call['id']}/cure-options")["this_call"]["trades"]
    step = sale["steps"][0]
    assert step["quantity"] == "-168"  # 5,000 ÷ (30 − 0.10) = 167.2
    house.batch(
        "fills", account="S-1", instrument="XYZ", source="oms", external_reference="T-1",
        quantity=str(int(step["quantity"]) + less), price="100", fee="16.80" if not less else "16.70",
        traded_at=text(house.at),
    )  # fmt: skip
    house.later(seconds=1)
    house.sweep()
    assert house.call()["state"] == state


def test_a_call_by_hand_above_the_limit_takes_two_people(house):
    house.publish("us_margin", regime(second_approval_above="1000"))
    house.open("S-1", {"XYZ": "1000"})
    body = {"account": "S-1", "regime": "house", "reason": "the client's other broker defaulted"}
    house.do("olga", "calls", 201, amount="1000", **body)
    house.open("S-2", {"XYZ": "1000"})
    asked = house.do("sam", "calls", 202, **{**body, "account": "S-2", "amount": "1000.01"})["row"]["id"]
    assert house.rows("calls", account="S-2") == []
    house.do("sam", f"requests/{asked}/grant", expect=422)
    house.do("rita", f"requests/{asked}/grant")
    assert house.call("S-2")["amount_called"] == "1000.01"


def test_an_amount_misquoted_on_the_telephone_becomes_a_task(house):
    call = called(house)
    house.do(
        "olga", f"calls/{call['id']}/contact", channel="phone", direction="out", outcome="reached", who="Treasury",
        amount_quoted="500", text="told them the amount",
    )  # fmt: skip
    (task,) = house.rows("tasks", call=call["id"], open="true")
    assert "was told another amount or deadline" in task["title"]
    house.do("otto", f"tasks/{task['id']}/take")
    house.do("otto", f"tasks/{task['id']}/close", outcome="rang again with the right amount")
    assert house.rows("tasks", call=call["id"], open="true") == []


REG_T = {
    "regime": "reg_t", "methodology": "trades", "measure": "reg_t", "kinds": ["equity", "etf"], "terms": {},
    "clock": {
        "unit": "business_days", "count": 3, "zone": "America/New_York", "calendar": "XNYS", "cut_off": "15:00",
        "base": "trade_date",
    },
    "market_cures": False, "de_minimis": "1000",
}  # fmt: skip


def trade(house, quantity):
    house.later(minutes=1)
    house.batch(
        "fills", account="T-1", instrument="XYZ", source="oms", external_reference=f"T-{next(house.numbers)}",
        quantity=quantity, price="100", fee="0", traded_at=text(house.at),
    )  # fmt: skip


def close(house, day):
    """Five minutes after New York has closed, in winter: quotes, a sweep, SMA, the calls of the day's trades."""
    house.at = datetime(2026, 2, day, 21, 5, tzinfo=UTC)
    for code, price in (("XYZ", "100"), ("ABC", "50")):
        house.mark(code, price)
    house.sweep()
    house.run("close_day")
    house.run("trade_calls")


def test_purchases_of_two_days_are_called_per_trade_date_over_a_holiday(db, tmp_path, monkeypatch):
    """12 CFR 220.4(c): half of what is bought, less SMA, per trade date, netted until the close."""
    house = stories.build(tmp_path, monkeypatch, at=datetime(2026, 2, 12, 16, 0, tzinfo=UTC))
    house.publish("us_margin", {**stories.world.securities(stories.world.EXCHANGE, REG_T), "calendar": "24/7"})
    house.open("T-1", {"USD": "500"})
    close(house, 12)
    house.at = datetime(2026, 2, 13, 16, 0, tzinfo=UTC)  # Friday; Monday is Washington's Birthday
    trade(house, "300")
    trade(house, "-100")  # the same day: netted. 50 % of 20,000 less SMA of 500
    close(house, 13)
    friday = house.call("T-1", regime="reg_t")
    assert (friday["deficiency_key"], friday["amount_called"]) == ("2026-02-13", "9500")
    assert friday["due_at"] == "2026-02-19T20:00:00Z"  # Tuesday, Wednesday, Thursday; 15:00 in New York
    house.at = datetime(2026, 2, 17, 16, 0, tzinfo=UTC)
    trade(house, "40")  # 50 % of 4,000
    close(house, 17)
    house.at = datetime(2026, 2, 18, 16, 0, tzinfo=UTC)
    house.deposit("10500", account="T-1")  # 9,500 to Friday's, the other 1,000 to Tuesday's
    close(house, 18)
    found = {one["deficiency_key"]: one for one in house.rows("calls", account="T-1", regime="reg_t")}
    told = {key: (one["state"], one["amount_called"], one["amount_outstanding"]) for key, one in found.items()}
    assert told == {"2026-02-13": ("met", "9500", "0"), "2026-02-17": ("issued", "2000", "1000")}


@pytest.mark.parametrize(("hour", "due"), [(17, "2026-03-03T22:00:00Z"), (18, "2026-03-04T22:00:00Z")])
def test_a_demand_after_the_notification_time_is_due_a_day_later(db, tmp_path, monkeypatch, hour, due):
    """Told before 13:00 in New York: by 17:00 of the next business day. Later: of the one after."""
    house = stories.build(tmp_path, monkeypatch, at=datetime(2026, 3, 2, hour, 30, tzinfo=UTC))
    clock = {
        "zone": "America/New_York", "calendar": "XNYS", "cut_off": "17:00", "base_cut_off": "13:00",
        "unit": "business_days", "count": 1,
    }  # fmt: skip
    called(house, regime(clock=clock))
    assert house.call()["due_at"] == due


def test_what_the_state_or_the_role_does_not_allow_is_refused_with_a_sentence(house):
    call = called(house)
    house.do("cora", f"calls/{call['id']}/escalate", expect=403, reason="now")
    house.do("sam", f"calls/{call['id']}/meet", expect=422, how="cash")
    placed = house.do(
        "cora",
        "accounts/S-1/restrict",
        effect="no_withdrawal",
        reason="a court order",
        ends_at=text(house.at + timedelta(days=9)),
    )["id"]
    assert house.rows("restrictions", in_force="true")[0]["id"] == placed
    house.do("olga", f"restrictions/{placed}/lift", expect=403, reason="over")
    house.do("cora", f"restrictions/{placed}/lift", reason="the order was lifted")
    assert house.rows("restrictions", in_force="true") == []
    house.do("rita", "policies/us_margin/publish", expect=422, terms={"sweep": "never"}, effective_at=text(house.at))
    house.do("olga", "policies/us_margin/publish", expect=403, terms=TERMS, effective_at=text(house.at))
