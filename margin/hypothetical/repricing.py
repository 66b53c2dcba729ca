"""Options under other prices and volatilities: each keeps the volatility that its price implies, or that plus a shift.

    new price = price + model(spot', volatility + shift) - model(spot, volatility)

The model meets the price where a volatility explains it. Below that, as deep in the money options are quoted, the
volatility is 0 and the option keeps its distance to the model. A shift never takes a volatility below 0. Models are
float64 (`margin.engine.pricing`), rounded once. Pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from margin.engine import pricing
from margin.engine.columns import KINDS, Array, Contract, Instruments, Market
from margin.engine.exact import ONE, ZERO

MODELLED = ("option", "future_option", "warrant")
LEAST = Decimal("1e-8")  # the finest step of a model's price; a warrant, unlike an option, is never worth nothing
DAYS = 365  # of a year, from today until the last day


@dataclass(frozen=True)
class Models:
    """The options and warrants that have a model, one row each. Amounts are float64 per unit of the underlying."""

    rows: Array  # of Instruments
    scale: Array  # units of the underlying that the price is for: a warrant's conversion, else 1
    strike: Array
    years: Array
    rate: Array
    dividend: Array
    is_call: Array
    is_american: Array
    volatility: Array
    value: Array  # of the model, at the spot and the volatility that hold now
    reason: Array  # str: why it cannot be priced anew, '' if it can

    def values(self, chosen: Array, spot: Array, volatility: Array) -> Array:
        """Model values of the chosen options (indices into `rows`) at other spots and volatilities."""
        out = np.empty(len(chosen))
        american = self.is_american[chosen]
        for which, model in ((american, pricing.american), (~american, pricing.european)):
            if which.any():
                k = chosen[which]
                terms = (self.strike[k], self.years[k], self.rate[k], self.dividend[k])
                out[which] = model(spot[which], *terms, volatility[which], self.is_call[k])
        return out


def models(instruments: Instruments, market: Market, held: Array) -> Models:
    """Models of the priced options among the instrument rows `held`, with the volatility that each price implies."""
    modelled = np.isin(instruments.kind, [KINDS.index(kind) for kind in MODELLED]) & instruments.priced
    rows = np.array([row for row in held if modelled[row]], np.int64)
    found = [_terms(instruments, market, int(row)) for row in rows]
    columns = np.array([numbers for numbers, _ in found], np.float64).reshape(len(rows), 8).T
    spot, scale, strike, years, rate, dividend, is_call, is_american = columns
    reason = np.array([why for _, why in found], object)
    price = instruments.price[rows].astype(np.float64) / scale
    implied = pricing.implied_volatility(price, spot, strike, years, rate, dividend, is_call, is_american)
    volatility = np.where(implied.reason == pricing.BELOW, 0.0, implied.volatility)
    for k in np.flatnonzero((reason == "") & ~np.isfinite(volatility)):
        reason[k] = f"{instruments.codes[rows[k]]}: no volatility explains its price"
    made = Models(
        *(rows, scale, strike, years, rate, dividend, is_call > 0, is_american > 0),
        volatility=np.where(reason == "", volatility, 0.0),
        value=np.zeros(len(rows)),
        reason=reason,
    )
    return replace(made, value=made.values(np.arange(len(rows)), spot, made.volatility))


_NO_TERMS = (1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0)


def _terms(instruments: Instruments, market: Market, row: int) -> tuple[Sequence[float], str]:
    """(spot, scale, strike, years, rate, dividend, is_call, is_american), and why there is no model, '' if one is."""
    contract, code = instruments.contract[row], instruments.codes[row]
    if contract is None:
        return _NO_TERMS, f"{code}: what it is written on is not known"
    kind, currency = KINDS[instruments.kind[row]], instruments.currencies[instruments.currency[row]]
    is_warrant = kind == "warrant"
    scale = contract.conversion if is_warrant else ONE
    strike = contract.exercise_price if is_warrant else contract.strike
    spot, rate = spot_of(contract, instruments.multiplier[row]), market.risk_free.get(currency)
    if contract.expires_on is None or strike <= 0 or scale <= 0:
        return _NO_TERMS, f"{code}: its expiry, its strike or its conversion is not known"
    if spot is None or spot <= 0:
        return _NO_TERMS, contract.spot_reason or f"{code}: the price of its underlying is not known"
    if rate is None:
        return _NO_TERMS, f"{code}: no risk-free rate for {currency}"
    years = max((contract.expires_on - market.on).days, 0) / DAYS
    dividend = rate if kind == "future_option" else contract.dividend_rate  # on a future: Black (1976)
    is_american = contract.style == "american" or (is_warrant and not contract.style)
    terms = (float(scale), float(strike), years, float(rate), float(dividend))
    return (spot, *terms, contract.right != "put", is_american), ""


def spot_of(contract: Contract, multiplier: Decimal) -> float | None:
    """What is delivered for one strike: the underlying, or an adjusted contract's units and cash by its multiplier."""
    if contract.spot is None:
        return None
    if not contract.deliverable:
        return float(contract.spot)
    if any(price is None for _, _, price in contract.deliverable):
        return None
    worth = sum(units * (price or ZERO) for _, units, price in contract.deliverable) + contract.deliverable_cash
    return float(worth / multiplier)


def moved(
    instruments: Instruments, options: Models, *, prices: Array, is_moved: Array, volatility_shifts: Array
) -> Instruments:
    """The instruments with other prices: stated ones, and from the models those of options on them.

    `prices` are Decimals per row of Instruments in the main unit, of which those that `is_moved` count;
    `volatility_shifts` are float64 per row, added to an option's volatility. A price that is stated wins.
    """
    price, priced = instruments.price.copy(), instruments.priced.copy()
    reason, contract = instruments.unpriced_reason.copy(), instruments.contract.copy()
    price[is_moved], priced[is_moved], reason[is_moved] = prices[is_moved], True, ""
    touched = np.zeros(len(instruments), bool)
    touched[list(_respotted(instruments, contract, prices, is_moved))] = True
    wanted = (touched | (volatility_shifts != 0)) & ~is_moved
    chosen = np.flatnonzero(wanted[options.rows])
    rows = options.rows[chosen]
    spot = np.array([spot_of(contract[row], instruments.multiplier[row]) or 0.0 for row in rows], np.float64)
    volatility = np.maximum(options.volatility[chosen] + volatility_shifts[rows], 0.0)
    values = options.values(chosen, np.maximum(spot, 1e-12), volatility)
    change = options.scale[chosen] * (values - options.value[chosen])
    for k, row, by in zip(chosen.tolist(), rows.tolist(), change.tolist(), strict=True):
        if options.reason[k]:
            price[row], priced[row], reason[row] = ZERO, False, options.reason[k]
        else:
            least = LEAST if KINDS[instruments.kind[row]] == "warrant" else ZERO
            price[row] = max(least, price[row] + Decimal(by).quantize(LEAST))
    return replace(instruments, price=price, priced=priced, unpriced_reason=reason, contract=contract)


def _respotted(instruments: Instruments, contract: Array, prices: Array, is_moved: Array) -> Iterator[int]:
    """Tell the contracts, in place, their underlyings' new prices; yields the rows that changed."""
    rows = {int(instruments.ids[row]): int(row) for row in np.flatnonzero(is_moved)}
    if not rows:
        return
    for row, one in enumerate(contract):
        if one is None or not rows.keys() & {one.underlying, *(each for each, _, _ in one.deliverable)}:
            continue
        spot, reason = one.spot, one.spot_reason
        at = rows.get(one.underlying)
        if at is not None and (not reason or reason.startswith(f"{instruments.codes[at]}: ")):
            spot, reason = prices[at], ""  # any other reason: its own terms cannot be read
        deliverable = tuple(
            (each, units, prices[rows[each]] if each in rows else price) for each, units, price in one.deliverable
        )
        contract[row] = replace(one, spot=spot, spot_reason=reason, deliverable=deliverable)
        yield row
