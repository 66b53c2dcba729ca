"""What one option gains when its price is moved by amounts and its volatility by points, some days later. float64.

Below a price of nothing the model has no value: a call is then worth nothing and a put the discounted difference.
"""

import math

import numpy as np

from margin.engine import pricing
from margin.engine.columns import Array
from margin.engine.valuation import Model

_DAYS_OF_YEAR = 365
_LEAST_DEVIATION = 1e-12


def moved_values(model: Model, prices: Array, volatilities: Array, lookahead_days: int) -> Array:
    """Gains [points] of one contract, held long, in its currency; `model` is of one option. Moves are added."""
    count = len(prices)
    now = pricing.by_style(model.is_american, *_columns(model, model.spot, model.years, model.volatility))
    spot = model.spot + prices
    volatility = np.maximum(model.volatility + volatilities, 0.0)
    shaped = _columns(model, spot, _later(model, lookahead_days), volatility)
    columns = [np.broadcast_to(column, count) for column in shaped]
    styles = np.broadcast_to(model.is_american, count)
    value = np.empty(count)
    above = spot > 0
    value[above] = pricing.by_style(styles[above], *(column[above] for column in columns))
    value[~above] = _below(*(column[~above] for column in (styles, *columns)))
    gains: Array = (value - now) * model.units
    return gains


def _columns(model: Model, spot: Array, years: Array, volatility: Array) -> tuple[Array, ...]:
    return spot, model.strike, years, model.rate, model.dividend, volatility, model.is_call


def _later(model: Model, days: int) -> Array:
    later: Array = np.maximum(model.years - days / _DAYS_OF_YEAR, 0.0)
    return later


def _below(*columns: Array) -> Array:
    """Values at prices of nothing or less."""
    is_american, spot, strike, years, rate, dividend, _, is_call = columns
    put = strike * np.exp(-rate * years) - spot * np.exp(-dividend * years)
    put = np.where(is_american, np.maximum(put, strike - spot), put)
    value: Array = np.where(is_call, 0.0, put)
    return value


def deltas(model: Model, prices: Array, lookahead_days: int) -> list[float]:
    """The European deltas [points] of one option, per unit of its underlying, at prices moved by amounts."""
    spot, strike, rate, dividend, volatility = (
        float(column[0]) for column in (model.spot, model.strike, model.rate, model.dividend, model.volatility)
    )
    years = float(_later(model, lookahead_days)[0])
    deviation = max(volatility * math.sqrt(years), _LEAST_DEVIATION)
    found = []
    for moved in (spot + float(move) for move in prices):
        within = 0.0
        if moved > 0:
            d1 = (math.log(moved / strike) + (rate - dividend) * years) / deviation + 0.5 * deviation
            within = 0.5 * math.erfc(-d1 / math.sqrt(2))
        found.append(math.exp(-dividend * years) * (within if model.is_call[0] else within - 1.0))
    return found
