"""Stages: the part of a plan that is traded at once, where the policy limits it. After it a new plan is made."""

from decimal import Decimal
from fractions import Fraction
from math import floor

from margin.engine.exact import exactly
from margin.engine.plans.slices import Slice
from margin.engine.plans.terms import Stage
from margin.engine.plans.tries import Counts, Tries, put


def first(tries: Tries, counts: Counts, slices: tuple[Slice, ...], stage: Stage) -> Counts:
    """The first stage: slices in their order as far as the limits go, and as long as none leaves the account worse off.

    What is done together is not parted. At least the first slice's first lot is traded, or nothing would ever be.
    """
    if stage == Stage() or not slices:
        return counts
    budget = _budget(tries, stage)
    done, prefixes = tries.none, [tries.none]
    for one in slices:
        done = _more(tries, done, counts, one, stage, budget)
        prefixes.append(done)
    left = tries.left(prefixes)
    last = next((k for k in range(1, len(left)) if left[k] < left[k - 1]), len(left)) - 1
    return prefixes[last] if any(prefixes[last]) else _least(tries, counts, slices[0])


def _more(tries: Tries, done: Counts, counts: Counts, one: Slice, stage: Stage, budget: Decimal | None) -> Counts:
    """What is done and as much of one slice as the limits allow."""
    more = done
    for k in one.lines:
        more = put(more, k, _within_volume(tries, k, counts[k], stage))
    if budget is not None and len(one.lines) == 1:
        (k,) = one.lines
        return put(more, k, _within_budget(tries, done, k, more[k], budget))
    fits = budget is None or tries.outlay(more).value <= budget
    is_whole = all(more[k] == counts[k] for k in one.lines)
    return more if len(one.lines) == 1 or (fits and is_whole) else done


def _least(tries: Tries, counts: Counts, one: Slice) -> Counts:
    """One lot of the first slice; all of it where it is done together, or where one lot leaves things worse."""
    lots = tries.none
    for k in one.lines:
        lots = put(lots, k, counts[k])
    single = put(tries.none, one.lines[0], 1)
    return single if len(one.lines) == 1 and tries.left([single])[0] >= tries.start else lots


def _budget(tries: Tries, stage: Stage) -> Decimal | None:
    """The value that may be traded at once: a share of all that may be closed."""
    if stage.share is None:
        return None
    whole = tries.outlay(tries.most).value
    with exactly():
        return whole * stage.share


def _within_volume(tries: Tries, k: int, lots: int, stage: Stage) -> int:
    """As many lots as the share of an average day's volume allows; all of them where none is known."""
    leg = tries.lines[k].legs[0]
    volume = tries.account.instruments.daily_volume[leg.row]
    if stage.volume_share is None or volume is None:
        return lots
    allowed = Fraction(volume) * Fraction(stage.volume_share) / Fraction(leg.per_step)
    return min(lots, floor(allowed))


def _within_budget(tries: Tries, done: Counts, k: int, lots: int, budget: Decimal) -> int:
    """As many lots of a line as the budget allows besides what is done."""
    low, high = 0, lots
    while low < high:
        middle = (low + high + 1) // 2
        fits = tries.outlay(put(done, k, middle)).value <= budget
        low, high = (middle, high) if fits else (low, middle - 1)
    return low
