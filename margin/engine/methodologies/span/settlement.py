"""What futures pay day by day: variation margin, the margins in force on a day, and what expiry would leave."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Protocol, TypeVar

from margin.engine.exact import ZERO


@dataclass(frozen=True)
class Day:
    """One settlement: the balance before the day's call, which may be below nothing, and the call."""

    balance: Decimal
    call: Decimal


def variation(contracts: Decimal, multiplier: Decimal, before: Decimal, settled: Decimal) -> Decimal:
    """What signed contracts receive (negative: pay) from one settlement price to the next. Prices may be negative."""
    return contracts * multiplier * (settled - before)


def path(
    *,
    contracts: Decimal,
    multiplier: Decimal,
    entry: Decimal,
    settlements: Sequence[Decimal],
    balance: Decimal,
    initial: Decimal,
    maintenance: Decimal,
) -> list[Day]:
    """A futures account from day to day: below maintenance it is called up to initial, and pays before the next mark.

    `contracts` are signed; `initial` and `maintenance` are of the whole position.
    """
    days, before = [], entry
    for settled in settlements:
        balance += variation(contracts, multiplier, before, settled)
        call = initial - balance if balance < maintenance else ZERO
        days.append(Day(balance, call))
        balance, before = balance + call, settled
    return days


class Dated(Protocol):
    """What is in force from a day on."""

    @property
    def on(self) -> str: ...  # "2001-12-11"


D = TypeVar("D", bound=Dated)


def in_force(history: Sequence[D], on: date) -> D | None:
    """The last entry that is not after the day; None before the first."""
    known = [entry for entry in history if date.fromisoformat(entry.on) <= on]
    return max(known, key=lambda entry: entry.on) if known else None


@dataclass(frozen=True)
class Expired:
    """An account after its options were exercised: cash, the shares it was delivered, and both together."""

    cash: Decimal
    stock: Decimal

    @property
    def net_liquidation(self) -> Decimal:
        """Cash and stock."""
        return self.cash + self.stock


def exercised(
    *, cash: Decimal, contracts: Decimal, multiplier: Decimal, strike: Decimal, price: Decimal, right: str = "call"
) -> Expired:
    """What exercise leaves at a price: signed contracts (long exercises, short is assigned) deliver at the strike."""
    units = contracts * multiplier * (1 if right == "call" else -1)
    return Expired(cash - units * strike, units * price)
