"""Collateral ratios, haircuts as part of the equity, and rates of loans. Numbers published or from a pencil."""

from dataclasses import replace

import numpy as np
import pytest

from margin.engine import build
from margin.engine.assess import assess, list_charges
from margin.engine.build import AccountRow, InstrumentRow, PositionRow
from margin.engine.columns import Market, PartRule, Policy, RegimeRule, Rules, Status
from margin.engine.exact import plain
from margin.engine.explain import explain
from margin.engine.methodologies import collateral, cross
from tests.engine.world import ON, D

USD = InstrumentRow(1, "USD", "cash", "USD", minor_exponent=2)
USDT = InstrumentRow(2, "USDT-CASH", "cash", "USDT", minor_exponent=6)
BTC = InstrumentRow(3, "BTC-CASH", "cash", "BTC", minor_exponent=8)
APT = InstrumentRow(4, "APT", "crypto", "USD", D("10"))
COIN = InstrumentRow(5, "BTC", "crypto", "USD", D("50000"))
FX = {("USDT", "USD"): D(1), ("USDT", "EUR"): D("0.8"), ("BTC", "USD"): D("50000"), ("EUR", "USD"): D("1.25")}


def tiers(*steps):
    return [{"ratio": ratio} if upto is None else {"upto": upto, "ratio": ratio} for upto, ratio in steps]


PUBLISHED = {
    "source": "OKX discount rates, as published",
    "currency": "USD",
    "assets": {
        "USD": tiers((None, "1")),
        "EUR": tiers((None, "1")),
        "USDT": tiers(("5000000", "1"), ("10000000", "0.9"), (None, "0.8")),
        "BTC": tiers(("1000000", "1"), (None, "0.95")),
        "APT": tiers(("50000", "0.8")),
    },
}


def regime(**changes):
    stated = {"parameters": "ratios", "loan_rate": "0.1", **changes}
    part = PartRule("collateral", "haircut", collateral.Terms.from_json(stated), ("crypto",))
    return RegimeRule("house", "cross", "requirement", cross.Terms(), ("crypto",), parts=(part,))


def arguments(*holdings, currency="USD", parameters=None, rule=None):
    rows = (USD, USDT, BTC, APT, COIN, InstrumentRow(6, "EUR", "cash", "EUR", minor_exponent=2))
    columns = build.instruments(rows, {currency})
    held = [PositionRow(7, row.id, D(quantity)) for row, quantity in holdings]
    document = {"ratios": PUBLISHED} if parameters is None else parameters
    book = build.book(columns, [AccountRow(7, currency)], held)
    return book, columns, Market(ON, FX, parameters=document), Rules((Policy("test", (rule or regime(),)),))


def figures(*holdings, **more):
    (one,) = assess(*arguments(*holdings, **more)).figures(np.array([0]))
    return one


def test_value_above_a_tier_counts_at_the_next_ratio():
    # OKX: 11 million USDT count 10.3 million
    assert figures((USDT, "11000000")).equity == 10_300_000


def test_value_beyond_the_last_tier_counts_for_nothing():
    # OKX: APT counts 0.8 up to 50,000 and nothing beyond; with one BTC at 50,000 that is 90,000
    assert figures((APT, "10000"), (COIN, "1")).equity == 40_000 + 50_000


def test_a_coin_and_the_currency_of_the_same_name_are_one_asset():
    # 15 + 15 BTC are 1.5 million: 1,000,000 + 0.95 × 500,000
    assert figures((BTC, "15"), (COIN, "15")).equity == 1_475_000


def test_a_debt_counts_at_its_face_and_a_rate_of_it_is_asked():
    # 200,000 − 2 × 50,000; 5 % of 100,000, which Binance asks of a loan at tenfold leverage
    one = figures((USD, "200000"), (COIN, "-2"), rule=regime(loan_rates={"BTC": "0.05"}))
    assert (one.equity, one.requirement, one.status) == (100_000, 5_000, Status.QUIET)


def test_a_debt_that_is_not_named_is_asked_the_rate_of_all():
    assert figures((COIN, "2"), (USD, "-30000")).requirement == 3_000


def test_what_is_held_and_owed_of_one_asset_is_netted_first():
    one = figures((COIN, "1"), (BTC, "-0.4"), (USD, "10"))
    assert (one.equity, one.requirement) == (30_010, 0)


def test_bounds_are_converted_to_the_currency_of_the_account():
    # bounds of 5 and 10 million USD are 4 and 8 million EUR; 11 million USDT are 8.8 million EUR
    one = figures((USDT, "11000000"), (InstrumentRow(6, "EUR", "cash", "EUR"), "1"), currency="EUR")
    assert one.equity == 4_000_000 + D("0.9") * 4_000_000 + D("0.8") * 800_000 + 1


def test_equity_at_face_and_haircuts_both_show_and_add_up():
    rule = regime(loan_rates={"USD": "0.02"})
    (told,) = explain(*arguments((USDT, "11000000"), (USD, "-1000"), rule=rule), 0)["regimes"]
    parts = [(part["code"], part["part"], part["amount"]) for part in told["equity"]["parts"]]
    assert sorted(parts) == [
        ("USD", "value", "-1000"),
        ("USDT-CASH", "haircut", "-700000"),
        ("USDT-CASH", "value", "11000000"),
    ]
    assert told["equity"]["amount"] == plain(sum((D(amount) for _, _, amount in parts), D(0)))
    (charge,) = told["requirement"]["charges"]
    assert charge["sentence"] == "-1000 USD: 1000 USD is owed, and 2 % of it is asked"
    assert (charge["law"], charge["amount"]) == ("OKX discount rates, as published", "20")


def test_the_sweep_and_the_listed_charges_agree():
    these = arguments((USDT, "11000000"), (USD, "-1000"), (COIN, "-3"), (APT, "77"))
    (one,) = assess(*these).figures(np.array([0]))
    assert one.requirement == sum(list_charges(*these, np.array([0])).amount) == 100 + 15_000


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "APT: no published parameters 'ratios'"),
        (
            {"ratios": {**PUBLISHED, "assets": {"USD": PUBLISHED["assets"]["USD"]}}},
            "APT: no collateral ratio in the published parameters 'ratios'",
        ),
        ({"ratios": {**PUBLISHED, "currency": "CHF"}}, "APT: no rate for the bounds of its collateral tiers"),
        (
            {"ratios": {**PUBLISHED, "kinds": {"crypto": tiers((None, "1.2"))}}},
            "APT: published parameters 'ratios': Published: crypto: tiers must have ratios from 0 to 1",
        ),
    ],
)
def test_an_asset_without_a_ratio_leaves_the_account_without_a_number(parameters, reason):
    one = figures((APT, "5"), parameters=parameters)
    assert (one.status, one.reasons) == (Status.UNPRICED, (reason,))


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        tiers((None, "1"), ("5", "0.9")),
        tiers(("5", "1"), ("5", "0.9")),
        tiers(("-5", "1")),
        tiers((None, "-0.1")),
    ],
)
def test_tiers_that_make_no_ladder_are_refused(wrong):
    document = {"ratios": {**PUBLISHED, "assets": {**PUBLISHED["assets"], "APT": wrong}}}
    assert figures((APT, "5"), parameters=document).status == Status.UNPRICED


@pytest.mark.parametrize("change", [{"parameters": ""}, {"loan_rate": "-0.1"}, {"loan_rates": {"BTC": "-1"}}])
def test_terms_that_say_nothing_or_less_are_refused(change):
    with pytest.raises(ValueError):
        regime(**change)


def test_a_holding_that_collateral_does_not_govern_counts_at_face():
    stock = InstrumentRow(8, "XYZ", "equity", "USD", D(20))
    rule = replace(regime(), kinds=("equity", "crypto"))
    columns = build.instruments((USD, stock), {"USD"})
    book = build.book(columns, [AccountRow(7, "USD")], [PositionRow(7, 8, D(5)), PositionRow(7, 1, D(1))])
    found = assess(book, columns, Market(ON, FX, parameters={"ratios": PUBLISHED}), Rules((Policy("test", (rule,)),)))
    assert found.figures(np.array([0]))[0].equity == 101


def test_flat_haircuts_take_the_same_share_of_everything():
    # BIT.com unified margin help page
    held = [
        (D("3.136088934"), D("37496.76318"), D("0.02")),
        (D(14000), D("0.000032118265"), D(1)),
        (D("347974.9709"), D("1.000296667"), D("0.001")),
    ]
    assert abs(collateral.after_haircuts(held) - D("462971.4456")) < D("0.2")


def test_a_policy_that_cuts_what_it_does_not_count_is_refused():
    with pytest.raises(ValueError, match="collateral measures crypto; name it in the regime's kinds too"):
        figures((APT, "5"), rule=replace(regime(), kinds=()))
