"""The search: the counts that meet the demand at the least cost, or what comes nearest where nothing meets it.

Small books are tried out: no combination is cheaper. In large ones the search starts from the model's best and from the
lines closed wholly one after another, and ends where no line can do with one lot less and no lot of one line is better
spent on another.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from margin.engine.plans import model as models
from margin.engine.plans.model import Model
from margin.engine.plans.tries import Counts, Tries, held, put

MOST_COMBINED = 4096  # combinations that are all looked at
_MOST_NEIGHBOURS = 256
_AT_ONCE = 128
_COMPLETING = 3  # lines looked at to complete what is not enough
_SHRUNK_AT_ONCE = 3  # lines of which the fewest lots are looked for
_MOST_ROUNDS = 24


@dataclass(frozen=True)
class Found:
    """The best counts. Proven: no combination of these lines is cheaper, or comes nearer where none is enough."""

    counts: Counts
    is_enough: bool
    is_proven: bool


def best(tries: Tries, *, is_straight: bool) -> Found:
    """The cheapest counts that are enough; else those after which the least is missing.

    `is_straight`: what a lot releases does not depend on the others, up to the cents that booking loses.
    """
    if not tries.lines:
        return Found((), tries.start >= 0, is_proven=True)
    model = models.of(tries)
    starts = _starts(tries, model, is_straight=is_straight)
    enough = [counts for counts, left in zip(starts, tries.left(starts), strict=True) if left >= 0]
    is_small = prod(line.most + 1 for line in tries.lines) <= MOST_COMBINED
    if not enough and not is_small:
        return Found(_nearest(tries, starts), is_enough=False, is_proven=is_straight)
    found = None
    if enough:
        found = polished(tries, model, min(enough, key=tries.cost), is_straight=is_straight)
    if is_small and (enough or not is_straight):
        found = _of_all(tries, model, found, is_straight=is_straight) or found
    if found is None:
        return Found(_nearest(tries, _all(tries) if is_small and not is_straight else starts), False, is_proven=True)
    return Found(found, is_enough=True, is_proven=is_small)


def _starts(tries: Tries, model: Model, *, is_straight: bool) -> list[Counts]:
    """Counts worth trying first: everything, what helps, and the model's best with and without the cents of booking.

    Where charges are not straight, also the lines closed wholly one after another, the last completed by few lots.
    """
    helping = tuple(
        max((pull.most for pull in model.pulls if pull.line == k), default=0) for k in range(len(tries.lines))
    )
    noise = float(tries.noise(range(len(tries.lines))))
    guessed = [model.counts(tries, need) for need in (model.need, model.need + noise)]
    starts = [counts for counts in guessed if counts is not None]
    if is_straight and starts and max(tries.left(starts)) >= 0:
        return starts
    whole = list(models.entities(tries, model))
    starts += [tries.most, helping, *whole]
    return [*starts, *_completed(tries, model, whole)]


def _completed(tries: Tries, model: Model, whole: Sequence[Counts]) -> list[Counts]:
    """The last counts that are not enough, completed by as few lots of one more line as are."""
    left = tries.left(whole)
    reached = next((place for place, rest in enumerate(left) if rest >= 0), None)
    if reached is None:
        return []
    before = whole[reached - 1] if reached else tries.none
    open_lines = [k for k, line in enumerate(tries.lines) if before[k] < line.most]
    ordered = [pull.line for pull in model.pulls if pull.line in open_lines]
    chosen = [*ordered, *(k for k in open_lines if k not in ordered)][:_COMPLETING]
    found = tries.fewest({(k, before): tries.lines[k].most for k in chosen})
    return [put(before, k, fewest.steps) for (k, _), fewest in found.items() if fewest.steps]


def polished(tries: Tries, model: Model, counts: Counts, *, is_straight: bool) -> Counts:
    """Counts that no neighbour betters, or those of the last round."""
    counts = shrunk(tries, counts)
    for _ in range(_MOST_ROUNDS):
        near = models.neighbours(tries, model, counts, is_straight=is_straight, most=_MOST_NEIGHBOURS)
        better = [other for other, left in zip(near, tries.left(near), strict=True) if left >= 0]
        if not better:
            break
        counts = shrunk(tries, min(better, key=tries.cost))
    return counts


def shrunk(tries: Tries, counts: Counts) -> Counts:
    """As few lots as the other lines allow, so that one lot less of any line is not enough: first of the lines that are
    to be closed last, then of those that cost the most."""
    for _ in range(_MOST_ROUNDS * len(counts)):
        lines = held(counts)
        without = [put(counts, k, 0) for k in lines]
        less = [put(counts, k, counts[k] - 1) for k in lines]
        left = tries.left([*without, *less])
        gone = [other for other, rest in zip(without, left[: len(lines)], strict=True) if rest >= 0]
        fewer = [k for k, rest in zip(lines, left[len(lines) :], strict=True) if rest >= 0]
        if gone:
            counts = min(gone, key=tries.cost)
        elif fewer:
            costly = sorted(fewer, key=lambda k: tries.cost(put(counts, k, 0)))[:_SHRUNK_AT_ONCE]
            found = tries.fewest({(k, counts): counts[k] - 1 for k in costly})
            ends = [put(counts, k, steps) for k in costly if (steps := found[k, counts].steps)]
            counts = min(ends or [put(counts, k, counts[k] - 1) for k in costly], key=tries.cost)
        else:
            break
    return counts


def _all(tries: Tries) -> list[Counts]:
    return list(product(*(range(line.most + 1) for line in tries.lines)))


def _of_all(tries: Tries, model: Model, known: Counts | None, *, is_straight: bool) -> Counts | None:
    """Of all combinations cheaper than the known one the cheapest that is enough; None where none is.

    Where charges are straight, those the model says are short by more than booking can lose are passed over.
    """
    every = _all(tries)
    if is_straight:
        least = model.need - float(tries.noise(range(len(tries.lines)))) * 2 - 1e-6 * abs(model.need)
        every = [counts for counts in every if _released(tries, model, counts) >= least]
    priced = sorted((tries.cost(counts), counts) for counts in every)
    if known is not None:
        priced = priced[: bisect_left(priced, (tries.cost(known),))]
    for start in range(0, len(priced), _AT_ONCE):
        chunk = [counts for _, counts in priced[start : start + _AT_ONCE]]
        for counts, left in zip(chunk, tries.left(chunk), strict=True):
            if left >= 0:
                return counts
    return None


def _released(tries: Tries, model: Model, counts: Counts) -> float:
    wholes = {pull.line: pull for pull in model.pulls}
    return sum(
        wholes[k].of(lots) if k in wholes else min(model.releases[k], 0.0) * lots
        for k, lots in enumerate(counts)
        if lots
    )


def _nearest(tries: Tries, starts: Sequence[Counts]) -> Counts:
    """The counts after which the least is missing, and of those the cheapest; no step of a single line betters them."""
    best = _leading(tries, [tries.none, *starts])
    for _ in range(_MOST_ROUNDS):
        near = {
            put(best, k, lots)
            for k, line in enumerate(tries.lines)
            for lots in (0, best[k] // 2, best[k] - 1, best[k] + 1, (best[k] + line.most) // 2, line.most)
            if 0 <= lots <= line.most
        }
        better = _leading(tries, [best, *sorted(near)])
        if better == best:
            break
        best = better
    return best


def _leading(tries: Tries, every: Sequence[Counts]) -> Counts:
    left = tries.left(every)
    most = max(left)
    return min((one for one, rest in zip(every, left, strict=True) if rest == most), key=tries.cost)
