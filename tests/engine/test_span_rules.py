"""The rules of futures margins, one by one, against published examples and a pencil."""

import math
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.exact import exactly
from margin.engine.methodologies.span import amounts, arrays, settlement, spreads
from margin.engine.methodologies.span.spreads import Leg, Spread

D, F = Decimal, Fraction
# McMillan, S&P 500 future, scan range of 20 points: gains of one long contract
FUTURE = [0, 0, 3330, 3330, -3330, -3330, 6670, 6670, -6670, -6670, 10000, 10000, -10000, -10000, 7000, -7000]


def losses(gains):
    return arrays.as_losses([D(gain) for gain in gains], gains_are_positive=True)


# --- risk arrays ------------------------------------------------------------------------------------------------


def test_scan_risk_is_the_same_whichever_sign_the_array_states():
    stated = [D(gain) for gain in FUTURE]
    turned = arrays.as_losses([-gain for gain in stated], gains_are_positive=False)
    assert arrays.as_losses(stated, gains_are_positive=True) == turned
    assert arrays.scan_risk(turned) == (10000, 13)


def test_short_futures_lose_where_long_ones_gain():
    assert arrays.scan_risk(arrays.added([(D(-2), losses(FUTURE))])) == (20000, 11)


def test_scan_risk_is_never_below_nothing():
    assert arrays.scan_risk(losses([5] * 16)) == (0, 1)


def test_an_array_of_another_length_is_refused():
    with pytest.raises(ValueError, match="16 scenarios, not 15"):
        arrays.as_losses([D(0)] * 15, gains_are_positive=False)


def test_the_twin_of_a_scenario_has_the_opposite_volatility():
    assert [arrays.twin(k) for k in range(1, 17)] == [2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 15, 16]


def test_price_risk_is_paired_risk_less_time_risk():
    # scenario 13 loses 900, its twin 860, scenarios 1 and 2 lose 40 and -20: paired 880, time 10
    stated = tuple(map(D, [40, -20, *[0] * 10, 900, 860, 0, 0]))
    assert arrays.price_risk(stated) == 870
    assert arrays.weighted_price_risk(stated, D(-10)) == 87
    assert arrays.weighted_price_risk(stated, D(0)) == 0


def test_time_alone_is_no_price_risk():
    assert arrays.weighted_price_risk(tuple(map(D, [100, 100, *[90] * 14])), F(5)) == 0


def test_a_composite_delta_is_the_weighted_average_over_seven_prices():
    weights = [D("0.27"), D("0.22"), D("0.11"), D("0.04")]  # 0.27 + 2 × 0.37 = 1.01
    stated = [D(d) for d in ("0.5", "0.6", "0.4", "0.7", "0.3", "0.8", "0.2")]
    assert arrays.composite_delta(stated, weights) == F(1, 2)
    upper = [D(0), D(1), D(0), D(0), D(0), D(0), D(0)]
    assert arrays.composite_delta(upper, weights) == F(22, 101)


# --- spreads ----------------------------------------------------------------------------------------------------


def line(rate, *legs):
    return Spread(D(rate), tuple(Leg(of, D(ratio), side) for of, ratio, side in legs))


ONE_TO_ONE = line("200", ("1", "1", "A"), ("2", "1", "B"))
TIERS = {"2026-12": "1", "2027-01": "1", "2027-02": "2", "2027-03": "2"}


def formed(deltas, *lines):
    return spreads.calendar({period: F(delta) for period, delta in deltas.items()}, TIERS, lines)


@pytest.mark.parametrize(
    ("long", "short", "charge", "asked"), [(500, 500, 200, 200), (500, 750, 50, 300), (500, 750, 0, 250)]
)
def test_a_calendar_spread_without_tiers_is_the_difference_of_outrights_and_the_charge(long, short, charge, asked):
    # CME Group, intra-commodity spreads: months at 500, 500 and 750
    assert spreads.calendar_spread(D(long), D(short), D(charge)) == asked


@pytest.mark.parametrize("sign", [1, -1])
def test_calendar_spreads_are_formed_either_way_round(sign):
    found = formed({"2026-12": 10 * sign, "2027-02": -6 * sign}, ONE_TO_ONE)
    assert (found.charge, found.left["2026-12"], found.left["2027-02"]) == (1200, 4 * sign, 0)


def test_two_long_months_form_no_spread():
    assert formed({"2026-12": 10, "2027-02": 6}, ONE_TO_ONE).formed == ()


def test_ratios_limit_the_number_of_spreads():
    # 2 : 1, so 10 long make 5 spreads against 6 short: 1 is left
    found = formed({"2026-12": 10, "2027-02": -6}, line("200", ("1", "2", "A"), ("2", "1", "B")))
    assert (found.formed[0].count, found.charge, found.left["2027-02"]) == (5, 1000, -1)


def test_the_first_line_of_the_file_takes_the_deltas_first():
    within = line("90", ("1", "1", "A"), ("1", "1", "B"))
    found = formed({"2026-12": 5, "2027-01": -3, "2027-02": -4}, within, ONE_TO_ONE)
    assert [(one.line, one.count, one.amount) for one in found.formed] == [(0, 3, 270), (1, 2, 400)]
    other = formed({"2026-12": 5, "2027-01": -3, "2027-02": -4}, ONE_TO_ONE, within)
    assert [(one.line, one.count, one.amount) for one in other.formed] == [(0, 4, 800), (1, 1, 90)]


def test_the_earliest_month_of_a_tier_is_used_first():
    found = formed({"2026-12": 5, "2027-01": 5, "2027-02": -6}, ONE_TO_ONE)
    assert (found.used["2026-12"], found.used["2027-01"], found.left["2027-01"]) == (5, 1, 4)


def test_a_month_of_no_tier_forms_no_spread():
    found = formed({"2030-01": 5, "2027-02": -6}, ONE_TO_ONE)
    assert (found.formed, found.left["2030-01"]) == ((), 5)


def test_three_legs_form_a_butterfly():
    # one month of tier 1, two of tier 2 the other way: 4 long, 6 short
    found = formed({"2026-12": 4, "2027-02": -6}, line("50", ("1", "1", "A"), ("2", "1", "B"), ("2", "1", "B")))
    assert (found.formed[0].count, found.charge) == (3, 150)


def test_the_delivery_charge_counts_deltas_in_spreads_and_outright_ones_apart():
    assert spreads.spot_charge(F(6), F(-4), D(50), D(70)) == 6 * 50 + 4 * 70


def test_an_outright_credit_is_a_share_of_all_legs():
    # CME Group, inter-commodity spreads: 2 corn at 1,750 and 1 soybeans at 2,500, 55 %
    assert spreads.outright_credit([(D(2), D(1750)), (D(1), D(2500))], D("0.55")) == (6000, 3300)


def test_a_credit_across_commodities_is_spreads_by_ratio_by_price_risk_by_rate():
    # 4 spreads, 87 a delta on one leg and 50 on the other, 50 %
    lines = [line("0.5", ("A", "1", "A"), ("B", "1", "B"))]
    (found,) = spreads.across({"A": F(10), "B": F(-4)}, {"A": F(87), "B": F(50)}, lines)
    assert found.credits == {"A": 174, "B": 100}


def test_commodities_on_the_same_side_are_credited_nothing():
    lines = [line("0.5", ("A", "1", "A"), ("B", "1", "B"))]
    assert spreads.across({"A": F(10), "B": F(4)}, {"A": F(87), "B": F(50)}, lines) == []


def test_deltas_used_by_one_line_are_not_there_for_the_next():
    lines = [line("0.5", ("A", "2", "A"), ("B", "1", "B")), line("0.4", ("A", "1", "A"), ("C", "1", "B"))]
    weighted = {"A": F(10), "B": F(20), "C": F(30)}
    first, second = spreads.across({"A": F(-10), "B": F(3), "C": F(9)}, weighted, lines)
    assert (first.count, first.credits) == (3, {"A": 30, "B": 30})  # 3 × 2 × 10 × 0.5 and 3 × 1 × 20 × 0.5
    assert (second.count, second.credits) == (4, {"A": 16, "C": 48})


def test_a_line_needs_every_commodity_of_it():
    lines = [line("0.5", ("A", "1", "A"), ("B", "1", "B"), ("C", "1", "B"))]
    assert spreads.across({"A": F(10), "B": F(-4)}, {"A": F(87), "B": F(50)}, lines) == []


def test_quotients_are_rounded_against_the_account():
    assert spreads.charged(F(1, 3)) == D("0.333334")
    assert spreads.credited(F(2, 3)) == D("0.666666")


@pytest.mark.parametrize(
    ("rate", "legs", "reason"),
    [
        ("-1", [("1", "1", "A"), ("2", "1", "B")], "rate must not be negative"),
        ("1", [("1", "1", "A"), ("2", "1", "A")], "both sides"),
        ("1", [("1", "0", "A"), ("2", "1", "B")], "ratios"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused(rate, legs, reason):
    with pytest.raises(ValueError, match=reason):
        line(rate, *legs)


# --- amounts ----------------------------------------------------------------------------------------------------


def test_a_short_option_book_adds_its_value_to_the_risk():
    assert amounts.total(D(800000), D(-900000)) == 1700000
    risk = amounts.commodity_risk(D(5701000), minimum=D(294000))
    assert amounts.total(risk, D(-32000000)) == 37701000


def test_a_long_option_book_lowers_the_requirement_to_nothing_at_most():
    assert amounts.total(D(800000), D(900000)) == 0


def test_the_short_option_minimum_binds_where_the_risk_is_less():
    assert amounts.commodity_risk(D(100), D(20), D(5), D(60), D(90)) == 90
    assert amounts.commodity_risk(D(100), D(20), D(5), D(30), D(90)) == 95


@pytest.mark.parametrize(("together", "asked"), [(True, 350), (False, 250)])
def test_short_calls_and_puts_are_counted_together_or_the_larger_of_them(together, asked):
    assert amounts.short_option_minimum(D(2), D(5), D(50), together) == asked


def test_the_price_scan_range_of_the_national_stock_exchange_has_a_floor():
    # 6 × 1.0 % × √2 = 8.49 %, below 9.3 %; 6 × 2.0 % × √2 = 16.97 %
    assert amounts.price_scan_range(D("0.01"), D(6), D(2), D("0.093")) == D("0.093")
    assert float(amounts.price_scan_range(D("0.02"), D(6), D(2), D("0.093"))) == pytest.approx(0.12 * math.sqrt(2))


def test_exposure_margin_is_a_share_of_the_contract_value():
    # short 130 of an index at 25,000, 2 %
    assert amounts.exposure(D(130), D(25000), D("0.02")) == 65000


# --- daily settlement -------------------------------------------------------------------------------------------


def path(entry, settlements, *, contracts, multiplier, balance, initial, maintenance):
    days = settlement.path(
        contracts=D(contracts),
        multiplier=D(multiplier),
        entry=D(entry),
        settlements=[D(one) for one in settlements],
        balance=D(balance),
        initial=D(initial),
        maintenance=D(maintenance),
    )
    return [day.balance for day in days], [day.call for day in days if day.call]


def test_five_wheat_futures_are_called_back_to_initial():
    balances, calls = path(
        "5.20",
        ["5.15", "4.98", "4.85", "5.02"],
        contracts=5,
        multiplier=5000,
        balance=32500,
        initial=32500,
        maintenance=25000,
    )
    assert (balances, calls) == ([31250, 27000, 23750, 36750], [8750])


def test_two_gold_futures_are_called_twice():
    # Hull, Options, Futures and Other Derivatives, the operation of margin accounts
    settled = "1241 1238.3 1244.6 1241.3 1240.1 1236.2 1229.9 1230.8 1225.4 1228.1 1211 1211 1214.3 1216.1 1223 1226.9"
    balances, calls = path(
        1250, settled.split(), contracts=2, multiplier=100, balance=12000, initial=12000, maintenance=9000
    )
    assert (balances[6], balances[10], balances[-1], calls) == (7980, 8220, 15180, [4020, 3780])


def test_a_balance_below_nothing_is_called_in_full():
    balances, calls = path(
        "1.85", ["1.93", "1.7292"], contracts=1, multiplier=62500, balance=1800, initial=1800, maintenance=1200
    )
    assert (balances, calls) == ([6800, -5750], [7550])


def test_a_balance_at_maintenance_is_not_called():
    _, calls = path(100, [97], contracts=1, multiplier=100, balance=1000, initial=1000, maintenance=700)
    assert calls == []


@pytest.mark.parametrize(("contracts", "flow"), [(1, D("-47640")), (-1, D("47640"))])
def test_a_settlement_below_nothing_flows_with_its_sign(contracts, flow):
    # crude oil of 1,000 barrels, 10.01 to -37.63
    assert settlement.variation(D(contracts), D(1000), D("10.01"), D("-37.63")) == flow


@given(st.lists(st.integers(-5000, 5000), min_size=1, max_size=8), st.integers(-20, 20), st.integers(0, 900))
def test_the_balance_is_all_that_was_paid_in_and_all_that_was_settled(settled, contracts, maintenance):
    days = settlement.path(
        contracts=D(contracts),
        multiplier=D(10),
        entry=D(100),
        settlements=[D(one) for one in settled],
        balance=D(1000),
        initial=D(1000),
        maintenance=D(maintenance),
    )
    paid_in = sum(day.call for day in days[:-1])
    assert days[-1].balance == 1000 + paid_in + contracts * 10 * (settled[-1] - 100)
    assert all(day.balance + day.call >= maintenance for day in days)


@pytest.mark.parametrize(("price", "left"), [(51, 2000), (48, -4000)])
def test_what_expiry_would_leave_is_projected(price, left):
    # 20 long calls at 50
    found = settlement.exercised(cash=D(0), contracts=D(20), multiplier=D(100), strike=D(50), price=D(price))
    assert (found.cash, found.net_liquidation) == (-100000, left)


def test_assigned_puts_are_bought_and_exercised_ones_sold():
    stated = {"cash": D(0), "multiplier": D(100), "strike": D(50), "price": D(48), "right": "put"}
    assert settlement.exercised(contracts=D(-1), **stated).cash == -5000
    assert settlement.exercised(contracts=D(1), **stated).stock == -4800


class Entry:
    def __init__(self, on):
        self.on = on


def test_the_margin_in_force_is_the_last_that_is_not_after_the_day():
    history = [Entry("1999-01-01"), Entry("2001-12-11")]
    assert settlement.in_force(history, date(2001, 12, 10)) is history[0]
    assert settlement.in_force(history[::-1], date(2001, 12, 11)) is history[1]
    assert settlement.in_force(history, date(1998, 12, 31)) is None


# --- invariants -------------------------------------------------------------------------------------------------

ARRAYS = st.lists(st.integers(-900, 900), min_size=16, max_size=16).map(losses)
LEGS = st.lists(st.tuples(st.integers(-30, 30).map(D), ARRAYS), min_size=1, max_size=5)


@given(LEGS, st.randoms(use_true_random=False))
def test_scan_risk_depends_neither_on_the_order_nor_on_the_lots(legs, random):
    with exactly():
        whole = arrays.scan_risk(arrays.added(legs))
        split = [(quantity / 2, array) for quantity, array in legs for _ in range(2)]
        random.shuffle(split)
        assert arrays.scan_risk(arrays.added(split)) == whole


@given(LEGS, LEGS)
def test_scan_risk_of_two_books_together_is_at_most_that_of_both(one, other):
    with exactly():
        together, first, second = (arrays.scan_risk(arrays.added(legs))[0] for legs in ([*one, *other], one, other))
        assert together <= first + second


@given(st.dictionaries(st.sampled_from(sorted(TIERS)), st.integers(-20, 20).map(F), min_size=1))
def test_calendar_spreads_create_no_deltas_and_lose_none(deltas):
    lines = [line("7", ("1", "1", "A"), ("1", "1", "B")), line("200", ("1", "3", "A"), ("2", "2", "B"))]
    found = spreads.calendar(deltas, TIERS, lines)
    for period, delta in deltas.items():
        assert abs(found.left[period]) + found.used[period] == abs(delta)
        assert found.left[period] * delta >= 0
    assert found.charge == sum(one.count * F(lines[one.line].rate) for one in found.formed)
