"""Volatility, filtered history and the options against procyclicality; figures published or from a pencil."""

import numpy as np
import pytest

from margin.engine import volatility
from margin.engine.volatility import Garch, ewma


def test_one_step_agrees_with_the_published_figures():
    change = 298 / 300 - 1  # Hull: 300 → 298 at 1.3 %
    assert ewma(0.94).following(0.013, change) == pytest.approx(0.01271, abs=5e-6)
    assert Garch(2e-6, 0.04, 0.94).following(0.013, change) == pytest.approx(0.01275, abs=5e-6)


def test_the_long_run_volatility_is_where_garch_returns_to():
    model = Garch(2e-6, 0.04, 0.94)
    assert model.long_run == pytest.approx(0.01)  # √(2e-6 ÷ 0.02)
    assert ewma().long_run == float("inf")


def test_no_volatility_has_seen_the_return_it_stands_before():
    returns = np.array([0.01, -0.02, 0.015, 0.03, -0.01])
    shocked = returns.copy()
    shocked[3] = -0.5
    calm, wild = (volatility.volatilities(one, ewma())[1:] for one in (returns, shocked))
    # the start is estimated from the sample, so compare the steps
    model = ewma()
    for path, series in ((calm, returns), (wild, shocked)):
        for t in range(1, len(series)):
            assert path[t] == pytest.approx(model.following(path[t - 1], series[t]))


def test_the_likeliest_garch_of_simulated_returns_is_close_to_the_one_that_made_them():
    draws = np.random.default_rng(3)
    true, level = Garch(1e-6, 0.08, 0.90), 0.007
    returns = []
    for noise in draws.standard_normal(6000):
        returns.append(level * noise)
        level = true.following(level, returns[-1])
    found = volatility.fitted(np.array(returns))
    assert found.alpha == pytest.approx(0.08, abs=0.02)
    assert found.beta == pytest.approx(0.90, abs=0.03)


def test_filtered_history_scales_each_return_by_the_volatility_of_then_and_now():
    scaled = volatility.filtered(np.array([0.01, -0.04]), np.array([0.01, 0.02]), 0.015)
    assert scaled == pytest.approx([0.015, -0.03])
    bounded = volatility.filtered(np.array([0.01]), np.array([0.001]), 0.015)
    assert bounded == pytest.approx([0.02])  # twice, not fifteen times


def test_a_quantile_is_the_kth_largest_loss():
    losses = np.arange(1.0, 1001.0)
    assert volatility.quantile_loss(losses, 0.99) == 990.0  # k = floor(0.01 × 1000) + 1 = 11
    assert (losses > 990.0).sum() == 10
    assert volatility.expected_shortfall(losses, 0.99) == pytest.approx(995.0)


def test_a_rate_serves_long_and_short():
    assert volatility.worst_of_both_sides(np.array([-0.01] * 98 + [0.08, 0.09]), 0.99) == pytest.approx(0.08)


def test_the_three_options_of_article_28():
    assert volatility.with_buffer(100, 0.25) == 125
    assert volatility.with_stress(100, 150, 0.25) == 112.5
    assert volatility.with_floor(100, 110) == 110
    assert volatility.with_floor(120, 110) == 120


def test_a_buffer_is_drawn_while_margins_rise_and_filled_again_when_they_do_not():
    # calm at 100: 125 held. A jump to 120 is met from the buffer, one to 130 exhausts it, and calm fills it again.
    found = volatility.drawing_buffer(np.array([100.0, 100, 120, 130, 130, 130, 130, 130, 130]), 0.25)
    assert found.held[:4] == pytest.approx([125, 125, 125, 130])
    assert found.drawn[:4] == pytest.approx([0, 0, 25 / 30, 1])
    assert found.held[-1] == pytest.approx(162.5)


def test_what_is_held_never_lies_below_the_calculated_margin():
    margins = np.abs(np.random.default_rng(1).normal(100, 30, 500)) + 1
    found = volatility.drawing_buffer(margins, 0.25)
    assert (found.held >= margins - 1e-9).all()
    assert (found.held <= margins * 1.25 + 1e-9).all()


def test_procyclicality_is_measured():
    margins = np.array([10.0, 12, 15, 30, 20])
    assert volatility.peak_to_trough(margins) == 3
    assert volatility.largest_increase(margins, 1) == 1.0
    assert volatility.largest_increase(margins, 30) == 0.0


@pytest.mark.parametrize("prices", [[1.0, 0.0], [5.0, -37.63]])
def test_a_price_that_is_not_positive_has_no_return(prices):
    with pytest.raises(ValueError, match="positive prices"):
        volatility.changes(np.array(prices))
