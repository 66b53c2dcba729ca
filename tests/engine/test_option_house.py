"""What a house adds to the option rules: special rates by underlying, stock baskets, and a broker's minimum."""

from dataclasses import replace

import numpy as np
import pytest

from margin.engine.assess import explain
from margin.engine.columns import PartRule
from margin.engine.methodologies import option_strategies
from margin.engine.methodologies.option_strategies import lean_ib
from tests.engine.option_world import INDEX, INDEXED, D, charges, groups, legs, measured, option, stock, terms
from tests.engine.world import account, figures, regime

KINDS = ("equity", "etf", "bond", "option", "warrant")
SPECIAL = {"special": {"XYZ": "0.60"}}

# ---------------------------------------------------------------- special maintenance


@pytest.mark.parametrize(
    ("text", "asked"),
    [  # spot 100; half of 60 % is 30 % of 10,000
        ("-1 C 100 @1", 100 + 3000),
        ("-1 C 110 @1", 100 + 2000),  # 1,000 out of the money
        ("-1 P 90 @1", 100 + 2000),
        ("-1 C 130 @1", 100 + 1000),  # 3,000 out: the 10 % minimum
        ("-1 C 100 @1, -1 P 100 @1", 3100 + 100),  # a pair: one side and the other's value
    ],
)
def test_half_the_special_rate_is_asked_of_options(text, asked):
    assert measured(legs(text, spot="100", underlying_code="XYZ"), **SPECIAL)[0] == asked


def test_a_special_rate_below_the_rules_changes_nothing():
    held = legs("-1 C 100 @1, 50 S @100", spot="100", underlying_code="XYZ")
    assert measured(held, special={"XYZ": "0.20"}) == measured(held)


def test_other_underlyings_are_left_alone():
    held = legs("-1 C 100 @1", spot="100", underlying_code="ABC")
    assert measured(held, **SPECIAL)[0] == 2100


def test_the_special_rate_is_asked_of_shares_long_and_short():
    # 60 % of 5,000, and of the 10,000 under a covered call
    assert measured(legs("1 C 150 @1, 50 S @100", spot="100", underlying_code="XYZ"), **SPECIAL)[0] == 3000
    assert measured(legs("1 P 50 @1, -50 S @100", spot="100", underlying_code="XYZ"), **SPECIAL)[0] == 3000
    assert measured(legs("-1 C 120 @1, 100 S @100", spot="100", underlying_code="XYZ"), **SPECIAL)[0] == 6000


def test_shares_alone_are_asked_it_as_well_and_say_why():
    part = PartRule("option_strategies", "maintenance", terms(**SPECIAL), KINDS)
    world = account("0", (stock("100"), 50), regimes=(replace(regime("exchange"), parts=(part,)),))
    assert figures(world).requirement == figures(world).initial == 3000
    lines = explain(*world.arguments, 0)["regimes"][0]["requirement"]["charges"]
    assert [(line["rule"], line["amount"]) for line in lines] == [
        ("finra_4210_c", "1250"),
        ("special_maintenance", "1750"),
    ]
    assert "special rate 60 % of market value" in lines[1]["sentence"]


def test_a_box_of_a_special_stock_is_asked_five_per_cent():
    part = PartRule("option_strategies", "maintenance", terms(**SPECIAL), KINDS)
    world = account("0", (stock("100"), 50), (stock("100"), -50), regimes=(replace(regime("exchange"), parts=(part,)),))
    assert figures(world).requirement == 250


def test_the_branch_of_a_special_rate_is_named():
    (charge,) = charges(legs("-1 C 100 @1", spot="100", underlying_code="XYZ"), **SPECIAL)
    assert (charge.branch, charge.inputs["half_special_rate"]) == ("special", D("0.30"))


# ---------------------------------------------------------------- qualified stock baskets

BASKETS = {"baskets": {"IDX": {"AAA": "2", "BBB": "1"}}}  # worth 2 × 30 + 40 = 100 at the prices below


def basket(aaa, bbb, *, strike="460", code="IDX"):
    """So many shares of two stocks at 30 and 40, and one short call on an index at 500."""
    call = option("call", strike, "45", id=950, spot="500", **{**INDEXED, "underlying_code": code})
    return [(stock("30", id=910, code="AAA"), D(aaa)), (stock("40", id=911, code="BBB"), D(bbb)), (call, D(-1))]


def test_a_basket_worth_the_index_covers_a_short_index_call():
    # 500 baskets are 1,000 AAA and 500 BBB: 50,000, counted at the strike of 46,000: 25 %, 50 %, and 4,000 off equity
    assert measured(basket(1000, 500), **BASKETS) == (11500, 23000, -4000)
    (charge,) = charges(basket(1000, 500), **BASKETS)
    assert (charge.code, charge.branch) == ("call_covered_by_basket", "strike")


def test_a_stock_more_or_less_decides():
    # above 46,000 nothing is naked: 10 AAA more are charged 25 % of 300; one BBB short, the call is naked beside them
    assert measured(basket(1010, 500), **BASKETS)[0] == 11500 + 75
    naked = 4500 + 7500
    assert measured(basket(1000, 499), **BASKETS)[0] == naked + D("0.25") * (30000 + 499 * 40)


def test_a_basket_covers_calls_on_its_own_index_alone():
    made, market = groups(basket(1000, 500, code="OTHER"), of_terms=terms(**BASKETS))
    asked = option_strategies.measure_groups(made, market, "maintenance", terms(**BASKETS))
    assert asked.requirement.tolist() == [4500 + 7500]
    assert len(made.instrument) == 1  # the stocks stay with the base methodology


def test_stocks_of_a_basket_have_the_key_of_its_index():
    made, _ = groups(basket(1000, 500), of_terms=terms(**BASKETS))
    keys = option_strategies.group_keys(made.instruments, terms(**BASKETS)).keys
    assert len(np.unique(keys[made.instrument])) == 1
    assert keys[made.instrument[0]] == min(INDEX, 910)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"baskets": {"IDX": {}}}, "IDX needs stocks"),
        ({"baskets": {"IDX": {"AAA": "0"}}}, "units above 0"),
        ({"special": {"XYZ": "-0.1"}}, "special"),
    ],
)
def test_terms_that_make_no_sense_are_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        terms(**change)


# ---------------------------------------------------------------- Interactive Brokers: spreads on a volatility index


def broker(text, margin_class="vol_index"):
    contract = {**INDEXED, "margin_class": margin_class}
    made, market = groups(legs(text, spot="15", **contract))
    (found,) = lean_ib.figures(made, market, lean_ib.interactive_brokers(D("0.25"), D("0.25")))
    return found.maintenance


def test_a_spread_on_a_volatility_index_is_asked_150_at_least():
    # one wide: 102 of loss, twice over; two wide: 204 of loss
    assert broker("-1 C 16 @2, 1 C 17 @1.5") == 150
    assert broker("-3 C 16 @2, 3 C 17 @1.5") == 450
    assert broker("-1 C 16 @2, 1 C 18 @1.5") == 204
    assert broker("-1 C 16 @2, 1 C 17 @1.5", "broad_index") == 102


def test_an_iron_condor_on_a_volatility_index_is_one_spread():
    assert broker("-1 C 16 @2, 1 C 17 @1.5, -1 P 14 @1, 1 P 13 @0.5") == 150
