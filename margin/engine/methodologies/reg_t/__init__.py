"""Regulation T and FINRA 4210 for stock and debt, with a house table that only raises. docs/methodologies/reg_t.md.

Equity is cash + long market value − short market value (rule basis; options are not handled here and never enter).
Measures: `exchange` is the SRO requirement, `house` the greater of SRO and house per position, `minimum_equity` the
2,000 of 4210(b). Requirements are on equity: for a short, what is asked beyond its market value.
"""

from dataclasses import replace

import numpy as np

from margin.engine.columns import CASH, Instruments, Market
from margin.engine.exact import ONE, ZERO
from margin.engine.measures import (
    AccountCharge,
    Lane,
    Levels,
    Sentence,
    Totals,
    UnitCharge,
    Units,
    added,
    larger,
    nothing,
    pick,
    restricted,
    silence,
    worth,
)
from margin.engine.methodologies.reg_t import box, debt, house, stock
from margin.engine.methodologies.reg_t.terms import RULE_BOOK, Bracket, House, Rates, Terms

CODE = "reg_t"
MEASURES = ("exchange", "house", "minimum_equity")
KINDS = frozenset({"cash", "equity", "etf", "bond"})
_MINIMUM = "FINRA Rule 4210(b)"

__all__ = ["CODE", "KINDS", "MEASURES", "RULE_BOOK", "Bracket", "House", "Rates", "Terms"]
__all__ += ["currency", "levels", "units"]


def currency(measure: str, terms: Terms) -> str:
    """The currency of the minimum equity; the other measures' amounts are converted per instrument."""
    return terms.currency if measure == "minimum_equity" else ""


def units(instruments: Instruments, market: Market, measure: str, terms: Terms) -> Units:
    """Lanes value, requirement and initial; for the minimum equity value, debit, short and cost."""
    if measure == "minimum_equity":
        return _minimum_units(instruments)
    exchange, refused = _exchange(instruments, market, terms)
    charges = exchange
    if measure == "house":
        charges = (*exchange, house.top_up(instruments, terms.house, added([c.amount for c in exchange])))
    requirement = added([c.amount for c in charges])
    initial = _initial(instruments, terms, requirement)
    return Units(
        lanes={"value": _value(instruments), "requirement": requirement, "initial": initial},
        charges=charges,
        refused=refused,
        equity={"value": 1},
        box=box.charge(instruments, requirement, initial, terms),
    )


def _value(instruments: Instruments) -> Lane:
    value = worth(instruments)
    return Lane(value, -value)


def _exchange(instruments: Instruments, market: Market, terms: Terms) -> tuple[tuple[UnitCharge, ...], Lane]:
    """The SRO charges, stock and debt apart, each restricted to its own instruments."""
    of_stock, no_stock = stock.charge(instruments, market, terms)
    of_debt, no_debt = debt.charge(instruments, market, terms)
    charges = (
        replace(of_stock, amount=restricted(of_stock.amount, stock.is_stock(instruments))),
        replace(of_debt, amount=restricted(of_debt.amount, debt.is_debt(instruments))),
    )
    return charges, Lane(no_debt, pick(no_stock != "", no_stock, no_debt))


def _initial(instruments: Instruments, terms: Terms, requirement: Lane) -> Lane:
    """4210(b): the greater of Regulation T (12 CFR 220.12) and maintenance; debt is good faith, so maintenance."""
    value = worth(instruments)
    eligible = instruments.margin_eligible
    long = pick(eligible, terms.initial_long_rate, ONE) * value
    regulation = restricted(Lane(long, terms.initial_short_rate * value), stock.is_stock(instruments))
    return Lane(larger(regulation.long, requirement.long), larger(regulation.short, requirement.short))


def _minimum_units(instruments: Instruments) -> Units:
    value, zero = worth(instruments), nothing(len(instruments))
    is_cash = instruments.kind == CASH
    return Units(
        lanes={
            "value": _value(instruments),
            "debit": restricted(Lane(zero, value), is_cash),
            "short": restricted(Lane(zero, value), ~is_cash),
        },
        charges=(),
        refused=Lane(silence(len(instruments)), silence(len(instruments))),
        equity={"value": 1},
        counts_cost=~is_cash,
    )


def levels(totals: Totals, measure: str, terms: Terms) -> Levels:
    """Equity against the sums of the charges, or against the minimum equity."""
    equity = totals["value"]
    if measure == "minimum_equity":
        return _minimum_levels(totals, terms)
    return Levels(equity, totals["requirement"], totals["initial"], np.ones(len(equity), bool))


def _minimum_levels(totals: Totals, terms: Terms) -> Levels:
    """2,000, but without shorts never more than the cost of what is held long; asked of debits and shorts only.

    With a cost unknown the requirement is at most 2,000, and doubtful.
    """
    zero = totals.number(ZERO)
    whole = totals.fx * totals.number(terms.minimum_equity)
    has_short = (totals["short"] > zero).astype(bool)
    applies = has_short | (totals["debit"] > zero).astype(bool)
    relieved = ~has_short & ~totals.cost_unknown & (totals["cost"] < whole).astype(bool)
    requirement = pick(applies, pick(relieved, totals["cost"], whole), zero)
    branch = pick(relieved, "cost", pick(has_short, "short", "debit")).astype(object)
    charge = AccountCharge(
        code="finra_4210_b",
        amount=requirement,
        branch=pick(~has_short & totals.cost_unknown, "cost_unknown", branch),
        inputs={"minimum": whole, "cost": totals["cost"], "debit": totals["debit"], "short": totals["short"]},
        sentences={
            "cost": Sentence("Minimum equity: no more than the {cost} that the securities held long cost", _MINIMUM),
            "debit": Sentence("Minimum equity {minimum}: the account owes {debit}", _MINIMUM),
            "short": Sentence("Minimum equity {minimum}, in full: the account is short {short}", _MINIMUM),
            "cost_unknown": Sentence(
                "Minimum equity: at most {minimum}; the cost of a security held long is unknown",
                _MINIMUM,
            ),
        },
    )
    doubtful = applies & ~has_short & totals.cost_unknown & ~relieved
    return Levels(totals["value"], requirement, requirement, applies, doubtful=doubtful, charges=(charge,))
