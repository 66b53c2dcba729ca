"""Cure options against a pencil and against the published examples; the searches against every number tried."""

import random
from dataclasses import replace
from decimal import ROUND_FLOOR
from fractions import Fraction

import pytest

from margin.engine import cure_options
from margin.engine.columns import PartRule
from margin.engine.cure_options import Demand, NotSizable, ways_of
from margin.engine.cure_options.searches import MOST_TRIED, fewest, together
from tests.engine.option_world import option, terms
from tests.engine.option_world import stock as shares
from tests.engine.world import D, account, loan_regime, loan_terms, reg_t_terms, regime, stock

EXCHANGE = (regime("exchange", kinds=("equity", "etf")),)
PENNY = stock("0.01", lot=D(1))  # so fine that values come out to the cent


def house(rate):
    return regime("house", terms=reg_t_terms(house={"basic": {"long": rate}}), kinds=("equity",))


def find(made, *demands, **more):
    asked = [Demand(key, name, D(outstanding), **how) for key, name, outstanding, how in demands]
    return cure_options.find(*made.arguments, demands=asked, **more)


def one(name, outstanding=0, **how):
    return (name, name, outstanding, how)


def reg_t(outstanding):
    return one("reg_t", outstanding, market_cures=False)


def traded(options):
    """(instrument, quantity, value) of every single way."""
    return [(o.steps[-1].instrument_id, o.steps[-1].quantity, o.value) for o in options]


# --- published numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "value"), [("0.30", "119166.67"), ("0.75", "47666.67")])
def test_a_house_call_of_35750_takes_a_sale_of_its_rate(rate, value):
    # Fidelity's example (NFS): 35,750 ÷ 30 % = 119,166.67, at 75 % only 47,666.67
    debit = D(1_000_000) * (1 - D(rate)) + 35750
    found = find(account(-debit, (PENNY, 100_000_000), regimes=(house(rate),)), one("house", 35750))
    assert [option.value for option in found.trades] == [D(value)]
    assert [option.value for option in found.cash] == [35750]


def test_a_regulation_t_call_of_10000_takes_a_sale_of_20000():
    # 12 CFR 220.12: a sale releases 50 % of its proceeds (NFS, Merrill: 10,000 → 20,000), a deposit half its value
    found = find(account("-300000", (PENNY, 100_000_000), regimes=EXCHANGE), reg_t(10000))
    assert [option.value for option in found.cash] == [10000]
    assert [option.value for option in found.trades] == [20000]
    assert [option.value for option in found.deposits] == [20000]
    assert [value.rates["reg_t"] for value in found.values] == [Fraction(1, 2)]


def test_what_is_not_marginable_releases_all_of_its_value_and_adds_nothing():
    odd = replace(PENNY, margin_eligible=False)
    found = find(account("-300000", (odd, 100_000_000), regimes=EXCHANGE), reg_t(10000))
    assert [option.value for option in found.trades] == [10000]
    assert found.deposits == ()
    assert ("securities", 11) in [(no.way, no.instrument_id) for no in found.refused]


def test_a_house_rate_does_not_raise_what_a_sale_releases_for_regulation_t():
    found = find(account("-100000", (PENNY, 100_000_000), regimes=(house("0.75"),)), reg_t(10000))
    assert [option.value for option in found.trades] == [20000]


def test_a_sale_of_60000_frees_18000_for_the_house_and_30000_for_regulation_t():
    # V = max(18,000 ÷ 30 %, 30,000 ÷ 50 %) = 60,000 (NFS)
    debit = D(1_000_000) * D("0.7") + 18000
    made = account(-debit, (PENNY, 100_000_000), regimes=(house("0.30"),))
    found = find(made, one("house", 18000), reg_t(30000))
    (sale,) = found.trades
    assert (sale.value, sale.left) == (60000, {"house": 0, "reg_t": 0})
    assert [option.value for option in find(made, one("house", 18000), reg_t(10000)).trades] == [60000]
    assert [option.value for option in find(made, one("house", 18000), reg_t(35000)).trades] == [70000]


def test_cash_for_all_calls_is_the_greatest_and_never_the_sum():
    debit = D(1_000_000) * D("0.7") + 18000
    found = find(account(-debit, (PENNY, 100_000_000), regimes=(house("0.30"),)), one("house", 18000), reg_t(30000))
    assert [(asked.key, asked.cash) for asked in found.asked] == [("house", 18000), ("reg_t", 30000)]
    assert [option.value for option in found.cash] == [30000]
    assert found.cash[0].clears == ("house", "reg_t")


def test_merrills_calls_are_700_and_950():
    # long 9,000 with a debit of 7,000 at 30 %; short 11,500 against a credit of 14,000 at 30 %
    (long,) = find(account("-7000", (stock("90"), 100), regimes=(house("0.30"),)), one("house", 700)).cash
    (short,) = find(account("14000", (stock("115"), -100), regimes=EXCHANGE), one("exchange", 950)).cash
    assert (long.value, short.value) == (700, 950)


BTC = stock("60000", code="BTC", kind="crypto", lot=D("0.00000001"))
LENT = account("-150000", (BTC, "3"), regimes=(loan_regime(loan_terms(restore="0.65", warn="0.6")),))


def test_a_loan_is_repaid_secured_or_sold_down_by_the_formulas():
    # R = B − T·Q·P = 33,000; q = (B ÷ T − Q·P) ÷ P = 0.846…; q = 33,000 ÷ (P·(1 − f − T)) = 1.571…
    found = find(LENT, one("loan", 33000))
    assert [(step.kind, step.quantity) for step in found.cash[0].steps] == [("repayment", 33000)]
    assert [(o.steps[0].kind, o.steps[0].quantity) for o in found.deposits] == [("collateral", D("0.84615385"))]
    assert [(o.steps[0].kind, o.steps[0].quantity) for o in found.trades] == [("collateral_sale", D("-1.57142867"))]
    (dearer,) = find(LENT, one("loan", 33000), fee_rate=D("0.001")).trades
    assert abs(dearer.value - D("94555.87")) < D("0.05")  # 33,000 ÷ 0.349, and the fee rounded up to the cent


# --- what meets which call --------------------------------------------------------------------------------


def test_a_call_that_the_market_does_not_cure_takes_what_is_outstanding():
    # 500 short of the requirement, 800 of the call still outstanding
    made = account("-8000", (stock("100"), 100), regimes=EXCHANGE)
    found = find(made, one("exchange", 800, market_cures=False))
    assert [option.value for option in found.cash] == [800]
    assert traded(found.trades) == [(11, -32, 3200)]  # 800 ÷ 25 %
    assert any(no.way == "market" for no in found.refused)
    assert [option.value for option in find(made, one("exchange", 800)).cash] == [500]


def test_after_a_recovery_such_a_call_still_takes_what_is_outstanding():
    # nothing is short any more
    found = find(account("-5000", (stock("100"), 100), regimes=EXCHANGE), one("exchange", 800, market_cures=False))
    assert [option.value for option in found.cash] == [800]
    assert find(account("-5000", (stock("100"), 100), regimes=EXCHANGE), one("exchange", 800)).is_clear


def test_a_minimum_is_met_by_money_or_by_securities_at_their_whole_value():
    # equity 1,500 of 2,000; a sale adds none
    made = account("-8500", (stock("100"), 100, 10000), regimes=(regime("minimum_equity"),))
    found = find(made, one("minimum_equity", 500, ways=ways_of("minimum_equity")))
    assert [option.value for option in found.cash] == [500]
    assert traded(found.deposits) == [(11, 5, 500)]
    assert found.trades == ()
    assert found.refused[0].why == "closing positions does not meet a minimum_equity call"


def test_a_day_trading_call_takes_money_alone():
    found = find(
        account("-5000", (stock("100"), 100), regimes=EXCHANGE),
        one("day_trade", 700, market_cures=False, ways=ways_of("day_trade")),
    )
    assert [option.value for option in found.cash] == [700]
    assert (found.deposits, found.trades, found.mixes) == ((), (), ())


def test_what_no_regime_measures_is_sized_in_money_alone():
    found = find(LENT, reg_t(700))
    assert [option.value for option in found.cash] == [700]
    assert found.cash[0].clears == ("reg_t",)
    assert found.trades == ()


def test_an_option_says_which_calls_it_meets():
    # the house asks 40 % and misses 1,500, the exchange 25 % and misses nothing; together with Regulation T of 100
    made = account("-7500", (stock("100"), 100), regimes=(house("0.40"), *EXCHANGE))
    found = find(made, one("house", 1500), reg_t(2000), asked=["house"])
    assert traded(found.trades) == [(11, -38, 3800)]  # 1,500 ÷ 40 %
    assert (found.trades[0].clears, found.trades[0].clears_all) == (("house",), False)
    assert found.trades[0].left["reg_t"] == -100  # 3,800 ÷ 2 − 2,000
    together = find(made, one("house", 1500), reg_t(2000))
    assert traded(together.trades) == [(11, -40, 4000)]
    assert together.trades[0].clears_all


def test_what_the_client_has_is_completed_by_the_cheapest_sale():
    made = account("-8000", (stock("100"), 100), regimes=EXCHANGE)  # 500 short
    found = find(made, one("exchange", 500), have=D(200), fee_rate=D("0.001"))
    (sale,) = found.trades
    assert [(step.kind, step.quantity) for step in sale.steps] == [("cash", 200), ("sale", -13)]  # 300 ÷ 0.249 = 12.05
    assert (sale.value, sale.fee, sale.left["exchange"]) == (1300, D("1.30"), D("23.70"))
    assert find(made, one("exchange", 500), have=D(500)).is_clear
    assert not find(made, one("exchange", 500), have=D("499.99")).is_clear


def test_cash_in_another_currency_is_told_in_its_own_units():
    made = account("-8000", (stock("100"), 100), regimes=EXCHANGE)
    dollars, euros, yen = find(made, one("exchange", 500), currencies=["EUR", "JPY"]).cash
    assert dollars.steps[0].quantity == 500
    assert euros.steps[0].quantity == D("461.98")  # 500 ÷ 1.0823 = 461.979…
    assert yen.steps[0].quantity == 78201  # 500 ÷ 0.00639386189258: the opposite rate, of twelve digits
    with pytest.raises(ValueError, match="no instrument is quoted in CHF"):
        find(made, one("exchange", 500), currencies=["CHF"])


def test_what_is_not_enough_alone_says_what_would_be_missing():
    other = stock("100", id=12, code="OTHER")
    made = account("-9000", (stock("100"), 90), (other, 10), regimes=EXCHANGE)
    # 1,500 short: all of OTHER releases 250; 60 of XYZ 1,500
    found = find(made, one("exchange", 1500))
    assert traded(found.trades) == [(11, -60, 6000)]
    assert [(no.instrument_id, no.missing) for no in found.refused] == [(12, 1250)]


# --- spreads ----------------------------------------------------------------------------------------------

KINDS = ("equity", "etf", "bond", "option")
SPREADS = (replace(regime("exchange"), parts=(PartRule("option_strategies", "maintenance", terms(), KINDS),)),)


def call(strike, price, *, id):
    return option("call", strike, price, id=id, spot="100")


def test_closing_the_long_leg_of_a_spread_does_not_cure_and_closing_both_does():
    # 5 × (−1 call 100, +1 call 110): width 1,000 each; equity 4,400 of 5,000. One spread costs 300 and releases 1,000
    made = account("4400", (call("100", "5", id=41), -5), (call("110", "2", id=42), 5), regimes=SPREADS)
    found = find(made, one("exchange", 600))
    assert 42 not in [id for id, *_ in traded(found.trades)]
    assert (42, "closing all of it does not lower what is missing") in [
        (no.instrument_id, no.why) for no in found.refused
    ]
    both = [{step.instrument_id: step.quantity for step in option.steps} for option in found.mixes]
    assert {41: 1, 42: -1} in both
    assert found.cheapest.left["exchange"] >= 0


@pytest.mark.parametrize(("missing", "sold"), [(1000, 40), (1250, 50), (1275, 95), (1500, 104)])
def test_selling_shares_that_cover_a_call_takes_more_than_selling_the_free_ones(missing, sold):
    # 150 shares at 100, one call 110 written at 1.00: 25 % of 15,000 = 3,750. 50 shares are free and release 25 each;
    # the 51st leaves the call naked: 100 + max(2,000 − 1,000, 1,000) = 1,100 beside 25 for each share that is left
    made = account(-11250 - missing, (shares("100"), 150), (call("110", "1", id=41), -1), regimes=SPREADS)
    found = find(made, one("exchange", missing))
    assert found.asked[0].cash == missing
    assert (100, -sold, sold * 100) in traded(found.trades)


# --- law 3 ------------------------------------------------------------------------------------------------


def test_nothing_is_told_on_a_guess():
    with pytest.raises(NotSizable, match="XYZ: no price"):
        find(account("-1", (stock(None), 1), regimes=EXCHANGE), one("exchange", 1))
    doubtful = account("-8500", (stock("100"), 100), regimes=(regime("minimum_equity"),))
    with pytest.raises(NotSizable, match="in doubt"):
        find(doubtful, one("minimum_equity", 500))
    with pytest.raises(ValueError, match="no open call"):
        find(account("-1", (stock("1"), 1), regimes=EXCHANGE))


# --- searches ---------------------------------------------------------------------------------------------


def searched(most, pieces, noise, left):
    """The search's answer about a function of n, and how many numbers it tried."""
    tried = set()

    def measure(asked):
        tried.update(asked["it"])
        return {"it": {n: left(n) for n in asked["it"]}}

    return together({"it": fewest(most, pieces, noise)}, measure)["it"], len(tried)


@pytest.mark.parametrize("seed", range(200))
def test_the_fewest_of_lines_with_kinks_and_cents_is_the_fewest_of_all(seed):
    rng = random.Random(seed)
    most = rng.choice([1, 2, 7, 60, 500, 3000])
    starts = sorted({1, most, *(rng.randint(1, most) for _ in range(rng.randint(0, 6)))})
    pieces = list(zip(starts, [*(n - 1 for n in starts[1:]), most], strict=True))
    lines = [[(rng.randint(-900, 300), Fraction(rng.randint(-60, 60), 7)) for _ in pieces] for _ in range(2)]

    def left(n):
        k = next(k for k, (first, last) in enumerate(pieces) if first <= n <= last)
        exact = [level + slope * (n - pieces[k][0]) for level, slope in (of_one[k] for of_one in lines)]
        return tuple((D(x.numerator) / D(x.denominator)).quantize(D("0.1"), ROUND_FLOOR) for x in exact)

    found, _ = searched(most, pieces, D("0.1"), left)
    assert found.is_proven
    assert found.steps == next((n for n in range(1, most + 1) if min(left(n)) >= 0), None)


def test_a_long_line_takes_few_tries():
    found, tried = searched(10**9, [(1, 10**9)], D("0.01"), lambda n: (D(n) - 123_456_789,))
    assert (found.steps, found.is_proven) == (123_456_789, True)
    assert tried < 10


def test_where_a_step_is_worth_less_than_a_cent_one_less_is_still_not_enough():
    def left(n):
        return ((D(n) / 10**6).quantize(D("0.01"), ROUND_FLOOR) - 5,)

    found, _ = searched(10**8, [(1, 10**8)], D("0.01"), left)
    assert (left(found.steps)[0] >= 0, left(found.steps - 1)[0] >= 0, found.is_proven) == (True, False, False)


@pytest.mark.parametrize("top", [200, 333, 1000, 4321, 9000])
def test_a_peak_between_the_points_is_found(top):
    # rises by 1 to the peak, falls by 2 after it, and is enough only within 40 of it
    found, _ = searched(10_000, None, D(0), lambda n: (D(40 - (top - n if n <= top else 2 * (n - top))),))
    assert (found.steps, found.is_proven) == (top - 40, False)


def test_small_numbers_are_all_tried():
    found, tried = searched(MOST_TRIED, None, D(0), lambda n: (D(0 if n in {17, 90} else -1),))
    assert (found.steps, found.is_proven, tried) == (17, True, MOST_TRIED)
