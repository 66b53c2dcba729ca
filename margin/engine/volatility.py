"""Volatility from closes, and margins that follow it without chasing it.

Pure functions on float64 arrays, oldest first. A volatility is the standard deviation of a day's return (never
annualised here); `volatilities[t]` is what was known *before* return t, so that nothing looks ahead. Margin rates are
shares of value.

EWMA: RiskMetrics (1996). GARCH(1,1): Bollerslev (1986), by maximum likelihood with the long-run variance fixed at the
sample's. Filtered historical simulation: Barone-Adesi et al. (1999), Hull and White (1998). Options against
procyclicality: EMIR RTS 153/2013 article 28.
"""

from dataclasses import dataclass

import numpy as np

from margin.engine.columns import Array

DECAY = 0.94  # of a daily EWMA
_SEED_DAYS = 20  # returns from which a recursion starts
_ZOOMS, _POINTS = 6, 21  # of the search for GARCH's parameters
_LARGEST_PERSISTENCE = 0.9995


def changes(prices: Array, days: int = 1) -> Array:
    """Simple returns over `days`, overlapping: n − days of them. ValueError unless every price is positive."""
    found = np.asarray(prices, np.float64)
    if not (found > 0).all():
        raise ValueError("returns need positive prices")
    returns: Array = found[days:] / found[:-days] - 1
    return returns


@dataclass(frozen=True)
class Garch:
    """s² = omega + alpha × r² + beta × s² of the day before. An EWMA is omega 0, alpha 1 − decay, beta decay."""

    omega: float
    alpha: float
    beta: float

    def __post_init__(self) -> None:
        if min(self.omega, self.alpha, self.beta) < 0 or self.alpha + self.beta > 1 + 1e-12:
            raise ValueError("omega, alpha and beta must not be negative, nor alpha and beta add up to more than 1")

    def following(self, volatility: float, change: float) -> float:
        """Tomorrow's volatility after today's return."""
        return float(np.sqrt(self.omega + self.alpha * change**2 + self.beta * volatility**2))

    @property
    def long_run(self) -> float:
        """The volatility it returns to; infinite where it never does (an EWMA)."""
        left = 1 - self.alpha - self.beta
        return float(np.sqrt(self.omega / left)) if left > 0 else float("inf")


def ewma(decay: float = DECAY) -> Garch:
    """Exponentially weighted: each day counts `decay` times as much as the next."""
    if not 0 < decay < 1:
        raise ValueError(f"decay must lie between 0 and 1, not {decay}")
    return Garch(0.0, 1 - decay, decay)


def pulled_variance(long_run: float, gamma: float, alpha: float, beta: float, squared: float, lagged: float) -> float:
    """GARCH as a weighted mean of the long-run variance, the squared return and the variance of the day before."""
    return gamma * long_run + alpha * squared + beta * lagged


def weighted_volatility(returns: Array, weights: Array) -> float:
    """√ of Σ weight × squared return. Weights are taken as they are: what a window leaves out of 1 counts as calm."""
    return float(np.sqrt((np.asarray(weights, np.float64) * np.asarray(returns, np.float64) ** 2).sum()))


def volatilities(returns: Array, model: Garch) -> Array:
    """float64[n + 1]: the volatility known before each of n returns, and last the one for tomorrow.

    The recursion starts from the mean square of the first returns: the earliest figures lean on it, and should not be
    tested. ValueError with fewer than two returns.
    """
    returns = np.asarray(returns, np.float64)
    if len(returns) < 2:
        raise ValueError(f"a volatility needs two returns or more, not {len(returns)}")
    variance = float(np.mean(returns[:_SEED_DAYS] ** 2))
    out = np.empty(len(returns) + 1)
    for t, squared in enumerate((returns**2).tolist()):
        out[t] = variance
        variance = model.omega + model.alpha * squared + model.beta * variance
    out[-1] = variance
    found: Array = np.sqrt(out)
    return found


def fitted(returns: Array) -> Garch:
    """The GARCH(1,1) under which the returns are likeliest, by a grid over alpha and persistence that closes in.

    Deterministic. ValueError with fewer than 100 returns, or where they never move.
    """
    returns = np.asarray(returns, np.float64)
    if len(returns) < 100 or not returns.any():
        raise ValueError("GARCH needs 100 returns or more that move")
    variance = float(np.mean(returns**2))
    low, high = np.array([0.001, 0.5]), np.array([0.3, _LARGEST_PERSISTENCE])
    best = (low + high) / 2
    for _ in range(_ZOOMS):
        alpha, persistence = (
            column.reshape(-1)
            for column in np.meshgrid(*(np.linspace(a, b, _POINTS) for a, b in zip(low, high, strict=True)))
        )
        allowed = persistence >= alpha
        alpha, persistence = alpha[allowed], persistence[allowed]
        best_row = int(np.argmax(_likelihoods(returns, variance, alpha, persistence - alpha)))
        best = np.array([alpha[best_row], persistence[best_row]])
        reach = (high - low) / _POINTS * 2
        low, high = np.maximum(best - reach, [1e-6, 0.1]), np.minimum(best + reach, [0.9, _LARGEST_PERSISTENCE])
    reaction, memory = float(best[0]), float(best[1])
    return Garch(variance * (1 - memory), reaction, memory - reaction)


def _likelihoods(returns: Array, variance: float, alpha: Array, beta: Array) -> Array:
    """Gaussian log likelihood of each pair of parameters, without constants."""
    omega = variance * (1 - alpha - beta)
    current, total = np.full(len(alpha), variance), np.zeros(len(alpha))
    for squared in (returns**2).tolist():
        total -= np.log(current) + squared / current
        current = omega + alpha * squared + beta * current
    return total


# --- filtered historical simulation ------------------------------------------------------------------------


def filtered(returns: Array, before: Array, now: float, bounds: tuple[float, float] | None = (0.5, 2.0)) -> Array:
    """What each past return would be today: scaled by today's volatility ÷ the volatility before it.

    `before[t]` is the volatility known before return t; the ratio is kept within `bounds`. Rows of several columns
    (risk factors) keep their dates, and with them their correlation.
    """
    ratio = np.asarray(now) / np.asarray(before, np.float64)
    if bounds is not None:
        ratio = np.clip(ratio, *bounds)
    scaled: Array = np.asarray(returns, np.float64) * ratio
    return scaled


def quantile_loss(losses: Array, confidence: float) -> float:
    """The k-th largest loss with k = floor((1 − confidence) × n) + 1: exceeded on at most the stated share of days."""
    ordered = np.sort(np.asarray(losses, np.float64))[::-1]
    if not len(ordered) or not 0 < confidence < 1:
        raise ValueError("a quantile needs losses, and a confidence between 0 and 1")
    return float(ordered[int((1 - confidence) * len(ordered) + 1e-9)])


def expected_shortfall(losses: Array, confidence: float) -> float:
    """The mean of the losses from the quantile's on."""
    ordered = np.sort(np.asarray(losses, np.float64))[::-1]
    return float(ordered[: int((1 - confidence) * len(ordered) + 1e-9) + 1].mean())


def worst_of_both_sides(scenarios: Array, confidence: float) -> float:
    """A rate for positions of either sign: the greater of the quantiles of falls and of rises, at least 0."""
    return max(quantile_loss(-scenarios, confidence), quantile_loss(scenarios, confidence), 0.0)


# --- against procyclicality: EMIR RTS 153/2013 article 28 -----------------------------------------------------


def with_buffer(margin: float, buffer: float) -> float:
    """(a) the margin with a buffer of at least 25 %, when nothing of it is drawn."""
    return margin * (1 + buffer)


def with_stress(margin: float, stressed: float, weight: float) -> float:
    """(b) at least 25 % weight on stressed observations."""
    return margin * (1 - weight) + stressed * weight


def with_floor(margin: float, ten_years: float) -> float:
    """(c) never below what volatility estimated over ten years would ask."""
    return max(margin, ten_years)


@dataclass(frozen=True)
class Buffered:
    """Margins held day by day with a buffer that may be used up, and the share of it that was drawn (0 to 1)."""

    held: Array
    drawn: Array


def drawing_buffer(margins: Array, buffer: float, rise: float = 0.1, days: int = 5) -> Buffered:
    """(a) day by day. The buffer is drawn while the calculated margin is rising significantly, by `rise` or more over
    `days`: what is held then rises only once the buffer is used up. On other days it is filled again."""
    margins = np.asarray(margins, np.float64)
    held, full = np.empty(len(margins)), margins * (1 + buffer)
    for t, margin in enumerate(margins.tolist()):
        earlier = margins[max(t - days, 0)]
        is_rising = margin >= earlier * (1 + rise) and t > 0
        held[t] = max(margin, min(held[t - 1], full[t])) if is_rising else full[t]
    room = full - margins
    drawn = np.divide(full - held, room, out=np.zeros(len(margins)), where=room > 0)
    return Buffered(held, drawn)


def peak_to_trough(margins: Array) -> float:
    """The greatest margin ÷ the least: 1 if it never moves."""
    margins = np.asarray(margins, np.float64)
    return float(margins.max() / margins.min())


def largest_increase(margins: Array, days: int) -> float:
    """The largest rise over `days`, as a share of where it began; 0 if it never rose."""
    margins = np.asarray(margins, np.float64)
    if len(margins) <= days:
        return 0.0
    return max(float((margins[days:] / margins[:-days] - 1).max()), 0.0)
