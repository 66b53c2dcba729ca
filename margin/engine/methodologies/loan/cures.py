"""Loan to value, and the three ways back to a target. docs/methodologies/loan.md.

Plain formulas on a loan L and collateral C, for statements, what-ifs and checks. Quotients are Fractions, rounded by
whoever prints them. `margin.engine.sizing` does not use them: it tries alternative books.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction


class NotCurable(ValueError):
    """No amount of that kind reaches the target; the message says why."""


def loan_to_value(loan: Decimal, collateral: Decimal) -> Fraction:
    """L ÷ C. ZeroDivisionError without collateral."""
    return Fraction(loan) / Fraction(collateral)


def price_at(*, loan: Decimal, quantity: Decimal | Fraction, rate: Decimal | Fraction) -> Fraction:
    """The price of one unit of collateral at which the loan reaches `rate` of its value: L ÷ (rate × quantity).

    With a liquidation threshold for a rate this is the liquidation price.
    """
    return Fraction(loan) / (Fraction(rate) * Fraction(quantity))


def repayment(*, loan: Decimal, collateral: Decimal, target: Decimal) -> Fraction:
    """What to repay: L − T × C; 0 at the target or below it."""
    return max(Fraction(loan) - Fraction(target) * Fraction(collateral), Fraction(0))


def deposit(*, loan: Decimal, collateral: Decimal, target: Decimal) -> Fraction:
    """Collateral to add: L ÷ T − C; 0 at the target or below it."""
    return max(Fraction(loan) / Fraction(target) - Fraction(collateral), Fraction(0))


def sale(*, loan: Decimal, collateral: Decimal, target: Decimal, fee_rate: Decimal = Decimal(0)) -> Fraction:
    """Collateral to sell, at market value, and repay with what the fee leaves: (L − T × C) ÷ (1 − f − T).

    NotCurable where a sale does not lower the ratio, or where all collateral is not enough.
    """
    missing = repayment(loan=loan, collateral=collateral, target=target)
    release = 1 - Fraction(fee_rate) - Fraction(target)
    if not missing:
        return missing
    if release <= 0:
        raise NotCurable(f"selling at a fee of {fee_rate} does not lower a ratio of {target}")
    if missing > release * Fraction(collateral):
        raise NotCurable("the sale of all collateral does not reach the target")
    return missing / release


def liquidity(*, supplied: Sequence[tuple[Decimal, Decimal]], borrowed: Sequence[Decimal]) -> tuple[Fraction, Fraction]:
    """(liquidity, shortfall): Σ value × collateral factor − Σ borrowed, and its negative; never both positive.

    `supplied` are (value, collateral factor). Compound, Comptroller.
    """
    weighted = sum((Fraction(value) * Fraction(factor) for value, factor in supplied), Fraction(0))
    left = weighted - sum((Fraction(value) for value in borrowed), Fraction(0))
    return max(left, Fraction(0)), max(-left, Fraction(0))
