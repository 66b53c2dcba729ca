"""When venues trade and which days count: sessions as rows, known until a stated day and never guessed beyond it.

`market.venues` says where the rows come from and which codes exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction

from market import venues
from market.models import Calendar, Session
from market.venues import CalendarUnknown

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

Micros = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Days:
    """The business days of a calendar, ascending; nothing is known before `known_from` or after `known_until`."""

    dates: tuple[date, ...]
    known_from: date
    known_until: date


def microseconds(at: datetime) -> int:
    """Microseconds since 1970 UTC, exactly."""
    return (at - EPOCH) // MICROSECOND


@dataclass(frozen=True)
class TradingClock:
    """How much trading time passes between two instants. Pure: sorted, disjoint open intervals in microseconds.

    `opens` and `closes` are empty for a calendar that never closes; outside [known_from, known_until) it knows nothing.
    """

    code: str
    opens: Micros
    closes: Micros
    known_from: int
    known_until: int
    always_open: bool = False

    def elapsed_seconds(self, start: npt.ArrayLike, end: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Trading seconds from `start` to `end`, elementwise, both in microseconds since 1970; 0 where end ≤ start.

        Raises CalendarUnknown, naming the instant, if any lies outside what the calendar knows.
        """
        first, last = np.broadcast_arrays(np.asarray(start, np.int64), np.asarray(end, np.int64))
        traded = self._traded(last) - self._traded(first)
        return np.maximum(traded, 0) / 1e6

    def is_open(self, at: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether trading goes on at these instants; the opening instant counts, the closing one does not."""
        instants = self._known(np.asarray(at, np.int64))
        if self.always_open:
            return np.ones(instants.shape, np.bool_)
        place = np.searchsorted(self.opens, instants, side="right") - 1
        return (place >= 0) & (instants < self.closes[np.maximum(place, 0)]) if len(self.opens) else place >= 0

    def _traded(self, at: Micros) -> Micros:
        """Microseconds traded from the first known instant until `at`."""
        instants = self._known(at)
        if self.always_open:
            return instants - self.known_from
        before = np.concatenate(([0], np.cumsum(self.closes - self.opens)))
        place = np.searchsorted(self.opens, instants, side="right")
        if not len(self.opens):
            return np.zeros(instants.shape, np.int64)
        current = np.maximum(place - 1, 0)
        inside = np.clip(instants, self.opens[current], self.closes[current]) - self.opens[current]
        return np.where(place > 0, before[current] + inside, 0)

    def _known(self, at: Micros) -> Micros:
        unknown = (at < self.known_from) | (at >= self.known_until)
        if unknown.any():
            instant = EPOCH + int(np.atleast_1d(at)[np.atleast_1d(unknown)][0]) * MICROSECOND
            raise CalendarUnknown(
                f"calendar {self.code} is known from {EPOCH + self.known_from * MICROSECOND:%Y-%m-%d} until "
                f"{EPOCH + self.known_until * MICROSECOND:%Y-%m-%d}, not at {instant:%Y-%m-%d %H:%M} UTC; "
                f"run manage.py load_calendars {self.code}"
            )
        return at


# Around the clock, for instruments without a calendar.
ALWAYS = TradingClock(
    code="24/7",
    opens=np.empty(0, np.int64),
    closes=np.empty(0, np.int64),
    known_from=microseconds(datetime(1900, 1, 1, tzinfo=UTC)),
    known_until=microseconds(datetime(2200, 1, 1, tzinfo=UTC)),
    always_open=True,
)


# --- reading ------------------------------------------------------------------------------------------------


def find(code: str) -> Calendar:
    """The calendar of that code; raises CalendarUnknown if it was never loaded."""
    try:
        return Calendar.objects.get(code=code)
    except Calendar.DoesNotExist:
        raise CalendarUnknown(f"there is no calendar {code!r}; run manage.py load_calendars {code}") from None


# Instants as integers, gathered by the database: thousands of sessions come over in a few milliseconds.
CLOCKS = """
SELECT c.id, c.code, c.zone, c.always_open, c.known_from, c.known_until,
       array_agg((extract(epoch FROM s.opens_at) * 1000000)::bigint) FILTER (WHERE s.id IS NOT NULL),
       array_agg((extract(epoch FROM s.closes_at) * 1000000)::bigint) FILTER (WHERE s.id IS NOT NULL),
       array_agg((extract(epoch FROM s.break_ends_at) * 1000000)::bigint) FILTER (WHERE s.break_ends_at IS NOT NULL),
       array_agg((extract(epoch FROM s.break_starts_at) * 1000000)::bigint) FILTER (WHERE s.break_ends_at IS NOT NULL)
FROM market_calendar c LEFT JOIN market_session s ON s.calendar_id = c.id
GROUP BY c.id
"""


def clocks() -> dict[int | None, TradingClock]:
    """Every calendar's trading clock by its primary key, and under None the one that never stops (one query)."""
    found: dict[int | None, TradingClock] = {None: ALWAYS}
    with connection.cursor() as cursor:
        cursor.execute(CLOCKS)
        for pk, code, zone, always_open, first, last, opens, closes, resumes, pauses in cursor.fetchall():
            # A lunch break parts a session in two: trading closes where it starts and opens again where it ends.
            found[pk] = TradingClock(
                code=code,
                opens=np.sort(np.array([*(opens or ()), *(resumes or ())], np.int64)),
                closes=np.sort(np.array([*(closes or ()), *(pauses or ())], np.int64)),
                known_from=microseconds(_midnight(first, ZoneInfo(zone))),
                known_until=microseconds(_midnight(last + timedelta(days=1), ZoneInfo(zone))),
                always_open=always_open,
            )
    return found


def clock(code: str) -> TradingClock:
    """The trading clock of a calendar."""
    return clocks()[find(code).pk]


def is_open(code: str, at: datetime) -> bool:
    """Whether the venue trades at that instant; raises CalendarUnknown beyond what is loaded."""
    return bool(clock(code).is_open(microseconds(at)))


def business_days(code: str) -> Days:
    """The days on which the calendar is open; every day where it never closes."""
    calendar = find(code)
    if calendar.always_open:
        count = (calendar.known_until - calendar.known_from).days + 1
        dates = tuple(calendar.known_from + timedelta(days=day) for day in range(count))
    else:
        dates = tuple(calendar.sessions.order_by("on").values_list("on", flat=True))
    return Days(dates=dates, known_from=calendar.known_from, known_until=calendar.known_until)


def closing_instants(code: str | None, days: Sequence[date]) -> dict[date, datetime]:
    """When each of these days closes: the session's real close, or midnight UTC at the day's end around the clock.

    Days on which the venue is shut are absent. Raises CalendarUnknown for a day beyond what is loaded.
    """
    calendar = find(code) if code else None
    if calendar is None or calendar.always_open:
        return {on: datetime.combine(on, time(), UTC) + timedelta(days=1) for on in days}
    for on in days:
        if not calendar.known_from <= on <= calendar.known_until:
            raise CalendarUnknown(
                f"calendar {code} is known from {calendar.known_from} until {calendar.known_until}, not on {on}; "
                f"run manage.py load_calendars {code}"
            )
    found = calendar.sessions.filter(on__in=list(days)).values_list("on", "closes_at")
    return dict(found)


# --- filling ------------------------------------------------------------------------------------------------


@transaction.atomic
def fill(code: str, first: date, last: date) -> int:
    """Append the missing days of a calendar, making it known from `first` until `last`; return how many sessions came.

    Safe to run again. Days already known are never rewritten, and no hole is left between them and the new ones.
    """
    if last < first:
        raise ValueError(f"calendar {code}: the last day {last} lies before the first day {first}")
    source = venues.find(code, first)
    calendar = Calendar.objects.select_for_update().filter(code=code).first()
    if calendar is None:
        calendar = Calendar.objects.create(
            code=code,
            name=source.name,
            zone=source.zone,
            always_open=source.hours is None,
            known_from=first,
            known_until=last,
        )
        missing = [(first, last)]
    else:
        day = timedelta(days=1)
        spans = [(first, calendar.known_from - day), (calendar.known_until + day, last)]
        missing = [span for span in spans if span[0] <= span[1]]
        calendar.known_from, calendar.known_until = min(first, calendar.known_from), max(last, calendar.known_until)
        calendar.save(update_fields=["known_from", "known_until"])
    return sum(_append(calendar, source.hours(*span)) for span in missing) if source.hours else 0


def _append(calendar: Calendar, hours: list[venues.Hours]) -> int:
    """Insert the sessions the calendar lacks; a day that exists stays as it is."""
    columns: list[list[Any]] = [
        [session.on for session in hours],
        [session.opens_at for session in hours],
        [session.closes_at for session in hours],
        [session.break_starts_at for session in hours],
        [session.break_ends_at for session in hours],
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {Session._meta.db_table}"  # noqa: S608 - a table's name of ours
            ' (calendar_id, "on", opens_at, closes_at, break_starts_at, break_ends_at)'
            " SELECT %s, * FROM unnest(%s::date[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[],"
            ' %s::timestamptz[]) ON CONFLICT (calendar_id, "on") DO NOTHING',
            [calendar.pk, *columns],
        )
        return int(cursor.rowcount)


def _midnight(on: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(on, time(), zone).astimezone(UTC)
