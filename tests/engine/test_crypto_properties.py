"""What must hold of crypto portfolios for any book: the models against plain loops, and against themselves."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.columns import PartRule, RegimeRule
from margin.engine.methodologies import cross
from margin.engine.methodologies.crypto_portfolio import Grid, Scenario, Skew, Standard, Terms, Volatility
from margin.engine.methodologies.crypto_portfolio.books import Options, split_forward
from margin.engine.methodologies.crypto_portfolio.grid import unit_values
from tests.engine import crypto_oracle
from tests.engine.crypto_world import KINDS, ON, accounts, coin, option, perpetual
from tests.engine.world import D

SPOT, RATE = "3000", "0.04"
ETH, PERPETUAL = coin("ETH", SPOT, id=12), perpetual(SPOT)
TOLERANCE = D("0.02")  # of a sum rounded up to cents, beyond the models' own rounding


@st.composite
def listed_options(draw):
    """Three options at most of one day or two, calls and puts that may share a strike."""
    return [
        option(
            draw(st.sampled_from(["call", "put"])),
            str(draw(st.sampled_from([1500, 2800, 3000, 3400, 6000]))),
            spot=SPOT,
            volatility=str(draw(st.sampled_from([D("0"), D("0.3"), D("0.75"), D("1.4")]))),
            days=draw(st.sampled_from([1, 20, 200])),
            id=31 + k,
        )
        for k in range(draw(st.integers(0, 4)))
    ]


QUANTITIES = st.integers(-40, 40).filter(bool).map(lambda tenths: D(tenths) / 10)


@st.composite
def books(draw, count=3):
    """Books on the same options."""
    options = draw(listed_options())
    return [
        [(row, str(draw(QUANTITIES))) for row in (*options, PERPETUAL, ETH) if draw(st.booleans())]
        for _ in range(count)
    ]


def figures_of(drawn, measure="requirement", grid=None):
    part = PartRule("crypto_portfolio", measure, Terms(("BTC", "ETH"), grid=grid or Grid()), KINDS)
    rule = RegimeRule("house", "cross", "requirement", cross.Terms(), ("crypto", "option"), parts=(part,))
    world = accounts(drawn, cash="1000000", rule=rule, rate=RATE)
    found = world.figures()
    return [found[7 + k, "house"] for k in range(len(drawn))]


def legs_of(book):
    for row, quantity in book:
        if row.kind == "option":
            seconds = (row.contract.expires_on - ON).days * 86400
            yield crypto_oracle.Leg(
                seconds,
                float(SPOT) * math.exp(float(RATE) * seconds / crypto_oracle.YEAR),
                float(RATE),
                float(row.contract.strike),
                row.contract.right == "call",
                float(row.contract.implied_volatility),
                float(quantity),
            )


def held(book, row):
    return sum(float(quantity) for each, quantity in book if each is row)


# The whole grid, and what the grid's other scenarios would hide: the smile alone, beside any number of forwards.
SCENARIOS = [
    (),
    (Scenario(D(1), "linear"),),
    (Scenario(D(1), "absolute"),),
    (Scenario(D("0.9"), "down", D("0.5")), Scenario(D("1.1"))),
]


@settings(max_examples=60, deadline=None)
@given(drawn=books(), scenarios=st.sampled_from(SCENARIOS))
def test_the_grid_asks_what_plain_loops_do(drawn, scenarios):
    grid = Grid(scenarios) if scenarios else Grid()
    for one, book in zip(figures_of(drawn, grid=grid), drawn, strict=True):
        expected = crypto_oracle.grid_asked(
            list(legs_of(book)), float(SPOT), held(book, PERPETUAL), held(book, ETH), grid
        )
        assert one.reasons == ()
        assert abs(one.requirement - D(expected[0])) <= TOLERANCE
        assert abs(one.initial - D(max(expected))) <= TOLERANCE


@settings(max_examples=40, deadline=None)
@given(drawn=books())
def test_standard_margin_asks_what_plain_loops_do(drawn):
    for one, book in zip(figures_of(drawn, "standard"), drawn, strict=True):
        expected = crypto_oracle.standard_asked(
            list(legs_of(book)), float(SPOT), held(book, PERPETUAL), held(book, ETH), Standard()
        )
        assert abs(one.requirement - D(expected[0])) <= TOLERANCE
        assert abs(one.initial - D(max(expected))) <= TOLERANCE


@settings(max_examples=25, deadline=None)
@given(drawn=books(count=2))
def test_two_books_together_are_never_asked_more_than_apart(drawn):
    together = {}
    for row, quantity in (*drawn[0], *drawn[1]):
        together[row.id] = row, together.get(row.id, (row, D(0)))[1] + D(quantity)
    pooled = [(row, str(quantity)) for row, quantity in together.values() if quantity]
    whole, one, other = figures_of([pooled, *drawn])
    assert whole.requirement <= one.requirement + other.requirement + TOLERANCE


@settings(max_examples=25, deadline=None)
@given(drawn=books(count=1), measure=st.sampled_from(["requirement", "standard"]))
def test_a_book_twice_as_large_is_asked_twice_as_much(drawn, measure):
    twice = [(row, str(2 * D(quantity))) for row, quantity in drawn[0]]
    one, double = figures_of([drawn[0], twice], measure)
    assert abs(double.requirement - 2 * one.requirement) <= 2 * TOLERANCE


@settings(max_examples=25, deadline=None)
@given(drawn=books(count=3))
def test_a_book_is_asked_the_same_alone_and_among_others(drawn):
    among = figures_of(drawn)
    alone = [figures_of([book])[0] for book in drawn]
    assert [one.requirement for one in among] == [one.requirement for one in alone]
    assert [one.initial for one in among] == [one.initial for one in alone]


SECONDS = st.sampled_from([-5.0, 0.0, 1.0, 179.0, 1800.0, 86400.0, 3e7, 1e9])
EDGES = st.sampled_from([0.0, 1e-9, 0.5, 9.0])


@settings(max_examples=200, deadline=None)
@given(seconds=SECONDS, volatility=EDGES, forward=EDGES, strike=EDGES, rate=st.sampled_from([-0.1, 0.0, 3.0]))
def test_no_input_leaves_a_scenario_without_a_value(seconds, volatility, forward, strike, rate):
    moving, fixed = split_forward(np.array([forward]), np.array([seconds]))
    one = [np.array([number]) for number in (strike, seconds, rate, volatility)]
    still = Grid(volatility=Volatility(least_seconds=D(0)), skew=Skew(least_distance=D(0)))
    for is_call in (True, False):
        options = Options(np.ones(1), moving, fixed, *one, np.array([is_call]))
        for grid in (Grid(), still):
            values = unit_values(options, grid)
            assert np.isfinite(values).all()
            assert (values >= -1e-12).all()
