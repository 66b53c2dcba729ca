"""Contagion: clearing vectors, fire sales and schedules against pencils and published examples."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from margin.engine.contagion import clearing, fire_sales, schedules

NETWORK = np.array([[0, 0.1, 0.7], [2, 0, 10.5], [0, 8.4, 0]])  # FinNetValu, test suite: NET-001, NET-002


# --- clearing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("external", "payments"), [([1, 1, 1], [0.8, 9.5, 8.4]), ([0, 0, 0.1], [0.8, 5.625, 5.525])])
def test_the_published_networks_clear_as_published(external, payments):
    assert clearing.clear(NETWORK, np.array(external)).payments == pytest.approx(payments, abs=1e-3)


def test_with_costs_of_default_less_arrives():
    # A owes B 10 and has 6; B owes C 5 and has 0. A realises half of 6, pays 3; B passes on a half of 3, 1.50
    debts = np.array([[0.0, 10, 0], [0, 0, 5], [0, 0, 0]])
    found = clearing.clear(debts, np.array([6.0, 0, 0]), alpha=0.5, beta=0.5)
    assert found.payments == pytest.approx([3, 1.5, 0])
    assert found.losses == pytest.approx([0, 7, 3.5])
    assert found.is_default.tolist() == [True, True, False]


def test_who_can_pay_to_the_last_cent_is_not_in_default():
    found = clearing.clear(np.array([[0, 0.3], [0, 0]]), np.array([0.1 + 0.2 - 1e-17, 0.0]), alpha=0.0)
    assert (found.is_default.any(), found.payments[0]) == (False, 0.3)


def test_a_circle_of_debts_without_money_clears_in_full():
    # each owes the next 1 and has nothing: paying 1 round the circle is the greatest solution, paying 0 the least
    circle = np.roll(np.eye(3), 1, axis=1)
    assert clearing.clear(circle, np.zeros(3)).payments.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("debts", "external", "shares"),
    [
        (np.ones((2, 2)), np.ones(2), {}),
        (-NETWORK, np.ones(3), {}),
        (NETWORK, np.array([1, -1, 1]), {}),
        (NETWORK, np.ones(2), {}),
        (NETWORK, np.ones(3), {"alpha": 1.1}),
    ],
)
def test_what_is_no_network_of_debts_is_refused(debts, external, shares):
    with pytest.raises(ValueError, match=r"debts|owes|share"):
        clearing.clear(debts, external, **shares)


amounts = st.floats(0, 1000).map(lambda x: round(x, 2))


@st.composite
def networks(draw):
    size = draw(st.integers(1, 6))
    debts = draw(arrays(np.float64, (size, size), elements=amounts))
    np.fill_diagonal(debts, 0)
    return debts, draw(arrays(np.float64, size, elements=amounts))


def picard(debts, external, alpha, beta, steps=20_000):
    """The greatest fixed point as it is defined: from full payment downwards."""
    owed = debts.sum(axis=1)
    shares = np.divide(debts, owed[:, None], out=np.zeros_like(debts), where=owed[:, None] > 0)
    paid = owed.copy()
    for _ in range(steps):
        income = shares.T @ paid
        after = np.where(external + income >= owed * (1 - 1e-12), owed, alpha * external + beta * income)
        if np.allclose(after, paid, rtol=1e-14, atol=0):
            break
        paid = np.minimum(paid, after)
    return paid


@settings(max_examples=60, deadline=None)
@given(networks(), st.sampled_from([(1.0, 1.0), (0.9, 0.7), (0.5, 1.0)]))
def test_the_clearing_vector_is_the_greatest_fixed_point(network, costs):
    debts, external = network
    found = clearing.clear(debts, external, alpha=costs[0], beta=costs[1])
    assert found.payments == pytest.approx(picard(debts, external, *costs), rel=1e-6, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(networks())
def test_clearing_creates_no_money(network):
    debts, external = network
    found = clearing.clear(debts, external)
    assert found.equity.sum() == pytest.approx(external.sum(), abs=1e-6)
    assert (found.payments <= found.owed).all()
    assert (found.losses >= -1e-9).all()


def test_before_anything_comes_in_each_pays_from_its_own():
    found = clearing.first_pass(np.array([2.0, 0.5]), np.array([0.8, 0.8]))
    assert (found.equity.tolist(), found.debt_paid.tolist()) == ([1.2, 0], [0.8, 0.5])


# --- fire sales --------------------------------------------------------------------------------------------


def test_three_rounds_of_two_banks_are_those_published():
    # FinNetValu, test_csmodel.jl: FIRE-012
    found = fire_sales.rounds(
        np.array([90.0, 70]), np.array([8.0, 20]), np.array([2, 4.5]),
        cap=33.3, target=31.635, alpha=0.5, delta=2236.067977, floor=0.5, most=3,
    )  # fmt: skip
    assert [each.gamma[0] for each in found] == pytest.approx([0.39, 0.32, 0.15], abs=0.0051)
    assert found[0].capital == pytest.approx([1.44, 3.96], abs=0.0051)


def test_depth_is_volume_over_volatility_by_the_root_of_time():
    # 0.4 × 50 ÷ 0.02 × √20 = 4,472.14; half of it above a floor at half the price
    found = fire_sales.market_depth(adv=50, sigma=0.02, c=0.4, tau=20, floor=0.5, price=1)
    assert (found.depth, found.delta) == (pytest.approx(4472.14, abs=0.01), pytest.approx(2236.07, abs=0.01))
    with pytest.raises(ValueError, match="positive"):
        fire_sales.market_depth(adv=0, sigma=0.02, c=0.4, tau=20, floor=0.5, price=1)


def test_a_bank_without_capital_sells_everything_and_one_without_assets_nothing():
    gamma = fire_sales.delever_share(np.array([90.0, 0]), np.array([8.0, 8]), np.zeros(2), cap=40, target=38)
    assert gamma.tolist() == [1, 0]


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 1e9), st.floats(1e-3, 1e9), st.floats(0.01, 1000), st.floats(0, 0.99))
def test_the_price_never_falls_through_the_floor(sold, delta, price, share):
    floor = share * price
    after = price * (1 - fire_sales.price_impact(sold, delta=delta, floor=floor, price=price))
    assert floor - 1e-12 * price <= after <= price


# --- schedules ---------------------------------------------------------------------------------------------

DROP = schedules.Market(volatility=0.95, permanent=2.5e-7, temporary=2.5e-6, half_spread=0.0625)


@pytest.mark.parametrize(
    ("aversion", "variance", "half_life"), [(0.001, 1.0812, 51.3), (0.002, 1.0794, 36.27), (0.005, 1.074, 22.94)]
)
def test_a_million_shares_in_five_days_cost_what_is_published(aversion, variance, half_life):
    found = schedules.optimal(1e6, days=5, periods=5, aversion=aversion / 1e6, market=DROP)
    assert found.mean / 1e6 == pytest.approx(0.6625, rel=0.005)
    assert (found.variance / 1e12, found.half_life) == pytest.approx((variance, half_life), rel=0.005)


def test_without_dislike_of_risk_the_sales_are_equal():
    found = schedules.optimal(100, days=4, periods=4, aversion=0, market=DROP)
    assert found.sales == pytest.approx([25] * 4)
    assert found.half_life == math.inf


def test_great_haste_sells_at_once_and_does_not_overflow():
    found = schedules.optimal(1e6, days=250, periods=250, aversion=1e6, market=DROP)
    assert found.sales[0] == pytest.approx(1e6)
    assert np.isfinite(found.penalty)


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-9, 1e-4), st.integers(2, 8), st.data())
def test_no_other_schedule_is_cheaper(aversion, periods, draws):
    best = schedules.optimal(1e6, days=5, periods=periods, aversion=aversion, market=DROP)
    k = draws.draw(st.integers(0, periods - 2))
    step = draws.draw(st.floats(-1e5, 1e5))
    sales = best.sales.copy()
    sales[k], sales[k + 1] = sales[k] + step, sales[k + 1] - step
    tau = 5 / periods
    left = 1e6 - np.cumsum(sales)
    eta = DROP.temporary - DROP.permanent * tau / 2
    mean = DROP.permanent * 1e12 / 2 + DROP.half_spread * 1e6 + eta / tau * float(sales @ sales)
    assert mean + aversion * DROP.volatility**2 * tau * float(left @ left) >= best.penalty * (1 - 1e-12)


def test_periods_too_long_for_their_impact_are_refused():
    with pytest.raises(ValueError, match="more periods"):
        schedules.optimal(1e6, days=100, periods=1, aversion=0, market=DROP)
