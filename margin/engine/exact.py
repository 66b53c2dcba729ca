"""Exact decimal arithmetic, and the only places where a figure is rounded.

Inside the engine nothing is rounded: every operation runs in a context that raises rather than drop a digit. At the
account, requirements and calls are rounded up, equity and releases down, once (FINRA and Regulation T print no
rounding; the direction never favours a smaller requirement).
"""

from contextlib import AbstractContextManager
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Clamped,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)

ZERO = Decimal(0)
ONE = Decimal(1)
_DIGITS = 400  # far beyond any product of database numbers, so Inexact is a bug and raises
_EXACT = Context(prec=_DIGITS, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow, Clamped])
_LOOSE = Context(prec=_DIGITS, traps=[InvalidOperation, DivisionByZero, Overflow])


def exactly() -> AbstractContextManager[Context]:
    """A context in which decimal arithmetic is exact or raises `decimal.Inexact`."""
    return localcontext(_EXACT)


def round_up(amount: Decimal, exponent: int) -> Decimal:
    """The least amount with `exponent` decimals that is not below: for requirements and calls."""
    return _LOOSE.add(amount.quantize(ONE.scaleb(-exponent), ROUND_CEILING, _LOOSE), ZERO)  # never -0.00


def round_down(amount: Decimal, exponent: int) -> Decimal:
    """The greatest amount with `exponent` decimals that is not above: for equity and releases."""
    return _LOOSE.add(amount.quantize(ONE.scaleb(-exponent), ROUND_FLOOR, _LOOSE), ZERO)


def round_quotient_up(dividend: Decimal, divisor: Decimal, exponent: int) -> Decimal:
    """dividend ÷ divisor rounded up to `exponent` decimals, from the exact fraction."""
    (above, tenths), (below, other_tenths) = scaled(dividend), scaled(divisor)
    shift = exponent + other_tenths - tenths
    above, below = above * 10 ** max(shift, 0), below * 10 ** max(-shift, 0)
    return Decimal(-(-above // below)).scaleb(-exponent, _LOOSE)


def inverse(rate: Decimal, digits: int = 12) -> Decimal:
    """1 ÷ rate to `digits` significant digits, half-even: a rate of its own, fixed once and used exactly."""
    return Context(prec=digits, rounding=ROUND_HALF_EVEN, traps=[DivisionByZero, InvalidOperation]).divide(ONE, rate)


def scaled(amount: Decimal) -> tuple[int, int]:
    """The amount as (mantissa, decimals) with the fewest decimals: amount = mantissa / 10^decimals.

    Raises ValueError for NaN and infinity.
    """
    if not amount.is_finite():
        raise ValueError(f"{amount} is not a finite number")
    shortest = amount.normalize(_EXACT)
    exponent = min(int(shortest.as_tuple().exponent), 0)
    return int(shortest.scaleb(-exponent, _LOOSE)), -exponent


def plain(amount: Decimal) -> str:
    """The amount in digits without an exponent and without trailing zeros: '0.25', '1200', '-3.5'.

    Raises ValueError for NaN and infinity.
    """
    if not amount.is_finite():
        raise ValueError(f"{amount} is not a finite number")
    text = f"{amount:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
