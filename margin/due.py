"""When a call is due: a rule of the policy and the instant the clock started, to one instant in UTC.

Business days are given, with the day until which they are known; nothing is guessed beyond it. "By 15:00" is wall time
in a named zone, "24 hours" are elapsed hours. Pure: no Django, no clock.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from margin.engine import terms as reading

BUSINESS_DAYS = "business_days"
AUTHORITIES = ("broker", "examining_authority", "none")
_ELAPSED = {"hours": timedelta(hours=1), "minutes": timedelta(minutes=1)}
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


class CalendarUnknown(LookupError):
    """The calendar does not reach far enough; load more of it, then decide again."""


@dataclass(frozen=True)
class Rule:
    """A due-date rule, as a policy's JSON states it.

    `business_days`: by `cut_off` (wall time in `zone`) on the `count`-th business day of `calendar` after the base
    day. With `base_cut_off`, an event at or after that wall time, or on no business day, counts from the next business
    day. `hours` and `minutes`: so much elapsed time after the event; `zone` is only how it is told.
    The deadline is extended at most `most_extensions` times, by the broker, by the examining authority, or by nobody.
    """

    unit: str
    count: int
    zone: str = "UTC"
    calendar: str = ""
    cut_off: str = ""
    base_cut_off: str = ""
    extension_authority: str = "broker"
    most_extensions: int = 1
    may_be_accelerated: bool = True

    def __post_init__(self) -> None:
        if self.unit not in (BUSINESS_DAYS, *_ELAPSED):
            raise ValueError(f"unit must be {BUSINESS_DAYS}, {' or '.join(_ELAPSED)}, not {self.unit!r}")
        if self.extension_authority not in AUTHORITIES:
            raise ValueError(f"extension_authority must be one of {', '.join(AUTHORITIES)}")
        if self.count < 0 or self.most_extensions < 0:
            raise ValueError("count and most_extensions must not be negative")
        _zone(self.zone)
        if self.unit == BUSINESS_DAYS:
            if not self.calendar or not self.cut_off:
                raise ValueError("business_days need a calendar and a cut_off")
            for wall in filter(None, (self.cut_off, self.base_cut_off)):
                _time(wall)
        elif self.calendar or self.cut_off or self.base_cut_off or not self.count:
            raise ValueError(f"{self.unit} take a count above 0 and no calendar, cut_off or base_cut_off")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Rule":
        """A rule from a policy's JSON; ValueError naming the key."""
        return reading.read(cls, document, "clock")


@dataclass(frozen=True)
class Due:
    """When, where its wall time is told, and why then."""

    at: datetime  # UTC
    zone: str
    basis: str


def due(rule: Rule, *, base_at: datetime, business_days: Sequence[date] = (), known_until: date | None = None) -> Due:
    """When something that began at `base_at` (aware) is due: always later than `base_at`.

    `business_days` ascend and are complete up to `known_until`. Raises CalendarUnknown beyond it, and before the first
    of them.
    """
    if base_at.tzinfo is None:
        raise ValueError(f"base_at {base_at} has no time zone")
    if rule.unit in _ELAPSED:
        at = base_at.astimezone(UTC) + rule.count * _ELAPSED[rule.unit]
        return Due(at, rule.zone, f"{rule.count} {rule.unit} after {_told(base_at, rule.zone)}")
    zone = ZoneInfo(rule.zone)
    local = base_at.astimezone(zone)
    calendar = _Calendar(rule.calendar, business_days, known_until)
    start = _base_day(rule, local, calendar)
    at, days = _first_after(rule, base_at, start, calendar)
    basis = f"{rule.cut_off} on the {_ordinal(days)} business day ({rule.calendar}) after {start}"
    return Due(at, rule.zone, basis if days else f"{rule.cut_off} on {start}, a business day ({rule.calendar})")


def earliest(dues: Iterable[Due]) -> Due:
    """The first to fall due: what counts when rules collide. ValueError if there is none."""
    return min(dues, key=lambda one: one.at)


@dataclass(frozen=True)
class _Calendar:
    code: str
    days: Sequence[date]
    known_until: date | None

    def after(self, day: date, count: int) -> date:
        """The `count`-th business day after `day`."""
        first, last = (self.days[0], self.known_until or self.days[-1]) if self.days else (date.max, date.min)
        if day < first:
            raise CalendarUnknown(f"Calendar {self.code} is not known on {day}; load it from an earlier day")
        at = bisect_right(self.days, day) + count - 1
        if at >= len(self.days) or self.days[at] > last:
            raise CalendarUnknown(
                f"Calendar {self.code} is known until {last}, not {count} business days beyond {day}; load more of it"
            )
        return self.days[at]

    def is_open(self, day: date) -> bool:
        return self.after(day - timedelta(days=1), 1) == day if self.days and day > self.days[0] else day in self.days


def _base_day(rule: Rule, local: datetime, calendar: _Calendar) -> date:
    day = local.date()
    if rule.base_cut_off:
        is_late = local.time() >= _time(rule.base_cut_off)
        if is_late or not calendar.is_open(day):
            return calendar.after(day, 1)
    return day


def _first_after(rule: Rule, base_at: datetime, start: date, calendar: _Calendar) -> tuple[datetime, int]:
    """(instant, business days counted): at least rule.count of them, more if that instant is already past."""
    count = rule.count
    if count == 0 and not calendar.is_open(start):
        count = 1
    while True:
        day = calendar.after(start, count) if count else start
        at = _instant(day, _time(rule.cut_off), rule.zone)
        if at > base_at:
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
