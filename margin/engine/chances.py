"""How likely a call is at a horizon, and how much cash makes it unlikely enough.

Joint returns are drawn once, without chance: those of the past as they would be today, and normal ones that take every
quantile once. Each is a world, in which the engine assesses every account of the book anew: options, haircuts, minimum
amounts and all. A chance is the share of worlds in which the account would be called. It speaks of the end of the
horizon; an account that is short on the way and recovers does not count.

Shocks are float64[worlds, instruments], simple returns: -0.1 is a fall by a tenth. Filtered historical simulation:
Barone-Adesi et al. (1999).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from statistics import NormalDist
from typing import Protocol

import numpy as np

from margin.engine import alternatives, volatility
from margin.engine.assess import Assessments, assess
from margin.engine.columns import CASH, Array, Book, Instruments, Market, Rules, Status

World = tuple[Instruments, Market]


class Worlds(Protocol):
    """Equally likely worlds, gone through as often as is asked; they need not all exist at once."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[World]: ...


SEED = 20260604
_DUST = 6  # decimals of a minor unit below which a float is noise
_LARGEST = Decimal(10) ** 15  # cash beyond which nobody is asked to go
_TRIES = 60


# --- joint returns ------------------------------------------------------------------------------------------


def historical(closes: Array, *, days: int, decay: float = volatility.DECAY) -> Array:
    """Returns over `days`, overlapping, of joint daily closes (float64[n + 1, instruments], oldest first): one world a
    window, each day's return scaled by today's volatility ÷ the volatility before it.

    ValueError unless every close is positive and there are three days of returns or more, and as many as `days`.
    """
    closes = np.asarray(closes, np.float64)
    if not (closes > 0).all():
        raise ValueError("returns need positive closes")
    returns = np.diff(np.log(closes), axis=0)
    if days < 1 or len(returns) < max(days, 3):
        raise ValueError(f"a horizon of {days} days needs more than {len(returns)} days of returns")
    columns = [_filtered(column, decay) for column in returns.T]
    summed = np.vstack([np.zeros(returns.shape[1]), np.cumsum(np.array(columns).T, axis=0)])
    found: Array = np.expm1(summed[days:] - summed[:-days])
    return found


def _filtered(returns: Array, decay: float) -> Array:
    """One instrument's returns at today's volatility; what never moved does not move."""
    known = volatility.volatilities(returns, volatility.ewma(decay))
    if not (known > 0).all():
        return returns
    return volatility.filtered(returns, known[:-1], known[-1])


def midpoints(count: int) -> Array:
    """The normal distribution in so many equally likely steps, ascending: float64[count]."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((k + 0.5) / count) for k in range(count)])


def factor_of(shocks: Array) -> Array:
    """What moved everything, per world: the mean of the columns, each in its own deviations. float64[worlds]."""
    deviation = shocks.std(axis=0)
    moving = deviation > 0
    if not moving.any():
        return midpoints(len(shocks))
    found: Array = (shocks[:, moving] / deviation[moving]).mean(axis=1)
    return found


def normal(ids: Array, volatilities: Array, *, years: float, correlation: float, factor: Array) -> Array:
    """Lognormal returns of instruments (by id) with annual volatilities, that neither rise nor fall on average.

    One factor moves them all: any two correlate by about `correlation` (0 to 1), exactly at its ends' upper one. Each
    column takes every quantile once, so a single instrument follows its law up to one world; its numbers depend on
    its id alone, not on what else is held.
    """
    if not 0 <= correlation <= 1 or years <= 0 or (np.asarray(volatilities) < 0).any():
        raise ValueError("a correlation lies between 0 and 1, a horizon is positive and no volatility negative")
    steps = midpoints(len(factor))
    common = steps[_ranks(factor)]
    shocks = np.empty((len(factor), len(ids)))
    for column, (id, annual) in enumerate(zip(ids.tolist(), np.asarray(volatilities).tolist(), strict=True)):
        own = np.random.default_rng([SEED, int(id)]).permutation(steps)
        mixed = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
        width = annual * np.sqrt(years)
        shocks[:, column] = np.expm1(width * steps[_ranks(mixed)] - width**2 / 2)
    return shocks


def _ranks(column: Array) -> Array:
    ranks: Array = np.argsort(np.argsort(column, kind="stable"), kind="stable")
    return ranks


# --- chances ------------------------------------------------------------------------------------------------


def call_chances(book: Book, rules: Rules, *, worlds: Worlds) -> Array:
    """float64 per account and regime, in the order of `Assessments`: the share of worlds in which it would be called.

    NaN where the account is unpriced in any of them: nothing is said on a guess. One assessment of all accounts a
    world.
    """
    called: Array | None = None
    for found in _assessed(book, rules, worlds):
        if called is None:
            called = np.zeros(len(found))
        called += np.where(found.status == Status.UNPRICED, np.nan, found.status >= Status.DEFICIT)
    if called is None:
        raise ValueError("a chance needs at least one world")
    return called / len(worlds)


def _assessed(book: Book, rules: Rules, worlds: Worlds) -> Iterator[Assessments]:
    for instruments, market in worlds:
        yield assess(book, instruments, market, rules)


@dataclass(frozen=True)
class Cushion:
    """The least cash, in minor units of the account's currency, with which an account stays clear of a call of one
    regime with so much probability; `cash` is None where no amount does, or none can be told."""

    regime: str
    probability: Decimal
    cash: Decimal | None


@dataclass(frozen=True)
class _Wanted:
    regime: int
    row: int  # in the assessment of one account
    name: str
    probability: Decimal
    allowed: int  # worlds in which it may be called


def cushions(
    book: Book,
    instruments: Instruments,
    rules: Rules,
    *,
    account_row: int,
    worlds: Worlds,
    probabilities: Sequence[Decimal] = (Decimal("0.80"), Decimal("0.95")),
) -> list[Cushion]:
    """For one account, by regime and then by probability: the cash to add now, on top of what it has.

    Rounded up to the minor unit and tried: with it at most 1 − probability of the worlds bring a call, with one minor
    unit less more do. Nothing is needed where the account is safe enough already.
    """
    if any(not 0 < probability < 1 for probability in probabilities):
        raise ValueError("a probability lies between 0 and 1")
    regimes = rules.policies[int(book.policy[account_row])].regimes
    allowed = [int((1 - probability) * len(worlds)) for probability in probabilities]
    wanted = [
        _Wanted(index, index, rule.regime, probability, most)
        for index, rule in enumerate(regimes)
        for probability, most in zip(probabilities, allowed, strict=True)
    ]
    trial = _Trial(book, instruments, rules, account_row, worlds)
    cash_row, exponent = trial.cash_row, trial.exponent
    if cash_row is None or exponent is None:
        return [Cushion(one.name, one.probability, None) for one in wanted]
    guesses = trial.guesses(wanted)
    found = _searched(trial, wanted, guesses)
    return [
        Cushion(one.name, one.probability, None if units is None else Decimal(units).scaleb(-exponent))
        for one, units in zip(wanted, found, strict=True)
    ]


@dataclass(frozen=True)
class _Trial:
    """One account with more cash, as often as is asked, in every world."""

    book: Book
    instruments: Instruments
    rules: Rules
    account_row: int
    worlds: Worlds

    @property
    def cash_row(self) -> int | None:
        base = self.book.base[self.account_row]
        rows = np.flatnonzero((self.instruments.kind == CASH) & (self.instruments.currency == base))
        return int(rows[0]) if len(rows) else None

    @property
    def exponent(self) -> int | None:
        return self.instruments.minor_exponents[int(self.book.base[self.account_row])]

    def with_cash(self, units: Sequence[int]) -> Book:
        row, exponent = self.cash_row, self.exponent or 0
        changes = [{row: Decimal(count).scaleb(-exponent)} if row is not None else {} for count in units]
        return alternatives.books(self.instruments, self.book, self.account_row, changes)

    def guesses(self, wanted: Sequence[_Wanted]) -> list[int | None]:
        """Minor units that are missing in the worst world that may not bring a call; None: it is unpriced."""
        short = [found.requirement - found.equity for found in _assessed(self.with_cash([0]), self.rules, self.worlds)]
        matrix = -np.sort(-np.array(short), axis=0)
        scale = 10.0 ** (self.exponent or 0)
        de_minimis = [
            float(rule.de_minimis) for rule in self.rules.policies[int(self.book.policy[self.account_row])].regimes
        ]
        return [
            None
            if not np.isfinite(matrix[:, one.row]).all()
            else max(_ceiling((matrix[one.allowed, one.row] - de_minimis[one.regime]) * scale), 0)
            for one in wanted
        ]

    def are_enough(self, asked: Sequence[tuple[_Wanted, int]]) -> list[bool]:
        """Whether so many minor units keep the account clear in all but the allowed worlds; unpriced is not clear."""
        book = self.with_cash([units for _, units in asked])
        regimes = len(self.rules.policies[int(self.book.policy[self.account_row])].regimes)
        rows = np.array([copy * regimes + one.row for copy, (one, _) in enumerate(asked)])
        called = np.zeros(len(asked), np.int64)
        for found in _assessed(book, self.rules, self.worlds):
            called += found.status[rows] >= Status.DEFICIT
        return [bool(count <= one.allowed) for count, (one, _) in zip(called.tolist(), asked, strict=True)]


def _ceiling(units: float) -> int:
    return int(Decimal(repr(round(float(units), _DUST))).to_integral_value(ROUND_CEILING))


def _searched(trial: _Trial, wanted: Sequence[_Wanted], guesses: Sequence[int | None]) -> list[int | None]:
    """The fewest minor units that are enough, for each: `low` are not enough, `high` are.

    Where the requirement does not depend on cash the guess is right, and two trials say so. Elsewhere the steps double
    and then halve.
    """
    most = int(_LARGEST.scaleb(trial.exponent or 0))
    low: list[int] = [-1] * len(wanted)
    high: list[int | None] = [None] * len(wanted)
    step = [1] * len(wanted)
    nexts = list(guesses)
    for _ in range(_TRIES * 2):
        asked = [(k, units) for k, units in enumerate(nexts) if units is not None]
        if not asked:
            break
        told = trial.are_enough([(wanted[k], units) for k, units in asked])
        for (k, units), is_enough in zip(asked, told, strict=True):
            if is_enough:
                high[k] = units
            else:
                low[k] = units
            nexts[k] = _next(low[k], high[k], step[k], most)
            step[k] *= 2
    return high


def _next(low: int, high: int | None, step: int, most: int) -> int | None:
    """What to try next; None when the two ends meet, or nothing is ever enough."""
    if high is None:
        return min(low + step, most) if low < most else None
    if high - low <= 1:
        return None
    return max(high - step, low + 1) if step < high - low else (low + high) // 2
