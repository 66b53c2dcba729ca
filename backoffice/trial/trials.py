"""The three trials: which book is played on which prices, and what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backoffice import invariants
from backoffice.trial import book_2008, book_btc, house, run, tables
from backoffice.trial.acts import NEW_YORK, Act, Book, Opens
from margin import history
from margin.models import Sweep

HALF_A_DAY, SECOND = timedelta(hours=12), timedelta(seconds=1)


def _new_york_day(at: datetime) -> str:
    return f"{at.astimezone(NEW_YORK):%Y-%m-%d}"


def _day_of_the_close(at: datetime) -> str:
    """A day of bitcoin closes at midnight; what follows until noon belongs to that close."""
    return f"{at.astimezone(UTC) - HALF_A_DAY:%Y-%m-%d}"


def _hour(at: datetime) -> str:
    """The hour of the minute that ends at the instant."""
    return f"{at.astimezone(UTC) - SECOND:%Y-%m-%d %H}h"


@dataclass(frozen=True)
class Trial:
    """A book, the acts it is played with, and how its instants are told in tables."""

    book: Book
    timeline: Callable[[Path], tuple[list[Act], Opens]]
    label: tables.Label


@dataclass(frozen=True)
class Report:
    """What a trial printed, and what verify_history and check_invariants found wrong: nothing, if all is well."""

    text: str
    faults: tuple[str, ...]


TRIALS = {
    "2008": Trial(book_2008.BOOK, book_2008.timeline, _new_york_day),
    "btc_days": Trial(book_btc.DAYS, book_btc.days, _day_of_the_close),
    "btc_minutes": Trial(book_btc.MINUTES, book_btc.minutes, _hour),
}


def carry_out(trial: Trial, folder: Path) -> Report:
    """Found the house, play every act and report. The database must be empty; no mail may leave it."""
    staff = house.found(trial.book)
    timeline, opens = trial.timeline(folder)
    run.play(timeline, run.Stage(staff, opens))
    return report(trial)


def report(trial: Trial) -> Report:
    """The tables of a trial that was played, and the verdict on its rows."""
    verdict = history.verify_all()
    found = invariants.check(at=Sweep.objects.latest("slot_at").slot_at)  # time stopped there
    faults = [*map(str, verdict.faults), *(f"{name}: {', '.join(rows)}" for name, rows in found.items() if rows)]
    parts = [
        f"## {trial.book.name}",
        tables.periods(trial.label),
        "### Calls",
        tables.calls(trial.label),
        "### Prices in quarantine",
        tables.quarantine(trial.label),
        f"verify_history: {'all chains are intact' if verdict.is_intact else f'{len(verdict.faults)} faults'}.",
        f"check_invariants: {'all hold' if not any(found.values()) else f'{sum(map(bool, found.values()))} broken'}.",
    ]
    return Report("\n\n".join(parts) + "\n", tuple(faults))
