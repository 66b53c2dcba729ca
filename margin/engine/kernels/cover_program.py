"""The integer program behind `margin.engine.cover`: simplex on a condensed tableau, then branch and bound.

Amounts come in whole steps (the greatest common divisor of every cost and loss), so covers of different cost differ by
at least one step, and a branch whose bound is not half a step better than the best cover known cannot hold a better one.

The tableau is condensed: only the columns that are zero now. Row 0 prices short contracts that nothing takes, row 1
prices cost; together they are one objective, compared in that order. A short leg with a naked piece uses that piece as
the slack of its row, so the start — every short naked, nothing else used — is always feasible.
"""

import numpy as np
from numba import njit, types

SOLVED, UNTAKEN, TOO_LARGE, UNBOUNDED = 0, 1, 2, 3

CONTRACTS, RIGHT, EXPIRY, STRIKE, SIZE, SPREAD_COST = range(6)  # columns of `legs`

_HEAD = 2  # rows of the objective
_PIVOT = 1e-9  # the smallest entry to divide by
_FEASIBLE = 1e-9  # relative to the largest count
_WHOLE = 1e-6  # how far from a whole number a count may lie and still be one
_DEGENERATE = 30  # pivots without progress before Bland's rule, which cannot cycle, takes over
_CELLS = 1 << 24  # most numbers kept on the path of the search (128 MB)


@njit(nogil=True)
def _pivot(table, height, labels, columns, row, column):
    """Exchange the basic variable of `row` with the zero variable of `column`."""
    width = table.shape[1]
    inverse = 1.0 / table[row, column]
    for j in range(width):
        table[row, j] *= inverse
    table[row, column] = inverse
    for i in range(height):
        factor = table[i, column]
        if i == row or factor == 0.0:
            continue
        table[i, column] = 0.0
        for j in range(width):
            table[i, j] -= factor * table[row, j]
    labels[row], columns[column] = columns[column], labels[row]


@njit(nogil=True)
def _entering(table, columns, bland, tolerance):
    """The column that lowers the objective most (Bland: the lowest label that lowers it); -1 at the optimum."""
    chosen, level, steepest = -1, 1, 0.0
    for j in range(table.shape[1] - 1):
        row = 0 if abs(table[0, j]) > _PIVOT else 1
        slope = table[row, j]
        if slope >= (-_PIVOT if row == 0 else -tolerance):
            continue
        if bland:
            better = chosen < 0 or columns[j] < columns[chosen]
        else:
            better = row < level or (row == level and slope < steepest)
        if better:
            chosen, level, steepest = j, row, slope
    return chosen


@njit(nogil=True)
def _primal(table, height, labels, columns, tolerance, limit):
    """Simplex from a feasible tableau to an optimal one."""
    last = table.shape[1] - 1
    stalled = 0
    for _ in range(limit):
        bland = stalled > _DEGENERATE
        column = _entering(table, columns, bland, tolerance)
        if column < 0:
            return SOLVED
        row, least = -1, np.inf
        for i in range(_HEAD, height):
            entry = table[i, column]
            if entry <= _PIVOT:
                continue
            ratio = max(table[i, last], 0.0) / entry
            if row < 0 or ratio < least - _PIVOT:
                row, least = i, ratio
            elif ratio <= least + _PIVOT:
                if labels[i] < labels[row] if bland else entry > table[row, column]:
                    row = i
                least = min(least, ratio)
        if row < 0:
            return UNBOUNDED
        stalled = stalled + 1 if least <= _PIVOT else 0
        _pivot(table, height, labels, columns, row, column)
    return TOO_LARGE


@njit(nogil=True)
def _dual(table, height, labels, columns, infeasible, cutoff, limit):
    """Dual simplex after a row was added. UNTAKEN: no solution, or none that costs less than `cutoff`."""
    last = table.shape[1] - 1
    stalled = 0
    for _ in range(limit):
        if -table[0, last] > _WHOLE or -table[1, last] > cutoff:
            return UNTAKEN
        bland = stalled > _DEGENERATE
        row, worst = -1, -infeasible
        for i in range(_HEAD, height):
            value = table[i, last]
            if value < worst and (not bland or row < 0 or labels[i] < labels[row]):
                row = i
                worst = -infeasible if bland else value
        if row < 0:
            return SOLVED
        column, least0, least1 = -1, np.inf, np.inf
        for j in range(last):
            entry = -table[row, j]
            if entry <= _PIVOT:
                continue
            ratio0 = max(table[0, j], 0.0) / entry
            ratio1 = table[1, j] / entry
            if ratio0 <= _PIVOT:
                ratio0, ratio1 = 0.0, max(ratio1, 0.0)
            ahead = column < 0 or ratio0 < least0 or (ratio0 == least0 and ratio1 < least1)
            tied = column >= 0 and ratio0 == least0 and ratio1 == least1
            if ahead or (tied and (columns[j] < columns[column] if bland else entry > -table[row, column])):
                column, least0, least1 = j, ratio0, ratio1
        if column < 0:
            return UNTAKEN
        stalled = stalled + 1 if least0 == 0.0 and least1 == 0.0 else 0
        _pivot(table, height, labels, columns, row, column)
    return TOO_LARGE


@njit(nogil=True)
def _fractional(table, height, labels, whole):
    """The row whose count is farthest from a whole number; -1 if all are whole. Labels below `whole` are counts."""
    last = table.shape[1] - 1
    chosen, farthest = -1, _WHOLE
    for i in range(_HEAD, height):
        if labels[i] < whole:
            off = abs(table[i, last] - np.rint(table[i, last]))
            if off > farthest:
                chosen, farthest = i, off
    return chosen


@njit(nogil=True)
def _branch(table, height, labels, row, up, label):
    """Append the row that takes a count to the whole number below or above; it is basic, and negative."""
    last = table.shape[1] - 1
    value = table[row, last]
    sign = 1.0 if up else -1.0
    for j in range(last):
        table[height, j] = sign * table[row, j]
    table[height, last] = value - np.ceil(value) if up else np.floor(value) - value
    labels[height] = label


@njit(nogil=True)
def _read(table, height, labels, whole, best):
    best[:] = 0
    for i in range(_HEAD, height):
        if labels[i] < whole:
            best[labels[i]] = np.int64(np.rint(table[i, table.shape[1] - 1]))


@njit(nogil=True)
def _search(root, root_labels, root_columns, whole, best, cost, gap, tolerance, infeasible, nodes, pivots):
    """Branch and bound, depth first, below an optimal fractional root. `best` receives the counts.

    Returns (status, cost of the best, nodes looked at); `cost` is that of the counts already in `best`, or inf.
    """
    height, width = root.shape
    depths = max(min(_CELLS // ((height + 100) * width), 400), 2)
    tables = np.empty((depths, height + depths, width))
    labels = np.empty((depths, height + depths), np.int64)
    columns = np.empty((depths, width - 1), np.int64)
    rows = np.empty(depths, np.int64)  # where the table of a depth branches
    ups = np.empty(depths, np.bool_)  # and in which direction next
    left = np.zeros(depths, np.int64)  # and how many children are still to be looked at
    tables[0, :height], labels[0, :height], columns[0] = root, root_labels, root_columns
    fresh = height + width  # labels of added rows start here
    depth, looked = 0, 0
    rows[0] = _fractional(root, height, root_labels, whole)
    ups[0] = root[rows[0], width - 1] % 1.0 > 0.5
    left[0] = 2
    while depth >= 0:
        if left[depth] == 0:
            depth -= 1
            continue
        if looked >= nodes or depth + 1 >= depths:
            return TOO_LARGE, cost, looked
        looked += 1
        tall = height + depth
        child = depth + 1
        tables[child, :tall] = tables[depth, :tall]
        labels[child, :tall] = labels[depth, :tall]
        columns[child] = columns[depth]
        _branch(tables[child], tall, labels[child], rows[depth], ups[depth], fresh + depth)
        left[depth] -= 1
        ups[depth] = not ups[depth]
        tall += 1
        status = _dual(tables[child], tall, labels[child], columns[child], infeasible, cost - gap, pivots)
        if status == SOLVED:
            status = _primal(tables[child], tall, labels[child], columns[child], tolerance, pivots)
        if status == UNTAKEN:
            continue
        if status != SOLVED:
            return status, cost, looked
        bound = -tables[child, 1, width - 1]
        if bound > cost - gap or -tables[child, 0, width - 1] > _WHOLE:
            continue
        row = _fractional(tables[child], tall, labels[child], whole)
        if row < 0:
            _read(tables[child], tall, labels[child], whole, best)
            cost = bound
            continue
        depth = child
        rows[depth] = row
        ups[depth] = tables[child, row, width - 1] % 1.0 > 0.5
        left[depth] = 2
    return SOLVED if cost < np.inf else UNTAKEN, cost, looked


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
        if alone[piece] == 1 and legs[leg, CONTRACTS] < 0:
            if naked[leg] < 0 or costs[piece] < costs[naked[leg]]:
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
    count = 0
    for piece in range(costs.size):
        if fits[piece] and (needed[piece] or saves[piece] < 0.0):
            column[piece] = count
            count += 1
    return column, saves, count


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
            if leg[CONTRACTS] < 0 < other[CONTRACTS] and leg[EXPIRY] <= other[EXPIRY]:
                joins[k] = True
            elif other[CONTRACTS] < 0 < leg[CONTRACTS] and other[EXPIRY] <= leg[EXPIRY]:
                joins[k] = True
    return joins


@njit(nogil=True)
def _intrinsic(leg, price):
    return max(price - leg[STRIKE], 0.0) if leg[RIGHT] == 0.0 else max(leg[STRIKE] - price, 0.0)


@njit(nogil=True)
def _spread_rows(table, height, legs, members, column, potential, unit):
    """Rows of the spread sets: equal value (D), expiries (E), and the loss at each strike of a long.

    With D the value of a set is flat at both ends, and between strikes of longs it is concave: its least is at one of
    them. `unit` turns steps into the tableau's amounts.
    """
    for k in range(members.shape[0]):
        if column[k] < 0:
            continue
        leg, family = legs[members[k, 0]], members[k, 1]
        short = leg[CONTRACTS] < 0
        first_of_right, first_of_expiry, first_of_strike = short, short, not short
        for o in range(k):
            other = legs[members[o, 0]]
            if column[o] >= 0 and members[o, 1] == family and (other[CONTRACTS] < 0) == short:
                if other[RIGHT] == leg[RIGHT]:
                    first_of_right = False
                    first_of_expiry &= other[EXPIRY] != leg[EXPIRY]
                first_of_strike &= other[STRIKE] != leg[STRIKE]
        value, expiry, loss = height, height + first_of_right, height + first_of_right + first_of_expiry
        for o in range(members.shape[0]):
            if column[o] < 0 or members[o, 1] != family:
                continue
            other = legs[members[o, 0]]
            size = other[SIZE] if other[CONTRACTS] < 0 else -other[SIZE]
            if first_of_right and other[RIGHT] == leg[RIGHT]:
                table[value, column[o]] = -size
            if first_of_expiry and other[RIGHT] == leg[RIGHT] and other[EXPIRY] >= leg[EXPIRY]:
                table[expiry, column[o]] = size
            if first_of_strike:
                table[loss, column[o]] = size * _intrinsic(other, leg[STRIKE]) * unit
        if first_of_strike:
            table[loss, potential[family]] = -1.0
        height += first_of_right + first_of_expiry + first_of_strike
    return height


@njit(nogil=True)
def _count_rows(table, legs, naked, available, uses, holds, members, column, joined):
    """Rows of what there is of each leg and holding. Returns the height, and the row of each leg."""
    last = table.shape[1] - 1
    row = np.empty(legs.shape[0], np.int64)
    height = _HEAD
    for leg in range(legs.shape[0]):
        row[leg] = height
        table[height, last] = abs(legs[leg, CONTRACTS])
        height += 1
    for u in range(uses.shape[0]):
        if column[np.int64(uses[u, 0])] >= 0:
            table[row[np.int64(uses[u, 1])], column[np.int64(uses[u, 0])]] += uses[u, 2]
    for k in range(members.shape[0]):
        if joined[k] >= 0:
            table[row[members[k, 0]], joined[k]] = 1.0
    for h in range(holds.shape[0]):
        if column[np.int64(holds[h, 0])] >= 0:
            table[height + np.int64(holds[h, 1]), column[np.int64(holds[h, 0])]] += holds[h, 2]
    for stock in range(available.size):
        table[height, last] = available[stock]
        height += 1
    for leg in range(legs.shape[0]):
        if legs[leg, CONTRACTS] < 0 and naked[leg] < 0:
            for j in range(last + 1):
                table[0, j] -= table[row[leg], j]
    return height


@njit(nogil=True)
def _program(legs, members, costs, uses, holds, available, naked):
    """The tableau, the columns of pieces and of memberships (-1: left out), how many columns are counts, the unit."""
    piece_column, saves, whole = _piece_columns(legs, costs, uses, holds, available, naked)
    joins = _joins(legs, members)
    joined = np.full(members.shape[0], -1, np.int64)
    for k in range(members.shape[0]):
        if joins[k]:
            joined[k] = whole
            whole += 1
    families = members[:, 1].max() + 1 if members.shape[0] else 0
    potential = np.full(families, -1, np.int64)
    width = whole
    for k in range(members.shape[0]):
        if joins[k] and potential[members[k, 1]] < 0:
            potential[members[k, 1]] = width
            width += 1
    largest = 1.0
    for piece in range(costs.size):
        largest = max(largest, abs(saves[piece]))
    for leg in range(legs.shape[0]):
        if naked[leg] >= 0:
            largest = max(largest, abs(costs[naked[leg]]))
    unit = 2.0 ** -np.ceil(np.log2(largest))
    table = np.zeros((_HEAD + legs.shape[0] + available.size + 2 * members.shape[0], width + 1))
    height = _count_rows(table, legs, naked, available, uses, holds, members, piece_column, joined)
    height = _spread_rows(table, height, legs, members, joined, potential, unit)
    for piece in range(costs.size):
        if piece_column[piece] >= 0:
            table[1, piece_column[piece]] = saves[piece] * unit
    for k in range(members.shape[0]):
        if joins[k]:
            leg = members[k, 0]
            alone = costs[naked[leg]] if naked[leg] >= 0 else 0.0
            table[1, joined[k]] = (-alone if legs[leg, CONTRACTS] < 0 else legs[leg, SPREAD_COST]) * unit
    for family in range(families):
        if potential[family] >= 0:
            table[1, potential[family]] = 1.0
    return table[:height].copy(), piece_column, joined, whole, unit


@njit(nogil=True)
def _untaken(table, labels, legs, naked):
    """The first leg of which some contracts are neither taken nor can be naked, at the optimum; or -1."""
    last = table.shape[1] - 1
    first = -1
    for i in range(_HEAD, table.shape[0]):
        leg = labels[i] - last  # a slack: what is left of the leg
        if 0 <= leg < legs.shape[0] and legs[leg, CONTRACTS] < 0 and naked[leg] < 0:
            if table[i, last] > _WHOLE and (first < 0 or leg < first):
                first = leg
    return first


@njit(nogil=True)
def _leave_naked(legs, members, uses, naked, taken, spread):
    """What no piece and no spread takes is naked."""
    left = np.empty(legs.shape[0], np.int64)
    for leg in range(legs.shape[0]):
        left[leg] = -np.int64(legs[leg, CONTRACTS]) if naked[leg] >= 0 else 0
    for u in range(uses.shape[0]):
        left[np.int64(uses[u, 1])] -= taken[np.int64(uses[u, 0])] * np.int64(uses[u, 2])
    for k in range(members.shape[0]):
        left[members[k, 0]] -= spread[k]
    for leg in range(legs.shape[0]):
        if naked[leg] >= 0 and legs[leg, CONTRACTS] < 0:
            taken[naked[leg]] += left[leg]


_FLAT = types.Array(types.float64, 1, "C", readonly=True)
_TABLE = types.Array(types.float64, 2, "C", readonly=True)
_PAIRS = types.Array(types.int64, 2, "C", readonly=True)


@njit(
    types.Tuple((types.int64, types.int64[::1], types.int64[::1], types.float64, types.int64))(
        _TABLE, _PAIRS, _FLAT, _TABLE, _TABLE, _FLAT, types.int64, types.int64
    ),
    cache=True,
    nogil=True,
)
def solve(legs, members, costs, uses, holds, available, nodes, pivots):
    """(status, how many of each piece, contracts of each membership, cost in steps, nodes looked at).

    legs: contracts (short negative), right (0 call, 1 put), expiry, strike, size and spread cost, where size × strike
    and costs are whole steps; members: (leg, family from 0); costs: one per piece; uses: (piece, leg, contracts);
    holds: (piece, holding, units); available: units of each holding. At most `nodes` nodes, of `pivots` pivots each.
    Pieces that are a naked short come out as the contracts left. UNTAKEN: the cost is the leg nothing takes, or -1.
    """
    naked = _naked(legs, costs, uses, holds)
    table, piece_column, joined, whole, unit = _program(legs, members, costs, uses, holds, available, naked)
    height, width = table.shape
    most, contracts, base, known = 1.0, 0.0, 0.0, 0.0
    for leg in range(legs.shape[0]):
        held = legs[leg, CONTRACTS]
        most = max(most, abs(held))
        contracts += abs(held)
        if naked[leg] >= 0:
            base -= held * costs[naked[leg]]
        elif held < 0:
            known = np.inf  # only where all shorts can be naked is the start a cover
    gap = max(0.5 * unit, 1e-13 * contracts)  # half a step, or the resolution of floats
    tolerance = min(1e-9, max(1e-13, gap / (4.0 * contracts + 1.0)))  # so small that all contracts make no step
    labels = np.arange(width - 1 - _HEAD, width - 1 - _HEAD + height)
    columns = np.arange(width - 1)
    taken = np.zeros(costs.size, np.int64)
    spread = np.zeros(members.shape[0], np.int64)
    best = np.zeros(whole, np.int64)
    status = _primal(table, height, labels, columns, tolerance, pivots)
    if status != SOLVED:
        return status, taken, spread, -1.0, 0
    leg = _untaken(table, labels, legs, naked)
    if leg >= 0:
        return UNTAKEN, taken, spread, float(leg), 0
    cost, looked = -table[1, width - 1], 0
    if _fractional(table, height, labels, whole) < 0:
        _read(table, height, labels, whole, best)
    else:
        status, cost, looked = _search(
            table, labels, columns, whole, best, known, gap, tolerance, _FEASIBLE * most, nodes, pivots
        )
        if status != SOLVED:
            return status, taken, spread, -1.0, looked
    for piece in range(costs.size):
        if piece_column[piece] >= 0:
            taken[piece] = best[piece_column[piece]]
    for k in range(members.shape[0]):
        if joined[k] >= 0:
            spread[k] = best[joined[k]]
    _leave_naked(legs, members, uses, naked, taken, spread)
    return SOLVED, taken, spread, base + cost / unit, looked
