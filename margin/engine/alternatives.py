"""An account's book as it might be: what it holds, and the same after trades (what-if)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np

from margin.engine import build
from margin.engine.columns import Array, Book, Instruments
from margin.engine.exact import ZERO, exactly, round_quotient_up, scaled

_COST_DECIMALS = 8
_MANTISSA_LIMIT = 2**63
_Side = tuple[Decimal, Decimal | None]  # quantity, cost
_Row = tuple[int, int, int, int]  # mantissa and decimals of both


def books(columns: Instruments, whole: Book, account_row: int, changes: Sequence[Mapping[int, Decimal]]) -> Book:
    """One account's book, once per element of `changes`, as accounts 0 … len(changes) - 1.

    A change maps a row of Instruments to what is added to its quantity. Cost follows the quantity in proportion
    when a holding shrinks (rounded up, so that no relief is gained), and is unknown when it grows or turns. Of a box
    the side that a trade closes is traded first. Transfers under way and disputes stay as they are.
    """
    touched = dict.fromkeys(instrument for change in changes for instrument in change)
    sides = {instrument: [(ZERO, None)] for instrument in touched} | _sides_of(whole, account_row)
    held = np.array([columns.ids[instrument] for instrument, of_one in sides.items() for _ in of_one], np.int64)
    table, refused = _table(columns, sides, changes)
    quantity, decimals, cost, cost_decimals = np.ascontiguousarray(table.reshape(-1, 4).T)
    same = np.full(len(changes), account_row)
    built = build.book_from_columns(
        columns,
        accounts=np.arange(len(changes)),
        base=whole.base[same],
        policy=whole.policy[same],
        revision=whole.revision[same],
        positions=build.Columns(
            account=np.repeat(np.arange(len(changes)), len(held)),
            instrument=np.tile(held, len(changes)),
            quantity=quantity,
            decimals=decimals.astype(np.int8),
            cost=cost,
            cost_decimals=cost_decimals.astype(np.int8),
            refused=refused,
        ),
    )
    reasons = [reason for row, reason in whole.refused if row == account_row]
    everywhere = tuple((copy, reason) for reason in reasons for copy in range(len(changes)))
    return replace(
        built,
        refused=built.refused + everywhere,
        in_transit=None if whole.in_transit is None else whole.in_transit[same],
        disputed=None if whole.disputed is None else whole.disputed[same],
    )


def _table(
    columns: Instruments, sides: Mapping[int, Sequence[_Side]], changes: Sequence[Mapping[int, Decimal]]
) -> tuple[Array, tuple[tuple[int, str], ...]]:
    """int64[copies, sides, 4] of `_numbers`, what is not traded as it was, and (copy, reason) of what is too large."""
    unchanged = [_numbers(side) for of_one in sides.values() for side in of_one]
    table = np.tile(np.array(unchanged, np.int64).reshape(-1, 4), (len(changes), 1, 1))
    places = dict(zip(sides, np.cumsum([0, *map(len, sides.values())]).tolist(), strict=False))
    refused = []
    known: dict[tuple[int, Decimal], list[_Row | OverflowError]] = {}  # many alternatives trade the same
    for copy, change in enumerate(changes):
        for instrument, traded in change.items():
            if (instrument, traded) not in known:
                known[instrument, traded] = _rows_after(sides[instrument], traded)
            for k, row in enumerate(known[instrument, traded]):
                if isinstance(row, OverflowError):
                    refused.append((copy, f"instrument {int(columns.ids[instrument])}: {row}"))
                else:
                    table[copy, places[instrument] + k] = row
    return table, tuple(refused)


def _rows_after(sides: Sequence[_Side], traded: Decimal) -> list[_Row | OverflowError]:
    """`_numbers` of each side after a trade, or why there are none."""
    found: list[_Row | OverflowError] = []
    for (quantity, cost), left in zip(sides, _traded(sides, traded), strict=True):
        try:
            found.append(_numbers((left, cost_after(quantity, left, cost))))
        except OverflowError as error:
            found.append(error)
    return found


def _numbers(side: _Side) -> _Row:
    """Mantissa and decimals of quantity and cost. Raises OverflowError for what 64 bits cannot hold."""
    quantity, cost = side
    found = (*scaled(quantity), *((0, -1) if cost is None else scaled(cost)))
    if max(abs(found[0]), abs(found[2])) >= _MANTISSA_LIMIT:
        raise OverflowError("quantity or cost has too many digits")
    return found


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
