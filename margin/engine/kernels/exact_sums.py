"""Exact sums: 64-bit quantities times 64-bit unit amounts, added in 128 bits.

A lane is a signed 128-bit integer held as (hi int64, lo uint64), at a decimal scale of its segment. A term that
would not fit marks its segment WIDE and is left out; the caller then sums that segment with Python integers. So a
result never depends on the order of rows, on shards or on threads. `sum_scaled` is the fast way for what is at one
scale and provably fits.
"""

import numpy as np
from numba import njit, types, uint64

from margin.engine.kernels import WIDE
from margin.engine.kernels.machine import multiply_add, prefetch

WIDE_MARK = np.uint8(WIDE)
POWERS = np.array([10**k for k in range(20)], dtype=np.uint64)
_LIMIT = np.uint64(1 << 62)  # magnitudes below 2^126: two of them never overflow 128 signed bits
_AHEAD = 96  # positions between asking for a row of a table and using it: some memory latencies of work


def _input(kind: types.Type, dimensions: int = 1) -> types.Array:
    return types.Array(kind, dimensions, "C", readonly=True)


@njit(inline="always")
def _multiply(a, b):
    """Unsigned 64 × 64 → (hi, lo)."""
    mask = uint64(0xFFFFFFFF)
    half = uint64(32)
    a0 = a & mask
    a1 = a >> half
    b0 = b & mask
    b1 = b >> half
    low = a0 * b0
    cross = a0 * b1
    crossed = a1 * b0
    middle = (low >> half) + (cross & mask) + (crossed & mask)
    return a1 * b1 + (cross >> half) + (crossed >> half) + (middle >> half), (low & mask) | (middle << half)


@njit(inline="always")
def _term(a, b, power):
    """a × b × power as (hi, lo, fits): unsigned, `fits` false at 2^126 and above."""
    hi, lo = _multiply(a, b)
    if power != uint64(1):
        carry, lo = _multiply(lo, power)
        over, hi = _multiply(hi, power)
        hi += carry
        if over != uint64(0) or hi < carry:
            return hi, lo, False
    return hi, lo, hi < _LIMIT


@njit(inline="always")
def _add(hi, lo, row, lane, term_hi, term_lo, negative):
    """Add a term below 2^126 to a lane below 2^126; false if the sum no longer is."""
    if negative:
        term_lo = ~term_lo + uint64(1)
        term_hi = ~term_hi + (uint64(1) if term_lo == uint64(0) else uint64(0))
    total = lo[row, lane] + term_lo
    lo[row, lane] = total
    high = hi[row, lane] + np.int64(term_hi) + (np.int64(1) if total < term_lo else np.int64(0))
    hi[row, lane] = high
    return -np.int64(_LIMIT) < high < np.int64(_LIMIT)


@njit(inline="always")
def _or_remaining_flags(segment, offsets, instrument, quantity, flags, marks, row):
    for p in range(offsets[segment], offsets[segment + 1]):
        marks[row] |= flags[instrument[p], 1 if quantity[p] < 0 else 0]


@njit(
    types.void(
        _input(types.int64),
        _input(types.int64),
        _input(types.int32),
        _input(types.int64),
        _input(types.int8),
        _input(types.int64, 3),
        _input(types.int8),
        _input(types.uint8, 2),
        _input(types.int64),
        types.int64[:, ::1],
        types.uint64[:, ::1],
        types.uint8[::1],
    ),
    cache=True,
    nogil=True,
)
def sum_units(segments, offsets, instrument, quantity, decimals, units, unit_decimals, flags, scales, hi, lo, marks):
    """Per chosen segment and lane: sum of |quantity| × units[instrument, side, lane], side 0 long, 1 short.

    `segments` are indices into `offsets` (CSR over positions). Lanes come out at `scales[row]` decimals. `marks`
    collects flags[instrument, side] of what is met, and WIDE.
    """
    lanes = units.shape[2]
    for row in range(segments.size):
        mark = np.uint8(0)
        for p in range(offsets[segments[row]], offsets[segments[row] + 1]):
            i = instrument[p]
            held = quantity[p]
            side = 1 if held < 0 else 0
            mark |= flags[i, side]
            size = uint64(-held) if held < 0 else uint64(held)
            shift = scales[row] - decimals[p] - unit_decimals[i]
            if shift < 0 or shift >= 20:
                mark |= WIDE_MARK
                continue
            power = POWERS[shift]
            for lane in range(lanes):
                unit = units[i, side, lane]
                if unit == 0:
                    continue
                term_hi, term_lo, fits = _term(size, uint64(-unit) if unit < 0 else uint64(unit), power)
                if not fits or not _add(hi, lo, row, lane, term_hi, term_lo, unit < 0):
                    mark |= WIDE_MARK
                    break
            if mark & WIDE_MARK:
                break
        marks[row] |= mark
        if mark & WIDE_MARK:
            _or_remaining_flags(segments[row], offsets, instrument, quantity, flags, marks, row)


@njit(
    types.void(
        _input(types.int64),
        _input(types.int64),
        _input(types.int32),
        _input(types.int64),
        _input(types.int64, 3),
        types.int64[:, ::1],
        types.uint64[:, ::1],
    ),
    cache=True,
    nogil=True,
)
def sum_scaled(segments, offsets, instrument, quantity, units, hi, lo):
    """As `sum_units`, where all quantities are at one scale, all units at another, and no sum can reach 2^127.

    The caller has proved that: longest segment × largest quantity × largest unit. Instruments without a price have
    zero units here; `collect_marks` tells who holds them.
    """
    last = instrument.size - 1
    lanes = units.shape[2]
    row_size = uint64(2 * lanes)
    for row in range(segments.size):
        for lane in range(lanes):
            high = np.int64(0)
            low = np.int64(0)
            for p in range(offsets[segments[row]], offsets[segments[row] + 1]):
                if lane == 0:
                    prefetch(units, uint64(instrument[uint64(min(p + _AHEAD, last))]) * row_size)
                held = quantity[uint64(p)]
                side = uint64(held < 0)
                unit = units[uint64(instrument[uint64(p)]), side, uint64(lane)]
                high, low = multiply_add(high, low, abs(held), unit)
            hi[row, lane] = high
            lo[row, lane] = uint64(low)


@njit(
    types.void(
        _input(types.int64),
        _input(types.int64),
        _input(types.int32),
        _input(types.int64),
        _input(types.uint8, 2),
        types.uint8[::1],
    ),
    cache=True,
    nogil=True,
)
def collect_marks(segments, offsets, instrument, quantity, flags, marks):
    """Per chosen segment: or the flags[instrument, side] of what it holds into its mark."""
    for row in range(segments.size):
        _or_remaining_flags(segments[row], offsets, instrument, quantity, flags, marks, row)


@njit(
    types.void(
        _input(types.int64),
        _input(types.int64),
        _input(types.int32),
        _input(types.int64),
        _input(types.int64),
        _input(types.int8),
        _input(types.boolean),
        types.boolean,
        _input(types.int64),
        types.int64[:, ::1],
        types.uint64[:, ::1],
        types.uint8[::1],
        types.boolean[::1],
    ),
    cache=True,
    nogil=True,
)
def sum_costs(
    segments, offsets, instrument, quantity, cost, cost_decimals, counts, shorts, scales, hi, lo, marks, unknown
):
    """Per chosen segment: what its positions in the instruments that count have cost, in lane 0; of the short ones
    only if `shorts`.

    A cost with decimals -1 is unknown; it adds nothing and sets `unknown`.
    """
    for row in range(segments.size):
        for p in range(offsets[segments[row]], offsets[segments[row] + 1]):
            if (quantity[p] <= 0 and not shorts) or not counts[instrument[p]]:
                continue
            if cost_decimals[p] < 0:
                unknown[row] = True
                continue
            paid = cost[p]
            shift = scales[row] - cost_decimals[p]
            if shift < 0 or shift >= 20:
                marks[row] |= WIDE_MARK
                break
            hi_term, lo_term, fits = _term(uint64(-paid) if paid < 0 else uint64(paid), uint64(1), POWERS[shift])
            if not fits or not _add(hi, lo, row, 0, hi_term, lo_term, paid < 0):
                marks[row] |= WIDE_MARK
                break


@njit(
    types.void(_input(types.int64, 2), _input(types.uint64, 2), _input(types.float64), types.float64[:, ::1]),
    cache=True,
    nogil=True,
)
def to_floats(hi, lo, divisors, out):
    """Lanes ÷ divisors[row] as float64, each within 4 ulp of its own value: the magnitude is taken before rounding."""
    for row in range(hi.shape[0]):
        for lane in range(hi.shape[1]):
            high = uint64(hi[row, lane])
            low = lo[row, lane]
            negative = hi[row, lane] < 0
            if negative:
                low = ~low + uint64(1)
                high = ~high + (uint64(1) if low == uint64(0) else uint64(0))
            value = (np.float64(high) * 18446744073709551616.0 + np.float64(low)) / divisors[row]
            out[row, lane] = -value if negative else value
