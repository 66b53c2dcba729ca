"""What `tiered` is told: terms of the policy, and a venue's published tables, which change weekly and are documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any

from margin.engine import terms as reading
from margin.engine.columns import KINDS
from margin.engine.exact import ONE, ZERO
from margin.engine.methodologies.tiered.brackets import Bracket, ClosedRange, Power, brackets_of


@dataclass(frozen=True)
class Terms:
    """`parameters` names the published set. `leverage` is the house's limit, below what the venue allows."""

    parameters: str
    leverage: Decimal | None = None

    def __post_init__(self) -> None:
        if not self.parameters:
            raise ValueError("parameters must name a published set")
        if self.leverage is not None and self.leverage < ONE:
            raise ValueError("leverage must be 1 or more")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Terms":
        """Terms from a policy's JSON; ValueError naming the key."""
        return reading.read(cls, document)


@dataclass(frozen=True)
class Step:
    """From a notional of `floor` on. `amount` is the published deduction, by recursion where none is."""

    floor: Decimal
    rate: Decimal
    leverage: Decimal | None = None  # the greatest that is allowed
    amount: Decimal | None = None


@dataclass(frozen=True)
class Range:
    """Of `least` to `most` contracts, both included."""

    least: int
    most: int
    rate: Decimal
    leverage: Decimal | None = None


@dataclass(frozen=True)
class Table:
    """How an instrument is margined, in exactly one of three ways. Notionals are in its settlement currency."""

    brackets: tuple[Step, ...] = ()
    ranges: tuple[Range, ...] = ()
    power: Power | None = None

    def __post_init__(self) -> None:
        if [bool(self.brackets), bool(self.ranges), self.power is not None].count(True) != 1:
            raise ValueError("state brackets, ranges or power, and one of them only")
        _check_steps(self.brackets)
        _check_ranges(self.ranges)
        if self.power is not None:
            _check_rates([self.power.base_rate, self.power.base_initial_rate])
            if self.power.factor < 0:
                raise ValueError("power: factor must not be negative")

    def bracketed(self) -> tuple[Bracket, ...]:
        """The brackets with their deductions: as published, else by recursion."""
        if not self.brackets or self.brackets[0].amount is None:
            return brackets_of([step.floor for step in self.brackets], [step.rate for step in self.brackets])
        return tuple(Bracket(step.floor, step.rate, step.amount or ZERO) for step in self.brackets)

    def ranged(self) -> tuple[ClosedRange, ...]:
        """The closed ranges."""
        return tuple(ClosedRange(one.least, one.most, one.rate) for one in self.ranges)


@dataclass(frozen=True)
class Published:
    """A venue's tables by name, and which of them an instrument has: by its code, else by its kind.

    `source` is what a charge cites, with its date.
    """

    source: str
    tables: Mapping[str, Table]
    instruments: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = set(self.kinds) - set(KINDS)
        if unknown:
            raise ValueError(f"kinds: unknown kinds {', '.join(sorted(unknown))}")
        missing = {*self.instruments.values(), *self.kinds.values()} - set(self.tables)
        if missing:
            raise ValueError(f"tables: none is called {', '.join(sorted(missing))}")

    def table(self, code: str, kind: str) -> Table | None:
        """The table of an instrument, None where none is published."""
        name = self.instruments.get(code, self.kinds.get(kind))
        return None if name is None else self.tables[name]


def _check_steps(steps: Sequence[Step]) -> None:
    if not steps:
        return
    floors = [step.floor for step in steps]
    if floors[0] != 0 or floors != sorted(set(floors)):
        raise ValueError("brackets: floors must rise, from 0")
    _check_rates([step.rate for step in steps])
    _check_leverages([step.leverage for step in steps])
    stated = [step.amount is not None for step in steps]
    if any(stated) and not all(stated):
        raise ValueError("brackets: state every amount, or none")
    if any((step.amount or ZERO) > step.floor * step.rate for step in steps):
        raise ValueError("brackets: an amount must not exceed the maintenance of its floor")


def _check_ranges(ranges: Sequence[Range]) -> None:
    for one, following in pairwise(ranges):
        if following.least != one.most + 1:
            raise ValueError("ranges must follow one another without a gap")
    if any(not 0 <= one.least <= one.most for one in ranges):
        raise ValueError("ranges: least must not be negative, nor above most")
    _check_rates([one.rate for one in ranges])
    _check_leverages([one.leverage for one in ranges])


def _check_rates(rates: Sequence[Decimal]) -> None:
    if rates != sorted(rates) or not all(0 < rate < 1 for rate in rates):
        raise ValueError("rates must be above 0 and below 1, and must not fall with size")


def _check_leverages(leverages: Sequence[Decimal | None]) -> None:
    if any(leverage is not None and leverage < ONE for leverage in leverages):
        raise ValueError("leverage must be 1 or more")
