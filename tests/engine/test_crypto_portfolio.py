"""Margin of crypto derivatives by coin. Numbers: the published cases named, or a pencil."""

from dataclasses import replace

import numpy as np
import pytest

from margin.engine.assess import list_charges
from margin.engine.columns import Status
from margin.engine.explain import explain
from tests.engine.crypto_world import FEEDS, account, accounts, coin, option, perpetual, regime
from tests.engine.world import D, figures

BTC = coin("BTC", "50000", id=11)
ETH = coin("ETH", "3000", id=12)


def asked(world):
    one = figures(world)
    assert one.reasons == ()
    return one.requirement, one.initial


def reasons(world):
    one = figures(world)
    assert one.status == Status.UNPRICED
    return one.reasons


def told(world):
    (regime_told,) = explain(*world.arguments, 0)["regimes"]
    return regime_told["requirement"]


def charges_of(world):
    return {charge["branch"]: charge for charge in told(world)["charges"]}


def requirement_of(world):
    return told(world)["amount"]


# --- the grid ---------------------------------------------------------------------------------------------------------


def test_a_naked_short_call_is_asked_what_the_published_portfolio_is():
    # DPM-012: MM -11,824.85870396, IM -14,604.04812014, of which the value of the option is -1,186.41856946
    call = option("call", "100000", spot="95663.50604855", on="BTC", volatility="0.453803924321583", days=9)
    feed = {"forward": "95776.67392708939", "seconds": 794852, "rate": "0.15", "confidence": "0.95"}
    expires_on = call.contract.expires_on.isoformat()
    world = account((call, "-1"), rule=regime(feeds=FEEDS), feeds={"coins": {"BTC": {"expiries": {expires_on: feed}}}})
    assert asked(world) == (D("10638.45"), D("13417.63"))


def test_a_perpetual_is_asked_its_worst_move_and_a_part_of_its_size():
    # DPM-029: 0.8 × 18 % × 3,100 + 1.5 % × 3,000 to hold; 18 % × 3,100 + 2 % × 3,000 to open
    assert asked(account((perpetual("3100"), "1"))) == (D("491.40"), D("618.00"))


def test_equity_less_the_requirement_is_the_published_net_margin():
    # DPM-029: the perpetual has gained 10, MM -481.4
    one = figures(account((perpetual("3100"), "1", "3090"), cash="0"))
    assert (one.equity, one.deficit) == (10, D("481.40"))


def test_a_short_option_is_owed_at_its_price_and_asked_the_rest():
    # DSM-001: MM -191.87158519 with an option worth 79.37158519
    call = option("call", "1500", spot="1500", price="79.37158519", days=6)
    one = figures(account((call, "-1"), cash="0", rule=regime("standard")))
    assert (one.equity, one.deficit) == (D("-79.38"), D("191.88"))  # rounded down, and up


def test_a_feed_in_doubt_makes_opening_dearer_and_holding_not():
    # DPM-030: 0.18 × 2,500 = 450; (1 - 0.1) × 3,000 = 2,700 more to open
    feeds = {"coins": {"ETH": {"perpetual_confidence": "0.1"}}}
    world = account((perpetual("2500"), "1"), rule=regime(feeds=FEEDS), feeds=feeds)
    assert asked(world) == (D("405.00"), D("3210.00"))


def test_a_coin_and_what_is_sold_against_it_move_together():
    # 1 ETH at 3,000 and a perpetual sold at 3,000: no move loses; 1.5 % of each is asked, and 0.5 % to open
    assert asked(account((ETH, "1"), (perpetual("3000"), "-1"))) == (D("90.00"), D("120.00"))


def test_a_coin_alone_is_asked_its_worst_move_and_a_haircut():
    # 0.8 × 18 % × 3,000 + 1.5 % × 3,000
    assert asked(account((ETH, "1"))) == (D("477.00"), D("600.00"))


def test_coins_do_not_stand_against_each_other():
    # ETH alone is asked 477; a BTC perpetual sold: 0.8 × 18 % × 50,000 + 1.5 % × 50,000 = 7,950, and not less
    sold = perpetual("50000", spot="50000", on="BTC")
    assert asked(account((ETH, "1"), (sold, "-1")))[0] == D("8427.00")


def test_a_future_against_a_perpetual_is_asked_for_the_forward_moving_alone():
    # 73 days: (0.5 + 2 × 0.2) × 4.5 % × 3,000 = 121.5; × 0.8, and 1.5 % × 3,000 on each
    future = perpetual("3000", id=22, kind="future", expires_on=option("call", "1", days=73).contract.expires_on)
    world = account((perpetual("3000"), "1"), (future, "-1"))
    assert asked(world) == (D("187.20"), D("241.50"))
    assert charges_of(world)["forwards"]["amount"] == "97.2"


def test_a_stablecoin_off_its_peg_raises_what_opening_asks():
    # (0.98 - 0.48) × 2 = 1.0 more of the worst 540
    world = account((perpetual("3000"), "1"), rule=regime(stablecoin="USDC"))
    world.fx[("USDC", "USD")] = D("0.48")
    assert asked(world) == (D("477.00"), D("1140.00"))


def test_a_short_option_with_a_long_one_of_its_strike_is_not_naked():
    # call sold, put bought at one strike and one volatility: a short forward of 30 days, at no rate and spot 3,000.
    # Up 18 %: the pair loses 540, counted at min(1.04 × e^(0.08 T), e^0) = 1; × 0.8
    call, put = (option(right, "3000", volatility="0.6", id=i) for right, i in (("call", 31), ("put", 32)))
    assert asked(account((call, "-1"), (put, "1"))) == (D("432.00"), D("540.00"))


def test_an_inverse_perpetual_is_asked_what_a_linear_one_of_as_many_coins_is():
    # 300 contracts of 10 USD at 3,000 are one coin
    inverse = perpetual("3000", currency="EUR", multiplier="10", is_inverse=True)
    world = account((inverse, "300"))
    world.fx[("EUR", "USD")] = D("3000")  # the euro plays the coin
    assert asked(world) == asked(account((perpetual("3000"), "1")))


def test_an_option_quoted_in_its_coin_is_asked_what_one_quoted_in_dollars_is():
    in_coins = option("call", "3200", price="0.05", currency="EUR", is_inverse=True)
    world = account((in_coins, "-2"))
    world.fx[("EUR", "USD")] = D("3000")
    assert asked(world) == asked(account((option("call", "3200", price="150"), "-2")))


def test_the_volatility_is_implied_by_the_price_where_none_is_quoted():
    # at the money, no rate: value = spot × (2 N(σ√T ÷ 2) - 1); 0.6 and 73 days: 3,000 × 0.106727170
    quoted = option("call", "3000", price="320.18150957", volatility="0.6", days=73)
    implied = option("call", "3000", price="320.18150957", days=73)
    one, other = (asked(account((each, "-1")))[0] for each in (quoted, implied))
    assert abs(one - other) <= D("0.01")


def test_a_token_of_no_coin_counts_as_the_terms_say_and_else_for_nothing():
    usde, doge = coin("USDE", "1", id=13), coin("DOGE", "0.2", id=14)
    stated = {"USDE": {"rate": "0.2", "initial_rate": "0.05"}}
    assert asked(account((usde, "1000"), (doge, "100"), rule=regime(collateral=stated))) == (D("220"), D("270"))


# --- standard margin --------------------------------------------------------------------------------------------------


def test_a_short_call_at_the_money_is_asked_its_rates():
    # DSM-001: 7.5 % of spot to hold, 15 % to open, beyond its value
    call = option("call", "1500", spot="1500", price="80", days=6)
    assert asked(account((call, "-1"), rule=regime("standard"))) == (D("112.50"), D("225.00"))


def test_a_call_spread_is_asked_its_greatest_loss_where_that_is_less():
    # DSM-005: short 1,100, long 1,300: the greatest loss is 200, the value of the spread already against the account
    short = option("call", "1100", spot="1500", price="405", days=6)
    long = option("call", "1300", spot="1500", price="215", days=6, id=32)
    assert asked(account((short, "-1"), (long, "1"), rule=regime("standard"))) == (D("10.00"), D("10.00"))


def test_a_long_option_has_no_value_in_standard_margin():
    # DSM-002: IM and MM 0 at a value of 79.37
    call = option("call", "1500", spot="1500", price="79.37", days=6)
    assert asked(account((call, "1"), rule=regime("standard"))) == (D("79.37"), D("79.37"))


def test_nine_tenths_of_a_coin_are_asked_in_standard_margin():
    # DSM-020: 1 ETH at 1,500: MM 150; IM -360 at a spot confidence of 0.15: 0.85 × 0.4 × 1,500 = 510 more
    feeds = {"coins": {"ETH": {"spot_confidence": "0.15"}}}
    world = account((coin("ETH", "1500", id=12), "1"), rule=regime("standard", feeds=FEEDS), feeds=feeds)
    assert asked(world) == (D("1350"), D("1860"))


def test_deribits_form_is_unpooled_and_its_futures_rise_with_size():
    # 200 coins at 50,000: 2 % + 0.005 % × 200 = 3 % to open, half of it to hold
    unpooled = {
        "is_pooled": False,
        "perpetual_rate": "0.01",
        "perpetual_slope": "0.000025",
        "perpetual_initial_rate": "0.02",
        "perpetual_initial_slope": "0.00005",
    }
    held = perpetual("50000", spot="50000", on="BTC")
    assert asked(account((held, "200"), rule=regime("standard", standard=unpooled))) == (D("150000"), D("300000"))


def test_deribits_form_asks_every_short_option_for_itself():
    # a put 10 % out of the money: 7.5 % to hold, the greater of 15 % − 10 % and 10 % to open; the long one caps nothing
    put = option("put", "900", spot="1000", price="20")
    long = option("put", "880", spot="1000", price="15", id=32)
    rule = regime("standard", standard={"is_pooled": False, "put_initial_factor": "1"})
    assert asked(account((put, "-1"), (long, "1"), rule=rule)) == (D("90"), D("115"))


# --- what has no number -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holding", "reason"),
    [
        (option("call", "3000", on="SOL"), "what it is written on is none of BTC, ETH"),
        (option("call", "3000", spot=None), "the price of its underlying is not known"),
        (option("call", "3000", days=-1), "expired on 2026-11-21"),
        (option("call", "3000", style="american"), "right 'call' and style 'american': only European calls and puts"),
        (option("call", "2000", price="900"), "price 900 is below the least value"),
        (option("call", "2000", price="3100"), "price 3100 is above what any volatility gives"),
        (perpetual("3000", spot="0"), "price 3000 and underlying at 0 must both be positive"),
    ],
)
def test_what_cannot_be_measured_leaves_the_account_without_a_number(holding, reason):
    (reason_told,) = reasons(account((holding, "-1")))
    assert reason_told == f"{holding.code}: {reason}"


def test_a_price_a_little_below_the_least_value_has_no_volatility_and_is_measured():
    # 2 % of spot are 60: 1,000 - 950; deep in the money it moves with the coin
    assert asked(account((option("call", "2000", price="950", days=1), "1")))[0] > 0


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({"feeds": FEEDS}, "no published parameters 'venue feeds'"),
        ({"stablecoin": "USDC"}, "no rate USDC/USD"),
    ],
)
def test_what_the_terms_name_must_be_there(stated, reason):
    assert reasons(account((perpetual("3000"), "1"), rule=regime(**stated))) == (reason,)


def test_an_unknown_key_of_published_feeds_is_named():
    world = account((perpetual("3000"), "1"), rule=regime(feeds=FEEDS), feeds={"coins": {"ETH": {"mood": "good"}}})
    (reason,) = reasons(world)
    assert reason.startswith("venue feeds.coins.ETH.mood: unknown key")


def test_without_a_risk_free_rate_options_have_no_number_and_perpetuals_do():
    assert reasons(account((option("call", "3000"), "-1"), rate=None)) == (
        "ETH-3000-call-31: risk_free: no rate for USD",
    )
    assert asked(account((perpetual("3100"), "1"), rate=None))[0] == D("491.40")


def test_a_dated_future_needs_no_risk_free_rate():
    expires_on = option("call", "1", days=73).contract.expires_on
    future = perpetual("3000", id=22, kind="future", expires_on=expires_on)
    assert asked(account((future, "1"), rate=None))[0] == D("477.00")  # as a perpetual: the price's worst move is worse


def test_without_a_price_the_reason_is_told_once():
    assert reasons(account((replace(ETH, price=None), "1", "3000"))) == ("ETH: no price",)


def test_on_its_last_half_hour_an_option_moves_only_with_what_is_still_open():
    # 180 of 1,800 seconds are open: nine tenths of the average are fixed. In the money by 1,000, sold:
    # up 18 % costs 0.18 × 300 = 54, and no time is left to discount; × 0.8
    call = option("call", "2000", price="1000", days=1, volatility="0")
    feed = {"expiries": {call.contract.expires_on.isoformat(): {"forward": "3000", "seconds": 180}}}
    world = account((call, "-1"), rule=regime(feeds=FEEDS), feeds={"coins": {"ETH": feed}})
    assert charges_of(world)["scenario"]["amount"] == "43.2"


def test_a_token_may_not_be_owed_that_the_terms_do_not_name():
    listed = reasons(account((coin("DOGE", "0.2", id=14), "-100")))
    assert listed == ("DOGE: owed, and nothing is stated of it in collateral",)


# --- told -------------------------------------------------------------------------------------------------------------


def test_the_charges_are_told_and_add_up():
    call = option("call", "3500", volatility="0.7")
    world = account((call, "-3"), (perpetual("3010"), "-2"), (ETH, "1"))
    charges = charges_of(world)
    assert set(charges) == {"scenario", "option", "perpetual", "collateral"}
    assert "price +18 %, volatility up: 80 % of the loss is asked" in charges["scenario"]["sentence"]
    assert sum(D(charge["amount"]) for charge in charges.values()) == D(requirement_of(world))
    assert D(charges["option"]["amount"]) == D("27")  # 3 × 0.3 % × 3,000


def test_what_only_opening_asks_is_told_beside_the_charges():
    world = account((perpetual("3000"), "1"), rule=regime(stablecoin="USDC"))
    world.fx[("USDC", "USD")] = D("0.48")
    opening = charges_of(world)["opening"]
    assert opening["amount"] == "0"
    assert "opening asks 1140 in all" in opening["sentence"]


@pytest.mark.parametrize("measure", ["requirement", "standard"])
def test_listed_charges_add_up_to_the_requirement_for_many_accounts(measure):
    call, put = option("call", "3500", volatility="0.7"), option("put", "2500", volatility="0.8", id=32, days=90)
    books = [((call, "-3"), (put, "2")), ((perpetual("3010"), "7"), (put, "-1")), ((ETH, "2.5"), (BTC, "1"))]
    world = accounts(books, rule=regime(measure))
    found = world.figures()
    book, columns, market, rules = world.arguments
    charges = list_charges(book, columns, market, rules, np.arange(len(books)))
    for k in range(len(books)):
        total = sum(charges.amount[charges.account == k])
        assert total.quantize(D("0.01"), "ROUND_CEILING") == found[7 + k, "house"].requirement > 0


def test_an_accounts_requirement_does_not_depend_on_the_accounts_beside_it():
    call, put = option("call", "3500", volatility="0.7"), option("put", "2500", volatility="0.8", id=32, days=90)
    book = ((call, "-3"), (put, "2"), (ETH, "1"))
    alone = figures(account(*book))
    beside = accounts([((perpetual("3010"), "7"), (put, "-1")), book, ((call, "11"),)]).figures()[8, "house"]
    assert (alone.requirement, alone.initial) == (beside.requirement, beside.initial)
    turned = replace(accounts([book]), positions=accounts([book]).positions[::-1])
    assert figures(turned).requirement == alone.requirement
