"""The prices and exchange rates one sweep goes by: gathered once, judged, stored as changes, found again for replay.

A price that is missing, stale or quarantined is not a number here: it carries the reason instead (law 3).
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from django.db import connection

from margin import bulk
from margin.models import Sweep
from market import calendars
from market.models import HeldQuote

AHEAD = timedelta(seconds=60)  # quotes go on coming while a sweep begins, and a source's clock may run ahead
RATE_MAXIMUM_AGE = timedelta(days=45)  # a risk-free rate or yield older than that is nobody's estimate any more
FX_MAXIMUM_AGE = timedelta(days=5)  # a reference rate of Friday serves until Tuesday after a long weekend


@dataclass(frozen=True)
class Price:
    """A mark with its origin, or why there is none to act on."""

    mark: Decimal | None = None
    as_of: datetime | None = None
    source: str = ""
    refused: str = ""
    implied_volatility: Decimal | None = None  # of an option, as quoted with the mark


@dataclass(frozen=True)
class PriceSet:
    """What is known at one instant: a price per instrument (cash needs none), exchange rates by pair, and the yearly
    rates that option models need: (kind, currency or instrument code) → rate. `parameters` are the digests, by name, of
    the published parameters that a sweep went by; None: those in force at `at`."""

    at: datetime
    prices: Mapping[int, Price]
    fx: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    rates: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    parameters: Mapping[str, str] | None = None

    def rates_of(self, kind: str) -> dict[str, Decimal]:
        """The rates of one kind by currency or instrument code."""
        return {subject: rate for (stated, subject), rate in self.rates.items() if stated == kind}


# `known` limits what is seen to what one past transaction could see; empty: everything committed.
QUOTES = """
SELECT i.id, i.calendar_id, i.max_age_seconds, q.mark, q.as_of, q.source, s.split_at,
       q.implied_volatility
FROM market_instrument i
LEFT JOIN {quote}
LEFT JOIN (
    SELECT instrument_id, max(effective_at) AS split_at FROM market_corporateaction
    WHERE kind = 'split' AND effective_at <= %(at)s AND approved_by_id IS NOT NULL GROUP BY instrument_id
) s ON s.instrument_id = i.id
WHERE i.kind <> 'cash' AND (i.ended_at IS NULL OR i.ended_at > %(at)s)
"""
LATEST_QUOTES = QUOTES.format(quote="market_quote q ON q.instrument_id = i.id")
PAST_QUOTES = QUOTES.format(
    quote="""LATERAL (
    SELECT f.mark, f.as_of, f.source, f.implied_volatility FROM market_quotefact f
    WHERE f.instrument_id = i.id AND f.as_of <= %(at)s AND f.recorded_at <= %(known_at)s
    ORDER BY f.as_of DESC, f.id DESC LIMIT 1
) q ON true"""
)
LATEST_FX = """
SELECT DISTINCT ON (base, quoted) base, quoted, value FROM market_fxrate
WHERE as_of <= %(at)s AND as_of >= %(oldest)s AND recorded_at <= %(known_at)s
ORDER BY base, quoted, as_of DESC, id DESC
"""
LATEST_RATES = """
SELECT DISTINCT ON (r.kind, r.currency, r.instrument_id) r.kind, coalesce(i.code, r.currency), r.value
FROM market_rate r LEFT JOIN market_instrument i ON i.id = r.instrument_id
WHERE r.kind IN ('risk_free', 'dividend') AND r.venue = '' AND r.effective_at <= %(at)s
  AND r.effective_at >= %(oldest_rate)s AND r.recorded_at <= %(known_at)s
ORDER BY r.kind, r.currency, r.instrument_id, r.effective_at DESC, r.id DESC
"""


def gather(*, at: datetime, known_at: datetime | None = None) -> PriceSet:
    """The prices to act on at `at`: the current quotes, or, given `known_at`, those recorded until then."""
    ever = datetime.max.replace(tzinfo=UTC)
    parameters = {
        "at": at,
        "known_at": known_at or ever,
        "oldest": at - FX_MAXIMUM_AGE,
        "oldest_rate": at - RATE_MAXIMUM_AGE,
    }
    with connection.cursor() as cursor:
        cursor.execute(PAST_QUOTES if known_at else LATEST_QUOTES, parameters)
        rows = cursor.fetchall()
        cursor.execute(LATEST_FX, parameters)
        fx = {(base, quoted): value for base, quoted, value in cursor.fetchall()}
        cursor.execute(LATEST_RATES, parameters)
        rates = {(kind, subject): value for kind, subject, value in cursor.fetchall()}
    doubted = {**_from_before_a_split(rows), **_held(at, known_at)}
    prices = {
        instrument: Price(mark, as_of, source or "", doubted.get(instrument, "") or refused, volatility)
        for (instrument, _, _, mark, as_of, source, _, volatility), refused in zip(
            rows, _refusals(rows, at), strict=True
        )
    }
    return PriceSet(at, prices, fx, rates)


def _held(at: datetime, known_at: datetime | None) -> dict[int, str]:
    """Instruments with a quote in quarantine that nobody has decided yet."""
    quotes = HeldQuote.objects.filter(as_of__lte=at)
    if known_at is None:
        quotes = quotes.filter(state=HeldQuote.State.HELD)
    else:
        quotes = quotes.filter(recorded_at__lte=known_at).exclude(decided_at__lte=known_at)
    return {
        instrument: f"quarantined: {mark.normalize():f} from {source} waits for confirmation"
        for instrument, mark, source in quotes.values_list("instrument", "mark", "source")
    }


def _refusals(rows: list[tuple[Any, ...]], at: datetime) -> list[str]:
    """Why each row's quote cannot be used; '' where it can. Age is trading time on the instrument's calendar."""
    refusals = ["no price" if row[3] is None else "" for row in rows]
    by_calendar: dict[int | None, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        if row[3] is not None:
            by_calendar[row[1]].append(place)
    clocks: Mapping[int | None, calendars.TradingClock] = {None: calendars.ALWAYS}
    if any(by_calendar):
        clocks = calendars.clocks()
    now = calendars.microseconds(at)
    for calendar, places in by_calendar.items():
        quoted = np.array([calendars.microseconds(rows[place][4]) for place in places], np.int64)
        limits = np.array([rows[place][2] for place in places], np.int64)
        try:
            too_old = clocks[calendar].elapsed_seconds(quoted, now) > limits
        except calendars.CalendarUnknown as error:
            for place in places:
                refusals[place] = str(error)
            continue
        for place in np.array(places)[too_old]:
            refusals[place] = f"stale: last price of {rows[place][4]:%Y-%m-%d %H:%M} UTC"
        for place in np.array(places)[quoted > now + calendars.microseconds(calendars.EPOCH + AHEAD)]:
            refusals[place] = f"its price is from the future: {rows[place][4]:%Y-%m-%d %H:%M} UTC"
    return refusals


def _from_before_a_split(rows: list[tuple[Any, ...]]) -> dict[int, str]:
    """Instruments whose quote is older than a split in force: price and positions are on different bases."""
    return {
        instrument: f"its price of {as_of:%Y-%m-%d %H:%M} UTC is from before the split of {split_at:%Y-%m-%d}"
        for instrument, _, _, _, as_of, _, split_at, _ in rows
        if as_of is not None and split_at is not None and as_of < split_at
    }


# --- a sweep's own prices ---------------------------------------------------------------------------------


def store(sweep: Sweep, found: PriceSet) -> None:
    """Save a new sweep with its prices: what differs from its predecessor. The caller holds the lock of its kind."""
    sweep.fx = [[base, quoted, format(rate, "f")] for (base, quoted), rate in sorted(found.fx.items())]
    sweep.rates = [[kind, subject, format(rate, "f")] for (kind, subject), rate in sorted(found.rates.items())]
    sweep.save(force_insert=True)
    before = _stored(sweep.kind, sweep.previous_id) if sweep.previous_id else {}
    changed = {instrument: price for instrument, price in found.prices.items() if before.get(instrument) != price}
    gone = {
        instrument: Price(refused="ended")
        for instrument, price in before.items()
        if instrument not in found.prices and price.refused != "ended"
    }
    rows = ([sweep.pk, instrument, *_columns(price)] for instrument, price in {**changed, **gone}.items())
    bulk.copy("margin_sweepprice", ("sweep_id", "instrument_id", *COLUMNS), rows)


def of(sweep: Sweep) -> PriceSet:
    """The prices a sweep used, exactly."""
    fx = {(base, quoted): Decimal(rate) for base, quoted, rate in sweep.fx}
    rates = {(kind, subject): Decimal(rate) for kind, subject, rate in sweep.rates}
    return PriceSet(sweep.at, _stored(sweep.kind, sweep.pk), fx, rates, sweep.parameters)


COLUMNS = tuple(each.name for each in fields(Price))


def _columns(price: Price) -> list[object]:
    return [getattr(price, name) for name in COLUMNS]


def _stored(kind: str, sweep_id: int) -> dict[int, Price]:
    """Sweeps of a kind store their changes in the order of their ids, under a lock: the newest row per instrument.

    One look-up per instrument, so that a sweep does not read the prices of all sweeps before it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT i.id, p.mark, p.as_of, p.source, p.refused, p.implied_volatility
            FROM market_instrument i CROSS JOIN LATERAL (
                SELECT q.mark, q.as_of, q.source, q.refused, q.implied_volatility
                FROM margin_sweepprice q JOIN margin_sweep s ON s.id = q.sweep_id
                WHERE q.instrument_id = i.id AND s.kind = %s AND q.sweep_id <= %s
                ORDER BY q.sweep_id DESC LIMIT 1
            ) p
            """,
            [kind, sweep_id],
        )
        return {row[0]: Price(*row[1:]) for row in cursor.fetchall()}
