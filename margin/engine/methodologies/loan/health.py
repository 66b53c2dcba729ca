"""Health: weighted collateral against weighted debt, and how much of an unhealthy loan is closed.

docs/methodologies/loan.md. Quotients are Fractions, rounded by whoever prints them. Sources: Aave v3 and Exactly
documentation (health factor, close factor), Compound Comptroller (seized tokens), Mango v4 and Drift v2 (amounts that
restore health).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from margin.engine.methodologies.loan.cures import NotCurable


@dataclass(frozen=True)
class Supplied:
    """Collateral: its value, and the share of it that may be owed before liquidation."""

    value: Decimal
    threshold: Decimal


@dataclass(frozen=True)
class Owed:
    """Debt: its value, and the factor that it is divided by."""

    value: Decimal
    borrow_factor: Decimal = Decimal(1)


def factor(supplied: Sequence[Supplied], owed: Sequence[Owed]) -> Fraction | None:
    """Σ value × threshold ÷ Σ debt ÷ borrow factor; None without debt. Below 1 the loan may be liquidated."""
    debt = sum((Fraction(one.value) / Fraction(one.borrow_factor) for one in owed), Fraction(0))
    if not debt:
        return None
    return sum((Fraction(one.value) * Fraction(one.threshold) for one in supplied), Fraction(0)) / debt


@dataclass(frozen=True)
class Closing:
    """How much of a debt one liquidation may repay (Aave v3): a half, or all when it is worse or small."""

    partial: Decimal = Decimal("0.5")
    half_threshold: Decimal = Decimal("0.95")  # at this health and below, all
    full_below: Decimal = Decimal(2000)  # debt or collateral below this: all
    dust: Decimal = Decimal(1000)  # what a partial repayment must leave of debt and of collateral

    def share(self, *, health: Decimal | Fraction, debt: Decimal, collateral: Decimal) -> Decimal:
        """The close factor: 0 while the loan is healthy."""
        if health >= 1:
            return Decimal(0)
        if health <= Fraction(self.half_threshold) or min(debt, collateral) < self.full_below:
            return Decimal(1)
        return self.partial

    def leaves_dust(self, *, debt_left: Decimal, collateral_left: Decimal) -> bool:
        """Whether a partial liquidation would leave a rest too small to be worth closing later; then it is refused."""
        return any(0 < left < self.dust for left in (debt_left, collateral_left))


def seized(
    *,
    repaid: Decimal,
    incentive: Decimal,
    price_borrowed: Decimal,
    price_collateral: Decimal,
    exchange_rate: Decimal = Decimal(1),
) -> Fraction:
    """Collateral taken for a repayment: repaid × incentive × price of the debt ÷ price of the collateral ÷ exchange
    rate. The incentive includes the repayment: 1.05 is a bonus of 5 %."""
    paid = Fraction(repaid) * Fraction(incentive) * Fraction(price_borrowed)
    return paid / Fraction(price_collateral) / Fraction(exchange_rate)


def repayment_to(
    *, debt: Decimal, collateral: Decimal, threshold: Decimal, bonus_rate: Decimal, target: Decimal
) -> Fraction:
    """Debt to repay from seized collateral, (1 + b) of it for each unit repaid, until health is the target H:
    (H × D − t × C) ÷ (H − (1 + b) × t); 0 at the target or above it.

    NotCurable where every repayment lowers health, or where the collateral is not enough.
    """
    missing = Fraction(target) * Fraction(debt) - Fraction(threshold) * Fraction(collateral)
    if missing <= 0:
        return Fraction(0)
    release = Fraction(target) - (1 + Fraction(bonus_rate)) * Fraction(threshold)
    if release <= 0:
        raise NotCurable(f"a bonus of {bonus_rate} takes more health than a repayment gives")
    repaid = missing / release
    if repaid > Fraction(debt) or repaid * (1 + Fraction(bonus_rate)) > Fraction(collateral):
        raise NotCurable("the collateral is not enough to reach the target")
    return repaid


def deposit_for(*, health: Decimal, price: Decimal, weight: Decimal) -> Fraction:
    """Units to deposit until health, as weighted collateral less weighted debt, is 0: −health ÷ (price × weight)."""
    return max(-Fraction(health) / (Fraction(price) * Fraction(weight)), Fraction(0))


def transfer_for(
    *,
    health: Decimal,
    price: Decimal,
    liability_weight: Decimal,
    asset_weight: Decimal,
    fee: Decimal = Decimal(1),
) -> Fraction:
    """Units of debt that a liquidator takes over, for collateral worth `fee` times as much, until health is 0
    (Mango v4): −health ÷ (price × (w_l − w_a × fee)), `price` of one unit of the debt.

    NotCurable where the exchange does not raise health.
    """
    gained = Fraction(price) * (Fraction(liability_weight) - Fraction(asset_weight) * Fraction(fee))
    if gained <= 0:
        raise NotCurable("taking over debt for that much collateral does not raise health")
    return max(-Fraction(health) / gained, Fraction(0))


def perpetual_for(
    *,
    shortage: Decimal,
    price: Decimal,
    margin_rate: Decimal,
    quote_price: Decimal = Decimal(1),
    liquidation_fee: Decimal = Decimal(0),
    insurance_fee: Decimal = Decimal(0),
) -> Fraction:
    """Contracts to close until a margin shortage is gone: S ÷ (P × (q × (m − f) − i)) (Drift v2), P the price, q the
    price of the quote currency, m the margin rate, f and i the fees. NotCurable where closing does not help."""
    released = Fraction(quote_price) * (Fraction(margin_rate) - Fraction(liquidation_fee)) - Fraction(insurance_fee)
    if released <= 0:
        raise NotCurable("the fees take more than closing releases")
    return max(Fraction(shortage) / (Fraction(price) * released), Fraction(0))
