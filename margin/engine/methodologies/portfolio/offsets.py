"""Offsets between class groups: within a product group, and between product groups of a portfolio group.

At each point losses count in full and gains at the policy's rate; never less than the minimums of all members
(4210(g)(7); SEC Rule 15c3-1a). A margin class without a stated rate stands alone: its class groups just add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from margin.engine.columns import Array
from margin.engine.methodologies.portfolio.profits import Measured, python_integers
from margin.engine.methodologies.portfolio.terms import Terms


@dataclass(frozen=True)
class Relief:
    """What one offset releases in the groups it is found in: Python integers ÷ 10^(decimals of the class groups +
    `decimals`)."""

    branch: str  # "product_group" or "portfolio_group"
    classes: tuple[str, ...]
    rate: Decimal
    group: Array
    amount: Array
    decimals: int


@dataclass(frozen=True)
class _Rows:
    """Class groups, or what they were combined to: Python integers."""

    group: Array
    profits: Array  # [k, points]
    minimums: Array
    requirements: Array


def reliefs(measured: Measured, terms: Terms) -> tuple[Relief, ...]:
    """All releases that the policy's offset rates give; none without such rates."""
    rates = [*terms.product_groups.values(), *(group.rate for group in terms.portfolio_groups)]
    decimals = max((max(-int(rate.as_tuple().exponent), 0) for rate in rates), default=0)
    found, products = [], {}
    for name, rate in terms.product_groups.items():
        at = np.flatnonzero(measured.classes.margin_class == name)
        rows = _Rows(
            measured.classes.group[at],
            *(python_integers(column[at]) for column in (measured.profits, measured.minimums, measured.requirements)),
        )
        products[name], relief = _combined(rows, "product_group", (name,), rate, decimals)
        found.append((relief, decimals))
    for portfolio in terms.portfolio_groups:
        rows = _joined([products[name] for name in portfolio.classes])
        _, relief = _combined(rows, "portfolio_group", portfolio.classes, portfolio.rate, decimals)
        found.append((relief, 2 * decimals))
    return tuple(
        Relief(relief.branch, relief.classes, relief.rate, relief.group, relief.amount, places)
        for relief, places in found
        if (relief.amount != 0).any()
    )


def _combined(rows: _Rows, branch: str, names: tuple[str, ...], rate: Decimal, decimals: int) -> tuple[_Rows, Relief]:
    """(the rows of each group combined at the rate, what that releases), with so many more decimals."""
    group, which = np.unique(rows.group, return_inverse=True)
    whole, gained = 10**decimals, int(rate.scaleb(decimals))
    offset = np.minimum(rows.profits, 0) * whole + np.maximum(rows.profits, 0) * gained
    profits = _added(offset, which, len(group))
    minimums = _added(rows.minimums * whole, which, len(group))
    worst = -profits.min(axis=1) if len(group) else minimums
    requirements = np.maximum(worst, minimums)
    released = _added(rows.requirements * whole, which, len(group)) - requirements
    return _Rows(group, profits, minimums, requirements), Relief(branch, names, rate, group, released, decimals)


def _added(columns: Array, owner: Array, count: int) -> Array:
    sums = np.zeros((count, *columns.shape[1:]), object)
    np.add.at(sums, owner, columns)
    return sums


def _joined(parts: Sequence[_Rows]) -> _Rows:
    return _Rows(
        *(
            np.concatenate([getattr(rows, name) for rows in parts])
            for name in ("group", "profits", "minimums", "requirements")
        )
    )
