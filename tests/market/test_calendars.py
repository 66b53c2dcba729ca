"""Sessions against published exchange and Federal Reserve schedules; trading time against a pencil."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from market import calendars, venues
from market.calendars import CalendarUnknown, TradingClock, microseconds
from market.models import Calendar, Session


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc]


def clock(*intervals: tuple[datetime, datetime], known: tuple[datetime, datetime]) -> TradingClock:
    return TradingClock(
        code="TEST",
        opens=np.array([microseconds(first) for first, _ in intervals], np.int64),
        closes=np.array([microseconds(last) for _, last in intervals], np.int64),
        known_from=microseconds(known[0]),
        known_until=microseconds(known[1]),
    )


# Two days from 14:30 to 21:00 UTC, the second a half day until 18:00.
WEEK = clock(
    (utc(2026, 11, 25, 14, 30), utc(2026, 11, 25, 21)),
    (utc(2026, 11, 27, 14, 30), utc(2026, 11, 27, 18)),
    known=(utc(2026, 11, 25), utc(2026, 11, 30)),
)


def elapsed(start: datetime, end: datetime, on: TradingClock = WEEK) -> float:
    return float(on.elapsed_seconds(microseconds(start), microseconds(end)))


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        (utc(2026, 11, 25, 15), utc(2026, 11, 25, 15, 10), 600),
        (utc(2026, 11, 25, 14), utc(2026, 11, 25, 14, 31), 60),
        (utc(2026, 11, 25, 20, 59), utc(2026, 11, 26, 3), 60),
        (utc(2026, 11, 25, 21), utc(2026, 11, 27, 14, 30), 0),  # the night and Thanksgiving do not count
        (utc(2026, 11, 25, 20, 59), utc(2026, 11, 27, 14, 31), 120),
        (utc(2026, 11, 25, 0), utc(2026, 11, 29, 0), 6.5 * 3600 + 3.5 * 3600),
        (utc(2026, 11, 27, 17), utc(2026, 11, 28, 17), 3600),  # the half day ends at 18:00
        (utc(2026, 11, 25, 16), utc(2026, 11, 25, 15), 0),
        (utc(2026, 11, 25, 15), utc(2026, 11, 25, 15, 0, 0, 250_000), 0.25),
    ],
)
def test_trading_time_counts_open_hours_only(start: datetime, end: datetime, seconds: float) -> None:
    assert elapsed(start, end) == seconds


def test_trading_time_is_vectorised() -> None:
    starts = np.array([microseconds(utc(2026, 11, 25, 15)), microseconds(utc(2026, 11, 25, 20, 59))])
    assert WEEK.elapsed_seconds(starts, microseconds(utc(2026, 11, 27, 14, 31))).tolist() == [6 * 3600 + 60, 120]


@pytest.mark.parametrize("instant", [utc(2026, 11, 24, 23, 59, 59), utc(2026, 11, 30), utc(2030, 1, 1)])
def test_beyond_what_is_known_the_clock_refuses_to_guess(instant: datetime) -> None:
    with pytest.raises(CalendarUnknown, match="calendar TEST is known from 2026-11-25 until 2026-11-30"):
        elapsed(min(instant, utc(2026, 11, 25, 15)), max(instant, utc(2026, 11, 25, 15)))
    with pytest.raises(CalendarUnknown):
        WEEK.is_open(microseconds(instant))


def test_the_opening_instant_is_open_and_the_closing_instant_is_not() -> None:
    instants = [
        utc(2026, 11, 25, 14, 29, 59),
        utc(2026, 11, 25, 14, 30),
        utc(2026, 11, 25, 20, 59, 59),
        utc(2026, 11, 25, 21),
    ]
    assert WEEK.is_open([microseconds(instant) for instant in instants]).tolist() == [False, True, True, False]


def test_around_the_clock_trading_time_is_elapsed_time() -> None:
    assert elapsed(utc(2026, 11, 21, 12), utc(2026, 11, 22, 12), calendars.ALWAYS) == 86400
    assert calendars.ALWAYS.is_open(microseconds(utc(2026, 12, 25))).all()


instants = st.datetimes(datetime(2026, 11, 25), datetime(2026, 11, 29, 23, 59), timezones=st.just(UTC))  # noqa: DTZ001


@given(instants, instants, instants)
def test_trading_time_adds_up_and_never_exceeds_elapsed_time(one: datetime, two: datetime, three: datetime) -> None:
    first, middle, last = sorted((one, two, three))
    whole = elapsed(first, last)
    assert whole == pytest.approx(elapsed(first, middle) + elapsed(middle, last), abs=1e-6)
    assert 0 <= whole <= (last - first).total_seconds()


# --- filled from the venues' own schedules ----------------------------------------------------------------


@pytest.fixture
def new_york(db: None) -> Calendar:
    calendars.fill("XNYS", date(2008, 1, 2), date(2008, 12, 31))
    return calendars.find("XNYS")


def session(code: str, on: date) -> Session:
    return Session.objects.get(calendar__code=code, on=on)


def test_sessions_follow_daylight_saving_time(new_york: Calendar) -> None:
    """New York changed on 2008-11-02: 09:30 was 13:30 UTC before and 14:30 UTC after."""
    assert session("XNYS", date(2008, 10, 31)).opens_at == utc(2008, 10, 31, 13, 30)
    assert session("XNYS", date(2008, 11, 3)).opens_at == utc(2008, 11, 3, 14, 30)
    assert session("XNYS", date(2008, 11, 3)).closes_at == utc(2008, 11, 3, 21)


def test_the_day_after_thanksgiving_is_a_half_day(new_york: Calendar) -> None:
    assert session("XNYS", date(2008, 11, 28)).closes_at == utc(2008, 11, 28, 18)
    assert not calendars.is_open("XNYS", utc(2008, 11, 28, 18))
    assert calendars.is_open("XNYS", utc(2008, 11, 28, 17, 59))


def test_2008_had_253_sessions_in_new_york(new_york: Calendar) -> None:
    assert len(calendars.business_days("XNYS").dates) == 253


def test_columbus_day_trades_but_neither_banks_nor_settles(new_york: Calendar) -> None:
    for code in ("US-BANK", "US-SETTLE"):
        calendars.fill(code, date(2008, 10, 1), date(2008, 11, 30))
    for holiday in (date(2008, 10, 13), date(2008, 11, 11)):  # Columbus Day, Veterans Day
        assert holiday in calendars.business_days("XNYS").dates
        assert holiday not in calendars.business_days("US-BANK").dates
        assert holiday not in calendars.business_days("US-SETTLE").dates
    assert date(2008, 10, 14) in calendars.business_days("US-SETTLE").dates


@pytest.mark.parametrize(
    ("year", "holidays"),
    [
        # Federal Reserve Bank Services, holiday schedules; Saturdays are not moved, Sundays are kept on Monday.
        (2008, "01-01 01-21 02-18 05-26 07-04 09-01 10-13 11-11 11-27 12-25"),
        (2022, "01-01 01-17 02-21 05-30 06-20 07-04 09-05 10-10 11-11 11-24 12-26"),
        (2023, "01-02 01-16 02-20 05-29 06-19 07-04 09-04 10-09 11-11 11-23 12-25"),
        (2026, "01-01 01-19 02-16 05-25 06-19 07-04 09-07 10-12 11-11 11-26 12-25"),
    ],
)
def test_the_reserve_banks_close_on_their_published_days(year: int, holidays: str) -> None:
    assert sorted(venues.reserve_holidays(year)) == [date.fromisoformat(f"{year}-{day}") for day in holidays.split()]


def test_tokyo_pauses_for_lunch(db: None) -> None:
    calendars.fill("XTKS", date(2026, 11, 16), date(2026, 11, 20))
    assert calendars.is_open("XTKS", utc(2026, 11, 20, 2, 29))  # 11:29 in Tokyo
    assert not calendars.is_open("XTKS", utc(2026, 11, 20, 3))  # noon
    assert calendars.is_open("XTKS", utc(2026, 11, 20, 3, 30))
    assert elapsed(utc(2026, 11, 20, 2, 29), utc(2026, 11, 20, 3, 31), calendars.clock("XTKS")) == 120


def test_a_quote_of_fridays_close_is_fresh_until_monday_opens(new_york: Calendar) -> None:
    friday, monday = utc(2008, 9, 26, 20), utc(2008, 9, 29, 13, 30)
    assert elapsed(friday, monday, calendars.clock("XNYS")) == 0
    assert elapsed(friday, monday + timedelta(minutes=16), calendars.clock("XNYS")) == 960


def test_beyond_what_was_loaded_a_calendar_raises(new_york: Calendar) -> None:
    assert calendars.business_days("XNYS").known_until == date(2008, 12, 31)
    with pytest.raises(CalendarUnknown, match="load_calendars XNYS"):
        calendars.is_open("XNYS", utc(2009, 1, 2, 15))
    with pytest.raises(CalendarUnknown):
        calendars.closing_instants("XNYS", [date(2009, 1, 2)])


def test_filling_again_adds_only_missing_days_and_leaves_no_hole(new_york: Calendar) -> None:
    Session.objects.filter(on=date(2008, 7, 3)).update(closes_at=utc(2008, 7, 3, 17))  # corrected by hand
    assert calendars.fill("XNYS", date(2008, 1, 2), date(2008, 12, 31)) == 0
    assert session("XNYS", date(2008, 7, 3)).closes_at == utc(2008, 7, 3, 17)
    added = calendars.fill("XNYS", date(2009, 6, 1), date(2009, 6, 30))
    assert added == 124  # January to June 2009 (20 + 19 + 22 + 21 + 20 + 22): the gap before June is filled too
    known = calendars.find("XNYS")
    assert (known.known_from, known.known_until) == (date(2008, 1, 2), date(2009, 6, 30))


def test_an_unknown_code_says_so(db: None) -> None:
    with pytest.raises(CalendarUnknown, match="neither a calendar of ours"):
        calendars.fill("XXXX", date(2026, 1, 1), date(2026, 12, 31))
    with pytest.raises(CalendarUnknown, match="load_calendars XNYS"):
        calendars.clock("XNYS")
    with pytest.raises(ValueError, match="lies before"):
        calendars.fill("24/7", date(2026, 2, 1), date(2026, 1, 1))


def test_a_calendar_that_never_closes_needs_no_sessions(db: None) -> None:
    assert calendars.fill("24/7", date(2026, 1, 1), date(2026, 1, 31)) == 0
    assert len(calendars.business_days("24/7").dates) == 31
    assert calendars.is_open("24/7", utc(2026, 1, 4, 3))
    with pytest.raises(CalendarUnknown):
        calendars.is_open("24/7", utc(2026, 2, 1))
    assert calendars.closing_instants("24/7", [date(2026, 1, 4)]) == {date(2026, 1, 4): utc(2026, 1, 5)}
    assert calendars.clocks()[None].always_open


def test_the_command_fills_and_may_run_again(db: None, capsys: Any) -> None:
    call_command("load_calendars", "XNYS", first="2026-11-01", until="2026-11-30")
    call_command("load_calendars", "XNYS", first="2026-11-01", until="2026-11-30")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("XNYS: 20 sessions added")
    assert said[1].startswith("XNYS: 0 sessions added")


@pytest.mark.parametrize("options", [{"until": "2036-01-01"}, {"until": "soon"}, {"first": "2026-02-30"}])
def test_the_command_refuses_to_guess_far_ahead(db: None, options: dict[str, str]) -> None:
    with pytest.raises(CommandError):
        call_command("load_calendars", "24/7", **options)


def test_pandas_is_imported_only_while_filling() -> None:
    script = (
        "import django, sys; django.setup(); import market.calendars, market.quotes; print('pandas' in sys.modules)"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "backoffice.settings", "PATH": ""}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "False", done.stderr


def test_the_command_loads_as_far_as_the_rules_were_compared(db: None, capsys: Any) -> None:
    call_command("load_calendars", "24/7", "US-BANK", first="2024-01-01", until="2035-12-31")
    assert calendars.find("US-BANK").known_until == date(2035, 12, 31)
    assert calendars.business_days("US-BANK").dates[-1] == date(2035, 12, 31)  # a Monday
