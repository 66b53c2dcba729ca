"""Small mixed integer programs, solved to the optimum: simplex on a condensed tableau, cuts, branch and bound.

A tableau has a column for every variable that is zero now and, last, the values; its first two rows are the objective
(compared in that order), each other row a variable that may be above zero: variable = value − Σ entry × column. All
variables are ≥ 0. Variables have labels: the columns of the tableau as given, its rows, branches by depth, then cuts.
"""

import numpy as np
from numba import njit, types

from margin.engine.kernels.pivoting import HEAD, INFEASIBLE, SOLVED, TINY, TOO_LARGE, UNBOUNDED, WHOLE, dual, primal

__all__ = ["INFEASIBLE", "SOLVED", "TOO_LARGE", "UNBOUNDED", "minimise"]
_GROWTH = 1e6  # how much larger than the program's entries a table's may become before floats lose the thread
_NOISE = 1e-13  # entries of cuts below are rounding
_SPREAD = 1e-6  # smallest to largest entry of a cut worth having
_PATIENCE = 100  # nodes before the search starts again in another way
# Ways to search: rounds of cuts at the root, and at other nodes; branch where it costs most; first go the nearer way.
_WAYS = ((4, 1, True, True), (4, 0, False, False), (2, 1, False, True), (0, 0, True, True))
_CUTS = 8  # most cuts of a round
_DEPTHS = 300  # deepest path of the search
_CELLS = 1 << 24  # most numbers kept on that path (128 MB)


@njit(nogil=True)
def _is_whole(whole, label):
    return label < whole.size and whole[label]  # above: cuts


@njit(nogil=True)
def _penalties(table, row, columns, whole):
    """What the objective loses at least when the variable of a row goes down, or up, to a whole one (Tomlin 1971)."""
    last = table.shape[1] - 1
    part = table[row, last] - np.floor(table[row, last])
    down, up = np.inf, np.inf
    for j in range(last):
        entry = table[row, j]
        if abs(entry) <= TINY:
            continue
        away = part if entry > 0.0 else 1.0 - part
        loss = table[1, j] * away / abs(entry)
        if _is_whole(whole, columns[j]):
            loss = max(loss, table[1, j])  # a whole variable moves by one at least
        if entry > 0.0:
            down = min(down, loss)
        else:
            up = min(up, loss)
    return down, up


@njit(nogil=True)
def _fractional(table, height, labels, columns, whole, by_cost):
    """The row of the whole column to branch on: where both ways cost most, or farthest from whole; or -1."""
    last = table.shape[1] - 1
    chosen, highest, farthest = -1, 0.0, 0.0
    for i in range(HEAD, height):
        off = abs(table[i, last] - np.rint(table[i, last]))
        if labels[i] >= last or not whole[labels[i]] or off <= WHOLE:
            continue
        down, up = _penalties(table, i, columns, whole) if by_cost else (1.0, 1.0)
        score = max(min(down, up), 1e-7) * min(max(down, up, 1e-7), 1e3)
        if score > highest * 1.000001 or (score >= highest * 0.999999 and off > farthest):
            chosen, highest, farthest = i, score, off
    return chosen


@njit(nogil=True)
def _branch(table, height, labels, row, up, label):
    """Append the row that takes a variable to the whole number above or below."""
    last = table.shape[1] - 1
    value = table[row, last]
    sign = 1.0 if up else -1.0
    for j in range(last):
        table[height, j] = sign * table[row, j]
    table[height, last] = value - np.ceil(value) if up else np.floor(value) - value
    labels[height] = label


@njit(nogil=True)
def _cut(table, height, labels, columns, whole, slack):
    """Append Gomory mixed integer cuts of fractional rows, in place of cuts that no longer bind. Returns the height.

    From x + Σ a·n = b with f = b − ⌊b⌋: Σ g(a)·n ≥ f, where for whole n, with r = a − ⌊a⌋, g is r up to f and
    f(1 − r)/(1 − f) above; for other n, g is a if positive, else −a·f/(1 − f) (Gomory 1960). Each is looser by
    `slack`, so that the rounding of floats never cuts off a solution.
    """
    last = table.shape[1] - 1
    i = HEAD
    while i < height:
        if labels[i] >= whole.size:
            height -= 1
            table[i], labels[i] = table[height], labels[height]
        else:
            i += 1
    tall = height
    label = max(whole.size, labels[HEAD:height].max() + 1, columns.max() + 1)  # of no other row or column
    for i in range(HEAD, height):
        f = table[i, last] - np.floor(table[i, last])
        if tall == min(height + _CUTS, table.shape[0]) or not _is_whole(whole, labels[i]) or not 0.05 < f < 0.95:
            continue
        ratio = f / (1.0 - f)
        least, largest = np.inf, 0.0
        for j in range(last):
            entry = table[i, j]
            if _is_whole(whole, columns[j]):
                rest = entry - np.floor(entry)
                entry = rest if rest <= f else ratio * (1.0 - rest)
            elif entry < 0.0:
                entry *= -ratio
            if entry > _NOISE:
                least, largest = min(least, entry), max(largest, entry)
            table[tall, j] = -entry if entry > _NOISE else 0.0
        if least < _SPREAD * largest:
            continue
        table[tall, last] = slack - f
        labels[tall] = label + tall - height
        tall += 1
    return tall


@njit(nogil=True)
def _largest(table, height):
    largest = 1.0
    for i in range(HEAD, height):
        for j in range(table.shape[1] - 1):
            largest = max(largest, abs(table[i, j]))
    return largest


@njit(nogil=True)
def _resolve(table, height, labels, columns, whole, rounds, by_cost, cutoff, limits):
    """Optimise after rows were added, with rounds of cuts while it is fractional and they raise the bound.

    Returns (status, height, row to branch on or -1). INFEASIBLE: nothing here costs at most `cutoff`. TOO_LARGE also
    if entries have grown beyond trust. `limits` are those of `minimise`.
    """
    tolerance, infeasible, trusted, pivots = limits
    bound = -np.inf
    while True:
        status = dual(table, height, labels, columns, infeasible, cutoff, pivots)
        if status == SOLVED:
            status = primal(table, height, labels, columns, tolerance, pivots)
        if _largest(table, height) > trusted:
            return TOO_LARGE, height, -1
        if status == SOLVED and (-table[1, -1] > cutoff or -table[0, -1] > WHOLE):
            status = INFEASIBLE
        if status != SOLVED:
            return status, height, -1
        row = _fractional(table, height, labels, columns, whole, by_cost)
        if row < 0 or rounds == 0 or -table[1, -1] < bound + TINY:
            return SOLVED, height, row
        tall = _cut(table, height, labels, columns, whole, infeasible)
        if tall == height:
            return SOLVED, height, _fractional(table, height, labels, columns, whole, by_cost)
        bound, height = -table[1, -1], tall
        rounds -= 1


@njit(nogil=True)
def _settle(program, table, height, labels, whole, values):
    """Read the whole columns, set the others as low as the program lets them be, and return the cost.

    Rows hold at most one column that is not whole, with an entry below zero.
    """
    last = program.shape[1] - 1
    values[:] = 0.0
    for i in range(HEAD, height):
        if labels[i] < last and whole[labels[i]]:
            values[labels[i]] = np.rint(table[i, last])
    for i in range(HEAD, program.shape[0]):
        rest, free = program[i, last], -1
        for j in range(last):
            if whole[j]:
                rest -= program[i, j] * values[j]
            elif program[i, j] < 0.0:
                free = j
        if free >= 0:
            values[free] = max(values[free], rest / program[i, free])
        else:
            values[last + i - HEAD] = rest
    cost = 0.0
    for j in range(last):
        cost += program[1, j] * values[j]
    return cost


@njit(nogil=True)
def _grown(tables, rows, depths, height):
    """The tables and labels with room for so many, of such a height."""
    room = np.empty((max(depths, tables.shape[0]), max(height, tables.shape[1]), tables.shape[2]))
    labels = np.empty((room.shape[0], room.shape[1]), np.int64)
    room[: tables.shape[0], : tables.shape[1]] = tables
    labels[: tables.shape[0], : tables.shape[1]] = rows
    return room, labels


@njit(nogil=True)
def _search(program, whole, table, labels, columns, way, best, cost, gap, limits, nodes):
    """Branch and bound, depth first, from the simplex optimum of the program.

    `best`, at this cost, gives way to what is better. Returns (status, cost of the best, nodes looked at).
    """
    root_rounds, rounds, by_cost, is_nearer = way
    tables, rows = _grown(
        table.reshape((1, table.shape[0], table.shape[1])), labels.reshape((1, labels.size)), 8, table.shape[0] + 32
    )
    zeros = np.empty((_DEPTHS, columns.size), np.int64)
    heights, left = np.zeros(_DEPTHS, np.int64), np.zeros(_DEPTHS, np.int64)
    at, up = np.zeros(_DEPTHS, np.int64), np.zeros(_DEPTHS, np.bool_)  # the row to branch on, and which way next
    trial = np.zeros(whole.size)
    zeros[0], heights[0] = columns, table.shape[0]
    looked, depth, is_new = 0, 0, True
    while depth >= 0:
        if is_new:
            cuts = root_rounds if depth == 0 else rounds
            status, heights[depth], row = _resolve(
                tables[depth], heights[depth], rows[depth], zeros[depth], whole, cuts, by_cost, cost - gap, limits
            )
            is_new, left[depth] = False, 0
            if status == SOLVED and row >= 0:
                at[depth], left[depth] = row, 2
                up[depth] = not is_nearer or tables[depth, row, -1] % 1.0 > 0.5
            elif status == SOLVED:
                reached = _settle(program, tables[depth], heights[depth], rows[depth], whole, trial)
                if reached + tables[depth, 1, -1] > 2.0 * gap:
                    return TOO_LARGE, cost, looked  # too far from its bound for floats to prove it
                if reached < cost:
                    best[:], cost = trial, reached
            elif status != INFEASIBLE:
                return status, cost, looked
        elif left[depth] == 0:
            depth -= 1
        elif looked >= nodes or depth + 2 >= _DEPTHS or tables.size > _CELLS:
            return TOO_LARGE, cost, looked
        else:
            high = heights[depth]
            if depth + 1 == tables.shape[0] or high + 1 + _CUTS > tables.shape[1]:
                tables, rows = _grown(tables, rows, 2 * (depth + 1), high + 4 * _CUTS)
            tables[depth + 1, :high] = tables[depth, :high]
            rows[depth + 1, :high] = rows[depth, :high]
            zeros[depth + 1] = zeros[depth]
            _branch(tables[depth + 1], high, rows[depth + 1], at[depth], up[depth], whole.size - _DEPTHS + depth)
            heights[depth + 1] = high + 1
            left[depth] -= 1
            up[depth] = not up[depth]
            depth, looked, is_new = depth + 1, looked + 1, True
    return SOLVED if cost < np.inf else INFEASIBLE, cost, looked


@njit(
    types.Tuple((types.int64, types.float64[::1], types.float64, types.int64))(
        types.Array(types.float64, 2, "C", readonly=True),
        types.Array(types.boolean, 1, "C", readonly=True),
        types.float64,
        types.float64,
        types.int64,
        types.int64,
    ),
    cache=True,
    nogil=True,
)
def minimise(program, is_whole, known, gap, nodes, pivots):
    """(status, values by label, cost, nodes looked at) of the solution of least cost whose row 0 is zero.

    program: a tableau with values ≥ 0, left as it is, each of whose rows holds at most one column that is not whole,
    below zero; is_whole: by label, which variables are whole numbers; known: 0 if the tableau as given is a solution,
    else infinity; gap: how much better a solution must be to count. At most `nodes` nodes of `pivots` pivots each.
    """
    height, width = program.shape
    table = program.copy()
    whole = np.ones(is_whole.size + _DEPTHS, np.bool_)  # the slacks of branches are whole too
    whole[: is_whole.size] = is_whole
    labels = np.maximum(np.arange(height) + width - 1 - HEAD, 0)
    columns = np.arange(width - 1)
    most, total = 1.0, 1.0
    for i in range(HEAD, height):
        most = max(most, program[i, -1])
        total += program[i, -1]
    infeasible = 1e-11 * most
    tolerance = min(TINY, max(1e-13, gap / (4.0 * total)))  # so small that all values together make no gap
    trusted = _GROWTH * _largest(program, height)
    values = np.zeros(whole.size)
    status = primal(table, height, labels, columns, tolerance, pivots)
    if status == SOLVED and -table[0, -1] > WHOLE:
        _settle(program, table, height, labels, whole, values)
        status = INFEASIBLE
    if status == SOLVED:  # what the smallest entries left below zero
        status = dual(table, height, labels, columns, infeasible, np.inf, pivots)
    if status != SOLVED:
        return status, values, 0.0, 0
    if _fractional(table, height, labels, columns, whole, False) < 0 and _largest(table, height) <= trusted:
        cost = _settle(program, table, height, labels, whole, values)
        return SOLVED if cost + table[1, -1] <= 2.0 * gap else TOO_LARGE, values, cost, 0
    if known < np.inf:
        _settle(program, program, HEAD, labels, whole, values)  # the start: nothing but slack
    cost, looked = known, 0
    limits = tolerance, infeasible, trusted, pivots
    for start in range(40):
        room = min(_PATIENCE << start // 4, nodes - looked)
        way = _WAYS[start % 4]
        status, cost, more = _search(program, whole, table, labels, columns, way, values, cost, gap, limits, room)
        looked += more
        if status != TOO_LARGE or looked >= nodes:
            break
    return status, values, cost, looked
