"""Rows from PostgreSQL: decode COPY BINARY exactly, and sort positions by account.

COPY (SELECT bigint, bigint, numeric [, numeric]) TO STDOUT (FORMAT binary): a 19-byte header, then per row a field
count and per field a length and big-endian bytes, then 0xFFFF (PostgreSQL manual, COPY, "Binary Format"). A numeric is
(digits, weight, sign, display scale) and base-10000 digits.
"""

import numpy as np
from numba import njit, types

from margin.engine.kernels.exact_sums import _input

# Why a row was refused, or the stream.
GOOD, NULL, NOT_A_NUMBER, INFINITE, TOO_LARGE = 0, 1, 2, 3, 4
TRUNCATED, WRONG_FIELDS, NULL_KEY = -1, -2, -3
HEADER = 19
_LARGEST = np.int64(2**63 - 1)
_MOST_DECIMALS = 30


@njit(inline="always")
def _short(stream, at):
    return (np.int64(stream[at]) << 8) | np.int64(stream[at + 1])


@njit(inline="always")
def _long(stream, at):
    value = np.int64(0)
    for k in range(8):
        value = (value << 8) | np.int64(stream[at + k])
    return value


@njit(inline="always")
def _length(stream, at):
    value = np.int64(0)
    for k in range(4):
        value = (value << 8) | np.int64(stream[at + k])
    return value - (np.int64(1) << 32) if value >= (np.int64(1) << 31) else value


@njit(inline="always")
def _numeric(stream, at):
    """The numeric at `at` as (mantissa, decimals, fault): value = mantissa / 10^decimals, no trailing zeros after."""
    digits = _short(stream, at)
    weight = _short(stream, at + 2)
    weight = weight - 65536 if weight >= 32768 else weight
    sign = _short(stream, at + 4)
    if sign == 0xC000:
        return np.int64(0), np.int64(0), NOT_A_NUMBER
    if sign not in (0x0000, 0x4000):
        return np.int64(0), np.int64(0), INFINITE
    mantissa = np.int64(0)
    decimals = np.int64(0)
    for k in range(digits):
        digit = _short(stream, at + 8 + 2 * k)
        base = np.int64(10000)
        if k == digits - 1 and weight < k:  # last group behind the point: drop its trailing zeros
            decimals = 4 * (k - weight)
            while digit % 10 == 0 and base > 1:
                digit //= 10
                base //= 10
                decimals -= 1
        if mantissa > (_LARGEST - digit) // base:
            return np.int64(0), np.int64(0), TOO_LARGE
        mantissa = mantissa * base + digit
    for _ in range(weight - digits + 1 if digits > 0 else 0):  # groups of zeros before the point
        if mantissa > _LARGEST // 10000:
            return np.int64(0), np.int64(0), TOO_LARGE
        mantissa *= 10000
    if decimals > _MOST_DECIMALS:
        return np.int64(0), np.int64(0), TOO_LARGE
    return (-mantissa if sign == 0x4000 else mantissa), decimals, GOOD


@njit(
    types.Tuple((types.int64, types.int64))(
        _input(types.uint8),
        types.int64[::1],
        types.int64[::1],
        types.int64[:, ::1],
        types.int8[:, ::1],
        types.int8[:, ::1],
    ),
    cache=True,
    nogil=True,
)
def decode(stream, first_key, second_key, mantissa, decimals, fault):
    """Fill the arrays from the stream; returns (rows, 0), or (row, TRUNCATED | WRONG_FIELDS | NULL_KEY).

    `mantissa`, `decimals` and `fault` are (columns, capacity). A value that cannot be read leaves its fault code.
    """
    columns = mantissa.shape[0]
    end = stream.size
    at = HEADER
    row = 0
    while True:
        if at + 2 > end:
            return row, TRUNCATED
        fields = _short(stream, at)
        at += 2
        if fields == 0xFFFF:
            return row, GOOD
        if fields != 2 + columns or row >= first_key.size:
            return row, WRONG_FIELDS
        if at + 24 > end:
            return row, TRUNCATED
        if _length(stream, at) != 8 or _length(stream, at + 12) != 8:
            return row, NULL_KEY
        first_key[row] = _long(stream, at + 4)
        second_key[row] = _long(stream, at + 16)
        at += 24
        for column in range(columns):
            if at + 4 > end:
                return row, TRUNCATED
            length = _length(stream, at)
            at += 4
            if length < 0:
                fault[column, row] = NULL
                continue
            if length < 8 or at + length > end or length != 8 + 2 * _short(stream, at):
                return row, TRUNCATED
            value, places, code = _numeric(stream, at)
            mantissa[column, row] = value
            decimals[column, row] = places
            fault[column, row] = code
            at += length
        row += 1


@njit(types.int64[::1](_input(types.int32), types.int64, _input(types.int64)), cache=True, nogil=True)
def counting_order(keys, buckets, order):
    """`order` stably re-sorted by keys[order], each key in 0 … buckets - 1. Linear time."""
    starts = np.zeros(buckets + 1, np.int64)
    for k in range(order.size):
        starts[keys[order[k]] + 1] += 1
    for bucket in range(buckets):
        starts[bucket + 1] += starts[bucket]
    out = np.empty(order.size, np.int64)
    for k in range(order.size):
        bucket = keys[order[k]]
        out[starts[bucket]] = order[k]
        starts[bucket] += 1
    return out
