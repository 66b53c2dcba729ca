"""What the desk's brain decides, as a table: one line a case. No database, no clock."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin import workflow
from margin.workflow import (
    TRANSITIONS,
    OpenCall,
    Resolution,
    Rule,
    Stacking,
    Standing,
    State,
    Verb,
    decide,
    decide_each,
)

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def standing(deficit="0", *, severe=False, warned=None, recovered=None, reconciled=True, new_terms=False) -> Standing:
    short = Decimal(deficit)
    warned = short > 0 if warned is None else warned
    return Standing(short, severe, warned, (not warned) if recovered is None else recovered, reconciled, new_terms)


def call(called="100", cured="0", *, outstanding=None, state=State.ISSUED, market=True, due=HOUR, told=True, **more):
    left = Decimal(outstanding) if outstanding is not None else Decimal(called) - Decimal(cured)
    return OpenCall(
        state=state,
        amount_called=Decimal(called),
        amount_outstanding=left,
        cured=Decimal(cured),
        tolerance=more.pop("tolerance", Decimal(0)),
        market_cures=market,
        due_at=NOW + due,
        notified_at=NOW - HOUR if told else None,
        provisionally_met_at=more.pop("met_since", None),
        has_open_plan=more.pop("plan", False),
        issued_at=more.pop("issued_at", NOW - 2 * HOUR),
        level=more.pop("level", 1 if state == State.ESCALATED else 0),
        **more,
    )


def told(decisions) -> list[str]:
    """Decisions in short: verb, amounts, cause or resolution."""
    return [
        " ".join(
            str(part)
            for part in (
                d.verb.name,
                d.amount_called,
                d.amount_outstanding,
                d.cause or d.resolution or d.reason,
                d.level,
            )
            if part not in (None, "")
        )
        for d in decisions
    ]


ESC, PAST, MINUTE, SOON = State.ESCALATED, -HOUR, timedelta(minutes=1), NOW + timedelta(minutes=1)
PAID, SOLD, BROUGHT = (frozenset({how}) for how in (Resolution.CASH, Resolution.SALE, Resolution.SECURITIES))
REMINDING = Rule(reminders=(24 * HOUR, HOUR, timedelta(0)))
LADDER = Rule(ladder=(HOUR, 24 * HOUR))
DWELL = Rule(dwell=timedelta(minutes=5))
WITHOUT_CALL = {
    "nothing wrong, nothing done": (standing(), False, Rule(), []),
    "a deficit is called": (standing("100"), False, Rule(), ["ISSUE 100 100"]),
    "a deficit that was warned of closes the warning": (standing("100"), True, Rule(), ["ISSUE 100 100", "CLEAR call"]),
    "de minimis is no call but a warning": (standing("9"), False, Rule(de_minimis=Decimal(10)), ["WARN"]),
    "exactly de minimis is no call": (standing("10"), True, Rule(de_minimis=Decimal(10)), []),
    "one cent more is": (standing("10.01"), False, Rule(de_minimis=Decimal(10)), ["ISSUE 10.01 10.01"]),
    "near a call is a warning": (standing(warned=True), False, Rule(), ["WARN"]),
    "warned once is enough": (standing(warned=True), True, Rule(), []),
    "better but not clear yet": (standing(warned=False, recovered=False), True, Rule(), []),
    "clear again": (standing(), True, Rule(), ["CLEAR recovery"]),
    "a policy without warnings": (standing(warned=True), False, Rule(warns=False), []),
    "a severe deficit is issued and escalated at once": (
        standing("100", severe=True), False, Rule(), ["ISSUE 100 100", "ESCALATE severity"],
    ),
    "nothing is cleared on a short book": (standing(reconciled=False), True, Rule(), []),
}  # fmt: skip
WITH_CALL = {
    "as before": (standing("100"), call(), Rule(), []),
    "paid in full": (standing(), call(cured="100", outstanding="100"), Rule(), ["MEET 0 cash"]),
    "paid in part": (standing("60"), call(cured="40", outstanding="100"), Rule(), ["CHANGE 100 60"]),
    "paid, but the market took more": (standing("30"), call(cured="100"), Rule(), ["CHANGE 130 30"]),
    "the market cured it": (standing(), call(), Rule(), ["MEET 0 market"]),
    "half paid, the market did the rest": (standing(), call(cured="50"), Rule(), ["MEET 0 mixed"]),
    "the client sold": (standing(), call(cured="100", cured_by=SOLD), Rule(), ["MEET 0 sale"]),
    "the client paid and sold": (standing(), call(cured="100", cured_by=SOLD | PAID), Rule(), ["MEET 0 mixed"]),
    "securities came in": (standing(), call(cured="100", cured_by=BROUGHT), Rule(), ["MEET 0 securities"]),
    "the house asks less than it did": (standing(new_terms=True), call(), Rule(), ["MEET 0 requirement_change"]),
    "a short book meets nothing": (standing(reconciled=False), call(), Rule(), []),
    "nor makes a call smaller": (standing("50", reconciled=False), call(), Rule(), []),
    "a change below one per cent is not written": (standing("99"), call(), Rule(), []),
    "one above it is": (standing("98.99"), call(), Rule(), ["CHANGE 100 98.99"]),
    "the market helps a little": (standing("70"), call(), Rule(), ["CHANGE 100 70"]),
    "a market cure dwells first": (standing(), call(), DWELL, ["PROVISIONALLY_MEET 0"]),
    "still dwelling": (standing(), call(met_since=NOW - timedelta(minutes=4)), DWELL, []),
    "dwelt long enough": (standing(), call(met_since=NOW - timedelta(minutes=5)), DWELL, ["MEET 0 market"]),
    "breached again while dwelling": (
        standing("20"), call(met_since=NOW - timedelta(minutes=1), outstanding="0"), DWELL, ["BREACH_AGAIN 20"],
    ),
    "money does not dwell": (standing(), call(cured="100"), DWELL, ["MEET 0 cash"]),
    "grown beyond the tolerance of growth": (standing("106"), call(), Rule(), ["CHANGE 106 106"]),
    "grown by exactly 5 %": (standing("105"), call(), Rule(), []),
    "the market does not cure this regime": (standing(), call(market=False), Rule(), []),
    "but money does": (standing(), call(market=False, cured="100"), Rule(), ["MEET 0 cash"]),
    "due and told": (standing("100"), call(due=PAST), Rule(), ["ESCALATE deadline"]),
    "due this instant": (standing("100"), call(due=timedelta(0)), Rule(), ["ESCALATE deadline"]),
    "due but never told": (standing("100"), call(due=PAST, told=False), Rule(), []),
    "severe, not due, not told": (standing("100", severe=True), call(told=False), Rule(), ["ESCALATE severity"]),
    "due but met": (standing(), call(due=PAST, cured="100"), Rule(), ["MEET 0 cash"]),
    "due, and the market alone does not cure": (
        standing(), call(due=PAST, market=False), Rule(), ["ESCALATE deadline"],
    ),
    "escalated once only": (standing("100"), call(state=ESC, due=PAST), Rule(), []),
    "escalated, the policy proposes": (standing("100"), call(state=ESC), Rule(proposes=True), ["PROPOSE"]),
    "a plan is open already": (standing("100"), call(state=ESC, plan=True), Rule(proposes=True), []),
    "a late payment still meets": (standing(), call(state=ESC, cured="100"), Rule(), ["MEET 0 cash"]),
    "the plan's fills were enough": (standing(), call(state=ESC, has_plan_fills=True), Rule(), ["LIQUIDATE 0"]),
    "a deposit after part of the plan": (
        standing(), call(state=ESC, cured="40", has_plan_fills=True, is_paid_after_fills=True), Rule(),
        ["MEET 0 mixed"],
    ),
    "a deposit before the plan's last fill": (
        standing(), call(state=ESC, cured="40", has_plan_fills=True), Rule(), ["LIQUIDATE 0"],
    ),
    "held, severe and due": (standing("100", severe=True), call(due=PAST, held_until=SOON), Rule(), []),
    "the hold ran out": (standing("100"), call(due=PAST, held_until=NOW), Rule(), ["ESCALATE deadline"]),
    "a payment is being checked": (standing("100"), call(due=PAST, paused_until=SOON), Rule(), []),
    "it is checked no longer": (standing("100"), call(due=PAST, paused_until=NOW), Rule(), ["ESCALATE deadline"]),
    "severe while a payment is checked": (
        standing("100", severe=True), call(paused_until=SOON), Rule(), ["ESCALATE severity"],
    ),
    "all of it is disputed and the clock stands": (
        standing("100"), call(due=PAST, disputed=Decimal(100), clock_stopped_at=NOW - HOUR), Rule(), [],
    ),
    "what is not disputed is due": (
        standing("100"), call(due=PAST, disputed=Decimal(60), clock_stopped_at=NOW - HOUR), Rule(),
        ["ESCALATE deadline"],
    ),
    "disputed, and the clock goes on": (
        standing("100"), call(due=PAST, disputed=Decimal(100)), Rule(), ["ESCALATE deadline"],
    ),
    "a reminder an hour before": (standing("100"), call(), REMINDING, ["REMIND"]),
    "reminded of that already": (standing("100"), call(reminded_at=NOW), REMINDING, []),
    "not yet": (standing("100"), call(due=HOUR + MINUTE), REMINDING, []),
    "issued less than an hour before": (standing("100"), call(issued_at=NOW), REMINDING, []),
    "never told: nothing to remind of": (standing("100"), call(told=False), REMINDING, []),
    "every half hour": (
        standing("100"), call(due=9 * HOUR, issued_at=NOW - HOUR), Rule(remind_every=HOUR / 2), ["REMIND"],
    ),
    "twenty minutes after the last": (
        standing("100"), call(due=9 * HOUR, issued_at=NOW - 50 * MINUTE, reminded_at=NOW - 20 * MINUTE),
        Rule(remind_every=HOUR / 2), [],
    ),
    "an hour after the escalation": (
        standing("100"), call(state=ESC, escalated_at=NOW - HOUR), LADDER, ["LEVEL 2"],
    ),
    "a minute less": (standing("100"), call(state=ESC, escalated_at=NOW - HOUR + MINUTE), LADDER, []),
    "a day after": (standing("100"), call(state=ESC, escalated_at=NOW - 24 * HOUR, level=2), LADDER, ["LEVEL 3"]),
    "severe climbs at once": (
        standing("100", severe=True), call(state=ESC, escalated_at=NOW), LADDER, ["LEVEL 3"],
    ),
    "held, nothing is proposed": (
        standing("100"), call(state=ESC, held_until=SOON), Rule(proposes=True), [],
    ),
    "nor while a payment is checked": (
        standing("100"), call(state=ESC, paused_until=SOON), Rule(proposes=True), [],
    ),
    "within the tolerance": (standing("0.50"), call(tolerance=Decimal(1)), Rule(), ["MEET 0 market"]),
    "a cent beyond it": (standing("1.01"), call("1.01", tolerance=Decimal(1)), Rule(), []),
}  # fmt: skip


@pytest.mark.parametrize(("now", "warned", "rule", "expected"), WITHOUT_CALL.values(), ids=WITHOUT_CALL.keys())
def test_without_a_call(now, warned, rule, expected):
    assert told(decide(now, None, is_warned_already=warned, rule=rule, at=NOW)) == expected


@pytest.mark.parametrize(("now", "opened", "rule", "expected"), WITH_CALL.values(), ids=WITH_CALL.keys())
def test_with_an_open_call(now, opened, rule, expected):
    assert told(decide(now, opened, is_warned_already=False, rule=rule, at=NOW)) == expected


LEGAL = {
    (None, State.ISSUED),
    (State.ISSUED, State.MET),
    (State.ISSUED, State.ESCALATED),
    (State.ISSUED, State.CANCELLED),
    (State.ESCALATED, State.MET),
    (State.ESCALATED, State.LIQUIDATED),
    (State.ESCALATED, State.CANCELLED),
}


@pytest.mark.parametrize(("before", "after"), list(product((None, *State), State)))
def test_a_call_moves_only_as_the_specification_says(before, after):
    assert (after in TRANSITIONS[before]) == ((before, after) in LEGAL)


def test_the_states_are_exactly_these():
    assert [state.value for state in State] == ["issued", "met", "escalated", "liquidated", "cancelled"]
    assert {State.ISSUED, State.ESCALATED} == set(workflow.OPEN_STATES)


amounts = st.decimals(min_value=0, max_value=1000, places=2)


@given(
    deficit=amounts, called=amounts, cured=amounts, severe=st.booleans(), market=st.booleans(),
    state=st.sampled_from([State.ISSUED, State.ESCALATED]), due=st.integers(-3, 3), filled=st.booleans(),
)  # fmt: skip
def test_whatever_comes_it_never_liquidates_unfilled_and_never_meets_while_short(
    deficit, called, cured, severe, market, state, due, filled
):
    opened = call(
        str(called), str(cured), outstanding="0", state=state, market=market, due=due * HOUR,
        has_plan_fills=filled,
    )  # fmt: skip
    verbs = [
        d.verb
        for d in decide(standing(str(deficit), severe=severe), opened, is_warned_already=False, rule=Rule(), at=NOW)
    ]
    assert Verb.ISSUE not in verbs
    if Verb.LIQUIDATE in verbs:
        assert filled
        assert state == State.ESCALATED
    if {Verb.MEET, Verb.LIQUIDATE} & set(verbs):
        assert deficit == 0
        assert market or called <= cured
    if Verb.ESCALATE in verbs:
        assert state == State.ISSUED
        assert severe or due <= 0


INCREMENTAL = Rule(stacking=Stacking.INCREMENTAL)


def placed(deficit, *calls, rule=INCREMENTAL):
    ruled = decide_each(standing(deficit), calls, is_warned_already=False, rule=rule, at=NOW)
    return [(place, told(decisions)) for place, decisions in ruled]


def test_an_increase_gets_a_call_of_its_own_where_the_policy_says_so():
    assert placed("140", call("100")) == [(0, []), (None, ["ISSUE 40 40"])]
    assert placed("140", call("100"), rule=Rule()) == [(0, ["CHANGE 140 140"])]
    assert placed("104", call("100")) == [(0, [])]  # within 5 % of what is called


def test_a_recovery_cures_the_youngest_call_first_and_no_part_is_called_twice():
    assert placed("110", call("100"), call("40")) == [(0, []), (1, ["CHANGE 40 10"])]
    assert placed("100", call("100"), call("40")) == [(0, []), (1, ["MEET 0 market"])]
    assert placed("60", call("100"), call("40")) == [(0, ["CHANGE 100 60"]), (1, ["MEET 0 market"])]


@given(deficit=amounts, called=st.lists(st.decimals(min_value=1, max_value=500, places=2), min_size=1, max_size=4))
def test_the_calls_of_a_regime_never_ask_for_more_than_its_deficit_together(deficit, called):
    calls = [call(str(one)) for one in called]
    ruled = decide_each(standing(str(deficit)), calls, is_warned_already=False, rule=INCREMENTAL, at=NOW)
    asked = Decimal(0)
    for place, decisions in ruled:
        stated = [d.amount_outstanding for d in decisions if d.amount_outstanding is not None]
        asked += stated[-1] if stated else calls[place].amount_outstanding if place is not None else 0
    assert asked <= deficit + sum(called) / 100  # what moved by less than 1 % is not written again
