"""Tests of breaches against published figures and a pencil."""

import math

import numpy as np
import pytest

from margin.engine import coverage
from margin.engine.coverage import Moves


@pytest.mark.parametrize(
    ("breaches", "p", "ratio", "probability"),
    [  # margin_rules_derivatives.md §6: MathWorks' backtest documentation
        (57, 0.05, 0.46147, 0.497),
        (17, 0.01, 3.512, 0.0609),
        (22, 0.01, 9.83, 0.00172),
    ],
)
def test_kupiec_agrees_with_the_published_figures(breaches, p, ratio, probability):
    found = coverage.kupiec(breaches, 1043, p)
    assert found.ratio == pytest.approx(ratio, rel=2e-4)
    assert found.probability == pytest.approx(probability, rel=3e-3)


def test_three_breaches_of_250_are_what_one_per_cent_gives_and_not_what_a_calculator_online_says():
    # §8.5: 0.189 is published; −2 ln(0.01³ 0.99²⁴⁷) + 2 ln(0.012³ 0.988²⁴⁷) = 0.0949
    assert coverage.kupiec(3, 250, 0.01).ratio == pytest.approx(0.0949, abs=5e-5)


@pytest.mark.parametrize("breaches", [0, 250])
def test_nothing_and_everything_are_counted_with_zero_times_log_zero(breaches):
    expected = -2 * 250 * (math.log(0.99) if breaches == 0 else math.log(0.01))
    assert coverage.kupiec(breaches, 250, 0.01).ratio == pytest.approx(expected)


def test_a_margin_that_is_never_breached_is_rejected_too():
    assert coverage.kupiec(0, 1000, 0.01).rejects(0.05)
    assert not coverage.kupiec(10, 1000, 0.01).rejects(0.05)


def test_clusters_are_told_from_chance():
    assert coverage.independence(Moves(932, 53, 53, 4)).ratio == pytest.approx(0.25866, abs=5e-6)
    # ten breaches in a row: transitions 238/1/1/9, far from independent
    assert coverage.independence(Moves(238, 1, 1, 9)).rejects(0.001)


def test_conditional_coverage_is_both_tests_with_two_degrees():
    found = coverage.conditional(57, 1043, 0.05, Moves(932, 53, 53, 4))
    assert (found.ratio, found.probability) == (pytest.approx(0.72013, abs=1e-5), pytest.approx(0.69763, abs=1e-5))


@pytest.mark.parametrize(
    ("breaches", "zone"), [(0, "green"), (4, "green"), (5, "yellow"), (9, "yellow"), (10, "red"), (30, "red")]
)
def test_the_zones_of_250_days_at_one_per_cent_are_basels(breaches, zone):
    assert coverage.traffic_light(breaches, 250, 0.01).name == zone


def test_what_followed_what_is_counted():
    assert coverage.moves_of(np.array([0, 0, 1, 1, 0, 1], bool)) == Moves(1, 2, 1, 1)


def test_a_loss_that_equals_the_margin_is_covered():
    assert coverage.breaches_of(np.array([1.0, 2.0]), np.array([1.0, 1.9])).tolist() == [False, True]


@pytest.mark.parametrize(
    ("breaches", "days", "p"), [(3, 2, 0.01), (-1, 5, 0.01), (0, 0, 0.01), (1, 5, 0.0), (1, 5, 1.0)]
)
def test_counts_that_cannot_be_are_refused(breaches, days, p):
    with pytest.raises(ValueError, match=r"cannot be|between 0 and 1"):
        coverage.kupiec(breaches, days, p)
