"""The integer program of the cheapest cover of option legs, as a tableau for `simplex`.

Columns are how many of each piece, how many contracts of each leg join the spread set of each family, and the maximum
potential loss of each set. A short leg with a naked piece uses that piece as the slack of its row, so the start — every
short naked, nothing else used — is feasible. Row 0 of the objective counts the short contracts that nothing takes.
"""

import numpy as np
from numba import njit, types

from margin.engine.kernels.simplex import HEAD

CONTRACTS, RIGHT, EXPIRY, STRIKE, SIZE, SPREAD_COST = range(6)  # columns of `legs`


@njit(nogil=True)
def _naked(legs, costs, uses, holds):
    """Per leg the cheapest piece that is one contract of that short leg and nothing else, or -1."""
    alone = np.zeros(costs.size, np.int64)
    for u in range(uses.shape[0]):
        alone[np.int64(uses[u, 0])] += 1 if uses[u, 2] == 1.0 else 2
    for h in range(holds.shape[0]):
        alone[np.int64(holds[h, 0])] = 2
    naked = np.full(legs.shape[0], -1, np.int64)
    for u in range(uses.shape[0]):
        piece, leg = np.int64(uses[u, 0]), np.int64(uses[u, 1])
        is_naked = alone[piece] == 1 and legs[leg, CONTRACTS] < 0
        if is_naked and (naked[leg] < 0 or costs[piece] < costs[naked[leg]]):
            naked[leg] = piece
    return naked


@njit(nogil=True)
def _piece_columns(legs, costs, uses, holds, available, naked):
    """(column of each piece or -1, its cost over the naked pieces it replaces).

    Left out: a piece larger than what there is, and one that saves nothing where all its shorts can be naked.
    """
    saves = costs.copy()
    needed = np.zeros(costs.size, np.bool_)
    fits = np.ones(costs.size, np.bool_)
    for u in range(uses.shape[0]):
        piece, leg = np.int64(uses[u, 0]), np.int64(uses[u, 1])
        if uses[u, 2] > abs(legs[leg, CONTRACTS]):
            fits[piece] = False
        if legs[leg, CONTRACTS] < 0:
            if naked[leg] < 0:
                needed[piece] = True
            else:
                saves[piece] -= uses[u, 2] * costs[naked[leg]]
    for h in range(holds.shape[0]):
        if holds[h, 2] > available[np.int64(holds[h, 1])]:
            fits[np.int64(holds[h, 0])] = False
    column = np.full(costs.size, -1, np.int64)
    width = 0
    for k in range(costs.size):
        if fits[k] and (needed[k] or saves[k] < 0.0):
            column[k] = width
            width += 1
    return column, saves, width


@njit(nogil=True)
def _joins(legs, members):
    """Which memberships can be part of a spread at all: a short some long outlives, a long that outlives some short."""
    joins = np.zeros(members.shape[0], np.bool_)
    for k in range(members.shape[0]):
        leg = legs[members[k, 0]]
        for o in range(members.shape[0]):
            other = legs[members[o, 0]]
            if members[k, 1] != members[o, 1] or leg[RIGHT] != other[RIGHT]:
                continue
            short, long = (leg, other) if leg[CONTRACTS] < 0 else (other, leg)
            if short[CONTRACTS] < 0 < long[CONTRACTS] and short[EXPIRY] <= long[EXPIRY]:
                joins[k] = True
    return joins


@njit(nogil=True)
def _intrinsic(leg, price):
    return max(price - leg[STRIKE], 0.0) if leg[RIGHT] == 0.0 else max(leg[STRIKE] - price, 0.0)


@njit(nogil=True)
def _count_rows(table, legs, naked, available, uses, holds, members, column, joined):
    """Rows of what there is of each leg and holding. Returns the height."""
    last = table.shape[1] - 1
    count = legs.shape[0]
    for leg in range(count):
        table[HEAD + leg, last] = abs(legs[leg, CONTRACTS])
    for u in range(uses.shape[0]):
        if column[np.int64(uses[u, 0])] >= 0:
            table[HEAD + np.int64(uses[u, 1]), column[np.int64(uses[u, 0])]] += uses[u, 2]
    for k in range(members.shape[0]):
        if joined[k] >= 0:
            table[HEAD + members[k, 0], joined[k]] = 1.0
    for leg in range(count):
        if legs[leg, CONTRACTS] < 0 and naked[leg] < 0:
            for j in range(last + 1):
                table[0, j] -= table[HEAD + leg, j]
    for h in range(holds.shape[0]):
        if column[np.int64(holds[h, 0])] >= 0:
            table[HEAD + count + np.int64(holds[h, 1]), column[np.int64(holds[h, 0])]] += holds[h, 2]
    return HEAD + count + available.size


@njit(nogil=True)
def _hold_rows(table, first, available, most, is_whole):
    """What there is of each holding, in its largest use; no more than all columns together could use."""
    last = table.shape[1] - 1
    for stock in range(available.size):
        row = first + stock
        largest, total, is_even = 0.0, 0.0, True
        for j in range(last):
            is_even &= table[row, j] == 0.0 or largest == 0.0 or table[row, j] == largest
            largest = max(largest, table[row, j])
            total += table[row, j]
        if largest == 0.0:
            continue
        for j in range(last):
            table[row, j] /= largest
        table[row, last] = min(available[stock], total * most) / largest
        if is_even:
            table[row, last] = np.floor(table[row, last])
        is_whole[last + row - HEAD] = is_even


@njit(nogil=True)
def _lawful_rows(table, height, legs, members, joined):
    """Rows of equal contract value (condition D) and of expiries (E, at each expiry of a short). Returns the height."""
    for k in range(members.shape[0]):
        leg, family = legs[members[k, 0]], members[k, 1]
        if joined[k] < 0 or leg[CONTRACTS] > 0:
            continue
        new_right, new_expiry = 1, 1
        for o in range(k):
            other = legs[members[o, 0]]
            same = joined[o] >= 0 and members[o, 1] == family and other[RIGHT] == leg[RIGHT]
            if same and other[CONTRACTS] < 0:
                new_right = 0
                if other[EXPIRY] == leg[EXPIRY]:
                    new_expiry = 0
        for o in range(members.shape[0]):
            other = legs[members[o, 0]]
            if joined[o] < 0 or members[o, 1] != family or other[RIGHT] != leg[RIGHT]:
                continue
            size = other[SIZE] if other[CONTRACTS] < 0 else -other[SIZE]
            if new_right:
                table[height, joined[o]] = -size
            if new_expiry and other[EXPIRY] >= leg[EXPIRY]:
                table[height + new_right, joined[o]] = size
        height += new_right + new_expiry
    return height


@njit(nogil=True)
def _loss_rows(table, height, legs, members, joined, potential, unit):
    """Rows of the maximum potential loss: at least the loss at the strike of each long. Returns the height.

    With equal contract value a set's value is flat at both ends, and between strikes of longs it is concave: its least
    is at one of them. `unit` turns steps into the tableau's amounts.
    """
    for k in range(members.shape[0]):
        leg, family = legs[members[k, 0]], members[k, 1]
        is_new = joined[k] >= 0 and leg[CONTRACTS] > 0
        for o in range(k):
            other = legs[members[o, 0]]
            if joined[o] >= 0 and members[o, 1] == family and other[CONTRACTS] > 0 and other[STRIKE] == leg[STRIKE]:
                is_new = False
        if not is_new:
            continue
        for o in range(members.shape[0]):
            other = legs[members[o, 0]]
            if joined[o] >= 0 and members[o, 1] == family:
                size = other[SIZE] if other[CONTRACTS] < 0 else -other[SIZE]
                table[height, joined[o]] = size * _intrinsic(other, leg[STRIKE]) * unit
        table[height, potential[family]] = -1.0
        height += 1
    return height


@njit(nogil=True)
def _spread_columns(legs, members, whole):
    """(column of each membership, of each family's loss; how many columns there are of counts, and of all)."""
    joins = _joins(legs, members)
    joined = np.full(members.shape[0], -1, np.int64)
    for k in range(members.shape[0]):
        if joins[k]:
            joined[k] = whole
            whole += 1
    potential = np.full(members[:, 1].max() + 1 if members.shape[0] else 0, -1, np.int64)
    width = whole
    for k in range(members.shape[0]):
        if joins[k] and potential[members[k, 1]] < 0:
            potential[members[k, 1]] = width
            width += 1
    return joined, potential, whole, width


@njit(nogil=True)
def _price(table, legs, members, saves, alone, piece_column, joined, potential, unit):
    """Row 1: what each column costs over the naked pieces it replaces."""
    for piece in range(saves.size):
        if piece_column[piece] >= 0:
            table[1, piece_column[piece]] = saves[piece] * unit
    for k in range(members.shape[0]):
        if joined[k] >= 0:
            leg = members[k, 0]
            table[1, joined[k]] = (-alone[leg] if legs[leg, CONTRACTS] < 0 else legs[leg, SPREAD_COST]) * unit
    for family in range(potential.size):
        if potential[family] >= 0:
            table[1, potential[family]] = 1.0


_FLAT = types.Array(types.float64, 1, "C", readonly=True)
_TABLE = types.Array(types.float64, 2, "C", readonly=True)
_PAIRS = types.Array(types.int64, 2, "C", readonly=True)


@njit(
    types.Tuple(
        (
            types.float64[:, ::1],
            types.boolean[::1],
            types.int64[::1],
            types.int64[::1],
            types.int64[::1],
            types.float64,
            types.float64,
        )
    )(_TABLE, _PAIRS, _FLAT, _TABLE, _TABLE, _FLAT),
    cache=True,
    nogil=True,
)
def lay_out(legs, members, costs, uses, holds, available):
    """(tableau, which are whole; naked piece of each leg, column of each piece, of each membership; unit, gap).

    legs: contracts (short negative), right (0 call, 1 put), expiry, strike, size and spread cost, where size × strike
    and costs are whole steps; members: (leg, family from 0); costs: one per piece; uses: (piece, leg, contracts);
    holds: (piece, holding, units); available: units of each holding. The row of a leg is the first rows' in its order:
    its slack is what is naked. Absent pieces and columns are -1. Amounts in the tableau are steps × unit.
    """
    naked = _naked(legs, costs, uses, holds)
    piece_column, saves, whole = _piece_columns(legs, costs, uses, holds, available, naked)
    joined, potential, whole, width = _spread_columns(legs, members, whole)
    alone = np.zeros(legs.shape[0])
    most, largest = 1.0, 1.0
    for leg in range(legs.shape[0]):
        most = max(most, abs(legs[leg, CONTRACTS]))
        if naked[leg] >= 0:
            alone[leg] = costs[naked[leg]]
            largest = max(largest, abs(alone[leg]))
    for piece in range(costs.size):
        largest = max(largest, abs(saves[piece]))
    ample = most  # how often a piece can be used: one without legs as often as there is stock for it
    for h in range(holds.shape[0]):
        if not (uses[:, 0] == holds[h, 0]).any():
            ample = max(ample, available[np.int64(holds[h, 1])] / holds[h, 2])
    unit = 2.0 ** -np.ceil(np.log2(largest))
    table = np.zeros((HEAD + legs.shape[0] + available.size + 2 * members.shape[0], width + 1))
    height = _count_rows(table, legs, naked, available, uses, holds, members, piece_column, joined)
    height = _lawful_rows(table, height, legs, members, joined)
    is_whole = np.zeros(width + table.shape[0], np.bool_)
    is_whole[:whole] = True
    is_whole[width : width + height - HEAD] = True
    _hold_rows(table, HEAD + legs.shape[0], available, ample, is_whole)
    height = _loss_rows(table, height, legs, members, joined, potential, unit)
    _price(table, legs, members, saves, alone, piece_column, joined, potential, unit)
    gap = max(0.5 * unit, 1e-10 * most)  # half a step, or what floats can tell apart
    return table[:height].copy(), is_whole[: width + height - HEAD].copy(), naked, piece_column, joined, unit, gap
