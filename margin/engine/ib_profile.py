"""The Regulation T account of Interactive Brokers: where that broker's figures deviate from the rule's.

Initial margin during the day is the maintenance rate; Regulation T is tested once, at the close, through SMA, and a
negative SMA is liquidated instead of called. US options are outside equity with loan value. Source: the broker's
"Reg T margin" page and its worked example.
"""

from dataclasses import dataclass
from decimal import Decimal

from margin.engine.exact import ZERO, exactly


@dataclass(frozen=True)
class Rates:
    long_rate: Decimal
    short_rate: Decimal
    reg_t_rate: Decimal


RATES = Rates(long_rate=Decimal("0.25"), short_rate=Decimal("0.30"), reg_t_rate=Decimal("0.50"))


@dataclass(frozen=True)
class Figures:
    """What the broker's account window shows, in one currency."""

    equity_with_loan: Decimal
    initial_margin: Decimal
    available_funds: Decimal
    reg_t_margin: Decimal

    @property
    def reg_t_excess(self) -> Decimal:
        with exactly():
            return self.equity_with_loan - self.reg_t_margin


def figures(cash: Decimal, *, long_value: Decimal = ZERO, short_value: Decimal = ZERO, rates: Rates = RATES) -> Figures:
    """From net cash and the market values (not negative) of stock held long and short."""
    with exactly():
        equity = cash + long_value - short_value
        initial = rates.long_rate * long_value + rates.short_rate * short_value
        return Figures(equity, initial, equity - initial, rates.reg_t_rate * (long_value + short_value))


def sma(
    found: Figures, *, previous: Decimal = ZERO, cash_flow: Decimal = ZERO, reg_t_of_trades: Decimal = ZERO
) -> Decimal:
    """max(previous ± cash ∓ Regulation T margin of the day's trades, equity with loan value − Regulation T margin).

    `cash_flow` in is positive; `reg_t_of_trades` is what the day's trades ask, negative where they released.
    """
    with exactly():
        return max(previous + cash_flow - reg_t_of_trades, found.reg_t_excess)


def is_liquidated(sma_at_close: Decimal) -> bool:
    """A negative SMA at the close."""
    return sma_at_close < 0
