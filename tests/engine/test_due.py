"""Due dates as a table: rule, base instant, expected instant, all reckoned by hand on a paper calendar."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from margin import due

# November 2024, New York: the 28th is Thanksgiving, the 29th a half day. Veterans Day (11 November) is a Reg T
# business day. Clocks go back on 3 November 2024 and forward on 9 March 2025.
NOVEMBER = tuple(
    date(2024, 10, 28) + timedelta(days=k)
    for k in range(40)
    if (date(2024, 10, 28) + timedelta(days=k)).weekday() < 5
    and date(2024, 10, 28) + timedelta(days=k) != date(2024, 11, 28)
)
KNOWN_UNTIL = date(2024, 12, 6)
SPRING = tuple(date(2025, 3, 3) + timedelta(days=k) for k in range(12))  # a calendar open at weekends too


def rule(count=1, cut_off="15:00", zone="America/New_York", **more):
    return due.Rule(unit="business_days", count=count, calendar="XNYS", cut_off=cut_off, zone=zone, **more)


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stated", "base_at", "expected"),
    [
        # Tuesday 5 November 10:00 New York; the third business day after it is Friday 8, 15:00 EST = 20:00 UTC
        pytest.param(rule(3), utc(2024, 11, 5, 15), utc(2024, 11, 8, 20), id="third business day"),
        # Friday 8 November: Veterans Day Monday 11 counts, so the second business day is Tuesday 12
        pytest.param(rule(2), utc(2024, 11, 8, 15), utc(2024, 11, 12, 20), id="veterans day counts"),
        # Wednesday 27 November: Thursday 28 is closed, Friday 29 is a half day but a business day, cut-off unchanged
        pytest.param(rule(1), utc(2024, 11, 27, 15), utc(2024, 11, 29, 20), id="a half day is a whole business day"),
        # Saturday 9 November: the first business day after it is Monday 11
        pytest.param(rule(1), utc(2024, 11, 9, 15), utc(2024, 11, 11, 20), id="from a weekend"),
        # 04:30 UTC on the 6th is still the 5th in New York
        pytest.param(rule(1), utc(2024, 11, 6, 4, 30), utc(2024, 11, 6, 20), id="the base day is a local day"),
        # Friday 1 November 15:00 EDT = 19:00 UTC; Monday 4 November 15:00 EST = 20:00 UTC, across the change of clocks
        pytest.param(rule(1), utc(2024, 11, 1, 14), utc(2024, 11, 4, 20), id="wall time across the change of clocks"),
        # at 16:30 New York, past the base cut-off of 16:00: Tuesday's event counts from Wednesday, due Thursday
        pytest.param(rule(1, base_cut_off="16:00"), utc(2024, 11, 5, 21, 30), utc(2024, 11, 7, 20), id="late event"),
        pytest.param(rule(1, base_cut_off="16:00"), utc(2024, 11, 5, 21), utc(2024, 11, 7, 20), id="at the cut-off"),
        pytest.param(rule(1, base_cut_off="16:00"), utc(2024, 11, 5, 20, 59), utc(2024, 11, 6, 20), id="just before"),
        # Saturday's event counts from Monday under a rule with a base cut-off, due Tuesday
        pytest.param(rule(1, base_cut_off="16:00"), utc(2024, 11, 9, 15), utc(2024, 11, 12, 20), id="weekend event"),
        pytest.param(rule(0), utc(2024, 11, 5, 15), utc(2024, 11, 5, 20), id="same day"),
        pytest.param(rule(0), utc(2024, 11, 5, 20), utc(2024, 11, 6, 20), id="same day, already past"),
        pytest.param(rule(0), utc(2024, 11, 9, 15), utc(2024, 11, 11, 20), id="same day, but a Saturday"),
        # Tuesday 00:30 UTC is Tuesday 09:30 in Tokyo; Thursday 11:30 JST is 02:30 UTC
        pytest.param(rule(2, "11:30", "Asia/Tokyo"), utc(2024, 11, 5, 0, 30), utc(2024, 11, 7, 2, 30), id="tokyo"),
    ],
)
def test_business_days_end_at_the_wall_time_of_the_named_zone(stated, base_at, expected):
    found = due.due(stated, base_at=base_at, business_days=NOVEMBER, known_until=KNOWN_UNTIL)
    assert found.at == expected
    assert found.at.utcoffset() == timedelta(0)
    assert found.zone == stated.zone


def test_a_wall_time_that_the_clocks_skip_moves_forward_by_the_gap():
    # 9 March 2025, 02:00 → 03:00 in New York: 02:30 EST would be 07:30 UTC, which reads 03:30 EDT
    found = due.due(rule(1, "02:30"), base_at=utc(2025, 3, 8, 12), business_days=SPRING, known_until=SPRING[-1])
    assert found.at == utc(2025, 3, 9, 7, 30)


def test_of_a_wall_time_that_happens_twice_the_later_counts():
    # 3 November 2024, 01:30 happens at 05:30 UTC (EDT) and at 06:30 UTC (EST)
    days = (date(2024, 11, 1), date(2024, 11, 2), date(2024, 11, 3))
    found = due.due(rule(1, "01:30"), base_at=utc(2024, 11, 2, 12), business_days=days, known_until=days[-1])
    assert found.at == utc(2024, 11, 3, 6, 30)


@pytest.mark.parametrize("base_at", [utc(2024, 11, 2, 12), utc(2025, 3, 8, 12)])
def test_hours_are_elapsed_hours_whatever_the_clocks_do(base_at):
    found = due.due(due.Rule("hours", 24, zone="America/New_York"), base_at=base_at)
    assert found.at == base_at + timedelta(hours=24)


def test_minutes_are_elapsed_minutes():
    assert due.due(due.Rule("minutes", 90), base_at=utc(2024, 11, 2, 23, 15)).at == utc(2024, 11, 3, 0, 45)


@pytest.mark.parametrize("base_at", [utc(2024, 12, 6, 15), utc(2024, 12, 30, 15), utc(2024, 10, 1, 15)])
def test_beyond_the_known_calendar_nothing_is_guessed(base_at):
    with pytest.raises(due.CalendarUnknown, match="XNYS"):
        due.due(rule(1), base_at=base_at, business_days=NOVEMBER, known_until=KNOWN_UNTIL)


def test_an_empty_calendar_is_unknown():
    with pytest.raises(due.CalendarUnknown):
        due.due(rule(1), base_at=utc(2024, 11, 5, 15))


def test_days_after_known_until_do_not_count():
    with pytest.raises(due.CalendarUnknown):
        due.due(rule(3), base_at=utc(2024, 11, 5, 15), business_days=NOVEMBER, known_until=date(2024, 11, 7))


def test_the_earliest_counts_when_rules_collide():
    regulation = due.due(rule(3), base_at=utc(2024, 11, 5, 15), business_days=NOVEMBER, known_until=KNOWN_UNTIL)
    house = due.due(due.Rule("hours", 24), base_at=utc(2024, 11, 5, 15))
    assert due.earliest([regulation, house]) is house


def test_the_basis_is_a_sentence():
    found = due.due(rule(3), base_at=utc(2024, 11, 5, 15), business_days=NOVEMBER, known_until=KNOWN_UNTIL)
    assert found.basis == "15:00 on the 3rd business day (XNYS) after 2024-11-05"
    assert due.due(due.Rule("hours", 24), base_at=utc(2024, 11, 5, 15)).basis == "24 hours after 2024-11-05 15:00 UTC"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"unit": "days", "count": 1}, "unit must be"),
        ({"unit": "hours", "count": 0}, "count above 0"),
        ({"unit": "hours", "count": -1}, "negative"),
        ({"unit": "hours", "count": "1"}, "count: a whole number"),
        ({"unit": "hours", "count": True}, "count: a whole number"),
        ({"unit": "hours"}, "count: missing"),
        ({"unit": "hours", "count": 1, "zone": "Mars/Olympus"}, "zone"),
        ({"unit": "hours", "count": 1, "zone": "../etc/passwd"}, "zone"),
        ({"unit": "hours", "count": 1, "cut_off": "15:00"}, "no calendar"),
        ({"unit": "business_days", "count": 1, "cut_off": "15:00"}, "calendar"),
        ({"unit": "business_days", "count": 1, "calendar": "XNYS"}, "cut_off"),
        ({"unit": "business_days", "count": 1, "calendar": "XNYS", "cut_off": "25:00"}, "wall time"),
        (
            {"unit": "business_days", "count": 1, "calendar": "XNYS", "cut_off": "15:00", "grace": 1},
            "grace: unknown key",
        ),
    ],
)
def test_a_bad_rule_is_refused_by_key(document, message):
    with pytest.raises(ValueError, match=message):
        due.Rule.from_json(document)


def test_a_base_instant_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        due.due(due.Rule("hours", 1), base_at=datetime(2024, 11, 5))  # noqa: DTZ001


# --- severities, settlement cycles, base events -------------------------------------------------------------------

# Weekdays around Labor Day 2017 (Monday 4 September), the first day of T+2 being the 5th.
SEPTEMBER = tuple(
    day for k in range(26) if (day := date(2017, 8, 28) + timedelta(days=k)).weekday() < 5 and day != date(2017, 9, 4)
)
CYCLES = ((date(1995, 6, 7), 3), (date(2017, 9, 5), 2))


@pytest.mark.parametrize(
    ("trade_date", "expected_day"),
    [
        (date(2017, 9, 1), 11),  # Friday: T+3 and two is the fifth business day, 5 6 7 8 11 September
        (date(2017, 9, 4), 11),  # no trade date, but T+3 was still in force
        (date(2017, 9, 5), 11),  # T+2 and two: 6 7 8 11 September, the very day that Friday's trades had
    ],
)
def test_the_payment_period_is_the_settlement_cycle_of_the_trade_date_and_two_days(trade_date, expected_day):
    stated = rule(2, base="trade_date", settlement="US")
    known = {"business_days": SEPTEMBER, "known_until": date(2017, 9, 22), "cycles": CYCLES}
    found = due.due(stated, base_at=trade_date, issued_at=utc(2017, 9, 5, 21), **known)
    assert found.at == utc(2017, 9, expected_day, 19)


def test_before_the_first_known_cycle_nothing_is_guessed():
    stated = rule(2, base="trade_date", settlement="US")
    with pytest.raises(due.CalendarUnknown, match="settlement cycle of US"):
        due.due(stated, base_at=date(2017, 9, 1), issued_at=utc(2017, 9, 1, 21), business_days=SEPTEMBER)


def test_a_call_issued_after_its_deadline_has_the_next_cut_off():
    # trade date Friday 1 November 2024, T+1 was Monday; issued on Tuesday at 16:00 New York: Wednesday 15:00
    stated = rule(1, base="trade_date")
    found = due.due(stated, base_at=date(2024, 11, 1), issued_at=utc(2024, 11, 5, 21), business_days=NOVEMBER)
    assert found.at == utc(2024, 11, 6, 20)


def test_elapsed_time_that_is_over_at_the_issue_leaves_a_minute():
    stated, noon = due.Rule("hours", 24, base="deficiency_date"), utc(2024, 11, 5, 12)
    late = noon + timedelta(hours=30)
    assert due.due(stated, base_at=noon, issued_at=late).at == late + timedelta(minutes=1)
    assert due.due(stated, base_at=noon, issued_at=noon + timedelta(hours=1)).at == noon + timedelta(hours=24)


def test_a_bare_day_needs_the_instant_of_the_issue():
    with pytest.raises(ValueError, match="instant it was issued"):
        due.due(rule(1, base="trade_date"), base_at=date(2024, 11, 5), business_days=NOVEMBER)
    with pytest.raises(ValueError, match="from an instant"):
        due.due(due.Rule("hours", 1), base_at=date(2024, 11, 5), issued_at=utc(2024, 11, 5, 12))


def test_a_demand_before_the_notification_time_is_due_the_next_day_and_a_later_one_the_day_after():
    # CSA: by 13:00 London counts today. Friday 8 November 12:59 is due Monday 17:00, 13:00 is due Tuesday
    stated = rule(1, "17:00", "Europe/London", base="demand_received", base_cut_off="13:00")
    known = {"business_days": NOVEMBER, "known_until": KNOWN_UNTIL}
    assert due.due(stated, base_at=utc(2024, 11, 8, 12, 59), **known).at == utc(2024, 11, 11, 17)
    assert due.due(stated, base_at=utc(2024, 11, 8, 13), **known).at == utc(2024, 11, 12, 17)


def test_a_calendar_known_from_a_holiday_is_known_on_it():
    days = (date(2024, 1, 2), date(2024, 1, 3))
    known = {"business_days": days, "known_from": date(2024, 1, 1), "known_until": date(2024, 1, 3)}
    assert due.due(rule(1), base_at=utc(2024, 1, 1, 15), **known).at == utc(2024, 1, 2, 20)
    with pytest.raises(due.CalendarUnknown):
        due.due(rule(1), base_at=utc(2023, 12, 31, 15), **known)


def test_the_narrowest_severity_that_fits_replaces_the_rule_and_the_others_still_bind():
    one, two, regulation = due.Term("hours", 1), due.Term("hours", 2), due.Term("hours", 72)
    bands = (due.Band(Decimal("0.25"), one), due.Band(Decimal("0.5"), two))
    stated = due.Rule("hours", 24, bands=bands, also=(regulation,))
    assert stated.terms(Decimal("0.24")) == (one, regulation)
    assert stated.terms(Decimal("0.25")) == (two, regulation)
    assert stated.terms(Decimal("0.5")) == (stated, regulation)
    assert stated.terms() == (stated, regulation)
    assert stated.every_term == (stated, one, two, regulation)
