"""Rates that follow volatility: each kind and option against a pencil, and never a look ahead."""

from dataclasses import replace
from decimal import Decimal
from statistics import NormalDist

import numpy as np
import pytest

from margin.engine import adaptive
from margin.engine.adaptive import Model, TooShort

Z = NormalDist().inv_cdf(0.99)


def model(kind, **stated):
    return Model(kind, **{"days": 1, "option": "none", "least": 100, "window": 500, **stated})


def flips(count, size=0.01, seed=1):
    return size * np.random.default_rng(seed).choice([-1.0, 1.0], count)


def test_an_ewma_of_returns_of_one_size_is_that_size():
    assert adaptive.calculated(flips(150), model("ewma"), 100) == pytest.approx(Z * 0.01)


def test_an_ewma_reacts_the_day_after():
    returns = flips(150)
    returns[120] = 0.10
    found = adaptive.calculated(returns, model("ewma"), 100)
    assert found[20] == pytest.approx(Z * 0.01)  # the rate for the day of the fall did not know it
    assert found[21] == pytest.approx(Z * np.sqrt(0.94 * 0.01**2 + 0.06 * 0.10**2))


def test_filtered_history_of_one_volatility_is_the_quantile_of_history():
    # 498 of 1 % and two of them −3 %: the fifth largest loss of 500 leaves out… k = floor(0.01 × 500) + 1 = 6
    returns = flips(500)
    returns[[50, 60]] = -0.03
    scenarios = returns[-500:]
    (tomorrow,) = adaptive.calculated(returns, model("fhs", decay=Decimal("0.999999")), 500)
    assert tomorrow == pytest.approx(np.sort(-scenarios)[::-1][5], rel=2e-2)


def test_a_longer_holding_period_asks_by_the_root_of_its_days():
    one, four = (adaptive.calculated(flips(150), model("ewma", days=days), 100) for days in (1, 4))
    assert four == pytest.approx(2 * one)


def test_options_are_applied_to_what_was_calculated():
    returns = flips(400)
    found = np.full(len(returns) - 300 + 1, 0.02)
    buffered, drawn = adaptive.with_option(returns, found, model("ewma", option="buffer"), 300)
    assert (buffered == pytest.approx(0.025), drawn.max()) == (True, 0)
    stressed, _ = adaptive.with_option(returns, found, model("ewma", option="stress"), 300)
    assert stressed == pytest.approx(0.75 * 0.02 + 0.25 * Z * 0.01)
    floored, _ = adaptive.with_option(returns, found, model("ewma", option="floor"), 300)
    assert floored == pytest.approx(np.maximum(0.02, Z * 0.01))


@pytest.mark.parametrize("kind", adaptive.KINDS)
@pytest.mark.parametrize("option", adaptive.OPTIONS)
def test_no_rate_has_seen_the_day_it_is_for(kind, option):
    calm, wild = flips(220), flips(220)
    wild[200:] *= 8
    asked = replace(model(kind), option=option)
    paths = []
    for returns in (calm, wild):
        found = adaptive.calculated(returns, asked, 180)
        paths.append(adaptive.with_option(returns, found, asked, 180)[0])
    assert paths[0][:21] == pytest.approx(paths[1][:21])  # days 180 … 200
    assert paths[1][-1] > paths[0][-1]


def test_a_rate_is_rounded_up_and_says_what_it_was_made_of():
    prices = 50 * np.cumprod(1 + np.concatenate(([0.0], flips(300))))
    found = adaptive.rate(prices, model("ewma"))
    assert found.rate == Decimal("0.023264")  # 0.02326348 up
    assert (found.returns, found.drawn) == (300, 0)
    assert found.calculated == pytest.approx(Z * 0.01)


def test_a_short_history_has_no_rate():
    with pytest.raises(TooShort, match="ewma needs 100 returns before the first day, and 50 are known"):
        adaptive.calculated(flips(60), model("ewma"), 50)
    with pytest.raises(TooShort):
        adaptive.rate(50 + np.arange(60.0), model("fhs"))


@pytest.mark.parametrize(
    "stated",
    [
        {"kind": "guess"},
        {"kind": "fhs", "option": "luck"},
        {"kind": "fhs", "confidence": Decimal(1)},
        {"kind": "fhs", "days": 0},
        {"kind": "fhs", "least": 50},
        {"kind": "fhs", "least": 300, "window": 200},
        {"kind": "fhs", "share": Decimal("0.2")},
    ],
)
def test_a_model_that_cannot_be_is_refused(stated):
    with pytest.raises(ValueError, match=r"kind|option|confidence|days|least|share"):
        Model(**stated)
