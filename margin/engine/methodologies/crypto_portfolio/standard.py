"""Standard margin: short options one by one, or pooled per expiry (Derive's standard manager; Deribit's standard margin
is the same form unpooled). docs/methodologies/crypto_portfolio.md.

The published margins are signed, a short option's value included; what is asked here is that value less the margin.
"""

import numpy as np

from margin.engine import kernels
from margin.engine.columns import Array
from margin.engine.methodologies.crypto_portfolio.books import Asked, Books
from margin.engine.methodologies.crypto_portfolio.grid import black, in_doubt, off_peg
from margin.engine.methodologies.crypto_portfolio.terms import Standard

_VALUE_DECIMALS = 6


def asked(books: Books, terms: Standard) -> Asked:
    """What standard margin asks of every book. float64, in each book's currency."""
    linears, assets = books.linears, books.assets
    value = _values(books)
    maintenance, initial = expiry_margins(books, value, terms)
    book = books.book_of_run
    owned = books.per_book(book[books.run_of_leg], value)
    short = np.maximum(-books.legs.weight, 0.0) * books.options.spot[books.legs.option]
    exposed = books.per_book(book[books.run_of_leg], short) + books.per_book(linears.book, linears.size)
    notional, coins = np.abs(linears.notional), np.abs(linears.coins)
    return Asked(
        value=owned,
        maintenance={
            "option": owned - books.per_book(book, maintenance),
            "perpetual": books.per_book(
                linears.book, notional * (float(terms.perpetual_rate) + float(terms.perpetual_slope) * coins)
            ),
            "collateral": books.per_book(assets.book, np.abs(assets.value) * assets.rate),
        },
        initial={
            "option": owned - books.per_book(book, initial),
            "perpetual": books.per_book(
                linears.book,
                notional * (float(terms.perpetual_initial_rate) + float(terms.perpetual_initial_slope) * coins),
            ),
            "collateral": books.per_book(assets.book, np.abs(assets.value) * (assets.rate + assets.initial_rate)),
            "confidence": in_doubt(books, short, terms.doubt),
            "peg": exposed * off_peg(books.stablecoin, terms.doubt),
        },
        worst=np.full(len(books), -1, np.int64),
    )


def expiry_margins(books: Books, value: Array, terms: Standard) -> tuple[Array, Array]:
    """(maintenance, initial) margins of every run, signed: at most 0. `value` is per leg."""
    run = books.run_of_leg
    alone = tuple(
        np.bincount(run, weights=each, minlength=len(books.runs.seconds)) for each in alone_margins(books, value, terms)
    )
    if not terms.is_pooled:
        return alone[0], alone[1]
    options, legs = books.options, books.legs
    strike, is_call = options.strike[legs.option], options.is_call[legs.option]
    least = np.empty(len(books.runs.seconds))
    kernels.grid().settled(strike, is_call.astype(np.float64), legs.weight, books.runs.legs, least)
    forward = (options.forward + options.fixed)[legs.option]
    calls = np.bincount(run, weights=np.where(is_call, legs.weight, 0.0), minlength=len(least))
    at = np.zeros(len(least))
    at[run] = forward  # one forward per expiry
    beyond = np.minimum(calls, 0.0) * at
    return (
        np.maximum(alone[0], least + beyond * float(terms.unbounded_factor)),
        np.maximum(alone[1], least + beyond * float(terms.unbounded_initial_factor)),
    )


def alone_margins(books: Books, value: Array, terms: Standard) -> tuple[Array, Array]:
    """(maintenance, initial) margins of every leg by itself, signed; 0 for long options."""
    options, legs = books.options, books.legs
    spot, strike, is_call = (column[legs.option] for column in (options.spot, options.strike, options.is_call))
    size = legs.weight * spot
    out_of_money = np.maximum(np.where(is_call, strike - spot, spot - strike), 0.0) / spot
    opening = size * np.maximum(float(terms.option_rate) - out_of_money, float(terms.option_least_rate)) + value
    call = size * float(terms.call_rate) + value
    put = np.minimum(size * float(terms.put_rate), value * float(terms.put_value_rate)) + value
    put_opening = np.minimum(opening, put * float(terms.put_initial_factor))
    is_short = legs.weight < 0
    return (
        np.where(is_short, np.where(is_call, call, put), 0.0),
        np.where(is_short, np.where(is_call, opening, put_opening), 0.0),
    )


def _values(books: Books) -> Array:
    """Undiscounted value of every leg."""
    options = books.options
    forward = (options.forward + options.fixed)[:, None]
    unit = black(options, forward, options.volatility[:, None], np.zeros(len(options.strike)))[:, 0]
    values: Array = np.round(unit, _VALUE_DECIMALS)[books.legs.option] * books.legs.weight
    return values
