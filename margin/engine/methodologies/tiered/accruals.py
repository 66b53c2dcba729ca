"""What a position pays while it is held: funding, and interest on what is borrowed. docs/methodologies/tiered.md.

`side` is +1 for long, −1 for short; a positive funding rate is paid by longs to shorts. Hours are exact Decimals.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from margin.engine.exact import ONE, ZERO, exactly

_DAY = 24
_KRAKEN_PERIOD = 4


@dataclass(frozen=True)
class Stamp:
    """A settlement of funding: its instant in hours, its rate, and the mark; None where the mark is missing."""

    at: Decimal
    rate: Decimal
    mark: Decimal | None


def funding(*, side: int, size: Decimal, stamps: Iterable[Stamp]) -> Decimal:
    """Paid to the holder over these stamps: −s × size × Σ rate × mark. A missing mark settles nothing."""
    with exactly():
        return -side * size * sum((ZERO if one.mark is None else one.rate * one.mark for one in stamps), ZERO)


def funding_while_held(
    *, side: int, size: Decimal, opened: Decimal, closed: Decimal, stamps: Iterable[Stamp]
) -> Decimal:
    """`funding` over the stamps from opening to closing, both instants included."""
    return funding(side=side, size=size, stamps=[one for one in stamps if opened <= one.at <= closed])


def greatest_funding_rate(*, clamp_factor: Decimal, initial_rate: Decimal, maintenance_share: Decimal) -> Decimal:
    """Clamp factor × (IMF − MMF), MMF = IMF × its share: the greatest absolute rate (dYdX)."""
    with exactly():
        return clamp_factor * (initial_rate * (ONE - maintenance_share))


def index_settlement(*, size: int, index_change: int) -> int:
    """−change of the cumulative funding index × signed size, in the index's integer units (dYdX)."""
    return -index_change * size


def interest_by_hour(*, borrowed: Decimal, daily_rate: Decimal, hours: Decimal) -> Fraction:
    """Borrowed × rate ÷ 24 for every hour begun (Binance)."""
    return Fraction(borrowed) * Fraction(daily_rate) * math.ceil(hours) / _DAY


def interest_by_period(*, borrowed: Decimal, period_rate: Decimal, hours: Decimal) -> Fraction:
    """Borrowed × rate for the opening and for every four hours begun (Kraken)."""
    periods = 1 + math.ceil(Fraction(hours) / _KRAKEN_PERIOD)
    return Fraction(borrowed) * Fraction(period_rate) * periods


def borrowed_amount(*, side: int, quantity: Decimal, entry: Decimal, leverage: Decimal) -> Fraction:
    """What a spot position on margin borrows: a long (leverage − 1) ÷ leverage of its cost, in quoted money;
    a short the coins it sold. A long without leverage borrows nothing."""
    if side < 0:
        return Fraction(quantity)
    return Fraction(quantity) * Fraction(entry) * (1 - 1 / Fraction(leverage))
