"""How long the scenario grid of an account with 20 positions takes, beside NumPy with SciPy account by account.

    python -m bench.bench_crypto_grid [--accounts 20000] [--alone 300] [--runs 7]

Needs SciPy (requirements-bench.txt). One thread each. The requirements that the peer computes are compared before
anything is timed; contenders take turns, medians are printed with the fastest and the slowest.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import fields
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from scipy.special import ndtr

from bench.resident import machine
from margin.engine import build, kernels
from margin.engine.assess import assess
from margin.engine.columns import Contract, Market, PartRule, Policy, RegimeRule, Rules
from margin.engine.methodologies import cross, crypto_portfolio
from margin.engine.methodologies.crypto_portfolio import Grid, grid
from margin.engine.methodologies.crypto_portfolio.books import YEAR_SECONDS, Assets, Books, Legs, Linears, Options, Runs

Array = np.ndarray
SPOT, RATE, LISTED, DAYS, STRIKES = 60_000.0, 0.04, 800, (7, 14, 35, 63, 126, 252, 378, 504), 50
OPTIONS = 18  # of an account's 20 positions; with a perpetual and the coin
ON = date(2026, 11, 22)


def options() -> Options:
    """Calls and puts at 50 strikes and eight expiries, with a smile."""
    days = np.repeat(DAYS, LISTED // len(DAYS)).astype(float)
    strike = np.tile(np.repeat(np.linspace(0.4, 2.0, STRIKES) * SPOT, 2), len(DAYS))
    years = days / 365
    return Options(
        spot=np.full(LISTED, SPOT),
        forward=SPOT * np.exp(RATE * years),
        fixed=np.zeros(LISTED),
        strike=strike,
        seconds=days * 86400,
        rate=np.full(LISTED, RATE),
        volatility=0.5 + 0.25 * np.log(strike / SPOT) ** 2,
        is_call=np.tile([True, False], LISTED // 2),
    )


def drawn(count: int, seed: int = 1) -> Books:
    """Accounts of 18 different options of four expiries each, long and short, a perpetual and the coin."""
    chooser, listed = np.random.default_rng(seed), options()
    of_day = LISTED // len(DAYS)
    start = chooser.integers(0, len(DAYS) - 3, count)
    within = np.sort(np.argsort(chooser.random((count, of_day)), axis=1)[:, :OPTIONS], axis=1)
    run = np.minimum(np.arange(OPTIONS) // 5, 3)
    option = (start[:, None] + run) * of_day + within
    sizes = np.tile(np.bincount(run), count)
    first = option[:, np.flatnonzero(np.diff(run, prepend=-1))].reshape(-1)
    notional = chooser.normal(0, 1, count) * SPOT
    return Books(
        runs_of=np.arange(0, 4 * count + 1, 4, dtype=np.int64),
        options=listed,
        legs=Legs(option.reshape(-1).astype(np.int64), np.round(chooser.normal(0, 1, count * OPTIONS), 1) + 0.05),
        runs=Runs(
            legs=np.r_[0, np.cumsum(sizes)].astype(np.int64),
            seconds=listed.seconds[first],
            rate=listed.rate[first],
            confidence=np.ones(4 * count),
        ),
        linears=Linears(
            book=np.arange(count),
            run=np.full(count, -1),
            notional=notional,
            coins=notional / SPOT,
            size=np.abs(notional),
            confidence=np.ones(count),
        ),
        assets=Assets(
            book=np.arange(count),
            value=np.abs(chooser.normal(0, 1, count)) * SPOT,
            confidence=np.ones(count),
            rate=np.full(count, 0.015),
            initial_rate=np.full(count, 0.005),
            moves=np.ones(count, bool),
        ),
    )


def ours(books: Books, terms: Grid) -> Array:
    """Requirements of all accounts."""
    total: Array = sum(grid.asked(books, terms).maintenance.values(), np.zeros(len(books)))
    return total


def peer(books: Books, terms: Grid, count: int) -> Array:
    """The same of the first accounts, one by one: every option repriced for every account, on whole arrays."""
    factors = np.array([1.0, 1.045, 0.955, *(float(one.price_factor) for one in terms.scenarios)])
    weights = np.array([float(one.weight) for one in terms.scenarios])
    skewed = np.array([one.volatility in ("linear", "absolute") for one in terms.scenarios])
    out = np.empty(count)
    for b in range(count):
        runs = slice(int(books.runs_of[b]), int(books.runs_of[b + 1]))
        first, beyond = books.runs.legs[runs.start], books.runs.legs[runs.stop]
        rows, weight = books.legs.option[first:beyond], books.legs.weight[first:beyond]
        mine = Options(**{each.name: getattr(books.options, each.name)[rows] for each in fields(Options)})
        moved = grid.volatilities(mine, terms.volatility, terms.skew)
        sigma = np.column_stack([mine.volatility] * 3 + [moved[one.volatility] for one in terms.scenarios])
        years = (mine.seconds / YEAR_SECONDS)[:, None]
        forward, strike, sign = (
            mine.forward[:, None] * factors,
            mine.strike[:, None],
            np.where(mine.is_call, 1, -1)[:, None],
        )
        width = sigma * np.sqrt(years)
        d1 = np.log(forward / strike) / width + 0.5 * width
        value = sign * np.exp(-RATE * years) * (forward * ndtr(sign * d1) - strike * ndtr(sign * (d1 - width)))
        by_day = np.add.reduceat(weight[:, None] * value, books.runs.legs[runs] - first, axis=0)
        shocked, now = by_day[:, 3:], by_day[:, :1]
        t = (books.runs.seconds[runs] / YEAR_SECONDS)[:, None]
        less = 0.95 * np.exp(-t * (RATE + 0.08))
        more = np.minimum(1.04 * np.exp(t * (0.5 * RATE + 0.08)), np.exp(RATE * t))
        gain = shocked * np.where(shocked >= 0, less, more) - now
        gain = np.where(skewed, -np.abs(gain), gain).sum(axis=0)
        gain = (gain + (books.linears.notional[b] + books.assets.value[b]) * (factors[3:] - 1)) * weights
        forwards = (np.minimum((by_day[:, 1:3] - now).min(axis=1), 0) * (0.5 + 2 * t[:, 0])).sum()
        place = mine.seconds * 1e7 + mine.strike
        _, which = np.unique(place, return_inverse=True)
        naked = np.maximum(-np.bincount(which, weights=weight), 0).sum() * SPOT
        asked = -min(0, gain.min(), forwards) * 0.8 + naked * 0.003
        out[b] = asked + books.linears.size[b] * 0.015 + abs(books.assets.value[b]) * 0.015
    return out


def whole_engine(books: Books) -> Callable[[], Any]:
    """`assess` on the same accounts, from Decimals in to exact figures out."""
    count, listed = len(books), books.options
    perpetual, coin = LISTED + 10, LISTED + 11
    rows = [build.InstrumentRow(1, "USD", "cash", "USD", minor_exponent=2)]
    for k in range(LISTED):
        contract = Contract(
            underlying=coin,
            spot=Decimal(SPOT),
            underlying_code="BTC",
            right="call" if listed.is_call[k] else "put",
            strike=Decimal(f"{listed.strike[k]:.2f}"),
            style="european",
            expires_on=ON + timedelta(days=int(listed.seconds[k]) // 86400),
            implied_volatility=Decimal(f"{listed.volatility[k]:.4f}"),
        )
        rows.append(build.InstrumentRow(k + 10, f"O{k}", "option", "USD", Decimal(100), contract=contract))
    on_coin = Contract(underlying=coin, spot=Decimal(SPOT), underlying_code="BTC")
    rows.append(build.InstrumentRow(perpetual, "P", "perpetual", "USD", Decimal(SPOT), contract=on_coin))
    rows.append(build.InstrumentRow(coin, "BTC", "crypto", "USD", Decimal(SPOT)))
    columns = build.instruments(rows)
    quantity = [books.legs.weight, books.linears.coins, books.assets.value / SPOT]
    account = [np.repeat(np.arange(count), OPTIONS), np.arange(count), np.arange(count)]
    instrument = [books.legs.option + 10, np.full(count, perpetual), np.full(count, coin)]
    mantissa = np.round(np.concatenate(quantity) * 100).astype(np.int64)
    ones = np.ones(len(mantissa))
    positions = build.Columns(
        np.concatenate(account), np.concatenate(instrument), mantissa, (2 * ones).astype(np.int8),
        mantissa * int(SPOT), (2 * ones).astype(np.int8),
    )  # fmt: skip
    zeros = np.zeros(count, np.int32)
    book = build.book_from_columns(
        columns,
        accounts=np.arange(count),
        base=zeros,
        policy=zeros,
        revision=zeros.astype(np.int64),
        positions=positions,
    )
    kinds = ("crypto", "option", "future", "perpetual")
    part = PartRule("crypto_portfolio", "requirement", crypto_portfolio.Terms(("BTC",)), kinds)
    rule = RegimeRule("house", "cross", "requirement", cross.Terms(), ("crypto", "option"), parts=(part,))
    market = Market(ON, {}, {"USD": Decimal("0.04")})
    return lambda: assess(book, columns, market, Rules((Policy("bench", (rule,)),)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--alone", type=int, default=300)
    parser.add_argument("--runs", type=int, default=7)
    chosen = parser.parse_args()
    print(f"{machine()}, NumPy {np.__version__}")
    kernels.warm()
    books, terms = drawn(chosen.accounts), Grid()
    apart = np.abs(ours(books, terms)[: chosen.alone] - peer(books, terms, chosen.alone)).max()
    print(f"{chosen.accounts:,} accounts of 20 positions in {LISTED} options, {len(terms.scenarios)} scenarios; "
          f"largest difference from the peer {apart:.1e}")  # fmt: skip
    assert apart < 1e-3
    contenders: dict[str, tuple[Callable[[], Any], int]] = {
        "ours, all accounts at once": (lambda: ours(books, terms), chosen.accounts),
        "NumPy and SciPy, account by account": (lambda: peer(books, terms, chosen.alone), chosen.alone),
        "assess: positions to exact figures": (whole_engine(books), chosen.accounts),
    }
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(chosen.runs):
        for name, (run, count) in contenders.items():
            start = time.perf_counter()
            run()
            spent[name].append((time.perf_counter() - start) / count * 1e6)
    for name, times in spent.items():
        print(f"{name:42} {statistics.median(times):10.1f} µs per account ({min(times):.1f} … {max(times):.1f})")
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
