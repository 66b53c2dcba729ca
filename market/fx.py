"""Exchange rates: append-only facts, the newest `as_of` counts. A missing rate is missing, never 1, never guessed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import connection, transaction

from market import guard, strict
from market.models import FxRate
from market.strict import Column, Control, File, Problems, column

# A tenth is more than a major currency moves in a day, and less than EUR/USD sent upside down.
LARGEST_MOVE_RATE = Decimal("0.1")
LARGEST_BATCH = 20_000
DIGITS, PLACES = 24, 12
COLUMNS: dict[str, Column] = {
    "base": column(strict.code, length=12),
    "quoted": column(strict.code, length=12),
    "value": column(strict.decimal, digits=DIGITS, places=PLACES),
    "as_of": column(strict.instant),
    "source": column(strict.code, length=32),
}
Pair = tuple[str, str]


class Incoming(NamedTuple):
    """One unit of `base` is worth `value` units of `quoted`."""

    base: str
    quoted: str
    value: Decimal
    as_of: datetime
    source: str


class Standing(NamedTuple):
    """The rate in force for a pair."""

    value: Decimal
    as_of: datetime
    source: str


@dataclass(frozen=True)
class Recorded:
    """How many rates are new and how many were recorded already."""

    accepted: int
    repeated: int


@transaction.atomic
def record(batch: Sequence[Incoming], *, at: datetime, confirmed: bool = False) -> Recorded:
    """Append rates, all or nothing; the same rate again changes nothing. `at` is now.

    Raises strict.Refused with places in the batch from 1: not positive, from the future, contradicting what its source
    said before, or more than 10 % away from the last rate (a slip, or the pair upside down) unless `confirmed`.
    """
    if len(batch) > LARGEST_BATCH:
        raise ValueError(f"{len(batch)} rates are more than {LARGEST_BATCH} at once; send smaller batches")
    with connection.cursor() as cursor:
        # Rates come seldom: one writer at a time keeps the comparison with the last rate honest.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('market.fx'))")
    problems = Problems()
    stored = {
        (rate.base, rate.quoted, rate.as_of, rate.source): rate.value
        for rate in FxRate.objects.filter(as_of__in={one.as_of for one in batch})
    }
    last = latest(at)
    fresh: list[FxRate] = []
    for row, one in enumerate(batch, 1):
        try:
            check(one, at=at, last={} if confirmed else last)
        except strict.Refused as refusal:
            problems.take(row, refusal)
            continue
        key = (one.base, one.quoted, one.as_of, one.source)
        if key not in stored:
            stored[key] = one.value
            last[one.base, one.quoted] = Standing(one.value, one.as_of, one.source)
            fresh.append(FxRate(**one._asdict()))
        elif stored[key] != one.value:
            said = f"{one.source} said {stored[key]:f} for that instant; send the correction under another source"
            problems.add(row, "value", said)
    problems.check()
    FxRate.objects.bulk_create(fresh, batch_size=1000)
    return Recorded(len(fresh), len(batch) - len(fresh))


def check(one: Incoming, *, at: datetime, last: Mapping[Pair, Standing]) -> None:
    """Raise Refused for a rate that cannot be right, given the last rates by pair. Pure."""
    strict.exact(one.value, field="value", digits=DIGITS, places=PLACES)
    strict.code(one.source, field="source", length=32)
    if one.base == one.quoted:
        raise strict.refuse("quoted", f"{one.quoted} against itself is no exchange rate")
    if one.value <= 0:
        raise strict.refuse("value", f"{one.value} is not positive")
    if one.as_of.tzinfo is None:
        raise strict.refuse("as_of", f"{one.as_of} names no time zone")
    if one.as_of > at + guard.AHEAD:
        raise strict.refuse("as_of", f"{one.as_of:%Y-%m-%d %H:%M:%S} UTC lies in the future")
    previous = _before(one, last)
    if previous is None or not guard.jumps(previous, one.value, LARGEST_MOVE_RATE):
        return
    reason = f"{one.value:f} is {guard.percent(previous, one.value)} from {previous:.12g}"
    if not guard.jumps(1 / previous, one.value, LARGEST_MOVE_RATE):
        reason += f"; the pair seems upside down, {one.base} and {one.quoted} changed places"
    raise strict.refuse("value", f"{reason}; if it is right, send it again as confirmed")


def _before(one: Incoming, last: Mapping[Pair, Standing]) -> Decimal | None:
    """The rate in force before this one, from the pair or its inverse; None where there is none to compare with."""
    same, inverse = last.get((one.base, one.quoted)), last.get((one.quoted, one.base))
    if same is not None:
        return same.value if same.as_of < one.as_of else None
    return 1 / inverse.value if inverse is not None and inverse.as_of <= one.as_of else None


def latest(at: datetime) -> dict[Pair, Standing]:
    """The rate in force at that instant for every pair ever recorded; who needs a limit on its age looks at `as_of`."""
    newest = FxRate.objects.filter(as_of__lte=at).order_by("base", "quoted", "-as_of", "-id").distinct("base", "quoted")
    return {(rate.base, rate.quoted): Standing(rate.value, rate.as_of, rate.source) for rate in newest}


def load(file: File, *, at: datetime, control: Control | None = None, confirmed: bool = False) -> Recorded:
    """Load rates from CSV (docs/formats.md), all or nothing. Raises strict.Refused with rows of the file."""
    rows = strict.table(file, COLUMNS, key=("base", "quoted", "as_of", "source"), control=control, total_of="value")
    rows.sort(key=lambda row: row.values["as_of"])
    with strict.numbered(rows):
        return record([Incoming(**row.values) for row in rows], at=at, confirmed=confirmed)
