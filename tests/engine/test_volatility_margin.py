"""Margin at rates that follow volatility: the part of a regime, with rates given from outside. From a pencil."""

from decimal import Decimal

import numpy as np
import pytest

from margin.engine.assess import assess, list_charges
from margin.engine.build import InstrumentRow
from margin.engine.columns import Contract, Market, PartRule, RegimeRule, Status
from margin.engine.methodologies import cross, volatility
from tests.engine.world import FX, ON, account, figures, stock

D = Decimal
KINDS = ("equity", "crypto", "future", "perpetual")
MODEL = {"kind": "fhs", "option": "buffer"}


def terms(**stated):
    return volatility.Terms.from_json({"parameters": "house", "model": MODEL, **stated})


def document(rates, on="2024-05-31", **stated):
    return {"model": terms().model.name, "on": on, "rates": rates, **stated}


def regime(**stated):
    part = PartRule("volatility", "requirement", terms(**stated), KINDS)
    return RegimeRule("house", "cross", "requirement", cross.Terms(), ("equity", "crypto"), parts=(part,))


def found(*holdings, cash="0", rates, **stated):
    world = account(cash, *holdings, regimes=(regime(**stated),))
    book, columns, _, rules = world.arguments
    market = Market(ON, FX, parameters={"house": rates if "model" in rates else document(rates)})
    arguments = (book, columns, market, rules)
    (one,) = assess(*arguments).figures(np.array([0]))
    if one.status != Status.UNPRICED:
        assert sum(list_charges(*arguments, np.array([0])).amount) == one.requirement
    return one


def test_a_holding_is_asked_its_own_rate_and_maintenance_is_a_share_of_it():
    # 100 × 50 × 24 % to open, three quarters of it to hold
    one = found((stock("50"), "100", "4000"), cash="-4500", rates={"XYZ": "0.24"}, maintenance_rate="0.75")
    assert (one.initial, one.requirement, one.equity) == (1200, 900, 500)


def test_a_short_is_asked_the_same_rate():
    one = found((stock("50"), "-100", "-4000"), cash="6000", rates={"XYZ": "0.24"})
    assert (one.requirement, one.equity) == (1200, 1000)


def test_the_least_rate_is_a_floor():
    one = found((stock("50"), "100", "4000"), rates={"XYZ": "0.02"}, least_rate="0.05")
    assert one.requirement == 250


def test_a_future_is_asked_of_its_notional():
    future = InstrumentRow(
        31, "CLZ4", "future", "USD", D("70"), multiplier=D(1000), contract=Contract(underlying=0, spot=None)
    )
    one = found((future, "-2", "-141000"), cash="20000", rates={"CLZ4": "0.10"})
    assert (one.requirement, one.equity) == (14000, 21000)


@pytest.mark.parametrize(
    ("published", "reason"),
    [
        (document({"ABC": "0.24"}), "no rate in house of 2024-05-31: it is not in the document"),
        (
            document({}, refused={"XYZ": "fhs needs 250 returns before the first day, and 12 are known"}),
            "no rate in house of 2024-05-31: fhs needs 250 returns before the first day, and 12 are known",
        ),
        (document({"XYZ": "0.24"}, on="2024-05-26"), "house of 2024-05-26 is 8 days old"),
        (document({"XYZ": "0.24"}, on="2024-06-04"), "house of 2024-06-04 is from a day to come"),
        (
            {**document({"XYZ": "0.24"}), "model": "guess"},
            f"house is of the model guess, not {terms().model.name}",
        ),
        ({**document({"XYZ": "-0.24"})}, "house: rates must not be negative"),
    ],
)
def test_without_a_rate_that_serves_there_is_no_number(published, reason):
    one = found((stock("50"), "100", "4000"), rates=published)
    assert one.status == Status.UNPRICED
    assert one.reasons == (f"XYZ: {reason}",)


def test_without_a_document_there_is_no_number():
    one = figures(account("0", (stock("50"), "100", "4000"), regimes=(regime(),)))
    assert one.reasons == ("XYZ: no parameters house are in force",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"parameters": "house", "model": {"kind": "guess"}},
        {"parameters": "house", "model": {"kind": "fhs", "option": "buffer", "share": "0.1"}},
        {"parameters": "house", "model": MODEL, "maintenance_rate": "0"},
        {"parameters": "house", "model": MODEL, "least_rate": "2"},
        {"model": MODEL},
        {},
    ],
)
def test_terms_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=r"kind|share|maintenance_rate|least_rate|missing"):
        volatility.Terms.from_json(wrong)
