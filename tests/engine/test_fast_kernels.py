"""The kernels for whole houses against Python's integers and fractions, and against the careful kernel beside them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import build, kernels, tables
from margin.engine.assess import assess
from margin.engine.columns import Market, Policy, Rules
from tests.engine import world
from tests.engine.world import D, reg_t_terms, regime, stock

SMALL = st.integers(-(10**12), 10**12)


def exact_lanes(offsets, instrument, quantity, units):
    count = len(offsets) - 1
    hi, lo = np.zeros((count, units.shape[2]), np.int64), np.zeros((count, units.shape[2]), np.uint64)
    kernels.sums().sum_scaled(np.arange(count), offsets, instrument, quantity, units, hi, lo)
    return hi, lo


def whole(hi, lo):
    return [[(int(h) << 64) + int(low) for h, low in zip(*row, strict=True)] for row in zip(hi, lo, strict=True)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(-(2**62), 2**62), SMALL, SMALL, SMALL, SMALL), max_size=5), min_size=1))
def test_scaled_sums_equal_python_integers(accounts):
    rows = [row for account in accounts for row in account]
    offsets = np.concatenate(([0], np.cumsum([len(account) for account in accounts]))).astype(np.int64)
    units = np.array([[row[1:3], row[3:5]] for row in rows], np.int64).reshape(-1, 2, 2)
    quantity = np.array([row[0] for row in rows], np.int64)
    found = whole(*exact_lanes(offsets, np.arange(len(rows), dtype=np.int32), quantity, units))
    assert found == [
        [sum(abs(row[0]) * row[(3 if row[0] < 0 else 1) + lane] for row in account) for lane in (0, 1)]
        for account in accounts
    ]


def book_of(chooser, accounts=300, instruments=50):
    """Random columns: (offsets, instrument, quantity)."""
    counts = chooser.integers(0, 12, accounts)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    instrument = chooser.integers(0, instruments, offsets[-1]).astype(np.int32)
    return offsets, instrument, chooser.integers(-(10**9), 10**9, offsets[-1])


def test_exact_sums_are_the_same_bytes_for_any_shards_threads_and_row_order():
    chooser = np.random.default_rng(5)
    offsets, instrument, quantity = book_of(chooser)
    units = chooser.integers(-(10**14), 10**14, (50, 2, 3))
    expected = exact_lanes(offsets, instrument, quantity, units)
    for shards, threads in ((1, 1), (7, 2), (300, 2)):
        cuts = np.linspace(0, 300, shards + 1).astype(int)
        stretches = [offsets[start : end + 1] for start, end in pairwise(cuts)]
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(lambda stretch: exact_lanes(stretch, instrument, quantity, units), stretches))
        for lane, column in enumerate(expected):
            assert np.concatenate([part[lane] for part in parts]).tobytes() == column.tobytes()
    owner = np.repeat(np.arange(300), np.diff(offsets))
    shuffled = np.lexsort((chooser.random(len(owner)), owner))
    assert not (shuffled == np.arange(len(owner))).all()
    again = exact_lanes(offsets, instrument[shuffled], quantity[shuffled], units)
    assert [column.tobytes() for column in again] == [column.tobytes() for column in expected]


def test_float_sums_are_within_rounding_of_fractions_long_and_short():
    linear = kernels.floats()
    chooser = np.random.default_rng(6)
    offsets, instrument, quantity = book_of(chooser)
    value, requirement = chooser.normal(0, 100, (50, 2)), chooser.random((50, 2)) * 30
    out = np.empty((300, 2))
    table = linear.unit_table(value, requirement)
    linear.sum_value_and_requirement(offsets, instrument, quantity.astype(np.float64), table, out)
    for row in range(300):
        held = range(offsets[row], offsets[row + 1])
        for column, units in enumerate((value, requirement)):
            terms = [abs(int(quantity[p])) * Fraction(units[instrument[p], int(quantity[p] < 0)]) for p in held]
            assert abs(Fraction(out[row, column]) - sum(terms)) <= sum(map(abs, terms)) * Fraction(2) ** -48


def test_the_worst_of_ten_points_is_taken_class_by_class_with_its_minimum():
    # Pencil. Account 1: class 1 holds 2 of A and -1 of B: at point 3 it gains 2 × -5 - 1 × 4 = -14, its worst;
    # class 2 holds 3 of C, which never loses, at a minimum of 0.5 a contract: 1.5. Together 15.5. Account 2 is empty;
    # account 3 is short 4 of A: worst at point 7, -4 × 2 = -8.
    linear = kernels.floats()
    gains = np.zeros((3, 10))
    gains[0, 3], gains[0, 7], gains[1, 3], gains[2] = -5, 2, 4, 1
    points = linear.point_table(gains, np.array([0, 0, 0.5]))
    out = np.empty(3)
    linear.sum_worst_points(
        np.array([0, 3, 3, 4]),
        np.array([1, 1, 2, 1], np.int32),
        np.array([0, 1, 2, 0], np.int32),
        np.array([2.0, -1.0, 3.0, -4.0]),
        points,
        out,
    )
    assert out.tolist() == [15.5, 0, 8]


def small_house(quantities):
    """One account per quantity, each in a stock of its own with a price of other decimals, and a cash debit."""
    listed = [stock(D(price), id=10 + k, code=f"S{k}") for k, price in enumerate(("12.5", "3.1415926", "800", "0.07"))]
    columns = build.instruments([*world.CASH, *listed])
    accounts = [build.AccountRow(k + 1, "USD", 0, 0) for k in range(len(quantities))]
    rows = []
    for k, quantity in enumerate(quantities):
        rows.append(build.PositionRow(k + 1, 10 + k % 4, Decimal(quantity), None))
        rows.append(build.PositionRow(k + 1, world.USD.id, D("-1234.56"), None))
    return columns, build.book(columns, accounts, rows)


@pytest.mark.parametrize(
    ("quantities", "is_fast"),
    [
        (("100", "-7.5", "0.00000001", "12345678"), True),
        (("100", "9223372036854775807", "1", "0.000000001"), False),  # at nine decimals the large one does not fit
    ],
)
def test_both_ways_of_summing_give_the_same_exact_figures(monkeypatch, quantities, is_fast):
    columns, book = small_house(quantities)
    rules = Rules((Policy("us", (regime("house", terms=reg_t_terms()),)),))
    fast = []

    def watched(*arguments):
        fast.append(tables.common_scale(*arguments))
        return fast[-1]

    monkeypatch.setattr("margin.engine.lanes.common_scale", watched)
    found = assess(book, columns, Market(world.ON), rules)
    monkeypatch.setattr("margin.engine.lanes.common_scale", lambda *_: None)
    careful = assess(book, columns, Market(world.ON), rules)
    assert [one is not None for one in fast] == [is_fast]
    rows = np.arange(len(quantities))
    assert [replace(one) for one in found.figures(rows)] == list(careful.figures(rows))
    held = Decimal(quantities[0]) * D("12.5") - D("1234.56")  # pencil: the first account
    assert next(iter(found.figures(rows[:1]))).equity == held.quantize(D("0.01"))


def products_of(chooser, offsets, products=4):
    """A product per position, an account's positions of one product side by side."""
    return np.concatenate(
        [np.sort(chooser.integers(0, products, end - start)) for start, end in pairwise(offsets.tolist())] or [[]]
    ).astype(np.int32)


def scan_risks(offsets, product, instrument, quantity, gains):
    """(account, product, greatest loss in any scenario) of every run, by NumPy."""
    runs = []
    for account, (start, end) in enumerate(pairwise(offsets.tolist())):
        for own in np.unique(product[start:end]):
            rows = start + np.flatnonzero(product[start:end] == own)
            netted = quantity[rows] @ gains[instrument[rows]].astype(np.float64)
            runs.append((account, rows, max(-netted.min(), 0.0)))
    return runs


def test_scan_risk_is_the_worst_of_sixteen_scenarios_of_each_product():
    chooser = np.random.default_rng(8)
    offsets, instrument, quantity = book_of(chooser)
    held = quantity.astype(np.float64) / 1e6
    product = products_of(chooser, offsets)
    gains = kernels.scenarios().scan_table(chooser.normal(0, 1, (50, 16)))
    out = np.zeros(len(offsets) - 1)
    kernels.scenarios().sum_scan_risk(offsets, product, instrument, held, gains, out)
    expected = np.zeros(len(out))
    for account, _, risk in scan_risks(offsets, product, instrument, held, gains):
        expected[account] += risk
    assert np.allclose(out, expected, rtol=1e-12)
    assert (out > 0).any()


def test_netting_again_what_moved_equals_a_whole_sweep():
    chooser = np.random.default_rng(9)
    offsets, instrument, quantity = book_of(chooser)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    instrument = instrument[np.lexsort((instrument % 4, owner))]
    held, product = quantity.astype(np.float64) / 1e6, instrument % 4
    scenarios = kernels.scenarios()
    gains = scenarios.scan_table(chooser.normal(0, 1, (50, 16)))
    runs = scan_risks(offsets, product, instrument, held, gains)
    runs.sort(key=lambda run: product[run[1][0]])
    order = np.concatenate([rows for _, rows, _ in runs])
    edges = np.cumsum([0, *(len(rows) for _, rows, _ in runs)])
    account = np.array([account for account, _, _ in runs], np.int32)
    risk = np.array([risk for _, _, risk in runs])
    first, beyond = np.searchsorted(product[order][edges[:-1]], [2, 3])
    totals = np.zeros(len(offsets) - 1)
    scenarios.sum_scan_risk(offsets, product, instrument, held, gains, totals)
    gains[2::4] *= 2.0  # everything in the product moved
    scenarios.net_again(first, beyond, edges, account, instrument[order], held[order], gains, risk, totals)
    afresh = np.zeros(len(totals))
    scenarios.sum_scan_risk(offsets, product, instrument, held, gains, afresh)
    assert 0 < beyond - first < len(runs)
    assert np.allclose(totals, afresh, rtol=1e-9)
