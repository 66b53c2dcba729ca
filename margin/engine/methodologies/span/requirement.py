"""What accounts are asked for their futures and options: per account one group, over all commodities.

Maintenance = max(0, Σ commodity risk × house − net option value) + exposure; initial is the same with what opening
needs. The value of options is in the requirement and not in the equity (CME SPAN, net option value).
"""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from margin.engine.columns import Market
from margin.engine.exact import ZERO, exactly
from margin.engine.groups import EquityPart, GroupFigures, Groups
from margin.engine.groups import none as no_figures
from margin.engine.methodologies.span import amounts, contracts, parameters, risk, telling
from margin.engine.methodologies.span.contracts import Unit
from margin.engine.methodologies.span.parameters import Parameters
from margin.engine.methodologies.span.telling import Measured
from margin.engine.methodologies.span.terms import Terms


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
    requirement, initial, equity = (np.full(count, ZERO, object) for _ in range(3))
    refused, found = np.full(count, "", object), {}
    with exactly():
        units = contracts.read(groups.instruments.take(rows), market, document)
        for group in range(count):
            members = groups.members(group)
            own = [units[k] for k in at[members]]
            reasons = [unit for unit in own if isinstance(unit, str)]
            if reasons:
                refused[group] = "; ".join(dict.fromkeys(reasons))
                continue
            one = found[group] = _account(groups, members, [u for u in own if isinstance(u, Unit)], document, terms)
            requirement[group], initial[group] = one.requirement, one.initial
            equity[group] = sum((part.amount for part in one.equity), ZERO)
    told = telling.Explained(groups, found, document).told
    return GroupFigures(requirement, initial, equity, refused, told)


def _refused(count: int, reason: str) -> GroupFigures:
    figures = no_figures(count)
    figures.refused[:] = reason
    return figures


def _account(groups: Groups, members: slice, units: Sequence[Unit], document: Parameters, terms: Terms) -> Measured:
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
