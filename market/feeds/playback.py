"""Plays recorded prices from CSV at a chosen speed: daily bars, minute bars or quotes (docs/formats.md).

A bar is known when it ends, so its close is quoted at the end of the minute or at the venue's close of the day.
Symbols are read as tickers of the day: WM is one company in 2008 and another in 2010.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from market import calendars, clock, guard, instruments, quotes, strict
from market.feeds import persistently
from market.guard import Incoming
from market.models import Instrument
from market.strict import Problems, Row, column

SOURCE = "playback"
MINUTE = timedelta(minutes=1)
LONGEST_PAUSE_SECONDS = 3600.0

PRICE = column(strict.decimal, digits=guard.PRICE_DIGITS, places=guard.PRICE_PLACES)
IGNORED = column(strict.decimal, optional=True, digits=guard.PRICE_DIGITS, places=guard.PRICE_PLACES)
BAR = {"open": IGNORED, "high": IGNORED, "low": IGNORED, "close": PRICE, "volume": IGNORED}
SYMBOL = column(strict.code, length=64)
DAILY = {"symbol": SYMBOL, "date": column(strict.date), **BAR}
BY_MINUTE = {"symbol": SYMBOL, "at_utc": column(strict.instant), **BAR}


class Tick(NamedTuple):
    """All quotes of one instant."""

    as_of: datetime
    quotes: list[Incoming]


@dataclass(frozen=True)
class Recording:
    """Ticks in order of time, and how many rows of which symbol nobody here knows."""

    ticks: list[Tick]
    unknown: Counter[str] = field(default_factory=Counter)


def read(file: Path, *, first: date | None = None, last: date | None = None, source: str = SOURCE) -> Recording:
    """Read a recording whole, or its days from `first` to `last` (UTC's, or the trading days of daily bars).

    Raises strict.Refused with the file's rows, or CalendarUnknown for days beyond the instruments' calendars.
    """

    def chosen(rows: Sequence[Row], day: Callable[[Row], date]) -> list[Row]:
        return [row for row in rows if (first or date.min) <= day(row) <= (last or date.max)]

    header = _header(file)
    if "date" in header:
        rows = strict.table(file, DAILY, key=("symbol", "date"))
        found, unknown = _daily(chosen(rows, lambda row: row.values["date"]), source)
    elif "at_utc" in header:
        rows = strict.table(file, BY_MINUTE, key=("symbol", "at_utc"))
        found, unknown = _by_minute(chosen(rows, lambda row: row.values["at_utc"].date()), source)
    elif "as_of" in header:
        rows = strict.table(file, quotes.COLUMNS, key=("instrument", "as_of", "source"))
        kept = chosen(rows, lambda row: row.values["as_of"].date())
        found, unknown = [Incoming(**row.values) for row in kept], Counter()
    else:
        raise strict.refuse("", "the header has none of date (daily bars), at_utc (minute bars) or as_of (quotes)")
    return Recording(list(ticks(found)), unknown)


def ticks(batch: Iterable[Incoming]) -> Iterator[Tick]:
    """Group quotes by instant, in order of time."""
    ordered = sorted(batch, key=lambda quote: quote.as_of)
    for as_of, some in groupby(ordered, key=lambda quote: quote.as_of):
        yield Tick(as_of, list(some))


def _header(file: Path) -> list[str]:
    with file.open("rb") as opened:
        return opened.readline(1000).decode("utf-8", "replace").strip().lstrip("\ufeff").split(",")


def _by_minute(rows: Sequence[Row], source: str) -> tuple[list[Incoming], Counter[str]]:
    names = instruments.names({row.values["symbol"] for row in rows})
    found, unknown = [], Counter[str]()
    for row in rows:
        starts_at, symbol = row.values["at_utc"], row.values["symbol"]
        code = names.on(symbol, starts_at.date())
        if code is None:
            unknown[symbol] += 1
        else:
            found.append(Incoming(code, source, starts_at + MINUTE, row.values["close"]))
    return found, unknown


def _daily(rows: Sequence[Row], source: str) -> tuple[list[Incoming], Counter[str]]:
    names = instruments.names({row.values["symbol"] for row in rows})
    unknown = Counter[str]()
    named: list[tuple[Row, str]] = []
    for row in rows:
        code = names.on(row.values["symbol"], row.values["date"])
        if code is None:
            unknown[row.values["symbol"]] += 1
        else:
            named.append((row, code))
    calendar_of = dict(
        Instrument.objects.filter(code__in={code for _, code in named}).values_list("code", "calendar__code")
    )
    closing = {
        calendar: calendars.closing_instants(
            calendar, sorted({row.values["date"] for row, code in named if calendar_of[code] == calendar})
        )
        for calendar in set(calendar_of.values())
    }
    problems = Problems()
    found = []
    for row, code in named:
        closes_at = closing[calendar_of[code]].get(row.values["date"])
        if closes_at is None:
            problems.add(row.number, "date", f"{calendar_of[code]} was shut on {row.values['date']}")
        else:
            found.append(Incoming(code, source, closes_at, row.values["close"]))
    problems.check()
    return found, unknown


def play(
    recorded: Iterable[Tick],
    *,
    speed: float,
    stop: threading.Event,
    live: bool = False,
    said: Callable[[Tick, quotes.Recorded], None] = lambda tick, recorded: None,
) -> int:
    """Record tick after tick, `speed` recorded seconds to a second (0: without waiting); returns how many were played.

    `live`: quotes bear the moment they are played instead of the recorded one. Outlives cuts of the database.
    """
    played = 0
    before: datetime | None = None
    for tick in recorded:
        if before is not None and speed > 0:
            stop.wait(min((tick.as_of - before).total_seconds() / speed, LONGEST_PAUSE_SECONDS))
        before = tick.as_of
        done = persistently(lambda tick=tick: _record(tick, live), stop=stop)  # type: ignore[misc]
        if done is None:
            break
        said(tick, done)
        played += 1
    return played


def _record(tick: Tick, live: bool) -> quotes.Recorded:
    if not live:
        return quotes.record(tick.quotes, at=tick.as_of)
    at = clock.now()
    return quotes.record([quote._replace(as_of=at) for quote in tick.quotes], at=at)
