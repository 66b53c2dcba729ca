"""Margin of crypto derivatives, coin by coin. docs/methodologies/crypto_portfolio.md.

A part of a regime of `cross`: it claims options, futures and perpetuals on coins with the coins held, and asks either
the worst of a grid of scenarios with its contingencies (`requirement`), or standard margin (`standard`). What it asks
is the value of the account by model less the published net margin, so that equity less requirement is that net margin.
"""

from margin.engine.columns import Instruments, Market
from margin.engine.groups import GroupFigures, Groups, Keys
from margin.engine.methodologies.crypto_portfolio import requirement
from margin.engine.methodologies.crypto_portfolio.terms import (
    DERIBIT_STANDARD,
    Basis,
    Collateral,
    Discount,
    Doubt,
    Grid,
    Scenario,
    Skew,
    Standard,
    Terms,
    Volatility,
)

CODE = "crypto_portfolio"
GROUP_MEASURES = ("requirement", "standard")
KINDS = frozenset({"crypto", "option", "future", "perpetual"})

__all__ = [
    "CODE",
    "DERIBIT_STANDARD",
    "GROUP_MEASURES",
    "KINDS",
    "Basis",
    "Collateral",
    "Discount",
    "Doubt",
    "Grid",
    "Scenario",
    "Skew",
    "Standard",
    "Terms",
    "Volatility",
]
__all__ += ["group_keys", "measure_groups"]


def group_keys(instruments: Instruments, terms: Terms) -> Keys:
    """One group per account and coin, in the account's base currency; everything it may take is claimed."""
    return requirement.keys(instruments, terms)


def measure_groups(groups: Groups, market: Market, measure: str, terms: Terms) -> GroupFigures:
    """Requirement and initial per group. ValueError for another measure."""
    if measure not in GROUP_MEASURES:
        raise ValueError(f"crypto_portfolio measures {' or '.join(GROUP_MEASURES)}, not {measure!r}")
    return requirement.measure(groups, market, measure == "standard", terms)
