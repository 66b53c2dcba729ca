"""Books of options through a grid of scenarios, and through settlement: sums of leg × value, expiry by expiry.

Columns are flat: *legs* sorted by *run* (the legs of one book and one expiry), runs sorted by book. Sums are taken in
that order, so a book's result does not depend on the books beside it.
"""

import numpy as np
from numba import njit, types

_float = types.Array(types.float64, 1, "C", readonly=True)
_floats = types.Array(types.float64, 2, "C", readonly=True)
_int = types.Array(types.int64, 1, "C", readonly=True)
NOW, UP, DOWN, FIRST = 0, 1, 2, 3  # columns of `values`: today, the forward up, down, and the first scenario


@njit(
    types.void(
        *(_floats, _int, _float, _int, _int, _float, _float, _float, _floats, _float),
        *(_float, _float, types.Array(types.boolean, 1, "C", readonly=True)),
        *(types.float64[::1], types.float64[::1], types.float64[::1], types.int64[::1]),
    ),
    cache=True,
    nogil=True,
)
def worst(
    values, option, weight, runs, books, long_rate, short_rate, basis_rate, futures, linear,
    moves, scale, is_skew, today, basis, least, which,
):  # fmt: skip
    """Per book: what its options are worth today, the loss on forwards, and its worst scenario (-1: none loses, the
    number of scenarios: the forwards) with its profit, at most 0.

    values[i, 0 … 2 + m]: option i per unit of weight. Per run: the rates at which a value for or against the account
    counts, the rate at which a loss on the forward counts, and what futures[r, 0 and 1] gain there. Per book: the
    notional that moves with the coin. Per scenario: the move, how much of the profit counts, and whether its size alone
    counts.
    """
    count = moves.size
    value, profit = np.empty(count + FIRST), np.empty(count)
    for b in range(books.size - 1):
        for j in range(count):
            profit[j] = linear[b] * moves[j]
        worth, forwards = 0.0, 0.0
        for r in range(books[b], books[b + 1]):
            value[:] = 0.0
            for leg in range(runs[r], runs[r + 1]):
                row = values[option[leg]]
                for j in range(count + FIRST):
                    value[j] += weight[leg] * row[j]
            worth += value[NOW]
            up, down = value[UP] - value[NOW] + futures[r, 0], value[DOWN] - value[NOW] + futures[r, 1]
            forwards += min(up, down, 0.0) * basis_rate[r]
            for j in range(count):
                shocked = value[FIRST + j]
                gain = shocked * (long_rate[r] if shocked >= 0.0 else short_rate[r]) - value[NOW]
                profit[j] += -abs(gain) if is_skew[j] else gain
        today[b], basis[b], least[b], which[b] = worth, forwards, 0.0, -1
        for j in range(count):
            if profit[j] * scale[j] < least[b]:
                least[b], which[b] = profit[j] * scale[j], j
        if forwards < least[b]:
            least[b], which[b] = forwards, count


@njit(types.void(_float, _float, _float, _int, types.float64[::1]), cache=True, nogil=True)
def settled(strike, is_call, weight, runs, out):
    """Per run: the least that its legs pay at settlement, at most 0, among the prices 0 and every strike held.

    Between these prices the payoff is a straight line, so nothing pays less, but calls sold beyond the last strike.
    """
    for r in range(runs.size - 1):
        out[r] = 0.0
        for at in range(runs[r] - 1, runs[r + 1]):
            price = 0.0 if at < runs[r] else strike[at]
            paid = 0.0
            for leg in range(runs[r], runs[r + 1]):
                sign = 1.0 if is_call[leg] > 0.0 else -1.0
                paid += weight[leg] * max(0.0, sign * (price - strike[leg]))
            out[r] = min(out[r], paid)
