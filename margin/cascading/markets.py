"""How deep each market is, and where sales leave its price: Cont and Schaanning (2017), instrument by instrument.

    D = c · ADV / σ · √τ        δ = (1 - B/S₀) D        S' = S - (S - B)(1 - exp(-q/δ))

S₀ is the price after the shock and B a share of it. Purchases mirror sales: S' = S + (S - B)(1 - exp(-q/δ)). What has
no volume or no volatility has no depth: its price stays, and the answer says so. float64, rounded once to ten digits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal

import numpy as np

from margin.cascading.question import CascadeQuestion
from margin.engine.columns import CASH, KINDS, Array, Instruments
from margin.engine.contagion import fire_sales
from margin.engine.exact import ONE, ZERO, exactly
from margin.engine.measures import worth

PRICE = Context(prec=10, rounding=ROUND_HALF_EVEN)
FOLLOWERS = tuple(KINDS.index(kind) for kind in ("future", "perpetual"))


@dataclass(frozen=True)
class Depths:
    """Per row of Instruments: how much moves the price, in the instrument's currency; NaN where it is not known."""

    depth: Array  # float64: D
    delta: Array  # float64: δ
    floor: Array  # float64: B
    volatility: Array  # float64: per day; NaN where not known
    daily_volume: Array  # float64 units
    why_unknown: Mapping[int, str]

    def over(self, stages: Array) -> "Depths":
        """The same markets where sales are spread over so many times the days: depth grows with the root of time."""
        root = np.sqrt(stages)
        return replace(self, depth=self.depth * root, delta=self.delta * root)

    def impact(self, row: int, sold: float, price: float) -> float:
        """Share of the price that selling so much currency takes; negative for purchases, 0 without depth."""
        if not np.isfinite(self.delta[row]) or not price > 0:
            return 0.0
        delta, floor = float(self.delta[row]), float(self.floor[row])
        size = fire_sales.price_impact(abs(sold), delta=delta, floor=floor, price=price)
        return size if sold >= 0 else -size


def depths(instruments: Instruments, volatility: Mapping[str, Decimal], asked: CascadeQuestion) -> Depths:
    """The depth of every market at the instruments' (shocked) prices, from stated or stored volume and volatility."""
    names = ("depth", "delta", "floor", "volatility", "daily_volume")
    columns = {name: np.full(len(instruments), np.nan) for name in names}
    unknown: dict[int, str] = {}
    with exactly():
        units = np.abs(worth(instruments))
    for row in np.flatnonzero(instruments.priced & (instruments.kind != CASH)).tolist():
        code = str(instruments.codes[row])
        volume = asked.daily_volumes.get(code, instruments.daily_volume[row])
        sigma = volatility.get(code)
        price = float(instruments.price[row])
        if volume is None or sigma is None or not price > 0:
            missing = [n for n, is_there in (("daily volume", volume), ("volatility", sigma)) if is_there is None]
            unknown[row] = f"no {' and no '.join(missing)} is known" if missing else "its price is not positive"
            continue
        found = fire_sales.market_depth(
            adv=float(volume) * float(units[row]),
            sigma=float(sigma),
            c=float(asked.depth_rate),
            tau=float(asked.days),
            floor=float(asked.floor_rate) * price,
            price=price,
        )
        numbers = (found.depth, found.delta, float(asked.floor_rate) * price, float(sigma), float(volume))
        for name, number in zip(names, numbers, strict=True):
            columns[name][row] = number
    return Depths(**columns, why_unknown=unknown)


def after_sales(own: Array, units: Array, depths: Depths, sold: Mapping[int, Decimal]) -> Array:
    """Prices of their own (Decimal per row) after these net quantities are sold, each worth `units`; bought is
    negative."""
    out = own.copy()
    for row, quantity in sold.items():
        price = own[row]
        impact = depths.impact(row, float(quantity) * float(units[row]), float(price))
        if impact:
            out[row] = PRICE.multiply(price, ONE - Decimal(repr(round(impact, 12))))
    return out


def followed(instruments: Instruments, shocked: Array, own: Array) -> Array:
    """Prices as they count: a future or perpetual also moves as what it is on has moved since the shock."""
    out = own.copy()
    rows = {int(id): row for row, id in enumerate(instruments.ids)}
    for row in np.flatnonzero(np.isin(instruments.kind, FOLLOWERS)).tolist():
        contract = instruments.contract[row]
        at = rows.get(contract.underlying) if contract is not None else None
        if at is not None and own[at] != shocked[at] and shocked[at] > 0:
            out[row] = PRICE.multiply(own[row], PRICE.divide(own[at], shocked[at]))
    return out


def executed(before: Array, after: Array, late_rate: Decimal) -> Array:
    """What sales fetch on average: the share α at the new price, the rest at the old one. Exact."""
    with exactly():
        moved = [old + (new - old) * late_rate if new != old else old for old, new in zip(before, after, strict=True)]
    out = np.full(len(before), ZERO, object)
    out[:] = moved
    return out
