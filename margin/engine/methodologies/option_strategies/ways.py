"""A way to margin some legs together, and what a group holds. The modules beside this one say which are lawful."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from margin.engine.columns import Market
from margin.engine.exact import ZERO
from margin.engine.methodologies.option_strategies.legs import Holding, Series
from margin.engine.methodologies.option_strategies.terms import Terms


@dataclass(frozen=True)
class Position:
    """One option position of a group: its place there, its series and its contracts, short negative."""

    place: int
    series: Series
    contracts: int

    @property
    def is_short(self) -> bool:
        return self.contracts < 0


@dataclass(frozen=True)
class Stock:
    """One position in stock, a convertible or a warrant: `units` are unsigned, the holding knows its side."""

    place: int
    holding: Holding
    units: Decimal


@dataclass(frozen=True)
class Held:
    """A group's positions, with the day and the terms that decide which ways are open to them.

    `lost[k]` is the excess that one contract of option k gives by its own loan value, and loses in any use.
    """

    options: tuple[Position, ...]
    stocks: tuple[Stock, ...]
    lost: tuple[Decimal, ...]
    market: Market
    terms: Terms


@dataclass(frozen=True)
class Way:
    """Contracts of some options and units of some stock, margined together once.

    `requirement` and `initial` are on equity and cover everything the way uses; `equity` is what it adds to what the
    base methodology counts, negative where stock is valued below its market. `opening` is the requirement when the
    trade is made, before long options are paid; for short stock without the proceeds. `cost` is what the account's
    excess loses against leaving the longs and the stock alone.
    """

    rule: str
    branch: str
    options: tuple[tuple[int, int], ...]  # (index of the option, contracts, unsigned)
    stocks: tuple[tuple[int, Decimal], ...]  # (index of the stock, units, unsigned)
    requirement: Decimal
    initial: Decimal
    opening: Decimal
    inputs: Mapping[str, Any]
    equity: Decimal = ZERO
    cost: Decimal = ZERO
