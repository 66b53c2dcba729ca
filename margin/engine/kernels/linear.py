"""Float sums over resident columns: to see at once which of a million accounts are worth an exact look.

Positions lie account by account (CSR) with float64 quantities. A position costs one gather of one cache line, asked for
some positions ahead; `unit_table` and `point_table` lay the tables out so. Additions follow the order of the rows, so
any cut into account ranges gives the same bits. What decides a call is never a sum of these: see `exact_sums`.
"""

import numpy as np
from numba import njit, types, uint64

from margin.engine.kernels.exact_sums import _input
from margin.engine.kernels.machine import add_row, least, prefetch, put_row

POINTS = 10  # valuation points of a class group (FINRA 4210(g), Cboe Rule 10.4)
_AHEAD = 96  # as in `exact_sums`; stated here because a cached kernel notices changes of its own file alone
_LINE = 64  # bytes of a cache line
_ROW = 16  # float32 of a row of the point table: one line


def unit_table(value, requirement):
    """float64[n, 2, 2] from two float64[n, 2] (long, short): what one unit held adds to value and to requirement."""
    table = _lined_up((len(value), 2, 2), np.float64)
    table[:, :, 0], table[:, :, 1] = value, requirement
    return table


def point_table(gains, minimums):
    """float32[n, 16]: what one unit gains at each of ten points, and what it asks at least, held long or short."""
    table = _lined_up((len(gains), _ROW), np.float32)
    table[:, :POINTS], table[:, POINTS] = gains, minimums
    return table


def _lined_up(shape, kind):
    """Zeros that start where a cache line starts."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    raw = np.zeros(size + _LINE, np.uint8)
    first = -raw.ctypes.data % _LINE
    return raw[first : first + size].view(kind).reshape(shape)


@njit(
    types.void(
        _input(types.int64),
        _input(types.int32),
        _input(types.float64),
        _input(types.float64, 3),
        types.float64[:, ::1],
    ),
    cache=True,
    nogil=True,
)
def sum_value_and_requirement(offsets, instrument, quantity, units, out):
    """Per account: the sums of |quantity| × units[instrument, side], side 0 long, 1 short; out is float64[accounts, 2].

    `offsets` may be any stretch of the book's.
    """
    last = instrument.size - 1
    for row in range(offsets.size - 1):
        value = 0.0
        requirement = 0.0
        for p in range(offsets[row], offsets[row + 1]):
            prefetch(units, uint64(instrument[uint64(min(p + _AHEAD, last))]) * uint64(4))
            i = uint64(instrument[uint64(p)])
            held = quantity[uint64(p)]
            side = uint64(held < 0.0)
            size = abs(held)
            value += size * units[i, side, 0]
            requirement += size * units[i, side, 1]
        out[row, 0] = value
        out[row, 1] = requirement


@njit(
    types.void(
        _input(types.int64),
        _input(types.int32),
        _input(types.int32),
        _input(types.float64),
        _input(types.float32, 2),
        types.float64[::1],
    ),
    cache=True,
    nogil=True,
)
def sum_worst_points(offsets, group, instrument, quantity, points, out):
    """Per account: over its class groups, the sum of the greatest loss at any point, each at least its minimum.

    `group` numbers the class of each position; an account's positions of one class lie side by side. `points` is a
    `point_table`. The minimum is per contract, long or short (FINRA 4210(g)(7)(B)).
    """
    last = instrument.size - 1
    sums = np.zeros(_ROW)
    for row in range(offsets.size - 1):
        asked = 0.0
        p = offsets[row]
        end = offsets[row + 1]
        while p < end:
            own = group[uint64(p)]
            i = uint64(instrument[uint64(p)])
            prefetch(points, uint64(instrument[uint64(min(p + _AHEAD, last))]) * uint64(_ROW))
            put_row(sums, points, i * uint64(_ROW), quantity[uint64(p)])
            minimum = abs(quantity[uint64(p)]) * points[i, POINTS]
            p += 1
            while p < end and group[uint64(p)] == own:
                i = uint64(instrument[uint64(p)])
                prefetch(points, uint64(instrument[uint64(min(p + _AHEAD, last))]) * uint64(_ROW))
                add_row(sums, points, i * uint64(_ROW), quantity[uint64(p)])
                minimum += abs(quantity[uint64(p)]) * points[i, POINTS]
                p += 1
            asked += max(-least(sums, POINTS), minimum)
        out[row] = asked
