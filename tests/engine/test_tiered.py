"""Tiers, liquidation prices, funding and interest, against what venues publish and against a pencil."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import build
from margin.engine.assess import assess, list_charges
from margin.engine.build import AccountRow, InstrumentRow, PositionRow
from margin.engine.columns import Contract, Market, PartRule, Policy, RegimeRule, Rules, Status
from margin.engine.explain import explain
from margin.engine.methodologies import cross, tiered
from margin.engine.methodologies.tiered import accruals, brackets, liquidation, venues
from tests.engine.world import ON, D, decimals

USD = InstrumentRow(1, "USD", "cash", "USD", minor_exponent=2)
BTC = InstrumentRow(2, "BTC", "cash", "BTC", minor_exponent=8)
# Binance USD-M BTCUSDT, the table of freqtrade's tests: floor, rate, published amount
BTCUSDT = [
    ("0", "0.004", "0"),
    ("50000", "0.005", "50"),
    ("250000", "0.01", "1300"),
    ("1000000", "0.025", "16300"),
    ("7500000", "0.05", "203800"),
    ("40000000", "0.1", "2203800"),
]
FUTURES = ("future", "perpetual", "crypto")


def cents(number):
    return round(float(number), 2)


# --- brackets ------------------------------------------------------------------------------------------------


def test_amounts_follow_from_the_floors():
    floors, rates, published = zip(*[map(D, row) for row in BTCUSDT], strict=True)
    assert brackets.amounts(floors, rates) == published


def test_a_coin_margined_bracket_has_its_amount_in_coins():
    # Binance COIN-M: 50 BTC, 2.5 % to 5 %, from 0.56
    assert brackets.next_amount(D("0.56"), D(50), D("0.025"), D("0.05")) == D("1.81")


@pytest.mark.parametrize(("notional", "rate"), [("49999.99", "0.004"), ("50000", "0.005"), ("1e9", "0.1")])
def test_a_floor_belongs_to_the_upper_bracket(notional, rate):
    table = brackets.brackets_of([D(f) for f, _, _ in BTCUSDT], [D(r) for _, r, _ in BTCUSDT])
    assert brackets.bracket_at(table, D(notional)).rate == D(rate)


@pytest.mark.parametrize(
    ("size", "rate"), [(0, "0.01"), (2000, "0.01"), (2001, "0.015"), (4000, "0.015"), (8000, "0.02")]
)
def test_a_closed_range_includes_both_ends(size, rate):
    ranges = [
        brackets.ClosedRange(*each)
        for each in ((0, 2000, D("0.01")), (2001, 4000, D("0.015")), (4001, 8000, D("0.02")))
    ]
    assert brackets.range_at(ranges, D(size)).rate == D(rate)
    with pytest.raises(ValueError, match="no published range holds 8001"):
        brackets.range_at(ranges, D(8001))


def test_marginal_tiers_tax_each_part_at_its_own_rate():
    # Bybit: 20 + 25 + 30 + 17.50 for 3,500
    tiers = [(D(1000 * k), D(rate)) for k, rate in enumerate(("0.02", "0.025", "0.03", "0.035", "0.04"), 1)]
    assert brackets.marginal(D(3500), tiers) == D("92.5")
    with pytest.raises(ValueError, match="beyond the last"):
        brackets.marginal(D(5001), tiers)


@given(decimals("0", "50000000", 2))
@settings(max_examples=60, deadline=None)
def test_brackets_with_amounts_are_marginal_tiers(notional):
    floors, rates = [D(f) for f, _, _ in BTCUSDT], [D(r) for _, r, _ in BTCUSDT]
    tiers = list(zip([*floors[1:], None], rates, strict=True))
    found = brackets.bracket_at(brackets.brackets_of(floors, rates), notional)
    assert found.maintenance(notional) == brackets.marginal(notional, tiers)


def test_half_of_the_initial_rate_is_hyperliquids_maintenance():
    # DOGE: 10x, 5x from 20,000, 3x from 100,000
    rates = brackets.half_of_initial([D(10), D(5), D(3)])
    assert rates == (Fraction(1, 20), Fraction(1, 10), Fraction(1, 6))
    found = brackets.amounts([Fraction(0), Fraction(20_000), Fraction(100_000)], rates)
    assert [cents(amount) for amount in found] == [0, 1000, 7666.67]


@pytest.mark.parametrize(
    ("base", "initial", "factor", "notional", "rate"),
    [("0.05", "0.1", "0.0000003754", "4915.23", 0.05), ("0.025", "0.05", "0.0000003517", "255000", 0.025)],
)
def test_a_power_law_starts_from_its_base(base, initial, factor, notional, rate):
    # OrderlyNetwork/js-sdk
    assert brackets.Power(D(base), D(initial), D(factor)).rate(float(notional)) == rate


def test_a_power_law_grows_with_the_four_fifths_of_size():
    # 32,768 is 2^15, and its 4/5 power 2^12
    assert brackets.Power(D("0.01"), D("0.02"), D("0.0001")).rate(32768) == pytest.approx(0.5 * 0.0001 * 4096)


# --- liquidation prices ---------------------------------------------------------------------------------------

ETH = {"side": 1, "quantity": D("3683.979"), "entry": D("1456.84"), "rate": D("0.1"), "amount": D(135365)}
BITCOIN = {"side": 1, "quantity": D("109.488"), "entry": D("32481.98"), "rate": D("0.025"), "amount": D(16300)}
WALLET = D("1535443.01")


def test_binance_publishes_these_liquidation_prices():
    assert cents(liquidation.linear(wallet=WALLET, **ETH)) == 1114.78
    assert cents(liquidation.linear(wallet=WALLET, **BITCOIN)) == 18778.73
    ether, bitcoin = liquidation.Other(mark=D("1335.18"), **ETH), liquidation.Other(mark=D("31967.27"), **BITCOIN)
    assert cents(liquidation.linear(wallet=WALLET, others=[bitcoin], **ETH)) == 1153.26
    assert cents(liquidation.linear(wallet=WALLET, others=[ether], **BITCOIN)) == 26316.89


def stepped(*steps):
    return [brackets.Bracket(*map(D, step)) for step in steps]


def test_the_bracket_is_that_of_the_liquidation_price_and_not_of_the_mark():
    # long 10 at 100 with 600: its 1,000 is in the upper bracket. There (600 + 25 − 1,000) ÷ (0.5 − 10) = 39.47, and the
    # notional of 394.74 is in the lower one: (600 − 1,000) ÷ (0.25 − 10) = 41.03
    table = stepped(("0", "0.025", "0"), ("1000", "0.05", "25"))
    price = liquidation.linear_in_brackets(
        side=1, wallet=D(600), quantity=D(10), entry=D(100), mark=D(100), brackets=table
    )
    assert price == Fraction(400) / Fraction("9.75")


@given(st.sampled_from([1, -1]), decimals("1", "500000", 2), decimals("0.001", "500", 3), decimals("100", "90000", 2))
@settings(max_examples=100, deadline=None)
def test_at_the_price_found_equity_is_maintenance_in_its_own_bracket(side, wallet, quantity, entry):
    table = stepped(*BTCUSDT)
    price = liquidation.linear_in_brackets(
        side=side, wallet=wallet, quantity=quantity, entry=entry, mark=entry, brackets=table
    )
    notional = Fraction(quantity) * price
    if notional > 0:
        own = [bracket for bracket in table if bracket.floor <= notional][-1]
        equity = Fraction(wallet) + side * Fraction(quantity) * (price - Fraction(entry))
        assert equity == notional * Fraction(own.rate) - Fraction(own.amount)


def test_two_brackets_that_point_to_each_other_meet_at_their_floor():
    # amounts that jump: in the lower (0.01) LP = 400 ÷ 9.9 = 40.40, a notional of 404.04, which is in the upper one;
    # there (0.05) with a published amount of 100, LP = 300 ÷ 9.5 = 31.58, a notional of 315.79, which is in the lower
    table = stepped(("0", "0.01", "0"), ("350", "0.05", "100"))
    price = liquidation.linear_in_brackets(
        side=1, wallet=D(600), quantity=D(10), entry=D(100), mark=D(30), brackets=table
    )
    assert price == 35


def test_the_fee_of_closing_is_kept_back():
    # Gate, freqtrade: short 5x at 10
    price = liquidation.isolated_with_fee(
        side=-1, margin=D(4), quantity=D(2), entry=D(10), rate=D("0.01"), fee_rate=D("0.0006")
    )
    assert float(price) == pytest.approx(11.87413417771621, rel=1e-12)


def test_maintenance_may_be_on_the_notional_at_entry():
    assert liquidation.from_entry(side=-1, entry=D(10), leverage=D(5), rate=D("0.01")) == Fraction("11.9")


@pytest.mark.parametrize(("side", "price"), [(1, (100 - 10.06) / 0.95), (-1, (100 + 10.06) / 1.05)])
def test_a_reserve_for_fees_stands_beside_the_margin(side, price):
    found = liquidation.isolated_with_reserve(
        side=side, quantity=D(1), entry=D(100), leverage=D(10), rate=D("0.05"), reserve_rate=D("0.0006")
    )
    assert float(found) == pytest.approx(price, rel=1e-12)


@pytest.mark.parametrize(("side", "entry", "price", "moved"), [(1, "18.884", "17.47", 17.5407), (-1, "10", "12", 11.9)])
def test_a_buffer_moves_the_trigger_towards_entry(side, entry, price, moved):
    assert float(
        liquidation.buffered(side=side, entry=D(entry), price=D(price), buffer_rate=D("0.05"))
    ) == pytest.approx(moved)


def test_an_inverse_short_is_liquidated_where_its_coins_run_out():
    # Bybit: 60,000 USD at 50,000, 10x, 0.5 %
    found = liquidation.inverse_isolated(side=-1, quantity=D(60000), entry=D(50000), leverage=D(10), rate=D("0.005"))
    assert (found.value, found.initial, found.maintenance) == (Fraction("1.2"), Fraction("0.12"), Fraction("0.006"))
    assert cents(found.price) == 55248.62


def test_a_cross_inverse_short_stands_behind_its_balance():
    # 10,000 USD sold at 50,000 with 0.1 BTC, 0.4 %: 0.1 − 0.2 + 10,000 ÷ LP = 40 ÷ LP
    price = liquidation.inverse_cross(side=-1, quantity=D(10000), entry=D(50000), balance=D("0.1"), rate=D("0.004"))
    assert price == 99600


def test_bankruptcy_of_an_inverse_position():
    # Bybit: 10,000 USD long at 8,000, 0.5 BTC, fee 0.075 %
    price = liquidation.inverse_bankruptcy(
        side=1, quantity=D(10000), entry=D(8000), margin=D("0.5"), fee_rate=D("0.00075")
    )
    assert cents(price) == 5718.57


@given(st.sampled_from([1, -1]), decimals("0.0001", "0.1", 4))
def test_at_bankruptcy_the_loss_is_the_margin(side, margin):
    # 10,000 at 8,000 is 1.25 coins
    price = liquidation.inverse_bankruptcy(side=side, quantity=D(10000), entry=D(8000), margin=margin)
    assert side * (Fraction(10000, 8000) - 10000 / price) == -Fraction(margin)
    linear = liquidation.bankruptcy(side=side, margin=margin, quantity=D(3), entry=D(8))
    assert side * 3 * (linear - 8) == -Fraction(margin)


def test_the_root_of_a_power_law_is_near_the_published_bisection():
    # OrderlyNetwork/js-sdk stops at a width of 1e-4: compared to 5e-5
    power = brackets.Power(D("0.006"), D("0.01"), D("0.0000001"))
    price = liquidation.power_cross(
        collateral=D(200000), quantity=D(50), mark=D(90000), power=power, others=D(100 * 3000) * D("0.006")
    )
    assert price == pytest.approx(87107.62339, rel=5e-5)
    assert 200000 + 50 * (price - 90000) == pytest.approx(1800 + power.maintenance(50 * price), rel=1e-12)


@pytest.mark.parametrize(("collateral", "quantity"), [(D(4_600_000), D(50)), (D(-4_600_000), D(-50))])
def test_a_power_law_that_no_price_reaches_has_no_root(collateral, quantity):
    power = brackets.Power(D("0.006"), D("0.01"), D("0.0000001"))
    assert (
        liquidation.power_cross(collateral=collateral, quantity=quantity, mark=D(90000), power=power, others=D(0))
        is None
    )


def test_winners_with_high_leverage_are_deleveraged_first():
    # +50 % at 10x: 5; −50 % at 10x: −0.05
    won = {"entry_value": D(100), "notional": D(150), "equity": D(15)}
    assert liquidation.deleveraging_rank(profit=D(50), **won) == 5
    assert liquidation.deleveraging_rank(profit=D(-50), **won) == Fraction(-1, 20)


# --- funding and interest ---------------------------------------------------------------------------------------

# freqtrade: ADA at midnight and at eight
HISTORY = [accruals.Stamp(D(0), D("-0.000008"), D("2.77")), accruals.Stamp(D(8), D("-0.000003"), D("2.77"))]


@pytest.mark.parametrize(
    ("opened", "closed", "paid"),
    [
        ("0", "8", "-0.0009141"),
        ("0.0042", "8", "-0.0002493"),  # 15 seconds late
        ("0", "7.9997", "-0.0006648"),  # a second early
        ("0.0042", "7.9997", "0"),
    ],
)
def test_only_stamps_inside_the_holding_count_and_both_ends_are_inside(opened, closed, paid):
    found = accruals.funding_while_held(side=-1, size=D(30), opened=D(opened), closed=D(closed), stamps=HISTORY)
    assert found == D(paid)


def test_a_missing_mark_settles_nothing():
    stamps = [accruals.Stamp(D(0), D("0.0001"), None), accruals.Stamp(D(8), D("0.0001"), D(2))]
    assert accruals.funding(side=-1, size=D(10), stamps=stamps) == D("0.002")


def test_funding_is_clamped_to_the_distance_of_the_margins():
    # dYdX: 600 % × (15 % − 12 %)
    greatest = accruals.greatest_funding_rate(clamp_factor=D(6), initial_rate=D("0.15"), maintenance_share=D("0.8"))
    assert greatest == D("0.18")


def test_a_long_pays_when_the_funding_index_rises():
    assert accruals.index_settlement(size=30000, index_change=200) == -6000000


@pytest.mark.parametrize(
    ("hours", "by_hour", "by_period"), [("0.1666666667", "0.00125", "0.06"), ("25", "0.03125", "0.24")]
)
def test_interest_conventions_differ_by_a_factor(hours, by_hour, by_period):
    # 60 at 0.05 %: ten minutes are one hour of 24, or two periods of four hours; 25 hours are 25 of 24, or 8 periods
    assert accruals.interest_by_hour(borrowed=D(60), daily_rate=D("0.0005"), hours=D(hours)) == Fraction(by_hour)
    assert accruals.interest_by_period(borrowed=D(60), period_rate=D("0.0005"), hours=D(hours)) == Fraction(by_period)


@pytest.mark.parametrize(("side", "leverage", "borrowed"), [(1, 3, 40), (1, 5, 48), (1, 1, 0), (-1, 1, 30)])
def test_a_long_borrows_money_and_a_short_borrows_coins(side, leverage, borrowed):
    # freqtrade: 30 coins for 60
    assert accruals.borrowed_amount(side=side, quantity=D(30), entry=D(2), leverage=D(leverage)) == borrowed


# --- accounts of venues ----------------------------------------------------------------------------------------


def test_krakens_level_is_eighty_per_cent_at_its_call():
    found = venues.margin_level(
        balance=D(10000), side=1, quantity=D("1.5"), entry=D(30000), mark=D("28133.3"), leverage=D(5)
    )
    assert (found.equity, found.used, cents(found.level)) == (Fraction("7199.95"), 9000, 80.0)


def test_at_its_liquidation_price_an_accounts_ratio_is_one():
    # Binance USD-M liquidation FAQ, ETH alone in the wallet
    size, entry, rate, amount = (ETH[name] for name in ("quantity", "entry", "rate", "amount"))
    price = D("1114.78")
    ratio = venues.margin_ratio(maintenance=[size * price * rate - amount], balance=WALLET + size * (price - entry))
    assert float(ratio) == pytest.approx(1, abs=1e-3)


def test_a_shorts_used_margin_is_revalued():
    found = venues.margin_level(
        balance=D(5000), side=-1, quantity=D("0.2"), entry=D(50000), mark=D(65200), leverage=D(5), is_used_at_mark=True
    )
    assert (found.equity, found.used, cents(found.level)) == (1960, 2608, 75.15)


def test_a_unified_ratio_counts_debts_at_face_and_loans_at_their_rate():
    # 10 BTC less 2 lent on at 50,000, 5 % cut: 380,000; 100,000 USDT owed at face; 20,000 futures and 5 % of 100,000
    coin = venues.Asset(D(10), D(2), D(0), D(0), D(50000), D("0.95"))
    debt = venues.Asset(D(0), D(100000), D(0), D(0), D(1), D("0.95"))
    ratio = venues.unified_ratio(assets=[coin, debt], futures_maintenance=D(20000), loans=[(D(100000), D("0.05"))])
    assert ratio == Fraction(280000, 25000)


def test_okx_asks_the_greater_of_its_risks_and_its_minimum():
    components = venues.Components(
        spot=D(20000), theta=D(5000), vega=D(10000), basis=D(6000), rate=D(4000), extreme=D(9)
    )
    assert components.total() == 40000
    found = venues.okx_margin(total=components.total(), minimum=D(30000), tiers=[(D(10000), D(1)), (None, D(2))])
    assert (found.minimum, found.maintenance, found.initial) == (50000, 50000, 65000)


BANDS = [(D("1.5"), "normal"), (D("1.2"), "reminder"), (D("1.05"), "reduce_only"), (D(1), "liquidation")]


@pytest.mark.parametrize(
    ("ratio", "status"),
    [("1.51", "normal"), ("1.5", "reminder"), ("1.2", "reduce_only"), ("1.05", "liquidation"), ("1", "claim")],
)
def test_a_bound_belongs_to_the_band_below(ratio, status):
    # Binance uniMMR
    assert venues.ratio_band(D(ratio), BANDS, "claim") == status


@pytest.mark.parametrize(("ltv", "status"), [("0.7139", "normal"), ("0.714", "one"), ("0.75", "two"), ("0.9", "repay")])
def test_the_last_rung_reached_is_the_state_of_a_loan(ltv, status):
    assert venues.ltv_band(D(ltv), [(D("0.714"), "one"), (D("0.741"), "two"), (D("0.833"), "repay")]) == status


def test_a_trade_pays_for_the_skew_it_adds():
    # Synthetix: 20 ETH at 2,000 into a scale of 1,000
    fill = venues.skewed_fill(quantity=D(20), index=D(2000), skew_before=D(0), skew_scale=D(1000))
    assert (fill, venues.profit(quantity=D(20), entry=fill, mark=D(2000))) == (2020, -400)


# --- the part ---------------------------------------------------------------------------------------------------


def document(**tables):
    steps = [dict(zip(("floor", "rate", "amount"), row, strict=True)) for row in BTCUSDT]
    return {
        "source": "Binance USD-M, 2024-06-03",
        "tables": {"btc": {"brackets": steps}, **tables},
        "kinds": {"perpetual": "btc"},
    }


def perpetual(price, *, code="BTCUSDT", currency="USD", multiplier="1", is_inverse=False):
    written = Contract(underlying=0, spot=None, is_inverse=is_inverse)
    return InstrumentRow(11, code, "perpetual", currency, D(price), multiplier=D(multiplier), contract=written)


def arguments(row, quantity, cost, *, cash="1000000", leverage=None, published=None):
    part = PartRule("tiered", "requirement", tiered.Terms("venue", leverage and D(leverage)), FUTURES)
    regime = RegimeRule("futures", "cross", "requirement", cross.Terms(), ("crypto",), parts=(part,))
    columns = build.instruments((USD, BTC, row), {"USD"})
    held = [PositionRow(7, 1, D(cash)), PositionRow(7, row.id, D(quantity), D(cost))]
    market = Market(
        ON, {("BTC", "USD"): D(50000)}, parameters={"venue": document() if published is None else published}
    )
    return build.book(columns, [AccountRow(7, "USD")], held), columns, market, Rules((Policy("test", (regime,)),))


def figures(*args, **more):
    (one,) = assess(*arguments(*args, **more)).figures(np.array([0]))
    return one


def test_maintenance_is_that_of_the_binding_bracket():
    # 109.488 × 31,967.27 = 3,500,032.46; × 2.5 % − 16,300 = 71,200.81 (Binance USD-M liquidation FAQ)
    one = figures(perpetual("31967.27"), "109.488", D("109.488") * D("32481.98"))
    assert (one.requirement, one.initial) == (D("71200.82"), D("71200.82"))  # 71,200.8114, rounded up


def test_the_charge_names_its_bracket_and_its_deduction():
    these = arguments(perpetual("31967.27"), "-109.488", "-3500000")
    (told,) = explain(*these, 0)["regimes"]
    (charge,) = told["requirement"]["charges"]
    assert (charge["branch"], charge["law"]) == ("bracket_4", "Binance USD-M, 2024-06-03")
    assert charge["sentence"] == (
        "-109.488 BTCUSDT: a notional of 3500032.45776 is in the bracket from 1000000: 2.5 % of it, less 16300"
    )
    assert charge["amount"] == "71200.811444"
    assert sum(list_charges(*these, np.array([0])).amount) == D("71200.811444")


def test_opening_needs_the_notional_by_the_leverage_allowed():
    # 1 at 40,000: 0.4 % to hold; at 20x 2,000, at the house's 10x 4,000
    table = {"brackets": [{"floor": "0", "rate": "0.004", "leverage": "20"}]}
    published = document(btc=table)
    assert figures(perpetual("40000"), 1, 40000, published=published).initial == 2000
    assert figures(perpetual("40000"), 1, 40000, published=published, leverage="10").initial == 4000
    assert figures(perpetual("40000"), 1, 40000, published=published, leverage="50").initial == 2000


def test_an_inverse_contract_has_its_brackets_in_coins():
    # 1,000 × 100 USD at 50,000 are 2 BTC: 0.4 % of the first and 0.5 % of the second is 0.009 BTC, 450 USD
    table = {"brackets": [{"floor": "0", "rate": "0.004"}, {"floor": "1", "rate": "0.005"}]}
    row = perpetual("50000", currency="BTC", multiplier="100", is_inverse=True)
    one = figures(row, 1000, "-2", published=document(btc=table))
    assert (one.equity, one.requirement) == (1_000_000, 450)


@pytest.mark.parametrize(("size", "asked"), [(2000, "200"), (2001, "300.15")])
def test_a_range_asks_one_rate_of_the_whole_position(size, asked):
    ranges = [{"least": 0, "most": 2000, "rate": "0.01"}, {"least": 2001, "most": 4000, "rate": "0.015"}]
    assert figures(perpetual("10"), size, 1, published=document(btc={"ranges": ranges})).requirement == D(asked)


@pytest.mark.parametrize(("quantity", "cash", "equity"), [("2", "0", 80000), ("-2", "100000", 20000)])
def test_a_coin_on_margin_counts_at_its_value_and_is_asked_its_tier(quantity, cash, equity):
    # 2 at 40,000: 0.5 % of 80,000 less 50
    coin = InstrumentRow(12, "BTC", "crypto", "USD", D(40000))
    one = figures(coin, quantity, "0", cash=cash, published={**document(), "kinds": {"crypto": "btc"}})
    assert (one.equity, one.requirement, one.status) == (equity, 350, Status.QUIET)


def test_a_power_law_is_rounded_once():
    # 32,768 at 0.0001 × 4,096 ÷ 2 = 20.48 %: 6,710.8864
    power = {"power": {"base_rate": "0.01", "base_initial_rate": "0.02", "factor": "0.0001"}}
    one = figures(perpetual("32768"), 1, 32768, published=document(btc=power))
    assert (one.requirement, one.initial) == (D("6710.89"), D("13421.78"))


@pytest.mark.parametrize(
    ("published", "reason"),
    [
        ({**document(), "kinds": {}}, "BTCUSDT: no table in the published parameters 'venue'"),
        ({"tables": {}}, "BTCUSDT: published parameters 'venue': source: missing"),
        (
            {**document(), "kinds": {"perpetual": "eth"}},
            "BTCUSDT: published parameters 'venue': Published: tables: none is called eth",
        ),
        (
            document(btc={"ranges": [{"least": 0, "most": 5, "rate": "0.01"}]}),
            "BTCUSDT: its size is in no published range",
        ),
    ],
)
def test_what_is_not_published_leaves_the_account_without_a_number(published, reason):
    one = figures(perpetual("40000"), 6, 240000, published=published)
    assert (one.status, one.reasons) == (Status.UNPRICED, (reason,))


def test_a_set_that_is_not_there_is_named():
    book, columns, market, rules = arguments(perpetual("40000"), 1, 40000)
    (one,) = assess(book, columns, Market(ON, market.fx), rules).figures(np.array([0]))
    assert one.reasons == ("BTCUSDT: no published parameters 'venue'",)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"brackets": [{"floor": "0", "rate": "0.01"}], "ranges": [{"least": 0, "most": 5, "rate": "0.01"}]},
        {"brackets": [{"floor": "5", "rate": "0.01"}]},
        {"brackets": [{"floor": "0", "rate": "0.01"}, {"floor": "0", "rate": "0.02"}]},
        {"brackets": [{"floor": "0", "rate": "0.02"}, {"floor": "5", "rate": "0.01"}]},
        {"brackets": [{"floor": "0", "rate": "1"}]},
        {"brackets": [{"floor": "0", "rate": "0.01", "leverage": "0.5"}]},
        {"brackets": [{"floor": "0", "rate": "0.01", "amount": "0"}, {"floor": "5", "rate": "0.02"}]},
        {"brackets": [{"floor": "0", "rate": "0.01", "amount": "1"}]},
        {"ranges": [{"least": 0, "most": 5, "rate": "0.01"}, {"least": 7, "most": 9, "rate": "0.02"}]},
        {"power": {"base_rate": "0.01", "base_initial_rate": "0.02", "factor": "-1"}},
    ],
)
def test_tables_that_say_nothing_or_contradict_themselves_are_refused(wrong):
    assert figures(perpetual("40000"), 1, 40000, published=document(btc=wrong)).status == Status.UNPRICED
