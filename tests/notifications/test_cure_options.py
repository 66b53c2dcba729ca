"""What a letter names as ways to meet a call: those the engine found for the account as it stands, five at the most."""

from datetime import timedelta
from decimal import Decimal

import pytest

from margin import sweep
from margin.models import MarginCall
from notifications import cases, cure_options, notices, sections
from notifications.models import Notice
from tests.margin import rows as margin_rows
from tests.margin import world
from tests.notifications import rows
from tests.notifications.rows import MONDAY

pytestmark = pytest.mark.django_db
D = Decimal


def bullets(notice: Notice) -> list[str]:
    cures = notice.text.split("HOW TO MEET IT")[1].split("WHAT COUNTS AS RECEIVED")[0]
    return [line.removeprefix("* ") for line in cures.splitlines() if line.startswith("*")]


def told(kind: str = "call.issued") -> Notice:
    notices.prepare(at=MONDAY)
    return Notice.objects.filter(kind=kind).latest("pk")


def test_cash_then_the_cheapest_closings_then_securities():
    rows.swept_house()
    # 1,400 against 30 % of 5,000: 100 are missing. A share sold releases 15 less 0.05 of fees, one brought in 35;
    # other securities at 30 %: 100 ÷ 0.7.
    assert bullets(told()) == [
        "Pay in 100.00 USD in cleared funds.",
        "Or sell 7 XYZ (worth 350.00 USD); our fee is 0.35 USD.",
        "Or deposit 3 more XYZ (worth 150.00 USD).",
        "Or deposit other marginable securities worth 142.86 USD, margined at 30\u00a0% or less.",
    ]


def test_five_ways_are_named_and_the_dearer_are_left_out():
    margin_rows.policy("us_margin", {**world.securities(), "fee_rate": "0.001"})
    owner = margin_rows.account()
    for code, price in (("AAA", "50"), ("BBB", "40"), ("CCC", "30"), ("DDD", "20")):
        margin_rows.hold(owner, margin_rows.equity(code), "100")
        world.quote(margin_rows.equity(code), price, MONDAY)
    margin_rows.hold(owner, margin_rows.cash(), "-10000")  # 4,000 against 4,200
    sweep.run("securities", at=MONDAY)
    named = bullets(told())
    assert len(named) == cure_options.MOST_WAYS
    # 200 ÷ (0.299 of the price): 14 AAA for 700, 17 BBB for 680, 23 CCC for 690, 34 DDD for 680; the fee is 0.1 %
    assert set(named[1:3]) == {
        "Or sell 17 BBB (worth 680.00 USD); our fee is 0.68 USD.",
        "Or sell 34 DDD (worth 680.00 USD); our fee is 0.68 USD.",
    }


def test_a_storm_names_cash_alone_and_says_so(monkeypatch):
    monkeypatch.setattr(cure_options, "MOST_SIZED", 1)
    margin_rows.policy("us_margin", world.securities())
    xyz = margin_rows.equity("XYZ")
    for _ in range(2):
        world.long_account("100", "3600", xyz)
    world.quote(xyz, "50", MONDAY)
    sweep.run("securities", at=MONDAY)
    notice = told()
    assert bullets(notice) == ["Pay in 100.00 USD in cleared funds."]
    assert "Many calls go out at this moment" in notice.text
    assert "Many calls go out at this moment" in notice.html


def test_an_account_that_cannot_be_sized_is_told_why_instead_of_a_guess():
    rows.swept_house()
    event = rows.event(MarginCall.objects.get(), "call.issued")
    world.quote(margin_rows.equity("XYZ"), "49", MONDAY + timedelta(hours=5))  # after the event: not its price
    case = cases.gather([event.pk]).case(event.pk)
    assert case.options.unsized == cure_options.UNKNOWN
    (cash,) = sections.cures(case, case.demand).bullets
    assert cash == "Pay in 100.00 USD in cleared funds."
    assert "cannot be sized at this moment" in " ".join(sections.cures(case, case.demand).sentences)


def test_two_calls_on_the_same_equity_are_told_the_greater_amount_not_the_sum():
    rows.swept_house()
    first = MarginCall.objects.get()
    rows.issued(first.account, amount="60.00", version=first.policy_version, regime="minimum_equity")
    event = rows.event(first, "call.issued")
    case = cases.gather([event.pk]).case(event.pk)
    assert (case.options.calls, case.options.all_cash) == (2, D("100.00"))
    sentences = " ".join(sections.cures(case, case.demand).sentences)
    assert "Your account has 2 open calls on the same equity: 100.00 USD meets them all." in sentences


def test_the_cushion_is_told_where_the_policy_states_chances():
    stated = {"chances": {"horizon_days": 5, "volatilities": {"equity": "0.50"}}}
    margin_rows.policy("us_margin", {**world.securities(), **stated})
    xyz = margin_rows.equity("XYZ")
    world.long_account("100", "3600", xyz)
    world.quote(xyz, "50", MONDAY)
    sweep.run("securities", at=MONDAY)
    event = rows.event(MarginCall.objects.get(), "call.issued")
    (eighty, first), (ninety_five, second) = cases.gather([event.pk]).case(event.pk).options.cushions
    assert (eighty, ninety_five) == (D("0.80"), D("0.95"))
    # One day of 50 % a year moves a price by 3.15 %; its worst fifth by 2.65 % and worst twentieth by 5.18 %:
    # 0.7 × 5,000 × that beyond the 100 that are missing, give or take the drawing of the worlds.
    assert 100 + 3500 * 0.015 < first < 100 + 3500 * 0.04
    assert first < second < 100 + 3500 * 0.08
    assert "To stay clear of another call until the deadline, pay in" in told().text
