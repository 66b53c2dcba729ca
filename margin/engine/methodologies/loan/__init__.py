"""Loan against collateral: a ladder of loan-to-value rates. docs/methodologies/loan.md.

Loan L is everything owed: negative cash, with interest already booked to it, and anything held short, at its mark.
Collateral C is everything held long, after haircuts. LTV = L ÷ C. A rung T is reached when L ≥ T × C, which is
C − L ≤ (1 − T) × C: equity C − L against a requirement (1 − T) × C. To restore T₀ the client repays L − T₀ × C.
The measure `health` divides every debt by its borrow factor first; L ÷ C is then 1 ÷ health factor.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine import terms as reading
from margin.engine.columns import KINDS as ALL_KINDS
from margin.engine.columns import Array, Instruments, Market
from margin.engine.exact import ONE, ZERO, inverse
from margin.engine.measures import Lane, Levels, Sentence, Totals, UnitCharge, Units, nothing, pick, silence, worth

CODE = "loan"
MEASURES = ("ltv", "health")
KINDS = frozenset({"cash", "equity", "etf", "bond", "crypto"})
_LAW = "Loan agreement: loan-to-value ladder"
_HEALTH_LAW = "Loan agreement: health factor, weighted collateral ÷ weighted debt"
_SENTENCES = {
    "call": Sentence(
        "{quantity} {code} at {price}, less a haircut of {haircut_rate}, is collateral; the loan must stay "
        "below {call_rate} of it, so the rest must be equity",
        _LAW,
    ),
    "health": Sentence(
        "{quantity} {code} at {price} counts less {haircut_rate}; debts divided by their borrow factors must stay "
        "below {call_rate} of it, so the rest must be equity",
        _HEALTH_LAW,
    ),
}


@dataclass(frozen=True)
class Terms:
    """Rates of the ladder, and haircuts by instrument code over kind; what is not named has none.

    In the measure `health` a rate is 1 ÷ the health factor of its rung, and 1 less a haircut is the liquidation
    threshold. A borrow factor is above 0 and at most 1.
    """

    call: Decimal
    liquidate: Decimal
    restore: Decimal
    warn: Decimal
    haircuts: Mapping[str, Decimal] = field(default_factory=dict)  # by instrument code
    kind_haircuts: Mapping[str, Decimal] = field(default_factory=dict)
    borrow_factors: Mapping[str, Decimal] = field(default_factory=dict)  # by instrument code; of `health` alone

    def __post_init__(self) -> None:
        if not 0 < self.restore < self.call < self.liquidate <= 1:
            raise ValueError("rates must satisfy 0 < restore < call < liquidate <= 1")
        if not 0 < self.warn < self.call:
            raise ValueError("warn must be above 0 and below call")
        for name, rate in {**self.haircuts, **self.kind_haircuts}.items():
            if not 0 <= rate <= 1:
                raise ValueError(f"the haircut of {name} must be from 0 to 1")
        for name, factor in self.borrow_factors.items():
            if not 0 < factor <= 1:
                raise ValueError(f"the borrow factor of {name} must be above 0 and at most 1")
        unknown = set(self.kind_haircuts) - set(ALL_KINDS)
        if unknown:
            raise ValueError(f"kind_haircuts: unknown kinds {', '.join(sorted(unknown))}")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Terms":
        """Terms from a policy's JSON; ValueError naming the key."""
        return reading.read(cls, document)


def currency(measure: str, terms: Terms) -> str:
    """Every amount is relative: the ladder has no currency of its own."""
    return ""


def units(instruments: Instruments, market: Market, measure: str, terms: Terms) -> Units:
    """Lanes loan, collateral and the requirement (1 − call) × collateral, charged per holding."""
    value, zero = worth(instruments), nothing(len(instruments))
    haircut = _haircuts(instruments, terms)
    collateral = value * (ONE - haircut)
    requirement = collateral * (ONE - terms.call)
    owed = value * _borrow_weights(instruments, terms) if measure == "health" else value
    branch = "health" if measure == "health" else "call"
    charge = UnitCharge(
        code=f"loan.{measure}",
        amount=Lane(requirement, zero),
        branch=Lane(np.full(len(instruments), branch, object), np.full(len(instruments), "", object)),
        inputs={
            "price": instruments.price,
            "multiplier": instruments.multiplier,
            "haircut_rate": haircut,
            "call_rate": np.full(len(instruments), terms.call, object),
        },
        sentences=_SENTENCES,
    )
    return Units(
        lanes={
            "loan": Lane(zero, owed),
            "collateral": Lane(collateral, zero),
            "requirement": Lane(requirement, zero),
        },
        charges=(charge,),
        refused=Lane(silence(len(instruments)), silence(len(instruments))),
        equity={"collateral": 1, "loan": -1},
    )


def _haircuts(instruments: Instruments, terms: Terms) -> Array:
    rates = nothing(len(instruments))
    for kind, rate in terms.kind_haircuts.items():
        rates[instruments.kind == ALL_KINDS.index(kind)] = rate
    for code, rate in terms.haircuts.items():
        rates[instruments.codes == code] = rate
    return rates


def _borrow_weights(instruments: Instruments, terms: Terms) -> Array:
    """1 ÷ borrow factor, fixed once to 12 digits."""
    weights = np.full(len(instruments), ONE, object)
    for code, factor in terms.borrow_factors.items():
        weights[instruments.codes == code] = inverse(factor)
    return weights


def levels(totals: Totals, measure: str, terms: Terms) -> Levels:
    """The ladder as requirements on equity C − L. Without a loan nothing is required."""
    loan, collateral = totals["loan"], totals["collateral"]
    owes = (loan > totals.number(ZERO)).astype(bool)

    def rung(rate: Decimal) -> Array:
        return pick(owes, collateral * totals.number(ONE - rate), totals.number(ZERO))

    requirement = pick(owes, totals["requirement"], totals.number(ZERO))
    return Levels(
        equity=collateral - loan,
        requirement=requirement,
        initial=rung(terms.restore),
        applies=owes,
        warning=rung(terms.warn),
        restore=rung(terms.restore),
        severe=rung(terms.liquidate),
    )
