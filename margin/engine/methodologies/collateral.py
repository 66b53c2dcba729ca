"""Collateral ratios: what an asset counts for. docs/methodologies/collateral.md."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from margin.engine.exact import ONE, ZERO, exactly

Tier = tuple[Decimal | None, Decimal]  # upper bound of value or None, ratio


def counted(value: Decimal, tiers: Sequence[Tier]) -> Decimal:
    """What a balance counts for: each ratio on the part of its value inside the tier, as income is taxed.

    A negative balance counts at its face; value beyond the last tier counts for nothing.
    """
    if value <= 0:
        return value
    total, lower = ZERO, ZERO
    with exactly():
        for upper, ratio in tiers:
            inside = value if upper is None else min(value, upper)
            total += max(inside - lower, ZERO) * ratio
            lower = max(lower, inside)
    return total


def after_haircuts(assets: Iterable[tuple[Decimal, Decimal, Decimal]]) -> Decimal:
    """Σ quantity × price × (1 − haircut) over (quantity, price, haircut)."""
    with exactly():
        return sum((quantity * price * (ONE - haircut) for quantity, price, haircut in assets), ZERO)


def converted(quantity: Decimal, price: Decimal) -> Decimal:
    """A coin's worth in quoted money, before any ratio."""
    with exactly():
        return quantity * price
