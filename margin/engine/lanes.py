"""Exact sums per segment by the kernels: unit amounts and costs of its positions, and the rates it is converted at."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine import kernels
from margin.engine.columns import Array, Book, Instruments, Market, RegimeRule
from margin.engine.exact import ONE, ZERO
from margin.engine.measures import Lane
from margin.engine.methodologies import by_code
from margin.engine.tables import Table, common_scale

_WORD = 64


@dataclass(frozen=True)
class Lanes:
    """Exact sums per segment: (hi, lo) at the segment's scale in decimals, and the marks of `margin.engine.kernels`."""

    hi: Array
    lo: Array
    scales: Array  # int64
    marks: Array

    def decimals(self, segments: Array, lane: int) -> Array:
        """The lane of these segments as exact Decimals."""
        whole = (self.hi[segments, lane].astype(object) << _WORD) + self.lo[segments, lane].astype(object)
        out = np.empty(len(whole), object)
        out[:] = [Decimal(value).scaleb(-int(scale)) for value, scale in zip(whole, self.scales[segments], strict=True)]
        return out

    def floats(self) -> Array:
        out = np.empty(self.hi.shape, np.float64)
        kernels.sums().to_floats(self.hi, self.lo, 10.0 ** self.scales.astype(np.float64), out)
        return out


@dataclass(frozen=True)
class Rates:
    """An exchange rate per row, from a short list of them; 0 where it is missing."""

    listed: Array  # Decimal
    which: Array

    def exact(self, rows: Any) -> Any:
        return self.listed[self.which[rows]]

    def floats(self) -> Array:
        return self.listed.astype(np.float64)[self.which]

    def is_missing(self) -> Array:
        return (self.listed == ZERO).astype(bool)[self.which]


def sum_lanes(book: Book, local: Array, table: Table, reasons: Lane, segments: Array) -> Lanes:
    """|quantity| × unit amount over the positions of each segment; marked where a holding is refused or too wide."""
    is_refused = np.stack([reasons.long != "", reasons.short != ""], axis=1).astype(bool)
    flags = np.where(is_refused, kernels.UNPRICED, 0).astype(np.uint8)
    flags[table.is_wide] |= kernels.WIDE
    shape = (len(segments), len(table.lanes))
    hi, lo, marks = np.zeros(shape, np.int64), np.zeros(shape, np.uint64), np.zeros(len(segments), np.uint8)
    common = common_scale(book, table, segments)
    if common is not None:
        quantity, integers, scale = common
        kernels.sums().sum_scaled(segments, book.segment_offsets, local, quantity, integers, hi, lo)
        if flags.any():
            kernels.sums().collect_marks(segments, book.segment_offsets, local, book.quantity, flags, marks)
        return Lanes(hi, lo, np.full(len(segments), scale, np.int64), marks)
    scales = _scales(book, table.decimals[local].astype(np.int64) + book.decimals, segments)
    kernels.sums().sum_units(
        segments,
        book.segment_offsets,
        local,
        book.quantity,
        book.decimals,
        table.integers,
        table.decimals,
        flags,
        scales,
        hi,
        lo,
        marks,
    )
    return Lanes(hi, lo, scales, marks)


def sum_costs(book: Book, local: Array, counts: Array, segments: Array, *, shorts: bool) -> tuple[Lanes, Array]:
    """(what the counted positions of each segment cost, whether that of one is unknown); of shorts only when asked."""
    scales = _scales(book, np.maximum(book.cost_decimals, 0).astype(np.int64), segments)
    hi, lo = np.zeros((len(segments), 1), np.int64), np.zeros((len(segments), 1), np.uint64)
    marks, unknown = np.zeros(len(segments), np.uint8), np.zeros(len(segments), bool)
    kernels.sums().sum_costs(
        segments,
        book.segment_offsets,
        local,
        book.quantity,
        book.cost,
        book.cost_decimals,
        counts,
        shorts,
        scales,
        hi,
        lo,
        marks,
        unknown,
    )
    return Lanes(hi, lo, scales, marks), unknown


def _scales(book: Book, decimals: Array, segments: Array) -> Array:
    """The most decimals that any position of each segment needs."""
    if not len(decimals):
        return np.zeros(len(segments), np.int64)
    scales: Array = np.maximum.reduceat(decimals, book.segment_offsets[:-1])[segments]
    return scales


def segment_rates(
    book: Book, instruments: Instruments, market: Market, rows: Array, segments: Array, first: Array
) -> Rates:
    """Each segment's rate to its account's base currency, looked up once per pair; 0 when missing."""
    count = len(instruments.currencies)
    base = np.repeat(book.base[rows], np.diff(first)).astype(np.int64)
    pairs, which = np.unique(book.segment_currency[segments] * count + base, return_inverse=True)
    rates = [market.rate(instruments.currencies[p // count], instruments.currencies[p % count]) for p in pairs]
    return Rates(_column([ZERO if rate is None else rate for rate in rates]), which)


def rule_rates(book: Book, instruments: Instruments, market: Market, rule: RegimeRule, rows: Array) -> Rates:
    """What the methodology's own currency is worth in each account's base currency; 0 when missing."""
    stated = by_code(rule.methodology).currency(rule.measure, rule.terms)
    rates = [market.rate(stated, code) if stated else ONE for code in instruments.currencies]
    return Rates(_column([ZERO if rate is None else rate for rate in rates]), book.base[rows])


def _column(values: Sequence[Decimal]) -> Array:
    out = np.empty(len(values), object)
    out[:] = values
    return out
