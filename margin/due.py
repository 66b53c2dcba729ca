"""When a call is due: a rule of the policy and the instants it counts from, to one instant in UTC.

Business days are given, with the days between which they are known; nothing is guessed beyond them. "By 15:00" is wall
time in a named zone, "24 hours" are elapsed hours. Where several terms bind one regime, the earliest counts. Pure: no
Django, no clock.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from margin.engine import terms as reading

BUSINESS_DAYS = "business_days"
ISSUE, TRADE_DATE, DEFICIENCY_DATE, DEMAND_RECEIVED = "issue", "trade_date", "deficiency_date", "demand_received"
BASES = (ISSUE, TRADE_DATE, DEFICIENCY_DATE, DEMAND_RECEIVED)
AUTHORITIES = ("broker", "examining_authority", "none")
_ELAPSED = {"hours": timedelta(hours=1), "minutes": timedelta(minutes=1)}
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}
AT_ONCE = timedelta(minutes=1)


class CalendarUnknown(LookupError):
    """The calendar or the settlement cycle does not reach far enough; load more of it, then decide again."""


class BaseUnknown(CalendarUnknown):
    """Nobody stated the event that the rule counts from, such as the trade date; state it, then decide again."""


@dataclass(frozen=True)
class Term:
    """One way of counting to a deadline, as a policy's JSON states it.

    `business_days`: by `cut_off` (wall time in `zone`) on the `count`-th business day of `calendar` after the base
    day. With `base_cut_off`, an event at or after that wall time, or on no business day, counts from the next business
    day. With `settlement`, the days of that market's cycle on the base day are added to `count`. `hours` and `minutes`:
    so much elapsed time after the event; `zone` is only how it is told. `base` names the event; the issue of the call
    stands for a deficiency or a demand of which nothing else is known, never for a trade date.
    """

    unit: str
    count: int
    zone: str = "UTC"
    calendar: str = ""
    cut_off: str = ""
    base_cut_off: str = ""
    base: str = ISSUE
    settlement: str = ""

    def __post_init__(self) -> None:
        if self.unit not in (BUSINESS_DAYS, *_ELAPSED):
            raise ValueError(f"unit must be {BUSINESS_DAYS}, {' or '.join(_ELAPSED)}, not {self.unit!r}")
        if self.base not in BASES:
            raise ValueError(f"base must be one of {', '.join(BASES)}, not {self.base!r}")
        if self.count < 0:
            raise ValueError("count must not be negative")
        _zone(self.zone)
        if self.unit == BUSINESS_DAYS:
            if not self.calendar or not self.cut_off:
                raise ValueError("business_days need a calendar and a cut_off")
            for wall in filter(None, (self.cut_off, self.base_cut_off)):
                _time(wall)
        elif self.calendar or self.cut_off or self.base_cut_off or self.settlement or not self.count:
            raise ValueError(f"{self.unit} take a count above 0 and no calendar, cut_off, base_cut_off or settlement")
        elif self.base == TRADE_DATE:
            raise ValueError(f"a trade date is a day: {self.unit} cannot be counted from it")


@dataclass(frozen=True)
class Band:
    """A severity with a clock of its own: it governs where cover (equity ÷ requirement) is below `below`."""

    below: Decimal
    term: Term


@dataclass(frozen=True)
class Rule(Term):
    """The due-date rule of a regime: its own term, those of severities, and others that bind it as well.

    The narrowest band that the cover at issue falls into replaces the rule's own term; `also` always competes, and the
    earliest deadline counts. It is extended at most `most_extensions` times, by the broker, by the examining
    authority, or by nobody.
    """

    extension_authority: str = "broker"
    most_extensions: int = 1
    may_be_accelerated: bool = True
    bands: tuple[Band, ...] = ()
    also: tuple[Term, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.extension_authority not in AUTHORITIES:
            raise ValueError(f"extension_authority must be one of {', '.join(AUTHORITIES)}")
        if self.most_extensions < 0:
            raise ValueError("most_extensions must not be negative")
        levels = [band.below for band in self.bands]
        if levels != sorted(set(levels)):
            raise ValueError("bands must rise: each `below` greater than the one before")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Rule":
        """A rule from a policy's JSON; ValueError naming the key."""
        return reading.read(cls, document, "clock")

    def terms(self, cover: Decimal | None = None) -> tuple[Term, ...]:
        """The terms that compete for a call issued at this cover; None: nobody measured it, so no band applies."""
        fitting = [band.term for band in self.bands if cover is not None and cover < band.below]
        return (fitting[0] if fitting else self, *self.also)

    @property
    def every_term(self) -> tuple[Term, ...]:
        """All terms that may ever count."""
        return (self, *(band.term for band in self.bands), *self.also)


@dataclass(frozen=True)
class Due:
    """When, where its wall time is told, and why then."""

    at: datetime  # UTC
    zone: str
    basis: str


def due(
    term: Term,
    *,
    base_at: datetime | date,
    issued_at: datetime | None = None,
    business_days: Sequence[date] = (),
    known_from: date | None = None,
    known_until: date | None = None,
    cycles: Sequence[tuple[date, int]] = (),
) -> Due:
    """When something is due that began at `base_at`: an aware instant, or a bare day such as a trade date.

    The answer is always later than `issued_at` (by default the base itself): a late call gets the next cut-off, and
    where elapsed time is over already, one minute. `business_days` ascend and are complete from `known_from` (by
    default the first of them) to `known_until` (the last). `cycles` are the settlement days by the day they took
    effect, ascending. Raises CalendarUnknown outside them.
    """
    issued = issued_at or base_at
    if not isinstance(issued, datetime):
        raise ValueError(f"a call that counts from the day {issued} needs the instant it was issued at")
    for instant in (base_at, issued):
        if isinstance(instant, datetime) and instant.tzinfo is None:
            raise ValueError(f"base_at {instant} has no time zone")
    if term.unit in _ELAPSED:
        return _after_elapsed(term, base_at, issued)
    calendar = _Calendar(term.calendar, business_days, known_from, known_until)
    start = _base_day(term, base_at, calendar)
    cycle = _cycle(term, start, cycles)
    at, days = _first_after(term, issued, start, term.count + (cycle or 0), calendar)
    settled = f": settlement {cycle}, and {term.count}" if cycle is not None else ""
    basis = f"{term.cut_off} on the {_ordinal(days)} business day ({term.calendar}{settled}) after {start}"
    return Due(at, term.zone, basis if days else f"{term.cut_off} on {start}, a business day ({term.calendar})")


def earliest(dues: Iterable[Due]) -> Due:
    """The first to fall due: what counts when rules collide. ValueError if there is none."""
    return min(dues, key=lambda one: one.at)


@dataclass(frozen=True)
class _Calendar:
    code: str
    days: Sequence[date]
    known_from: date | None
    known_until: date | None

    def after(self, day: date, count: int) -> date:
        """The `count`-th business day after `day`; count is at least 1."""
        last = self._check(day)
        at = bisect_right(self.days, day) + count - 1
        if at >= len(self.days) or self.days[at] > last:
            raise CalendarUnknown(
                f"Calendar {self.code} is known until {last}, not {count} business days beyond {day}; load more of it"
            )
        return self.days[at]

    def is_open(self, day: date) -> bool:
        last = self._check(day)
        if day > last:
            raise CalendarUnknown(f"Calendar {self.code} is known until {last}, not on {day}; load more of it")
        at = bisect_left(self.days, day)
        return at < len(self.days) and self.days[at] == day

    def _check(self, day: date) -> date:
        """The last known day. Raises CalendarUnknown for a day before the first."""
        if not self.days or day < (self.known_from or self.days[0]):
            raise CalendarUnknown(f"Calendar {self.code} is not known on {day}; load it from an earlier day")
        return self.known_until or self.days[-1]


def _after_elapsed(term: Term, base_at: datetime | date, issued: datetime) -> Due:
    if not isinstance(base_at, datetime):
        raise ValueError(f"{term.unit} are counted from an instant, not from the day {base_at}")
    at = max(base_at.astimezone(UTC) + term.count * _ELAPSED[term.unit], issued.astimezone(UTC) + AT_ONCE)
    return Due(at, term.zone, f"{term.count} {term.unit} after {_told(base_at, term.zone)}")


def _base_day(term: Term, base_at: datetime | date, calendar: _Calendar) -> date:
    if not isinstance(base_at, datetime):
        return base_at
    local = base_at.astimezone(ZoneInfo(term.zone))
    day = local.date()
    if term.base_cut_off:
        is_late = local.time() >= _time(term.base_cut_off)
        if is_late or not calendar.is_open(day):
            return calendar.after(day, 1)
    return day


def _cycle(term: Term, start: date, cycles: Sequence[tuple[date, int]]) -> int | None:
    """The days that trades of the base day take to settle; None where the term does not ask."""
    if not term.settlement:
        return None
    place = bisect_right(cycles, start, key=lambda cycle: cycle[0]) - 1
    if place < 0:
        raise CalendarUnknown(f"The settlement cycle of {term.settlement} is not known on {start}; record it")
    return cycles[place][1]


def _first_after(term: Term, issued: datetime, start: date, count: int, calendar: _Calendar) -> tuple[datetime, int]:
    """(instant, business days counted): at least `count` of them, more if that instant is already past."""
    if count == 0 and not calendar.is_open(start):
        count = 1
    while True:
        day = calendar.after(start, count) if count else start
        at = _instant(day, _time(term.cut_off), term.zone)
        if at > issued:
            return at, count
        count += 1


def _instant(day: date, wall: time, zone: str) -> datetime:
    """Wall time to UTC. A time skipped by the clocks moves forward by the gap; of a repeated one the later counts."""
    local = datetime.combine(day, wall, ZoneInfo(zone))
    first, second = local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
    return max(first, second)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"zone {name!r} is not an IANA time zone") from None


def _time(wall: str) -> time:
    try:
        return datetime.strptime(wall, "%H:%M").time()  # noqa: DTZ007  a wall time has no zone of its own
    except ValueError:
        raise ValueError(f"{wall!r} is not a wall time; write it as 15:00") from None


def _told(at: datetime, zone: str) -> str:
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone}"


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else _ORDINALS.get(number % 10, "th")
    return f"{number}{ending}"
