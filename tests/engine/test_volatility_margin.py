"""Margin at rates that follow volatility: the part of a regime, with rates given from outside. From a pencil."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from margin.engine.assess import assess, list_charges
from margin.engine.build import InstrumentRow
from margin.engine.columns import Contract, Market, PartRule, RegimeRule, Status
from margin.engine.methodologies import cross, volatility
from tests.engine.world import FX, ON, account, stock

D = Decimal
KINDS = ("equity", "crypto", "future", "perpetual")
MODEL = {"kind": "fhs", "option": "buffer"}


def terms(**stated):
    return volatility.Terms.from_json({"model": MODEL, **stated})


def regime(**stated):
    part = PartRule("volatility", "requirement", terms(**stated), KINDS)
    return RegimeRule("house", "cross", "requirement", cross.Terms(), ("equity", "crypto"), parts=(part,))


def found(*holdings, cash="0", rates, **stated):
    world = account(cash, *holdings, regimes=(regime(**stated),))
    book, columns, _, rules = world.arguments
    market = Market(ON, FX, adaptive_rates={terms(**stated).model.name: rates})
    arguments = (book, columns, market, rules)
    (one,) = assess(*arguments).figures(np.array([0]))
    if one.status != Status.UNPRICED:
        assert sum(list_charges(*arguments, np.array([0])).amount) == one.requirement
    return one


def test_a_holding_is_asked_its_own_rate_and_maintenance_is_a_share_of_it():
    # 100 × 50 × 24 % to open, three quarters of it to hold
    one = found((stock("50"), "100", "4000"), cash="-4500", rates={11: D("0.24")}, maintenance_rate="0.75")
    assert (one.initial, one.requirement, one.equity) == (1200, 900, 500)


def test_a_short_is_asked_the_same_rate():
    one = found((stock("50"), "-100", "-4000"), cash="6000", rates={11: D("0.24")})
    assert (one.requirement, one.equity) == (1200, 1000)


def test_the_least_rate_is_a_floor():
    one = found((stock("50"), "100", "4000"), rates={11: D("0.02")}, least_rate="0.05")
    assert one.requirement == 250


def test_a_future_is_asked_of_its_notional():
    future = InstrumentRow(
        31, "CLZ4", "future", "USD", D("70"), multiplier=D(1000), contract=Contract(underlying=0, spot=None)
    )
    one = found((future, "-2", "-141000"), cash="20000", rates={31: D("0.10")})
    assert (one.requirement, one.equity) == (14000, 21000)


def test_without_a_rate_there_is_no_number():
    one = found((stock("50"), "100", "4000"), rates={12: D("0.24")})
    assert one.status == Status.UNPRICED
    assert one.reasons == (f"XYZ: no rate of the model {terms().model.name}",)


def test_rates_of_another_model_do_not_count():
    world = account("0", (stock("50"), "100", "4000"), regimes=(regime(),))
    book, columns, _, rules = world.arguments
    other = replace(terms().model, option="none").name
    assessed = assess(book, columns, Market(ON, FX, adaptive_rates={other: {11: D("0.24")}}), rules)
    assert assessed.figures(np.array([0]))[0].status == Status.UNPRICED


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": {"kind": "guess"}},
        {"model": {"kind": "fhs", "option": "buffer", "share": "0.1"}},
        {"model": MODEL, "maintenance_rate": "0"},
        {"model": MODEL, "least_rate": "2"},
        {},
    ],
)
def test_terms_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=r"kind|share|maintenance_rate|least_rate|missing"):
        volatility.Terms.from_json(wrong)
