"""Did the margin cover the losses? Tests of breaches: on how many days, how soon, and whether they come in clusters.

A *breach* is a day on which the loss exceeded the margin held. p is the share of days on which the margin is meant to
be breached (0.01 for 99 %). Likelihood ratios follow chi-square in large samples; 0 × ln 0 counts as 0.

Kupiec (1995), Christoffersen (1998); the zones are those of the Basel Committee's back-testing framework (1996).
"""

import math
from dataclasses import dataclass

import numpy as np

from margin.engine.columns import Array

GREEN, YELLOW = 0.95, 0.9999  # cumulative probabilities below which the zone is green, and yellow


@dataclass(frozen=True)
class Verdict:
    """A likelihood ratio, and how probable one as large would be if the margin were right."""

    ratio: float
    probability: float

    def rejects(self, level: float) -> bool:
        """Whether a right margin would fare so badly with less than this probability. A margin that is breached too
        seldom is rejected too: the test looks both ways."""
        return self.probability < level


@dataclass(frozen=True)
class Zone:
    """The cumulative probability of so many breaches or fewer, and the zone it lies in."""

    probability: float
    name: str  # "green", "yellow" or "red"


@dataclass(frozen=True)
class Moves:
    """How often a day without (0) or with (1) a breach was followed by one without or with."""

    from_calm_to_calm: int
    from_calm_to_breach: int
    from_breach_to_calm: int
    from_breach_to_breach: int


def kupiec(breaches: int, days: int, p: float) -> Verdict:
    """Proportion of failures: are there as many breaches as there should be? ValueError unless 0 ≤ breaches ≤ days."""
    _check(breaches, days, p)
    found = breaches / days
    ratio = -2 * (_likelihood(breaches, days, p) - _likelihood(breaches, days, found))
    return _one_degree(ratio)


def first_failure(day: int, p: float) -> Verdict:
    """Time until the first failure: is `day` (1 is the first) a likely day for the first breach?"""
    if day < 1 or not 0 < p < 1:
        raise ValueError(f"the first breach is on day 1 or later with a p between 0 and 1, not on {day} with {p}")
    ratio = -2 * (math.log(p) + (day - 1) * math.log1p(-p)) + 2 * _likelihood(1, day, 1 / day)
    return _one_degree(ratio)


def independence(moves: Moves) -> Verdict:
    """Do breaches come in clusters? Christoffersen's first-order Markov alternative."""
    calm, breach = (
        (moves.from_calm_to_breach, moves.from_calm_to_calm + moves.from_calm_to_breach),
        (moves.from_breach_to_breach, moves.from_breach_to_calm + moves.from_breach_to_breach),
    )
    together = (calm[0] + breach[0], calm[1] + breach[1])
    apart = sum(_likelihood(count, days, count / days) for count, days in (calm, breach) if days)
    whole = _likelihood(*together, together[0] / together[1]) if together[1] else 0.0
    return _one_degree(-2 * (whole - apart))


def conditional(breaches: int, days: int, p: float, moves: Moves) -> Verdict:
    """Conditional coverage: as many breaches as there should be, and not in clusters. Two degrees of freedom."""
    ratio = kupiec(breaches, days, p).ratio + independence(moves).ratio
    return Verdict(ratio, math.exp(-ratio / 2))


def traffic_light(breaches: int, days: int, p: float) -> Zone:
    """The zone of the cumulative binomial probability of so many breaches or fewer."""
    _check(breaches, days, p)
    terms = [_log_binomial(days, k) + k * math.log(p) + (days - k) * math.log1p(-p) for k in range(breaches + 1)]
    probability = min(math.fsum(math.exp(term) for term in terms), 1.0)
    name = "green" if probability < GREEN else "yellow" if probability < YELLOW else "red"
    return Zone(probability, name)


def breaches_of(losses: Array, margins: Array) -> Array:
    """bool per day: the loss exceeded the margin held. Days without a number of either are left out beforehand."""
    exceeded: Array = np.asarray(losses) > np.asarray(margins)
    return exceeded


def moves_of(breached: Array) -> Moves:
    """Counts of what followed what, from one bool per day in order."""
    before, after = np.asarray(breached[:-1], bool), np.asarray(breached[1:], bool)
    return Moves(
        int((~before & ~after).sum()),
        int((~before & after).sum()),
        int((before & ~after).sum()),
        int((before & after).sum()),
    )


def _check(breaches: int, days: int, p: float) -> None:
    if not 0 <= breaches <= days or days < 1:
        raise ValueError(f"{breaches} breaches on {days} days cannot be")
    if not 0 < p < 1:
        raise ValueError(f"p must lie between 0 and 1, not {p}")


def _likelihood(breaches: int, days: int, p: float) -> float:
    """ln of p^breaches × (1 − p)^(days − breaches)."""
    return _times_log(breaches, p) + _times_log(days - breaches, 1 - p)


def _times_log(count: int, p: float) -> float:
    return count * math.log(p) if count else 0.0


def _one_degree(ratio: float) -> Verdict:
    """The tail of chi-square with one degree of freedom is that of a normal distribution, squared."""
    ratio = max(ratio, 0.0)  # rounding
    return Verdict(ratio, math.erfc(math.sqrt(ratio / 2)))


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
