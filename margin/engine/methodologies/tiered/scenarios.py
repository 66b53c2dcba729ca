"""Scenario margin as Paradex publishes it: the worst weighted move of one coin's price and volatility, and at least a
charge on deltas. docs/methodologies/tiered.md.

Model values, in float64 and unrounded. Quantities are signed, in coins; amounts in quoted money; rates are fractions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from margin.engine.columns import Array
from margin.engine.pricing import black76

_YEAR = 365.0
_MONTH = 30.0


@dataclass(frozen=True)
class Move:
    """A relative move of the price with volatility up or down, and the share of its loss that counts."""

    rate: float
    is_up: bool
    weight: float = 1.0


@dataclass(frozen=True)
class Grid:
    """Moves, and how volatility moves with them: by `up` or −`down` × (30 ÷ days)^power, days at least one."""

    moves: tuple[Move, ...]
    up: float
    down: float
    near_power: float  # below 30 days
    far_power: float
    net_rate: float  # of the net delta's value
    hedged_rate: float  # of the deltas that offset one another
    maintenance_share: float


_NEAR = tuple(Move(rate, is_up) for rate in (-0.16, -0.08, 0.0, 0.08, 0.16) for is_up in (True, False))
_FAR = ((-0.66, 0.24), (-0.33, 0.48), (0.5, 0.32), (1.0, 0.16), (2.0, 0.08), (3.0, 0.0533), (4.0, 0.04), (5.0, 0.032))
PARADEX = Grid(
    moves=_NEAR + tuple(Move(rate, True, weight) for rate, weight in _FAR),
    up=0.40,
    down=0.22,
    near_power=0.3,
    far_power=0.13,
    net_rate=0.02,
    hedged_rate=0.01,
    maintenance_share=0.5,
)


@dataclass(frozen=True)
class Option:
    """Options of one series, on the forward of their expiry; the forward moves with the coin."""

    quantity: float
    forward: float
    strike: float
    days: float
    volatility: float
    is_call: bool


@dataclass(frozen=True)
class ScenarioMargin:
    """Margins with the provision for fees in them; `worst` is the move that loses `loss`, None where none loses."""

    initial: float
    maintenance: float
    loss: float
    worst: Move | None
    minimum: float


def scenario_margin(
    *, spot: float, perpetuals: float, options: Sequence[Option], fees: float, grid: Grid = PARADEX
) -> ScenarioMargin:
    """IM = max(worst weighted loss, minimum delta charge) + fees; MM = its share of that without fees, + fees."""
    losses = [-move.weight * _gain(spot, perpetuals, options, move, grid) for move in grid.moves]
    loss = max(0.0, *losses)
    minimum = _delta_charge(spot, perpetuals, options, grid)
    asked = max(loss, minimum)
    worst = grid.moves[losses.index(loss)] if loss > 0 else None
    return ScenarioMargin(asked + fees, grid.maintenance_share * asked + fees, loss, worst, minimum)


def _gain(spot: float, perpetuals: float, options: Sequence[Option], move: Move, grid: Grid) -> float:
    linear = perpetuals * spot * move.rate
    if not options:
        return linear
    shocked = np.array([one.volatility * (1 + _shock(one.days, move.is_up, grid)) for one in options])
    change = _values(options, 1 + move.rate, np.maximum(shocked, 0.0)) - _values(
        options, 1.0, np.array([one.volatility for one in options])
    )
    return linear + float(np.array([one.quantity for one in options]) @ change)


def _values(options: Sequence[Option], factor: float, volatility: Array) -> Array:
    """Undiscounted values of one option each, with the forwards moved by `factor`."""
    return black76(
        np.array([one.forward * factor for one in options]),
        np.array([one.strike for one in options]),
        np.array([one.days / _YEAR for one in options]),
        0.0,
        volatility,
        np.array([one.is_call for one in options]),
    )


def _shock(days: float, is_up: bool, grid: Grid) -> float:
    power = grid.near_power if days < _MONTH else grid.far_power
    scale = (_MONTH / max(days, 1.0)) ** power
    return grid.up * scale if is_up else -grid.down * scale


def _delta_charge(spot: float, perpetuals: float, options: Sequence[Option], grid: Grid) -> float:
    """(rate × |net delta| + rate × hedged delta) × spot; hedged is the smaller of all long and all short deltas."""
    deltas = [perpetuals, *(one.quantity * _delta(one) for one in options)]
    long, short = sum(each for each in deltas if each > 0), -sum(each for each in deltas if each < 0)
    return (grid.net_rate * abs(long - short) + grid.hedged_rate * min(long, short)) * spot


def _delta(option: Option) -> float:
    """N(d₁) of a call, N(d₁) − 1 of a put; at expiry 1 in the money, ½ at it, 0 out of it."""
    deviation = option.volatility * (option.days / _YEAR) ** 0.5
    distance = np.log(option.forward / option.strike)
    if deviation > 0:
        chance = NormalDist().cdf(float(distance) / deviation + deviation / 2)
    else:
        chance = 0.5 + 0.5 * float(np.sign(distance))
    return chance if option.is_call else chance - 1
