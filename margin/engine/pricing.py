"""What options are worth, and the volatility that a price implies. Models in float64: the caller rounds, once.

Everywhere: prices are per unit of the underlying; `years` is the time to expiry; `rate` and `dividend` are continuous
per year; `volatility` is per square root of a year; `is_call` is true for calls. Arguments are float64 arrays,
or numbers, that broadcast together; results have the broadcast shape. Nothing raises: what has no value is NaN.

* European: Black, Scholes and Merton (1973), to 1e-9 of spot against a high-precision normal distribution.
* On a forward: Black (1976), the same formula with the rate for a dividend.
* American: Leisen and Reimer (1996), two trees extrapolated to an infinite one (the error of one is in proportion to
  1 ÷ steps), never below the European value: root mean square error 0.005 % of spot.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from margin.engine import kernels, memory
from margin.engine.columns import Array

STEPS = 51  # of the finer tree; the coarser has the odd number at or below half of it
BELOW, ABOVE = "below the least value", "above what any volatility gives"
_LEAST_DEVIATION = 1e-12  # stands for none, as in the kernels
_MOST_DEVIATION = 4.0  # volatility × √years: at 4, an option at the money is worth 95 % of its underlying
_CENTRED = 6.0  # a tree is centred on its strike, but no further away than so many deviations
_ROUNDS = 100


@dataclass(frozen=True)
class Implied:
    """Implied volatilities. Where there is none, `volatility` is NaN and `reason` is BELOW or ABOVE, else ''."""

    volatility: Array  # float64
    reason: Array  # str


def european(spot: Any, strike: Any, years: Any, rate: Any, dividend: Any, volatility: Any, is_call: Any) -> Array:
    """European values. Without volatility or time: the discounted difference where positive."""
    columns = _columns(spot, strike, years, rate, dividend, volatility, is_call)
    return _closed_form(columns, np.ones(1), np.ones(1)).reshape(columns[0].shape)


def black76(forward: Any, strike: Any, years: Any, rate: Any, volatility: Any, is_call: Any) -> Array:
    """European values on a forward or future that expires no earlier than the option."""
    return european(forward, strike, years, rate, rate, volatility, is_call)


def european_scenarios(
    spot: Any,
    strike: Any,
    years: Any,
    rate: Any,
    dividend: Any,
    volatility: Any,
    is_call: Any,
    price_shocks: Array,
    volatility_shocks: Array,
) -> Array:
    """European values [points, n] of n options: spot × (1 + price shock), volatility × (1 + volatility shock).

    Shocks are fractions [points], above -1 for prices and at least -1 for volatilities; all options see all points.
    """
    columns = _columns(spot, strike, years, rate, dividend, volatility, is_call)
    shocks = 1.0 + np.asarray(price_shocks, np.float64), _widenings(volatility_shocks)
    return memory.answer("european", lambda *given: _closed_form(given[:-2], *given[-2:]), *columns, *shocks)


def _closed_form(columns: Sequence[Array], factors: Array, widenings: Array) -> Array:
    """[points, n] with spot × factor and volatility × widening."""
    spot, strike, *rest = (column.reshape(-1) for column in columns)
    out = np.empty((len(factors), spot.size))
    kernels.pricing().european(spot, strike, np.log(spot / strike), *rest, factors, np.log(factors), widenings, out)
    return out


def _widenings(volatility_shocks: Array) -> Array:
    """1 + shock, kept above 0: the formulas divide by it."""
    return np.maximum(1.0 + np.asarray(volatility_shocks, np.float64), _LEAST_DEVIATION)


def american(
    spot: Any, strike: Any, years: Any, rate: Any, dividend: Any, volatility: Any, is_call: Any, steps: int = STEPS
) -> Array:
    """American values from trees of `steps` and half as many steps.

    Never below the European value nor below what exercise brings at once. Where exercise can never pay (a call
    without dividends, a put without interest) it is the European value.
    """
    columns = _columns(spot, strike, years, rate, dividend, volatility, is_call)
    _, _, _, rate, dividend, _, is_call = columns
    value = european(*columns)
    may_pay = ~np.where(is_call > 0, (dividend <= 0) & (rate >= 0), (rate <= 0) & (dividend >= 0))
    if may_pay.any():
        *chosen, calls = (column[may_pay] for column in columns)
        sign = np.where(calls > 0, 1.0, -1.0)
        coarse = steps // 2 - (steps // 2 + 1) % 2
        fine_value, coarse_value = _tree(chosen, sign, steps), _tree(chosen, sign, coarse)
        extrapolated = (steps * fine_value - coarse * coarse_value) / (steps - coarse)
        at_once = sign * (chosen[0] - chosen[1])
        value[may_pay] = np.maximum(np.maximum(extrapolated, at_once), value[may_pay])
    return value


def american_scenarios(
    spot: Any,
    strike: Any,
    years: Any,
    rate: Any,
    dividend: Any,
    volatility: Any,
    is_call: Any,
    price_shocks: Array,
    volatility_shocks: Array,
) -> Array:
    """American values [points, n], shocked as in `european_scenarios`."""
    columns = _columns(spot, strike, years, rate, dividend, volatility, is_call)
    shocks = 1.0 + np.asarray(price_shocks, np.float64), _widenings(volatility_shocks)
    return memory.answer("american", _american_grid, *columns, *shocks)


def _american_grid(*columns: Array) -> Array:
    """[points, n] with spot × factor and volatility × widening, the last two columns."""
    spot, strike, years, rate, dividend, volatility, is_call = (column.reshape(-1) for column in columns[:-2])
    factors, widenings = (column[:, None] for column in columns[-2:])
    return american(spot * factors, strike, years, rate, dividend, volatility * widenings, is_call)


def implied_volatility(
    price: Any, spot: Any, strike: Any, years: Any, rate: Any, dividend: Any, is_call: Any, is_american: Any
) -> Implied:
    """The volatility at which the model gives the price: of `american` where `is_american`, else of `european`.

    A price at the least value, to 1e-12 of spot, has volatility 0. A price below it (BELOW), or above what 4 standard
    deviations until expiry give (ABOVE), has none. Where an American price is met by a range of volatilities,
    because exercise at once is best, the answer is 0.
    """
    columns = _columns(price, spot, strike, years, rate, dividend, is_call, is_american)
    shape = columns[0].shape
    volatility, found = memory.answer("implied", _implied, *columns)
    reason = np.array(["", BELOW, ABOVE], object)[found.astype(np.int64)]
    return Implied(volatility.reshape(shape), reason.reshape(shape))


def _implied(*columns: Array) -> Array:
    """float64[2, n]: the volatility, and 1 where the price is BELOW, 2 where it is ABOVE."""
    price, spot, strike, years, rate, dividend, is_call, is_american = (column.reshape(-1) for column in columns)

    def gap(volatility: Array, rows: Array) -> Array:
        """Model value less price."""
        arguments = (spot[rows], strike[rows], years[rows], rate[rows], dividend[rows], volatility, is_call[rows])
        return by_style(is_american[rows], *arguments) - price[rows]

    everywhere = np.arange(len(price))
    most = _MOST_DEVIATION / np.sqrt(np.maximum(years, 1e-12))
    slack = 1e-12 * spot
    at_least, at_most = gap(np.zeros(len(price)), everywhere), gap(most, everywhere)
    reason = np.zeros(len(price))
    reason[~(at_least <= slack)] = 1.0
    reason[(at_least < -slack) & ~(at_most >= 0)] = 2.0
    volatility = np.where(reason == 0.0, 0.0, np.nan)
    open_rows = everywhere[(reason == 0.0) & (at_least < -slack)]
    present, paid = spot * np.exp(-dividend * years), strike * np.exp(-rate * years)
    start = np.maximum(np.sqrt(2 * np.abs(np.log(present / paid))), 2.5 * price / spot) / np.sqrt(years)
    volatility[open_rows] = _root(
        gap, open_rows, start[open_rows], most[open_rows], present * np.sqrt(years), paid, years
    )
    return np.stack([volatility, reason])


def by_style(is_american: Array, *arguments: Any) -> Array:
    """Values of a mixture of styles; `arguments` are columns of one length, as of `european`."""
    return memory.answer("by_style", _by_style, is_american, *_columns(*arguments))


def _by_style(is_american: Array, *arguments: Array) -> Array:
    value = np.empty(len(is_american))
    for rows, price in ((is_american > 0, american), (is_american <= 0, european)):
        if rows.any():
            value[rows] = price(*(column[rows] for column in arguments))
    return value


def _root(
    gap: Callable[[Array, Array], Array],
    rows: Array,
    start: Array,
    most: Array,
    scale: Array,
    paid: Array,
    years: Array,
) -> Array:
    """Where the gap is 0, for each row: Newton's steps, and halving wherever they leave the bracket (0, most).

    The first slope is the European vega at the start; from then on it is the secant's, which is right for both styles.
    """
    low, high, x = np.zeros(len(rows)), most.copy(), np.clip(start, 1e-4 * most, 0.5 * most)
    found = x.copy()
    at = np.arange(len(rows))  # those not found yet
    last_x, last_gap = np.zeros(len(rows)), np.full(len(rows), np.nan)
    for turn in range(_ROUNDS):
        if not at.size:
            break
        here = x[at]
        miss = gap(here, rows[at])
        high[at] = np.where(miss > 0, here, high[at])
        low[at] = np.where(miss <= 0, here, low[at])
        slope = (miss - last_gap[at]) / (here - last_x[at])
        slope = np.where(np.isfinite(slope) & (slope > 0), slope, _vega(here, rows[at], scale, paid, years))
        with np.errstate(divide="ignore", invalid="ignore"):
            step = here - miss / slope
        inside = (step > low[at]) & (step < high[at]) & ((turn < 8) | (turn % 2 == 0))
        following = np.where(inside, step, 0.5 * (low[at] + high[at]))
        last_x[at], last_gap[at], found[at], x[at] = here, miss, here, following
        at = at[(miss != 0) & (np.abs(following - here) > 1e-12 * np.maximum(here, 1e-6))]
    return found


def _vega(volatility: Array, rows: Array, scale: Array, paid: Array, years: Array) -> Array:
    """The European value's slope in volatility; `scale` is present spot × √years."""
    root = np.sqrt(years[rows])
    width = np.maximum(volatility * root, _LEAST_DEVIATION)
    d1 = np.log(scale[rows] / root / paid[rows]) / width + 0.5 * width
    slope: Array = scale[rows] * np.exp(-0.5 * d1 * d1) / np.sqrt(2 * np.pi)
    return slope


def _tree(columns: Sequence[Array], sign: Array, steps: int) -> Array:
    """American values from one tree of an odd number of steps: Leisen and Reimer, with Peizer and Pratt's inversion.

    Far from the strike the tree is centred _CENTRED deviations away instead: it is a lawful tree wherever its centre
    lies, and stays one without volatility.
    """
    spot, strike, years, rate, dividend, volatility = columns
    count = len(spot)
    padded = -count % kernels.pricing().LANES
    deviation = np.maximum(volatility * np.sqrt(years), _LEAST_DEVIATION)
    drift = (rate - dividend) * years
    d2 = np.clip((np.log(spot / strike) + drift) / deviation - 0.5 * deviation, -_CENTRED, _CENTRED)
    p, p_of_spot = _peizer_pratt(d2, steps), _peizer_pratt(d2 + deviation, steps)
    growth, discount = np.exp(drift / steps), np.exp(-rate * years / steps)
    up, down = growth * p_of_spot / p, growth * (1.0 - p_of_spot) / (1.0 - p)
    inputs = (spot, strike, sign, down, up / down, discount * p, discount * (1.0 - p))
    out = np.empty(count + padded)
    kernels.pricing().american(*(np.pad(column, (0, padded), "edge") for column in inputs), steps, out)
    return out[:count]


def _peizer_pratt(z: Array, steps: int) -> Array:
    """The probability whose binomial tail is N(z), Leisen and Reimer's second inversion."""
    width = z / (steps + 1 / 3 + 0.1 / (steps + 1))
    half = 0.5 * np.sqrt(-np.expm1(-(width**2) * (steps + 1 / 6)))
    probability: Array = 0.5 + np.copysign(half, z)
    return probability


def _columns(*numbers: Any) -> tuple[Array, ...]:
    """The numbers as float64 columns of one shape, at least one long."""
    shaped = np.broadcast_arrays(*(np.atleast_1d(np.asarray(number, np.float64)) for number in numbers))
    return tuple(np.array(column, order="C") for column in shaped)


__all__ = [
    "ABOVE",
    "BELOW",
    "STEPS",
    "Implied",
    "american",
    "american_scenarios",
    "black76",
    "by_style",
    "european",
    "european_scenarios",
    "implied_volatility",
]
