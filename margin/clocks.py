"""When calls are due: a policy's rule, read with the calendars and settlement cycles that the market knows."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from margin import due
from margin.due import Due, Rule, Term
from market import calendars, closures, cycles

NOTHING_KNOWN: Mapping[str, datetime | date] = {}


class Clockwork:
    """Due instants by rule: the days of each calendar and each settlement cycle are read once.

    With `as_of`, calendars are read as they were before the closures and openings recorded since.
    """

    def __init__(self, *, as_of: datetime | None = None) -> None:
        self._as_of = as_of
        self._days: dict[str, calendars.Days] = {}
        self._cycles: dict[str, tuple[tuple[date, int], ...]] = {}

    def due(
        self,
        rule: Rule,
        *,
        at: datetime,
        bases: Mapping[str, datetime | date] = NOTHING_KNOWN,
        cover: Decimal | None = None,
    ) -> Due:
        """When a call issued at `at` is due: the earliest of the terms that bind it at this cover.

        `bases` says when the events happened that terms count from, by their names in `due.BASES`. Raises
        CalendarUnknown (due's, or the market's) and BaseUnknown: a due date is never guessed.
        """
        terms = rule.terms(cover)
        first = due.earliest(self._due(term, at, bases) for term in terms)
        return first if len(terms) == 1 else replace(first, basis=f"{first.basis}, the earliest of {len(terms)} rules")

    def _due(self, term: Term, at: datetime, bases: Mapping[str, datetime | date]) -> Due:
        if term.base == due.TRADE_DATE and term.base not in bases:
            raise due.BaseUnknown("the rule counts from the trade date, and nobody stated it")
        days = self._days_of(term.calendar) if term.calendar else None
        return due.due(
            term,
            base_at=bases.get(term.base, at),
            issued_at=at,
            business_days=days.dates if days else (),
            known_from=days.known_from if days else None,
            known_until=days.known_until if days else None,
            cycles=self._cycle_of(term.settlement) if term.settlement else (),
        )

    def _days_of(self, code: str) -> calendars.Days:
        if code not in self._days:
            days = calendars.business_days(code)
            made = closures.changes(code, since=self._as_of) if self._as_of else []
            self._days[code] = closures.before(days, made) if made else days
        return self._days[code]

    def _cycle_of(self, code: str) -> tuple[tuple[date, int], ...]:
        if code not in self._cycles:
            self._cycles[code] = cycles.known(code)
        return self._cycles[code]


def check_reach(rule: Rule, *, at: datetime) -> None:
    """Raise CalendarUnknown unless each term of the rule could date a call issued at `at`: found before, not then."""
    clockwork = Clockwork()
    for term in rule.every_term:
        plain = Rule(**{name: getattr(term, name) for name in Term.__dataclass_fields__})
        clockwork.due(plain, at=at, bases={due.TRADE_DATE: at.astimezone(ZoneInfo(term.zone)).date()})
