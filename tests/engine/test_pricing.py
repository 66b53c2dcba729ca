"""Option values against textbooks, against mathematics to full precision, and against the shape of the theory."""

import math
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import pricing

RATE = st.floats(-0.03, 0.15)
YIELD = st.floats(0, 0.1)
SPOT = st.floats(1, 500)
AWAY = st.floats(-1.2, 1.2)  # log of strike ÷ spot
YEARS = st.floats(1 / 365, 3)
VOLATILITY = st.floats(0.02, 1.5)
OPTION = st.tuples(SPOT, AWAY, YEARS, RATE, YIELD, VOLATILITY, st.booleans())


def columns(options):
    """(spot, strike, years, rate, dividend, volatility, is call) as arrays."""
    spot, away, *rest = (np.array(column) for column in zip(*options, strict=True))
    return spot, spot * np.exp(away), *rest


# --- published values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "arguments", "expected", "digits"),
    [
        ("Hull, example 15.6, call", (42, 40, 0.5, 0.10, 0, 0.20, True), 4.76, 2),
        ("Hull, example 15.6, put", (42, 40, 0.5, 0.10, 0, 0.20, False), 0.81, 2),
        ("Hull, example 17.1, index call", (930, 900, 2 / 12, 0.08, 0.03, 0.20, True), 51.83, 2),
        ("Haug, section 1.1.1, call", (60, 65, 0.25, 0.08, 0, 0.30, True), 2.1334, 4),
        ("Haug, section 1.1.2, put with a yield", (100, 95, 0.5, 0.10, 0.05, 0.20, False), 2.4648, 4),
    ],
)
def test_european_values_of_the_textbooks(source, arguments, expected, digits):
    assert pricing.european(*arguments)[0] == pytest.approx(expected, abs=0.51 * 10**-digits), source


def test_options_on_futures_of_the_textbooks():
    """Haug, section 1.1.3 (Black 1976), and Hull, example 18.3."""
    assert pricing.black76(19, 19, 0.75, 0.10, 0.28, [True, False]).tolist() == pytest.approx([1.7011] * 2, abs=5e-5)
    assert pricing.black76(20, 20, 4 / 12, 0.09, 0.25, False)[0] == pytest.approx(1.12, abs=5e-3)


# Ju (1998), table 1, the column "true": American puts on 40, rate 4.88 %, no dividends; by strike, volatility, years.
TRUE = {
    35: {0.2: (0.0062, 0.2004, 0.4328), 0.3: (0.0774, 0.6975, 1.2198), 0.4: (0.2466, 1.3460, 2.1549)},
    40: {0.2: (0.8522, 1.5798, 1.9904), 0.3: (1.3099, 2.4825, 3.1696), 0.4: (1.7681, 3.3874, 4.3526)},
    45: {0.2: (5.0000, 5.0883, 5.2670), 0.3: (5.0597, 5.7056, 6.2436), 0.4: (5.2868, 6.5099, 7.3830)},
}


def test_american_puts_of_the_literature_to_0_005_per_cent_of_spot():
    misses = [
        pricing.american(40, strike, years, 0.0488, 0, volatility, False)[0] - true
        for strike, by_volatility in TRUE.items()
        for volatility, values in by_volatility.items()
        for years, true in zip((0.0833, 0.3333, 0.5833), values, strict=True)
    ]
    assert math.sqrt(np.mean(np.square(misses))) < 5e-5 * 40
    assert max(map(abs, misses)) < 1.5e-4 * 40


# --- mathematics ----------------------------------------------------------------------------------------------------


def exact(spot, strike, years, rate, dividend, volatility, is_call):
    """The formula with the C library's erfc."""
    width = volatility * math.sqrt(years)
    d1 = (math.log(spot / strike) + (rate - dividend) * years) / width + 0.5 * width
    sign = 1 if is_call else -1
    first, second = (0.5 * math.erfc(-sign * d / math.sqrt(2)) for d in (d1, d1 - width))
    return sign * (spot * math.exp(-dividend * years) * first - strike * math.exp(-rate * years) * second)


@settings(max_examples=150, deadline=None)
@given(st.lists(OPTION, min_size=1, max_size=9))
def test_european_values_are_right_to_1e_9_of_spot(options):
    arguments = columns(options)
    for option, found in zip(zip(*arguments, strict=True), pricing.european(*arguments), strict=True):
        assert abs(found - exact(*option)) <= 1e-12 * max(option[0], option[1])


@settings(max_examples=60, deadline=None)
@given(st.lists(OPTION, min_size=1, max_size=9), st.floats(-0.9, 2), st.floats(-0.9, 2))
def test_a_scenario_is_the_option_at_the_moved_price_and_volatility(options, price, volatility):
    spot, strike, years, rate, dividend, sigma, is_call = columns(options)
    shocks = np.array([0.0, price]), np.array([0.0, volatility])
    found = pricing.european_scenarios(spot, strike, years, rate, dividend, sigma, is_call, *shocks)
    moved = (spot * (1 + price), strike, years, rate, dividend, sigma * (1 + volatility), is_call)
    assert found.shape == (2, len(options))
    assert np.allclose(found[1], pricing.european(*moved), rtol=0, atol=1e-12 * max(spot.max(), strike.max()))
    american = pricing.american_scenarios(spot, strike, years, rate, dividend, sigma, is_call, *shocks)
    assert np.array_equal(american[1], pricing.american(*moved))


@settings(max_examples=60, deadline=None)
@given(st.lists(OPTION, min_size=1, max_size=9))
def test_put_call_parity_holds(options):
    spot, strike, years, rate, dividend, volatility, _ = columns(options)
    call, put = (pricing.european(spot, strike, years, rate, dividend, volatility, right) for right in (True, False))
    forward = spot * np.exp(-dividend * years) - strike * np.exp(-rate * years)
    assert np.allclose(call - put, forward, rtol=0, atol=1e-11 * max(spot.max(), strike.max()))


def test_without_volatility_or_time_an_option_is_worth_its_discounted_difference():
    assert pricing.european([110, 90, 100], 100, 0, 0.05, 0, 0.3, True).tolist() == pytest.approx([10, 0, 0], abs=1e-9)
    assert pricing.european(100, 100, 1, 0.05, 0, 0, [True, False]).tolist() == pytest.approx(
        [100 - 100 * math.exp(-0.05), 0], abs=1e-9
    )
    assert pricing.american([110, 90], 100, 0, 0.05, 0.02, 0.3, False).tolist() == pytest.approx([0, 10], abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(OPTION, min_size=1, max_size=9))
def test_american_values_are_at_least_european_ones_and_what_exercise_brings(options):
    arguments = columns(options)
    spot, strike, *_, is_call = arguments
    found = pricing.american(*arguments)
    assert (found >= pricing.european(*arguments)).all()
    assert (found >= np.where(is_call, spot - strike, strike - spot)).all()
    assert (found <= np.maximum(spot, strike) * np.exp(0.03 * 3) * 1.0001).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(OPTION, min_size=1, max_size=9))
def test_an_american_call_without_dividends_is_a_european_one(options):
    spot, strike, years, rate, _, volatility, _ = columns(options)
    arguments = spot, strike, years, np.abs(rate), 0, volatility, True
    assert np.array_equal(pricing.american(*arguments), pricing.european(*arguments))


def cox_ross_rubinstein(spot, strike, years, rate, dividend, volatility, is_call, steps):
    """An American value by the textbook's own tree (Cox, Ross and Rubinstein 1979), written for this test."""
    dt, sign = years / steps, 1 if is_call else -1
    up = math.exp(volatility * math.sqrt(dt))
    p = (math.exp((rate - dividend) * dt) - 1 / up) / (up - 1 / up)
    discount = math.exp(-rate * dt)
    prices = spot * up ** np.arange(-steps, steps + 1, 2.0)
    values = np.maximum(sign * (prices - strike), 0)
    for step in range(steps - 1, -1, -1):
        prices = spot * up ** np.arange(-step, step + 1, 2.0)
        values = np.maximum(discount * (p * values[1:] + (1 - p) * values[:-1]), sign * (prices - strike))
    return float(values[0])


def american_misses(count, steps, seed):
    """Relative to spot: ours less the mean of two neighbouring long trees, which cancels their zigzag."""
    chooser = np.random.default_rng(seed)
    misses = []
    for _ in range(count):
        spot = chooser.uniform(20, 400)
        option = (
            spot,
            spot * math.exp(chooser.normal(0, 0.25)),
            chooser.uniform(0.02, 2),
            chooser.uniform(0, 0.08),
            chooser.uniform(0, 0.08),
            chooser.uniform(0.1, 0.9),
            bool(chooser.integers(2)),
        )
        reference = (cox_ross_rubinstein(*option, steps) + cox_ross_rubinstein(*option, steps + 1)) / 2
        misses.append((pricing.american(*option)[0] - reference) / spot)
    return np.array(misses)


def test_american_values_are_within_0_005_per_cent_of_spot_of_a_long_tree():
    assert math.sqrt(np.mean(american_misses(40, 1000, seed=1) ** 2)) <= 5e-5


@pytest.mark.long
def test_american_values_are_within_0_005_per_cent_of_spot_of_a_very_long_tree():
    misses = american_misses(150, 2500, seed=2)
    assert math.sqrt(np.mean(misses**2)) <= 5e-5
    assert np.abs(misses).max() <= 1e-3


@settings(max_examples=40, deadline=None)
@given(st.lists(OPTION, min_size=2, max_size=70))
def test_a_value_does_not_depend_on_its_neighbours(options):
    """Bit for bit: a shard prices what it holds, and every shard must say the same."""
    arguments = columns(options)
    for price in (pricing.european, pricing.american):
        together = price(*arguments)
        alone = [price(*(column[k : k + 1] for column in arguments))[0] for k in range(len(options))]
        assert together.tolist() == alone


# --- implied volatility ---------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(OPTION, min_size=1, max_size=9), st.booleans())
def test_the_implied_volatility_gives_the_price_back(options, is_american):
    spot, strike, years, rate, dividend, volatility, is_call = columns(options)
    price = pricing.american if is_american else pricing.european
    asked = price(spot, strike, years, rate, dividend, volatility, is_call)
    found = pricing.implied_volatility(asked, spot, strike, years, rate, dividend, is_call, is_american)
    assert list(found.reason) == [""] * len(options)
    again = price(spot, strike, years, rate, dividend, found.volatility, is_call)
    assert np.allclose(again, asked, rtol=0, atol=1e-9 * max(spot.max(), strike.max()))


def test_near_the_money_the_volatility_itself_comes_back():
    volatility = np.array([0.15, 0.2, 0.8, 2.0])
    for is_american, price in ((False, pricing.european), (True, pricing.american)):
        asked = price(100, 105, 0.5, 0.04, 0.01, volatility, False)
        found = pricing.implied_volatility(asked, 100, 105, 0.5, 0.04, 0.01, False, is_american)
        assert found.volatility.tolist() == pytest.approx(volatility.tolist(), rel=1e-8)


@pytest.mark.parametrize(
    ("price", "is_call", "is_american", "reason"),
    [
        (9.9, True, True, pricing.BELOW),  # less than exercise brings
        (4.0, False, False, pricing.BELOW),  # a European put may trade below its difference, but not so far
        (111.0, True, True, pricing.ABOVE),  # more than the stock
        (float("nan"), True, False, pricing.BELOW),
    ],
)
def test_a_price_that_no_volatility_gives_has_none_and_says_why(price, is_call, is_american, reason):
    spot = 110 if is_call else 90
    found = pricing.implied_volatility(price, spot, 100, 0.5, 0.08, 0.0, is_call, is_american)
    assert math.isnan(found.volatility[0])
    assert found.reason[0] == reason


def test_a_european_put_below_its_difference_has_a_volatility_all_the_same():
    """Spot 60, strike 100, a year at 5 %: the least value is 100 × e^-0.05 - 60 = 35.12, below 40."""
    found = pricing.implied_volatility(35.2, 60, 100, 1, 0.05, 0, False, False)
    assert found.reason[0] == ""
    assert 0 < found.volatility[0] < 0.5


def test_a_price_at_the_least_value_has_no_volatility_at_all():
    assert pricing.implied_volatility(
        [10.0, 0.0], [90, 90], [100, 80], 0.5, 0.05, 0, False, True
    ).volatility.tolist() == [
        0,
        0,
    ]


@settings(max_examples=100, deadline=None)
@given(st.lists(OPTION, min_size=1, max_size=5), st.floats(0, 2), st.booleans())
def test_any_price_has_a_volatility_or_a_reason(options, relative, is_american):
    spot, strike, years, rate, dividend, _, is_call = columns(options)
    found = pricing.implied_volatility(relative * spot, spot, strike, years, rate, dividend, is_call, is_american)
    assert ((found.reason == "") == np.isfinite(found.volatility)).all()
    assert (found.volatility[found.reason == ""] >= 0).all()


def test_kernels_price_in_threads_side_by_side():
    option = (100.0, np.linspace(80, 120, 400), 0.5, 0.04, 0.02, 0.3, False)
    expected = pricing.american(*option).tolist()
    found = []
    threads = [threading.Thread(target=lambda: found.append(pricing.american(*option).tolist())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4
