"""From levels to a status: the same comparisons on float64 and on exact Decimals."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine.columns import Array, RegimeRule, Status
from margin.engine.measures import Levels


@dataclass(frozen=True)
class Thresholds:
    """Equity levels around the requirement; None where the policy has none."""

    watch: Array | None
    warning: Array | None
    restore: Array
    severe: Array | None


def thresholds(levels: Levels, rule: RegimeRule, number: Callable[[Decimal], Any]) -> Thresholds:
    """The methodology's own ladder, else the regime's rates times the requirement."""

    def times(rate: Decimal | None) -> Array | None:
        return None if rate is None else levels.requirement * number(rate)

    target = levels.initial if rule.restores_initial else levels.requirement
    restore = levels.restore if levels.restore is not None else target * number(rule.restore_rate)
    return Thresholds(
        watch=times(rule.watch_rate),
        warning=levels.warning if levels.warning is not None else times(rule.warning_rate),
        restore=restore,
        severe=levels.severe if levels.severe is not None else times(rule.severe_rate),
    )


def classify(levels: Levels, limits: Thresholds, rule: RegimeRule, number: Callable[[Decimal], Any]) -> Array:
    """Status (uint8) per account. UNPRICED only where a doubt decides; missing prices are the caller's matter."""

    def breached(level: Array) -> Array:
        below = levels.equity <= level if rule.at_or_beyond else levels.equity < level
        return below.astype(bool) & levels.applies

    short = breached(levels.requirement)
    called = short
    if rule.de_minimis > 0:
        called = short & (levels.requirement - levels.equity > number(rule.de_minimis)).astype(bool)
    status = np.zeros(len(levels.equity), np.uint8)
    if limits.watch is not None:
        status[breached(limits.watch)] = Status.WATCH
    if limits.warning is not None:
        status[breached(limits.warning)] = Status.WARNING
    status[short] = Status.WARNING
    status[called] = Status.DEFICIT
    if limits.severe is not None:
        status[called & breached(limits.severe)] = Status.SEVERE
    if levels.doubtful is not None:
        status[levels.doubtful & (status != Status.QUIET)] = Status.UNPRICED
    return status


def nearest(levels: Levels, limits: Thresholds, rule: RegimeRule) -> tuple[Array, Array]:
    """(distance of the float64 equity to the nearest comparison, size of the amounts compared)."""
    compared = [levels.requirement, limits.watch, limits.warning, limits.severe]
    if rule.de_minimis > 0:
        compared.append(levels.requirement - float(rule.de_minimis))
    distance = np.full(len(levels.equity), np.inf)
    size = np.abs(levels.equity) + float(rule.de_minimis)
    for level in compared:
        if level is not None:
            distance = np.minimum(distance, np.abs(levels.equity - level))
            size = size + np.abs(level)
    return distance, size
