"""The strategy rules one by one: what each position asks, by pencil."""

from datetime import date, timedelta

import pytest

from margin.engine.methodologies.option_strategies.legs import months_later
from tests.engine.option_world import (
    INDEX,
    INDEXED,
    ON,
    STOCK,
    D,
    charges,
    legs,
    measured,
    option,
)

# ---------------------------------------------------------------- short options


@pytest.mark.parametrize(
    ("margin_class", "venue", "leverage", "asked"),
    [  # 1 call 100 @1 at 100: 100 + b × 10,000
        ("equity", "listed", 1, 2100),
        ("etf_narrow", "listed", 1, 2100),
        ("etf_broad", "listed", 1, 1600),
        ("etf_broad", "listed", 3, 4600),
        ("etn_broad", "listed", 1, 2100),
        ("etn_broad", "listed", 2, 4100),
        ("narrow_index", "listed", 1, 2100),
        ("broad_index", "listed", 1, 1600),
        ("high_cap_index", "listed", 1, 1600),
        ("vol_index", "listed", 1, 2100),
        ("fx", "listed", 1, 500),
        ("equity", "otc", 1, 3100),
        ("narrow_index", "otc", 1, 3100),
        ("broad_index", "otc", 1, 2100),
    ],
)
def test_a_short_call_at_the_money_asks_the_percentage_of_its_class(margin_class, venue, leverage, asked):
    held = legs("-1 C 100 @1", spot="100", margin_class=margin_class, venue=venue, leverage=D(leverage))
    assert measured(held) == (asked, asked, 0)


def test_leverage_multiplies_the_percentages_and_not_what_is_out_of_the_money():
    held = legs("-1 C 110 @1", spot="100", margin_class="etf_broad", leverage=D(2))
    assert measured(held)[0] == 100 + 3000 - 1000


def test_the_minimum_of_a_put_is_on_the_strike_and_of_a_call_on_the_underlying():
    assert measured(legs("-1 P 50 @1", spot="100"))[0] == 100 + 500
    assert measured(legs("-1 C 150 @1", spot="100"))[0] == 100 + 1000
    assert measured(legs("-1 C 150 @1", spot="100", margin_class="fx"))[0] == 100 + 75


def test_a_house_row_raises_and_never_lowers():
    held = legs("-1 C 100 @1", spot="100", margin_class="broad_index")
    assert measured(held, house={"broad_index": {"basic": "0.20", "minimum": "0.10"}})[0] == 2100
    assert measured(held, house={"broad_index": {"basic": "0.05", "minimum": "0.01"}})[0] == 1600
    cheap = legs("-1 P 5 @0.1", spot="9")
    assert measured(cheap)[0] == 10 + 50
    assert measured(cheap, minimum_per_contract="250")[0] == 10 + 250


def test_an_option_exactly_at_the_money_is_out_of_the_money_by_nothing_both_ways():
    assert measured(legs("-1 C 100 @2", spot="100")) == measured(legs("-1 P 100 @2", spot="100"))


def test_a_pair_takes_either_side_where_both_ask_the_same():
    """Both ask 2,300: 300 + 2,000 and 400 + 2,000 − 100; the lesser of the two option values is added."""
    held = legs("-1 C 100 @3, -1 P 99 @4", spot="100")
    assert measured(held)[0] == 2300 + 300
    (charge,) = charges(held)
    assert charge.code == "short_put_and_call"


def test_duplicate_strikes_of_other_expiries_pair_and_the_rest_stays_naked():
    held = legs("-2 C 100 @3 m2, -1 P 100 @2 m5", spot="100")
    assert measured(held)[0] == (2300 + 200) + 2300


# ---------------------------------------------------------------- spreads


@pytest.mark.parametrize(
    ("name", "text", "loss"),
    [
        ("bull call spread", "1 C 95 @8, -1 C 100 @5", 0),
        ("bear call spread", "-1 C 95 @8, 1 C 100 @5", 500),
        ("bull put spread", "1 P 95 @3, -1 P 100 @5", 500),
        ("bear put spread", "-1 P 95 @3, 1 P 100 @5", 0),
        ("long call butterfly", "1 C 95 @8, -2 C 100 @5, 1 C 105 @3", 0),
        ("short call butterfly", "-1 C 95 @8, 2 C 100 @5, -1 C 105 @3", 500),
        ("long put butterfly with unequal wings", "1 P 90 @1, -2 P 100 @5, 1 P 105 @8", 500),
        ("long call butterfly with unequal wings", "1 C 95 @8, -2 C 100 @5, 1 C 115 @1", 1000),
        ("long call condor", "1 C 90 @12, -1 C 95 @8, -1 C 100 @5, 1 C 105 @3", 0),
        ("short call condor", "-1 C 90 @12, 1 C 95 @8, 1 C 100 @5, -1 C 105 @3", 500),
        ("iron butterfly", "1 P 95 @3, -1 P 100 @5, -1 C 100 @5, 1 C 105 @3", 500),
        ("iron condor", "1 P 90 @2, -1 P 95 @3, -1 C 105 @3, 1 C 115 @1", 1000),
        ("reverse iron condor", "-1 P 90 @2, 1 P 95 @3, 1 C 105 @3, -1 C 110 @2", 0),
        ("long box", "1 C 95 @8, -1 C 105 @3, 1 P 105 @8, -1 P 95 @3", 0),
        ("short box", "-1 C 95 @8, 1 C 105 @3, -1 P 105 @8, 1 P 95 @3", 1000),
        ("call calendar spread", "-1 C 100 @5 m2, 1 C 100 @7 m4", 0),
        ("call diagonal spread", "-1 C 100 @5 m2, 1 C 105 @5 m4", 500),
    ],
)
def test_a_spread_asks_what_it_can_lose_and_bears_the_name_people_know(name, text, loss):
    (charge,) = charges(legs(text, spot="100"))
    assert (charge.code, charge.inputs["name"], charge.amount) == ("spread", name, loss)
    assert len(charge.legs) == len(text.split(", "))


def test_a_spread_never_asks_more_than_its_shorts_would_naked():
    assert measured(legs("-1 C 100 @5, 1 C 200 @0.1", spot="100"))[0] == 500 + 2000


def test_a_long_that_dies_first_covers_nothing():
    """Cboe Margin Manual pages 42 and 43: short calendar and short diagonal, each leg alone."""
    naked = 500 + 2000
    assert measured(legs("-1 C 100 @5 m4, 1 C 100 @4 m2", spot="100"))[0] == naked
    assert measured(legs("-1 C 100 @5 m4, 1 C 95 @8 m2", spot="100"))[0] == naked


def test_a_june_put_spread_and_a_july_call_spread_are_one_condor():
    """Page 37: of each right the long lives as long as the short; the worse wing counts, not both."""
    assert measured(legs("10 P 45 @1 m2, -10 P 50 @2 m2, -10 C 60 @2 m3, 10 C 65 @1 m3", spot="55"))[0] == 5000


def test_a_jelly_roll_is_a_calendar_and_a_naked_put():
    held = legs("-1 C 100 @3 m1, 1 P 100 @3 m1, 1 C 100 @5 m2, -1 P 100 @5 m2", spot="100")
    assert measured(held)[0] == 500 + 2000


def test_a_backspread_asks_its_width():
    assert measured(legs("-1 C 100 @5, 5 C 105 @2", spot="100"))[0] == 500


def test_unequal_contract_sizes_spread_by_what_they_deliver():
    big = option("call", "100", "5", id=11, spot="100")
    small = [option("call", "105", "3", id=12, spot="100", multiplier=10)]
    assert measured([(big, D(-1)), (small[0], D(10))])[0] == 500
    assert measured([(big, D(-1)), (small[0], D(9))])[0] == 2500


# ---------------------------------------------------------------- who may spread with whom


def naked_and_spread(**changes):
    """Amounts of a bear call spread whose legs differ by `changes`: (naked, spread)."""
    short = option("call", "100", "5", id=11, spot="100")
    long = option("call", "105", "3", id=12, spot="100", **changes)
    return measured([(short, D(-1)), (long, D(1))])[0]


def test_american_and_european_options_do_not_spread():
    assert naked_and_spread() == 500
    assert naked_and_spread(style="european") == 2500


def test_listed_and_otc_options_do_not_spread():
    assert naked_and_spread(venue="otc", is_guaranteed=True) == 2500


def test_options_on_a_fund_and_on_its_index_do_not_spread():
    short = option("call", "100", "5", id=11, spot="100", **INDEXED, index=INDEX)
    long = option("call", "105", "3", id=12, spot="100", style="european", underlying=STOCK, index=INDEX)
    assert measured([(short, D(-1)), (long, D(1))])[0] == 500 + 1500


def test_a_flex_option_spreads_with_either_style():
    assert naked_and_spread(style="european", is_flex=True) == 500
    # One FLEX option does not make an American and a European conventional option spread with each other.
    short = option("call", "100", "5", id=11, spot="100")
    far = option("call", "105", "3", id=12, spot="100", style="european")
    flex = option("put", "50", "0.1", id=13, spot="100", style="european", is_flex=True)
    assert measured([(short, D(-1)), (far, D(1)), (flex, D(1))])[0] == 2500


def test_an_am_settled_long_does_not_outlive_a_pm_settled_short_of_its_day():
    early, late = {"settles": "am"}, {"settles": "pm"}
    short = {**INDEXED, "spot": "100"}

    def asked(of_short, of_long, **both):
        one = option("call", "100", "5", id=11, **short, **of_short, **both)
        other = option("call", "105", "3", id=12, **short, **of_long, **both)
        return measured([(one, D(-1)), (other, D(1))])[0]

    assert asked(early, late) == 500
    assert asked(late, early) == 500 + 1500
    assert asked(late, early, is_flex=True) == 500  # FLEX mixes them …
    soon = ON + timedelta(2)
    assert asked(late, early, is_flex=True, expires_on=soon) == 2000  # … until two days before they expire
    assert asked(early, late, is_flex=True, expires_on=soon) == 2000


def test_a_house_may_refuse_european_and_volatility_calendars():
    held = legs("-1 C 100 @5 m2, 1 C 100 @7 m4", spot="100", **INDEXED)
    assert measured(held)[0] == 0
    assert measured(held, european_calendars=False)[0] == 2000
    held = legs("-1 C 20 @1 m2, 1 C 20 @2 m4", spot="20", **{**INDEXED, "margin_class": "vol_index"})
    assert measured(held)[0] == 0
    assert measured(held, volatility_calendars=False)[0] == 100 + 400


# ---------------------------------------------------------------- long options


def test_a_long_option_has_no_value_for_margin_at_nine_months_and_some_a_day_before():
    held = [(option("call", "100", "12", id=11, spot="100", expires_on=date(2025, 3, 4)), D(1))]
    assert measured(held, on=date(2024, 6, 3)) == (900, 900, 1200)  # nine months and one day
    assert measured(held, on=date(2024, 6, 4)) == (0, 0, 0)


def test_nine_months_are_calendar_months():
    assert months_later(date(2024, 5, 31), 9) == date(2025, 2, 28)
    assert months_later(date(2023, 5, 31), 9) == date(2024, 2, 29)
    assert months_later(date(2024, 3, 31), 9) == date(2024, 12, 31)


def test_a_long_option_that_serves_in_a_spread_loses_its_loan_value():
    assert measured(legs("-1 C 100 @5 m2, 1 C 100 @15 m12", spot="100")) == (0, 0, 0)


def test_a_long_option_keeps_its_loan_value_where_that_is_worth_more_than_the_cover():
    """Covering saves 110 of naked margin; the loan value is 25 % of 10,000."""
    held = legs("-1 C 200 @0.1 m2, 1 C 100 @100 m12", spot="10")
    assert measured(held) == (10 + 100 + 7500, 10 + 100 + 7500, 10000)


def test_no_way_takes_a_long_whose_loan_value_is_worth_more():
    """A quarter of the longs' value against what a conversion, a protective put or a box would save."""
    dear = "100 S @100, 1 P 100 @80 m12, -1 C 100 @5 m12"
    assert measured(legs(dear, spot="100")) == (2500 + 6000, 5000 + 6000, 8000)  # covered call, not conversion
    assert measured(legs("100 S @100, 1 P 100 @80 m12", spot="100")) == (2500 + 6000, 5000 + 6000, 8000)
    box = "1 C 90 @400 m12, -1 C 100 @5 m12, 1 P 100 @400 m12, -1 P 90 @4 m12"
    pair = 500 + 1500 + 400
    assert measured(legs(box, spot="100", **INDEXED)) == (pair + 60000, pair + 60000, 80000)


@pytest.mark.parametrize("contract", [{"margin_class": "vol_index"}, {"margin_class": "fx"}, {"venue": "otc"}])
def test_some_long_options_never_have_loan_value(contract):
    assert measured(legs("1 C 100 @12 m18", spot="110", **contract)) == (0, 0, 0)


# ---------------------------------------------------------------- stock with options


@pytest.mark.parametrize(
    ("text", "spot", "requirement", "initial", "equity"),
    [
        # Covered call: 25 % (50 %) of the stock, which counts for no more than the strike.
        ("100 S @100, -1 C 110 @2", "100", 2500, 5000, 0),
        ("100 S @100, -1 C 80 @21", "100", 2000, 4000, -2000),
        # 150 shares, two calls: one covered, one naked at 200 + 2,000 − 1,000.
        ("150 S @100, -2 C 110 @2", "100", 3750 + 1200, 7500 + 1200, 0),
        # Covered put: the short table and what the put is in the money.
        ("-100 S @100, -1 P 90 @2", "100", 3000, 5000, 0),
        ("-100 S @100, -1 P 120 @22", "100", 5000, 7000, 0),
        # Protective put: min(10 % K + out of the money, 25 % U).
        ("100 S @100, 1 P 95 @2", "100", 950 + 500, 5000, 0),
        ("100 S @100, 1 P 80 @1", "100", 2500, 5000, 0),
        # Protective call: min(10 % K + out of the money, 30 % U).
        ("-100 S @100, 1 C 105 @2", "100", 1050 + 500, 5000, 0),
        ("-100 S @100, 1 C 150 @1", "100", 3000, 5000, 0),
        # Conversion: 10 % K; the stock counts for the strike.
        ("100 S @100, 1 P 95 @2, -1 C 95 @8", "100", 950, 4750, -500),
        # Collar: min(10 % K1 + out of the money, 25 % K2).
        ("100 S @100, 1 P 95 @2, -1 C 105 @2", "100", 1450, 5000, 0),
        ("100 S @100, 1 P 88 @2, -1 C 90 @11", "100", 880 + 1200, 4500, -1000),
        ("100 S @20, 1 P 5 @0.1, -1 C 22 @1", "20", 500, 1000, 0),
    ],
)
def test_stock_with_options_asks_what_the_table_says(text, spot, requirement, initial, equity):
    assert measured(legs(text, spot=spot)) == (requirement, initial, equity)


def test_european_options_and_unguaranteed_otc_ones_give_stock_no_relief():
    text = "100 S @100, 1 P 100 @2"
    assert measured(legs(text, spot="100"))[0] == 1000
    assert measured(legs(text, spot="100", style="european"))[0] == 2500
    assert measured(legs(text, spot="100", venue="otc"))[0] == 2500
    assert measured(legs(text, spot="100", venue="otc", is_guaranteed=True))[0] == 1000


def test_a_european_call_is_covered_by_the_stock_all_the_same():
    assert measured(legs("100 S @100, -1 C 110 @2", spot="100", style="european"))[0] == 2500


def test_a_collar_needs_one_expiry():
    """Else it is a covered call with an idle put, or a protective put with a naked call, whichever is less."""
    assert measured(legs("100 S @100, 1 P 95 @2 m2, -1 C 105 @2 m3", spot="100"))[0] == 2500


def test_the_same_stock_serves_once():
    held = legs("100 S @100, 1 P 100 @2, -1 C 110 @2 m3", spot="100")
    # Covered call 2,500 with an idle put, not the put's 1,000 as well; protective put 1,000 + naked 1,200 is less.
    assert measured(held)[0] == 1000 + 1200


def test_the_relief_of_a_reverse_conversion_is_a_switch():
    held = legs("-100 S @100, 1 C 95 @7, -1 P 95 @1", spot="100")
    assert measured(held) == (950, 950, 0)
    assert measured(held, reverse_conversion_relief=False) == (950, 5000, 0)
    above = legs("-100 S @100, 1 C 105 @1, -1 P 105 @7", spot="100")
    assert measured(above) == (1050 + 500, 5000 + 500, 0)  # strike above the sale price: no relief


def test_the_house_table_of_the_stock_is_what_relief_is_measured_against():
    """4210(d): a house rate of 40 % on the stock; the covered call is charged it on the strike."""
    house = {"house": {"basic": {"long": "0.40", "short": "0.40"}}}
    assert measured(legs("100 S @100, -1 C 80 @21", spot="100"), base=house)[0] == 3200
    assert measured(legs("100 S @100, 1 P 95 @2", spot="100"), base=house)[0] == 1450


def test_shares_beyond_what_a_contract_delivers_are_charged_and_told_as_stock():
    listed = charges(legs("150 S @100, -1 C 110 @2", spot="100"))
    assert [(c.code, c.amount, c.legs) for c in listed] == [
        ("covered_call", 2500, ((1, -1), (0, 100))),
        ("finra_4210_c", 1250, ((0, 50),)),
    ]
    assert measured(legs("99.5 S @100, -1 C 110 @2", spot="100"))[0] == D("2487.5") + 1200


def test_the_worked_table_of_the_documentation_comes_out():
    """Collar 900 + 1,000, pair 1,800 + 200, 50 shares 1,250; covered, naked and spread would be 5,450."""
    held = legs("150 S @100, -2 C 110 @2, -1 P 95 @3, 1 P 90 @1.5", spot="100")
    assert sorted((c.code, c.amount) for c in charges(held)) == [
        ("collar", 1900),
        ("finra_4210_c", 1250),
        ("short_put_and_call", 2000),
    ]
