"""Plans as they are proposed: objective, wishes, stages, what may not be sold, and calls that come from trades."""

import json
from datetime import date
from decimal import Decimal as Dec

import pytest

from accounts import positions, wishes
from accounts.models import Account
from margin import approvals, booking, calls, liquidation, planning, prices, sweep
from margin.models import MarginCall, Plan
from margin.workflow import Cause
from market import calendars
from market.models import Calendar, Quote, QuoteFact
from tests.margin import rows, test_trades, world
from tests.margin.rows import SWEEPER
from tests.margin.world import MONDAY, minutes, quote

pytestmark = pytest.mark.django_db
LATER = MONDAY + minutes(2)


def escalated(*, terms=None, borrowed="-7200", held=("XYZ", "ABC")):
    """Long 100 XYZ and 100 ABC at 50.00 with 7,200 borrowed: 200.00 short of 30 %; escalated by a person."""
    rows.policy("us_margin", {**world.securities(), **({"liquidation": terms} if terms else {})})
    account, dollars = rows.account(), rows.cash()
    stocks = [rows.equity(code) for code in held]
    book = [(account.pk, stock.pk, Dec(100), Dec(5000)) for stock in stocks]
    book.append((account.pk, dollars.pk, Dec(borrowed), None))
    positions.write(book, cause="book", reference="test", effective_at=MONDAY)
    for stock in stocks:
        quote(stock, "50", MONDAY)
    sweep.run("securities", at=MONDAY)
    call = MarginCall.objects.get()
    return calls.escalate(call, cause=Cause.SEVERITY, at=MONDAY + minutes(1), actor=SWEEPER)


def proposed(call, *, at=LATER):
    return liquidation.propose(call, at=at, actor=rows.staff("ops", "Operations"))


def lines(plan):
    return {line.instrument.code: line.quantity for line in plan.lines.select_related("instrument")}


def test_a_plan_keeps_what_it_is_best_at_what_else_could_be_done_and_what_everything_would_leave():
    # a share at 50.00 releases 15.00 less the fee of 0.05: 200 ÷ 14.95 = 13.4, so 14 shares; all 200 leave 2,790.00
    plan = proposed(escalated())
    body = json.loads(plan.content)
    assert body["objective"] == "smallest"
    assert body["total"] == {
        "value": "700", "fee": "0.7", "spread": "0", "orders": 1, "excess": "9.3", "is_enough": True,
    }  # fmt: skip
    assert {one["name"]: (one["value"], one["is_enough"]) for one in body["alternatives"]} == {
        "as_held": ("700", True), "largest_loser": ("700", True), "by_release": ("700", True),
    }  # fmt: skip
    assert (body["everything"]["value"], body["everything"]["excess"]) == ("10000", "2790")
    assert (body["residual"], body["is_enough"], body["left_out"]) == ("0", True, [])


def test_what_the_client_wants_kept_is_sold_only_when_the_rest_is_not_enough():
    call = escalated(terms={"honours_liquidate_last": True})
    first = lines(liquidation.propose(call, at=LATER, actor=SWEEPER))
    (kept,) = first  # either may be sold: so the client wants this one kept
    wishes.state(Account.objects.get(), [kept], reason="by telephone", by="ops", at=LATER)
    (other,) = {"XYZ", "ABC"} - {kept}
    approvals.reject(Plan.objects.get(), at=LATER, actor=rows.staff("sue", "Supervisor"), reason="the wish came")
    assert lines(proposed(call)) == {other: -14}


def test_a_wish_is_only_honoured_where_the_policy_says_so():
    call = escalated()
    wishes.state(Account.objects.get(), ["XYZ", "ABC"], reason="by telephone", by="ops", at=LATER)
    body = json.loads(proposed(call).content)
    assert {line["rank"] for line in body["lines"]} == {0}


def test_the_rest_is_sold_out_before_what_is_to_be_kept():
    # 10,000 less 8,700 is 1,300, and 30 % of 10,000 asks 3,000: 1,700 ÷ 14.95 = 113.7 shares, so 100 and 14
    call = escalated(terms={"honours_liquidate_last": True}, borrowed="-8700")
    wishes.state(Account.objects.get(), ["ABC"], reason="by telephone", by="ops", at=LATER)
    plan = proposed(call)
    assert lines(plan) == {"XYZ": -100, "ABC": -14}
    assert [(line["code"], line["rank"]) for line in json.loads(plan.content)["lines"]] == [("XYZ", 0), ("ABC", 1)]


def test_a_stage_sells_no_more_than_its_share_and_the_next_plan_is_sized_again():
    # 5 % of 10,000 is 500: 10 of the 14 shares; they release 149.50, so 50.50 remain: 50.50 ÷ 14.95 = 3.4, 4 more
    call = escalated(terms={"stage_share": "0.05"})
    plan = proposed(call)
    body = json.loads(plan.content)
    assert (sum(lines(plan).values()), body["is_staged"], body["is_enough"]) == (-10, True, True)
    assert (body["stage"]["is_enough"], body["stage"]["excess"]) == (False, "-50.5")
    approvals.approve(plan, at=LATER, actor=rows.staff("sue", "Supervisor"))
    line = plan.lines.get()
    booking.record_fill(
        line, quantity=line.quantity, price=Dec(50), fee=line.fee, source="desk", external_reference="1", at=LATER,
        actor=rows.staff("ops", "Operations"),
    )  # fmt: skip
    call.refresh_from_db()
    assert call.state == "escalated"
    assert sum(lines(proposed(call)).values()) == -4


def test_half_the_quoted_spread_is_paid_as_well_and_the_cheapest_way_round_it_is_found():
    # XYZ costs 0.05 + 0.20 a share and releases 14.75, ABC costs 0.05 and releases 14.95
    call = escalated(terms={"objective": "cheapest"})
    stock, then = rows.equity("XYZ"), MONDAY + minutes(1.5)
    fact = QuoteFact.objects.create(
        instrument=stock, source="test", as_of=then, mark=Dec(50), bid=Dec("49.80"), ask=Dec("50.20")
    )
    Quote.objects.filter(instrument=stock).update(as_of=then, bid=fact.bid, ask=fact.ask, fact=fact)
    plan = proposed(call)
    assert lines(plan) == {"ABC": -14}
    assert json.loads(plan.content)["total"]["spread"] == "0"
    halves = planning.half_spreads(prices.gather(at=LATER), [stock.pk, rows.equity("ABC").pk])
    assert halves == {stock.pk: Dec("0.20")}


def test_a_policy_may_wait_for_the_open_and_nothing_is_written_off_meanwhile():
    call = escalated(terms={"needs_open_market": True})
    calendars.fill("XNYS", date(2026, 2, 1), date(2026, 3, 31))
    for code in ("XYZ", "ABC"):
        stock = rows.equity(code)
        stock.calendar = Calendar.objects.get(code="XNYS")
        stock.save()
        quote(stock, "50", MONDAY.replace(hour=20, minute=59))  # a minute before New York closes
    night, morning = MONDAY.replace(hour=23), MONDAY.replace(day=3, hour=14, minute=32)
    with pytest.raises(calls.Refused, match="XYZ: its market XNYS is closed"):
        proposed(call, at=night)
    sized = planning.size(call, planning.stand(call, at=night))
    assert not planning.is_sold_out(sized)
    assert sum(lines(proposed(call, at=morning)).values()) == -14


def test_a_wish_names_instruments_or_kinds_once_and_with_a_reason(db):
    account = rows.account()
    rows.equity("XYZ")
    rows.cash()
    made = wishes.state(account, ["XYZ", "etf"], reason="by letter", by="ops", at=MONDAY)
    assert wishes.kept(made) == ["XYZ", "etf"]
    again = wishes.state(account, ["etf"], reason="sold XYZ", by="sam", at=LATER)
    assert again.liquidate_last == [{"keep": "etf", "since": MONDAY.isoformat(), "by": "ops"}]
    for keep, why in ((["NOPE"], "neither"), (["etf", "etf"], "once"), (["USD"], "cash"), (["cash"], "cash")):
        with pytest.raises(wishes.BadWish, match=why):
            wishes.state(account, keep, reason="by letter", by="ops", at=MONDAY)
    with pytest.raises(wishes.BadWish, match="say why"):
        wishes.state(account, ["etf"], reason=" ", by="ops", at=MONDAY)


# --- calls that come from trades --------------------------------------------------------------------------


def called_by_trades():
    """200 X bought at 100 with 500 of one's own: Regulation T calls 10,000 − 500 = 9,500; escalated."""
    owner, stock = test_trades.begin()
    test_trades.trade(owner, stock["X"], "200", "100", test_trades.at(2, -3))
    test_trades.end(2)
    call = MarginCall.objects.get(regime="reg_t")
    return calls.escalate(call, cause=Cause.PERSON, reason="not paid", at=test_trades.at(2, 0.01),
                          actor=rows.staff("sue", "Supervisor"))  # fmt: skip


def test_a_regulation_t_call_is_sold_for_twice_what_it_asks():
    # a share sold at 100 releases 50.00 less the fee of 0.10: 9,500 ÷ 49.90 = 190.4, so 191 (12 CFR 220.4(d))
    call = called_by_trades()
    plan = proposed(call, at=test_trades.at(2, 0.02))
    assert lines(plan) == {"X": -191}
    assert json.loads(plan.content)["before"]["missing"] == "9500"


def test_and_for_no_more_than_the_deficiency_of_the_day():
    # at 110: equity 22,000 − 19,500 = 2,500 against 11,000, so 8,500; a share releases 55 − 0.11: 154.9, so 155
    call = called_by_trades()
    test_trades.quotes(test_trades.at(2, 0.05), X="110")
    assert lines(proposed(call, at=test_trades.at(2, 0.06))) == {"X": -155}


def test_its_fills_release_and_the_call_is_liquidated_when_they_are_enough():
    call, when = called_by_trades(), test_trades.at(2, 0.02)
    plan = proposed(call, at=when)
    approvals.approve(plan, at=when, actor=rows.staff("rita", "Risk"))
    line, ops = plan.lines.get(), rows.staff("ops", "Operations")
    for reference, quantity in (("1", -190), ("2", -1)):
        booking.record_fill(
            line, quantity=Dec(quantity), price=Dec(100), fee=Dec("0.1") * -quantity, source="desk",
            external_reference=reference, at=when, actor=ops,
        )  # fmt: skip
        call.refresh_from_db()
        assert call.state == ("escalated" if reference == "1" else "liquidated")
