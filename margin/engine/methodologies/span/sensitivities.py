"""What options gain when prices are moved by amounts and volatilities by points, some days later. float64.

At a price of nothing or less the model has no value: a call is then worth nothing and a put the discounted difference.
"""

import math

import numpy as np

from margin.engine import memory, pricing
from margin.engine.columns import Array
from margin.engine.valuation import Model

_DAYS_OF_YEAR = 365
_LEAST_DEVIATION = 1e-12
_ERFC = np.frompyfunc(math.erfc, 1, 1)


def moved_values(model: Model, prices: Array, volatilities: Array, days: Array) -> Array:
    """Gains [n, points] of one of each of n options, held long, in its currency, so many `days` [n] later.

    Moves [n, points] are added to the price of the underlying and to the volatility.
    """
    shape = prices.shape
    now = pricing.by_style(model.is_american, *_columns(model, model.spot, model.years, model.volatility))
    spot = model.spot[:, None] + prices
    volatility = np.maximum(model.volatility[:, None] + volatilities, 0.0)
    shaped = _columns(model, spot, _later(model, days), volatility)
    columns = [_grid(column, shape) for column in (model.is_american, *shaped)]
    above = columns[1] > 0
    value = np.empty(len(above))
    value[above] = pricing.by_style(*(column[above] for column in columns))
    value[~above] = _below(*(column[~above] for column in columns))
    gains: Array = (value.reshape(shape) - now[:, None]) * model.units[:, None]
    return gains


def _columns(model: Model, spot: Array, years: Array, volatility: Array) -> tuple[Array, ...]:
    return spot, model.strike, years, model.rate, model.dividend, volatility, model.is_call


def _grid(column: Array, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(column if column.ndim > 1 else column[:, None], shape).reshape(-1)


def _later(model: Model, days: Array) -> Array:
    later: Array = np.maximum(model.years - days / _DAYS_OF_YEAR, 0.0)
    return later


def _below(*columns: Array) -> Array:
    """Values at prices of nothing or less."""
    is_american, spot, strike, years, rate, dividend, _, is_call = columns
    put = strike * np.exp(-rate * years) - spot * np.exp(-dividend * years)
    put = np.where(is_american, np.maximum(put, strike - spot), put)
    value: Array = np.where(is_call, 0.0, put)
    return value


def deltas(model: Model, prices: Array, days: Array) -> Array:
    """European deltas [n, points] per unit of the underlying, at prices moved by amounts [n, points]."""
    spot = model.spot[:, None] + prices
    columns = _columns(model, spot, _later(model, days), model.volatility)
    return memory.answer("delta", _deltas, *(_grid(column, prices.shape) for column in columns)).reshape(prices.shape)


def _deltas(*columns: Array) -> Array:
    spot, strike, years, rate, dividend, volatility, is_call = columns
    deviation = np.maximum(volatility * np.sqrt(years), _LEAST_DEVIATION)
    price = np.where(spot > 0, spot, strike)
    d1 = (np.log(price / strike) + (rate - dividend) * years) / deviation + 0.5 * deviation
    within = np.where(spot > 0, 0.5 * _ERFC(-d1 / math.sqrt(2)).astype(np.float64), 0.0)
    found: Array = np.exp(-dividend * years) * (within - np.where(is_call, 0.0, 1.0))
    return found
