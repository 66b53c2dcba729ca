"""Chances of a call against closed forms, and cushions tried again."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import alternatives, chances
from margin.engine.build import InstrumentRow
from tests.engine.world import D, account, regime

WORLDS = 200
STOCK = InstrumentRow(10, "AAA", "equity", "USD", D(100))
OTHER = InstrumentRow(11, "BBB", "equity", "USD", D(100))
HOUSE = (regime("exchange"),)  # 25 % of long stock, FINRA 4210(c)(1)


def phi(x):
    return (1 + math.erf(x / math.sqrt(2))) / 2


def worlds_of(world, shocks):
    """The world's instruments with AAA and BBB, in that order, moved by each row of shocks."""
    _, columns, market, _ = world.arguments
    rows = [int(np.flatnonzero(columns.ids == id)[0]) for id in (10, 11) if id in columns.ids]
    found = []
    for shock in shocks:
        price = columns.price.copy()
        for row, by in zip(rows, shock.tolist(), strict=False):
            price[row] = D(repr(round(float(price[row]) * (1 + by), 8)))
        found.append((replace(columns, price=price), market))
    return found


def drawn(volatility=0.4, years=0.25, correlation=1.0, names=1):
    ids, each = np.arange(10, 10 + names), np.full(names, volatility)
    return chances.normal(ids, each, years=years, correlation=correlation, factor=chances.midpoints(WORLDS))


def chance(world, shocks):
    book, _, _, rules = world.arguments
    (found,) = chances.call_chances(book, rules, worlds=worlds_of(world, shocks))
    return found


def borrowed(amount, *holdings):
    return account(-amount, *(holdings or ((STOCK, 1000),)), regimes=HOUSE)


@pytest.mark.parametrize("years", [0.02, 0.25, 1.0])
@pytest.mark.parametrize("loan", [45_000, 60_000, 70_000])
def test_a_single_stock_meets_the_closed_form_up_to_one_world(loan, years):
    # 1000 P - loan < 0.25 × 1000 P below P* = loan / 750; lognormal: Φ((ln(P*/100) + σ²T/2) / σ√T)
    width = 0.4 * math.sqrt(years)
    expected = phi((math.log(loan / 75_000) + width**2 / 2) / width)
    assert abs(chance(borrowed(loan), drawn(years=years)) - expected) <= 1 / WORLDS + 1e-12


def test_two_perfectly_correlated_names_are_one():
    both = chance(borrowed(60_000, (STOCK, 500), (OTHER, 500)), drawn(names=2))
    assert both == chance(borrowed(60_000), drawn())


def test_names_that_move_apart_are_safer_than_one():
    apart = chance(borrowed(60_000, (STOCK, 500), (OTHER, 500)), drawn(names=2, correlation=0.0))
    # Sum of two independent halves: the deviation of the logarithm falls by about √2. Monte Carlo within five points.
    width = 0.4 * math.sqrt(0.25)
    total = math.log(1 + (math.exp(width**2) - 1) / 2)  # moments of the mean of two lognormals (Fenton 1960)
    expected = phi((math.log(60_000 / 75_000) + total / 2) / math.sqrt(total))
    assert abs(apart - expected) < 0.03


def test_a_hedged_pair_is_never_called():
    # 30,000 beside 100 long and 100 short of what moves alike: 25 % and 30 % of 10,000 × e^2 at the very most.
    assert chance(account(40_000, (STOCK, 100), (OTHER, -100), regimes=HOUSE), drawn(names=2)) == 0


def test_a_longer_horizon_is_never_safer_for_an_account_in_excess():
    found = [chance(borrowed(60_000), drawn(years=years)) for years in (0.01, 0.05, 0.1, 0.3, 0.6)]
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_an_account_in_a_deficit_is_called_where_nothing_moves():
    assert chance(borrowed(80_000), np.zeros((3, 1))) == 1
    assert chance(borrowed(70_000), np.zeros((3, 1))) == 0


def test_nothing_is_said_of_an_unpriced_account():
    unpriced = borrowed(60_000, (replace(STOCK, price=None), 1000))
    book, columns, market, rules = unpriced.arguments
    assert np.isnan(chances.call_chances(book, rules, worlds=[(columns, market)])).all()
    found = chances.cushions(book, columns, rules, account_row=0, worlds=[(columns, market)])
    assert [one.cash for one in found] == [None, None]


# --- cushions -----------------------------------------------------------------------------------------------


def test_the_cushion_is_the_quantile_of_what_is_missing():
    world = borrowed(60_000)
    book, columns, _, rules = world.arguments
    shocks = np.array([[-0.1 * k] for k in range(5)])  # prices 100, 90, 80, 70, 60
    found = chances.cushions(
        book,
        columns,
        rules,
        account_row=0,
        worlds=worlds_of(world, shocks),
        probabilities=(D("0.5"), D("0.8"), D("0.95")),
    )
    # 60,000 - 0.75 × 1000 P: 15,000 at 60, 7,500 at 70, 0 at 80. Two of five may be short, then one, then none.
    assert [one.cash for one in found] == [D(0), D(7_500), D(15_000)]


@settings(max_examples=12, deadline=None)
@given(
    loan=st.integers(20_000, 74_000),
    volatility=st.floats(0.05, 0.9),
    probability=st.sampled_from([D("0.5"), D("0.80"), D("0.95"), D("0.99")]),
    shorts=st.integers(0, 40),
)
def test_with_the_cushion_the_chance_is_small_enough_and_with_a_cent_less_it_is_not(
    loan, volatility, probability, shorts
):
    world = borrowed(loan, (STOCK, 1000), (OTHER, -shorts)) if shorts else borrowed(loan)
    book, columns, _, rules = world.arguments
    moved = worlds_of(world, drawn(volatility=volatility, correlation=0.3, names=2)[::8])
    (found,) = chances.cushions(book, columns, rules, account_row=0, worlds=moved, probabilities=(probability,))
    cash = int(np.flatnonzero(columns.codes == "USD")[0])
    copies = alternatives.books(columns, book, 0, [{cash: found.cash}, {cash: found.cash - D("0.01")}])
    enough, less = chances.call_chances(copies, rules, worlds=moved)
    assert enough <= 1 - float(probability) + 1e-12
    assert found.cash == 0 or less > 1 - float(probability)


def test_more_certainty_never_costs_less():
    world = borrowed(65_000)
    book, columns, _, rules = world.arguments
    asked = (D("0.5"), D("0.8"), D("0.9"), D("0.95"), D("0.99"))
    found = chances.cushions(
        book, columns, rules, account_row=0, worlds=worlds_of(world, drawn()[::4]), probabilities=asked
    )
    amounts = [one.cash for one in found]
    assert amounts == sorted(amounts)
    assert amounts[0] < amounts[-1]


# --- joint returns ------------------------------------------------------------------------------------------


def test_history_keeps_its_days_together():
    rng = np.random.default_rng(5)
    first = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, 200)))
    shocks = chances.historical(np.column_stack([first, first * 3, np.full(200, 7.0)]), days=2)
    assert shocks.shape == (198, 3)
    assert np.allclose(shocks[:, 0], shocks[:, 1])
    assert not shocks[:, 2].any()


def test_history_of_steady_volatility_is_what_happened():
    closes = 100 * np.cumprod(np.where(np.arange(60) % 2, 1.02, 1 / 1.02))[:, None]
    # Each return is ln 1.02 in size, so every volatility is, and nothing is scaled: two days cancel, one does not.
    assert np.allclose(np.abs(np.log1p(chances.historical(closes, days=1))), math.log(1.02))
    assert np.allclose(chances.historical(closes, days=2), 0)


def test_a_history_that_is_too_short_or_not_positive_is_refused():
    with pytest.raises(ValueError, match="3 days"):
        chances.historical(np.full((3, 1), 5.0), days=3)
    with pytest.raises(ValueError, match="positive"):
        chances.historical(np.array([[1.0], [0.0], [1.0], [2.0]]), days=1)


def test_an_instrument_moves_alike_whatever_else_is_held():
    alone = chances.normal(np.array([11]), np.array([0.3]), years=0.1, correlation=0.4, factor=chances.midpoints(100))
    among = chances.normal(
        np.array([10, 11]), np.array([0.5, 0.3]), years=0.1, correlation=0.4, factor=chances.midpoints(100)
    )
    assert (among[:, 1] == alone[:, 0]).all()
