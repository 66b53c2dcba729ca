"""Concentration against a pencil: shares of the account, days of volume, the loss of the worst single name."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from margin.engine import build
from margin.engine.assess import assess, explain, list_charges
from margin.engine.build import InstrumentRow
from margin.engine.columns import Contract, Market, PartRule
from margin.engine.methodologies import concentration, option_strategies
from tests.engine.world import CASH, ON, account, figures, regime, stock

D = Decimal
KINDS = ("equity", "etf", "bond", "option")
OPTION_TERMS = option_strategies.Terms.from_json(option_strategies.RULE_BOOK)
STEPS = [{"above": "0.30", "rate": "0.40"}, {"above": "0.60", "rate": "0.60"}]


def exchange(**terms):
    stated = concentration.Terms.from_json(terms)
    options = PartRule("option_strategies", "maintenance", OPTION_TERMS, KINDS)  # which charges them
    return replace(regime("exchange"), parts=(options, PartRule("concentration", "addition", stated, KINDS)))


def requirement(*holdings, cash="0", **terms):
    return figures(account(cash, *holdings, regimes=(exchange(**terms),))).requirement


def a(price, **more):
    return stock(price, id=11, code="A", **more)


def b(price, **more):
    return stock(price, id=12, code="B", **more)


@pytest.mark.parametrize(
    ("holdings", "asked"),
    [
        # 2 × 5,000: each is half: 40 % of 10,000
        (((a("50"), 100), (b("50"), 100)), "4000"),
        # 8,000 and 2,000: 60 % of 8,000 and 25 % of 2,000
        (((a("80"), 100), (b("20"), 100)), "5300"),
        # 3,000 of 10,000 is 30 %: the step is reached at equality; 7,000 is above 60 %
        (((a("30"), 100), (b("70"), 100)), "5400"),
        # a short counts by its size: 2,500 long at 40 %, 7,500 short at 60 % (its own 30 % is less)
        (((a("30"), 100), (b("70"), -100)), "5400"),
    ],
)
def test_a_name_that_is_a_large_share_is_asked_the_rate_of_its_step(holdings, asked):
    assert requirement(*holdings, share=STEPS) == D(asked)


def test_names_of_one_issuer_are_one_name():
    # apart each is a third of 9,000; together 6,000 is two thirds: 60 % of 6,000; the third 40 % of 3,000
    held = ((a("30", issuer="Alfa"), 100), (b("30", issuer="Alfa"), 100), (stock("30", id=13, code="C"), 100))
    assert requirement(*held, share=STEPS) == D("3600") + D("1200")


def test_a_small_name_is_left_alone():
    assert requirement((a("50"), 10), share=STEPS, minimum_value="501") == D("125")
    assert requirement((a("50"), 10), share=STEPS, minimum_value="500") == D("300")


def test_a_surcharge_never_lowers_what_the_rule_asks():
    # short at 4.00: the rule asks 100 %; 60 % would be less
    assert requirement((a("4"), -100), share=STEPS) == D("400")


def test_days_of_volume_are_charged_where_the_volume_is_known():
    steps = [{"above": "1", "rate": "0.50"}, {"above": "5", "rate": "1.00"}]
    assert requirement((a("10", daily_volume=D(100)), 499), volume=steps) == D("2495.00")  # 4.99 days: 50 %
    assert requirement((a("10", daily_volume=D(100)), 500), volume=steps) == D("5000.00")
    assert requirement((a("10"), 500), volume=steps) == D("1250.00")
    assert requirement((a("10", daily_volume=D(0)), 500), volume=steps) == D("5000.00")  # it never trades


@pytest.mark.parametrize(("volume", "days"), [("300", "1.7"), ("0", "endless")])
def test_days_of_volume_are_told(volume, days):
    terms = {"volume": [{"above": "1", "rate": "0.50"}]}
    world = account("0", (a("10", daily_volume=D(volume)), 500), regimes=(exchange(**terms),))
    told = explain(*world.arguments, 0)["regimes"][0]["requirement"]["charges"][-1]["sentence"]
    assert told == f"500 A: {days} days of average volume, so 50 % of market value is asked"


def test_the_loss_of_the_worst_name_is_a_floor_under_the_whole_requirement():
    # 25 % of 10,000 is 2,500; 30 % of the greater name is 2,400: no floor. At 40 %: 3,200.
    held = ((a("80"), 100), (b("20"), 100))
    assert requirement(*held, stress_rate="0.30") == D("2500")
    assert requirement(*held, stress_rate="0.40") == D("3200")


def test_long_and_short_of_one_name_stress_each_other_away():
    held = ((a("50", issuer="Alfa"), 100), (b("50", issuer="Alfa"), -100))
    assert requirement(*held, stress_rate="1") == D("1250") + D("1500")  # 25 % and 30 %, and no loss beyond


def test_the_top_up_to_the_floor_is_told_and_everything_adds_up():
    world = account("-5000", (a("80"), 100), (b("20"), 100), regimes=(exchange(stress_rate="0.40", share=STEPS),))
    charges = list_charges(*world.arguments, np.array([0]))
    assert sum(charges.amount) == D("5300")  # surcharges exceed the floor of 3,200
    world = account("-5000", (a("80"), 100), (b("20"), 100), regimes=(exchange(stress_rate="0.40"),))
    charges = list_charges(*world.arguments, np.array([0]))
    assert (sum(charges.amount), charges.amount[-1], charges.branch[-1]) == (D("3200.00"), D("700.00"), "stress")
    tree = explain(*world.arguments, 0)
    told = tree["regimes"][0]["requirement"]["charges"][-1]["sentence"]
    assert told == "Were A alone to move by 40 %, the account would lose 3200: so much at least"


def test_futures_of_two_products_are_two_names_though_nothing_they_are_written_on_is_listed():
    july, august, gold = (
        InstrumentRow(id, code, "future", "USD", D("70"), contract=Contract(0, None, commodity=product))
        for id, (code, product) in enumerate((("CLN6", "CL"), ("CLQ6", "CL"), ("GCQ6", "GC")), 31)
    )
    columns = build.instruments((*CASH, july, august, gold), {"USD"})
    assert concentration._labels(columns)[len(CASH) :].tolist() == ["CL", "CL", "GC"]


def test_an_option_that_cannot_be_valued_leaves_its_holder_unpriced():
    contract = Contract(11, D(50), right="call", strike=D(50), style="american", expires_on=date(2024, 12, 20))
    option = stock("2", id=21, code="A-C50", kind="option", multiplier=D(100), contract=contract)
    world = account("0", (option, 1), regimes=(exchange(stress_rate="0.30"),))  # no risk-free rate is known
    assert figures(world).reasons == (
        "A-C50: risk_free: no rate for USD; it cannot be valued for the single-name stress",
    )


def test_options_are_stressed_with_what_they_are_written_on():
    # 100 shares and a put at 95: at −30 % the put is deep in the money, so less is lost than 30 % of the shares
    contract = Contract(11, D(100), right="put", strike=D(95), style="european", expires_on=date(2024, 9, 20))
    put = stock("2.50", id=21, code="A-P95", kind="option", multiplier=D(100), contract=contract)
    arguments = list(account("0", (a("100"), 100), (put, 1), regimes=(exchange(stress_rate="0.30"),)).arguments)
    arguments[2] = Market(ON, risk_free={"USD": D("0.04")})
    (found,) = assess(*arguments).figures(np.array([0]))
    # without the put 3,000; with it no more than 100 − 95 + the premium of 2.50, and the rule's 2,500 is not reached
    assert found.requirement == D("2500.00")


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"share": [{"above": "0.5", "rate": "0.4"}, {"above": "0.5", "rate": "0.5"}]}, "share: steps must rise"),
        ({"volume": [{"above": "1", "rate": "-0.4"}]}, "volume: rates must not be negative"),
        ({"stress_rate": "0"}, "stress_rate must be above 0"),
        ({"minimum_value": "-1"}, "minimum_value must not be negative"),
    ],
)
def test_terms_that_make_no_sense_are_refused_by_name(terms, said):
    with pytest.raises(ValueError, match=said):
        concentration.Terms.from_json(terms)
