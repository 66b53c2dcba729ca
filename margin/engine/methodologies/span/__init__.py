"""Futures and options on futures by risk arrays: the arithmetic of CME SPAN. docs/methodologies/span.md.

A part of a regime whose base is `cross`: per account the worst of sixteen scenarios for each commodity, with spreads,
delivery charges, credits across commodities, a minimum for short options, and the net value of options. Everything an
exchange publishes is read from a document of the day; nothing of it is in the code.
"""

import numpy as np

from margin.engine.columns import KINDS as ALL_KINDS
from margin.engine.columns import Instruments, Market
from margin.engine.groups import NO_GROUP, GroupFigures, Groups, Keys
from margin.engine.methodologies.span import requirement
from margin.engine.methodologies.span.terms import Terms

CODE = "span"
GROUP_MEASURES = ("requirement",)
KINDS = frozenset({"future", "future_option", "option"})
_CLAIMED = [ALL_KINDS.index(kind) for kind in KINDS]
_ACCOUNT = 1  # the one group of an account: credits look across commodities

__all__ = ["CODE", "GROUP_MEASURES", "KINDS", "Terms", "group_keys", "measure_groups"]


def group_keys(instruments: Instruments, terms: Terms) -> Keys:
    """One group per account, of all futures and of the options that the rule gives to this part."""
    claims = np.isin(instruments.kind, _CLAIMED)
    return Keys(np.where(claims, _ACCOUNT, NO_GROUP).astype(np.int64), claims, spans_currencies=True)


def measure_groups(groups: Groups, market: Market, measure: str, terms: Terms) -> GroupFigures:
    """Requirement, initial and equity per account. ValueError for another measure."""
    if measure != "requirement":
        raise ValueError(f"span measures the requirement of groups, not {measure!r}")
    return requirement.measure(groups, market, terms)
