"""Maintenance that grows with size: brackets, ranges, marginal tiers, the power law. docs/methodologies/tiered.md.

Amounts are in the currency that a contract is settled in: quoted money for linear contracts, coins for inverse ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

from margin.engine.exact import ZERO, exactly

POWER = 0.8  # Orderly: margin rates grow with notional^(4/5)
Number = TypeVar("Number", Decimal, Fraction)


@dataclass(frozen=True)
class Bracket:
    """From `floor` on, up to the next bracket's floor, which is no longer in it: MM = notional × rate − amount."""

    floor: Decimal
    rate: Decimal
    amount: Decimal = ZERO

    def maintenance(self, notional: Decimal) -> Decimal:
        """notional × rate − amount, exactly."""
        with exactly():
            return notional * self.rate - self.amount


@dataclass(frozen=True)
class ClosedRange:
    """A position of `least` to `most` contracts, both included, is margined as a whole at one rate (OKX)."""

    least: int
    most: int
    rate: Decimal


def bracket_at(brackets: Sequence[Bracket], notional: Decimal) -> Bracket:
    """The last bracket whose floor is not above: a value on a floor is in the upper one (Binance).

    ValueError for a notional below the first floor.
    """
    found = None
    for bracket in brackets:
        if bracket.floor <= notional:
            found = bracket
    if found is None:
        raise ValueError(f"no bracket holds a notional of {notional}")
    return found


def range_at(ranges: Sequence[ClosedRange], size: Decimal) -> ClosedRange:
    """The range that holds `size` contracts; ValueError beyond the published ranges."""
    for each in ranges:
        if each.least <= size <= each.most:
            return each
    raise ValueError(f"no published range holds {size} contracts")


def next_amount(previous: Number, floor: Number, previous_rate: Number, rate: Number) -> Number:
    """aₙ = aₙ₋₁ + Fₙ × (mₙ − mₙ₋₁): with it, maintenance does not jump at the floor."""
    with exactly():
        return previous + floor * (rate - previous_rate)


def amounts(floors: Sequence[Number], rates: Sequence[Number]) -> tuple[Number, ...]:
    """The maintenance amounts of all brackets by recursion; that of the first is nothing."""
    found = [rates[0] - rates[0]]
    for k in range(1, len(rates)):
        found.append(next_amount(found[-1], floors[k], rates[k - 1], rates[k]))
    return tuple(found)


def brackets_of(floors: Sequence[Decimal], rates: Sequence[Decimal]) -> tuple[Bracket, ...]:
    """Brackets with their amounts by recursion."""
    return tuple(map(Bracket, floors, rates, amounts(floors, rates)))


def half_of_initial(leverages: Sequence[Decimal]) -> tuple[Fraction, ...]:
    """Hyperliquid: a tier's maintenance rate is half the initial rate at its greatest leverage."""
    return tuple(1 / (2 * Fraction(leverage)) for leverage in leverages)


def marginal(value: Decimal, tiers: Sequence[tuple[Decimal | None, Decimal]]) -> Decimal:
    """Each rate on the part of `value` inside its tier, as income is taxed. Tiers are (upper bound or None, rate).

    ValueError for a value beyond the last tier.
    """
    total, lower = ZERO, ZERO
    with exactly():
        for upper, rate in tiers:
            inside = value if upper is None else min(value, upper)
            total += max(inside - lower, ZERO) * rate
            if inside == value:
                return total
            lower = inside
    raise ValueError(f"{value} is beyond the last published tier")


@dataclass(frozen=True)
class Power:
    """A power law (Orderly): base rates, and the factor of notional^(4/5). Model values, in float64, unrounded."""

    base_rate: Decimal
    base_initial_rate: Decimal
    factor: Decimal

    def rate(self, notional: float) -> float:
        """max(m₀, m₀ ÷ i₀ × f × notional^(4/5))."""
        base = float(self.base_rate)
        return max(base, base / float(self.base_initial_rate) * float(self.factor) * abs(notional) ** POWER)

    def initial_rate(self, notional: float) -> float:
        """max(i₀, f × notional^(4/5))."""
        return max(float(self.base_initial_rate), float(self.factor) * abs(notional) ** POWER)

    def maintenance(self, notional: float) -> float:
        """|notional| × rate."""
        return abs(notional) * self.rate(notional)
