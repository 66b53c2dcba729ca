"""The scenario grid: Derive's PMRM_2, in the manner of Deribit. docs/methodologies/crypto_portfolio.md.

Options are repriced once per instrument and scenario (Black, 1976); books are then sums of weight × value.
"""

from collections.abc import Callable

import numpy as np

from margin.engine import kernels, pricing
from margin.engine.columns import Array
from margin.engine.methodologies.crypto_portfolio.books import YEAR_SECONDS, Asked, Books, Options, Runs
from margin.engine.methodologies.crypto_portfolio.terms import SKEWS, Discount, Doubt, Grid, Skew, Volatility

_MONTH_SECONDS = 30 * 86400
_VALUE_DECIMALS = 6  # of model values, rounded once per instrument and scenario


def asked(books: Books, grid: Grid) -> Asked:
    """What the grid asks of every book. float64, in each book's currency."""
    moves = np.array([float(one.price_factor) - 1.0 for one in grid.scenarios])
    count = len(books)
    today, basis, least = np.empty(count), np.empty(count), np.empty(count)
    which = np.empty(count, np.int64)
    long_rate, short_rate = discounts(books.runs, grid.discount)
    linears, assets = books.linears, books.assets
    linear = books.per_book(linears.book, linears.notional)
    linear = linear + books.per_book(assets.book, np.where(assets.moves, assets.value, 0.0))
    kernels.grid().worst(
        np.round(unit_values(books.options, grid), _VALUE_DECIMALS),
        *(books.legs.option, books.legs.weight, books.runs.legs, books.runs_of),
        *(long_rate, short_rate, _basis_rate(books.runs, grid), _on_forwards(books, grid), linear),
        *(moves, np.array([float(one.weight) for one in grid.scenarios])),
        np.array([one.volatility in SKEWS for one in grid.scenarios]),
        *(today, basis, least, which),
    )
    naked, size = naked_size(books), books.per_book(linears.book, linears.size)
    maintenance = {
        "scenario": -least * float(grid.maintenance_factor),
        "option": naked * float(grid.option_rate),
        "perpetual": size * float(grid.perpetual_rate),
        "collateral": books.per_book(assets.book, np.abs(assets.value) * assets.rate),
    }
    gross = np.abs(books.legs.weight) * books.options.spot[books.legs.option]
    initial = {
        "scenario": -least * float(grid.initial_factor),
        "option": naked * float(grid.option_rate + grid.option_initial_rate),
        "perpetual": size * float(grid.perpetual_rate + grid.perpetual_initial_rate),
        "collateral": books.per_book(assets.book, np.abs(assets.value) * (assets.rate + assets.initial_rate)),
        "confidence": in_doubt(books, gross, grid.doubt),
        "peg": -least * off_peg(books.stablecoin, grid.doubt),
    }
    return Asked(today, maintenance, initial, which)


def unit_values(options: Options, grid: Grid) -> Array:
    """Discounted values [n, 3 + scenarios] per coin: today, with the forward up, with it down, and in each scenario."""
    factors = [1.0, float(grid.basis.up), float(grid.basis.down)]
    factors += [float(one.price_factor) for one in grid.scenarios]
    moved = volatilities(options, grid.volatility, grid.skew)
    columns = [options.volatility] * 3 + [moved[one.volatility] for one in grid.scenarios]
    forward = options.forward[:, None] * np.array(factors) + options.fixed[:, None]
    return black(options, forward, np.column_stack(columns), options.rate)


def black(options: Options, forward: Array, volatility: Array, rate: Array) -> Array:
    """Black-76 values [n, points] at these forwards and volatilities; intrinsic where nothing can move any more. A rate
    below 0 counts as 0."""
    strike, is_call = options.strike[:, None], options.is_call[:, None]
    years, rate = _years(options.seconds)[:, None], np.maximum(rate, 0.0)[:, None]
    models = (forward > 0) & (strike > 0)
    value = pricing.black76(
        np.where(models, forward, 1.0), np.where(models, strike, 1.0), years, rate, np.maximum(volatility, 0.0), is_call
    )
    at_once = np.maximum(np.where(is_call, 1.0, -1.0) * (forward - strike), 0.0) * np.exp(-rate * years)
    out: Array = np.where(models, value, at_once)
    return np.ascontiguousarray(out)


def volatilities(options: Options, terms: Volatility, skew: Skew) -> dict[str, Array]:
    """The moved volatility of every option, by how a scenario moves it."""
    own = options.volatility
    left = np.maximum(options.seconds, max(float(terms.least_seconds), 1.0))
    power = np.where(left < _MONTH_SECONDS, float(terms.short_power), float(terms.long_power))
    reach = (_MONTH_SECONDS / left) ** power
    return {
        "none": own,
        "up": np.maximum(own * (1.0 + float(terms.up) * reach), float(terms.least_up)),
        "down": own * np.maximum(1.0 - float(terms.down) * reach, 0.0),
        "linear": own * _skewed(options, skew, float(skew.linear_slope), float(skew.linear_cap), np.array),
        "absolute": own * _skewed(options, skew, float(skew.absolute_slope), float(skew.absolute_cap), np.abs),
    }


def _skewed(options: Options, skew: Skew, slope: float, cap: float, distance_of: Callable[[Array], Array]) -> Array:
    """1 + cap × (distance from the forward ÷ full distance, within ±1), at least 0."""
    root = np.sqrt(_years(options.seconds))
    forward = options.forward + options.fixed
    known = (forward > 0) & (options.strike > 0)
    log = np.log(np.where(known, options.strike, 1.0) / np.where(known, forward, 1.0))
    full = root * float(skew.width) * (float(skew.volatility) + float(skew.volatility_slope) * root)
    full = np.maximum(full, float(skew.least_distance))
    distance = distance_of(log)
    share = np.clip(np.divide(distance, full, out=np.sign(distance), where=full > 0), -1.0, 1.0)
    out: Array = np.maximum(1.0 + (slope * root + cap) * share, 0.0)
    return out


def discounts(runs: Runs, terms: Discount) -> tuple[Array, Array]:
    """(what is counted of a value in the account's favour, of one against it) per run. The latter never makes more of
    a debt than it is without discounting."""
    years, rate = _years(runs.seconds), np.maximum(runs.rate, 0.0)
    long_rate = rate * float(terms.long_multiple) + float(terms.long_rate)
    short_rate = rate * float(terms.short_multiple) + float(terms.short_rate)
    less = float(terms.long_base) * np.exp(-years * long_rate)
    more = np.minimum(float(terms.short_base) * np.exp(years * short_rate), np.exp(rate * years))
    return less, more


def naked_size(books: Books) -> Array:
    """Per book: short options that no long option of the same expiry and strike stands against, at the spot price."""
    options, legs = books.options, books.legs
    run, strike = books.run_of_leg, options.strike[legs.option]
    order = np.lexsort((strike, run))
    run, strike, weight = run[order], strike[order], legs.weight[order]
    if not len(run):
        return np.zeros(len(books))
    first = np.flatnonzero(np.r_[True, (run[1:] != run[:-1]) | (strike[1:] != strike[:-1])])
    net = np.add.reduceat(weight, first)
    spot = options.spot[legs.option][order][first]
    return books.per_book(books.book_of_run[run[first]], np.maximum(-net, 0.0) * spot)


def in_doubt(books: Books, option_sizes: Array, doubt: Doubt) -> Array:
    """Per book: what opening needs more on account of feeds in doubt. `option_sizes` are per leg, at the spot price."""
    run, linears, assets = books.run_of_leg, books.linears, books.assets
    return (
        books.per_book(books.book_of_run[run], _doubted(books.runs.confidence[run], option_sizes, doubt))
        + books.per_book(linears.book, _doubted(linears.confidence, linears.size, doubt))
        + books.per_book(assets.book, _doubted(assets.confidence, np.abs(assets.value), doubt))
    )


def _doubted(confidence: Array, size: Array, doubt: Doubt) -> Array:
    asked: Array = np.where(
        confidence < float(doubt.confidence), (1.0 - confidence) * float(doubt.confidence_rate) * size, 0.0
    )
    return asked


def off_peg(price: float, doubt: Doubt) -> float:
    """The rate that the stablecoin's fall below its peg asks; 0 at the peg."""
    return max(float(doubt.peg) - price, 0.0) * float(doubt.peg_rate)


def _basis_rate(runs: Runs, grid: Grid) -> Array:
    out: Array = float(grid.basis.base) + float(grid.basis.yearly) * _years(runs.seconds)
    return out


def _on_forwards(books: Books, grid: Grid) -> Array:
    """[runs, 2] what the dated futures of each run gain with their price up, and down, alone."""
    dated = books.linears.run >= 0
    notional = np.bincount(
        books.linears.run[dated], weights=books.linears.notional[dated], minlength=len(books.runs.seconds)
    )
    return np.outer(notional, [float(grid.basis.up) - 1.0, float(grid.basis.down) - 1.0])


def _years(seconds: Array) -> Array:
    years: Array = np.maximum(seconds, 0.0) / YEAR_SECONDS
    return years
