"""Sales that move prices, and losses that force sales: Cont and Schaanning (2017). float64.

A bank of marketable assets Π, illiquid assets I and capital C sells when its leverage (Π + I) / C is above a cap, down
to a target below it. Everybody sells into the same depth, the price falls, everybody who still holds loses; repeat.
"""

import math
from dataclasses import dataclass

import numpy as np

from margin.engine.columns import Array


@dataclass(frozen=True)
class Depth:
    """`depth` D: currency that moves the price by a first-order 100 %; `delta` (1 - B/S₀) D keeps it above B."""

    depth: float
    delta: float


@dataclass(frozen=True)
class Shocked:
    """Banks after a loss of illiquid assets. float64 [banks]."""

    illiquid: Array
    capital: Array


@dataclass(frozen=True)
class Updated:
    """Banks after sales at a price impact. float64 [banks]."""

    marketable: Array
    loss: Array


@dataclass(frozen=True)
class Round:
    """One round of deleveraging. float64 [banks], but for sold, impact and price."""

    gamma: Array  # share of the marketable assets that is sold
    sold: float
    impact: float
    price: float
    marketable: Array
    capital: Array


def initial_shock(capital: Array, illiquid: Array, shock: Array) -> Shocked:
    """Illiquid assets [banks, assets] lose the shares `shock` [assets]; capital bears it and stops at 0."""
    held = np.asarray(illiquid, np.float64)
    loss = held @ np.asarray(shock, np.float64)
    return Shocked(held.sum(axis=1) - loss, np.maximum(np.asarray(capital, np.float64) - loss, 0.0))


def market_depth(*, adv: float, sigma: float, c: float, tau: float, floor: float, price: float) -> Depth:
    """D = c · ADV / σ · √τ, and δ = (1 - B/S) D: volume a day in currency, volatility a day, τ days to sell in.

    Raises ValueError where there is no volume, no volatility or no time: that market has no depth that is known.
    """
    if not (adv > 0 and sigma > 0 and c > 0 and tau > 0):
        raise ValueError("volume, volatility, c and the days to sell in must all be positive")
    if not 0 <= floor < price:
        raise ValueError(f"the floor {floor:g} must be from 0 to below the price {price:g}")
    depth = c * adv / sigma * math.sqrt(tau)
    return Depth(depth, (1 - floor / price) * depth)


def delever_share(marketable: Array, illiquid: Array, capital: Array, *, cap: float, target: float) -> Array:
    """Γ = min(1, (Π + I - target C) / Π) where (Π + I) / C is above the cap, else 0. Without capital all is sold."""
    liquid, total = np.asarray(marketable, np.float64), np.asarray(marketable, np.float64) + illiquid
    own = np.maximum(np.asarray(capital, np.float64), 0.0)
    wanted = np.divide(total - target * own, liquid, out=np.zeros_like(liquid), where=liquid > 0)
    share: Array = np.where(total > cap * own, np.clip(wanted, 0.0, 1.0), 0.0)
    return share


def price_impact(sold: float, *, delta: float, floor: float, price: float) -> float:
    """Ψ = (1 - B/S)(1 - exp(-q/δ)): the share of the price that selling q takes; never through the floor B."""
    return (1 - floor / price) * -math.expm1(-sold / delta)


def balance_update(marketable: Array, gamma: Array, impact: float, alpha: float) -> Updated:
    """(1 - Γ)(1 - Ψ)Π is kept; (1 - (1 - α)Γ)ΠΨ is lost, the share α of what is sold going at the new price."""
    held, share = np.asarray(marketable, np.float64), np.asarray(gamma, np.float64)
    return Updated((1 - share) * (1 - impact) * held, (1 - (1 - alpha) * share) * held * impact)


def rounds(
    marketable: Array,
    illiquid: Array,
    capital: Array,
    *,
    cap: float,
    target: float,
    alpha: float,
    delta: float,
    floor: float,
    price: float = 1.0,
    most: int,
) -> list[Round]:
    """Deleveraging round after round, `most` at most; the list ends where nobody sells any more."""
    held, own = np.asarray(marketable, np.float64), np.asarray(capital, np.float64)
    found: list[Round] = []
    for _ in range(most):
        gamma = delever_share(held, illiquid, own, cap=cap, target=target)
        sold = float(gamma @ held)
        if sold <= 0:
            break
        impact = price_impact(sold, delta=delta, floor=floor, price=price)
        after = balance_update(held, gamma, impact, alpha)
        held, own, price = after.marketable, own - after.loss, price * (1 - impact)
        found.append(Round(gamma, sold, impact, price, held, own))
    return found
