"""What accounts are asked for their futures and options: per account one group, over all commodities.

Maintenance = max(0, Σ commodity risk × house − net option value) + exposure; initial is the same with what opening
needs. The value of options is in the requirement and not in the equity (CME SPAN, net option value).
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine.columns import Array, Market
from margin.engine.exact import ZERO, exactly
from margin.engine.groups import EquityPart, GroupFigures, Groups
from margin.engine.groups import none as no_figures
from margin.engine.methodologies.span import amounts, contracts, parameters, risk, telling
from margin.engine.methodologies.span.contracts import Unit
from margin.engine.methodologies.span.parameters import Parameters
from margin.engine.methodologies.span.telling import Measured
from margin.engine.methodologies.span.terms import Terms

_LISTED = 3  # reasons of an account that are told; the rest are counted


def measure(groups: Groups, market: Market, terms: Terms) -> GroupFigures:
    """Exact figures of every account; an account with a contract that has no array or margin is refused by name."""
    count = len(groups)
    if not count:
        return no_figures(0)
    rows, at = np.unique(groups.instrument, return_inverse=True)
    held = {contracts.product(contract) for contract in groups.instruments.contract[rows]}
    try:
        document = parameters.of_day(market.parameters, terms, market.on, held)
    except ValueError as reason:
        return _refused(count, str(reason))
    with exactly():
        units = contracts.read(groups.instruments.take(rows), market, document)
        measured = _accounts(groups, at, units, document, terms)
        equity = _column([sum((part.amount for part in one.equity), ZERO) for one in measured])
    refused = np.full(count, "", object)
    refused[:] = [one.refused for one in measured]
    told = telling.Explained(groups, measured, document).told
    requirement, initial = (_column([getattr(one, name) for one in measured]) for name in ("requirement", "initial"))
    return GroupFigures(requirement, initial, equity, refused, told)


def _column(amounts: Sequence[Decimal]) -> Array:
    column = np.empty(len(amounts), object)
    column[:] = amounts
    return column


def _refused(count: int, reason: str) -> GroupFigures:
    figures = no_figures(count)
    figures.refused[:] = reason
    return figures


def _accounts(
    groups: Groups, at: Array, units: Sequence[Unit | str], document: Parameters, terms: Terms
) -> list[Measured]:
    """Every account; those that hold the same, at the same rates, are measured once. `at` is each position's unit."""
    known: dict[Any, Measured] = {}
    found = []
    for group in range(len(groups)):
        members = groups.members(group)
        book = tuple(zip(at[members].tolist(), groups.quantity[members], groups.to_group[members], strict=True))
        if book not in known:
            own = [units[k] for k, _, _ in book]
            known[book] = _account(groups, members, own, document, terms)
        found.append(known[book])
    return found


def _account(groups: Groups, members: slice, own: Sequence[Unit | str], document: Parameters, terms: Terms) -> Measured:
    reasons = list(dict.fromkeys(unit for unit in own if isinstance(unit, str)))
    if reasons:
        more = f"; and {len(reasons) - _LISTED} more" if len(reasons) > _LISTED else ""
        return Measured((), ZERO, ZERO, ZERO, ZERO, (), "; ".join(reasons[:_LISTED]) + more)
    units = [unit for unit in own if isinstance(unit, Unit)]
    quantity, fx = groups.quantity[members], groups.to_group[members]
    holdings = [risk.Holding(place, quantity[place], unit) for place, unit in enumerate(units)]
    risks = tuple((one, fx[one.holdings[0].place]) for one in risk.of_account(holdings, document, terms))
    option_value = sum((one.value * rate for one, rate in risks), ZERO)
    credited = option_value if terms.grants_option_value else min(option_value, ZERO)
    asked, opening, exposure = (
        sum((amount * rate for amount, rate in column), ZERO)
        for column in (
            [(one.asked, rate) for one, rate in risks],
            [(one.opening, rate) for one, rate in risks],
            [(one.exposure, rate) for one, rate in risks],
        )
    )
    return Measured(
        risks=risks,
        option_value=option_value,
        granted=min(credited, asked),
        requirement=amounts.total(asked, credited) + exposure,
        initial=amounts.total(opening, credited) + exposure,
        equity=_equity(groups, members, units),
    )


def _equity(groups: Groups, members: slice, units: Sequence[Unit]) -> tuple[EquityPart, ...]:
    """What the base methodology counts of options, taken out again: their value is in the requirement."""
    parts = []
    for place, (row, unit) in enumerate(zip(range(members.start, members.stop), units, strict=True)):
        if unit.right:
            counted = _counted(groups, row)
            if counted:
                parts.append(EquityPart("option_value", place, -counted))
    return tuple(parts)


def _counted(groups: Groups, row: int) -> Decimal:
    instrument, quantity = groups.instrument[row], groups.quantity[row]
    lanes = [(groups.base.lanes[name], sign) for name, sign in groups.base.equity.items()]
    per_unit = sum((sign * (lane.short if quantity < 0 else lane.long)[instrument] for lane, sign in lanes), ZERO)
    return Decimal(abs(quantity) * per_unit * groups.to_group[row])


__all__ = ["measure"]
