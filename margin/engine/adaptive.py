"""A margin rate that follows an instrument's volatility: the model, and the rates it asks day by day.

A rate is a share of value that a loss over the holding period exceeds with a probability of 1 − confidence, for
positions of either sign. Longer holding periods are one day's times √days. Whatever a day's rate uses was known before
that day. docs/methodologies/volatility.md.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from statistics import NormalDist

import numpy as np

from margin.engine import volatility
from margin.engine.columns import Array

KINDS = ("ewma", "garch", "fhs")
OPTIONS = ("none", "buffer", "stress", "floor")  # EMIR RTS 153/2013 article 28 (a), (b), (c)
STRESS_DAYS = 250  # the most volatile stretch of so many days counts as stress
FLOOR_DAYS = 2_500  # ten years
_PATH_DAYS = 60  # over which a buffer is followed to know how much of it is drawn today
_PLACES = Decimal("0.000001")


@dataclass(frozen=True)
class Model:
    """How a rate is found. `window` returns at most, and `least` at least, make its history.

    `share` is the buffer, or the weight of stress. `name` tells two models apart.
    """

    kind: str
    confidence: Decimal = Decimal("0.99")
    days: int = 2
    decay: Decimal = Decimal(str(volatility.DECAY))
    window: int = 1_250
    least: int = 250
    option: str = "buffer"
    share: Decimal = Decimal("0.25")

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if self.option not in OPTIONS:
            raise ValueError(f"option {self.option!r} is not one of {', '.join(OPTIONS)}")
        if not 0 < self.confidence < 1 or not 0 < self.decay < 1:
            raise ValueError("confidence and decay must lie between 0 and 1")
        if self.days < 1:
            raise ValueError("days must be 1 or more")
        if not 100 <= self.least <= self.window:
            raise ValueError("least must be 100 or more, and window not below it")
        if self.option in ("buffer", "stress") and not Decimal("0.25") <= self.share <= 1:
            raise ValueError("share must be from 0.25, the least that article 28 allows, to 1")

    @property
    def name(self) -> str:
        """The model in words that fit a column: fhs-0.99-2d-0.94-1250-250-buffer-0.25."""
        stated = (self.kind, self.confidence, f"{self.days}d", self.decay, self.window, self.least, self.option)
        return "-".join(map(str, (*stated, self.share)))

    @property
    def scale(self) -> float:
        """√ of the holding period in days."""
        return float(self.days**0.5)

    @property
    def deviations(self) -> float:
        """How many standard deviations a normal loss exceeds with the stated probability."""
        return NormalDist().inv_cdf(float(self.confidence))


class TooShort(ValueError):
    """There is not enough history for the model."""


@dataclass(frozen=True)
class Rate:
    """Tomorrow's rate, with what it was made of."""

    rate: Decimal  # rounded up to six decimals
    calculated: float  # before the option
    drawn: float  # share of the buffer that is in use; 0 without a buffer
    returns: int  # that were known


def rate(prices: Array, model: Model) -> Rate:
    """Tomorrow's rate from daily closes, oldest first.

    Raises TooShort, or ValueError where a close is not positive.
    """
    returns = volatility.changes(prices)
    first = max(len(returns) - _PATH_DAYS, model.least)
    found = calculated(returns, model, first)
    held, drawn = with_option(returns, found, model, first)
    exact = Decimal(repr(float(held[-1]))).quantize(_PLACES, ROUND_CEILING)
    return Rate(exact, float(found[-1]), float(drawn[-1]), len(returns))


def calculated(returns: Array, model: Model, first: int) -> Array:
    """float64[n − first + 1]: the rate for each of the days first … n, where day n is tomorrow, without any option.

    GARCH is fitted once, to what was known before the first day. Raises TooShort if that is less than `model.least`.
    """
    returns = np.asarray(returns, np.float64)
    if first < model.least or first > len(returns):
        count = min(first, len(returns))
        raise TooShort(f"{model.kind} needs {model.least} returns before the first day, and {count} are known")
    if model.kind == "garch":
        known = returns[max(first - model.window, 0) : first]
        levels = volatility.volatilities(returns, volatility.fitted(known))[first:]
        return model.deviations * model.scale * levels
    levels = volatility.volatilities(returns, volatility.ewma(float(model.decay)))
    if model.kind == "ewma":
        return model.deviations * model.scale * levels[first:]
    rates = [_filtered(returns, levels, day, model) for day in range(first, len(returns) + 1)]
    return model.scale * np.array(rates)


def _filtered(returns: Array, levels: Array, day: int, model: Model) -> float:
    past = slice(max(day - model.window, 0), day)
    scenarios = volatility.filtered(returns[past], levels[past], levels[day])
    return volatility.worst_of_both_sides(scenarios, float(model.confidence))


def with_option(returns: Array, found: Array, model: Model, first: int) -> tuple[Array, Array]:
    """(rates held, share of the buffer drawn) on the days first … n, from those that were `calculated`."""
    none = np.zeros(len(found))
    if model.option == "buffer":
        buffered = volatility.drawing_buffer(found, float(model.share))
        return buffered.held, buffered.drawn
    days = range(first, len(returns) + 1)
    if model.option == "stress":
        stressed = [_stressed(returns[:day], model) for day in days]
        pairs = zip(found, stressed, strict=True)
        return np.array([volatility.with_stress(one, stress, float(model.share)) for one, stress in pairs]), none
    if model.option == "floor":
        floors = [_ten_years(returns[:day], model) for day in days]
        return np.array([volatility.with_floor(*pair) for pair in zip(found, floors, strict=True)]), none
    return found, none


def _stressed(known: Array, model: Model) -> float:
    """The rate from the most volatile stretch of STRESS_DAYS that is known."""
    squares = np.concatenate(([0.0], np.cumsum(np.asarray(known) ** 2)))
    days = min(STRESS_DAYS, len(known))
    start = int(np.argmax(squares[days:] - squares[:-days]))
    stretch = known[start : start + days]
    if model.kind == "fhs":
        return model.scale * volatility.worst_of_both_sides(stretch, float(model.confidence))
    return model.scale * model.deviations * float(np.sqrt(np.mean(stretch**2)))


def _ten_years(known: Array, model: Model) -> float:
    """The rate from the volatility of ten years, or of all that is known."""
    return model.scale * model.deviations * float(np.sqrt(np.mean(known[-FLOOR_DAYS:] ** 2)))
