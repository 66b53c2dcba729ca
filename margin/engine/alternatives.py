"""An account's book as it might be: what it holds, and the same after trades (what-if)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np

from margin.engine import build
from margin.engine.columns import Book, Instruments
from margin.engine.exact import ZERO, exactly, round_quotient_up

_COST_DECIMALS = 8
_Side = tuple[Decimal, Decimal | None]  # quantity, cost


def books(columns: Instruments, whole: Book, account_row: int, changes: Sequence[Mapping[int, Decimal]]) -> Book:
    """One account's book, once per element of `changes`, as accounts 0 … len(changes) - 1.

    A change maps a row of Instruments to what is added to its quantity. Cost follows the quantity in proportion
    when a holding shrinks (rounded up, so that no relief is gained), and is unknown when it grows or turns. Of a box
    the side that a trade closes is traded first. Transfers under way and disputes stay as they are.
    """
    held = _sides_of(whole, account_row)
    rows = []
    for copy, change in enumerate(changes):
        for instrument in {**held, **change}:
            sides = held.get(instrument, [(ZERO, None)])
            for (quantity, cost), after in zip(sides, _traded(sides, change.get(instrument, ZERO)), strict=True):
                rows.append(
                    build.PositionRow(copy, int(columns.ids[instrument]), after, cost_after(quantity, after, cost))
                )
    currency = columns.currencies[whole.base[account_row]]
    policy, revision = int(whole.policy[account_row]), int(whole.revision[account_row])
    copies = [build.AccountRow(copy, currency, policy, revision) for copy in range(len(changes))]
    built = build.book(columns, copies, rows)
    reasons = [reason for row, reason in whole.refused if row == account_row]
    everywhere = tuple((copy, reason) for reason in reasons for copy in range(len(changes)))
    same = np.full(len(changes), account_row)
    return replace(
        built,
        refused=built.refused + everywhere,
        in_transit=None if whole.in_transit is None else whole.in_transit[same],
        disputed=None if whole.disputed is None else whole.disputed[same],
    )


def positions_of(whole: Book, account_row: int) -> dict[int, tuple[Decimal, Decimal | None]]:
    """Row of Instruments → (quantity, cost) for one account; both sides of a box together."""
    with exactly():
        return {i: _net(sides) for i, sides in _sides_of(whole, account_row).items()}


def _net(sides: Sequence[_Side]) -> _Side:
    costs = [cost for _, cost in sides if cost is not None]
    return sum((quantity for quantity, _ in sides), ZERO), sum(costs, ZERO) if len(costs) == len(sides) else None


def _sides_of(whole: Book, account_row: int) -> dict[int, list[_Side]]:
    """Row of Instruments → (quantity, cost) of its position, or of both sides of a box, the long one first."""
    found: dict[int, list[_Side]] = {}
    with exactly():
        for p in range(int(whole.offsets[account_row]), int(whole.offsets[account_row + 1])):
            paid = int(whole.cost_decimals[p])
            cost = None if paid < 0 else Decimal(int(whole.cost[p])).scaleb(-paid)
            found.setdefault(int(whole.instrument[p]), []).append((build.quantity(whole, p), cost))
    return found


def _traded(sides: Sequence[_Side], change: Decimal) -> list[Decimal]:
    """The quantities after a trade."""
    with exactly():
        if len(sides) == 1:
            return [sides[0][0] + change]
        (long, _), (short, _) = sides
        sold, bought = min(long, max(-change, ZERO)), min(-short, max(change, ZERO))
        rest = change + sold - bought
        return [long - sold + max(rest, ZERO), short + bought + min(rest, ZERO)]


def cost_after(before: Decimal, after: Decimal, cost: Decimal | None) -> Decimal | None:
    """The cost of what is held after a trade, as `books` keeps it; None where it is not known."""
    if cost is None or after == before:
        return cost
    if before == 0 or before * after < 0 or abs(after) > abs(before):
        return None
    with exactly():
        return round_quotient_up(cost * after, before, _COST_DECIMALS)
