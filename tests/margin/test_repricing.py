"""Futures, perpetuals, options on them and coins under other prices; each figure from a pencil or from the model."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from margin.engine import build, pricing
from margin.engine.build import InstrumentRow
from margin.engine.columns import Contract, Market
from margin.engine.measures import worth
from margin.hypothetical import repricing

D = Decimal
ON, EXPIRY = date(2026, 3, 2), date(2027, 3, 2)
MARKET = Market(ON, {("BTC", "USD"): D(50000), ("USD", "BTC"): D("0.00002")}, {"USD": D("0.05")})
USD = InstrumentRow(1, "USD", "cash", "USD", minor_exponent=2)
COIN = InstrumentRow(2, "BTC", "crypto", "USD", D(50000))
FUTURE = InstrumentRow(3, "CLZ6", "future", "USD", D(70), multiplier=D(1000), contract=Contract(0, None))
SWAP = InstrumentRow(
    4, "BTCUSD", "perpetual", "BTC", D(50000), multiplier=D(100), contract=Contract(2, D(50000), is_inverse=True)
)


def option(kind, price, currency="USD", **contract):
    stated = {"right": "call", "style": "european", "expires_on": EXPIRY, **contract}
    return InstrumentRow(5, "CALL", kind, currency, D(repr(price)), contract=Contract(**stated))


def moved(*listed, volatility="0", **prices):
    """The instruments before and after; `prices` are by code."""
    before = build.instruments((USD, *listed), {"USD"})
    new, is_moved = before.price.copy(), np.isin(before.codes, list(prices))
    for row in np.flatnonzero(is_moved):
        new[row] = D(prices[str(before.codes[row])])
    options = repricing.options_of(before, MARKET, np.arange(len(before)))
    shifts = np.full(len(before), float(volatility))
    return before, repricing.moved(before, options, prices=new, is_moved=is_moved, volatility_shifts=shifts)


def of_call(after, column):
    return getattr(after, column)[after.codes == "CALL"][0]


def black(future, volatility):
    """Black (1976): the model of Black, Scholes and Merton with the rate for a dividend."""
    return float(pricing.european(future, 70.0, 1.0, 0.05, 0.05, volatility, True)[0])


def test_an_option_on_a_future_follows_its_future_and_its_volatility():
    call = option("future_option", round(black(70.0, 0.30), 8), underlying=3, spot=D(70), strike=D(70))
    _, after = moved(FUTURE, call, CLZ6="63")
    assert float(of_call(after, "price")) == pytest.approx(black(63.0, 0.30), abs=2e-6)
    _, after = moved(FUTURE, call, volatility="0.10")
    assert float(of_call(after, "price")) == pytest.approx(black(70.0, 0.40), abs=2e-6)


def test_an_option_has_no_price_where_its_future_falls_below_nothing():
    call = option("future_option", round(black(70.0, 0.30), 8), underlying=3, spot=D(70), strike=D(70))
    _, after = moved(FUTURE, call, CLZ6="-37.63")
    assert (of_call(after, "priced"), after.price[after.codes == "CLZ6"][0]) == (False, D("-37.63"))
    assert of_call(after, "unpriced_reason") == "CALL: no model gives it a value there"


def test_an_inverse_option_keeps_the_volatility_of_its_price_in_dollars():
    def dollars(spot):
        return float(pricing.european(spot, 50000.0, 1.0, 0.05, 0.0, 0.60, True)[0])

    terms = {"underlying": 2, "spot": D(50000), "strike": D(50000), "is_inverse": True}
    call = option("option", round(dollars(50000.0) / 50000, 8), "BTC", **terms)
    _, after = moved(COIN, call, BTC="40000")
    assert float(of_call(after, "price")) == pytest.approx(dollars(40000.0) / 40000, abs=1e-7)


def test_a_quoted_volatility_moves_with_the_shift_and_not_below_nothing():
    terms = {"underlying": 2, "spot": D(50000), "strike": D(50000), "implied_volatility": D("0.60")}
    call = option("option", 5000.0, **terms)
    assert of_call(moved(COIN, call, volatility="0.10")[1], "contract").implied_volatility == D("0.70")
    assert of_call(moved(COIN, call, volatility="-0.70")[1], "contract").implied_volatility == 0


def test_a_coin_takes_its_rate_of_exchange_along_and_other_prices_none():
    before, after = moved(COIN, FUTURE, BTC="40000", CLZ6="63")
    assert repricing.with_rates(MARKET, before, after).fx == {("BTC", "USD"): 40000, ("USD", "BTC"): D("0.000025")}
    before, after = moved(COIN, FUTURE, CLZ6="63")
    assert repricing.with_rates(MARKET, before, after) == MARKET


def test_a_coin_without_a_price_has_the_rate_that_is_supposed():
    before, after = moved(replace(COIN, price=None, reason="stale"), BTC="40000")
    assert repricing.with_rates(Market(ON), before, after).fx == {("BTC", "USD"): 40000}


def test_an_inverse_perpetual_gains_coins_by_one_over_the_price():
    # 100 ÷ 50,000 − 100 ÷ 40,000 = −0.0005 coins a contract
    before, after = moved(COIN, SWAP, BTCUSD="40000")
    row = int((after.codes == "BTCUSD").argmax())
    assert worth(after)[row] - worth(before)[row] == D("-0.0005")
