"""Sixteen scenarios over resident columns: scan risk of every account, and of the few that one underlying moves.

Float screening, as in `linear`: what decides a call is summed exactly. A row of `scan_table` is one cache line, the
gains of one unit held long in each scenario. A *segment* is an account's run of positions in one product.
"""

import numpy as np
from numba import njit, types, uint64

from margin.engine.kernels.exact_sums import _input
from margin.engine.kernels.machine import add_row, least, prefetch, put_row

SCENARIOS = 16  # as in SPAN: seven price moves by two of volatility, and two extreme ones
_AHEAD = 96
_LINE = 64  # bytes of a cache line


def scan_table(gains):
    """float32[n, 16] from gains of one unit held long; it starts where a cache line starts."""
    raw = np.zeros(gains.size * 4 + _LINE, np.uint8)
    first = -raw.ctypes.data % _LINE
    table = raw[first : first + gains.size * 4].view(np.float32).reshape(gains.shape)
    table[:] = gains
    return table


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
def sum_scan_risk(offsets, product, instrument, quantity, gains, out):
    """Per account: the sum over its products of the greatest loss in any of the sixteen scenarios.

    An account's positions in one product lie side by side. `offsets` may be any stretch of the book's.
    """
    last = instrument.size - 1
    sums = np.zeros(SCENARIOS)
    for row in range(offsets.size - 1):
        asked = 0.0
        p = offsets[row]
        end = offsets[row + 1]
        while p < end:
            own = product[uint64(p)]
            prefetch(gains, uint64(instrument[uint64(min(p + _AHEAD, last))]) * uint64(SCENARIOS))
            put_row(sums, gains, uint64(instrument[uint64(p)]) * uint64(SCENARIOS), quantity[uint64(p)])
            p += 1
            while p < end and product[uint64(p)] == own:
                prefetch(gains, uint64(instrument[uint64(min(p + _AHEAD, last))]) * uint64(SCENARIOS))
                add_row(sums, gains, uint64(instrument[uint64(p)]) * uint64(SCENARIOS), quantity[uint64(p)])
                p += 1
            asked -= least(sums, SCENARIOS)
        out[row] = asked


@njit(
    types.void(
        types.int64,
        types.int64,
        _input(types.int64),
        _input(types.int32),
        _input(types.int32),
        _input(types.float64),
        _input(types.float32, 2),
        types.float64[::1],
        types.float64[::1],
    ),
    cache=True,
    nogil=True,
)
def net_again(first, beyond, offsets, account, instrument, quantity, gains, risk, totals):
    """The segments first … beyond - 1, all of the product that moved, netted afresh: `risk` of each, and its account's
    total by the change.

    The positions are sorted by product, then account: a product's holders are read as one stream. `offsets` delimit the
    segments, `account` owns each. A total that has been changed many times carries rounding errors of its own: a sweep
    restores it.
    """
    sums = np.zeros(SCENARIOS)
    for segment in range(first, beyond):
        start = offsets[segment]
        put_row(sums, gains, uint64(instrument[uint64(start)]) * uint64(SCENARIOS), quantity[uint64(start)])
        for p in range(start + 1, offsets[segment + 1]):
            add_row(sums, gains, uint64(instrument[uint64(p)]) * uint64(SCENARIOS), quantity[uint64(p)])
        after = -least(sums, SCENARIOS)
        totals[account[segment]] += after - risk[segment]
        risk[segment] = after
