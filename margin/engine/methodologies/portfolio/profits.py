"""Profits of class groups at every point: exact sums of what their positions gain or lose.

Unit profits of options are rounded once, to 1e-6 of the instrument's currency; those of stock are exact. Everything
after that is sums of integers: 64-bit where they fit, Python's otherwise, to the same digits.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine import valuation
from margin.engine.columns import Array, Instruments
from margin.engine.exact import ONE, ZERO
from margin.engine.groups import Groups
from margin.engine.measures import worth
from margin.engine.methodologies.portfolio import classes
from margin.engine.methodologies.portfolio.classes import Classes, Underlyings
from margin.engine.methodologies.portfolio.terms import Terms
from margin.engine.valuation import Model

_UNIT_DECIMALS = 6
_LARGEST = 2**63


@dataclass(frozen=True)
class Measured:
    """Class groups with their figures, in the currency of their group: integers ÷ 10^decimals."""

    groups: Groups
    instruments: Instruments  # those in groups
    instrument: Array  # int64[q] row of `instruments`, per position of the groups
    found: Underlyings
    classes: Classes
    profits: Array  # [c, points]
    minimums: Array  # [c]
    requirements: Array  # [c] the greater of the greatest loss and the minimum
    decimals: int

    def amount(self, whole: Any) -> Decimal:
        """One of the integers as an amount."""
        return Decimal(int(whole)).scaleb(-self.decimals)


def measured_of(
    groups: Groups,
    instruments: Instruments,
    instrument: Array,
    found: Underlyings,
    model: Model,
    minimum: Array,
    terms: Terms,
) -> Measured:
    arranged = classes.arrange(groups, instrument, found, terms)
    sizes = np.diff(arranged.offsets)
    rows, moves = instrument[arranged.place], np.repeat(arranged.moves, sizes)
    width = len(arranged.listed_moves)
    pairs, which = np.unique(rows * width + moves, return_inverse=True)
    pairs = np.column_stack(np.divmod(pairs, width)) if width else np.zeros((0, 2), np.int64)
    table, table_decimals = _profit_table(instruments, model, pairs, arranged.listed_moves, terms.points)
    weights, weight_decimals = _integers((groups.quantity * groups.to_group)[arranged.place])
    floors, floor_decimals = _integers(minimum)
    common = max(table_decimals, floor_decimals)
    table, floors = table * 10 ** (common - table_decimals), floors * 10 ** (common - floor_decimals)
    table, floors, weights = _narrowed(table, floors, weights, int(sizes.max(initial=0)))
    starts = arranged.offsets[:-1]
    profits = _sums(table[which] * weights[:, None], starts)
    minimums = _sums(floors[rows] * np.abs(weights), starts)
    worst = -profits.min(axis=1) if len(profits) else minimums
    return Measured(
        groups=groups,
        instruments=instruments,
        instrument=instrument,
        found=found,
        classes=arranged,
        profits=profits,
        minimums=minimums,
        requirements=np.maximum(worst, minimums),
        decimals=common + weight_decimals,
    )


def _profit_table(
    instruments: Instruments, model: Model, pairs: Array, listed: tuple[tuple[Decimal, ...], ...], points: int
) -> tuple[Array, int]:
    """([pairs, points] profits of one unit held long as Python integers, their decimals); pairs are (instrument,
    moves). What is refused profits nothing."""
    exact = np.full((len(pairs), points), ZERO, object)
    value = worth(instruments)
    for k, moves in enumerate(listed):
        at = np.flatnonzero(pairs[:, 1] == k)
        linear = at[~model.is_option[pairs[at, 0]]]
        exact[linear] = np.outer(value[pairs[linear, 0]], np.array(moves, object))
    whole, decimals = _integers(exact)
    whole = whole * 10 ** max(_UNIT_DECIMALS - decimals, 0)
    decimals = max(decimals, _UNIT_DECIMALS)
    for k, moves in enumerate(listed):
        at = np.flatnonzero(pairs[:, 1] == k)
        chosen = at[(model.is_option & (model.refused == ""))[pairs[at, 0]]]
        if chosen.size:
            shocks = np.array(moves, np.float64)
            profits = valuation.unit_values(model.take(pairs[chosen, 0]), shocks, np.zeros(len(shocks)))
            rounded = np.rint(profits * 10.0**_UNIT_DECIMALS)
            whole[chosen] = python_integers(rounded) * 10 ** (decimals - _UNIT_DECIMALS)
    return whole, decimals


def _integers(amounts: Array) -> tuple[Array, int]:
    """(the amounts times 10^decimals as Python integers, the fewest such decimals). Call inside `exactly()`."""
    whole = python_integers(amounts)
    if (whole == amounts).all():
        return whole, 0
    decimals = max(-int(amount.as_tuple().exponent) for amount in amounts.flat if amount)
    return python_integers(amounts * ONE.scaleb(decimals)), decimals


def python_integers(numbers: Array) -> Array:
    out = np.empty(numbers.shape, object)
    out.reshape(-1)[:] = [int(number) for number in numbers.flat]
    return out


def _narrowed(table: Array, floors: Array, weights: Array, most: int) -> tuple[Array, Array, Array]:
    """As 64-bit integers if no sum of `most` products can leave them, else as they are."""
    unit = max((abs(number) for column in (table, floors) for number in column.flat), default=0)
    weight = max((abs(number) for number in weights), default=0)
    if max(unit, 1) * max(weight, 1) * max(most, 1) >= _LARGEST:
        return table, floors, weights
    return table.astype(np.int64), floors.astype(np.int64), weights.astype(np.int64)


def _sums(columns: Array, starts: Array) -> Array:
    return np.add.reduceat(columns, starts, axis=0) if len(starts) else columns[:0]
