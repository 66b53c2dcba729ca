"""Would the margin have covered the losses? Rates that follow volatility, tested on past closes. docs/coverage.md.

For every history, model and option of EMIR article 28: on how many days the loss exceeded the rate that was known the
day before, what tests of coverage say to that, and how much the rate itself jumped about. Reads and computes only.
"""

import csv
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from margin.engine import adaptive, coverage, volatility
from margin.engine.adaptive import OPTIONS, Model
from margin.engine.columns import Array
from margin.engine.coverage import Moves, Verdict
from market import closes, strict
from market.models import Instrument

LONGEST_GAP = timedelta(days=30)  # a ticker that comes back after so long is another instrument
HORIZONS = (1, 5, 30)  # days over which the largest rise of a rate is told
POOLED = "all"


@dataclass(frozen=True)
class History:
    """Closes of one instrument, oldest first, one per day."""

    name: str
    days: tuple[date, ...]
    prices: Array  # float64, in the units of the last day


@dataclass(frozen=True)
class Split:
    """From `on` on, `new_per_old` units stand for one."""

    name: str
    on: date
    new_per_old: Decimal


@dataclass(frozen=True)
class Tested:
    """One history under one option, day by day: the loss as a share of value, and the rate that was held for it."""

    name: str
    option: str
    days: tuple[date, ...]
    losses: Array
    calculated: Array
    held: Array

    @property
    def breached(self) -> Array:
        return coverage.breaches_of(self.losses, self.held)


@dataclass(frozen=True)
class Line:
    """What is told of one history, or of all of them together, under one option."""

    name: str
    option: str
    days: int
    breaches: int
    proportion: Verdict
    first_failure: Verdict | None  # None: no breach, or of all together
    independence: Verdict
    conditional: Verdict
    zone: coverage.Zone
    mean_rate: float
    peak_to_trough: float  # of all together: the greatest of any
    largest_increases: Mapping[int, float]


@dataclass(frozen=True)
class Report:
    """All lines, the days behind them, and the histories that could not be tested, with the reason."""

    model: Model
    lines: tuple[Line, ...]
    tested: tuple[Tested, ...]
    skipped: Mapping[str, str]


def read(path: Path, *, names: Iterable[str] = (), splits: Iterable[Split] = ()) -> list[History]:
    """Histories from CSV with the columns symbol, date and close; others are ignored. A gap of more than 30 days ends a
    history and begins another. Raises strict.Refused with row and field, FileNotFoundError, UnicodeDecodeError."""
    wanted, found = set(names), dict[str, dict[date, float]]()
    problems = strict.Problems()
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = {"symbol", "date", "close"} - set(rows.fieldnames or ())
        if missing:
            raise strict.refuse("header", f"lacks {', '.join(sorted(missing))}")
        for number, row in enumerate(rows, start=2):
            try:
                name = strict.code(row["symbol"] or "", field="symbol", length=48)
                if not wanted or name in wanted:
                    _add(found.setdefault(name, {}), row)
            except strict.Refused as refusal:
                problems.take(number, refusal)
    problems.check()
    unknown = sorted(wanted - set(found))
    if unknown:
        raise strict.refuse("symbol", f"{', '.join(unknown)} is not in the file")
    return [part for name, prices in found.items() for part in _parts(name, prices, list(splits))]


def _add(prices: dict[date, float], row: Mapping[str, Any]) -> None:
    on = strict.date(row["date"] or "", field="date")
    price = strict.decimal(row["close"] or "", field="close", digits=32, places=12)
    if price <= 0:
        raise strict.refuse("close", f"{price} is not positive, so it has no return")
    if on in prices:
        raise strict.refuse("date", f"{on} comes twice")
    prices[on] = float(price)


def stored(instruments: Sequence[Instrument], *, until: date) -> list[History]:
    """Histories from the recorded closes, adjusted for approved splits."""
    found = closes.dated_history(instruments, until=until)
    return [part for row in instruments if row.pk in found for part in _parts(row.code, found[row.pk], [])]


def _parts(name: str, prices: Mapping[date, float], splits: Sequence[Split]) -> Iterator[History]:
    days = sorted(prices)
    starts = [0, *(k for k in range(1, len(days)) if days[k] - days[k - 1] > LONGEST_GAP), len(days)]
    for number, (first, beyond) in enumerate(pairwise(starts), start=1):
        own = tuple(days[first:beyond])
        column = np.array([prices[day] for day in own])
        for split in splits:
            if split.name == name:
                column[[day < split.on for day in own]] /= float(split.new_per_old)
        yield History(name if number == 1 else f"{name} ({number})", own, column)


def report(histories: Iterable[History], model: Model, *, first: date, last: date, is_short: bool = False) -> Report:
    """Test the model with every option on the days first … last; its own option is not looked at.

    A rate for several days is tested on periods that do not overlap. No history: ValueError.
    """
    tested: list[Tested] = []
    skipped: dict[str, str] = {}
    for history in histories:
        try:
            tested += _tested(history, model, first, last, is_short)
        except adaptive.TooShort as error:
            skipped[history.name] = str(error)
    if not tested:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(skipped.items()))
        raise ValueError(f"nothing can be tested from {first} to {last}: {reasons or 'there is no history'}")
    p = float(1 - model.confidence)
    lines = [_line(one, p) for one in tested]
    lines += [_pooled([one for one in tested if one.option == option], option, p) for option in OPTIONS]
    return Report(model, tuple(lines), tuple(tested), skipped)


def _tested(history: History, model: Model, first: date, last: date, is_short: bool) -> list[Tested]:
    """One per option. The rate of a day uses the returns before it alone."""
    prices = history.prices[: bisect_right(history.days, last)]
    if len(prices) < 2:
        raise adaptive.TooShort("fewer than two closes")
    returns = volatility.changes(prices)
    ends = history.days[1 : len(prices)]  # the day on which each return is known
    start = bisect_left(ends, first)
    if start >= len(returns):
        raise adaptive.TooShort(f"its closes end on {history.days[-1]}")
    found = adaptive.calculated(returns, model, start)
    if not found.min() > 0:
        raise adaptive.TooShort("its price stood still for so long that its rate is nothing")
    at = np.arange(start, len(returns) - model.days + 1, model.days)
    if not len(at):
        raise adaptive.TooShort(f"fewer than {model.days} returns from {first} on")
    moved = prices[at + model.days] / prices[at] - 1
    losses = moved if is_short else -moved
    out = []
    for option in OPTIONS:
        held, _ = adaptive.with_option(returns, found, replace(model, option=option), start)
        days = tuple(ends[k] for k in at)
        out.append(Tested(history.name, option, days, losses, found[at - start], held[at - start]))
    return out


def _line(one: Tested, p: float) -> Line:
    breached = one.breached
    count, moves = int(breached.sum()), coverage.moves_of(breached)
    day = int(np.argmax(breached)) + 1
    return Line(
        name=one.name,
        option=one.option,
        days=len(one.days),
        breaches=count,
        proportion=coverage.kupiec(count, len(one.days), p),
        first_failure=coverage.first_failure(day, p) if count else None,
        independence=coverage.independence(moves),
        conditional=coverage.conditional(count, len(one.days), p, moves),
        zone=coverage.traffic_light(count, len(one.days), p),
        mean_rate=float(one.held.mean()),
        peak_to_trough=volatility.peak_to_trough(one.held),
        largest_increases={days: volatility.largest_increase(one.held, days) for days in HORIZONS},
    )


def _pooled(several: Sequence[Tested], option: str, p: float) -> Line:
    """All histories together: days and what followed what are added; the tests take them for independent."""
    count = sum(int(one.breached.sum()) for one in several)
    days = sum(len(one.days) for one in several)
    each = [coverage.moves_of(one.breached) for one in several]
    moves = Moves(*(sum(column) for column in zip(*(vars(one).values() for one in each), strict=True)))
    return Line(
        name=POOLED,
        option=option,
        days=days,
        breaches=count,
        proportion=coverage.kupiec(count, days, p),
        first_failure=None,
        independence=coverage.independence(moves),
        conditional=coverage.conditional(count, days, p, moves),
        zone=coverage.traffic_light(count, days, p),
        mean_rate=float(np.mean([one.held.mean() for one in several])),
        peak_to_trough=max((_line(one, p).peak_to_trough for one in several), default=0.0),
        largest_increases={
            horizon: max(volatility.largest_increase(one.held, horizon) for one in several) for horizon in HORIZONS
        },
    )


def tree(found: Report) -> dict[str, Any]:
    """The report as JSON; probabilities and rates as numbers, because they are estimates."""
    return {
        "model": found.model.name,
        "confidence": str(found.model.confidence),
        "lines": [_line_tree(line) for line in found.lines],
        "skipped": dict(found.skipped),
    }


def _line_tree(line: Line) -> dict[str, Any]:
    def told(verdict: Verdict | None) -> dict[str, float] | None:
        return (
            None
            if verdict is None
            else {"ratio": round(verdict.ratio, 6), "probability": round(verdict.probability, 6)}
        )

    return {
        "name": line.name,
        "option": line.option,
        "days": line.days,
        "breaches": line.breaches,
        "proportion": told(line.proportion),
        "first_failure": told(line.first_failure),
        "independence": told(line.independence),
        "conditional": told(line.conditional),
        "zone": line.zone.name,
        "mean_rate": round(line.mean_rate, 6),
        "peak_to_trough": round(line.peak_to_trough, 4),
        "largest_increases": {str(days): round(rise, 4) for days, rise in line.largest_increases.items()},
    }
