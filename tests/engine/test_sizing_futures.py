"""Closing futures and perpetuals brings the profit that it realises, not what they are worth. By pencil."""

import pytest

from margin.engine import sizing
from tests.engine.test_cross import _flat_is_known, future, pool  # noqa: F401 - a part of 1,000 a contract
from tests.engine.world import D, account


def plan(world, **more):
    return sizing.plan(*world.arguments, regime="futures", **more)


def test_of_a_long_future_so_many_are_sold_as_the_requirement_needs():
    # 10 bought at 71.50, now 70.25: 20,000 - 12,500 = 7,500 against 10,000. Each that is closed asks 1,000 less and
    # leaves equity as it was: 3 are sold, 7,000 is asked
    found = plan(account("20000", (future("70.25"), "10", "715000"), regimes=(pool(),)))
    (trade,) = found.trades
    assert (trade.quantity, found.is_enough) == (-3, True)


def test_a_short_future_is_bought_back_at_a_loss():
    # 4 sold at 70.00, now 72.00: 11,000 - 8,000 = 3,000 against 4,000
    found = plan(account("11000", (future("72"), "-4", "-280000"), regimes=(pool(),)))
    assert [trade.quantity for trade in found.trades] == [1]


def test_a_fee_on_the_notional_is_paid_out_of_equity():
    # each costs 1 % of 70,250 = 702.50 and releases 1,000: 2,500 short ÷ 297.50 = 8.4, so 9 are sold
    found = plan(account("20000", (future("70.25"), "10", "715000"), regimes=(pool(),)), fee_rate=D("0.01"))
    assert [(trade.quantity, trade.fee) for trade in found.trades] == [(-9, D("6322.50"))]


def test_closing_everything_leaves_cash_and_profit():
    # 1 bought at 71.50 with 800: at 70.25 it has 800 - 1,250 = -450, all of it owed
    found = plan(account("800", (future("70.25"), "1", "71500"), regimes=(pool(),)))
    assert (found.is_enough, found.residual) == (False, 450)


def test_an_inverse_perpetual_pays_its_profit_in_coins():
    # 40 long of 100 USD each at 40,000 cost -0.1 coins; at 50,000 they are worth -0.08: 0.02 coins of profit
    # (the euro plays the coin)
    swap = future(
        "50000", kind="perpetual", multiplier="100", currency="EUR", is_inverse=True
    )  # the euro plays the coin
    book, instruments, market, rules = account("0", (swap, "40", "-0.1"), regimes=(pool(),)).arguments
    trader = sizing.Account(book, 0, instruments, market, rules, "futures", D(0))
    row = instruments.codes.tolist().index(swap.code)
    assert (trader.brings(row, D(-40)), trader.brings(row, D(-20))) == (D("0.02"), D("0.01"))


def test_a_future_of_unknown_cost_is_not_sized():
    with pytest.raises(sizing.NotSizable):
        plan(account("800", (future("70.25"), "1"), regimes=(pool(),)))
