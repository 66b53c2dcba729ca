"""Deadlines by all the calendars of the world, and what moves them: days closed after the call was issued."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from margin import calls, due, history, policies, reschedules
from margin import rows as rows_of_the_door
from margin.actors import system
from margin.clocks import Clockwork
from margin.models import Event, MarginCall, Measure
from margin.workflow import Verb
from market import calendars, closures, cycles
from tests.margin import rows, world

AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)  # Monday, 10:00 in New York
TWO_DAYS = {
    "unit": "business_days",
    "count": 2,
    "zone": "America/New_York",
    "calendar": "US-REGT",
    "cut_off": "15:00",
}
WEDNESDAY, THURSDAY, FRIDAY = (datetime(2026, 3, day, 20, 0, tzinfo=UTC) for day in (4, 5, 6))
ROBOT = system("calendars")


@pytest.fixture
def new_york(db):
    for code in ("US-REGT", "XTKS"):
        calendars.fill(code, date(2026, 1, 2), date(2026, 12, 31))


def terms(clock=TWO_DAYS, **more):
    return world.securities({**world.HOUSE, "clock": clock, **more})


def issued(version, *, key="", cover=None):
    """A call as the sweep would issue it at AT."""
    owner = rows.account()
    assessed = rows.assessment(owner, version)
    if cover is not None:
        figures = {"equity": 1, "requirement": 2, "restore_requirement": 2, "deficit": 1}
        Measure.objects.create(assessment=assessed, regime="house", cover=Decimal(cover), **figures)
    rule = policies.read(version).clocks["house"]
    bases = {due.TRADE_DATE: date.fromisoformat(key)} if key else {}
    deadline = Clockwork().due(rule, at=AT, bases=bases, cover=None if cover is None else Decimal(cover))
    move = rows.issue(owner, version, assessment_id=assessed.pk)
    move.changes.update(due_at=deadline.at, original_due_at=deadline.at, due_basis=deadline.basis[:200])
    outcome = calls.carry_out([calls.Move(**{**vars(move), "deficiency_key": key})], at=AT, actor=rows.SWEEPER)[0]
    assert outcome.error is None
    return MarginCall.objects.get(pk=outcome.call_id)


def run(at=AT + timedelta(hours=1)):
    outcomes = reschedules.reschedule(at=at, actor=ROBOT)
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    return len(outcomes)


def close(day, code="US-REGT"):
    closures.close_day(code, day, reason="National Day of Mourning, NYSE", source="test")


# --- reading the rule -------------------------------------------------------------------------------------------


def rule(**changes):
    return due.Rule.from_json({**TWO_DAYS, **changes})


def test_of_the_rules_that_bind_a_call_the_earliest_counts(new_york):
    brokers = rule(count=5, also=[{**TWO_DAYS, "base": "trade_date", "settlement": "US"}])
    # trade date Friday 27 February: T+1 and two days is Wednesday 4 March; the broker's five days would end on the 9th
    found = Clockwork().due(brokers, at=AT, bases={due.TRADE_DATE: date(2026, 2, 27)})
    assert found.at == WEDNESDAY
    assert found.basis == (
        "15:00 on the 3rd business day (US-REGT: settlement 1, and 2) after 2026-02-27, the earliest of 2 rules"
    )


def test_an_announced_cycle_counts_from_its_first_trade_date(new_york):
    cycles.record("US", effective_on=date(2026, 3, 2), days=0, source="a test's announcement")
    stated = rule(base="trade_date", settlement="US")
    assert Clockwork().due(stated, at=AT, bases={due.TRADE_DATE: date(2026, 2, 27)}).at == WEDNESDAY
    assert Clockwork().due(stated, at=AT, bases={due.TRADE_DATE: date(2026, 3, 2)}).at == WEDNESDAY


def test_a_trade_date_nobody_stated_is_not_guessed(new_york):
    with pytest.raises(due.BaseUnknown, match="trade date"):
        Clockwork().due(rule(base="trade_date"), at=AT)


@pytest.mark.parametrize(
    ("cover", "expected"),
    [
        ("0.95", datetime(2026, 3, 4, 2, 30, tzinfo=UTC)),  # 19 %: T+2 11:30 in Tokyo
        ("0.5", datetime(2026, 3, 4, 2, 30, tzinfo=UTC)),  # 10 % is not below 10 %
        ("0.49", datetime(2026, 3, 3, 2, 30, tzinfo=UTC)),  # below 10 % of 20 %: T+1 11:30
        (None, datetime(2026, 3, 4, 2, 30, tzinfo=UTC)),
    ],
)
def test_in_tokyo_a_ratio_below_ten_percent_is_due_a_day_sooner(new_york, cover, expected):
    tokyo = {"unit": "business_days", "zone": "Asia/Tokyo", "calendar": "XTKS", "cut_off": "11:30"}
    stated = due.Rule.from_json({**tokyo, "count": 2, "bands": [{"below": "0.5", "term": {**tokyo, "count": 1}}]})
    monday = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)  # 16:00 in Tokyo
    assert Clockwork().due(stated, at=monday, cover=cover and Decimal(cover)).at == expected


# --- a calendar changes -----------------------------------------------------------------------------------------


def test_a_day_closed_after_the_issue_moves_the_deadline_and_says_why(new_york):
    call = issued(rows.policy(terms=terms()))
    assert call.due_at == WEDNESDAY
    assert run() == 0  # nothing changed yet
    close(date(2026, 3, 4))
    assert run() == 1
    call.refresh_from_db()
    assert (call.due_at, call.original_due_at) == (THURSDAY, WEDNESDAY)
    event = Event.objects.get(call=call, kind=Verb.RESCHEDULE)
    said = rows_of_the_door.read(event)
    assert said["reason"] == "US-REGT 2026-03-04 closed: National Day of Mourning, NYSE"
    assert said["details"] == {"was": "2026-03-04T20:00:00Z"}
    assert len(event.body.encode()) < 1024
    assert run() == 0  # twice is once
    assert history.verify(call.account) == []


def test_a_day_opened_again_brings_the_deadline_back_and_the_client_is_told_before_it_counts(new_york):
    call = issued(rows.policy(terms=terms()))
    calls.notified([call.pk], at=AT, actor=rows.SWEEPER)
    close(date(2026, 3, 3))
    run()
    call.refresh_from_db()
    assert (call.due_at, call.notified_at) == (THURSDAY, AT)
    closures.open_day("US-REGT", date(2026, 3, 3), reason="called off", source="test")
    assert run() == 1
    call.refresh_from_db()
    assert (call.due_at, call.notified_at) == (WEDNESDAY, None)


def test_a_closed_day_after_the_deadline_or_in_another_calendar_moves_nothing(new_york):
    call = issued(rows.policy(terms=terms()))
    close(date(2026, 3, 5))
    close(date(2026, 3, 4), "XTKS")
    assert run() == 0
    call.refresh_from_db()
    assert call.due_at == WEDNESDAY


def test_hours_go_on_whatever_closes(new_york):
    issued(rows.policy(terms=terms({"unit": "hours", "count": 48})))
    close(date(2026, 3, 4))
    assert run() == 0


@pytest.mark.parametrize("verb", [Verb.EXTEND, Verb.ACCELERATE])
def test_what_people_moved_stays_where_they_put_it(new_york, verb):
    call = issued(rows.policy(terms=terms()))
    by_hand = AT + timedelta(days=1, hours=2)
    calls.make(calls.Move(verb, call.account_id, call_id=call.pk, changes={"due_at": by_hand}), at=AT, actor=ROBOT)
    close(date(2026, 3, 4))
    assert run() == 0
    call.refresh_from_db()
    assert call.due_at == by_hand


def test_a_deadline_that_passed_or_would_by_the_change_stays(new_york):
    call = issued(rows.policy(terms=terms()))
    close(date(2026, 3, 3))
    assert run(at=WEDNESDAY) == 0  # it had passed when the news came
    assert run() == 1
    closures.open_day("US-REGT", date(2026, 3, 3), reason="called off", source="test")
    assert run(at=WEDNESDAY + timedelta(minutes=1)) == 0  # back on Wednesday it would be past: Thursday holds
    call.refresh_from_db()
    assert call.due_at == THURSDAY


def test_a_call_dated_otherwise_than_by_its_rule_is_left_alone(new_york):
    version = rows.policy(terms=terms())
    owner = rows.account()
    move = rows.issue(owner, version, due_in=timedelta(days=2))  # 10:00, no cut-off of the rule
    assert calls.carry_out([move], at=AT, actor=rows.SWEEPER)[0].error is None
    close(date(2026, 3, 4))
    assert run() == 0


def test_a_call_of_a_trade_date_is_counted_from_it_again(new_york):
    version = rows.policy(terms=terms({**TWO_DAYS, "base": "trade_date", "settlement": "US"}))
    call = issued(version, key="2026-03-02")
    assert call.due_at == THURSDAY
    close(date(2026, 3, 4))
    assert run() == 1
    call.refresh_from_db()
    assert call.due_at == FRIDAY


def test_a_severe_call_keeps_the_clock_of_its_severity(new_york):
    one_day = {**TWO_DAYS, "count": 1}
    version = rows.policy(terms=terms({**TWO_DAYS, "count": 5, "bands": [{"below": "0.5", "term": one_day}]}))
    call = issued(version, cover="0.4")
    assert call.due_at == datetime(2026, 3, 3, 20, 0, tzinfo=UTC)
    close(date(2026, 3, 3))
    assert run() == 1
    call.refresh_from_db()
    assert call.due_at == WEDNESDAY


# --- publishing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "said"),
    [
        ({**TWO_DAYS, "calendar": "XLON"}, "no calendar 'XLON'"),
        ({**TWO_DAYS, "count": 300}, "known until 2026-12-31"),
        ({**TWO_DAYS, "bands": [{"below": "0.5", "term": {**TWO_DAYS, "count": 300}}]}, "known until 2026-12-31"),
        ({"unit": "hours", "count": 9, "also": [{**TWO_DAYS, "calendar": "XLON"}]}, "no calendar 'XLON'"),
        ({**TWO_DAYS, "settlement": "MARS"}, "settlement cycle of MARS"),
    ],
)
def test_a_clock_whose_calendar_ends_too_soon_is_not_published(new_york, clock, said):
    publisher = rows.staff("risk.three", "Risk")
    with pytest.raises(policies.BadTerms, match=said):
        policies.publish("p", terms=terms(clock), effective_at=AT, at=AT, actor=publisher)
    policies.publish("p", terms=terms(), effective_at=AT, at=AT, actor=publisher)


def test_a_clock_must_reach_from_the_day_on_which_it_takes_effect(new_york):
    publisher, late = rows.staff("risk.three", "Risk"), datetime(2026, 12, 30, 15, 0, tzinfo=UTC)
    with pytest.raises(policies.BadTerms, match="known until 2026-12-31"):
        policies.publish("p", terms=terms(), effective_at=late, at=AT, actor=publisher)
