"""A plan as it is told: what is traded in which order, what that comes to, and what else could have been done."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Trade:
    """One order: sold is negative, bought to cover is positive. Money is in the instrument's currency.

    `slice` counts from 1; orders of one slice are done together. `rank` is the client's: above 0 it was to be kept.
    """

    instrument_id: int
    quantity: Decimal
    price: Decimal
    proceeds: Decimal  # before fee and spread, rounded down; negative when bought
    fee: Decimal  # rounded up
    spread: Decimal  # rounded up
    slice: int
    rank: int


@dataclass(frozen=True)
class Total:
    """What trades come to in base currency, rounded up, and the excess over what is asked once they are done, rounded
    down: below zero it is still missing."""

    value: Decimal
    fee: Decimal
    spread: Decimal
    orders: int
    excess: Decimal
    is_enough: bool


@dataclass(frozen=True)
class Alternative:
    """Another way: by its name, what it trades (id, quantity), and what that comes to."""

    name: str
    trades: tuple[tuple[int, Decimal], ...]
    total: Total


@dataclass(frozen=True)
class Plan:
    """The best trades by the objective, with everything they were weighed against. Amounts are in base currency.

    `whole` is what the demand takes, `trades` the first stage of it: the same where nothing is staged, and after a
    stage a new plan is made. `excess_before` is what is left as the account stands, `after` what is left after each
    slice of the whole. `everything` is what closing all that may be closed would leave: where even that is not enough,
    `residual` is what will be missing after the whole. `breaches` are other regimes that the whole would newly breach.
    Proven: no combination of whole lots is cheaper.
    """

    objective: str
    trades: tuple[Trade, ...]
    whole: tuple[Trade, ...]
    total: Total
    stage: Total
    excess_before: Decimal
    after: tuple[Decimal, ...]
    everything: Total
    alternatives: tuple[Alternative, ...]
    left_out: tuple[tuple[int, str], ...]
    breaches: tuple[str, ...]
    residual: Decimal
    is_proven: bool

    @property
    def is_enough(self) -> bool:
        """Whether the whole meets the demand."""
        return self.total.is_enough

    @property
    def is_staged(self) -> bool:
        """Whether something of the whole is left for later stages."""
        return self.trades != self.whole
