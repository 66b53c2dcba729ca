"""Sizing against a pencil, and its promise: enough, and one lot less is not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from margin.engine import alternatives, sizing
from margin.engine.assess import assess
from margin.engine.columns import Status
from margin.engine.exact import round_down, round_up
from tests.engine import world
from tests.engine.world import D, account, loan_regime, loan_terms, reg_t_terms, regime, stock

EXCHANGE = (regime("exchange", kinds=("equity", "etf")),)
BTC = stock("60000", code="BTC", kind="crypto", lot=D("0.00000001"))
LENT = account("-150000", (BTC, "3"), regimes=(loan_regime(loan_terms(restore="0.65", warn="0.6")),))


def plan(made, regime="exchange", **more):
    return sizing.plan(*made.arguments, regime=regime, **more)


def after(made, plan, regime, drop=None):
    """The figures once the plan's trades (but one lot of line `drop`) have been done."""
    book, columns, market, rules = made.arguments
    rows = {int(number): row for row, number in enumerate(columns.ids)}
    changes = {}
    for k, trade in enumerate(plan.trades):
        row, quantity = rows[trade.instrument_id], trade.quantity
        if k == drop:
            lots = -(-abs(quantity) // columns.lot[row]) - 1
            quantity = (1 if quantity > 0 else -1) * lots * columns.lot[row]
        cash = int(np.flatnonzero((columns.kind == 0) & (columns.currency == columns.currency[row]))[0])
        exponent = columns.minor_exponent(int(columns.currency[row]))
        proceeds = round_down(-quantity * trade.price * columns.multiplier[row], exponent)
        fee = trade.fee if k != drop else _fee(trade, proceeds, columns, row)
        changes[row] = changes.get(row, D(0)) + quantity
        changes[cash] = changes.get(cash, D(0)) + proceeds - fee
    found = assess(alternatives.books(columns, book, 0, [changes]), columns, market, rules)
    return next(f for f in found.figures(np.arange(len(found))) if f.regime == regime)


def _fee(trade, proceeds, columns, row):
    if not trade.fee:
        return D(0)
    rate = D("0.001")
    return round_up(abs(proceeds) * rate, columns.minor_exponent(int(columns.currency[row])))


def is_restored(figures):
    return figures.shortfall == 0 or (figures.requirement == 0 and figures.equity >= 0)


def test_selling_stock_releases_its_rate():
    # workflow.md §5: a house call of 35,750 at 30 % needs a sale of 119,166.67; at 75 % only 47,666.67
    for rate, value in (("0.30", "119166.67"), ("0.75", "47666.67")):
        rule = regime("house", terms=reg_t_terms(house={"basic": {"long": rate}}), kinds=("equity",))
        debit = D(1_000_000) * (1 - D(rate)) + 35750
        made = account(-debit, (stock("0.01", lot=D(1)), 100_000_000), regimes=(rule,))
        found = plan(made, "house")
        assert [trade.proceeds for trade in found.trades] == [D(value)]
        assert found.is_enough


def test_a_sale_is_rounded_up_to_whole_lots():
    # LMV 10,000 against 8,000: requirement 2,500, equity 2,000, call 500, sale 500 / 25 % = 2,000 = 20 shares at 100;
    # in lots of 7: 21
    made = account("-8000", (stock("100", lot=D(7)), 100), regimes=EXCHANGE)
    assert [trade.quantity for trade in plan(made).trades] == [D(-21)]
    assert [trade.quantity for trade in plan(replace_lot(made, D(1))).trades] == [D(-20)]


def replace_lot(made, lot):
    return replace(made, instruments=tuple(replace(row, lot=lot) for row in made.instruments))


def test_fees_enlarge_the_sale():
    # V = 500 / (0.25 − 0.001) = 2,008.03: 21 shares at 100, fee 2.10
    (trade,) = plan(account("-8000", (stock("100"), 100), regimes=EXCHANGE), fee_rate=D("0.001")).trades
    assert (trade.quantity, trade.proceeds, trade.fee) == (D(-21), D(2100), D("2.10"))


def test_the_highest_release_per_unit_sold_goes_first():
    # a 3x fund releases 75 % of what is sold, an ordinary share 25 %
    fund = stock("50", id=12, code="TRI", kind="etf", leverage=D(3))
    made = account("-8500", (stock("100"), 50), (fund, 100), regimes=EXCHANGE)
    # equity 1,500, requirement 1,250 + 3,750 = 5,000, call 3,500: 3,500 / 0.75 = 4,666.67 = 94 of the fund
    assert [(t.instrument_id, t.quantity) for t in plan(made).trades] == [(12, D(-94))]


def test_a_short_is_bought_back():
    # short 1,000 at 100, credit 125,000: equity 25,000, requirement 30,000; 5,000 / 30 % = 16,666.67: 167 shares
    (trade,) = plan(account("125000", (stock("100"), -1000), regimes=EXCHANGE)).trades
    assert (trade.quantity, trade.proceeds) == (D(167), D(-16700))


def test_collateral_is_sold_down_to_the_restore_rate():
    # S = (L − T × C) / (1 − T) = 33,000 / 0.35 = 94,285.714…; with a fee f: 33,000 / (1 − f − T)
    (trade,) = plan(LENT, "loan").trades
    assert trade.quantity == D("-1.57142867")  # 94,285.72 / 60,000 = 1.571428666…
    (dearer,) = plan(LENT, "loan", fee_rate=D("0.001")).trades
    assert abs(dearer.proceeds - D("94555.87")) < D("0.05")  # 33,000 / 0.349, and the fee rounded up to the cent


def test_the_cures_of_a_loan_are_the_published_ones():
    # R = 33,000; dC = L / T − C = 50,769.230…; S = 94,285.714…
    found = sizing.cures(*LENT.arguments, regime="loan")
    assert found.cash == D(33000)
    assert [(a.quantity, a.value) for a in found.sales] == [(D("-1.57142867"), D("94285.72"))]
    assert [(a.quantity, a.value) for a in found.deposits] == [(D("0.84615385"), D("50769.24"))]


def test_a_deposit_of_stock_counts_for_what_is_not_required_of_it():
    # workflow.md §5: V × (1 − m) is released: 500 / 0.75 = 666.67, or 7 shares
    found = sizing.cures(*account("-8000", (stock("100"), 100), regimes=EXCHANGE).arguments, regime="exchange")
    assert found.cash == D(500)
    assert [(a.quantity, a.value) for a in found.deposits] == [(D(7), D("666.67"))]


def test_a_stock_that_is_not_margin_eligible_cures_nothing_by_deposit_and_everything_by_sale():
    made = account("-8000", (stock("100", margin_eligible=False), 100), regimes=EXCHANGE)
    found = sizing.cures(*made.arguments, regime="exchange")
    assert found.deposits == ()
    assert [(a.quantity, a.value) for a in found.sales] == [(D(-80), D(8000))]  # 8,000 released one for one


def test_when_nothing_is_enough_everything_is_sold_and_the_residual_told():
    found = plan(account("-12000.004", (stock("100"), 100), regimes=EXCHANGE))
    assert [trade.quantity for trade in found.trades] == [D(-100)]
    assert (found.is_enough, found.residual) == (False, D("2000.01"))


def test_an_account_that_is_not_short_needs_no_plan():
    found = plan(account("-100", (stock("100"), 100), regimes=EXCHANGE))
    assert (found.trades, found.is_enough, found.residual) == ((), True, D(0))
    assert sizing.cures(*account("0", regimes=EXCHANGE).arguments, regime="exchange").cash == 0


def test_excluded_instruments_stay():
    other = stock("100", id=12, code="KEEP")
    made = account("-16000", (stock("100"), 100), (other, 100), regimes=EXCHANGE)
    found = plan(made, excluded=[12])
    assert {trade.instrument_id for trade in found.trades} == {11}


def test_nothing_is_sized_on_a_guess():
    with pytest.raises(sizing.NotSizable, match="XYZ: no price"):
        plan(account("-1", (stock(None), 1), regimes=EXCHANGE))
    minimum = (regime("minimum_equity", kinds=("equity",)),)
    with pytest.raises(sizing.NotSizable, match="cost unknown"):
        plan(account("-900", (stock("18"), 100), regimes=minimum), "minimum_equity")
    with pytest.raises(sizing.NotSizable, match="no regime"):
        plan(account("-1", (stock("1"), 1), regimes=EXCHANGE), "house")


def test_a_sale_abroad_moves_foreign_cash():
    abroad = stock("100", currency="EUR")
    (trade,) = plan(account("-8800", (abroad, 100), regimes=EXCHANGE)).trades
    # LMV 10,823, requirement 2,705.75, equity 2,023, call 682.75; / 25 % = 2,731 USD = 2,523.33 EUR: 26 shares
    assert trade.quantity == D(-26)
    made = account("-8800", (abroad, 100), regimes=EXCHANGE)
    assert is_restored(after(made, plan(made), "exchange"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(world.stock_worlds(EXCHANGE, accounts=1))
def test_a_plan_is_enough_and_one_lot_less_of_any_line_is_not(made):
    _check(made, "exchange")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(world.stock_worlds((loan_regime(kinds=("equity", "etf")),), accounts=1))
def test_a_plan_for_a_loan_is_enough_and_one_lot_less_of_any_line_is_not(made):
    _check(made, "loan")


def _check(made, regime):
    made = replace(made, positions=tuple(_booked(position) for position in made.positions))
    (before,) = made.figures().values()
    assume(before.status in (Status.DEFICIT, Status.SEVERE))
    assume(all(abs(p.quantity) < D("1e9") for p in made.positions))
    prices = {row.id: row.price or D(1) for row in made.instruments}
    assume(sum(abs(p.quantity) * prices[p.instrument] for p in made.positions) < D("1e15"))  # cents of 63 bits hold it
    for fee_rate in (D(0), D("0.001")):
        found = plan(made, regime, fee_rate=fee_rate)
        held = {p.instrument: p.quantity for p in made.positions}
        for trade in found.trades:
            quantity = held[trade.instrument_id]
            assert quantity * trade.quantity < 0  # against the position
            assert abs(trade.quantity) <= abs(quantity)  # and never through it
        left = after(made, found, regime)
        assert is_restored(left) == found.is_enough
        if found.is_enough:
            for k in range(len(found.trades)):
                assert not is_restored(after(made, found, regime, drop=k))
        else:
            assert found.residual > 0


def _booked(position):
    """Cash is booked in hundredths."""
    is_cash = position.instrument in {row.id for row in world.CASH}
    return replace(position, quantity=round_down(position.quantity, 2)) if is_cash else position
