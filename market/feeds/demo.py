"""The demonstration feed: made-up prices, always labelled with the source "demo". Never for a real book.

A seeded, correlated lognormal walk that starts from the current quotes, is drawn back towards where each instrument
began, falls together every half hour so that margin calls appear, and now and then slips a digit so that the
quarantine has something to show. Options, futures and perpetuals follow their underlyings. Deterministic: the same
quotes, seed and tick give the same next quotes.
"""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt
from django.db import connection

from market import clock, quotes
from market.feeds import persistently
from market.guard import Incoming
from market.models import Kind

SOURCE = "demo"
# Each tick shows 36 seconds of market time: slow enough that a liquidation plan stays near its prices while two people
# read it.
YEARS_PER_TICK = 0.01 / (252 * 6.5)
VOLATILITY = {Kind.CRYPTO: 0.7, Kind.PERPETUAL: 0.7, Kind.BOND: 0.06, Kind.ETF: 0.2}
COMMON_VOLATILITY = 0.32
MARKET_SHARE, SECTOR_SHARE = 0.5, 0.2  # of an instrument's variance; the rest is its own
HOMING_RATE = 0.003  # of the way back to where it began, each tick
# The whole market falls at ticks 6, 366, 726, ...; an instrument falls with its volatility.
FIRST_FALL, FALL_EVERY, FALL = 6, 360, -0.09
# One instrument's price slips a digit during six ticks from tick 90, 330, ...
FIRST_SLIP, SLIP_EVERY, SLIP_TICKS = 90, 240, 6
HALF_SPREAD_RATE = Decimal("0.0002")
CENT = Decimal("0.01")
DERIVED = (Kind.OPTION, Kind.FUTURE_OPTION, Kind.FUTURE, Kind.PERPETUAL)
OPTIONS = (Kind.OPTION, Kind.FUTURE_OPTION)

Floats = npt.NDArray[np.float64]


class Listing(NamedTuple):
    """An instrument as the simulator sees it: its terms, its current mark and where it began."""

    code: str
    kind: str
    sector: str
    tick_size: Decimal | None
    underlying: str | None
    right: str
    strike: Decimal | None
    expires_at: datetime | None
    implied_volatility: Decimal | None
    mark: Decimal
    began: Decimal


LISTINGS = """
SELECT i.code, i.kind, i.sector, i.tick_size, u.code, i."right", i.strike, i.expires_at, q.implied_volatility, q.mark,
       (SELECT f.mark FROM market_quotefact f WHERE f.instrument_id = i.id ORDER BY f.as_of, f.id LIMIT 1)
FROM market_instrument i
JOIN market_quote q ON q.instrument_id = i.id
LEFT JOIN market_instrument u ON u.id = i.underlying_id
WHERE i.kind <> 'cash' AND (i.ended_at IS NULL OR i.ended_at > %s) AND (i.expires_at IS NULL OR i.expires_at > %s)
ORDER BY i.code
"""


def listings(at: datetime) -> list[Listing]:
    """Everything quoted and still alive, with its current quote (one query)."""
    with connection.cursor() as cursor:
        cursor.execute(LISTINGS, [at, at])
        return [Listing(*row) for row in cursor.fetchall()]


def step(before: Sequence[Listing], *, seed: int, tick: int, at: datetime) -> list[Incoming]:
    """The next quote of every listing. Pure."""
    roots = [one for one in before if one.mark and not _follows(one, before)]
    moved = dict(zip((one.code for one in roots), walk(roots, seed=seed, tick=tick), strict=True))
    marks = {one.code: rounded(moved[one.code], one.tick_size).copy_sign(one.mark) for one in roots}
    known = {one.code: one for one in before}
    for one in before:
        if one.code not in marks:
            marks[one.code] = (
                rounded(follow(one, known, marks, at), one.tick_size) if _follows(one, before) else one.mark
            )
    slipped = slip(roots, seed=seed, tick=tick)
    return [_quote(one, marks[one.code] * (10 if one.code == slipped else 1), at) for one in before]


def walk(roots: Sequence[Listing], *, seed: int, tick: int) -> Floats:
    """The size of the next price of every instrument that stands for itself; a price below nothing keeps its side."""
    draws = np.random.default_rng([seed, tick])
    market = draws.standard_normal()
    sectors = sorted({one.sector for one in roots})
    by_sector = dict(zip(sectors, draws.standard_normal(len(sectors)), strict=True))
    own = draws.standard_normal(len(roots))
    shared = np.array([by_sector[one.sector] for one in roots])
    volatility = np.array([VOLATILITY.get(Kind(one.kind), COMMON_VOLATILITY) for one in roots])
    prices = np.array([abs(float(one.mark)) for one in roots])
    began = np.array([abs(float(one.began)) for one in roots])
    noise = (
        math.sqrt(MARKET_SHARE) * market
        + math.sqrt(SECTOR_SHARE) * shared
        + math.sqrt(1 - MARKET_SHARE - SECTOR_SHARE) * own
    )
    scale = volatility * math.sqrt(YEARS_PER_TICK)
    homing = np.where(began > 0, HOMING_RATE * np.log(np.where(began > 0, began, prices) / prices), 0)
    fall = FALL * volatility / COMMON_VOLATILITY if falls(tick) else 0.0
    # One tick stays well inside the guard's limit, whatever was drawn.
    return prices * np.exp(np.clip(scale * noise - scale**2 / 2 + homing + fall, -0.2, 0.2))


def falls(tick: int) -> bool:
    return tick >= FIRST_FALL and (tick - FIRST_FALL) % FALL_EVERY == 0


def slip(roots: Sequence[Listing], *, seed: int, tick: int) -> str:
    """The code of the instrument whose price is sent ten times too high in this tick; "" in most."""
    since = tick - FIRST_SLIP
    if not roots or since < 0 or since % SLIP_EVERY >= SLIP_TICKS:
        return ""
    return roots[crc32(f"{seed}:{since // SLIP_EVERY}".encode()) % len(roots)].code


def _follows(one: Listing, before: Sequence[Listing]) -> bool:
    return one.kind in DERIVED and one.underlying is not None and any(one.underlying == other.code for other in before)


def follow(one: Listing, known: Mapping[str, Listing], marks: dict[str, Decimal], at: datetime) -> float:
    """A derivative's price from its underlying's new one: an option by Black's formula, a future by its ratio."""
    assert one.underlying is not None  # noqa: S101 - _follows() has looked
    underlying = known[one.underlying]
    if underlying.code not in marks:
        marks[underlying.code] = rounded(follow(underlying, known, marks, at), underlying.tick_size)
    spot = float(marks[underlying.code])
    if one.kind not in OPTIONS or one.strike is None or one.expires_at is None:
        return float(one.mark) * spot / float(underlying.mark) if underlying.mark else float(one.mark)
    years = max((one.expires_at - at).total_seconds(), 0) / (365 * 86400)
    return black(spot, float(one.strike), years, float(one.implied_volatility or Decimal("0.35")), one.right)


def black(forward: float, strike: float, years: float, volatility: float, right: str) -> float:
    """An undiscounted European option (Black 1976)."""
    width = volatility * math.sqrt(years)
    sign = 1 if right == "call" else -1
    if width <= 0 or forward <= 0 or strike <= 0:
        return max(sign * (forward - strike), 0.0)
    first = math.log(forward / strike) / width + width / 2
    return sign * (forward * normal(sign * first) - strike * normal(sign * (first - width)))


def normal(x: float) -> float:
    """The standard normal distribution function."""
    return math.erfc(-x / math.sqrt(2)) / 2


def rounded(price: float, tick_size: Decimal | None) -> Decimal:
    """To the instrument's tick, or to cents (a price below 1: to six decimals), never below one such unit."""
    unit = tick_size or (CENT if price >= 1 else Decimal("0.000001"))
    return max(round(Decimal(repr(float(price))) / unit) * unit, unit)


def _quote(one: Listing, mark: Decimal, at: datetime) -> Incoming:
    """A quote with a small spread; a price of few units has none, or it would look too wide to be trusted."""
    unit = one.tick_size or (CENT if mark >= 1 else Decimal("0.000001"))
    half = max(round(mark * HALF_SPREAD_RATE / unit) * unit, unit) if mark >= 50 * unit else Decimal(0)
    return Incoming(one.code, SOURCE, at, mark, mark - half, mark + half, one.implied_volatility)


@dataclass(frozen=True)
class Beat:
    """What one tick of the feed did."""

    tick: int
    recorded: quotes.Recorded
    fell: bool


def run(
    *,
    seed: int,
    interval_seconds: float,
    stop: threading.Event,
    ticks: int | None = None,
    said: Callable[[Beat], None] = lambda beat: None,
) -> int:
    """Tick until told to stop (or `ticks` times); outlives cuts of the database. Returns how often it ticked."""
    tick = 0
    while not stop.is_set() and (ticks is None or tick < ticks):
        done = persistently(lambda tick=tick: _tick(seed, tick), stop=stop)  # type: ignore[misc]
        if done is not None:
            said(Beat(tick, done, falls(tick)))
            tick += 1
        if ticks is None or tick < ticks:
            stop.wait(interval_seconds)
    return tick


def _tick(seed: int, tick: int) -> quotes.Recorded:
    at = clock.now()
    return quotes.record(step(listings(at), seed=seed, tick=tick, at=at), at=at)
