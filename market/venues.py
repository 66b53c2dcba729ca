"""Where calendars come from: the trading hours that venues and central banks publish. Pure.

Codes: "24/7" never closes; "US-BANK" are the days of the Federal Reserve; "US-SETTLE" the days on which US securities
settle; "US-REGT" the business days of Regulation T and FINRA's margin rules, on which the exchanges trade even where
banks rest (Columbus Day, Veterans Day); "UK-BANK" and "JP-BANK" the days of banks in London and Tokyo. Every other code
is a venue of exchange-calendars ("XNYS", "XTKS"), imported here alone and only when asked, because it brings pandas.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
SATURDAY, SUNDAY = 5, 6
SPARE = timedelta(days=14)
# As far as the rules behind our sources were compared with a table of our own. Days to come are projections by rule:
# venues publish two or three years ahead, Japan its equinoxes each February for the next year.
FARTHEST = date(2035, 12, 31)


class CalendarUnknown(LookupError):
    """The calendar does not know that day, or nobody knows the calendar; `manage.py load_calendars` loads more."""


@dataclass(frozen=True)
class Hours:
    """One day's session as its source states it, before it becomes a row."""

    on: date
    opens_at: datetime
    closes_at: datetime
    break_starts_at: datetime | None = None
    break_ends_at: datetime | None = None


@dataclass(frozen=True)
class Source:
    """`hours` gives the sessions from one day to another, both included; None: the calendar never closes."""

    name: str
    zone: str
    hours: Callable[[date, date], list[Hours]] | None


def find(code: str, on: date) -> Source:
    """The source of a calendar around that day; raises CalendarUnknown for a code nobody knows."""
    if code in OURS:
        return OURS[code]
    import exchange_calendars

    try:
        venue = exchange_calendars.get_calendar(code, start=str(on - SPARE), end=str(on + SPARE))
    except exchange_calendars.errors.InvalidCalendarName:
        raise CalendarUnknown(f"{code!r} is neither a calendar of ours nor a venue of exchange-calendars") from None
    return Source(f"{code} trading hours", str(venue.tz), lambda first, last: venue_hours(code, first, last))


def venue_hours(code: str, first: date, last: date) -> list[Hours]:
    """The sessions of a venue from exchange-calendars, half days and lunch breaks included."""
    import exchange_calendars

    # The library refuses a span without any session, hence the spare days.
    venue = exchange_calendars.get_calendar(code, start=str(first - SPARE), end=str(last + SPARE))
    chosen = venue.schedule.loc[str(first) : str(last)]
    return [
        Hours(
            on=row.Index.date(),
            opens_at=row.open.to_pydatetime().astimezone(UTC),
            closes_at=row.close.to_pydatetime().astimezone(UTC),
            break_starts_at=_instant(row.break_start),
            break_ends_at=_instant(row.break_end),
        )
        for row in chosen.itertuples()
    ]


def _instant(stamp: Any) -> datetime | None:
    """A pandas Timestamp as an instant; its NaT, which differs from itself, as None."""
    return stamp.to_pydatetime().astimezone(UTC) if stamp == stamp else None  # noqa: PLR0124


def bank_hours(first: date, last: date) -> list[Hours]:
    """US bank days, each nominally 09:00 to 17:00 in New York."""
    holidays = {day for year in range(first.year, last.year + 1) for day in reserve_holidays(year)}
    span = (first + timedelta(days=day) for day in range((last - first).days + 1))
    return [_nine_to_five(on, NEW_YORK) for on in span if on.weekday() < SATURDAY and on not in holidays]


def settlement_hours(first: date, last: date) -> list[Hours]:
    """Days on which the exchange and the banks are open: Columbus Day trades but does not settle."""
    banking = {session.on for session in bank_hours(first, last)}
    return [session for session in venue_hours("XNYS", first, last) if session.on in banking]


def reserve_holidays(year: int) -> set[date]:
    """The days on which the Federal Reserve Banks are closed (Federal Reserve Bank Services, holiday schedules).

    A holiday on a Sunday is kept on Monday; one on a Saturday is not moved. Juneteenth counts since 2021.
    """
    fixed = [(1, 1), (7, 4), (11, 11), (12, 25)] + ([(6, 19)] if year >= 2021 else [])
    days = {_sunday_to_monday(date(year, month, day)) for month, day in fixed}
    days |= {_nth(year, 1, 0, 3), _nth(year, 2, 0, 3), _nth(year, 9, 0, 1), _nth(year, 10, 0, 2), _nth(year, 11, 3, 4)}
    last_of_may = date(year, 5, 31)
    return days | {last_of_may - timedelta(days=last_of_may.weekday())}


def _nth(year: int, month: int, weekday: int, count: int) -> date:
    """The third Monday of a month is `count` 3, `weekday` 0."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (count - 1))


def _sunday_to_monday(day: date) -> date:
    return day + timedelta(days=1) if day.weekday() == SUNDAY else day


def _days_of(venue: str, zone: str) -> Callable[[date, date], list[Hours]]:
    """The days of a venue, nominally from 09:00 to 17:00 there."""

    def hours(first: date, last: date) -> list[Hours]:
        return [_nine_to_five(session.on, ZoneInfo(zone)) for session in venue_hours(venue, first, last)]

    return hours


def _nine_to_five(on: date, zone: ZoneInfo) -> Hours:
    first, last = (datetime.combine(on, time(hour), zone).astimezone(UTC) for hour in (9, 17))
    return Hours(on=on, opens_at=first, closes_at=last)


# London's and Tokyo's banks rest on the days of their exchanges: bank holidays of England, which the London Stock
# Exchange keeps; Sundays, Saturdays, national holidays and 31 December to 3 January (Order for Enforcement of the
# Banking Act, Art. 5), which Tokyo's keeps too.
OURS = {
    "24/7": Source("Around the clock", "UTC", None),
    "US-BANK": Source("US banks (Federal Reserve)", NEW_YORK.key, bank_hours),
    "US-SETTLE": Source("US securities settlement", NEW_YORK.key, settlement_hours),
    "US-REGT": Source(
        "US Regulation T business days", NEW_YORK.key, lambda first, last: venue_hours("XNYS", first, last)
    ),
    "UK-BANK": Source("Banks in London", "Europe/London", _days_of("XLON", "Europe/London")),
    "JP-BANK": Source("Banks in Tokyo", "Asia/Tokyo", _days_of("XTKS", "Asia/Tokyo")),
}
