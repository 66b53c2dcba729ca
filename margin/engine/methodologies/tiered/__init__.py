"""Tiered leverage: maintenance by size, for futures, perpetuals and coins on margin. docs/methodologies/tiered.md.

As a part of a regime (measure `requirement`) it claims every position by itself and asks what the venue's published
table says for its size. Liquidation prices of a stored account: `margin.engine.liquidation_prices`.
"""

import numpy as np

from margin.engine.columns import Instruments, Market
from margin.engine.groups import GroupFigures, Groups, Keys
from margin.engine.methodologies.tiered import accruals, brackets, liquidation, requirement, venues
from margin.engine.methodologies.tiered.requirement import CODE
from margin.engine.methodologies.tiered.terms import Published, Range, Step, Table, Terms

GROUP_MEASURES = ("requirement",)
KINDS = frozenset({"future", "perpetual", "crypto"})

__all__ = ["CODE", "GROUP_MEASURES", "KINDS", "Published", "Range", "Step", "Table", "Terms"]
__all__ += ["accruals", "brackets", "group_keys", "liquidation", "measure_groups", "venues"]


def group_keys(instruments: Instruments, terms: Terms) -> Keys:
    """Every instrument is a group of its own, and claims it."""
    return Keys(instruments.ids, np.ones(len(instruments), bool))


def measure_groups(groups: Groups, market: Market, measure: str, terms: Terms) -> GroupFigures:
    """Maintenance and initial margin per position, exactly. A missing table refuses; ValueError for another measure."""
    if measure != "requirement":
        raise ValueError(f"tiered measures the requirement of positions, not {measure!r}")
    return requirement.measure(groups, market, terms)
