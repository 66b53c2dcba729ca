"""What one unit of each instrument gains or loses when its underlying moves: for `portfolio`, stress and concentration.

Stock and futures are linear. Options are repriced by model, with the volatility that their own price implies held, the
same time to expiry, and today's rates and dividends (FINRA 4210(g); Cboe Rule 10.4). An option on a future is repriced
on its future: Black (1976), the same formulas with the rate for a dividend.
"""

from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine import pricing
from margin.engine.columns import KINDS, Array, Contract, Instruments, Market
from margin.engine.measures import silence

PARITY_TOLERANCE = Decimal("0.02")  # of spot, where no terms state one
_DAYS_OF_YEAR = 365
_WARRANT = KINDS.index("warrant")
_FUTURE_OPTION = KINDS.index("future_option")
_WRITTEN = (KINDS.index("option"), _WARRANT, _FUTURE_OPTION)
_STYLES = {"american": True, "european": False}
_RIGHTS = {"call": True, "put": False}


@dataclass(frozen=True)
class Model:
    """How each of n instruments is repriced. float64, prices per unit of the underlying; options' columns are 0 and
    mean nothing where `is_option` is false."""

    is_option: Array  # bool: by model; else linear
    units: Array  # what one instrument is worth for one unit of price: the multiplier, or a warrant's conversion
    price: Array  # of the instrument, per unit
    spot: Array
    strike: Array
    years: Array
    rate: Array
    dividend: Array
    volatility: Array
    is_call: Array  # bool
    is_american: Array  # bool
    refused: Array  # str: why it cannot be valued, '' where it can

    def __len__(self) -> int:
        return len(self.price)

    def take(self, rows: Array) -> "Model":
        """The chosen instruments, in that order."""
        return Model(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


class _NoValue(ValueError):
    """Why an option cannot be valued."""


def model_of(instruments: Instruments, market: Market, parity_tolerance: Decimal) -> Model:
    """Every instrument with its implied volatility. A price below the least value of its option by no more than the
    tolerance (of spot) has volatility 0; beyond that, or above all volatilities, the option is refused."""
    count = len(instruments)
    names = ("price", "spot", "strike", "years", "rate", "dividend")
    numbers = {name: np.zeros(count) for name in names}
    is_call, is_american = np.zeros(count, bool), np.zeros(count, bool)
    units = instruments.multiplier.astype(np.float64)
    refused = instruments.unpriced_reason.copy()
    is_option = np.isin(instruments.kind, _WRITTEN)
    numbers["price"] = instruments.price.astype(np.float64)
    for i in np.flatnonzero(is_option & (refused == "")):
        try:
            units[i], is_call[i], is_american[i], read = _read(instruments, int(i), market)
        except _NoValue as reason:
            refused[i] = f"{instruments.codes[i]}: {reason}"
        else:
            for name, number in zip(names, read, strict=True):
                numbers[name][i] = number
    volatility = np.zeros(count)
    found = np.flatnonzero(is_option & (refused == ""))
    if found.size:
        volatility[found], refused[found] = _implied(
            instruments.codes[found],
            [numbers[name][found] for name in names],
            is_call[found],
            is_american[found],
            float(parity_tolerance),
        )
    return Model(
        is_option, units, **numbers, volatility=volatility, is_call=is_call, is_american=is_american, refused=refused
    )


def _read(instruments: Instruments, i: int, market: Market) -> tuple[float, bool, bool, tuple[float, ...]]:
    """(units, is call, is American, (price, spot, strike, years, rate, dividend)) of one option or warrant."""
    contract: Contract | None = instruments.contract[i]
    if contract is None:
        raise _NoValue("nothing is known of its contract")
    is_warrant = instruments.kind[i] == _WARRANT
    spot, strike = _spot_and_strike(contract, instruments.multiplier[i], is_warrant)
    units = contract.conversion if is_warrant else instruments.multiplier[i]
    if not units:
        raise _NoValue("its conversion is not known")
    right, style = ("call", "american") if is_warrant else (contract.right, contract.style)
    currency = instruments.currencies[instruments.currency[i]]
    rate = market.risk_free.get(currency)
    if rate is None:
        raise _NoValue(f"risk_free: no rate for {currency}")
    if right not in _RIGHTS or style not in _STYLES:
        raise _NoValue(f"right {right!r} and style {style!r} are not known")
    price = float(instruments.price[i]) / (float(units) if is_warrant else 1.0)
    years = years_left(market.on, contract.expires_on)
    dividend = rate if instruments.kind[i] == _FUTURE_OPTION else contract.dividend_rate
    numbers = (price, spot, strike, years, float(rate), float(dividend))
    return float(units), _RIGHTS[right], _STYLES[style], numbers


def _spot_and_strike(contract: Contract, multiplier: Decimal, is_warrant: bool) -> tuple[float, float]:
    """Of an adjusted contract: what it delivers, per unit; delivered cash does not move, so it lowers the strike."""
    strike = float(contract.exercise_price if is_warrant else contract.strike)
    spot = None if contract.spot is None else float(contract.spot)
    if contract.is_adjusted:
        if not contract.deliverable:
            raise _NoValue("adjusted, but what it delivers is not known")
        if any(price is None for _, _, price in contract.deliverable):
            raise _NoValue("the price of something it delivers is not known")
        basket = sum(float(units) * float(price) for _, units, price in contract.deliverable if price is not None)
        spot, strike = basket / float(multiplier), strike - float(contract.deliverable_cash) / float(multiplier)
    if spot is None:
        raise _NoValue(contract.spot_reason or "the price of its underlying is not known")
    if not (spot > 0 and strike > 0):
        raise _NoValue(f"underlying at {spot:.6g} and strike {strike:.6g} must both be positive")
    if contract.leverage is None or contract.leverage <= 0:
        raise _NoValue("the leverage of its underlying is not known")
    return spot, strike


def years_left(on: date, expires_on: date | None) -> float:
    """Calendar days ÷ 365, at least one: on its last day an option still has the day."""
    if expires_on is None:
        raise _NoValue("its expiry is not known")
    if expires_on < on:
        raise _NoValue(f"expired on {expires_on.isoformat()}")
    return max((expires_on - on).days, 1) / _DAYS_OF_YEAR


def _implied(
    codes: Array, numbers: list[Array], is_call: Array, is_american: Array, tolerance: float
) -> tuple[Array, Array]:
    """(volatility, reason why there is none) of options, from (price, spot, strike, years, rate, dividend)."""
    price, spot, strike, years, rate, dividend = numbers
    implied = pricing.implied_volatility(price, spot, strike, years, rate, dividend, is_call, is_american)
    least = pricing.by_style(is_american, spot, strike, years, rate, dividend, np.zeros(len(spot)), is_call)
    volatility, reason = implied.volatility.copy(), silence(len(spot))
    below = implied.reason == pricing.BELOW
    volatility[below] = 0.0
    for i in np.flatnonzero(below & (least - price > tolerance * spot)):
        reason[i] = f"{codes[i]}: price {price[i]:.6g} is below its least value {least[i]:.6g}"
    for i in np.flatnonzero(implied.reason == pricing.ABOVE):
        reason[i] = f"{codes[i]}: price {price[i]:.6g} is {pricing.ABOVE}"
        volatility[i] = 0.0
    value = pricing.by_style(is_american, spot, strike, years, rate, dividend, volatility, is_call)
    for i in np.flatnonzero((reason == "") & ~np.isfinite(value)):
        reason[i] = f"{codes[i]}: no model value at a rate of {rate[i]:g} and {years[i]:.2f} years to expiry"
        volatility[i] = 0.0
    return volatility, reason


def unit_values(model: Model, price_shocks: Array, volatility_shocks: Array) -> Array:
    """Profit [n, points] of one instrument, held long, in its currency: its value at each shock less its value now.

    Both values are the model's. They differ from the price only where that is below the least value: so much, the
    market's discount to parity, is then held at every point. NaN where the model refuses.
    """
    out = model.price[:, None] * model.units[:, None] * np.asarray(price_shocks, np.float64)
    for rows, price in (
        (model.is_option & ~model.is_american, pricing.european_scenarios),
        (model.is_option & model.is_american, pricing.american_scenarios),
    ):
        chosen = np.flatnonzero(rows & (model.refused == ""))
        if chosen.size:
            out[chosen] = _gains(model.take(chosen), price, price_shocks, volatility_shocks)
    out[model.refused != ""] = np.nan
    return out


def _gains(model: Model, price: Any, price_shocks: Array, volatility_shocks: Array) -> Array:
    still = np.zeros(1)
    shocks = np.concatenate([still, price_shocks]), np.concatenate([still, volatility_shocks])
    columns = (model.spot, model.strike, model.years, model.rate, model.dividend, model.volatility, model.is_call)
    values = price(*columns, *shocks)
    gains: Array = (values[1:] - values[0]).T * model.units[:, None]
    return gains


def scenario_values(
    instruments: Instruments,
    market: Market,
    price_shocks: Array,
    volatility_shocks: Array,
    parity_tolerance: Decimal = PARITY_TOLERANCE,
) -> Array:
    """Profit [n, points] of one unit of each instrument, long, at any shocks: for what-ifs and stress. float64.

    Shocks are signed fractions [points] of price and of volatility. NaN where an instrument cannot be valued.
    """
    return unit_values(model_of(instruments, market, parity_tolerance), price_shocks, volatility_shocks)
