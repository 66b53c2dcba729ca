"""The parameter document of a day: what an exchange publishes, in our own JSON. docs/methodologies/span.md.

Nothing of it is in the code: arrays, ranges, spreads and credits are the exchange's, and are licensed by it.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from margin.engine import terms as reading
from margin.engine.exact import ONE, ZERO
from margin.engine.methodologies.span import amounts
from margin.engine.methodologies.span.arrays import Losses, as_losses
from margin.engine.methodologies.span.spreads import Spread
from margin.engine.methodologies.span.terms import Terms

_PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_WEIGHTS = (Decimal("0.27"), Decimal("0.22"), Decimal("0.11"), Decimal("0.04"))


def _check_period(name: str, period: str) -> None:
    if not _PERIOD.fullmatch(period):
        raise ValueError(f'{name}: a contract month is written like "2026-12", not {period!r}')


def _check_day(name: str, day: str) -> None:
    try:
        date.fromisoformat(day)
    except ValueError:
        raise ValueError(f'{name}: a day is written like "2026-11-20", not {day!r}') from None


@dataclass(frozen=True)
class Range:
    """How far a price is moved: an `amount`, a `rate` of the price, or `daily_sigma` × `deviations` × √`days`, at
    least `floor_rate`, of the price."""

    amount: Decimal | None = None
    rate: Decimal | None = None
    daily_sigma: Decimal | None = None
    deviations: Decimal = Decimal(6)
    days: Decimal = Decimal(2)
    floor_rate: Decimal = ZERO

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.amount, self.rate, self.daily_sigma)) != 1:
            raise ValueError("one of amount, rate and daily_sigma must be stated")
        if any(one is not None and one < 0 for one in (self.amount, self.rate, self.daily_sigma)):
            raise ValueError("amount, rate and daily_sigma must not be negative")
        if self.deviations < 0 or self.days < 0 or self.floor_rate < 0:
            raise ValueError("deviations, days and floor_rate must not be negative")

    def of(self, price: Decimal) -> Decimal | None:
        """The range at a price; None where it would be a share of a price that is not positive."""
        if self.amount is not None:
            return self.amount
        if price <= 0:
            return None
        if self.rate is not None:
            return price * self.rate
        return price * amounts.price_scan_range(self.daily_sigma or ZERO, self.deviations, self.days, self.floor_rate)


@dataclass(frozen=True)
class Listed:
    """What the document says of one contract, by the code of its instrument. Without an `array` it is computed."""

    array: tuple[Decimal, ...] | None = None
    delta: Decimal | None = None  # composite, per contract before scaling; needed where an array is stated
    delta_scale: Decimal | None = None
    period: str = ""  # contract month of its deltas; '' is that of its own expiry

    def __post_init__(self) -> None:
        if self.period:
            _check_period("period", self.period)
        if (self.array is None) != (self.delta is None):
            raise ValueError("an array and its composite delta are stated together")
        if self.array is not None:
            as_losses(self.array, False)


@dataclass(frozen=True)
class Tier:
    """Contract months that are netted for spreads; `range` replaces the commodity's for them."""

    name: str
    first: str
    last: str
    range: Range | None = None

    def __post_init__(self) -> None:
        _check_period("first", self.first)
        _check_period("last", self.last)
        if self.first > self.last:
            raise ValueError(f"tier {self.name}: first must not be after last")


@dataclass(frozen=True)
class Spot:
    """The delivery charge of one contract month, per delta."""

    period: str
    spread_rate: Decimal = ZERO
    outright_rate: Decimal = ZERO

    def __post_init__(self) -> None:
        _check_period("period", self.period)
        if self.spread_rate < 0 or self.outright_rate < 0:
            raise ValueError("rates must not be negative")


@dataclass(frozen=True)
class Outright:
    """Margins per contract from a day on, of a commodity without arrays."""

    on: str
    initial: Decimal
    maintenance: Decimal

    def __post_init__(self) -> None:
        _check_day("on", self.on)
        if not 0 <= self.maintenance <= self.initial:
            raise ValueError("maintenance must not be negative, nor above initial")


@dataclass(frozen=True)
class Commodity:
    """One combined commodity. Its amounts are in `currency`, and so must be what is held of it."""

    currency: str
    range: Range | None = None  # price scan range, for arrays that are computed
    volatility_range: Decimal = ZERO  # volatility scan range: 0.05 is five points
    extreme_multiple: Decimal = Decimal(2)  # of the range, in scenarios 15 and 16
    extreme_cover: Decimal = Decimal("0.33")  # share of their loss that counts
    lookahead_days: int = 1
    composite_weights: tuple[Decimal, ...] = _WEIGHTS  # at 0, 1/3, 2/3 and the whole range
    size: Decimal | None = None  # multiplier of the contract that has delta scale 1; None: every contract has
    contracts: Mapping[str, Listed] = field(default_factory=dict)
    tiers: tuple[Tier, ...] = ()
    spreads: tuple[Spread, ...] = ()  # in order of priority; legs name tiers
    spot: tuple[Spot, ...] = ()
    short_option_minimum: Decimal = ZERO
    counts_together: bool = True  # calls and puts; else the larger of the two
    exposure_rate: Decimal = ZERO
    outright: tuple[Outright, ...] = ()
    calendar_charge: Decimal | None = None  # per spread of two outrights; None: they do not offset

    def __post_init__(self) -> None:
        positive = ("volatility_range", "extreme_multiple", "extreme_cover", "short_option_minimum", "exposure_rate")
        for name in positive:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if self.lookahead_days < 0 or (self.size is not None and self.size <= 0) or (self.calendar_charge or ZERO) < 0:
            raise ValueError("lookahead_days and calendar_charge must not be negative, and size must be above 0")
        weights = self.composite_weights
        if len(weights) != 4 or min(weights) < 0 or not any(weights):
            raise ValueError("composite_weights: four weights are expected, none negative and not all 0")
        names = [tier.name for tier in self.tiers]
        if len(set(names)) < len(names):
            raise ValueError("tiers: every name once")
        for leg in (leg for spread in self.spreads for leg in spread.legs):
            if leg.of not in names:
                raise ValueError(f"spreads: there is no tier {leg.of!r}")

    @property
    def is_outright(self) -> bool:
        """Margined per contract, for want of arrays and of ranges to compute them from."""
        return bool(self.outright) and self.range is None and not self.contracts

    def tier(self, period: str) -> Tier | None:
        """The tier of a contract month; the first that has it."""
        return next((tier for tier in self.tiers if tier.first <= period <= tier.last), None)

    def range_of(self, period: str) -> Range | None:
        """The price scan range of a contract month."""
        tier = self.tier(period)
        return tier.range if tier is not None and tier.range is not None else self.range


@dataclass(frozen=True)
class Parameters:
    """The document: commodities by product code, and credits across them in order of priority."""

    on: str  # the day it was published for
    source: str  # how sentences name it
    commodities: Mapping[str, Commodity]
    gains_are_positive: bool = False  # sign of stated arrays; exchanges' files state losses positive
    credits: tuple[Spread, ...] = ()  # legs name commodities

    def __post_init__(self) -> None:
        _check_day("on", self.on)
        for spread in self.credits:
            names = [leg.of for leg in spread.legs]
            if len(set(names)) < len(names):
                raise ValueError("credits: a commodity stands in a line once")
            if spread.rate > ONE:
                raise ValueError("credits: a rate is a share, at most 1")

    def losses(self, listed: Listed) -> Losses | None:
        """The array that the document states for a contract, losses positive."""
        return None if listed.array is None else as_losses(listed.array, self.gains_are_positive)


def of_day(documents: Mapping[str, Any], terms: Terms, on: date, held: Collection[str]) -> Parameters:
    """The document that the terms name, with the commodities that are `held`: the others are not read.

    Raises ValueError, saying why, where there is none that serves on the day.
    """
    if terms.parameters not in documents:
        raise ValueError(f"no parameters {terms.parameters} are loaded")
    document = documents[terms.parameters]
    listed = document.get("commodities") if isinstance(document, Mapping) else None
    if isinstance(listed, Mapping):
        document = {**document, "commodities": {name: one for name, one in listed.items() if name in held}}
    read = reading.read(Parameters, document, terms.parameters)
    unknown = {leg.of for spread in read.credits for leg in spread.legs} - set(listed or ())
    if unknown:
        raise ValueError(f"parameters {terms.parameters}, credits: there is no commodity {', '.join(sorted(unknown))}")
    published = date.fromisoformat(read.on)
    if published > on:
        raise ValueError(f"parameters {terms.parameters} are of {read.on}, after the day")
    if terms.max_age_days is not None and on - published > timedelta(terms.max_age_days):
        raise ValueError(f"parameters {terms.parameters} are of {read.on}, more than {terms.max_age_days} days old")
    return read


def of_history(rows: Iterable[Mapping[str, str]], *, on: str, source: str, currency: str) -> dict[str, Any]:
    """A document of margins per contract from a table of `product`, `date`, `initial` and `maintenance`."""
    commodities: dict[str, dict[str, Any]] = {}
    for row in rows:
        commodity = commodities.setdefault(row["product"], {"currency": currency, "outright": []})
        entry = {"on": row["date"], "initial": row["initial"], "maintenance": row["maintenance"]}
        commodity["outright"].append(entry)
    return {"on": on, "source": source, "commodities": commodities}
