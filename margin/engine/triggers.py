"""Trigger prices: where the excess of an account crosses zero when one price moves and nothing else does.

A requirement per share is a few straight lines over the price (4210(c): 2.50, the price, 5.00, 30 %), and so is the
excess. The crossing is solved on each line and kept where that line holds, as an exact Fraction; the quoted price is
the last tick at which there is no call yet: rounded up where falling prices hurt, down where rising ones do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from margin.engine.exact import ONE, ZERO

CENTS = 2


@dataclass(frozen=True)
class Trigger:
    """`exact`: the excess is zero (or jumps below) and negative beyond. `quoted`: the last tick without a call."""

    exact: Fraction
    quoted: Decimal


@dataclass(frozen=True)
class Line:
    """From the price `start` up to the next line's: base + rate × price."""

    start: Fraction
    base: Fraction
    rate: Fraction

    def at(self, price: Fraction) -> Fraction:
        return self.base + self.rate * price


Lines = tuple[Line, ...]  # ascending, the first from zero


class ShortRule(Protocol):
    """What 4210(c) says of a short share; `Terms` of the methodology `reg_t` says it."""

    @property
    def short_rate(self) -> Decimal: ...
    @property
    def short_floor(self) -> Decimal: ...
    @property
    def low_price(self) -> Decimal: ...
    @property
    def low_short_rate(self) -> Decimal: ...
    @property
    def low_short_floor(self) -> Decimal: ...


@dataclass(frozen=True)
class ShortTerms:
    """The short part of the rule book on its own, amounts per share in the currency of the price."""

    short_rate: Decimal
    short_floor: Decimal
    low_price: Decimal
    low_short_rate: Decimal
    low_short_floor: Decimal


RULE_BOOK = ShortTerms(
    short_rate=Decimal("0.30"),
    short_floor=Decimal("5.00"),
    low_price=Decimal("5.00"),
    low_short_rate=Decimal("1.00"),
    low_short_floor=Decimal("2.50"),
)


# --- requirements per share -------------------------------------------------------------------------


def long_requirement(rate: Decimal) -> Lines:
    """What a share held long is charged: `rate` of its price."""
    return (Line(Fraction(), Fraction(), Fraction(rate)),)


def short_requirement(rule: ShortRule = RULE_BOOK, *, leverage: Decimal = ONE, house_rate: Decimal = ZERO) -> Lines:
    """What a short share is charged beyond its price, 4210(c)(2)-(3), RN 09-53; a house rate only raises.

    Breakpoints of the rule book: 2.50, 5.00 and 5.00 ÷ 0.30 = 16.666…
    """
    low = Fraction(rule.low_price)
    house = Fraction(house_rate)
    low_rate = max(Fraction(rule.low_short_rate), house)
    rate = max(min(Fraction(rule.short_rate) * Fraction(leverage), Fraction(1)), house)
    below = _greater(Fraction(rule.low_short_floor), low_rate, Fraction(), low)
    return below + _greater(Fraction(rule.short_floor), rate, low, None)


def _greater(floor: Fraction, rate: Fraction, start: Fraction, end: Fraction | None) -> Lines:
    """max(floor, rate × price) from `start` to before `end`."""
    flat, rising = Line(start, floor, Fraction()), Line(start, Fraction(), rate)
    if rate == 0 or floor > rate * start:
        turn = floor / rate if rate else None
        if turn is None or (end is not None and turn >= end):
            return (flat,)
        return (flat, Line(turn, Fraction(), rate))
    return (rising,)


# --- crossings --------------------------------------------------------------------------------------


def trigger_price(
    quantity: Decimal, requirement: Sequence[Line], *, rest: Decimal, exponent: int = CENTS
) -> Trigger | None:
    """The price of one instrument at which the account's excess reaches zero, everything else standing still.

    `quantity` is signed and counts the units a price is for (shares × multiplier); `requirement` is per unit of its
    size; `rest` is cash plus the equity less the requirement of all *other* positions. A long is followed down from
    above, a short up from zero: the first crossing counts. None: no price in that direction ends or begins a call.
    """
    held, others = Fraction(quantity), Fraction(rest)
    lines = tuple(Line(one.start, others - abs(held) * one.base, held - abs(held) * one.rate) for one in requirement)
    exact = _rising(lines) if held < 0 else _falling(lines)
    if exact is None:
        return None
    return Trigger(exact, _quoted(exact, lines, exponent, rising=held < 0))


def excess_at(price: Decimal | Fraction, quantity: Decimal, requirement: Sequence[Line], *, rest: Decimal) -> Fraction:
    """The account's excess when the instrument stands at `price`; the terms are those of `trigger_price`."""
    held, at = Fraction(quantity), Fraction(price)
    return Fraction(rest) + held * at - abs(held) * _line(requirement, at).at(at)


@dataclass(frozen=True)
class Holding:
    """One position of a mixed account: signed units, their price now (above zero), and what one unit is charged."""

    quantity: Decimal
    price: Decimal
    requirement: Lines


@dataclass(frozen=True)
class Moves:
    """The factors on all prices at which a call begins, below and above 1; None where none in that direction does."""

    down: Fraction | None
    up: Fraction | None


def market_moves(holdings: Sequence[Holding], *, cash: Decimal) -> Moves | None:
    """How far all prices may move together before the account is called; None if it is called already.

    A mixed account has no closed form: its excess is the sum of all the lines, solved between their breakpoints.
    """
    excess = _sum([_by_factor(one) for one in holdings], Fraction(cash))
    now = Fraction(1)
    if _line(excess, now).at(now) < 0:
        return None
    below = tuple(line for line in excess if line.start < now)
    above = (replace(_line(excess, now), start=now), *(line for line in excess if line.start > now))
    return Moves(_falling(below, now), _rising(above))


def _by_factor(holding: Holding) -> Lines:
    """What the position adds to the excess, by the factor on its price."""
    if holding.price <= 0:
        raise ValueError(f"price must be above 0, not {holding.price}")
    held, price = Fraction(holding.quantity), Fraction(holding.price)
    return tuple(
        Line(one.start / price, -abs(held) * one.base, (held - abs(held) * one.rate) * price)
        for one in holding.requirement
    )


def _sum(parts: Sequence[Lines], cash: Fraction) -> Lines:
    starts = sorted({Fraction(), *(line.start for lines in parts for line in lines)})
    chosen = [[_line(lines, start) for lines in parts] for start in starts]
    return tuple(
        Line(start, cash + sum(line.base for line in lines), sum((line.rate for line in lines), Fraction()))
        for start, lines in zip(starts, chosen, strict=True)
    )


def _rising(excess: Lines) -> Fraction | None:
    """Where the excess first turns negative as the price rises from the first start; None if never, or at once."""
    if excess[0].at(excess[0].start) < 0:
        return None
    for line, after in zip(excess, (*excess[1:], None), strict=True):
        if line.at(line.start) < 0:
            return line.start  # it jumped
        if line.rate < 0:
            root = -line.base / line.rate
            if after is None or root < after.start:
                return root
    return None


def _falling(excess: Lines, end: Fraction | None = None) -> Fraction | None:
    """Where the excess first turns negative as the price falls from `end` (no end: any height); None if it never does.

    Also None where at any height it is negative already.
    """
    for line in reversed(excess):
        if end is None and (line.rate < 0 or (line.rate == 0 and line.base < 0)):
            return None  # at the highest prices already
        if end is not None and line.at(end) < 0:
            return end  # it jumped
        if line.rate > 0:
            root = -line.base / line.rate
            if root > line.start:
                return root
        end = line.start
    return None


def _line(lines: Sequence[Line], price: Fraction) -> Line:
    return next(line for line in reversed(lines) if line.start <= price)


def _quoted(exact: Fraction, excess: Lines, exponent: int, *, rising: bool) -> Decimal:
    """The nearest tick at which the excess is not negative, on the side prices come from."""
    scaled = exact * 10**exponent
    tick = scaled.numerator // scaled.denominator if rising else -(-scaled.numerator // scaled.denominator)
    price = Fraction(tick, 10**exponent)
    if _line(excess, price).at(price) < 0:
        tick += -1 if rising else 1
    return Decimal(tick).scaleb(-exponent)


# --- closed forms -----------------------------------------------------------------------------------


def long_trigger_value(debit: Decimal, rate: Decimal) -> Trigger | None:
    """The long market value at which a call begins: DR ÷ (1 − m), 4210(c)(1); None without a debit."""
    return trigger_price(ONE, long_requirement(rate), rest=-debit)


def short_trigger_value(credit: Decimal, rate: Decimal) -> Trigger | None:
    """The short market value at which a call begins while the percentage binds: CR ÷ (1 + m), 4210(c)(3)."""
    return trigger_price(-ONE, long_requirement(rate), rest=credit)


def long_trigger_price(price: Decimal, equity_share: Decimal, rate: Decimal) -> Trigger | None:
    """The call price of a stock bought at `price` with this share of it paid: price × (1 − share) ÷ (1 − m)."""
    if not 0 <= equity_share <= 1:
        raise ValueError(f"equity_share must be between 0 and 1, not {equity_share}")
    rest = (Fraction(equity_share) - 1) * Fraction(price)
    lines = (Line(Fraction(), rest, 1 - Fraction(rate)),)
    exact = _falling(lines)
    return None if exact is None else Trigger(exact, _quoted(exact, lines, CENTS, rising=False))


def short_trigger_price(
    credit: Decimal, quantity: Decimal, requirement: Sequence[Line] | None = None
) -> Trigger | None:
    """The call price of a stock short in an account of nothing else, its per-share amounts regarded.

    Per share c of credit: 30 % binds where c/1.3 ≥ 16.67, 5.00 where c − 5 is from 5.00, 100 % where c/2 is from 2.50.
    None: the credit does not even hold 2.50 a share, so there is a call at every price.
    """
    return trigger_price(-abs(quantity), requirement or short_requirement(), rest=credit)
