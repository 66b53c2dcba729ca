"""How venues measure a whole account: margin levels, unified ratios, status ladders. docs/methodologies/tiered.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from margin.engine.exact import ZERO, exactly
from margin.engine.methodologies.tiered.brackets import marginal

_OKX_INITIAL = Decimal("1.3")


# --- margin of one contract ------------------------------------------------------------------------------


def leveraged(*, quantity: Decimal, price: Decimal, leverage: Decimal, multiplier: Decimal = Decimal(1)) -> Fraction:
    """|quantity| × multiplier × price ÷ leverage. A coin-margined contract has its face for a price, whatever the coin
    costs."""
    return abs(Fraction(quantity)) * Fraction(multiplier) * Fraction(price) / Fraction(leverage)


def inverse_notional(*, quantity: Decimal, price: Decimal) -> Fraction:
    """Coins that a quantity in quoted money stands for."""
    return Fraction(quantity) / Fraction(price)


def rated(*, notional: Decimal | Fraction, rate: Decimal, leverage: Decimal = Decimal(1)) -> Fraction:
    """notional ÷ leverage × rate, where an engine scales its rates by the leverage chosen (Nautilus)."""
    return Fraction(notional) / Fraction(leverage) * Fraction(rate)


def buying_power(*, collateral: Decimal, maintenance: Sequence[Fraction]) -> Fraction:
    """What a pool has left beyond the maintenance of the positions that share it (Lean)."""
    return Fraction(collateral) - sum(maintenance, Fraction(0))


# --- entry against a skewed market ----------------------------------------------------------------------


def skewed_fill(*, quantity: Decimal, index: Decimal, skew_before: Decimal, skew_scale: Decimal) -> Fraction:
    """index × (1 + mean of the skew before and after ÷ scale) (Synthetix): what a trade adds to the skew it pays for at
    once, as a loss at mark. `quantity` is signed."""
    mean = (Fraction(skew_before) + Fraction(skew_before) + Fraction(quantity)) / 2
    return Fraction(index) * (1 + mean / Fraction(skew_scale))


def profit(*, quantity: Decimal, entry: Decimal | Fraction, mark: Decimal) -> Fraction:
    """Signed quantity × (mark − entry)."""
    return Fraction(quantity) * (Fraction(mark) - Fraction(entry))


def available(*, collateral: Decimal, profits: Sequence[Fraction]) -> Fraction:
    """Collateral and all unrealised profit: what margins are compared with. Negative when losses exceed it."""
    return Fraction(collateral) + sum(profits, Fraction(0))


# --- accounts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Level:
    """Equity and used margin, and their ratio in per cent."""

    equity: Fraction
    used: Fraction

    @property
    def level(self) -> Fraction:
        return 100 * self.equity / self.used


def margin_level(
    *,
    balance: Decimal,
    side: int,
    quantity: Decimal,
    entry: Decimal,
    mark: Decimal,
    leverage: Decimal,
    is_used_at_mark: bool = False,
) -> Level:
    """Equity over used margin (Kraken). A long's used margin stays at its opening notional; a short's is revalued."""
    size = Fraction(quantity)
    equity = Fraction(balance) + side * size * (Fraction(mark) - Fraction(entry))
    return Level(equity, size * Fraction(mark if is_used_at_mark else entry) / Fraction(leverage))


def margin_ratio(*, maintenance: Sequence[Decimal], balance: Decimal) -> Fraction:
    """Σ maintenance ÷ (wallet and unrealised profit): liquidation at 1 (Binance USD-M, Bybit's unified account).

    ZeroDivisionError where the balance is nothing.
    """
    return sum((Fraction(one) for one in maintenance), Fraction(0)) / Fraction(balance)


@dataclass(frozen=True)
class Asset:
    """One asset of a unified account, in units: what is held, lent, on the futures wallet and open as profit there."""

    held: Decimal
    loan: Decimal
    futures_balance: Decimal
    profit: Decimal
    index: Decimal
    ratio: Decimal  # collateral ratio

    def equity(self) -> Decimal:
        """min(net × index × ratio, net × index): a debt counts at its face."""
        with exactly():
            face = (self.held - self.loan + self.futures_balance + self.profit) * self.index
            return min(face * self.ratio, face)


def unified_ratio(
    *, assets: Sequence[Asset], futures_maintenance: Decimal, loans: Sequence[tuple[Decimal, Decimal]]
) -> Fraction:
    """uniMMR = Σ equity ÷ (futures maintenance + Σ loan × rate) (Binance portfolio margin). `loans` are (value, rate).

    ZeroDivisionError where nothing is required.
    """
    maintenance = Fraction(futures_maintenance) + sum(
        (Fraction(value) * Fraction(rate) for value, rate in loans), Fraction(0)
    )
    return sum((Fraction(asset.equity()) for asset in assets), Fraction(0)) / maintenance


@dataclass(frozen=True)
class Components:
    """The risk components of OKX's portfolio margin, MR1 to MR7."""

    spot: Decimal = ZERO  # MR1
    theta: Decimal = ZERO  # MR2
    vega: Decimal = ZERO  # MR3
    basis: Decimal = ZERO  # MR4
    rate: Decimal = ZERO  # MR5
    extreme: Decimal = ZERO  # MR6
    minimum: Decimal = ZERO  # MR7

    def total(self) -> Decimal:
        """max(MR1, MR2, MR6) + MR3 + MR4 + MR5."""
        with exactly():
            return max(self.spot, self.theta, self.extreme) + self.vega + self.basis + self.rate


@dataclass(frozen=True)
class OkxMargin:
    """Maintenance and initial margin, and the minimum charge after its tiers."""

    minimum: Decimal
    maintenance: Decimal
    initial: Decimal


def okx_margin(*, total: Decimal, minimum: Decimal, tiers: Sequence[tuple[Decimal | None, Decimal]]) -> OkxMargin:
    """MMR = max(MR, MR7 multiplied tier by tier), IMR = 1.3 × MMR (OKX). Tiers: (upper bound or None, multiplier)."""
    tiered = marginal(minimum, tiers)
    with exactly():
        maintenance = max(total, tiered)
        return OkxMargin(tiered, maintenance, maintenance * _OKX_INITIAL)


# --- ladders ----------------------------------------------------------------------------------------------


def ratio_band(ratio: Decimal, ladder: Sequence[tuple[Decimal, str]], below: str) -> str:
    """The first band, from the highest, whose lower bound the ratio exceeds: a bound belongs to the band below."""
    return next((name for bound, name in ladder if ratio > bound), below)


def ltv_band(ltv: Decimal, ladder: Sequence[tuple[Decimal, str]], below: str = "normal") -> str:
    """The last rung that the loan-to-value has reached, its level included."""
    reached = [name for level, name in ladder if ltv >= level]
    return reached[-1] if reached else below
