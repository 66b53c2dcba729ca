"""Options with the stock beside them, by the strategy rules of FINRA 4210(f)(2) and Cboe 10.3.

docs/methodologies/option_strategies.md. Rule basis: options are outside equity, their premiums are in cash already, and
the requirement of a short option includes its market value. The cheapest lawful cover of all legs decides
(`margin.engine.cover`); equity moves where a covered stock counts for no more than the strike, and where a long option
has loan value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from margin.engine.columns import Array, Market
from margin.engine.exact import ZERO, exactly
from margin.engine.groups import GroupFigures, Groups, Told
from margin.engine.methodologies.option_strategies.covering import Covered, Reader, covered, require_prices
from margin.engine.methodologies.option_strategies.forecast import forecast
from margin.engine.methodologies.option_strategies.keys import group_keys
from margin.engine.methodologies.option_strategies.legs import Refusal
from margin.engine.methodologies.option_strategies.telling import told
from margin.engine.methodologies.option_strategies.terms import RULE_BOOK, Rates, Terms

CODE = "option_strategies"
GROUP_MEASURES = ("maintenance",)
KINDS = frozenset({"option", "equity", "etf", "warrant", "bond"})

__all__ = ["CODE", "GROUP_MEASURES", "KINDS", "RULE_BOOK", "Rates", "Terms", "group_keys", "measure_groups"]


def measure_groups(groups: Groups, market: Market, measure: str, terms: Terms) -> GroupFigures:
    """What each group asks and adds to equity, in its currency. Groups that hold the same are measured once."""
    known: dict[tuple[bytes, tuple[Decimal, ...]], _Measured] = {}
    reader = Reader(groups, market, terms)
    found: list[_Measured] = []
    with exactly():
        for group in range(len(groups)):
            members = groups.members(group)
            key = (groups.instrument[members].tobytes(), tuple(groups.quantity[members]))
            if key not in known:
                known[key] = _measure(reader, group)
            found.append(known[key])

    def explained(group: int) -> Told:
        one = found[group].covered
        if one is None:
            return Told()
        with exactly():
            return told(one, groups.instruments, groups.base, groups.instrument[groups.members(group)].tolist())

    return GroupFigures(
        requirement=_column([one.requirement for one in found]),
        initial=_column([one.initial for one in found]),
        equity=_column([one.equity for one in found]),
        refused=_column([one.refused for one in found]),
        told=explained,
        forecast=lambda: forecast(groups, market, terms),
    )


@dataclass(frozen=True)
class _Measured:
    """One distinct group: its cover and what it comes to, or why there is none."""

    covered: Covered | None
    refused: str = ""
    requirement: Decimal = ZERO
    initial: Decimal = ZERO
    equity: Decimal = ZERO


def _measure(reader: Reader, group: int) -> _Measured:
    try:
        held = reader.held(group)
        require_prices(held)
        found = covered(held)
    except Refusal as refusal:
        return _Measured(None, str(refusal))
    except (ArithmeticError, ValueError) as error:  # one account's numbers must not stop a sweep
        codes = ", ".join(reader.groups.instruments.codes[reader.groups.instrument[reader.groups.members(group)]])
        return _Measured(None, f"{codes}: cannot be computed ({type(error).__name__}: {error})")
    return _Measured(found, "", found.requirement, found.initial, found.equity)


def _column(values: Sequence[object]) -> Array:
    out = np.empty(len(values), object)
    out[:] = values
    return out
