"""Options under other prices and volatilities: each keeps the volatility that its price implies, or that plus a shift.

    new price = price + model(spot', volatility + shift) - model(spot, volatility)

An option on a future is repriced on its future (Black 1976). An inverse option is priced in coins: price × spot is what
the model is compared with. A volatility that is quoted moves by the shift as well.

The model meets the price where a volatility explains it. Below that, as deep in the money options are quoted, the
volatility is 0 and the option keeps its distance to the model. A shift never takes a volatility below 0. Models are
float64 (`margin.engine.pricing`), rounded once. Pure.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal

import numpy as np

from margin.engine import pricing, valuation
from margin.engine.columns import KINDS, Array, Contract, Instruments, Market
from margin.engine.exact import ZERO

WARRANT = KINDS.index("warrant")
MODELLED = (KINDS.index("option"), KINDS.index("future_option"), WARRANT)
CRYPTO = KINDS.index("crypto")
LEAST = Decimal("1e-8")  # the finest step of a model's price; a warrant, unlike an option, is never worth nothing
ROUNDING = Context(prec=80, rounding=ROUND_HALF_EVEN)
PARITY = Decimal("0.02")  # of spot: how far below its least value a price may lie and still be believed


@dataclass(frozen=True)
class Options:
    """The options and warrants that are repriced, a row each, as portfolio margin reads them."""

    rows: Array  # of Instruments
    codes: Array  # str
    each: Array  # float64 units of the underlying that the price is for: a warrant's conversion, else 1
    model: valuation.Model
    value: Array  # float64, of the model, at the spot and the volatility that hold now
    reason: Array  # str: why it cannot be priced anew, '' if it can

    def values(self, chosen: Array, spot: Array, volatility: Array) -> Array:
        """Model values, per unit of price, of the chosen options at other spots and volatilities."""
        of = self.model.take(chosen)
        terms = (of.strike, of.years, of.rate, of.dividend, volatility, of.is_call)
        return pricing.by_style(of.is_american, spot, *terms)

    def changes(self, chosen: Array, spot: Array, volatility: Array) -> Iterator[tuple[int, float, str]]:
        """(row of Instruments, change of its price, why there is none) of the chosen ones at those."""
        known = (self.reason[chosen] == "") & (spot > 0)
        at = chosen[known]
        change = np.full(len(chosen), np.nan)
        change[known] = (self.values(at, spot[known], volatility[known]) - self.value[at]) * self.each[at]
        for k, by in zip(chosen.tolist(), change.tolist(), strict=True):
            why = self.reason[k] or ("" if math.isfinite(by) else f"{self.codes[k]}: no model gives it a value there")
            yield int(self.rows[k]), by, why


def options_of(instruments: Instruments, market: Market, held: Array) -> Options:
    """The priced ones among the instrument rows `held`, each with the volatility that its price implies."""
    is_chosen = np.isin(instruments.kind, MODELLED) & instruments.priced
    rows = np.array([row for row in held if is_chosen[row]], np.int64)
    model = valuation.model_of(_in_strikes_currency(instruments).take(rows), market, PARITY)
    reason = model.refused.copy()
    known = np.flatnonzero(reason == "")
    each = np.where(instruments.kind[rows] == WARRANT, model.units, 1.0)
    options = Options(rows, instruments.codes[rows], each, model, np.zeros(len(rows)), reason)
    options.value[known] = options.values(known, model.spot[known], model.volatility[known])
    return options


def _in_strikes_currency(instruments: Instruments) -> Instruments:
    """The instruments with inverse options, which are priced in coins, at price × spot in the currency of the spot."""
    currency, price = instruments.currency.copy(), instruments.price.copy()
    rows = {int(id): row for row, id in enumerate(instruments.ids)}
    for row in np.flatnonzero(np.isin(instruments.kind, MODELLED)):
        contract = instruments.contract[row]
        if contract is not None and contract.is_inverse and contract.spot is not None and contract.underlying in rows:
            currency[row] = instruments.currency[rows[contract.underlying]]
            price[row] = ROUNDING.multiply(price[row], contract.spot)
    return replace(instruments, currency=currency, price=price)


def _spot(contract: Contract, multiplier: Decimal) -> float:
    """What is delivered for one strike: the underlying, or what moves of an adjusted contract; 0: not known."""
    if contract.is_adjusted and contract.deliverable:
        return sum(float(units) * float(price or ZERO) for _, units, price in contract.deliverable) / float(multiplier)
    return float(contract.spot or ZERO)


def moved(
    instruments: Instruments, options: Options, *, prices: Array, is_moved: Array, volatility_shifts: Array
) -> Instruments:
    """The instruments with other prices: stated ones, and from the models those of options on them.

    `prices` are Decimals per row of Instruments in the main unit, of which those that `is_moved` count;
    `volatility_shifts` are float64 per row, added to an option's volatility. A price that is stated wins.
    """
    price, priced = instruments.price.copy(), instruments.priced.copy()
    reason, contract = instruments.unpriced_reason.copy(), instruments.contract.copy()
    price[is_moved], priced[is_moved], reason[is_moved] = prices[is_moved], True, ""
    _revolatilized(contract, volatility_shifts)
    touched = np.zeros(len(instruments), bool)
    touched[list(_respotted(instruments, contract, prices, is_moved))] = True
    wanted = (touched | (volatility_shifts != 0)) & ~is_moved
    chosen = np.flatnonzero(wanted[options.rows])
    rows = options.rows[chosen]
    spot = np.array([_spot(contract[row], instruments.multiplier[row]) for row in rows], np.float64)
    volatility = np.maximum(options.model.volatility[chosen] + volatility_shifts[rows], 0.0)
    for row, change, why in options.changes(chosen, spot, volatility):
        least = LEAST if instruments.kind[row] == WARRANT else ZERO
        if why:
            price[row], priced[row], reason[row] = ZERO, False, why
        else:
            price[row] = max(least, _changed(price[row], change, instruments.contract[row], contract[row]))
    return replace(instruments, price=price, priced=priced, unpriced_reason=reason, contract=contract)


def _changed(price: Decimal, change: float, before: Contract, after: Contract) -> Decimal:
    """A price after a change in the currency of the strike."""
    by = Decimal(change).quantize(LEAST, context=ROUNDING)
    if not before.is_inverse or before.spot is None or after.spot is None:
        return ROUNDING.add(price, by)
    whole = ROUNDING.add(ROUNDING.multiply(price, before.spot), by)
    return ROUNDING.divide(whole, after.spot).quantize(LEAST, context=ROUNDING)


def _revolatilized(contract: Array, volatility_shifts: Array) -> None:
    """Move the volatilities that are quoted, in place; none falls below 0."""
    for row in np.flatnonzero(volatility_shifts):
        one = contract[row]
        if one is not None and one.implied_volatility is not None:
            shifted = one.implied_volatility + Decimal(repr(float(volatility_shifts[row])))
            contract[row] = replace(one, implied_volatility=max(ZERO, shifted))


def with_rates(market: Market, before: Instruments, after: Instruments) -> Market:
    """The market with the exchange rates of coins that moved: a coin that amounts are in is worth its spot price."""
    fx = dict(market.fx)
    is_new = (after.price != before.price).astype(bool) | ~before.priced
    for row in np.flatnonzero((after.kind == CRYPTO) & after.priced & is_new):
        coin, quoted = str(after.codes[row]), after.currencies[after.currency[row]]
        old, new = before.price[row], after.price[row]
        if not before.priced[row]:
            fx.setdefault((coin, quoted), new)
            continue
        for (base, other), rate in market.fx.items():
            if coin == base:
                fx[base, other] = ROUNDING.divide(ROUNDING.multiply(rate, new), old)
            elif coin == other:
                fx[base, other] = ROUNDING.divide(ROUNDING.multiply(rate, old), new)
    return replace(market, fx=fx)


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
        if at is not None:
            spot, reason = prices[at], ""
        deliverable = tuple(
            (each, units, prices[rows[each]] if each in rows else price) for each, units, price in one.deliverable
        )
        contract[row] = replace(one, spot=spot, spot_reason=reason, deliverable=deliverable)
        yield row
