"""Official closes: append-only facts. A correction is a later row, and the newest row of a day counts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db import connection, transaction

from market import guard, strict
from market.models import Close, Instrument
from market.strict import Column, Control, File, Problems, column

LARGEST_BATCH = 200_000
# Somewhere the day began before it did in UTC.
AHEAD = timedelta(days=1)
COLUMNS: dict[str, Column] = {
    "instrument": column(strict.code, length=48),
    "on": column(strict.date),
    "price": column(strict.decimal, digits=guard.PRICE_DIGITS, places=guard.PRICE_PLACES),
    "source": column(strict.code, length=32),
}


# Splits that took effect after a close, on a day up to the last, divide it.
HISTORY = """
SELECT c.instrument_id, c.on, c.price / coalesce((
    SELECT exp(sum(ln(a.new_per_old))) FROM market_corporateaction a
    WHERE a.instrument_id = c.instrument_id AND a.kind = 'split' AND a.approved_by_id IS NOT NULL
      AND a.effective_at::date > c.on AND a.effective_at::date <= %(until)s
), 1)
FROM (
    SELECT DISTINCT ON (instrument_id, "on") instrument_id, "on", price FROM market_close
    WHERE instrument_id = ANY (%(ids)s) AND "on" <= %(until)s AND "on" > %(since)s
    ORDER BY instrument_id, "on", id DESC
) c ORDER BY c.instrument_id, c.on
"""


class Incoming(NamedTuple):
    instrument: str
    on: date
    price: Decimal
    source: str


@dataclass(frozen=True)
class Recorded:
    """How many closes are new or corrections, and how many said what we know."""

    accepted: int
    repeated: int


@transaction.atomic
def record(batch: Sequence[Incoming], *, at: datetime) -> Recorded:
    """Append closes, all or nothing; a close that says what the newest row of its day says changes nothing.

    Raises strict.Refused with places in the batch from 1.
    """
    if len(batch) > LARGEST_BATCH:
        raise ValueError(f"{len(batch)} closes are more than {LARGEST_BATCH} at once; send smaller batches")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('market.closes'))")
    problems = Problems()
    known = {one.code: one for one in Instrument.objects.filter(code__in={one.instrument for one in batch})}
    newest = latest(known.values(), days={one.on for one in batch})
    fresh: list[Close] = []
    for row, one in enumerate(batch, 1):
        instrument = known.get(one.instrument)
        if instrument is None:
            problems.add(
                row, "instrument", f"{strict.shown(one.instrument)} is not an instrument of ours; load it first"
            )
            continue
        try:
            check(one, instrument, at=at)
        except strict.Refused as refusal:
            problems.take(row, refusal)
            continue
        if newest.get((one.instrument, one.on)) != one.price:
            newest[one.instrument, one.on] = one.price
            fresh.append(Close(instrument=instrument, on=one.on, price=one.price, source=one.source))
    problems.check()
    Close.objects.bulk_create(fresh, batch_size=2000)
    return Recorded(len(fresh), len(batch) - len(fresh))


def check(one: Incoming, instrument: Instrument, *, at: datetime) -> None:
    """Raise Refused for a close that cannot be right. Pure."""
    strict.exact(one.price, field="price", digits=guard.PRICE_DIGITS, places=guard.PRICE_PLACES)
    strict.code(one.source, field="source", length=32)
    if one.on > (at + AHEAD).date():
        raise strict.refuse("on", f"{one.on} lies in the future")
    if one.price < 0 and not instrument.may_be_negative:
        raise strict.refuse("price", f"{one.price} is negative; set may_be_negative on the instrument if that is right")


def latest(instruments: Iterable[Instrument], *, days: Iterable[date]) -> dict[tuple[str, date], Decimal]:
    """The close that counts of each of these instruments on each of these days."""
    found = Close.objects.filter(instrument__in=list(instruments), on__in=list(days)).select_related("instrument")
    newest = found.order_by("instrument_id", "on", "-id").distinct("instrument_id", "on")
    return {(close.instrument.code, close.on): close.price for close in newest}


def history(instruments: Iterable[Instrument], *, until: date, days: int) -> dict[int, list[float]]:
    """Closes of these instruments by id, oldest first, of so many calendar days up to `until`, in the units of that
    day: a close from before a split is divided by it. For models, so as floats."""
    found: dict[int, list[float]] = {}
    for instrument, _, price in _history(instruments, until=until, since=until - timedelta(days=days)):
        found.setdefault(instrument, []).append(price)
    return found


def dated_history(instruments: Iterable[Instrument], *, until: date) -> dict[int, dict[date, float]]:
    """As `history`, with the days, and as far back as there are closes."""
    found: dict[int, dict[date, float]] = {}
    for instrument, on, price in _history(instruments, until=until, since=date.min):
        found.setdefault(instrument, {})[on] = price
    return found


def _history(instruments: Iterable[Instrument], *, until: date, since: date) -> Iterator[tuple[int, date, float]]:
    ids = [instrument.pk for instrument in instruments]
    with connection.cursor() as cursor:
        cursor.execute(HISTORY, {"ids": ids, "until": until, "since": since})
        for instrument, on, price in cursor.fetchall():
            yield instrument, on, float(price)


def load(file: File, *, at: datetime, control: Control | None = None) -> Recorded:
    """Load closes from CSV (docs/formats.md), all or nothing. Raises strict.Refused with rows of the file."""
    rows = strict.table(file, COLUMNS, key=("instrument", "on"), control=control, total_of="price")
    with strict.numbered(rows):
        return record([Incoming(**row.values) for row in rows], at=at)
