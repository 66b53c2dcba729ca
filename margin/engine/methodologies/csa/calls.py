"""From an account's sums to what a credit support annex calls: the formulas of `support`, for all accounts at once.

Every step is a charge on the account, so the requirement is what is posted plus what is called: nothing is called below
the minimum transfer amount, and everything from there on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from margin.engine.columns import Array
from margin.engine.exact import ONE, ZERO
from margin.engine.measures import AccountCharge, Levels, Sentence, Totals, larger, pick, smaller
from margin.engine.methodologies.csa.schedule import FLOOR_SHARE, RATIO_SHARE
from margin.engine.methodologies.csa.terms import Terms

IN_TRANSIT, DISPUTED = "in_transit", "disputed"  # totals that a book may bring
_RATIO_SCALE = Decimal(10) ** 15
_SCREEN = Decimal("0.000000000001")  # of all amounts: so near the minimum transfer amount a float does not decide
_LAW = "Credit Support Annex, paragraphs 2 and 3"
_SENTENCES: Mapping[str, Sentence] = {
    "independent_amount": Sentence("Independent amounts ask for {amount} more", f"{_LAW}: Independent Amount"),
    "net_to_gross": Sentence(
        "Net replacement cost is {ratio_rate} of the gross: 40 % of the schedule is asked, and that share of the rest",
        "BCBS-IOSCO, margin requirements for non-centrally cleared derivatives, paragraph 3.2",
    ),
    "threshold": Sentence("{amount}: the client's threshold is not asked for", f"{_LAW}: Threshold"),
    "floor": Sentence("Nothing is asked below zero: {amount} back", f"{_LAW}: Credit Support Amount"),
    "greater_of": Sentence(
        "The independent amount exceeds the margin by {amount}", f"{_LAW}: Greater of Margin Flow (IM/IA) Approach"
    ),
    "in_transit": Sentence("{amount}: transfers agreed and not settled count as posted", f"{_LAW}: Transfers"),
    "disputed": Sentence("{amount} is in dispute; the undisputed part is called", f"{_LAW}, paragraph 5: Dispute"),
    "minimum_transfer": Sentence(
        "{amount}: what is missing is below the minimum transfer amount of {least}", f"{_LAW}: Minimum Transfer Amount"
    ),
}


@dataclass(frozen=True)
class _Step:
    """One charge on every account, and what its sentence names beside the amount."""

    name: str
    amount: Array
    inputs: Mapping[str, Array]

    @property
    def charge(self) -> AccountCharge:
        branch = np.full(len(self.amount), self.name, object)
        inputs = {"amount": self.amount, **self.inputs}
        return AccountCharge(f"csa.{self.name}", self.amount, branch, inputs, {self.name: _SENTENCES[self.name]})


def levels_of(totals: Totals, measure: str, terms: Terms) -> Levels:
    """Levels of both measures. Amounts of the terms are converted to each account's base currency."""
    equity = totals["collateral"]
    asked = _initial(totals, terms) if measure == "initial" else _variation(totals, terms)
    required = totals["requirement"] + sum(step.amount for step in asked)
    steps = [*asked, *_transfers(totals, required - equity, terms)]
    requirement = totals["requirement"] + sum(step.amount for step in steps)
    return Levels(
        equity=equity,
        requirement=requirement,
        initial=requirement,
        applies=np.ones(len(equity), bool),
        restore=equity + _rounded_up(requirement - equity, terms.rounding, totals),
        charges=tuple(step.charge for step in steps),
    )


def _variation(totals: Totals, terms: Terms) -> list[_Step]:
    """max(0, exposure + IA of the client − our IA − threshold)."""
    asked = _independent_amount(totals, terms) - _base(totals, terms.our_independent_amount)
    threshold = _base(totals, terms.allowed)
    raw = totals["exposure"] + asked - threshold
    return [
        _Step("independent_amount", asked, {}),
        _Step("threshold", -threshold, {}),
        _Step("floor", larger(-raw, totals.number(ZERO)), {}),
    ]


def _independent_amount(totals: Totals, terms: Terms) -> Array:
    """What initial margin leaves of the client's independent amount."""
    stated = _base(totals, terms.independent_amount)
    if terms.approach == "distinct":
        return stated
    if terms.approach == "greater_of":
        return stated * totals.number(ZERO)
    return larger(stated - _scheduled(totals)[0], totals.number(ZERO))


def _initial(totals: Totals, terms: Terms) -> list[_Step]:
    """max(0, schedule − threshold), and with the greater-of approach at least the independent amount."""
    zero, threshold = totals.number(ZERO), _base(totals, terms.allowed)
    margin, ratio = _scheduled(totals)
    raw = margin - threshold
    amount = larger(raw, zero)
    more = larger(_base(totals, terms.independent_amount) - amount, zero)
    return [
        _Step("net_to_gross", margin - totals["margin"], {"ratio_rate": ratio}),
        _Step("threshold", -threshold, {}),
        _Step("floor", amount - raw, {}),
        _Step("greater_of", more if terms.approach == "greater_of" else more * zero, {}),
    ]


def _scheduled(totals: Totals) -> tuple[Array, Array]:
    """(0.4 × gross + 0.6 × ratio × gross, the ratio): net ÷ gross replacement cost, fixed once to 15 decimals, up."""
    number, zero = totals.number, totals.number(ZERO)
    net, gross = larger(totals["exposure"], zero), totals["gross_exposure"]
    is_exposed = (gross > zero).astype(bool)
    scaled, divisor = net * number(_RATIO_SCALE), pick(is_exposed, gross, number(ONE))
    ratio = pick(is_exposed, _ceiling(scaled, divisor, totals) * number(ONE / _RATIO_SCALE), number(ONE))
    return totals["margin"] * (number(FLOOR_SHARE) + number(RATIO_SHARE) * ratio), ratio


def _transfers(totals: Totals, missing: Array, terms: Terms) -> list[_Step]:
    """What transfers under way, disputes and the minimum transfer amount take off what is missing."""
    zero = totals.number(ZERO)
    none = missing * zero
    in_transit = totals.columns.get(IN_TRANSIT, none)
    missing = missing - in_transit
    disputed = smaller(totals.columns.get(DISPUTED, none), larger(missing, zero))
    missing = missing - disputed
    least = _base(totals, terms.least)
    is_small = (missing > zero).astype(bool) & (missing < least + _doubt(totals, terms)).astype(bool)
    return [
        _Step("in_transit", -in_transit, {}),
        _Step("disputed", -disputed, {}),
        _Step("minimum_transfer", pick(is_small, -missing, none), {"least": least}),
    ]


def _doubt(totals: Totals, terms: Terms) -> Array:
    """What floats may be wrong by, so that in doubt nothing is called and equality sends the account to exact sums; 0
    for exact amounts."""
    if totals.number is not float:
        return totals.fx * totals.number(ZERO)
    gains = totals["gross_exposure"] - totals["exposure"]
    stated = terms.threshold + terms.independent_amount + terms.our_independent_amount + terms.minimum_transfer
    size = totals["gross_exposure"] + gains + abs(totals["collateral"]) + totals["margin"] + _base(totals, stated)
    doubt: Array = size * totals.number(_SCREEN)
    return doubt


def _rounded_up(missing: Array, unit: Decimal, totals: Totals) -> Array:
    """Deliveries in whole units of the agreement's currency; what is not missing stays."""
    zero = totals.number(ZERO)
    if not unit:
        return missing
    size = pick(totals.fx > zero, totals.fx, totals.number(ONE)) * totals.number(unit)
    is_missing = (missing > zero).astype(bool)
    return pick(is_missing, _ceiling(larger(missing, zero), size, totals) * size, missing)


def _ceiling(amount: Array, unit: Array, totals: Totals) -> Array:
    """amount ÷ unit rounded up to a whole number; neither is negative."""
    whole = amount // unit
    return whole + pick((whole * unit < amount).astype(bool), totals.number(ONE), totals.number(ZERO))


def _base(totals: Totals, amount: Decimal) -> Array:
    converted: Array = totals.fx * totals.number(amount)
    return converted
