"""All regimes of one account at once: each its own amount, clock and cures; one sum of money clears them together."""

from decimal import Decimal as Dec

import pytest

from margin import sweep, totals, trades
from margin.models import Cure, MarginCall
from tests.margin import world
from tests.margin.test_trades import DAY_TRADE, INTRADAY, REG_T, at, begin, deal, end, pay, quotes

pytestmark = pytest.mark.django_db
STEPS = [{"above": "0.30", "rate": "0.40"}, {"above": "0.60", "rate": "0.60"}]
CONCENTRATION = {
    **world.EXCHANGE,
    "regime": "concentration",
    "parts": [
        {"methodology": "concentration", "measure": "addition", "kinds": ["equity", "etf"], "terms": {"share": STEPS}}
    ],
    "clock": {"unit": "hours", "count": 72},
}
MINIMUM = {**world.EXCHANGE, "regime": "minimum_equity", "measure": "minimum_equity"}
HOUSE = {**world.HOUSE, "severe_rate": None, "clock": {"unit": "hours", "count": 36}}
# 500 in cash, 20,000 of X bought. House 30 % of it, exchange 25 %, a name alone 60 %, at least 2,000; half of it less
# SMA; 25 % again by day; 5,000 of Y in and out beside 2 × 500: (5,000 − 1,000) ÷ 2.
CALLED = {
    "house": 5500,
    "exchange": 4500,
    "concentration": 11500,
    "minimum_equity": 1500,
    "reg_t": 9500,
    "day_trade": 2000,
    "intraday": 4500,
}


@pytest.fixture
def called():
    owner, stock = begin(HOUSE, CONCENTRATION, MINIMUM, REG_T, DAY_TRADE, INTRADAY)
    deal(owner, stock["Y"], "100", at(2, -4.5), price="50")
    deal(owner, stock["Y"], "-100", at(2, -4.4), price="50")
    deal(owner, stock["X"], "200", at(2, -4))
    end(2)
    return owner


def by_regime(column):
    return dict(MarginCall.objects.values_list("regime", column))


def test_every_regime_calls_its_own_amount_by_its_own_clock(called):
    assert by_regime("amount_called") == CALLED
    due = by_regime("due_at")
    hours = {regime: (due[regime] - at(2)).total_seconds() / 3600 for regime in due}
    assert hours == pytest.approx(
        {
            "house": 36,
            "exchange": 24,
            "concentration": 72,
            "minimum_equity": 24,
            "reg_t": 70 + 55 / 60,  # Thursday, 15:00 in New York
            "day_trade": 165 + 55 / 60,  # the Monday after; the clocks have gone forward
            "intraday": 165 + 55 / 60,
        }
    )
    assert {regime for regime, cures in by_regime("market_cures").items() if not cures} == {"reg_t", "day_trade"}


def test_the_greatest_outstanding_clears_everything_and_each_regime_uses_the_money_once(called):
    cash = totals.to_clear(MarginCall.objects.open())
    assert cash == Dec(11500)
    assert cash < sum(by_regime("amount_outstanding").values())
    pay(called, str(cash), at(3, -3))
    end(3)
    assert set(by_regime("state").values()) == {"met"}
    assert totals.to_clear(MarginCall.objects.all()) == 0
    used = [(cure.call.regime, cure.used) for cure in Cure.objects.select_related("call")]
    assert sorted(regime for regime, _ in used) == sorted(CALLED)
    assert all(amount <= cash for _, amount in used)


def test_one_unit_less_leaves_the_greatest_open(called):
    pay(called, "11499", at(3, -3))
    end(3)
    assert {regime for regime, state in by_regime("state").items() if state != "met"} == {"concentration"}


def test_a_rising_market_meets_what_it_may_and_leaves_the_rest(called):
    """At 250, X is worth 50,000: equity is 30,500 against 60 % of 50,000."""
    end(3, X="250")
    left = {regime for regime, state in by_regime("state").items() if state != "met"}
    assert left == {"reg_t", "day_trade"}
    assert totals.to_clear(MarginCall.objects.open()) == Dec(9500)


def test_a_sweep_never_touches_what_trades_called(called):
    before = dict(MarginCall.objects.filter(regime__in=trades.REGIMES).values_list("regime", "seq"))
    when = at(3, -2)
    quotes(when)
    sweep.run("securities", at=when)
    assert dict(MarginCall.objects.filter(regime__in=trades.REGIMES).values_list("regime", "seq")) == before
