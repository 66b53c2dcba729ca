"""The price at which a position is liquidated or bankrupt: every published form. docs/methodologies/tiered.md.

`side` is +1 for long, −1 for short; quantities are not signed; rates are fractions. Prices are exact Fractions, rounded
by whoever prints them, as the formula gives them: nothing or less for a long means that no price liquidates it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from margin.engine.exact import ZERO
from margin.engine.methodologies.tiered.brackets import Bracket, Power, bracket_at

_STEPS = 200  # of a bisection in float64: far more than it has digits


@dataclass(frozen=True)
class Other:
    """Another cross position of the account, at its mark."""

    side: int
    quantity: Decimal
    entry: Decimal
    mark: Decimal
    rate: Decimal
    amount: Decimal = ZERO

    def excess(self) -> Fraction:
        """Unrealised profit less maintenance."""
        size = Fraction(self.quantity)
        profit = self.side * size * (Fraction(self.mark) - Fraction(self.entry))
        return profit - (size * Fraction(self.mark) * Fraction(self.rate) - Fraction(self.amount))


def linear(
    *,
    side: int,
    wallet: Decimal,
    quantity: Decimal,
    entry: Decimal,
    rate: Decimal,
    amount: Decimal = ZERO,
    others: Sequence[Other] = (),
) -> Fraction:
    """(WB − TMM + UPNL + a − s q EP) ÷ (q m − s q), TMM and UPNL of the other positions (Binance USD-M, one-way).

    Isolated: the wallet is the isolated margin and there are no others.
    """
    size = Fraction(quantity)
    free = Fraction(wallet) + sum((other.excess() for other in others), Fraction(0))
    return (free + Fraction(amount) - side * size * Fraction(entry)) / (size * (Fraction(rate) - side))


def linear_in_brackets(
    *,
    side: int,
    wallet: Decimal,
    quantity: Decimal,
    entry: Decimal,
    mark: Decimal,
    brackets: Sequence[Bracket],
    others: Sequence[Other] = (),
) -> Fraction:
    """`linear` in the bracket that its own result falls in, found from the bracket at the mark. Where two brackets
    point to each other, which amounts that are not continuous can do, the price of their common floor."""
    size = Fraction(quantity)
    bracket, seen = bracket_at(brackets, quantity * mark), []
    while True:
        price = linear(
            side=side,
            wallet=wallet,
            quantity=quantity,
            entry=entry,
            rate=bracket.rate,
            amount=bracket.amount,
            others=others,
        )
        found = _bracket_of(brackets, size * price)
        if found == bracket:
            return price
        if found in seen:
            return Fraction(max(found.floor, bracket.floor)) / size
        seen.append(bracket)
        bracket = found


def _bracket_of(brackets: Sequence[Bracket], notional: Fraction) -> Bracket:
    """The bracket of an exact notional, the first one for what is below it."""
    return [bracket for k, bracket in enumerate(brackets) if k == 0 or Fraction(bracket.floor) <= notional][-1]


def isolated_with_fee(
    *, side: int, margin: Decimal, quantity: Decimal, entry: Decimal, rate: Decimal, fee_rate: Decimal
) -> Fraction:
    """(EP − s margin ÷ q) ÷ (1 − s (m + f)): the fee of closing is kept back (Gate, OKX)."""
    bankrupt = bankruptcy(side=side, margin=margin, quantity=quantity, entry=entry)
    return bankrupt / (1 - side * (Fraction(rate) + Fraction(fee_rate)))


def from_entry(*, side: int, entry: Decimal, leverage: Decimal, rate: Decimal) -> Fraction:
    """EP × (1 − s (1 ÷ leverage − m)): maintenance on the notional at entry (Bybit, linear)."""
    return Fraction(entry) * (1 - side * (1 / Fraction(leverage) - Fraction(rate)))


def isolated_with_reserve(
    *, side: int, quantity: Decimal, entry: Decimal, leverage: Decimal, rate: Decimal, reserve_rate: Decimal
) -> Fraction:
    """Isolated margin of notional ÷ leverage, and a reserve for fees beside it (Orderly)."""
    size = Fraction(quantity)
    margin = size * Fraction(entry) * (1 / Fraction(leverage) + Fraction(reserve_rate))
    return (side * size * Fraction(entry) - margin) / (size * (side - Fraction(rate)))


def buffered(*, side: int, entry: Decimal, price: Decimal | Fraction, buffer_rate: Decimal) -> Fraction:
    """The trigger moved towards entry by a part of the distance: LP + s b |EP − LP|."""
    liquidation = Fraction(price)
    return liquidation + side * Fraction(buffer_rate) * abs(Fraction(entry) - liquidation)


def bankruptcy(*, side: int, margin: Decimal, quantity: Decimal, entry: Decimal) -> Fraction:
    """EP − s margin ÷ q: where the margin of a linear position is gone."""
    return Fraction(entry) - side * Fraction(margin) / Fraction(quantity)


# --- inverse contracts: the quantity is in quoted money, everything else in coins ----------------------


@dataclass(frozen=True)
class Inverse:
    """An isolated inverse position, in coins, and its liquidation price."""

    value: Fraction
    initial: Fraction
    maintenance: Fraction
    price: Fraction


def inverse_isolated(
    *, side: int, quantity: Decimal, entry: Decimal, leverage: Decimal, rate: Decimal, deduction: Decimal = ZERO
) -> Inverse:
    """PV = Q ÷ EP, IM = PV ÷ leverage, MM = PV × m − deduction, LP = Q ÷ (PV + s (IM − MM)) (Bybit)."""
    size = Fraction(quantity)
    value = size / Fraction(entry)
    initial = value / Fraction(leverage)
    maintenance = value * Fraction(rate) - Fraction(deduction)
    return Inverse(value, initial, maintenance, size / (value + side * (initial - maintenance)))


def inverse_cross(
    *, side: int, quantity: Decimal, entry: Decimal, balance: Decimal, rate: Decimal, amount: Decimal = ZERO
) -> Fraction:
    """Q (m + s) ÷ (balance + a + s Q ÷ EP): where balance and profit are the maintenance Q ÷ LP × m − a, in coins.

    `balance` is what the account has besides this position, less the maintenance of its others (Binance COIN-M).
    """
    size = Fraction(quantity)
    free = Fraction(balance) + Fraction(amount) + side * size / Fraction(entry)
    return size * (Fraction(rate) + side) / free


def inverse_bankruptcy(
    *, side: int, quantity: Decimal, entry: Decimal, margin: Decimal, fee_rate: Decimal = ZERO
) -> Fraction:
    """Q (1 + s f) ÷ (Q ÷ EP + s margin): where loss and the fee of closing take all of the margin, in coins (Bybit)."""
    size = Fraction(quantity)
    return size * (1 + side * Fraction(fee_rate)) / (size / Fraction(entry) + side * Fraction(margin))


# --- maintenance by the power law: no closed form, one root --------------------------------------------


def power_notional(*, free: float, side: int, power: Power, near: float) -> float | None:
    """The notional N at which free + s N = MM(N), to the last bit of float64; None where none above nothing does.

    Maintenance is convex, so the excess has one root on the way to any notional at which its sign has changed.
    `near` is where the search for that begins.
    """

    def excess(notional: float) -> float:
        return free + side * notional - power.maintenance(notional)

    if side * free >= 0:
        return None
    low, high = 0.0, max(near, 1.0)
    while side * excess(high) < 0:
        if not math.isfinite(high) or side * excess(2 * high) < side * excess(high):
            return None
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if side * excess(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def power_cross(
    *, collateral: Decimal, quantity: Decimal, mark: Decimal, power: Power, others: Decimal
) -> float | None:
    """The price at which collateral + q (LP − mark) = MM(|q| LP) + the others' maintenance (Orderly).

    `quantity` is signed and `collateral` contains all profit at mark. None where no price above nothing does.
    """
    size, value = abs(float(quantity)), float(quantity) * float(mark)
    notional = power_notional(
        free=float(collateral) - float(others) - value,
        side=1 if quantity > 0 else -1,
        power=power,
        near=abs(value),
    )
    return None if notional is None else notional / size


# --- auto-deleveraging -----------------------------------------------------------------------------------


def deleveraging_rank(*, profit: Decimal, entry_value: Decimal, notional: Decimal, equity: Decimal) -> Fraction:
    """PnL % × effective leverage of a winner, PnL % ÷ effective leverage of a loser: the highest is closed first, at
    the bankruptcy price. Effective leverage is notional ÷ the equity behind the position."""
    rate, leverage = Fraction(profit) / Fraction(entry_value), Fraction(notional) / Fraction(equity)
    return rate * leverage if rate > 0 else rate / leverage
