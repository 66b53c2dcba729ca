"""The pivots of a condensed tableau: primal and dual simplex. `simplex` says how the tableau is laid out.

Changed here, the kernels of `simplex` change too: their cache is named by the text of all kernels (`kernels.warm`).
"""

import numpy as np
from numba import njit

SOLVED, INFEASIBLE, TOO_LARGE, UNBOUNDED = 0, 1, 2, 3

HEAD = 2  # rows of the objective
TINY = 1e-9  # what counts as zero
WHOLE = 1e-6  # how far from a whole number a count may lie and still be one
PIVOT = 1e-7  # the smallest entry to divide by
DEGENERATE = 30  # pivots without progress before Bland's rule, which cannot cycle, takes over


@njit(nogil=True)
def pivot(table, height, labels, columns, row, column):
    """Exchange the variable of `row` with the zero variable of `column`."""
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
def entering(table, columns, bland, tolerance):
    """The column that lowers the objective most (Bland: the lowest label that lowers it); -1 at the optimum."""
    chosen, level, steepest = -1, 1, 0.0
    for j in range(table.shape[1] - 1):
        row = 0 if abs(table[0, j]) > TINY else 1
        slope = table[row, j]
        if slope >= (-TINY if row == 0 else -tolerance):
            continue
        if bland:
            better = chosen < 0 or columns[j] < columns[chosen]
        else:
            better = row < level or (row == level and slope < steepest)
        if better:
            chosen, level, steepest = j, row, slope
    return chosen


@njit(nogil=True)
def primal(table, height, labels, columns, tolerance, limit):
    """Simplex from a feasible tableau to an optimal one."""
    last = table.shape[1] - 1
    stalled = 0
    for _ in range(limit):
        bland = stalled > DEGENERATE
        column = entering(table, columns, bland, tolerance)
        if column < 0:
            return SOLVED
        row, least = -1, np.inf
        for i in range(HEAD, height):
            entry = table[i, column]
            if entry <= PIVOT:
                continue
            ratio = max(table[i, last], 0.0) / entry
            if row < 0 or ratio < least - TINY:
                row, least = i, ratio
            elif ratio <= least + TINY:
                if labels[i] < labels[row] if bland else entry > table[row, column]:
                    row = i
                least = min(least, ratio)
        if row < 0:
            return UNBOUNDED
        stalled = stalled + 1 if least <= TINY else 0
        pivot(table, height, labels, columns, row, column)
    return TOO_LARGE


@njit(nogil=True)
def leaving(table, height, labels, bland, infeasible):
    """The row farthest below zero (Bland: with the lowest label); -1 if none is."""
    chosen, worst = -1, -infeasible
    for i in range(HEAD, height):
        value = table[i, table.shape[1] - 1]
        if value >= (-infeasible if bland else worst):
            continue
        if not bland or chosen < 0 or labels[i] < labels[chosen]:
            chosen, worst = i, value
    return chosen


@njit(nogil=True)
def dual(table, height, labels, columns, infeasible, cutoff, limit):
    """Dual simplex after rows were added. INFEASIBLE: no solution, or none that costs at most `cutoff`."""
    last = table.shape[1] - 1
    stalled = 0
    for _ in range(limit):
        if -table[0, last] > WHOLE or -table[1, last] > cutoff:
            return INFEASIBLE
        bland = stalled > DEGENERATE
        row = leaving(table, height, labels, bland, infeasible)
        if row < 0:
            return SOLVED
        column, first, second, is_clear = -1, np.inf, np.inf, True
        for j in range(last):
            entry = -table[row, j]
            if entry <= PIVOT:
                is_clear &= entry <= TINY
                continue
            over = max(table[0, j], 0.0) / entry
            over = 0.0 if over <= TINY else over
            ratio = table[1, j] / entry if over else max(table[1, j] / entry, 0.0)
            if column < 0 or over < first or (over == first and ratio < second):
                column, first, second = j, over, ratio
            elif over == first and ratio == second and columns[j] < columns[column]:
                column = j
        if column < 0:
            return INFEASIBLE if is_clear else TOO_LARGE
        stalled = stalled + 1 if first == 0.0 and second == 0.0 else 0
        pivot(table, height, labels, columns, row, column)
    return TOO_LARGE
