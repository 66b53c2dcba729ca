"""Books of crypto derivatives as flat float64 columns, which both models read. Nothing here computes.

A *book* is what one account holds on one coin. A *weight* is coins, signed, times what one unit of price is worth in
the book's currency: every amount of a book is weight × price.
"""

from dataclasses import dataclass

import numpy as np

from margin.engine.columns import Array

YEAR_SECONDS = 365 * 86400
SETTLING_SECONDS = 1800  # an expiry settles on the average price of its last half hour


@dataclass(frozen=True)
class Options:
    """n distinct options, European, per coin."""

    spot: Array
    forward: Array  # the part that still moves
    fixed: Array  # the part of the forward that is already settled
    strike: Array
    seconds: Array  # to expiry
    rate: Array  # risk-free, continuous, per year; 0 for values that are not discounted
    volatility: Array  # per square root of a year
    is_call: Array  # bool


@dataclass(frozen=True)
class Runs:
    """r runs: the options, and the dated futures, of one book that expire together."""

    legs: Array  # int64[r + 1] offsets into the legs
    seconds: Array
    rate: Array
    confidence: Array  # the least of all feeds that its options depend on


@dataclass(frozen=True)
class Legs:
    """Positions in options, sorted by run."""

    option: Array  # int64 row of Options
    weight: Array


@dataclass(frozen=True)
class Linears:
    """Positions in futures and perpetuals."""

    book: Array  # int64
    run: Array  # int64, -1 for perpetuals
    notional: Array  # signed, at their own price
    coins: Array  # signed
    size: Array  # |coins| at the spot price, in the book's currency
    confidence: Array


@dataclass(frozen=True)
class Assets:
    """Tokens held or owed."""

    book: Array  # int64
    value: Array  # signed
    confidence: Array
    rate: Array  # haircut
    initial_rate: Array  # more, to open
    moves: Array  # bool: with the coin


@dataclass(frozen=True)
class Books:
    """b books, and the price of the stablecoin that everything is settled in."""

    runs_of: Array  # int64[b + 1] offsets into the runs
    options: Options
    legs: Legs
    runs: Runs
    linears: Linears
    assets: Assets
    stablecoin: float = 1.0

    def __len__(self) -> int:
        return len(self.runs_of) - 1

    @property
    def book_of_run(self) -> Array:
        return np.repeat(np.arange(len(self)), np.diff(self.runs_of))

    @property
    def run_of_leg(self) -> Array:
        return np.repeat(np.arange(len(self.runs.seconds)), np.diff(self.runs.legs))

    def per_book(self, book: Array, amounts: Array) -> Array:
        """Sums per book, in the order of the rows."""
        return np.bincount(book, weights=amounts, minlength=len(self)).astype(np.float64)


def split_forward(forward: Array, seconds: Array) -> tuple[Array, Array]:
    """(the part that moves, the part that is fixed): within the last half hour the average is partly known."""
    open_rate = np.clip(np.asarray(seconds, np.float64) / SETTLING_SECONDS, 0.0, 1.0)
    return forward * open_rate, forward * (1.0 - open_rate)


@dataclass(frozen=True)
class Asked:
    """What a model asks of b books, by charge. Opening needs the sum of `initial`, holding that of `maintenance`."""

    value: Array  # of the options, by model
    maintenance: dict[str, Array]
    initial: dict[str, Array]
    worst: Array  # int64: the scenario that binds; -1: none, the number of scenarios: forwards against spot

    def net(self, equity: Array, is_initial: bool) -> Array:
        """Net margin: equity, options at model value included, less what is asked. Negative: a shortfall."""
        asked = self.initial if is_initial else self.maintenance
        total: Array = equity - sum(asked.values(), np.zeros(len(self.value)))
        return total
