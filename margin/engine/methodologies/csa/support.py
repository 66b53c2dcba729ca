"""What a credit support annex asks: the credit support amount, and what is delivered or returned to reach it.

The order of a valuation date: exposure of the collecting party → independent amounts → threshold → credit support
amount → value of what is posted, after haircuts and with transfers under way → difference → less what is disputed →
minimum transfer amount, tested on the unrounded amount → rounding, deliveries up and returns down. All exact Decimals,
in the agreement's base currency. Sources: ISDA 1994 and 2016 Credit Support Annex, paragraphs 2 and 3; 2018 Credit
Support Annex for Initial Margin, paragraph 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from margin.engine.exact import ONE, ZERO, exactly

APPROACHES = ("distinct", "allocated", "greater_of")


@dataclass(frozen=True)
class Posted:
    """One posted item: its value in base currency, its haircuts as rates, and the part of the value in dispute."""

    value: Decimal
    haircut: Decimal = ZERO
    fx_haircut: Decimal = ZERO  # where it is not in a currency of settlement
    disputed: Decimal = ZERO

    def adjusted(self, *, fx_haircut_twice: bool = False) -> Decimal:
        """value × (1 − haircut − FX haircut) − disputed. FINOS CDM takes the FX haircut off twice, through an alias of
        its additional haircut; `fx_haircut_twice` reproduces that."""
        with exactly():
            times = 2 if fx_haircut_twice else 1
            return self.value * (ONE - self.haircut - times * self.fx_haircut) - self.disputed


def held(
    posted: Sequence[Posted],
    *,
    prior_delivery: Decimal = ZERO,
    prior_return: Decimal = ZERO,
    disputed_transfer: Decimal = ZERO,
    fx_haircut_twice: bool = False,
) -> Decimal:
    """What the secured party holds: posted items after haircuts, with deliveries and without returns that are agreed
    and not settled, less a transfer whose value is disputed."""
    with exactly():
        value = sum((item.adjusted(fx_haircut_twice=fx_haircut_twice) for item in posted), ZERO)
        return value + prior_delivery - prior_return - disputed_transfer


def credit_support_amount(
    *,
    exposure: Decimal,
    posting_amount: Decimal = ZERO,
    collecting_amount: Decimal = ZERO,
    threshold: Decimal = ZERO,
    is_defaulting: bool = False,
) -> Decimal:
    """max(0, exposure + IA of the posting party − IA of the collecting party − threshold of the posting party), for
    variation margin. `exposure` is the collecting party's; a defaulting party has no threshold."""
    with exactly():
        allowed = ZERO if is_defaulting else threshold
        return max(ZERO, exposure + posting_amount - collecting_amount - allowed)


def initial_support_amount(
    *, margin: Decimal, threshold: Decimal = ZERO, approach: str = "distinct", independent_amount: Decimal = ZERO
) -> Decimal:
    """Credit support amount of initial margin: max(0, margin − threshold), and with `greater_of` at least the
    independent amount. ValueError for an unknown approach."""
    _check(approach)
    with exactly():
        amount = max(ZERO, margin - threshold)
        return max(amount, independent_amount) if approach == "greater_of" else amount


def independent_amount_left(*, independent_amount: Decimal, margin: Decimal, approach: str) -> Decimal:
    """What the variation margin annex still asks as independent amount: all of it (distinct), what initial margin does
    not cover (allocated), nothing (greater of: it is in the initial margin annex)."""
    _check(approach)
    if approach == "distinct":
        return independent_amount
    with exactly():
        return max(ZERO, independent_amount - margin) if approach == "allocated" else ZERO


def _check(approach: str) -> None:
    if approach not in APPROACHES:
        raise ValueError(f"approach must be one of {', '.join(APPROACHES)}, not {approach!r}")


# --- transfers ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transfer:
    """The terms of a transfer. A defaulting party has no minimum transfer amount. `rounding`: the unit; 0: exact."""

    minimum: Decimal = ZERO
    rounding: Decimal = ZERO
    is_defaulting: bool = False

    def __post_init__(self) -> None:
        if self.minimum < 0 or self.rounding < 0:
            raise ValueError("minimum and rounding must not be negative")


def delivery(required: Decimal, held: Decimal, terms: Transfer, *, disputed: Decimal = ZERO) -> Decimal:
    """The delivery amount: what is missing to `required` and undisputed, all of it once it reaches the minimum, rounded
    up; else 0."""
    moved = _moved(required, held, terms, disputed)
    return _units(moved, terms.rounding, up=True)


def returned(required: Decimal, held: Decimal, terms: Transfer, *, disputed: Decimal = ZERO) -> Decimal:
    """The return amount: what is held beyond `required` and undisputed, all of it once it reaches the minimum, rounded
    down; else 0."""
    moved = _moved(held, required, terms, disputed)
    return _units(moved, terms.rounding, up=False)


def _moved(more: Decimal, less: Decimal, terms: Transfer, disputed: Decimal) -> Decimal:
    with exactly():
        undisputed = max(ZERO, max(ZERO, more - less) - disputed)
        least = ZERO if terms.is_defaulting else terms.minimum
        return undisputed if undisputed >= least else ZERO


def _units(amount: Decimal, unit: Decimal, *, up: bool) -> Decimal:
    if not unit:
        return amount
    units = Fraction(amount) / Fraction(unit)
    whole = -(-units.numerator // units.denominator) if up else units.numerator // units.denominator
    with exactly():
        return whole * unit


# --- both parties in one signed number ------------------------------------------------------------------------


def bilateral_support(
    *,
    value: Decimal,
    independent_amount: Decimal = ZERO,
    threshold_receive: Decimal = ZERO,
    threshold_pay: Decimal = ZERO,
) -> Decimal:
    """Support that the party valuing the netting set must hold (positive) or post (negative): e = value + IA held;
    max(0, e − threshold of the other) if e ≥ 0, else min(0, e + own threshold)."""
    with exactly():
        exposure = value + independent_amount
        if exposure >= 0:
            return max(ZERO, exposure - threshold_receive)
        return min(ZERO, exposure + threshold_pay)


def bilateral_call(
    support: Decimal, *, balance: Decimal = ZERO, under_way: Decimal = ZERO, minimum: Decimal = ZERO
) -> Decimal:
    """support − balance − transfers under way; nothing below the minimum transfer amount. Positive: called from the
    other party."""
    with exactly():
        call = support - balance - under_way
    return call if abs(call) >= minimum else ZERO
