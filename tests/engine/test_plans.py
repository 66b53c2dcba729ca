"""Plans against a pencil: what they are best at, in which order they are done, and what they say before anything is."""

from dataclasses import replace

import pytest

from margin.engine import plans
from margin.engine.columns import PartRule
from margin.engine.plans import Costs, Demand, Stage, Wants
from tests.engine.option_world import option
from tests.engine.option_world import stock as shares
from tests.engine.option_world import terms as option_terms
from tests.engine.world import D, account, regime, stock

EXCHANGE = (regime("exchange", kinds=("equity", "etf")),)
A, B = stock("100", id=20, code="A"), stock("10", id=21, code="B")
KINDS = ("equity", "etf", "bond", "option")
OPTIONS = (
    replace(
        regime("exchange", kinds=KINDS[:3]),
        parts=(PartRule("option_strategies", "maintenance", option_terms(), KINDS),),
    ),
)


def find(made, regime="exchange", **wants):
    return plans.find(*made.arguments, demand=Demand("call", regime, D(0)), wants=Wants(**wants))


def trades(plan):
    return {trade.instrument_id: trade.quantity for trade in plan.trades}


def test_the_smallest_sale_takes_the_lots_that_come_closest():
    # LMV 10,000 + 1,000 against 8,500: 2,750 asked, equity 2,500: 250 ÷ 25 % = 1,000 is 10 A or, whole, 100 B; 1,005
    # missing (251.25) is 11 A = 1,100, but 10 A and 1 B = 1,010: and 1,010 is less
    made = account("-8501.25", (A, 100), (B, 100), regimes=EXCHANGE)
    assert (find(made).total.value, find(made).is_proven) == (1010, False)


def test_the_cheapest_sale_goes_round_the_spread():
    made = account("-8500", (A, 100), (B, 100), regimes=EXCHANGE)
    halves = {20: D("0.50"), 21: D("0.01")}
    # A costs 0.50 a share, 0.5 % of its value, B 0.01, 0.1 %. 100 B release 250 less 1.00, a dollar too little; one A
    # releases 25.00 less 0.50, so 225.50 ÷ 2.49 = 90.6 of B will do: 91
    found = find(made, objective="cheapest", costs=Costs(half_spreads=halves))
    assert trades(found) == {20: -1, 21: -91}
    assert (found.total.spread, found.total.fee) == (D("1.41"), 0)


def test_a_minimum_fee_makes_one_order_of_two():
    # 1,010 in two orders pays 20.00; 11 A in one pays 10.00 and is 1,100: by cost the one order is better
    made = account("-8501.25", (A, 100), (B, 100), regimes=EXCHANGE)
    found = find(made, objective="cheapest", costs=Costs(fee_minimum=D(10)))
    assert found.total.orders == 1
    assert found.total.fee == 10


def test_a_small_book_is_tried_out_whole():
    made = account("-8501.25", (replace(A, lot=D(20)), 100), (replace(B, lot=D(50)), 100), regimes=EXCHANGE)
    found = find(made)
    # 1,005 is asked: 20 A = 2,000, 100 B = 1,000 is short; 50 B and 20 A is more: so 20 A
    assert (trades(found), found.is_proven) == ({20: -20}, True)


def test_what_ranks_is_kept_until_the_rest_is_gone():
    made = account("-8500", (A, 100), (B, 100), regimes=EXCHANGE)
    assert trades(find(made, ranks={20: 1})) == {21: -100}
    assert trades(find(made, ranks={21: 1})) == {20: -10}
    # 9,000 borrowed: 750 ÷ 25 % = 3,000: all of B, and 20 of A
    poorer = account("-9000", (A, 100), (B, 100), regimes=EXCHANGE)
    found = find(poorer, ranks={20: 2})
    assert trades(found) == {20: -20, 21: -100}
    assert [trade.rank for trade in found.trades] == [0, 2]


def test_nothing_is_planned_where_nothing_is_missing():
    found = find(account("-1000", (A, 100), regimes=EXCHANGE))
    assert (found.trades, found.is_enough, found.residual) == ((), True, 0)


def test_it_says_before_anything_is_sold_that_all_of_it_is_not_enough():
    # 10,000 of A, 10,500 owed: all of it sold leaves a debt of 500.00
    found = find(account("-10500", (A, 100), regimes=EXCHANGE))
    assert (found.is_enough, found.residual) == (False, 500)
    assert trades(found) == {20: -100}
    assert (found.everything.excess, found.everything.is_enough) == (-500, False)


def test_what_may_not_be_sold_is_left_out_with_its_reason():
    made = account("-8500", (A, 100), (B, 100), regimes=EXCHANGE)
    found = find(made, left_out={20: "halted"})
    assert (trades(found), found.left_out) == ({21: -100}, ((20, "halted"),))
    gone = find(made, left_out={20: "halted", 21: "halted"})
    assert (gone.trades, gone.is_enough, gone.residual) == ((), False, 250)


def test_the_other_ways_are_told_with_what_they_sell():
    # 1,010 is missing as above. As held: 11 A. The largest loser is B, bought at 30: 100 B and one A
    made = account("-8501.25", (A, 100, "5000"), (B, 100, "3000"), regimes=EXCHANGE)
    found = {other.name: other for other in find(made).alternatives}
    assert dict(found["as_held"].trades) == {20: -11}
    assert dict(found["largest_loser"].trades) == {21: -100, 20: -1}
    assert (found["as_held"].total.value, found["largest_loser"].total.value) == (1100, 1100)


@pytest.mark.parametrize(("share", "sold"), [("0.05", -5), ("0.5", -10), ("0.001", -1)])
def test_a_stage_is_a_share_of_all_that_may_be_sold_but_at_least_a_lot(share, sold):
    # 10 A cure (1,000 of 11,000); 5 % of 11,000 is 550, so 5 A; 0.1 % is 11, less than a share
    made = account("-8500", (A, 100), (B, 100), regimes=EXCHANGE)
    found = find(made, stage=Stage(D(share)), ranks={21: 1})
    assert trades(found) == {20: sold}
    assert (found.is_staged, found.is_enough) == (sold != -10, True)
    assert found.total.value == 1000


def test_a_stage_is_a_share_of_the_average_days_volume():
    thin = replace(A, daily_volume=D(60))
    found = find(account("-8500", (thin, 100), regimes=EXCHANGE), stage=Stage(volume_share=D("0.1")))
    assert trades(found) == {20: -6}


# --- options ----------------------------------------------------------------------------------------------


def test_a_long_that_covers_a_short_is_sold_after_the_short_is_closed():
    # a call spread, short 100 and long 105, 10 of each; with nothing else: it asks 5.00 × 1,000, covered by no cash
    short = option("call", "100", "4", id=40, spot="100")
    long = option("call", "105", "2", id=41, spot="100")
    made = account("3000", (short, -10), (long, 10), regimes=OPTIONS)
    found = find(made)
    assert found.is_enough
    steps = [trade.instrument_id for trade in found.trades]
    assert steps.index(40) == 0  # the short first
    levels = [found.excess_before, *found.after]
    assert levels == sorted(levels)


def test_selling_the_shares_that_cover_a_call_is_tested_as_a_whole():
    # 100 shares at 100 cover a short call; sold, the call is naked: so the call is bought back first, or with them
    short = option("call", "100", "4", id=40, spot="100")
    made = account("-9000", (shares("100"), 100), (short, -1), regimes=OPTIONS)
    found = find(made)
    levels = [found.excess_before, *found.after]
    assert levels == sorted(levels)
    for trade in found.trades:
        assert (trade.quantity > 0) == (trade.instrument_id == 40)


# --- calls that come from trades --------------------------------------------------------------------------


def test_a_regulation_t_call_is_sold_for_twice_what_it_asks_and_an_intraday_one_for_what_maintenance_releases():
    # 12 CFR 220.12: stock sold at 100 releases 50; FINRA 4210(c): 25 of maintenance at 25 %
    made = account("-4000", (A, 100), regimes=EXCHANGE)
    for name, shares_sold in (("reg_t", -20), ("intraday", -40), ("day_trade", -40)):
        demand = Demand("call", name, D(1000), market_cures=False)
        assert trades(plans.find(*made.arguments, demand=demand)) == {20: shares_sold}


def test_a_regime_that_nothing_measures_is_refused():
    made = account("-4000", (A, 100), regimes=EXCHANGE)
    with pytest.raises(plans.NotSizable, match="no regime 'house'"):
        find(made, "house")
