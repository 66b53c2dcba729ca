"""Strikes: which calls earn one, how they are counted, and what their number brings. Every count by pencil."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.models import CashMovement
from backoffice import invariants
from margin import calls, consequences, restrictions, strikes
from margin.actors import system
from margin.models import Approval, Event, MarginCall, Order, Plan, Restriction, Strike
from margin.restriction_terms import Step, StrikeKind, StrikeSchedule
from margin.strikes import Circumstances, Paid
from margin.workflow import Cause, Resolution
from tests.api import house
from tests.margin import rows, world
from tests.margin.liquidating import sold
from tests.margin.rows import AT

CLOCKWORK = system("restrictions")
# OptionsHouse, as workflow.md 1.5 tells it: 2 = higher requirements for 30 days, 3 = for 90, 4 = liquidation only and
# Regulation T calls due the next day.
OPTIONSHOUSE = {
    "name": "reg_t calls",
    "regimes": ["reg_t"],
    "steps": [
        {"at": 2, "effects": ["higher_requirements"], "days": 30},
        {"at": 3, "effects": ["higher_requirements"], "days": 90},
        {"at": 4, "effects": ["liquidation_only", "due_next_day"], "days": 90},
    ],
}
# FINRA's portfolio margin questions: the third liquidation within twelve months.
FINRA = {
    "name": "liquidations",
    "kinds": ["liquidated"],
    "steps": [{"at": 3, "effects": ["funds_on_hand"], "days": 90}],
}


def days(count):
    return timedelta(days=count)


def closed(*, state="met", notified=True, escalated=True, closed_on=5, due_on=2, called="100"):
    """A call as `judge` sees it: issued on Monday 2 March 2026, 15:00 UTC."""
    return MarginCall(
        state=state,
        regime="reg_t",
        issued_at=AT,
        due_at=AT + days(due_on),
        notified_at=AT if notified else None,
        escalated_at=AT + days(due_on) if escalated else None,
        closed_at=AT + days(closed_on),
        amount_called=Decimal(called),
        tolerance=Decimal(0),
    )


def paid(on, release="100", *, is_trade=False):
    return Paid(AT + days(on), Decimal(release), is_trade)


def judged(call, *cures, **known):
    return strikes.judge(call, Circumstances(paid=cures, **known))


# --- which calls earn one ---------------------------------------------------------------------------


def test_money_after_the_deadline_is_late_and_money_before_it_is_not():
    assert judged(closed(), paid(3)) == StrikeKind.LATE
    assert judged(closed(), paid(2)) is None
    assert judged(closed(), paid(1, "60"), paid(3, "40")) == StrikeKind.LATE


def test_a_call_that_the_market_met_after_its_deadline_is_late():
    assert judged(closed()) == StrikeKind.LATE


def test_a_client_who_was_not_told_or_was_given_time_earns_none():
    assert judged(closed(notified=False), paid(3)) is None
    assert judged(closed(escalated=False), paid(3)) is None


def test_a_call_met_before_its_deadline_earns_none_though_it_was_severe():
    assert judged(closed(closed_on=1), paid(1)) is None


def test_a_liquidation_counts_also_where_a_deposit_met_the_rest():
    assert judged(closed(state="liquidated")) == StrikeKind.LIQUIDATED
    assert judged(closed(), paid(3), has_plan_fills=True) == StrikeKind.LIQUIDATED
    assert judged(closed(state="cancelled"), has_plan_fills=True) is None


def test_sales_to_meet_a_call_count_as_sold_but_not_those_of_its_own_day():
    assert judged(closed(closed_on=1), paid(1, is_trade=True)) == StrikeKind.SOLD
    assert judged(closed(closed_on=1), paid(0, is_trade=True)) is None


def test_sales_on_the_business_day_after_an_assignment_earn_none():
    week = tuple(date(2026, 3, day) for day in (2, 3, 4, 5, 6, 9, 10))
    friday = frozenset({date(2026, 3, 6)})
    monday = paid(7, is_trade=True)  # 9 March
    assert judged(closed(closed_on=7), monday, assigned_on=friday, business_days=week) is None
    assert (
        judged(closed(closed_on=8), paid(8, is_trade=True), assigned_on=friday, business_days=week) == StrikeKind.LATE
    )
    assert judged(closed(closed_on=7), monday, business_days=week) == StrikeKind.LATE


def test_the_day_of_a_call_is_that_of_its_own_zone():
    # 15:00 UTC on Monday is Tuesday 00:00 in Tokyo; a sale at 14:00 UTC on Tuesday is still Tuesday 23:00 there
    call = closed(closed_on=1)
    sale = Paid(AT + timedelta(hours=23), Decimal(100), True)
    assert judged(call, sale, zone="Asia/Tokyo") is None
    assert judged(call, sale, zone="UTC") == StrikeKind.SOLD


# --- how they are counted ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "months", "before"),
    [
        ("2026-03-02", 12, "2025-03-02"),
        ("2028-02-29", 12, "2027-02-28"),
        ("2026-03-31", 1, "2026-02-28"),
        ("2026-01-15", 1, "2025-12-15"),
        ("2026-12-31", 6, "2026-06-30"),
    ],
)
def test_rolling_months_are_calendar_months(at, months, before):
    day = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (at, before)]
    assert strikes.months_before(day[0], months) == day[1]


def test_the_last_step_that_the_count_reaches_applies():
    steps = (Step(2, ("cash_only",), 30), Step(4, ("closing_only",), 90))
    schedule = StrikeSchedule("s", steps)
    assert [schedule.step(count) for count in (1, 2, 3, 4, 9)] == [None, steps[0], steps[0], steps[1], steps[1]]


# --- recorded ---------------------------------------------------------------------------------------


def issued(account, version, *, at, regime="reg_t"):
    outcome = calls.carry_out([rows.issue(account, version, at=at, regime=regime)], at=at, actor=rows.SWEEPER)[0]
    assert outcome.error is None
    return MarginCall.objects.get(pk=outcome.call_id)


def late(account, version, *, at, regime="reg_t"):
    """A call that was due two days after `at` and is met on the third by the market."""
    call = issued(account, version, at=at, regime=regime)
    calls.notified([call.pk], at=at, actor=rows.SWEEPER)
    call = calls.escalate(call, cause=Cause.DEADLINE, at=at + days(2), actor=rows.SWEEPER)
    calls.meet(call, how=Resolution.MARKET, at=at + days(3), actor=rows.SWEEPER)
    consequences.settle(at=at + days(3), actor=CLOCKWORK)


def liquidated(account, version, *, at):
    call = issued(account, version, at=at, regime="portfolio")
    call = calls.escalate(call, cause=Cause.SEVERITY, at=at, actor=rows.SWEEPER)
    plan = house.plan(call, rows.equity("AIG"))
    second = rows.staff("ria", "Risk").user_id
    Approval.objects.create(
        plan=plan, content_hash=plan.content_hash, creator=0, approver_id=second, approved_at=rows.AT
    )
    Plan.objects.filter(pk=plan.pk).update(state="approved")
    sold(plan, at=at)
    calls.liquidate(call, residual=Decimal(0), at=at, actor=rows.SWEEPER)
    Order.objects.filter(release=plan.pk).update(state="filled")
    Plan.objects.filter(pk=plan.pk).update(state="done")
    consequences.settle(at=at, actor=CLOCKWORK)


def policy(*schedules):
    regimes = [{**world.HOUSE, "regime": name} for name in ("house", "reg_t", "portfolio")]
    return rows.policy("us_margin", {**world.securities(*regimes), "strikes": list(schedules)})


def in_force(account, at):
    return sorted(row.effect for row in restrictions.in_force(account, at=at))


@pytest.mark.django_db
def test_a_broker_s_ladder_of_strikes_climbs_with_each_late_call():
    account, version = rows.account(), policy(OPTIONSHOUSE)
    late(account, version, at=AT)
    assert (Strike.objects.get().kind, in_force(account, AT + days(3))) == ("late", [])
    late(account, version, at=AT + days(10))
    assert in_force(account, AT + days(13)) == ["higher_requirements"]
    assert Restriction.objects.get().ends_at == AT + days(13 + 30)
    late(account, version, at=AT + days(20))
    assert max(row.ends_at for row in Restriction.objects.all()) == AT + days(23 + 90)
    late(account, version, at=AT + days(30))
    assert in_force(account, AT + days(33)) == [
        *("due_next_day", "higher_requirements", "higher_requirements", "liquidation_only"),
    ]
    assert Strike.objects.count() == 4
    assert restrictions.rebuilt(account) == restrictions.register(account)
    found = {name for name, broken in invariants.check().items() if broken and "notice" not in name}
    assert {name for name in found if not name.startswith("I13")} == set()  # no sweep runs here


@pytest.mark.django_db
def test_a_strike_is_recorded_once_however_often_it_is_looked_for():
    account, version = rows.account(), policy(OPTIONSHOUSE)
    late(account, version, at=AT)
    assert consequences.settle(at=AT + days(4), actor=CLOCKWORK) == {}
    assert Event.objects.filter(kind="strike.recorded").count() == 1


@pytest.mark.django_db
def test_strikes_of_another_regime_and_older_than_twelve_months_do_not_count():
    account, version = rows.account(), policy(OPTIONSHOUSE)
    late(account, version, at=AT)
    late(account, version, at=AT + days(10), regime="house")
    late(account, version, at=AT + days(366))
    assert Strike.objects.count() == 2  # no schedule counts the house call
    assert in_force(account, AT + days(369)) == []


@pytest.mark.django_db
def test_the_third_liquidation_in_a_year_leaves_funds_on_hand_for_ninety_days_unless_two_officers_waive():
    account, version = rows.account(), policy(FINRA)
    for month in (0, 100, 200):
        assert in_force(account, AT + days(month)) == []
        liquidated(account, version, at=AT + days(month))
    row = Restriction.objects.get()
    assert (row.effect, row.ends_at, row.origin) == ("funds_on_hand", AT + days(290), "strike")
    at = AT + days(201)
    waiver = strikes.waive(row, reason="bad price, see file", at=at, actor=rows.staff("cora", "Compliance"))
    assert in_force(account, at) == ["funds_on_hand"]
    strikes.decide(waiver, is_granted=True, reason="agreed", at=at, actor=rows.staff("carl", "Compliance"))
    assert in_force(account, at) == []
    consequences.settle(at=at, actor=CLOCKWORK)
    assert in_force(account, at) == []
    liquidated(account, version, at=AT + days(210))  # the next one is not waived
    assert in_force(account, AT + days(210)) == ["funds_on_hand"]


@pytest.mark.django_db
def test_money_in_time_is_seen_in_the_cures_of_a_call_that_a_later_sweep_met():
    account, version = rows.account(), policy(OPTIONSHOUSE)
    call = issued(account, version, at=AT)
    calls.notified([call.pk], at=AT, actor=rows.SWEEPER)
    call = calls.escalate(call, cause=Cause.SEVERITY, at=AT, actor=rows.SWEEPER)
    money = CashMovement.objects.create(
        account=account, currency=rows.cash(), kind="deposit", amount=100, source="bank", external_reference="D",
        effective_at=AT + days(2),
    )  # fmt: skip
    cure = {"kind": "cash", "movement_id": money.pk, "used": Decimal(100), "release": Decimal(100)}
    move = calls.Move(
        verb=calls.Verb.CURE,
        account_id=account.pk,
        call_id=call.pk,
        cure=cure,
        changes={"amount_outstanding": Decimal(0)},
    )
    assert calls.carry_out([move], at=AT + days(3), actor=rows.SWEEPER)[0].is_done
    calls.meet(call, how=Resolution.CASH, at=AT + days(3), actor=rows.SWEEPER)
    assert consequences.settle(at=AT + days(3), actor=CLOCKWORK) == {}


@pytest.mark.django_db
def test_the_database_keeps_strikes_and_refuses_one_without_its_event_and_closed_call():
    account, version = rows.account(), policy(OPTIONSHOUSE)
    late(account, version, at=AT)
    open_call = issued(account, version, at=AT + days(9))
    details = {"call": open_call.pk, "kind": "late", "regime": "reg_t"}
    told = calls.tell(account.pk, verb=calls.Verb.STRIKE, details=details, reason="x", at=AT + days(9), actor=CLOCKWORK)
    insert = (
        "INSERT INTO margin_strike (account_id, call_id, kind, regime, at, reason, seq)"
        " VALUES (%s, %s, 'late', 'reg_t', %s, 'x', %s)"
    )
    for statement, values in (
        ("UPDATE margin_strike SET kind = 'sold'", []),
        ("DELETE FROM margin_strike", []),
        (insert, [account.pk, open_call.pk, AT, told.seq]),
        (insert, [account.pk, open_call.pk, AT, 1]),
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, values)
