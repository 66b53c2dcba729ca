"""Portfolio margin: FINRA 4210(g), Cboe Rule 10.4. docs/methodologies/portfolio.md.

As a part of a regime (measure `requirement`) it claims what is eligible of an account and asks for the greatest loss
over ten moves of every underlying, at least so much per option contract. Equity is then net liquidating value: the
value of options is added. As a methodology of its own it measures `minimum_equity`.

The option model is ours, not OCC's: requirements are estimates of what TIMS gives, within 0.5 % for equity options.
"""

import numpy as np

from margin.engine.columns import Instruments, Market
from margin.engine.groups import GroupFigures, Groups, Keys
from margin.engine.measures import AccountCharge, Lane, Levels, Sentence, Totals, Units, larger, silence, worth
from margin.engine.methodologies.portfolio import classes, requirement
from margin.engine.methodologies.portfolio.requirement import stress_values
from margin.engine.methodologies.portfolio.terms import RULE_BOOK, House, PortfolioGroup, Range, Stress, Terms
from margin.engine.valuation import scenario_values

CODE = "portfolio"
MEASURES = ("minimum_equity",)
GROUP_MEASURES = ("requirement",)  # as a part of a regime
KINDS = frozenset({"cash", "equity", "etf", "bond", "option", "warrant"})
_MINIMUM = "FINRA Rule 4210(g)(4)"

__all__ = [
    "CODE",
    "GROUP_MEASURES",
    "KINDS",
    "MEASURES",
    "RULE_BOOK",
    "House",
    "PortfolioGroup",
    "Range",
    "Stress",
    "Terms",
]
__all__ += ["currency", "group_keys", "levels", "measure_groups", "scenario_values", "stress_values", "units"]


def group_keys(instruments: Instruments, terms: Terms) -> Keys:
    """One group per account, of everything eligible."""
    return classes.keys(instruments, terms)


def measure_groups(groups: Groups, market: Market, measure: str, terms: Terms) -> GroupFigures:
    """Requirement and equity per group, exact sums of unit profits that are rounded once. ValueError for another
    measure."""
    if measure != "requirement":
        raise ValueError(f"portfolio measures the requirement of groups, not {measure!r}")
    return requirement.measure(groups, market, terms)


def currency(measure: str, terms: Terms) -> str:
    """The currency of the minimum equity."""
    return terms.currency


def units(instruments: Instruments, market: Market, measure: str, terms: Terms) -> Units:
    """The lane value, options included. ValueError for `requirement`, which only groups have."""
    if measure != "minimum_equity":
        raise ValueError("portfolio measures a requirement as a part of a regime; name it among the regime's parts")
    value = worth(instruments)
    return Units(
        lanes={"value": Lane(value, -value)},
        charges=(),
        refused=Lane(silence(len(instruments)), silence(len(instruments))),
        equity={"value": 1},
    )


def levels(totals: Totals, measure: str, terms: Terms) -> Levels:
    """Net liquidating value against the minimum equity of the account's tier; the house may ask more for opening."""
    asked = terms.minimum_equity[terms.tier]
    minimum = totals.fx * totals.number(asked)
    opening = totals.fx * totals.number(terms.house.opening_equity)
    count = len(minimum)
    charge = AccountCharge(
        code="finra_4210_g_minimum",
        amount=minimum,
        branch=np.full(count, terms.tier, object),
        inputs={"minimum": minimum},
        sentences={
            "monitored": Sentence("Minimum equity {minimum}: positions are monitored in real time", _MINIMUM),
            "standard": Sentence("Minimum equity {minimum}: positions are not monitored in real time", _MINIMUM),
            "away": Sentence("Minimum equity {minimum}: trades are executed away", _MINIMUM),
            "unlisted": Sentence("Minimum equity {minimum}: unlisted derivatives may be held", _MINIMUM),
        },
    )
    return Levels(
        equity=totals["value"],
        requirement=minimum,
        initial=larger(minimum, opening),
        applies=np.ones(count, bool),
        charges=(charge,),
    )
