"""Cross margin: one pool of equity under everything that a regime's parts ask. docs/methodologies/cross.md.

Everything held counts at its value, and of futures and perpetuals the profit since they were opened (the engine adds
it). This methodology asks nothing itself: what is asked comes from the regime's parts, such as `span`, `tiered`,
`crypto_portfolio`, `volatility`, `collateral` and `concentration`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from margin.engine import terms as reading
from margin.engine.columns import CASH, Instruments, Market
from margin.engine.measures import Lane, Levels, Totals, Units, nothing, pick, silence, worth

CODE = "cross"
MEASURES = ("requirement",)
KINDS = frozenset({"cash", "equity", "etf", "bond", "crypto", "option", "future_option", "warrant", "otc"})


@dataclass(frozen=True)
class Terms:
    """Cross margin has no terms of its own: its parts have."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Terms":
        """Terms from a policy's JSON, an empty object; ValueError naming the key."""
        return reading.read(cls, document)


def currency(measure: str, terms: Terms) -> str:
    """Every amount is converted per instrument."""
    return ""


def units(instruments: Instruments, market: Market, measure: str, terms: Terms) -> Units:
    """The lane value; requirement and initial are for the parts to fill. A short that no part charges is refused: it
    would owe without limit and be asked nothing. Cash owed is a debt at face."""
    value, zero = worth(instruments), nothing(len(instruments))
    reason = silence(len(instruments))
    for i in np.flatnonzero(instruments.kind != CASH):
        reason[i] = f"{instruments.codes[i]}: held short, and no part of the regime charges it"
    owed = pick(instruments.kind == CASH, "", reason)
    return Units(
        lanes={"value": Lane(value, -value), "requirement": Lane(zero, zero), "initial": Lane(zero, zero)},
        charges=(),
        refused=Lane(silence(len(instruments)), owed),
        equity={"value": 1},
    )


def levels(totals: Totals, measure: str, terms: Terms) -> Levels:
    """Equity against what the parts ask; what opening needs is never less than what holding does."""
    initial = np.maximum(totals["initial"], totals["requirement"])
    return Levels(totals["value"], totals["requirement"], initial, np.ones(len(totals["value"]), bool))
