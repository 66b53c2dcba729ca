"""Due dates from every day of 2024 to 2035 equal those counted on tables written from the holiday rules themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache

import pytest

from margin import due
from market import venues
from tests.engine import holiday_tables as tables

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Place:
    zone: str
    days: Callable[[], list[date]]
    to_utc: Callable[[date, time], datetime]


def exchange_and_bank_days() -> list[date]:
    return tables.business_days(tables.new_york, tables.reserve_banks)


PLACES = {
    "XNYS": Place("America/New_York", lambda: tables.business_days(tables.new_york), tables.new_york_utc),
    "US-REGT": Place("America/New_York", lambda: tables.business_days(tables.new_york), tables.new_york_utc),
    "US-BANK": Place("America/New_York", lambda: tables.business_days(tables.reserve_banks), tables.new_york_utc),
    "US-SETTLE": Place("America/New_York", exchange_and_bank_days, tables.new_york_utc),
    "XLON": Place("Europe/London", lambda: tables.business_days(tables.london), tables.london_utc),
    "UK-BANK": Place("Europe/London", lambda: tables.business_days(tables.london), tables.london_utc),
    "XTKS": Place("Asia/Tokyo", lambda: tables.business_days(tables.tokyo), tables.tokyo_utc),
    "JP-BANK": Place("Asia/Tokyo", lambda: tables.business_days(tables.tokyo), tables.tokyo_utc),
    "24/7": Place("UTC", tables.every_day, tables.utc),
}


@cache
def sessions(code: str) -> list[venues.Hours]:
    hours = venues.find(code, tables.FIRST).hours
    assert hours is not None
    return hours(tables.FIRST, venues.FARTHEST)


def loaded(code: str) -> tuple[date, ...]:
    """The business days as `calendars.fill` would load them."""
    return tuple(tables.every_day()) if code == "24/7" else tuple(session.on for session in sessions(code))


@pytest.mark.parametrize("code", PLACES)
def test_the_business_days_of_twelve_years_are_those_of_the_written_rules(code):
    found, expected = set(loaded(code)), set(PLACES[code].days())
    assert (sorted(found - expected), sorted(expected - found)) == ([], [])


@dataclass(frozen=True)
class Shape:
    """A rule of a calendar, and the wall time of the event it counts from."""

    calendar: str
    count: int
    cut_off: str
    base: str = "10:00"
    base_cut_off: str = ""


SHAPES = (
    *(Shape("US-REGT", count, "15:00") for count in range(1, 6)),
    *(Shape("XNYS", count, "15:00", base="16:00") for count in (0, 2)),
    Shape("US-BANK", 1, "18:00"),
    Shape("US-SETTLE", 2, "12:00"),
    *(Shape("XTKS", count, "11:30") for count in (1, 2)),
    Shape("XTKS", 2, "12:00", base="23:59"),
    *(Shape("XLON", 1, "13:00", base=base, base_cut_off="13:00") for base in ("12:59", "13:00")),
    Shape("UK-BANK", 2, "17:00", base="03:00"),
    *(Shape("24/7", count, "00:00", base="12:00") for count in (1, 3)),
)


def expected(shape: Shape, on: date, days: list[date], is_open: set[date]) -> datetime | None:
    """Counted with a finger on the table: None where the finger leaves it."""
    place, wall = PLACES[shape.calendar], time.fromisoformat(shape.cut_off)
    event = place.to_utc(on, time.fromisoformat(shape.base))
    day, left = on, shape.count
    if shape.base_cut_off and (shape.base >= shape.base_cut_off or on not in is_open):
        left += 1
    if left == 0 and on not in is_open:
        left = 1
    while True:
        while left:
            day += DAY
            if day > days[-1] and day > tables.LAST:
                return None
            left -= day in is_open
        if place.to_utc(day, wall) > event:
            return place.to_utc(day, wall)
        left = 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_start_day_of_twelve_years_is_due_by_the_table(shape):
    place, days = PLACES[shape.calendar], PLACES[shape.calendar].days()
    is_open, known = set(days), loaded(shape.calendar)
    rule = due.Rule("business_days", shape.count, place.zone, shape.calendar, shape.cut_off, shape.base_cut_off)
    wrong, compared, unknown = [], 0, 0
    for on in tables.every_day():
        event = place.to_utc(on, time.fromisoformat(shape.base))
        counted = expected(shape, on, days, is_open)
        stated = {"business_days": known, "known_from": tables.FIRST, "known_until": tables.LAST}
        if counted is None:
            with pytest.raises(due.CalendarUnknown):
                due.due(rule, base_at=event, **stated)
            unknown += 1
            continue
        found = due.due(rule, base_at=event, **stated).at
        compared += 1
        if found != counted:
            wrong.append((on, found, counted))
    assert wrong == []
    assert compared + unknown == 4383
    assert unknown <= 9


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/London", "Asia/Tokyo", "UTC"])
@pytest.mark.parametrize("hours", [24, 48, 72])
def test_hours_are_elapsed_from_every_day_of_twelve_years(zone, hours):
    rule = due.Rule("hours", hours, zone=zone)
    for on in tables.every_day():
        for wall in (time(0, 30), time(12)):
            event = tables.utc(on, wall)
            assert due.due(rule, base_at=event).at.timestamp() - event.timestamp() == hours * 3600


# --- closes -----------------------------------------------------------------------------------------------------


def new_york_close(on: date) -> time:
    """NYSE: 13:00 after Thanksgiving, and on 3 July and 24 December where they are trading days before the holiday."""
    thanksgiving = tables.nth(on.year, 11, tables.THU, 4)
    is_eve = (on.month, on.day) in ((7, 3), (12, 24))
    return time(13) if on == thanksgiving + DAY or is_eve else time(16)


def tokyo_close(on: date) -> time:
    return time(15, 30) if on >= date(2024, 11, 5) else time(15)  # JPX: 30 minutes longer from that day


def london_close(on: date) -> time:
    """LSE: 12:30 on the last trading day before Christmas and before New Year."""
    is_open = set(tables.business_days(tables.london))
    for holiday in (date(on.year, 12, 25), date(on.year + 1, 1, 1)):
        eve = holiday - DAY
        while eve not in is_open:
            eve -= DAY
        if on == eve:
            return time(12, 30)
    return time(16, 30)


@pytest.mark.parametrize(("code", "close"), [("XNYS", new_york_close), ("XTKS", tokyo_close), ("XLON", london_close)])
def test_half_days_close_early_and_are_whole_business_days(code, close):
    closes = [(session.on, session.closes_at) for session in sessions(code)]
    if code == "XLON":  # one close a year costs a table each: December holds them all
        assert {at for on, at in closes if on.month < 12} <= {PLACES[code].to_utc(on, time(16, 30)) for on, _ in closes}
        closes = [(on, at) for on, at in closes if on.month == 12 and on.day >= 20]
    assert [(on, at) for on, at in closes if at != PLACES[code].to_utc(on, close(on))] == []


# --- by pencil --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "count", "expected_on"),
    [
        (date(2027, 12, 30), 1, date(2027, 12, 31)),  # New Year 2028 is a Saturday: Friday trades
        (date(2027, 12, 31), 1, date(2028, 1, 3)),
        (date(2028, 2, 28), 1, date(2028, 2, 29)),
        (date(2032, 2, 27), 1, date(2032, 3, 1)),  # 29 February 2032 is a Sunday
        (date(2025, 1, 8), 1, date(2025, 1, 10)),  # the day of mourning
        (date(2026, 7, 2), 1, date(2026, 7, 6)),  # 4 July 2026 is a Saturday: Friday rests
    ],
)
def test_year_ends_and_leap_days_by_pencil(on, count, expected_on):
    rule = due.Rule("business_days", count, "America/New_York", "XNYS", "15:00")
    found = due.due(rule, base_at=tables.new_york_utc(on, time(10)), business_days=loaded("XNYS"))
    assert found.at == tables.new_york_utc(expected_on, time(15))
