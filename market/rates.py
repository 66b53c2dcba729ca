"""Interest, dividend, borrow, lending and funding rates per year: append-only facts, effective from an instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db import connection, transaction

from market import strict
from market.models import Instrument, Rate
from market.strict import Column, Control, File, Problems, column

LARGEST_BATCH = 20_000
DIGITS, PLACES = 24, 12
# 500 % a year: hard-to-borrow shares come near it, a percentage sent as a fraction (7 for 7 %) goes beyond.
LARGEST_RATE = Decimal(5)
FARTHEST_AHEAD = timedelta(days=366)
COLUMNS: dict[str, Column] = {
    "kind": column(strict.choice, of=Rate.Kind.values),
    "venue": column(strict.code, optional=True, default="", length=32),
    "currency": column(strict.code, optional=True, default="", length=12),
    "instrument": column(strict.code, optional=True, default="", length=48),
    "value": column(strict.decimal, digits=DIGITS, places=PLACES),
    "effective_at": column(strict.instant),
    "source": column(strict.code, length=32),
}


class Subject(NamedTuple):
    """What a rate is for; `currency` or `instrument` (its code) is given, `venue` may be empty."""

    kind: str
    venue: str = ""
    currency: str = ""
    instrument: str = ""


class Incoming(NamedTuple):
    """A rate per year as a fraction: 0.07 is 7 %."""

    subject: Subject
    value: Decimal
    effective_at: datetime
    source: str


class Standing(NamedTuple):
    """The rate in force for a subject."""

    value: Decimal
    effective_at: datetime
    source: str


@dataclass(frozen=True)
class Recorded:
    """How many rates are new and how many were recorded already."""

    accepted: int
    repeated: int


@transaction.atomic
def record(batch: Sequence[Incoming], *, at: datetime) -> Recorded:
    """Append rates, all or nothing; the same rate again changes nothing. `at` is now; a rate may take effect later.

    Raises strict.Refused with places in the batch from 1.
    """
    if len(batch) > LARGEST_BATCH:
        raise ValueError(f"{len(batch)} rates are more than {LARGEST_BATCH} at once; send smaller batches")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('market.rates'))")
    problems = Problems()
    codes = {one.subject.instrument for one in batch} - {""}
    instruments = dict(Instrument.objects.filter(code__in=codes).values_list("code", "pk"))
    instants = {one.effective_at for one in batch}
    stored = {
        (subject_of(rate), rate.effective_at, rate.source): rate.value
        for rate in Rate.objects.filter(effective_at__in=instants).select_related("instrument")
    }
    fresh: list[Rate] = []
    for row, one in enumerate(batch, 1):
        try:
            check(one, at=at)
        except strict.Refused as refusal:
            problems.take(row, refusal)
            continue
        kind, venue, currency, code = one.subject
        if code and code not in instruments:
            problems.add(row, "instrument", f"{code} is not an instrument of ours; load it first")
            continue
        key = (one.subject, one.effective_at, one.source)
        if key not in stored:
            stored[key] = one.value
            keys = {"kind": kind, "venue": venue, "currency": currency, "instrument_id": instruments.get(code)}
            fresh.append(Rate(**keys, value=one.value, effective_at=one.effective_at, source=one.source))
        elif stored[key] != one.value:
            said = f"{one.source} said {stored[key]:f} for that instant; send the correction under another source"
            problems.add(row, "value", said)
    problems.check()
    Rate.objects.bulk_create(fresh, batch_size=1000)
    return Recorded(len(fresh), len(batch) - len(fresh))


def check(one: Incoming, *, at: datetime) -> None:
    """Raise Refused for a rate that cannot be right. Pure."""
    strict.exact(one.value, field="value", digits=DIGITS, places=PLACES)
    strict.choice(one.subject.kind, field="kind", of=Rate.Kind.values)
    strict.code(one.source, field="source", length=32)
    if not one.subject.currency and not one.subject.instrument:
        raise strict.refuse("currency", "is missing, and so is the instrument: a rate is for one of them")
    if one.effective_at.tzinfo is None:
        raise strict.refuse("effective_at", f"{one.effective_at} names no time zone")
    if one.effective_at > at + FARTHEST_AHEAD:
        raise strict.refuse("effective_at", f"{one.effective_at:%Y-%m-%d} lies more than a year ahead")
    if abs(one.value) > LARGEST_RATE:
        raise strict.refuse("value", f"{one.value} is {one.value * 100:f} % a year; write 7 % as 0.07")


def subject_of(rate: Rate) -> Subject:
    return Subject(rate.kind, rate.venue, rate.currency, rate.instrument.code if rate.instrument else "")


def latest(at: datetime, *, kind: str = "") -> dict[Subject, Standing]:
    """The rate in force at that instant for every subject (of one kind, if given)."""
    subject = ("kind", "venue", "currency", "instrument")
    found = Rate.objects.filter(effective_at__lte=at, **({"kind": kind} if kind else {})).select_related("instrument")
    newest = found.order_by("kind", "venue", "currency", "instrument_id", "-effective_at", "-id").distinct(
        *subject[:3], "instrument_id"
    )
    return {subject_of(rate): Standing(rate.value, rate.effective_at, rate.source) for rate in newest}


def load(file: File, *, at: datetime, control: Control | None = None) -> Recorded:
    """Load rates from CSV (docs/formats.md), all or nothing. Raises strict.Refused with rows of the file."""
    key = ("kind", "venue", "currency", "instrument", "effective_at", "source")
    rows = strict.table(file, COLUMNS, key=key, control=control, total_of="value")
    batch = [
        Incoming(
            Subject(*(row.values[name] for name in Subject._fields)),
            *(row.values[name] for name in ("value", "effective_at", "source")),
        )
        for row in rows
    ]
    with strict.numbered(rows):
        return record(batch, at=at)
