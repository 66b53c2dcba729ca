"""What borrowing costs by how much of a pool is lent, and how parameters move without a cliff.

Rates are fractions per year, utilisation is a fraction of the pool. Sources: Mango v4 (bank), Compound (jump-rate
model).
"""

from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction
from itertools import pairwise

YEAR_SECONDS = 365 * 86_400
_GROWTH_DIGITS = 34


def kinked(utilisation: Decimal, points: Sequence[tuple[Decimal, Decimal]]) -> Fraction:
    """The rate at a utilisation, piecewise linear between (utilisation, rate) points that rise in utilisation, and flat
    outside them. ValueError unless they rise."""
    if not points or any(one[0] >= other[0] for one, other in pairwise(points)):
        raise ValueError("points must rise in utilisation")
    at = min(max(Fraction(utilisation), Fraction(points[0][0])), Fraction(points[-1][0]))
    for (left, low), (right, high) in pairwise(points):
        if at <= right:
            share = (at - Fraction(left)) / (Fraction(right) - Fraction(left))
            return Fraction(low) + share * (Fraction(high) - Fraction(low))
    return Fraction(points[-1][1])


def jumping(utilisation: Decimal, *, base: Decimal, slope: Decimal, kink: Decimal, jump: Decimal) -> Fraction:
    """base + slope × min(u, kink) + jump × max(u − kink, 0)."""
    used = Fraction(utilisation)
    beyond = max(used - Fraction(kink), Fraction(0))
    return Fraction(base) + Fraction(slope) * min(used, Fraction(kink)) + Fraction(jump) * beyond


def growth(annual_rate: Decimal, *, seconds: int, step_seconds: int) -> Decimal:
    """What 1 grows to when interest is added at every step, to 34 digits; the last step may be a shorter one."""
    steps, rest = divmod(seconds, step_seconds)
    loose = Context(prec=_GROWTH_DIGITS)

    def after(length: int) -> Decimal:
        return loose.add(Decimal(1), loose.divide(loose.multiply(annual_rate, Decimal(length)), Decimal(YEAR_SECONDS)))

    return loose.multiply(loose.power(after(step_seconds), steps), after(rest))


def average_utilisation(start: Decimal, observations: Sequence[tuple[Decimal, Decimal]]) -> tuple[Fraction, ...]:
    """The time-weighted average after each (utilisation, instant), which holds for the interval that ends there.

    Before any time has passed the average is the observation itself.
    """
    averages, area, before = [], Fraction(0), Fraction(start)
    for utilisation, instant in observations:
        area += Fraction(utilisation) * (Fraction(instant) - before)
        before = Fraction(instant)
        passed = before - Fraction(start)
        averages.append(area / passed if passed > 0 else Fraction(utilisation))
    return tuple(averages)


def shifted(*, now: Decimal, start: Decimal, end: Decimal, before: Decimal, after: Decimal) -> Fraction:
    """A parameter that moves in a straight line from `before` at `start` to `after` at `end`: no cliff."""
    if end <= start:
        return Fraction(after if now >= end else before)
    share = min(max((Fraction(now) - Fraction(start)) / (Fraction(end) - Fraction(start)), Fraction(0)), Fraction(1))
    return Fraction(before) + share * (Fraction(after) - Fraction(before))
