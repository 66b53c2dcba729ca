"""What stands for stock, adjusted contracts, cash accounts, refusals, forecasts, and what must hold of any book."""

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import build
from margin.engine.build import InstrumentRow
from margin.engine.methodologies import option_strategies
from margin.engine.methodologies.option_strategies.forecast import forecast
from margin.engine.methodologies.option_strategies.legs import Refusal, months_later
from margin.engine.methodologies.option_strategies.opening import openings
from tests.engine.option_world import (
    INDEX,
    INDEXED,
    ON,
    STOCK,
    D,
    convertible,
    fund,
    groups,
    index_call,
    legs,
    measured,
    opened,
    option,
    rewritten,
    stock,
    terms,
    warrant,
)
from tests.engine.world import USD

# ---------------------------------------------------------------- what stands for the stock


def test_a_fund_on_the_index_covers_a_short_index_call():
    """gendev1/marvelous-monkey: 25 % of the lower of market and strike, 100 × 460."""
    held = [(fund("500"), D(100)), (index_call("460", "45", "500"), D(-1))]
    assert measured(held) == (11500, 23000, -4000)


def test_the_fund_must_be_worth_as_much_as_the_index():
    """1,011.1 per index point and 10 a share: 10,111 shares (Cboe Margin Manual page 48 rounds up)."""
    call = index_call("1100", "5", "1011.06")
    assert measured([(fund("10"), D(10_111)), (call, D(-1))])[0] == D("25277.5")
    naked = 500 + D("0.15") * 101106 - (110000 - 101106)
    assert measured([(fund("10"), D(10_110)), (call, D(-1))])[0] == max(naked, 500 + D("10110.6")) + 25275


@pytest.mark.parametrize("unfit", [{"leverage": D(2)}, {"margin_class": "etn_broad"}, {"index": 0}])
def test_notes_leveraged_funds_and_other_funds_do_not_cover_an_index_call(unfit):
    row = InstrumentRow(901, "FUND", "etf", "USD", D(500), **{"index": INDEX, "margin_class": "etf_broad", **unfit})
    made, market = groups([(row, D(100)), (index_call("600", "1", "500"), D(-1))])
    figures = option_strategies.measure_groups(made, market, "maintenance", terms())
    assert figures.requirement[-1] >= 100 + 5000


def test_a_convertible_covers_a_short_call_and_counts_for_no_more_than_the_strike():
    """25 bonds of 4 shares each stand for 100 shares: worth 25 × 320 = 8,000, the strike 7,000."""
    call = option("call", "90", "3", id=11, spot="80")
    assert measured([(convertible("320"), D(25)), (call, D(-1))]) == (2000, 2000, 0)
    deep = option("call", "70", "12", id=11, spot="80")
    assert measured([(convertible("320"), D(25)), (deep, D(-1))]) == (1750, 1750, -1000)


def test_a_convertible_that_costs_money_or_matures_first_covers_nothing():
    call = option("call", "90", "3", id=11, spot="80")
    naked = 300 + 800
    assert measured([(convertible("320", exercise_price=D(1)), D(25)), (call, D(-1))])[0] == naked + 2000
    early = InstrumentRow(**{**vars(convertible("320")), "matures_on": ON + timedelta(30)})
    assert measured([(early, D(25)), (call, D(-1))])[0] == naked + 2000


def test_a_long_convertible_offsets_the_short_it_turns_into():
    """4210(e)(1): 10 % of the long."""
    held = [(convertible("320"), D(25)), (stock("80"), D(-100))]
    assert measured(held)[0] == 800
    assert measured([(convertible("320"), D(25)), (stock("80"), D(-150))])[0] == 800 + 50 * 24


def test_a_warrant_covers_a_short_call_but_has_no_loan_value():
    call = option("call", "85", "3", id=11, spot="80")
    assert measured([(warrant("6", "85"), D(100)), (call, D(-1))]) == (600, 600, 0)
    dearer = measured([(warrant("6", "88"), D(100)), (call, D(-1))])
    assert dearer == (900, 900, 0)  # exercising costs 3 a share more than the strike brings
    found = opened([(warrant("6", "88"), D(100)), (call, D(-1))])
    assert (found.gross, found.net_call) == (900, 600)
    assert measured([(warrant("6", "85", months=1), D(100)), (call, D(-1))])[0] == 600 + 300 + 1600 - 500


# ---------------------------------------------------------------- adjusted contracts


ADJUSTED = {"is_adjusted": True, "deliverable": ((STOCK, D(150), D(40)),), "deliverable_cash": D(25)}


def test_an_adjusted_contract_is_measured_on_what_it_delivers():
    """150 shares at 40 and 25 in cash against a strike of 65 × 100: out of the money by 6,500 − 6,025 = 475."""
    call = option("call", "65", "1", id=11, spot="40", **ADJUSTED)
    assert measured([(call, D(-1))])[0] == 100 + D("0.2") * 6025 - 475


def test_an_adjusted_call_is_covered_by_all_that_it_delivers():
    call = option("call", "65", "1", id=11, spot="40", **ADJUSTED)
    assert measured([(call, D(-1)), (stock("40"), D(150))])[0] == 1500
    assert measured([(call, D(-1)), (stock("40"), D(149))])[0] == 830 + 1490
    two = {**ADJUSTED, "deliverable": ((STOCK, D(100), D(40)), (70, D(10), D(20)))}
    call = option("call", "65", "1", id=11, spot="40", **two)
    spun = stock("20", id=70, code="SPUN")
    assert measured([(call, D(-1)), (stock("40"), D(100)), (spun, D(10))])[0] == 1000 + 50
    deep = option("call", "30", "13", id=11, spot="40", **two)
    # The strike brings 3,000 for stock worth 4,200 and 25 in cash: it counts for 2,975.
    assert measured([(deep, D(-1)), (stock("40"), D(100)), (spun, D(10))]) == (D("743.75"), D("1487.5"), -1225)


def test_an_adjusted_and_a_standard_contract_do_not_spread():
    call = option("call", "40", "3", id=11, spot="40")
    adjusted = option("call", "45", "3", id=12, spot="40", **ADJUSTED)
    assert measured([(call, D(-1)), (adjusted, D(1))])[0] == 300 + 800


# ---------------------------------------------------------------- cash accounts


CASH = {"account": "cash"}


def test_a_cash_account_secures_puts_by_the_whole_strike_and_calls_by_shares():
    assert measured(legs("-1 P 80 @2", spot="85"), **CASH)[0] == 8000
    found = opened(legs("-1 P 80 @2", spot="85"), **CASH)
    assert (found.gross, found.net_call) == (8000, 7800)
    found = opened(legs("-1 P 175", spot=None), **CASH)
    assert (found.gross, found.proceeds, found.net_call) == (17500, None, None)
    assert measured(legs("100 S @100, -1 C 110 @2", spot="100"), **CASH)[0] == 2500  # what the base asks of the stock
    covered = opened(legs("100 S @100, -1 C 110 @2", spot="100"), **CASH)
    assert (covered.gross, covered.net_call) == (10000, 9800)  # 12 CFR 220.8: paid in full
    refusal = measured(legs("-1 C 110 @2", spot="100"), **CASH)
    assert "cash account" in refusal
    assert "C110/1000" in refusal


def test_a_cash_account_spreads_only_european_cash_settled_options_of_one_expiry():
    text = "-1 P 100 @5, 1 P 95 @3"
    assert measured(legs(text, spot="100", **INDEXED), **CASH)[0] == 500
    assert measured(legs(text, spot="100"), **CASH)[0] == 10000
    assert measured(legs("-1 P 100 @5 m2, 1 P 95 @3 m3", spot="100", **INDEXED), **CASH)[0] == 10000


def test_a_cash_account_knows_no_pairs_no_relief_no_loans_and_no_short_stock():
    assert measured(legs("1 C 100 @20 m18", spot="100"), **CASH) == (0, 0, 0)
    assert measured(legs("100 S @100, 1 P 100 @2", spot="100"), **CASH)[0] == 2500
    assert "short of stock" in measured(legs("-100 S @100, -1 P 100 @2", spot="100"), **CASH)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("text", "spot", "contract", "reason"),
    [
        ("-1 C 100 @0", "100", {}, "price 0 is not positive"),
        ("-1 C 100", "100", {}, "no price"),
        ("-1 C 100 @5", None, {"spot_reason": "halted"}, "halted"),
        ("-1 C 100 @5", "0", {}, "no price of the underlying"),
        ("-1 C 100 @5", "100", {"margin_class": "fx", "venue": "otc"}, "no rule for otc options on class 'fx'"),
        ("-1 C 100 @5", "100", {"margin_class": "unheard_of"}, "no rule for listed options on class 'unheard_of'"),
        ("-1 C 0 @5", "100", {}, "strike 0 is not positive"),
        ("-1 C 100 @5", "100", {"style": ""}, "neither american nor european"),
        ("-1 C 100 @5", "100", {"right": "chooser"}, "neither call nor put"),
        ("-1 C 100 @5", "100", {"is_adjusted": True}, "load its deliverable"),
        ("-1 C 100 @5", "100", {**ADJUSTED, "deliverable": ((STOCK, D(1), None),)}, "which it delivers"),
        ("-0.5 C 100 @5", "100", {}, "not a whole number of contracts"),
        ("-1 C 100 @5", "100", {"expires_on": ON - timedelta(1)}, "expired on"),
        ("-1 C 100 @5", "100", {"expires_on": None}, "no expiry"),
        ("1 C 100 m12", "100", {}, "no price"),
        ("100 S @100, 1 P 100 @5", None, {}, "no price of the underlying"),
    ],
)
def test_what_cannot_be_known_is_refused_by_name(text, spot, contract, reason):
    refusal = measured(rewritten(legs(text, spot=spot), **contract))
    assert reason in refusal
    assert "100" in refusal or "C0" in refusal


def test_a_long_option_alone_needs_no_price():
    assert measured(legs("1 C 100", spot=None)) == (0, 0, 0)


def test_stock_in_another_currency_than_its_options_is_refused():
    held = legs("-1 C 100 @5", spot="100")
    foreign = InstrumentRow(STOCK, "XYZ", "equity", "CAD", D(100))
    assert "several currencies (CAD, USD)" in measured([*held, (foreign, D(100))])


def test_a_warrant_that_the_base_does_not_count_counts_here_and_is_asked_in_full():
    made, market = groups([(warrant("6", "85"), D(100))], kinds=("equity",))
    figures = option_strategies.measure_groups(made, market, "maintenance", terms())
    assert (figures.requirement[0], figures.equity[0]) == (600, 600)
    assert [part.amount for part in figures.told(0).equity] == [600]


def test_stock_that_the_regime_does_not_govern_is_refused():
    made, market = groups(legs("-100 S @100, -1 P 90 @2", spot="100"), kinds=("bond",))
    figures = option_strategies.measure_groups(made, market, "maintenance", terms())
    assert figures.refused[0] == "XYZ: the regime's own methodology does not govern it; add its kind to the regime"


def test_a_holding_that_the_base_refuses_is_refused_here_too():
    held = [(warrant("6", "85"), D(-100)), *legs("-1 C 100 @5", spot="80")]
    assert "short warrant" in measured(held)


def test_openings_name_the_price_they_miss():
    made, market = groups(legs("1 C 100, -1 C 105", spot="100"))
    with pytest.raises(Refusal, match="no price"):
        openings(made, market, terms())


# ---------------------------------------------------------------- forecast


def forecast_of(text, **contract):
    made, market = groups(legs(text, **contract))
    return [(change.on, change.amount) for change in forecast(made, market, terms())]


def test_the_end_of_loan_value_is_announced():
    """1,200 count and 900 are asked until 3 September, nine months before; from then on 300 are missing."""
    held = [(option("call", "80", "12", id=11, spot="78", expires_on=date(2025, 6, 20)), D(1))]
    made, market = groups(held)
    (change,) = forecast(made, market, terms())
    assert (change.on, change.amount) == (date(2024, 9, 20), 300)
    assert change.reason == "C80/11 has no loan value any more"
    assert measured(held, on=date(2024, 9, 19)) == (900, 900, 1200)
    assert measured(held, on=date(2024, 9, 20)) == (0, 0, 0)


def test_what_is_left_after_the_first_expiry_is_announced_page_38():
    """After March the June/May call spread asks 5,000."""
    found = forecast_of("10 C 45 @6 m3, -10 C 55 @1 m2, -10 C 55 @2 m4, 10 C 60 @1 m5", spot="50")
    assert [amount for _, amount in found] == [5000, -5000]
    assert found[0][0] == months_later(ON, 2) + timedelta(1)


def test_what_a_hedge_leaves_behind_when_it_expires_is_announced():
    assert forecast_of("100 S @100, 1 P 100 @2 m2", spot="100") == [(months_later(ON, 2) + timedelta(1), 1500)]
    assert forecast_of("100 S @100, -1 C 80 @21 m2", spot="100")[0][1] == -1500  # 2,500, and the stock counts in full
    found = forecast_of("-1 C 100 @5 m3, -1 P 100 @5 m2", spot="100")
    assert [amount for _, amount in found] == [-500, -2500]


# ---------------------------------------------------------------- groups


def test_what_hangs_together_has_one_key_and_shares_alone_claim_nothing():
    rows = [
        USD,
        stock("100"),
        option("call", "100", "1", id=11, spot="100"),
        convertible("320"),
        warrant("6", "85"),
        stock("20", id=70, code="SPUN"),
        option(
            "call", "65", "1", id=12, spot="40", **{**ADJUSTED, "deliverable": ((STOCK, D(1), D(1)), (70, D(1), D(1)))}
        ),
        stock("5", id=71, code="OTHER"),
        fund("500"),
        option("call", "460", "1", id=13, spot="500", **INDEXED),
        option("call", "46", "1", id=14, spot="50", margin_class="broad_index", underlying=902, index=INDEX),
        InstrumentRow(80, "BOND", "bond", "USD", D(99), debt_class="municipal"),
    ]
    keys = option_strategies.group_keys(build.instruments(rows), terms())
    found = dict(zip([row.code for row in rows], zip(keys.keys, keys.claims, strict=True), strict=True))
    assert {found[code][0] for code in ("XYZ", "C100/11", "CONV", "WARR", "SPUN", "C65/12")} == {found["XYZ"][0]}
    assert found["FUND"][0] == found["C460/13"][0] == found["C46/14"][0] != found["XYZ"][0]
    assert [found[code][0] for code in ("USD", "BOND")] == [0, 0]
    assert [bool(found[code][1]) for code in ("XYZ", "SPUN", "OTHER", "FUND")] == [False] * 4
    assert [bool(found[code][1]) for code in ("C100/11", "CONV", "WARR", "C460/13")] == [True] * 4


def test_equal_groups_are_measured_once_and_told_each_for_itself():
    made, market = groups(legs("-1 C 100 @5, 100 S @100", spot="100"))
    twice = type(made)(
        **{
            **vars(made),
            "account": np.array([0, 1]),
            "currency": np.repeat(made.currency, 2),
            "offsets": np.array([0, 2, 4]),
            **{name: np.tile(getattr(made, name), 2) for name in ("position", "instrument", "quantity", "to_group")},
        }
    )
    figures = option_strategies.measure_groups(twice, market, "maintenance", terms())
    assert figures.requirement.tolist() == [2500, 2500]
    assert figures.told(0) == figures.told(1)


# ---------------------------------------------------------------- terms


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"account": "portfolio"}, "account"),
        ({"hedged_short_basis": "moon"}, "hedged_short_basis"),
        ({"listed": {"shares": {"basic": "0.2", "minimum": "0.1"}}}, "listed"),
        ({"listed": {"equity": {"basic": "-0.2", "minimum": "0.1"}}}, "negative"),
        ({"long_option_rate": "1.5"}, "long_option_rate"),
        ({"hedge_rate": 0.1}, "hedge_rate"),
        ({"unknown": 1}, "unknown key"),
    ],
)
def test_terms_refuse_what_they_do_not_know(change, reason):
    with pytest.raises(ValueError, match=reason):
        terms(**change)


# ---------------------------------------------------------------- what holds of any book


@st.composite
def books(draw, most=6):
    spot = D(draw(st.integers(80, 120)))
    held = []
    for k in range(draw(st.integers(1, most))):
        right, strike = draw(st.sampled_from(["call", "put"])), 5 * draw(st.integers(14, 26))
        intrinsic = max(spot - strike if right == "call" else strike - spot, D(0))
        price = intrinsic + D(draw(st.integers(1, 80))) / 10
        quantity = D(draw(st.sampled_from([-3, -2, -1, 1, 2, 3])))
        held.append(
            (option(right, strike, price, id=1000 + k, spot=spot, months=draw(st.sampled_from([1, 2, 14]))), quantity)
        )
    shares = draw(st.sampled_from([0, 0, 100, 250, -100, -230]))
    return [*held, *([(stock(spot), D(shares))] if shares else [])]


def need(held):
    requirement, _, equity = measured(held)
    return requirement - equity


def by_itself(leg):
    """25 % of long stock and 30 % of short stock above 16.67; an option is a group of its own."""
    row, quantity = leg
    if row.kind == "option":
        return need([leg])
    return row.price * (quantity * D("0.25") if quantity > 0 else -quantity * D("0.30"))


@settings(max_examples=60, deadline=None)
@given(books())
def test_no_book_needs_more_than_its_parts_alone(held):
    alone = sum((by_itself(leg) for leg in held), Decimal(0))
    assert need(held) <= alone


@settings(max_examples=40, deadline=None)
@given(books(5), st.integers(14, 26), st.sampled_from(["call", "put"]), st.sampled_from([1, 2, 14]))
def test_one_more_long_never_lowers_the_excess(held, strike, right, months):
    spot = held[0][0].contract.spot
    more = option(right, 5 * strike, "70", id=2000, spot=spot, months=months)
    assert need([*held, (more, D(1))]) <= need(held)


@settings(max_examples=40, deadline=None)
@given(books(5), st.randoms(use_true_random=False))
def test_the_order_of_legs_does_not_matter_and_lots_can_be_scaled(held, random):
    shuffled = list(held)
    random.shuffle(shuffled)
    assert need(shuffled) == need(held)
    assert need([(row, 2 * quantity) for row, quantity in held]) <= 2 * need(held)


@settings(max_examples=40, deadline=None)
@given(books())
def test_the_initial_requirement_is_never_below_maintenance(held):
    requirement, initial, _ = measured(held)
    assert initial >= requirement


def test_a_month_beyond_the_last_year_is_the_last_day_there_is():
    assert months_later(date(9999, 6, 1), 9) == date.max
    assert months_later(date(2026, 1, 31), 13) == date(2027, 2, 28)
