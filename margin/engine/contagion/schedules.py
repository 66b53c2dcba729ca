"""How fast to sell: the least cost for a given dislike of risk, Almgren and Chriss (2000). float64.

Selling fast moves the price, selling slowly leaves the rest to the market. Of all schedules of N equal periods over T
days the cheapest at risk aversion λ keeps x_j = X sinh(κ(T - t_j)) / sinh(κT), with cosh(κτ) = 1 + τ²κ̃²/2 and
κ̃² = λσ²/η̃, η̃ = η - γτ/2.
"""

import math
from dataclasses import dataclass

import numpy as np

from margin.engine.columns import Array

_STRAIGHT = 1e-9  # κT below which the hyperbola is a straight line to the last digit


@dataclass(frozen=True)
class Market:
    """What selling costs, per unit sold and its currency."""

    volatility: float  # σ: of the price, in currency per √day
    permanent: float  # γ: price per unit sold
    temporary: float  # η: price per unit sold in a day
    half_spread: float = 0.0  # currency per unit


@dataclass(frozen=True)
class Schedule:
    """x_0 … x_N held, n_1 … n_N sold; cost and variance of the cost in currency and its square."""

    holdings: Array  # float64 [N + 1]
    sales: Array  # float64 [N]
    mean: float
    variance: float
    penalty: float  # mean + λ variance: what the schedule makes least
    half_life: float  # 1/κ̃, days; inf where risk does not count


def optimal(quantity: float, *, days: float, periods: int, aversion: float, market: Market) -> Schedule:
    """The schedule of least cost for `quantity` > 0 within `days`, at risk aversion λ per unit of currency.

    Raises ValueError where the periods are so long that the permanent impact outgrows the temporary one (η̃ ≤ 0).
    """
    if not (quantity > 0 and days > 0 and periods > 0 and aversion >= 0):
        raise ValueError("quantity, days and periods must be positive, and risk aversion not negative")
    tau = days / periods
    eta = market.temporary - market.permanent * tau / 2
    if eta <= 0:
        raise ValueError("the temporary impact must exceed half the permanent one of a period; take more periods")
    urgency = math.sqrt(aversion * market.volatility**2 / eta)  # κ̃
    kappa = math.acosh(1 + (tau * urgency) ** 2 / 2) / tau
    holdings = quantity * _shape(kappa * days, periods)
    sales = -np.diff(holdings)
    mean = market.permanent * quantity**2 / 2 + market.half_spread * quantity + eta / tau * float(sales @ sales)
    variance = market.volatility**2 * tau * float(holdings[1:] @ holdings[1:])
    return Schedule(
        holdings, sales, mean, variance, mean + aversion * variance, 1 / urgency if urgency > 0 else math.inf
    )


def _shape(bend: float, periods: int) -> Array:
    """sinh(κ(T - t_j)) / sinh(κT) for j = 0 … N, by exponentials that cannot overflow."""
    left = 1 - np.arange(periods + 1) / periods
    if bend < _STRAIGHT:
        return left
    shape: Array = np.exp(bend * (left - 1)) * np.expm1(-2 * bend * left) / math.expm1(-2 * bend)
    return shape
