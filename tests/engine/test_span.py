"""Accounts of futures and options on them: what is asked, told, and refused. Every number from a pencil."""

import csv
import json
import math
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.assess import assess, list_charges
from margin.engine.build import AccountRow, PositionRow
from margin.engine.columns import Market, Status
from margin.engine.methodologies import span
from margin.engine.methodologies.span import contracts, parameters
from margin.engine.valuation import scenario_values
from tests.engine.span_world import (
    AUGUST,
    CALENDAR,
    JULY,
    RATES,
    TIERS,
    array,
    document,
    explained,
    figures,
    future,
    option,
    world,
)
from tests.engine.world import CASH, ON, World

D = Decimal
CRUDE = document(CL={"range": {"amount": "5"}})
JUL, AUG = future("CLN4", "70", id=31), future("CLQ4", "69", id=32, expires_on=AUGUST)
OIL = document(CL={"range": {"amount": "5"}, "tiers": TIERS, "spreads": [CALENDAR]})
HISTORY = Path(__file__).parents[2] / "../shared/data/market/futures_margin_history.csv"


# --- futures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", ["3", "-3"])
def test_a_future_is_asked_its_price_scan_range(quantity):
    # 3 × 1,000 × 5; at the entry price there is no profit
    one = figures(CRUDE, (JUL, quantity, D(quantity) * 70000))
    assert (one.equity, one.requirement, one.initial, one.status) == (100000, 15000, 15000, Status.QUIET)


def test_an_extreme_move_counts_for_its_share():
    # 3 × the range at 50 % is 1.5 times the range
    stated = document(CL={"range": {"amount": "5"}, "extreme_multiple": "3", "extreme_cover": "0.50"})
    charges, regime = explained(stated, (JUL, "1", "70000"))
    assert charges == [("scan", 7500)]
    assert regime["requirement"]["charges"][0]["branch"] == "scenario_16"


def test_months_of_one_product_offset_in_the_scan_and_are_charged_as_a_calendar_spread():
    # net 4 × 5,000; 6 spreads at 200
    charges, regime = explained(OIL, (JUL, "10", "700000"), (AUG, "-6", "-414000"))
    assert charges == [("scan", 20000), ("calendar", 1200)]
    assert regime["requirement"]["charges"][1]["sentence"] == (
        "CL: 6 calendar spreads of A 1 near, B 1 far at 200 each"
    )


def test_a_tier_may_have_a_range_of_its_own():
    # 500 and 750 a contract: the spread is asked the difference, and the charge of 50
    far = {**TIERS[1], "range": {"amount": "0.75"}}
    spread = {**CALENDAR, "rate": "50"}
    stated = document(CL={"range": {"amount": "0.50"}, "tiers": [TIERS[0], far], "spreads": [spread]})
    assert figures(stated, (JUL, "1", "70000"), (AUG, "-1", "-69000")).requirement == 300


def test_a_delivery_month_is_charged_for_spreads_and_for_the_rest():
    spot = [{"period": "2024-07", "spread_rate": "50", "outright_rate": "70"}]
    stated = document(CL={**OIL["commodities"]["CL"], "spot": spot})
    charges, _ = explained(stated, (JUL, "10", "700000"), (AUG, "-6", "-414000"))
    assert charges == [("scan", 20000), ("calendar", 1200), ("delivery", 6 * 50 + 4 * 70)]


def test_smaller_contracts_count_by_their_size():
    # ten of 100 against one of 1,000: nothing is left but one spread
    stated = document(CL={**OIL["commodities"]["CL"], "size": "1000"})
    small = future("MCLQ4", "69", id=33, multiplier="100", expires_on=AUGUST)
    charges, _ = explained(stated, (JUL, "1", "70000"), (small, "-10", "-69000"))
    assert charges == [("calendar", 200)]


def test_a_range_in_standard_deviations_has_its_floor():
    # 6 × 1 % × √2 is below 9.3 %: 70 × 0.093 × 1,000
    stated = document(CL={"range": {"daily_sigma": "0.01", "floor_rate": "0.093"}})
    assert figures(stated, (JUL, "1", "70000")).requirement == 6510


def test_a_settlement_below_nothing_is_margined_by_an_amount_and_flows_with_its_sign():
    crude = future("CLK0", "-37.63", id=31)
    one = figures(CRUDE, (crude, "1", "10010"))
    assert (one.equity, one.requirement) == (100000 - 47640, 5000)


def test_a_range_that_is_a_share_of_a_price_below_nothing_is_none():
    one = figures(document(CL={"range": {"rate": "0.10"}}), (future("CLK0", "-37.63", id=31), "1", "10010"))
    assert (one.status, one.reasons) == (
        Status.UNPRICED,
        ("CLK0: its range is a share of a price, and the price is -37.63",),
    )


# --- credits across commodities ---------------------------------------------------------------------------------

CREDIT = {
    "rate": "0.55",
    "legs": [{"of": "ZC", "ratio": "2", "side": "A"}, {"of": "ZS", "ratio": "1", "side": "B"}],
}
CORN = future("ZCN4", "4.50", id=41, commodity="ZC", multiplier="5000")
BEANS = future("ZSN4", "12", id=42, commodity="ZS", multiplier="5000")
GRAINS = {"ZC": {"range": {"amount": "0.35"}}, "ZS": {"range": {"amount": "0.50"}}}


def test_a_spread_across_commodities_is_credited_on_both_legs():
    # CME Group: 2 × 1,750 and 2,500 outright, 55 % of 6,000 credited: 2,700
    stated = document(**GRAINS, credits=[CREDIT])
    charges, _ = explained(stated, (CORN, "2", "45000"), (BEANS, "-1", "-60000"))
    assert charges == [("scan", 3500), ("credit", -1925), ("scan", 2500), ("credit", -1375)]
    assert figures(stated, (CORN, "2", "45000"), (BEANS, "-1", "-60000")).requirement == 2700


def test_only_the_part_that_is_hedged_is_credited():
    # 3 corn make 1.5 spreads; 1 is possible: 5,250 + 2,500 - 3,300
    stated = document(**GRAINS, credits=[CREDIT])
    assert figures(stated, (CORN, "3", "67500"), (BEANS, "-1", "-60000")).requirement == 4450


def test_two_longs_are_credited_nothing():
    stated = document(**GRAINS, credits=[CREDIT])
    assert figures(stated, (CORN, "2", "45000"), (BEANS, "1", "60000")).requirement == 6000


def test_commodities_in_two_currencies_are_each_converted():
    # 1,000 EUR at 1.0823 beside 5,000 USD
    bund = future("BUND", "130", id=43, commodity="FGBL", currency="EUR", multiplier="1000")
    stated = document(CL={"range": {"amount": "5"}}, FGBL={"currency": "EUR", "range": {"amount": "1"}})
    assert figures(stated, (JUL, "1", "70000"), (bund, "1", "130000")).requirement == D("6082.30")


# --- options ----------------------------------------------------------------------------------------------------


def with_arrays(**listed):
    return document(CL={"short_option_minimum": "100", "contracts": listed})


def test_a_short_option_is_asked_its_risk_and_its_value():
    # it gains 300 at best and loses 800 at worst, held long; worth 1,500
    stated = with_arrays(C75={"array": array("-800", "300"), "delta": "0.4"})
    call = option("C75", "1.5", id=51, right="call", strike="75")
    charges, regime = explained(stated, (call, "-2", "-3000"))
    assert charges == [("scan", 1600), ("option_value", 3000)]
    assert regime["equity"]["amount"] == "100000"


def test_the_short_option_minimum_tops_up_what_the_scan_asks():
    stated = with_arrays(C90={"array": array("-20"), "delta": "0.01"})
    call = option("C90", "0.01", id=51, right="call", strike="90")
    charges, regime = explained(stated, (call, "-5", "-50"))
    assert charges == [("scan", 100), ("minimum", 400), ("option_value", 50)]
    assert regime["requirement"]["charges"][1]["sentence"] == (
        "CL: 5 calls and 0 puts held short are asked 500 at least, 100 each"
    )


@pytest.mark.parametrize(("together", "asked"), [(True, 700), (False, 500)])
def test_short_calls_and_puts_are_counted_as_the_exchange_counts_them(together, asked):
    listed = {"array": array("0"), "delta": "0"}
    stated = {"short_option_minimum": "100", "counts_together": together, "contracts": {"C90": listed, "P50": listed}}
    call = option("C90", "0.01", id=51, right="call", strike="90")
    put = option("P50", "0.01", id=52, right="put", strike="50")
    charges, _ = explained(document(CL=stated), (call, "-2", "-20"), (put, "-5", "-50"))
    assert charges == [("minimum", asked), ("option_value", 70)]


def test_options_that_the_base_does_not_count_are_refused():
    stated = with_arrays(C75={"array": array("-800", "300"), "delta": "0.4"})
    call = option("C75", "1.5", id=51, right="call", strike="75")
    with pytest.raises(ValueError, match="span measures future_option; name it in the regime's kinds too"):
        figures(stated, (call, "-2", "-3000"), base_kinds=("equity",))


def test_a_long_option_is_asked_nothing_and_is_no_equity_beyond_its_risk():
    stated = with_arrays(C75={"array": array("800"), "delta": "0.4"})
    call = option("C75", "1.5", id=51, right="call", strike="75")
    charges, regime = explained(stated, (call, "1", "1500"))
    assert charges == [("scan", 800), ("option_value", -800)]
    assert (regime["requirement"]["amount"], regime["equity"]["amount"]) == ("0", "100000")


def test_a_house_may_grant_no_option_value_and_still_counts_what_is_owed():
    stated = with_arrays(C75={"array": array("800", "-600"), "delta": "0.4"})
    call = option("C75", "1.5", id=51, right="call", strike="75")
    terms = {"grants_option_value": False}
    assert figures(stated, (call, "1", "1500"), terms=terms).requirement == 800
    assert figures(stated, (call, "-1", "-1500"), terms=terms).requirement == 600 + 1500


def test_the_exchange_is_multiplied_by_the_house_and_initial_by_its_own_multiplier():
    # 5,000 × 1.2 = 6,000 to hold, × 1.1 = 6,600 to open
    terms = {"initial_multiplier": "1.10", "house_multiplier": "1.5", "house": {"CL": "1.20"}}
    one = figures(CRUDE, (JUL, "1", "70000"), terms=terms)
    assert (one.requirement, one.initial) == (6000, 6600)
    assert explained(CRUDE, (JUL, "1", "70000"), terms=terms)[0] == [("scan", 5000), ("house", 1000)]


def test_the_national_stock_exchange_adds_its_exposure_margin():
    # 2 % of 65 × 23,547.75 on the short call alone; the scan is 113,226 and the value 28,447
    scan = {"array": array("-113226"), "delta": "0.5"}
    stated = document(
        NIFTY={"exposure_rate": "0.02", "contracts": {"C23700": scan, "P1": {**scan, "array": array("0")}}}
    )
    terms = {"charges_exposure": True}
    more = {"commodity": "NIFTY", "kind": "option", "spot": "23547.75"}
    call = option("C23700", D("28447") / 65, id=51, right="call", strike="23700", **more)
    call = replace(call, price=D("437.65"), multiplier=D(65))
    put = replace(option("P1", "1", id=52, right="put", strike="20000", **more), multiplier=D(65))
    charges, _ = explained(stated, (call, "-1", "-28000"), (put, "1", "65"), terms=terms, kinds=("option",))
    assert charges == [("scan", 113226), ("exposure", D("30612.075")), ("option_value", D("28447.25") - 65)]


# --- computed arrays --------------------------------------------------------------------------------------------


def black_call(forward, strike, years, rate, volatility):
    """Black (1976), written from the paper."""
    d1 = (math.log(forward / strike) + volatility**2 * years / 2) / (volatility * math.sqrt(years))
    n1, n2 = (0.5 * math.erfc(-d / math.sqrt(2)) for d in (d1, d1 - volatility * math.sqrt(years)))
    return math.exp(-rate * years) * (forward * n1 - strike * n2)


DAYS = (JULY - ON).days
FAIR = D(f"{black_call(70, 72, DAYS / 365, 0.05, 0.30):.6f}")
CALL = option("C72", FAIR, id=51, right="call", strike="72")
COMPUTED = document(CL={"range": {"amount": "3"}, "volatility_range": "0.05", "short_option_minimum": "10"})


def computed(row, stated=COMPUTED):
    _, columns, market, _ = world(stated, (row, "1", "0"))
    read = parameters.of_day(market.parameters, span.Terms("day"), ON, {"CL"})
    at = columns.ids.tolist().index(row.id)
    (unit,) = contracts.read(columns.take(np.array([at])), market, read)
    return unit


def test_an_option_on_a_future_is_repriced_by_black_in_every_scenario():
    moves = [0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3]
    years, now = (DAYS - 1) / 365, float(FAIR)
    expected = [now - black_call(70 + move, 72, years, 0.05, 0.25 if k % 2 else 0.35) for k, move in enumerate(moves)]
    expected += [0.33 * (now - black_call(70 + move, 72, years, 0.05, 0.30)) for move in (6, -6)]
    got = [float(loss) / 1000 for loss in computed(CALL).losses]
    assert got == pytest.approx(expected, abs=2e-6)  # the price is known to six decimals


def test_a_composite_delta_averages_over_the_prices_of_the_scan():
    years, steps = (DAYS - 1) / 365, {0: 0.27, 1: 0.22, 2: 0.11, 3: 0.04}
    slopes = {
        move: (
            black_call(70 + move + 1e-4, 72, years, 0.05, 0.30) - black_call(70 + move - 1e-4, 72, years, 0.05, 0.30)
        )
        / 2e-4
        for move in range(-3, 4)
    }
    weights = {move: steps[abs(move)] for move in slopes}
    mean = sum(slopes[move] * weights[move] for move in slopes) / sum(weights.values())
    assert float(computed(CALL).delta) == pytest.approx(mean, abs=1e-5)


def test_a_price_scanned_below_nothing_leaves_a_put_its_strike():
    # 5 - 8 = -3: the put on a future is worth e^-rt × (6 + 3), less what it is worth now
    put = option("P6", "1.5", id=51, right="put", strike="6", spot="5")
    wide = document(CL={"range": {"amount": "8"}, "volatility_range": "0"})
    years = (DAYS - 1) / 365
    assert float(computed(put, wide).losses[13]) == pytest.approx(1000 * (1.5 - math.exp(-0.05 * years) * 9), abs=1e-3)


def test_american_options_are_worth_at_least_their_exercise_in_every_scenario():
    put = option("P80", "10.2", id=51, right="put", strike="80", style="american")
    for loss, move in zip(computed(put).losses[:14], [0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3], strict=True):
        assert D("10200") - loss >= (80 - 70 - move) * 1000 - D("0.001")


def test_a_covered_write_is_asked_less_than_its_future_alone():
    covered = figures(COMPUTED, (JUL, "1", "70000"), (CALL, "-1", -FAIR * 1000))
    alone = figures(COMPUTED, (JUL, "1", "70000"))
    assert covered.requirement - FAIR * 1000 < alone.requirement == 3000


def test_stress_reprices_an_option_on_a_future_on_its_future():
    _, columns, market, _ = world(COMPUTED, (CALL, "1", "0"))
    gain = scenario_values(columns, market, np.array([0.10]), np.array([0.0]))[columns.ids.tolist().index(51), 0]
    years = DAYS / 365
    expected = black_call(77, 72, years, 0.05, 0.30) - black_call(70, 72, years, 0.05, 0.30)
    assert gain / 1000 == pytest.approx(expected, abs=2e-6)


# --- margins per contract ---------------------------------------------------------------------------------------

PER_CONTRACT = {
    "outright": [
        {"on": "2001-12-11", "initial": "945", "maintenance": "700"},
        {"on": "2024-06-03", "initial": "1320", "maintenance": "1200"},
        {"on": "2024-06-04", "initial": "9999", "maintenance": "9000"},
    ]
}


def test_a_commodity_without_arrays_is_asked_the_margin_in_force():
    one = figures(document(CL=PER_CONTRACT), (JUL, "2", "140000"), (AUG, "-1", "-69000"))
    assert (one.requirement, one.initial) == (3600, 3960)


def test_a_calendar_charge_lets_outrights_offset():
    # one spread at 80, one outright at 1,200
    stated = document(CL={**PER_CONTRACT, "calendar_charge": "80"})
    one = figures(stated, (JUL, "2", "140000"), (AUG, "-1", "-69000"))
    assert (one.requirement, one.initial) == (1280, 1400)


def test_before_its_first_entry_a_commodity_has_no_margin():
    stated = document(CL={"outright": PER_CONTRACT["outright"][2:]})
    assert figures(stated, (JUL, "1", "70000")).reasons == ("CLN4: no margin of its product is in force on 2024-06-03",)


@pytest.mark.skipif(not HISTORY.exists(), reason="no ../shared")
def test_a_table_of_margins_by_date_is_a_document():
    with HISTORY.open(encoding="utf-8", newline="") as lines:
        stated = parameters.of_history(csv.DictReader(lines), on="2024-01-01", source="CME", currency="USD")
    es = future("ESM4", "5300", id=61, commodity="ES", multiplier="50")
    one = figures(stated, (es, "-2", "-530000"))
    assert (one.requirement, one.initial) == (2 * 10800, 2 * 11880)  # since 2022-01-21


def test_the_document_of_the_page_is_read():
    page = (Path(__file__).parents[2] / "docs/methodologies/span.md").read_text(encoding="utf-8")
    stated = json.loads(re.findall(r"```json\n(.*?)```", page, re.S)[1])
    read = parameters.of_day({"cme": stated}, span.Terms("cme"), date(2026, 11, 20), set(stated["commodities"]))
    assert read.commodities["ZC"].is_outright
    assert read.commodities["CL"].range_of("2027-03") == parameters.Range(amount=D("4.00"))
    assert read.losses(read.commodities["CL"].contracts["CLF7 C80"])[15] == 420


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "holding", "reason"),
    [
        (None, JUL, "no parameters day are loaded"),
        (document(HO={}), JUL, "CLN4: Test Exchange of 2024-05-31 has no product CL"),
        (document(CL={}), JUL, "CLN4: the parameters state no array for it and no range to compute one from"),
        (
            document(CL={"range": {}}),
            JUL,
            "day.commodities.CL.range: one of amount, rate and daily_sigma must be stated",
        ),
        (
            document(CL={"range": {"amount": "5"}, "currency": "EUR"}),
            JUL,
            "CLN4: it is in USD, and the parameters of CL are in EUR",
        ),
        (document(on="2024-06-04", CL={}), JUL, "parameters day are of 2024-06-04, after the day"),
        (document(on="2024-05-29", CL={}), JUL, "parameters day are of 2024-05-29, more than 4 days old"),
        (
            CRUDE,
            future("X", "70", id=31, is_inverse=True),
            "X: an inverse contract is not linear in its price: it needs an array",
        ),
        (CRUDE, future("X", "70", id=31, expires_on=date(2024, 6, 2)), "X: expired on 2024-06-02"),
        (CRUDE, future("X", "70", id=31, expires_on=None), "X: its expiry is not known"),
        (CRUDE, future("X", "70", id=31, commodity=""), "X: its product is not known"),
        (
            document(CL=PER_CONTRACT),
            CALL,
            "C72: its product has margins per future only: an option needs an array, or ranges to compute it",
        ),
        (document(CL={}, credits=[CREDIT]), JUL, "parameters day, credits: there is no commodity ZC, ZS"),
    ],
)
def test_what_cannot_be_margined_has_no_number_and_says_why(stated, holding, reason):
    one = figures(stated, (holding, "1", "0"), terms={"max_age_days": 4})
    assert (one.status, one.requirement, one.reasons) == (Status.UNPRICED, None, (reason,))


def test_an_option_without_a_price_for_its_future_has_no_number():
    call = replace(CALL, contract=replace(CALL.contract, spot=None, spot_reason="CLN4 has no price"))
    assert figures(COMPUTED, (call, "1", "0")).reasons == ("C72: CLN4 has no price",)


def test_many_reasons_are_counted():
    strange = [(future(f"X{k}", "70", id=100 + k, commodity="XX"), "1", "0") for k in range(5)]
    (reason,) = figures(CRUDE, *strange).reasons
    assert reason.startswith("X0: Test Exchange of 2024-05-31 has no product XX; X1: ")
    assert reason.endswith("; and 2 more")


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"parameters": ""}, "must name a document"),
        ({"parameters": "day", "initial_multiplier": "0.9"}, "initial_multiplier must not be below 1"),
        ({"parameters": "day", "house": {"CL": "0.5"}}, "house.CL must not be below 1"),
        ({"parameters": "day", "max_age_days": -1}, "max_age_days"),
    ],
)
def test_terms_that_make_no_sense_are_refused(terms, reason):
    with pytest.raises(ValueError, match=reason):
        span.Terms.from_json(terms)


# --- invariants -------------------------------------------------------------------------------------------------

LINES = [
    {"rate": "0.5", "legs": [{"of": "CL", "ratio": "1", "side": "A"}, {"of": "HO", "ratio": "1", "side": "B"}]},
    {
        "rate": "0.3",
        "legs": [
            {"of": "CL", "ratio": "3", "side": "A"},
            {"of": "HO", "ratio": "2", "side": "A"},
            {"of": "ZC", "ratio": "1", "side": "B"},
        ],
    },
]
EVERYTHING = document(
    credits=LINES,
    CL={
        "range": {"amount": "5"},
        "volatility_range": "0.04",
        "short_option_minimum": "100",
        "tiers": TIERS,
        "spreads": [CALENDAR],
        "spot": [{"period": "2024-07", "spread_rate": "3", "outright_rate": "7"}],
        "contracts": {"C75": {"array": array("40", "-900", "13", rest="-7"), "delta": "0.37"}},
    },
    HO={"range": {"rate": "0.07"}},
    ZC={"outright": [{"on": "2020-01-01", "initial": "1000", "maintenance": "900"}], "calendar_charge": "50"},
)
ROWS = [
    JUL,
    AUG,
    CALL,
    option("C75", "1.5", id=52, right="call", strike="75", expires_on=AUGUST),
    option("P60", "0.8", id=53, right="put", strike="60"),
    future("HON4", "2.4", id=61, commodity="HO", multiplier="42000"),
    future("ZCN4", "4.5", id=62, commodity="ZC", multiplier="5000"),
]
BOOKS = st.lists(st.integers(-9, 9), min_size=len(ROWS), max_size=len(ROWS)).filter(any)


def held(quantities):
    return [(row, str(quantity), "0") for row, quantity in zip(ROWS, quantities, strict=True) if quantity]


@settings(max_examples=40, deadline=None)
@given(BOOKS, st.booleans())
def test_the_requirement_is_the_sum_of_its_charges_and_never_below_its_minimums(quantities, grants):
    terms = {"grants_option_value": grants, "house": {"HO": "1.3"}, "initial_multiplier": "1.1"}
    arguments = world(EVERYTHING, *held(quantities), terms=terms)
    (one,) = assess(*arguments).figures(np.array([0]))
    total = sum(list_charges(*arguments, np.array([0])).amount, D(0))
    assert one.requirement == total.quantize(D("0.01"), "ROUND_CEILING")
    assert one.initial >= one.requirement >= 0
    worth = sum(q * row.price * 1000 for q, row in zip(quantities[2:5], ROWS[2:5], strict=True))
    short = -sum(min(quantity, 0) for quantity in quantities[2:5])
    assert one.requirement >= 100 * short - max(worth, 0)


@settings(max_examples=25, deadline=None)
@given(BOOKS, st.randoms(use_true_random=False))
def test_the_requirement_does_not_depend_on_the_order_of_instruments(quantities, random):
    ids = list(range(200, 200 + len(ROWS)))
    random.shuffle(ids)
    renumbered = [(replace(row, id=id), *rest) for (row, *rest), id in zip(held(quantities), ids, strict=False)]
    assert figures(EVERYTHING, *renumbered).requirement == figures(EVERYTHING, *held(quantities)).requirement


@settings(max_examples=25, deadline=None)
@given(BOOKS)
def test_a_holding_in_two_lots_is_asked_the_same(quantities):
    twins = [(replace(row, id=row.id + 1000), *rest) for row, *rest in held(quantities)]
    doubled = [2 * quantity for quantity in quantities]
    whole, lots = figures(EVERYTHING, *held(doubled)), figures(EVERYTHING, *held(quantities), *twins)
    assert (whole.requirement, whole.initial) == (lots.requirement, lots.initial)


def test_accounts_are_measured_apart_and_one_without_a_number_leaves_the_others_theirs():
    strange = future("X", "70", id=31, commodity="XX")
    rules = world(CRUDE, (JUL, "1", "70000"))[3]
    two = World(
        (*CASH, JUL, replace(strange, id=33)),
        (AccountRow(7, "USD"), AccountRow(8, "USD"), AccountRow(9, "USD")),
        tuple(
            PositionRow(number, id, D(quantity), D(quantity) * 70000)
            for number, id, quantity in ((7, 31, 1), (8, 33, 1), (9, 31, -2))
        ),
        rules.policies[0].regimes,
    )
    book, columns, _, _ = two.arguments
    found = assess(book, columns, Market(ON, {}, RATES, {"day": CRUDE}), rules).figures(np.arange(3))
    assert [one.requirement for one in found] == [5000, None, 10000]
