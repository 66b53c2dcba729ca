"""The words between a methodology and the engine: lanes and charges per unit, totals and levels per account."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine.columns import CASH, KINDS, Array, Instruments
from margin.engine.exact import ONE, ZERO, inverse

VALUE, REQUIREMENT, INITIAL = "value", "requirement", "initial"
PROFIT = "profit"  # what futures and perpetuals are worth beyond what they cost: part of VALUE in the end
MARGINED = (KINDS.index("future"), KINDS.index("perpetual"))  # paid by variation margin, so only their profit is owned
_INVERSE_DIGITS = 18
CHARGED = frozenset({REQUIREMENT, INITIAL})  # the lanes that a part takes over where it claims a position


@dataclass(frozen=True)
class Lane:
    """What one unit adds to a sum, held long or short: Decimals in the instrument's currency, one per instrument."""

    long: Array
    short: Array

    def take(self, rows: Array) -> "Lane":
        """The lane of the chosen instruments, in that order."""
        return Lane(self.long[rows], self.short[rows])


@dataclass(frozen=True)
class Sentence:
    """How a branch of a rule is told: a template over its inputs, and the law it comes from."""

    template: str
    law: str


@dataclass(frozen=True)
class UnitCharge:
    """One component of a requirement per unit: amounts, the branch that binds, and the inputs a sentence names."""

    code: str
    amount: Lane
    branch: Lane  # str
    inputs: Mapping[str, Array]
    sentences: Mapping[str, Sentence]

    def take(self, rows: Array, counts: Array) -> "UnitCharge":
        """The charge of the chosen instruments, nothing where `counts` is false."""
        return UnitCharge(
            code=self.code,
            amount=restricted(self.amount.take(rows), counts),
            branch=self.branch.take(rows),
            inputs={name: column[rows] for name, column in self.inputs.items()},
            sentences=self.sentences,
        )


@dataclass(frozen=True)
class Box:
    """What one unit is asked where the same security is held long and short: on the smaller side, all of which has its
    counterpart, in place of its charges. The larger side keeps its own, so amounts here have those taken off."""

    charge: UnitCharge
    initial: Lane

    def take(self, rows: Array, counts: Array) -> "Box":
        """The box of the chosen instruments, nothing where `counts` is false."""
        return Box(self.charge.take(rows, counts), restricted(self.initial.take(rows), counts))


@dataclass(frozen=True)
class Units:
    """A methodology's instrument grain. The lane "requirement" is the sum of the charges, unit by unit.

    `refused` is '' or the reason why a holding, long or short, cannot be measured. `equity` names the lanes that make
    up the equity, each with its sign.
    """

    lanes: Mapping[str, Lane]
    charges: tuple[UnitCharge, ...]
    refused: Lane  # str
    equity: Mapping[str, int]
    counts_cost: Array | None = None  # bool: instruments whose long cost is summed as totals["cost"]
    is_margined: Array | None = None  # bool: instruments of which only the profit, value less cost, is equity
    box: Box | None = None  # None: both sides of a security are charged as if the other were not there

    def take(self, rows: Array, claimed: Array) -> "Units":
        """The units of the chosen instruments. Where `claimed`, a part charges them: what is left is their value."""
        return Units(
            lanes={
                name: restricted(lane.take(rows), ~claimed) if name in CHARGED else lane.take(rows)
                for name, lane in self.lanes.items()
            },
            charges=tuple(charge.take(rows, ~claimed) for charge in self.charges),
            refused=restricted(self.refused.take(rows), ~claimed, ""),
            equity=self.equity,
            counts_cost=None if self.counts_cost is None else self.counts_cost[rows],
            is_margined=None if self.is_margined is None else self.is_margined[rows],
            box=self.box and self.box.take(rows, ~claimed),
        )

    def with_boxes(self, rows: Array) -> "Units":
        """The units, followed by those of `rows` as the smaller side of what is held long and short."""
        count = len(self.refused.long)
        everything = np.concatenate([np.arange(count), rows])
        is_boxed = np.arange(len(everything)) >= count
        units = self.take(everything, np.zeros(len(everything), bool))
        if units.box is None:
            return units
        boxed = {REQUIREMENT: units.box.charge.amount, INITIAL: units.box.initial}
        return replace(
            units,
            lanes={
                name: joined(lane, boxed[name], is_boxed) if name in CHARGED else lane
                for name, lane in units.lanes.items()
            },
            charges=(
                *(replace(charge, amount=restricted(charge.amount, ~is_boxed)) for charge in units.charges),
                replace(units.box.charge, amount=restricted(units.box.charge.amount, is_boxed)),
            ),
        )


@dataclass(frozen=True)
class AccountCharge:
    """A charge on whole accounts, one amount each; 0 where it does not arise."""

    code: str
    amount: Array
    branch: Array  # str
    inputs: Mapping[str, Array]
    sentences: Mapping[str, Sentence]


@dataclass(frozen=True)
class Totals:
    """Sums per account in its base currency, by lane name: float64 for screening, or exact Decimals.

    `number` turns a Decimal constant into the same arithmetic. `fx` gives what one unit of the methodology's own
    currency is worth in each account's base currency.
    """

    columns: Mapping[str, Array]
    number: Callable[[Decimal], Any]
    fx: Array  # in the same arithmetic
    cost_unknown: Array  # bool

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]


@dataclass(frozen=True)
class Levels:
    """What accounts have and must have. None levels follow from the regime's rates times the requirement.

    Where `applies` is false the regime asks nothing: requirement 0, status QUIET. Where `doubtful` is true something is
    unknown and the requirement is its upper bound: QUIET is then certain, and anything else is UNPRICED.
    """

    equity: Array
    requirement: Array
    initial: Array
    applies: Array
    warning: Array | None = None
    restore: Array | None = None
    severe: Array | None = None
    doubtful: Array | None = None
    charges: tuple[AccountCharge, ...] = field(default=())


def governed(instruments: Instruments, kinds: Sequence[str]) -> Array:
    """Which instruments a rule for `kinds` sees: those kinds, and cash."""
    return is_of(instruments, (CASH, *(KINDS.index(kind) for kind in kinds)))


def is_of(instruments: Instruments, kinds: Sequence[int]) -> Array:
    """Which instruments are of these kinds, by their numbers."""
    chosen = np.zeros(len(KINDS), bool)
    chosen[list(kinds)] = True
    found: Array = chosen[instruments.kind]
    return found


def worth(instruments: Instruments) -> Array:
    """Market value of one unit, in the instrument's currency. Call inside `exact.exactly()`.

    An inverse future or perpetual is paid in the coin it is priced in: one unit is a debt of multiplier ÷ price coins,
    so that its value rises with the price. The quotient is fixed once to 18 digits. Options are priced in coins.
    """
    value: Array = instruments.price * instruments.multiplier
    for i, contract in enumerate(instruments.contract):
        is_inverse = contract is not None and contract.is_inverse and instruments.kind[i] in MARGINED
        if is_inverse and instruments.price[i]:
            value[i] = -instruments.multiplier[i] * inverse(instruments.price[i], _INVERSE_DIGITS)
    return value


def gain(instruments: Instruments, move: Decimal) -> Array:
    """What one unit of each instrument gains, linear ones exactly, when its own price moves by the rate `move`.

    An inverse contract's gain in coins is its notional × move ÷ (1 + move). Call inside `exact.exactly()`.
    """
    gains: Array = worth(instruments) * move
    for i, contract in enumerate(instruments.contract):
        if contract is not None and contract.is_inverse and instruments.kind[i] in MARGINED:
            gains[i] = -gains[i] * inverse(ONE + move, _INVERSE_DIGITS)
    return gains


def with_profit(units: Units, instruments: Instruments, rows: Array) -> Units:
    """The units with the lane PROFIT on those of `rows` that are margined. Call inside `exact.exactly()`."""
    margined = rows & is_of(instruments, MARGINED)
    if VALUE not in units.lanes or not margined.any():
        return units
    value = worth(instruments)
    lane = restricted(Lane(value, -value), margined)
    return replace(units, lanes={**units.lanes, PROFIT: lane}, equity={**units.equity, PROFIT: 1}, is_margined=margined)


def pick(where: Array, yes: Any, no: Any) -> Array:
    """`yes` where true, `no` elsewhere: numpy.where, whose types do not know Decimals."""
    chosen: Array = np.where(where, yes, no)
    return chosen


def larger(one: Any, other: Any) -> Array:
    """Row by row the larger, for Decimals and floats alike."""
    return np.asarray(np.maximum(one, other))


def smaller(one: Any, other: Any) -> Array:
    """Row by row the smaller, for Decimals and floats alike."""
    return np.asarray(np.minimum(one, other))


def nothing(count: int) -> Array:
    """A column of exact zeros."""
    return np.full(count, ZERO, object)


def greatest(branches: Mapping[str, Array]) -> tuple[Array, Array]:
    """(the greatest amount, the branch it comes from) per row; the first named wins a tie."""
    names = list(branches)
    amount = branches[names[0]].copy()
    branch = np.full(len(amount), names[0], object)
    for name in names[1:]:
        larger = (branches[name] > amount).astype(bool)
        amount[larger] = branches[name][larger]
        branch[larger] = name
    return amount, branch


def restricted(lane: Lane, rows: Array, otherwise: Any = ZERO) -> Lane:
    """The lane where `rows` is true, `otherwise` elsewhere."""
    return Lane(pick(rows, lane.long, otherwise), pick(rows, lane.short, otherwise))


def joined(lane: Lane, other: Lane, rows: Array) -> Lane:
    """The other lane where `rows` is true, the lane elsewhere."""
    return Lane(pick(rows, other.long, lane.long), pick(rows, other.short, lane.short))


def silence(count: int) -> Array:
    """A column of empty strings."""
    return np.full(count, "", object)


def added(lanes: Sequence[Lane]) -> Lane:
    """The sum of lanes, unit by unit. Call inside `exact.exactly()`."""
    first = lanes[0]
    long, short = first.long, first.short
    for lane in lanes[1:]:
        long, short = long + lane.long, short + lane.short
    return Lane(long, short)
