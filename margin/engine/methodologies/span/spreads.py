"""Spreads: what calendar positions are charged and what positions in related commodities are credited.

Deltas are consumed in the order of the exchange's file: first within a commodity, then across commodities. Quotients
are fractions here, so that nothing depends on the order of positions; amounts are rounded once, by `charged` and
`credited`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

from margin.engine.exact import round_quotient_up
from margin.engine.methodologies.span.amounts import AMOUNT_DECIMALS

NONE = Fraction(0)

Period = str  # "2026-12": the contract month that a delta belongs to
Key = TypeVar("Key")


def charged(amount: Fraction) -> Decimal:
    """A charge as a Decimal, rounded up."""
    return round_quotient_up(Decimal(amount.numerator), Decimal(amount.denominator), AMOUNT_DECIMALS)


def credited(amount: Fraction) -> Decimal:
    """A credit as a Decimal, rounded down."""
    return -charged(-amount)


@dataclass(frozen=True)
class Leg:
    """So many deltas of a tier (or of a commodity) for one spread; side A is long where side B is short."""

    of: str
    ratio: Decimal
    side: str  # "A" or "B"


@dataclass(frozen=True)
class Spread:
    """One line of the file: `rate` is an amount per spread within a commodity, a share of the risk across them."""

    rate: Decimal
    legs: tuple[Leg, ...]

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError("rate must not be negative")
        if {leg.side for leg in self.legs} != {"A", "B"}:
            raise ValueError('legs: both sides are needed, "A" and "B"')
        if any(leg.ratio <= 0 for leg in self.legs):
            raise ValueError("legs: ratios must be above 0")


@dataclass(frozen=True)
class Formed:
    """So many spreads of a line, by its place in the file."""

    line: int
    count: Fraction
    amount: Fraction


@dataclass(frozen=True)
class Calendar:
    """The spreads within a commodity, and the deltas that are left and that were used, by period."""

    formed: tuple[Formed, ...]
    left: Mapping[Period, Fraction]
    used: Mapping[Period, Fraction]

    @property
    def charge(self) -> Fraction:
        """All spreads at their rates."""
        return sum((one.amount for one in self.formed), NONE)


def calendar_spread(outright_long: Decimal, outright_short: Decimal, charge: Decimal) -> Decimal:
    """What one spread of two months is asked without tiers: the difference of their outrights, and the charge."""
    return abs(outright_long - outright_short) + charge


def calendar(deltas: Mapping[Period, Fraction], tier_of: Mapping[Period, str], lines: Sequence[Spread]) -> Calendar:
    """Spreads between tiers, line by line in the file's order, long against short and the other way round.

    `deltas` are net per period. Within a tier long and short periods stand apart, so that a line may pair a tier with
    itself; the earliest periods are used first.
    """
    left = dict(deltas)
    used = dict.fromkeys(deltas, NONE)
    formed = []
    for line, spread in enumerate(lines):
        count = NONE
        for sign_of_a in (1, -1):
            signs = {leg: sign_of_a if leg.side == "A" else -sign_of_a for leg in spread.legs}
            needs: dict[tuple[str, int], Fraction] = {}
            for leg in spread.legs:
                needs[leg.of, signs[leg]] = needs.get((leg.of, signs[leg]), NONE) + Fraction(leg.ratio)
            pool = {need: _pool(left, tier_of, *need) for need in needs}
            pairs = min(sum((abs(left[p]) for p in pool[need]), NONE) / ratio for need, ratio in needs.items())
            for need, ratio in needs.items():
                _consume(left, used, pool[need], pairs * ratio)
            count += pairs
        if count:
            formed.append(Formed(line, count, count * Fraction(spread.rate)))
    return Calendar(tuple(formed), left, used)


def _pool(left: Mapping[Period, Fraction], tier_of: Mapping[Period, str], tier: str, sign: int) -> list[Period]:
    return [period for period in sorted(left) if tier_of.get(period) == tier and left[period] * sign > 0]


def _consume(left: dict[Period, Fraction], used: dict[Period, Fraction], pool: list[Period], amount: Fraction) -> None:
    for period in pool:
        taken = min(abs(left[period]), amount)
        left[period] -= taken if left[period] > 0 else -taken
        used[period] += taken
        amount -= taken


def spot_charge(used: Fraction, left: Fraction, spread_rate: Decimal, outright_rate: Decimal) -> Fraction:
    """The delivery period's deltas: those used in spreads at one rate, the outright ones at another."""
    return abs(used) * Fraction(spread_rate) + abs(left) * Fraction(outright_rate)


@dataclass(frozen=True)
class Credited:
    """What a line of the file credits, by commodity."""

    line: int
    count: Fraction
    credits: Mapping[str, Fraction]


def across(left: Mapping[str, Fraction], weighted: Mapping[str, Fraction], lines: Sequence[Spread]) -> list[Credited]:
    """Credits across commodities, line by line, from what each has `left` of its net delta after calendar spreads.

    A leg's credit is spreads × ratio × weighted price risk × rate. A commodity stands on one side of a line, once.
    """
    remaining = dict(left)
    found = []
    for line, spread in enumerate(lines):
        if not all(remaining.get(leg.of) for leg in spread.legs):
            continue  # a leg is not held
        for sign_of_a in (1, -1):
            signed = [(leg, sign_of_a if leg.side == "A" else -sign_of_a) for leg in spread.legs]
            available = [max(remaining[leg.of] * sign, NONE) / Fraction(leg.ratio) for leg, sign in signed]
            count = min(available)
            if not count:
                continue
            credits = {}
            for leg, sign in signed:
                deltas = count * Fraction(leg.ratio)
                credits[leg.of] = deltas * weighted[leg.of] * Fraction(spread.rate)
                remaining[leg.of] -= sign * deltas
            found.append(Credited(line, count, credits))
    return found


def outright_credit(legs: Sequence[tuple[Decimal, Decimal]], rate: Decimal) -> tuple[Decimal, Decimal]:
    """(the outright margins of one spread of (ratio, outright) legs together, the credit on them)."""
    total = sum((ratio * outright for ratio, outright in legs), Decimal(0))
    return total, total * rate
