"""Paradex's scenario margin against a pencil."""

import math
from dataclasses import replace

import pytest

from margin.engine.methodologies.tiered.scenarios import PARADEX, Option, scenario_margin


def at_the_money(forward, deviation):
    """Value of an option at the money: F × (2 N(deviation ÷ 2) − 1)."""
    return forward * math.erf(deviation / 2 / math.sqrt(2))


@pytest.mark.parametrize("side", [1, -1])
def test_a_perpetual_is_asked_sixteen_per_cent_and_half_of_it_to_hold(side):
    # the weights make every far move as dear as 16 %: 66 % × 0.24 = 15.84 %, 100 % × 0.16 = 16 %
    found = scenario_margin(spot=100, perpetuals=side, options=[], fees=0.5)
    assert (found.initial, found.maintenance) == (pytest.approx(16.5), pytest.approx(8.5))
    assert found.worst.rate == pytest.approx(-side * 0.16)
    assert found.minimum == pytest.approx(2)


def test_a_hedged_book_is_asked_the_charge_on_what_is_hedged():
    # a call far in the money moves with the coin: nothing is lost, and 1 % of one hedged delta is asked
    call = Option(quantity=-1, forward=100, strike=0.001, days=30, volatility=0.5, is_call=True)
    found = scenario_margin(spot=100, perpetuals=1, options=[call], fees=0)
    assert found.loss == pytest.approx(0, abs=1e-9)
    assert (found.initial, found.maintenance) == (pytest.approx(1), pytest.approx(0.5))


def test_an_option_held_can_lose_its_value_and_no_more():
    call = Option(quantity=1, forward=100, strike=100, days=30, volatility=0.8, is_call=True)
    value = at_the_money(100, 0.8 * math.sqrt(30 / 365))
    found = scenario_margin(spot=100, perpetuals=0, options=[call], fees=0)
    assert 0 < found.loss < value
    assert (found.worst.rate, found.worst.is_up) == (-0.16, False)


@pytest.mark.parametrize(
    ("days", "scale"),
    [(30, 1.0), (15, 2**0.3), (60, 2**-0.13), (0.5, 30**0.3)],  # (30 ÷ days)^power, days at least one
)
def test_volatility_moves_more_the_nearer_the_expiry(days, scale):
    # ten straddles sold at the money: with the price unmoved they lose by the rise of volatility alone
    sold = [Option(-10, 100, 100, days, 0.6, is_call) for is_call in (True, False)]
    deviation = 0.6 * math.sqrt(days / 365)
    lost = 20 * (at_the_money(100, deviation * (1 + 0.4 * scale)) - at_the_money(100, deviation))
    still = replace(PARADEX, moves=tuple(move for move in PARADEX.moves if move.rate == 0))
    assert scenario_margin(spot=100, perpetuals=0, options=sold, fees=0, grid=still).loss == pytest.approx(lost)
    assert scenario_margin(spot=100, perpetuals=0, options=sold, fees=0).loss > lost


def test_a_put_sold_far_out_is_asked_by_the_far_scenario():
    # 50 puts at 50 on a coin at 100: at −66 % each loses about 16, and 24 % of that counts
    put = Option(quantity=-50, forward=100, strike=50, days=7, volatility=0.6, is_call=False)
    found = scenario_margin(spot=100, perpetuals=0, options=[put], fees=0)
    assert found.worst.rate == -0.66
    assert found.loss == pytest.approx(0.24 * 50 * 16, rel=0.02)
