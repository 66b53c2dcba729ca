"""Due dates as a table: rule, base instant, expected instant, all reckoned by hand on a paper calendar."""

from datetime import UTC, date, datetime, timedelta

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
