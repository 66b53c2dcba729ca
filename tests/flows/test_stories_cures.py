"""Stories of how calls are met: every way that the house suggests is carried out, and a little less of it."""

import json
from decimal import Decimal

import pytest

from tests.flows import stories
from tests.flows.stories import TERMS, text
from tests.margin import options, world

pytestmark = pytest.mark.django_db

OPTIONS = """code,name,kind,currency,underlying,right,strike,style,expires_at,multiplier,max_age_seconds
XYZ-P90,Xyz put 90,option,USD,XYZ,put,90,american,2026-06-19T20:00:00Z,100,31536000
"""


@pytest.fixture
def house(db, tmp_path, monkeypatch):
    return stories.build(tmp_path, monkeypatch)


def called(house, code, terms, holdings, amount, sweep="securities"):
    house.publish(code, terms)
    house.open("S-1", holdings, code)
    house.sweep(sweep)
    call = house.call()
    assert (call["amount_called"], call["amount_outstanding"]) == (amount, amount)
    return call


def bring_in(house, instrument, change):
    house.later(minutes=1)
    house.batch(
        "deliveries", account="S-1", instrument=instrument, change=change, reason="brought in",
        external_reference=f"D-{next(house.numbers)}", effective_at=text(house.at),
    )  # fmt: skip


def trade(house, instrument, quantity, price, fee):
    house.later(minutes=1)
    house.batch(
        "fills", account="S-1", instrument=instrument, quantity=quantity, price=price, fee=fee, source="oms",
        external_reference=f"T-{next(house.numbers)}", traded_at=text(house.at),
    )  # fmt: skip


def after(house, sweep="securities"):
    house.later(minutes=1)
    house.sweep(sweep)
    call = house.call()
    return call["state"], call["resolution"], call["amount_outstanding"]


def told(house, call, way):
    return house.get(f"calls/{call['id']}/cure-options")["this_call"][way]


# 25,000 of equity against 30 % of 100,000: 5,000 short.
SHARES = {"XYZ": "1000", "USD": "-75000"}


def test_securities_brought_in_meet_a_call_at_their_own_rate(house):
    call = called(house, "us_margin", TERMS, SHARES, "5000")
    # A share at 100 with 30 % required is worth 70: 5,000 ÷ 70 = 71.4
    (deposit,) = [one for one in told(house, call, "deposits") if one["steps"][0]["instrument"] == "XYZ"]
    assert deposit["steps"][0]["quantity"] == "72"
    # Marginable at 30 %: 5,000 ÷ 0.70
    assert Decimal("7142.85") < Decimal(told(house, call, "values")[0]["value"]) < Decimal("7142.87")
    bring_in(house, "XYZ", "71")  # 4,970
    assert after(house) == ("issued", "", "30")
    bring_in(house, "XYZ", "1")
    assert after(house) == ("met", "securities", "0")


@pytest.mark.long
def test_other_securities_meet_it_as_well(house):
    called(house, "us_margin", TERMS, SHARES, "5000")
    bring_in(house, "ABC", "142")  # 35 each: 4,970
    assert after(house) == ("issued", "", "30")
    bring_in(house, "ABC", "1")
    assert after(house) == ("met", "securities", "0")


def test_a_short_bought_back_releases_its_rate_less_the_fee(house):
    # 62,500 − 1,000 × 50 = 12,500 against 35 % of 50,000 = 17,500
    call = called(house, "us_margin", TERMS, {"ABC": "-1000", "USD": "62500"}, "5000")
    (cover, *_) = told(house, call, "trades")
    # 17.50 less a fee of 0.1 % of 50: 5,000 ÷ 17.45 = 286.5
    assert cover["steps"][0]["quantity"] == "287"
    trade(house, "ABC", "286", "50", "14.30")  # 286 × 17.50 − 14.30 = 4,990.70
    assert after(house) == ("issued", "", "9.3")
    trade(house, "ABC", "1", "50", "0.05")
    assert after(house)[0] == "met"


def test_short_options_bought_back_release_their_requirement_less_their_cost(house):
    file = house.folder / "options.csv"
    file.write_text(OPTIONS)
    house.run("load_instruments", str(file))
    house.mark("XYZ-P90", "2")
    # A naked put: 100 × (2 + the greater of 20 % × 100 − 10 and 10 % × 90) = 1,200; ten of them against 7,000 of cash
    terms = {**TERMS, "regimes": [{**stories.HOUSE, "parts": [options.STRATEGIES]}]}
    call = called(house, "us_margin", terms, {"XYZ-P90": "-10", "USD": "7000"}, "5000")
    (closing, *_) = told(house, call, "trades")
    # 1,200 − 200 − 0.20 each: 5,000 ÷ 999.80 = 5.001
    assert closing["steps"][0]["quantity"] == "6"
    trade(house, "XYZ-P90", "5", "2", "1")
    assert after(house) == ("issued", "", "1")
    trade(house, "XYZ-P90", "1", "2", "0.2")
    assert after(house)[0] == "met"


# 85,000 lent on coins of 100,000; restored at 65 %
LOAN = {"BTC": "1", "USD": "-85000"}


def lent(house):
    terms = {**world.crypto(), "calendar": "24/7"}
    return called(house, "crypto_loan", terms, LOAN, "20000", "crypto")


def test_a_repayment_meets_a_loans_call_and_a_cent_less_does_not(house):
    call = lent(house)
    (cash,) = told(house, call, "cash")
    assert cash["value"] == "20000"
    house.later(minutes=1)
    house.deposit("19999.99")
    assert after(house, "crypto")[0] == "escalated"
    house.deposit("0.01")
    assert after(house, "crypto") == ("met", "cash", "0")
    (lent_call,) = house.rows("calls")
    cures = house.rows("cures", call=lent_call["id"])
    assert [(cure["kind"], cure["release"]) for cure in cures] == [("repayment", "0.01"), ("repayment", "19999.99")]


def test_collateral_sold_to_repay_meets_a_loans_call(house):
    call = lent(house)
    (sale, *_) = told(house, call, "trades")
    # (85,000 − 65,000) ÷ (100,000 × (1 − 0.01 − 0.65)) = 0.588235294…; booked in whole cents against the client,
    # 58,823.55 less 588.24: a debt of 26,764.69 on 65 % of 41,176.45 = 26,764.6925
    assert sale["steps"][0]["quantity"] == "-0.5882355"
    trade(house, "BTC", "-0.5882355", "100000", "588.24")
    assert after(house, "crypto")[0] == "met"


def test_cash_under_way_does_not_count_until_it_is_there(house):
    """A call that tomorrow's money will cover: the desk sees it announced, and nobody is sold out meanwhile."""
    call = called(house, "us_margin", TERMS, SHARES, "5000")
    cure = house.do(
        "olga", f"calls/{call['id']}/pledge", kind="cash", amount="5000", currency="USD", method="wire",
        reference="SWEEP-1", expected_at="2026-03-03T14:00:00Z", is_in_transit=True,
    )["row"]["id"]  # fmt: skip
    assert after(house) == ("issued", "", "5000")
    assert house.rows("cures", call=call["id"])[0]["state"] == "in_transit"
    house.later(hours=23)
    arrived = house.deposit("5000", external_reference="SWEEP-1")
    assert after(house) == ("met", "cash", "0")
    (row,) = house.rows("cures", call=call["id"])
    assert (row["id"], row["state"], row["release"], row["movement"]) == (cure, "settled", "5000", arrived)


def test_a_claim_that_is_seen_under_way_and_never_arrives_ends_in_an_escalation(house):
    terms = {**TERMS, "regimes": [{**stories.HOUSE, "claim_minutes": 120}]}
    call = called(house, "us_margin", terms, SHARES, "5000")
    house.later(hours=23)
    said = {"amount": "5000", "currency": "USD", "method": "wire", "reference": "FT 1"}
    cure = house.do("olga", f"calls/{call['id']}/claim", **said)["row"]["id"]
    house.do("otto", f"cures/{cure}/check", finding="in_transit", reason="the bank shows it as sent")
    house.later(hours=1.5)  # past the deadline, within the pause
    assert after(house) == ("issued", "", "5000")
    house.do("otto", f"cures/{cure}/check", finding="not_found", reason="the bank recalled it")
    again = house.do("olga", f"calls/{call['id']}/claim", **{**said, "reference": "FT 2"})["call"]
    assert again["paused_until"] == house.call()["paused_until"]  # the first claim alone pauses
    house.later(hours=2)
    assert after(house)[0] == "escalated"
    assert house.call()["escalation_cause"] == "deadline"
    assert house.rows("cures", call=call["id"], state="rejected") != []


def test_what_is_wrong_with_a_body_is_said_by_field(house):
    call = called(house, "us_margin", TERMS, SHARES, "5000")
    said = {"amount": 5000, "currency": "USD", "method": "wire", "reference": "FT 1"}
    reply = house.do("olga", f"calls/{call['id']}/claim", expect=422, **said)
    assert [one["field"] for one in reply["errors"]] == ["amount"]
    reply = house.do("olga", f"calls/{call['id']}/claim", expect=422, amount="5000", currency="USD", method="owl")
    assert [one["field"] for one in reply["errors"]] == ["method", "reference"]
    assert "owl" in json.dumps(reply)
    house.do("olga", "calls/999999/claim", expect=404, **{**said, "amount": "5000"})
