"""Published worked numbers about calls that come from trades and what meets calls of several regimes at once.

Sources: NFS, adviser help, margin calls; Merrill Edge, Regulation T call and maintenance call pages; FINRA 4210(d)(2),
(f)(8)(B); 12 CFR 220.4.
"""

from dataclasses import replace
from datetime import date
from decimal import Decimal as Dec

import pytest

from margin.engine import account, sma, trade_calls
from margin.engine.account import RULE_BOOK, Standing
from margin.engine.sma import Entry, Kind

DAY = date(2026, 3, 3)
HOUSE = replace(RULE_BOOK, long_rate=Dec("0.30"), short_rate=Dec("0.30"))


@pytest.mark.parametrize(("rate", "released"), [("0.30", 18000), ("0.50", 30000)])
def test_nfs_60000_sold_of_a_stock_at_30_percent_frees_18000_for_the_house_and_30000_for_the_fed(rate, released):
    assert account.released(Dec(60000), Dec(rate)) == released


def test_nfs_and_merrill_a_fed_call_of_10000_takes_a_sale_of_20000():
    assert account.sale_for_initial_call(Dec(10000)) == 20000


@pytest.mark.parametrize(("rate", "sale"), [("0.30", "119166.67"), ("0.75", "47666.67")])
def test_nfs_a_house_call_of_35750_takes_less_of_what_is_charged_more(rate, sale):
    exact = account.cures(Dec(35750), Dec(rate)).sale
    assert round(exact * 100) == int(Dec(sale) * 100)


def test_merrill_9000_of_stock_on_7000_borrowed_is_short_of_700():
    assert account.maintenance_call(Standing(long_value=Dec(9000), debit=Dec(7000)), HOUSE) == 700


def test_merrill_11500_short_on_a_credit_of_14000_is_short_of_950():
    assert account.maintenance_call(Standing(short_value=Dec(11500), credit=Dec(14000)), HOUSE) == 950


def test_merrill_20000_sold_and_11000_bought_on_one_day_release_4500():
    effects = [sma.effect(Entry(Kind.SALE, Dec(20000))), sma.effect(Entry(Kind.PURCHASE, Dec(11000)))]
    postings = [trade_calls.Posted(DAY, effect, Dec(0), fill) for fill, effect in enumerate(effects, start=1)]
    (day,) = trade_calls.days(Dec(10000), [replace(postings[0], called_change=Dec(-4500)), postings[1]])
    assert (day.released, Dec(10000) - day.released) == (4500, 5500)


def test_merrill_what_may_not_be_margined_releases_all_of_its_proceeds():
    assert account.released(Dec(10000), Dec(1)) == 10000


def test_finra_1000_sold_of_a_security_at_35_percent_satisfies_350_of_an_intraday_deficit():
    waiting = trade_calls.Waiting(closed_at_level=Dec(-500), amount=Dec(500))
    level = Dec(-500) + account.released(Dec(1000), Dec("0.35"))
    assert trade_calls.unsatisfied([waiting], level) == [150]


def test_finra_day_trading_buying_power_is_four_times_the_maintenance_excess():
    """4210(f)(8)(B)(iv): 30,000 in cash has a maintenance excess of 30,000; 120,000 may be day-traded and no more."""
    assert account.day_trading_buying_power(Dec(30000)) == 120000
    assert trade_calls.day_trade_call(Dec(120000), Dec(30000), Dec(4), 2) == 0
