"""Unit tables: what one unit of each held instrument adds to every lane of a policy, as integers for the kernels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from margin.engine import build
from margin.engine.columns import KINDS, Array, Book, Instruments, Market, Policy, RegimeRule
from margin.engine.measures import Lane, Units, governed, pick, restricted, with_profit
from margin.engine.methodologies import by_code

_LARGEST = 2**63
_LARGEST_SUM = 2**126
_MOST_POWERS = 19  # 10^18 is the last power of ten in 63 bits
_MOST_DECIMALS = 38
_MINIMUM = "minimum_equity"


@dataclass(frozen=True)
class Table:
    """Unit amounts of all lanes as integers: amount = integers[i, side, lane] / 10^decimals[i]."""

    lanes: tuple[Lane, ...]
    integers: Array  # int64[n, 2, lanes]
    decimals: Array  # int8[n]
    is_wide: Array  # bool: an amount does not fit, the row is zero


def held_of(book: Book, instruments: Instruments) -> tuple[Instruments, Array]:
    """(the instruments the book holds, each position's row among them)."""
    is_held = np.zeros(len(instruments), bool)
    is_held[book.instrument] = True
    rows = np.flatnonzero(is_held)
    renumbered = np.zeros(len(instruments), np.int32)
    renumbered[rows] = np.arange(len(rows), dtype=np.int32)
    return instruments.take(rows), renumbered[book.instrument]


def governed_units(held: Instruments, market: Market, rule: RegimeRule) -> Units:
    """The methodology's units, silent on the instruments that the rule does not govern."""
    units = by_code(rule.methodology).units(held, market, rule.measure, rule.terms)
    rows = governed(held, rule.kinds)
    silent = Units(
        lanes={name: restricted(lane, rows) for name, lane in units.lanes.items()},
        charges=tuple(replace(charge, amount=restricted(charge.amount, rows)) for charge in units.charges),
        refused=restricted(units.refused, rows, ""),
        equity=units.equity,
        counts_cost=None if units.counts_cost is None else units.counts_cost & rows,
        box=units.box and units.box.take(np.arange(len(held)), rows),
    )
    return with_profit(silent, held, governed(held, rule.governs))


def after_boxes(
    book: Book, held: Instruments, local: Array, units: tuple[Units, ...], is_claimed: Array
) -> tuple[Instruments, Array, tuple[Units, ...], Array]:
    """Instruments, positions' rows, units and claims once the smaller side of each box points to a row of its own,
    which is asked what a box is asked."""
    boxes = build.boxes(book)
    if not len(boxes):
        return held, local, units, is_claimed
    boxed, which = np.unique(local[boxes], return_inverse=True)
    renumbered = local.copy()
    renumbered[boxes] = len(held) + which.reshape(-1)
    everything = np.concatenate([np.arange(len(held)), boxed])
    return held.take(everything), renumbered, tuple(one.with_boxes(boxed) for one in units), is_claimed[everything]


def table_of(units: Sequence[Units], count: int) -> tuple[Table, tuple[Mapping[str, int], ...]]:
    """All regimes' lanes in one table; equal lanes are summed once."""
    lanes: list[Lane] = []
    lane_of = []
    for regime in units:
        found = {}
        for name, lane in regime.lanes.items():
            same = [k for k, known in enumerate(lanes) if _are_equal(known, lane)]
            found[name] = same[0] if same else len(lanes)
            if not same:
                lanes.append(lane)
        lane_of.append(found)
    return _integers(tuple(lanes), count), tuple(lane_of)


def _are_equal(one: Lane, other: Lane) -> bool:
    return bool((one.long == other.long).all() and (one.short == other.short).all())


def _integers(lanes: tuple[Lane, ...], count: int) -> Table:
    integers = np.zeros((count, 2, len(lanes)), np.int64)
    decimals = np.zeros(count, np.int8)
    is_wide = np.zeros(count, bool)
    columns = [*(lane.long for lane in lanes), *(lane.short for lane in lanes)]
    for i, amounts in enumerate(zip(*columns, strict=True)):
        places = max((-int(amount.as_tuple().exponent) for amount in amounts if amount), default=0)
        places = max(places, 0)
        mantissas = [int(amount.scaleb(places)) if amount else 0 for amount in amounts]
        while places and not any(mantissa % 10 for mantissa in mantissas):
            places, mantissas = places - 1, [mantissa // 10 for mantissa in mantissas]
        if places > _MOST_DECIMALS or any(abs(mantissa) >= _LARGEST for mantissa in mantissas):
            is_wide[i] = True
            continue
        decimals[i] = places
        integers[i] = np.array(mantissas, np.int64).reshape(2, len(lanes))
    return Table(lanes, integers, decimals, is_wide)


def common_scale(book: Book, table: Table, segments: Array) -> tuple[Array, Array, int] | None:
    """(quantities at one scale, unit amounts at another, decimals of their products), where no sum over one of the
    segments can leave 126 bits; None where that cannot be promised."""
    if not len(book.quantity) or not len(segments) or table.is_wide.any():
        return None
    quantity = _at_one_scale(book.quantity, book.decimals)
    integers = _at_one_scale(table.integers, table.decimals)
    if quantity is None or integers is None:
        return None
    longest = int((book.segment_offsets[segments + 1] - book.segment_offsets[segments]).max())
    if longest * _magnitude(quantity) * _magnitude(integers) >= _LARGEST_SUM:
        return None
    return quantity, integers, int(book.decimals.max()) + int(table.decimals.max())


def _at_one_scale(mantissas: Array, decimals: Array) -> Array | None:
    """Mantissas, each row with its own decimals, all with the most decimals of any; None if one would not fit."""
    most, least = int(decimals.max()), int(decimals.min())
    if most == least:
        return mantissas
    if (most - least) >= _MOST_POWERS or _magnitude(mantissas) * 10 ** (most - least) >= _LARGEST:
        return None
    factors = 10 ** (most - decimals.astype(np.int64))
    return mantissas * factors.reshape((-1,) + (1,) * (mantissas.ndim - 1))


def _magnitude(numbers: Array) -> int:
    return max(int(numbers.max(initial=0)), -int(numbers.min(initial=0)))


def reasons_of(held: Instruments, policy: Policy, units: Sequence[Units], is_claimed: Array) -> Lane:
    """Why each holding makes its account unpriced: no price, no rule that charges it, or a rule cannot measure it.

    A part has a rule for what it claims, not for all of the kinds it looks at; a minimum equity charges no holding, so
    beside another regime its kinds are no rule.
    """
    reasons = held.unpriced_reason.copy()
    any_rule = is_claimed.copy()
    for rule in [rule for rule in policy.regimes if rule.measure != _MINIMUM] or policy.regimes:
        any_rule |= governed(held, rule.kinds)
    for i in np.flatnonzero(~any_rule):
        reasons[i] = f"no rule for {KINDS[held.kind[i]].replace('_', ' ')} {held.codes[i]}"
    long, short = reasons, reasons.copy()
    for regime in units:
        long, short = pick(long == "", regime.refused.long, long), pick(short == "", regime.refused.short, short)
    return Lane(long, short)
