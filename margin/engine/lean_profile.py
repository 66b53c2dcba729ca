"""The account arithmetic of QuantConnect's LEAN, for comparison with that engine only; no policy of ours rests on it.

LEAN charges every stock position value ÷ leverage, long and short alike, initial and maintenance alike, and measures
it against the net liquidation value; it sells instead of calling. Behaviour of commit 24863901 (2026): the day-trading
margin model, and the default margin-call model's warning, buffer and order size.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from margin.engine.exact import ONE, ZERO, exactly

OPEN_LEVERAGE = Decimal(4)
CLOSED_LEVERAGE = Decimal(2)  # also in the last ten minutes before the close
WARNING_RATE = Decimal("0.05")
BUFFER_RATE = Decimal("0.10")


@dataclass(frozen=True)
class Holding:
    """One stock: signed shares, and the price they are valued at (above zero; LEAN itself takes zero as free)."""

    quantity: Decimal
    price: Decimal

    def __post_init__(self) -> None:
        if self.price <= 0:
            raise ValueError(f"price must be above 0, not {self.price}")


def leverage(
    *, is_open: bool, open_leverage: Decimal = OPEN_LEVERAGE, closed_leverage: Decimal = CLOSED_LEVERAGE
) -> Decimal:
    """The day-trading model's leverage: four while the market is open, two otherwise."""
    return open_leverage if is_open else closed_leverage


def net_liquidation_value(cash: Decimal, *holdings: Holding) -> Decimal:
    """Cash and everything at market; a short counts against."""
    with exactly():
        return sum((one.quantity * one.price for one in holdings), cash)


def margin_used(leverage: Decimal, *holdings: Holding) -> Fraction:
    """The size of each position ÷ leverage, initial as maintenance."""
    return sum((abs(_value(one)) for one in holdings), Fraction()) / Fraction(leverage)


def is_warned(net_liquidation: Decimal, used: Fraction) -> bool:
    """Margin remaining is at most 5 % of the portfolio's value."""
    return Fraction(net_liquidation) - used <= Fraction(net_liquidation) * Fraction(WARNING_RATE)


def shares_to_trade(holding: Holding, *, leverage: Decimal, net_liquidation: Decimal, used: Fraction) -> int:
    """The margin-call order in this holding: negative sells, positive buys back, zero is no order.

    (used − NLV) ÷ (price ÷ leverage) shares, up to a whole one so that the *whole* excess of the account goes, and
    never more than is held. No order while used ≤ NLV × 1.10.
    """
    if used <= Fraction(net_liquidation) * Fraction(ONE + BUFFER_RATE) or not holding.quantity:
        return 0
    size = (used - Fraction(net_liquidation)) / (Fraction(holding.price) / Fraction(leverage))
    whole = -(-size.numerator // size.denominator)
    shares = min(whole, int(abs(holding.quantity)))
    return -shares if holding.quantity > ZERO else shares


def _value(holding: Holding) -> Fraction:
    return Fraction(holding.quantity) * Fraction(holding.price)
