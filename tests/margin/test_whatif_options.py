"""Options in what-ifs and stress: exported books, sweeps, explanations and grids agree under the option rules."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts import positions
from margin import assessments, replay, stress, sweep, whatif
from margin.engine.methodologies import option_strategies, portfolio
from margin.hypothetical.document import StressGrid
from margin.management.commands.whatif import account_table
from margin.models import Measure
from market.models import Rate
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes, quote

D = Decimal
EXPIRY = datetime(2026, 6, 19, 20, 0, tzinfo=UTC)


def regime(part, measure, terms, *, kinds):
    parts = [{"methodology": part, "measure": measure, "kinds": kinds, "terms": terms}]
    return {**world.HOUSE, "parts": parts, "watch_rate": "1000"}  # so that the sweep keeps every account


STRATEGIES = regime(
    *("option_strategies", "maintenance", option_strategies.RULE_BOOK), kinds=["option", "equity", "etf"]
)
PORTFOLIO = regime(*("portfolio", "requirement", portfolio.RULE_BOOK), kinds=["option", "equity", "etf"])


def option(code, underlying, right, strike, price, **more):
    terms = {"kind": "option", "underlying": underlying, "right": right, "strike": D(strike), "style": "american"}
    made = rows.equity(code, **{**terms, "multiplier": 100, "expires_at": EXPIRY, **more})
    quote(made, price, MONDAY)
    return made


@pytest.fixture
def market(db):
    return furnished()


def furnished():
    """XYZ at 50, an index at 4,000 with its fund, options on them, and the rates that models need."""
    rows.policy("us_margin", world.securities(STRATEGIES))
    rows.policy("us_portfolio", world.securities(PORTFOLIO))
    rates = {"kind": "risk_free", "currency": "USD", "source": "t", "effective_at": MONDAY}
    Rate.objects.create(**rates, value=D("0.04"))
    xyz, index = rows.equity("XYZ"), rows.equity("SPX", kind="index", margin_class="high_cap_index")
    fund = rows.equity("SPY", kind="etf", margin_class="etf_broad", index=index, index_scale=D("0.1"))
    Rate.objects.create(kind="dividend", instrument=fund, value=D("0.015"), source="t", effective_at=MONDAY)
    for instrument, mark in ((xyz, "50"), (index, "4000"), (fund, "400.02")):
        quote(instrument, mark, MONDAY)
    return {
        "XYZ": xyz,
        "SPY": fund,
        "C50": option("XYZ C50", xyz, "call", "50", "3.10"),
        "P45": option("XYZ P45", xyz, "put", "45", "1.05"),
        "P40": option("XYZ P40", xyz, "put", "40", "0.30"),
        "SPXC": option("SPX C4100", index, "call", "4100", "120.5", style="european", terms={"settles": "am"}),
    }


def holder(market, cash, agreement="us_margin", **held):
    account = rows.account(agreement=agreement)
    rows.hold(account, rows.cash(), cash)
    for name, quantity in held.items():
        rows.hold(account, market[name], quantity)
    return account


BOOKS = (
    ("20000", "us_margin", {"XYZ": "100", "C50": "-1", "P45": "-2", "P40": "2"}),
    ("90000", "us_margin", {"SPXC": "-1", "SPY": "300", "P45": "-3"}),
    ("150000", "us_portfolio", {"XYZ": "100", "C50": "-1", "P45": "-2", "SPXC": "-1", "SPY": "500"}),
)


def of_export(account):
    book = json.loads(json.dumps(whatif.export(account, at=MONDAY)))
    (found,) = whatif.of_book(book)["accounts"]
    assert found["unpriced"] == []
    return found["regimes"][0]


def test_sweep_export_explanation_and_the_unshocked_cell_agree_to_the_cent(market):
    accounts = [holder(market, cash, agreement, **held) for cash, agreement, held in BOOKS]
    sweep.run("securities", at=MONDAY)
    for account in accounts:
        measure = Measure.objects.get(assessment__account=account)
        book = of_export(account)
        (told,) = assessments.explain(account, at=MONDAY)["regimes"]
        now = whatif.of_account(account, {}, at=MONDAY)["regimes"][0]["after"]
        (cell,) = stress.of_accounts([account], StressGrid((D(0),), (D(0),)), at=MONDAY)["regimes"][0]["cells"]
        assert measure.requirement > 0
        for name in ("equity", "requirement"):
            found = {D(book[name]), D(told["rounding"][name]), D(now[name]), D(cell[name])}
            assert found == {getattr(measure, name)}, name


def test_a_replay_finds_what_the_export_of_that_instant_finds(committed_db):
    market = furnished()
    cash, agreement, held = BOOKS[0]
    account, dollars = rows.account(agreement=agreement), rows.cash()
    moves = [(account.pk, market[name].pk, D(quantity), None) for name, quantity in held.items()]
    positions.write([*moves, (account.pk, dollars.pk, D(cash), None)], **BOOKED, effective_at=MONDAY)
    done = sweep.run("securities", at=MONDAY)
    later = MONDAY + minutes(1)
    quote(market["C50"], "4.20", later)
    positions.write([(account.pk, market["P40"].pk, D(-2), None)], **BOOKED, effective_at=later)
    assert replay.run(done).differences == []
    book = whatif.export(account, at=MONDAY, known_at=timezone.now())
    found = whatif.of_book(book)["accounts"][0]["regimes"][0]
    measure = Measure.objects.get(assessment__sweep=done)
    assert (D(found["equity"]), D(found["requirement"])) == (measure.equity, measure.requirement)


BOOKED = {"cause": "book", "reference": "test"}


def test_a_naked_call_is_asked_for_its_own_price_and_the_moved_stock(market):
    # FINRA 4210(f)(2)(E): 100 % of the price + 20 % of the underlying: 5.00 × 100 + 20 % × 55.00 × 100 = 1,600
    account = holder(market, "10000", C50="-1")
    supposed = {"prices": {"XYZ": "55", "XYZ C50": "5"}}
    found = whatif.of_account(account, supposed, at=MONDAY)["regimes"][0]["after"]
    assert found["requirement"] == "1600"


def test_a_moved_stock_moves_what_its_call_is_asked(market):
    """Without a price of its own the call is worth more at 55.00, and no less than 5.00, what exercise brings."""
    account = holder(market, "10000", C50="-1")
    found = whatif.of_account(account, {"prices": {"XYZ": "55"}}, at=MONDAY)["regimes"][0]
    assert D(found["after"]["requirement"]) > 1600
    higher = whatif.of_account(account, {"prices": {"XYZ": "55"}, "volatility_shifts": {"XYZ": "0.1"}}, at=MONDAY)
    assert D(higher["regimes"][0]["after"]["requirement"]) > D(found["after"]["requirement"])


def test_a_debit_spread_needs_its_premium_and_no_more(market):
    # long 45 put at 1.05, short 40 put at 0.30: the net debit is 0.75 × 100, and a debit spread is asked nothing
    account = holder(market, "10000")
    trades = [{"instrument": "XYZ P45", "quantity": "1"}, {"instrument": "XYZ P40", "quantity": "-1"}]
    found = whatif.of_account(account, {"trades": trades}, at=MONDAY)["regimes"][0]["change"]
    assert (found["requirement"], found["equity"], found["funds_needed"]) == ("0", "-75", "75")


def test_closing_the_long_leg_leaves_the_short_one_naked(market):
    # 0.30 × 100 + 10 % × 40.00 × 100 = 430 against 20 % × 5,000 − 1,000 out of the money = 0 beside it
    account = holder(market, "10000", P45="1", P40="-1")
    found = whatif.of_account(account, {"trades": [{"instrument": "XYZ P45", "quantity": "-1"}]}, at=MONDAY)
    assert found["regimes"][0]["change"]["requirement"] == "430"


OPENINGS = {  # gross, proceeds, net call by pencil; XYZ 50.00, C50 3.10, P45 1.05, P40 0.30
    "a naked call": ({}, {"C50": "-1"}, ("1310", "310", "1000")),  # 310 + 20 % × 5,000
    "a long put": ({}, {"P45": "2"}, ("210", "0", "210")),  # paid in full
    "a call on stock that is held": ({"XYZ": "100"}, {"C50": "-1"}, ("0", "310", "-310")),  # covered: only brings
    "a buy-write": ({}, {"XYZ": "100", "C50": "-1"}, ("2500", "310", "2190")),  # 50 % of 5,000
    "a bull put spread": ({}, {"P45": "-1", "P40": "1"}, ("530", "105", "425")),  # 5.00 × 100 + 30
    "its closing": ({"P45": "-1", "P40": "1"}, {"P45": "1", "P40": "-1"}, ("-530", "-105", "-425")),
    "a put beside a naked call": ({"C50": "-1"}, {"P45": "-1"}, ("105", "105", "0")),  # the other side's value alone
}


@pytest.mark.parametrize("name", OPENINGS)
def test_trades_of_options_are_answered_with_the_triple_of_the_manual(market, name):
    held, traded, expected = OPENINGS[name]
    account = holder(market, "10000", **held)
    trades = [{"instrument": market[code].code, "quantity": quantity} for code, quantity in traded.items()]
    (found,) = whatif.of_account(account, {"trades": trades}, at=MONDAY)["openings"]
    assert (found["gross"], found["proceeds"], found["net_call"]) == expected
    assert (found["regime"], found["currency"], found["unpriced"]) == ("house", "USD", [])
    assert sorted(found["trades"]) == sorted(trade["instrument"] for trade in trades)


def test_the_table_of_the_command_ends_with_the_triple(market):
    trades = [{"instrument": "XYZ C50", "quantity": "-1", "price": "3.10"}]
    answer = whatif.of_account(holder(market, "10000"), {"trades": trades}, at=MONDAY)
    assert account_table(answer).caption == "house, XYZ C50: gross 1310, proceeds 310, net call 1000 USD"
    unknown = whatif.of_account(holder(market, "10000"), {"trades": [{**trades[0], "quantity": "-0.5"}]}, at=MONDAY)
    assert "not a whole number of contracts" in str(account_table(unknown).caption)


def test_a_triple_is_at_the_prices_of_the_trades_and_not_at_those_supposed_later(market):
    # sold at 4.00: 400 + 20 % × 5,000; the net call stays
    trades = [{"instrument": "XYZ C50", "quantity": "-1", "price": "4"}]
    hypotheses = {"trades": trades, "prices": {"XYZ": "70"}}
    (found,) = whatif.of_account(holder(market, "10000"), hypotheses, at=MONDAY)["openings"]
    assert (found["gross"], found["proceeds"], found["net_call"]) == ("1400", "400", "1000")


def test_a_triple_that_is_not_known_says_why(market):
    def answer(*trades, **held):
        stated = [{"instrument": code, "quantity": quantity, "price": price} for code, quantity, price in trades]
        (found,) = whatif.of_account(holder(market, "10000", **held), {"trades": stated}, at=MONDAY)["openings"]
        assert (found["gross"], found["proceeds"], found["net_call"]) == (None, None, None)
        return found["unpriced"]

    assert answer(("XYZ C50", "-1", "3"), ("XYZ C50", "-1", "4")) == [
        "XYZ C50: traded at two prices; suppose it at one"
    ]
    assert answer(("XYZ C50", "-1.5", "3")) == [
        "XYZ C50: -1.5 is not a whole number of contracts; correct the position"
    ]


def test_a_purchase_that_is_sold_again_takes_nothing(market):
    trades = [{"instrument": "XYZ C50", "quantity": quantity} for quantity in ("1", "-1")]
    (found,) = whatif.of_account(holder(market, "10000"), {"trades": trades}, at=MONDAY)["openings"]
    assert (found["gross"], found["proceeds"], found["net_call"], found["currency"]) == ("0", "0", "0", "USD")


def test_trades_without_options_or_without_option_strategies_open_nothing(market):
    stock = {"trades": [{"instrument": "XYZ", "quantity": "10"}]}
    assert whatif.of_account(holder(market, "10000"), stock, at=MONDAY)["openings"] == []
    call = {"trades": [{"instrument": "XYZ C50", "quantity": "-1"}]}
    assert whatif.of_account(holder(market, "10000", "us_portfolio"), call, at=MONDAY)["openings"] == []


def test_a_covered_call_gains_nothing_above_its_strike(market):
    """A covered call is worst off at the lowest price; a naked one at the highest, with the highest volatility."""
    covered = holder(market, "0", XYZ="100", C50="-1")
    naked = holder(market, "3000", C50="-1")
    answer = stress.of_accounts([covered, naked], StressGrid(), at=MONDAY)
    worst = {row["code"]: (row["price_shock"], row["volatility_shock"]) for row in answer["worst_accounts"]}
    assert worst[covered.code][0] == "-0.15"
    assert worst[naked.code] == ("0.15", "0.1")
    assert all(cell["unpriced"] == 0 for cell in answer["regimes"][0]["cells"])


def test_a_portfolio_account_is_stressed_through_its_own_model(market):
    account = holder(market, "150000", "us_portfolio", C50="-10")
    cells = stress.of_accounts([account], StressGrid(), at=MONDAY)["regimes"][0]["cells"]
    equity = {(cell["price_shock"], cell["volatility_shock"]): D(cell["equity"]) for cell in cells}
    # ten calls sold: what 15 % up costs is the model's, and no less than 57.50 − 50.00 less what they are worth now
    assert equity["0", "0"] == 150_000 - 3_100
    assert equity["0.15", "0"] <= 150_000 - 7_500
    assert equity["-0.15", "-0.1"] > equity["0", "0"] > equity["0", "0.1"]
