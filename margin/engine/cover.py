"""The cheapest lawful cover of all option legs of one underlying and of the stock beside them.

What is lawful comes in from the rule book (`methodologies.option_strategies`): *pieces* (a naked short, a pair of short
put and short call, a covered call, a collar …) with their cost, and the *families* within which the universal spread
rule may set longs against shorts. What is cheapest is decided here, as an integer program solved to its optimum
(docs/methodologies/option_strategies.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True)
class Leg:
    """One option series and how many contracts of it are held; short is negative.

    Strike and size are on the axis of the full-size underlying: a reduced-value index has its strike divided by its
    scale and its size multiplied by it.
    """

    right: str  # "call" or "put"
    strike: Decimal
    expires_on: date
    contracts: int
    size: Decimal  # units of the underlying per contract
    families: tuple[int, ...] = ()  # spreads form within one family; none: never in a spread
    spread_cost: Decimal = Decimal(0)  # what one contract loses by serving in a spread: the loan value of a long


@dataclass(frozen=True)
class Piece:
    """Legs (contracts, unsigned) and stock (units of a holding, unsigned) that are margined together, at a cost.

    The cost may be negative: what the piece releases.
    """

    legs: tuple[tuple[int, int], ...]  # (index of the leg, contracts)
    stocks: tuple[tuple[int, Decimal], ...]  # (index of the holding, units)
    cost: Decimal


@dataclass(frozen=True)
class Problem:
    """Every short contract must be in exactly one piece or spread; longs and stock need not be used."""

    legs: tuple[Leg, ...]
    stocks: tuple[Decimal, ...]  # units available of each holding that may cover something, unsigned
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Spread:
    """Legs margined as one set: the maximum potential loss, and the price of the underlying at which it arises."""

    family: int
    legs: tuple[tuple[int, int], ...]  # (index of the leg, contracts, unsigned)
    loss: Decimal
    worst_at: Decimal
    cost: Decimal  # loss + spread_cost of the longs used


@dataclass(frozen=True)
class Cover:
    """The cheapest cover. `cost` is exact: the sum of the pieces' and spreads' costs."""

    pieces: tuple[tuple[int, int], ...]  # (index of the piece, how many)
    spreads: tuple[Spread, ...]
    cost: Decimal


class NoCover(ValueError):
    """A short contract that no piece and no spread takes, or a problem too large to solve; the message says which."""


def cheapest(problem: Problem) -> Cover:
    """The cover of least cost. Deterministic; the order of legs and pieces does not change the cost."""
    raise NotImplementedError


def cheapest_of_many(problems: Sequence[Problem]) -> list[Cover]:
    """Covers of many problems, each distinct one solved once."""
    raise NotImplementedError
