"""Mixes: two or more holdings closed together, at the least cost: the lowest fees, then the lowest turnover.

Small books are tried out whole, so that none is cheaper. In large ones the holdings that release the most per unit
traded go first, the last of them in as few lots as will do, and the lots are then exchanged for cheaper ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from margin.engine.cure_options.lines import Line
from margin.engine.cure_options.tries import Cost, Counts, Tries

MOST_COMBINED = 1024  # combinations that are all tried
_AT_ONCE = 128
_FEW = 4  # lines closed wholly before more are looked at
_WIDTH = 8  # lines looked at to complete a mix, or to exchange a lot for
_MOST_SHRUNK = 3
_SLICES = 64


@dataclass(frozen=True)
class Mix:
    """So many steps of each line. Proven: no mix of these lines is cheaper."""

    counts: Counts
    is_proven: bool


def cheapest(tries: Tries, chosen: Sequence[int]) -> Mix | None:
    """The cheapest way to meet the scope with two or more of the chosen lines; None where none was found."""
    if len(chosen) < 2:
        return None
    if prod(tries.lines[k].most + 1 for k in chosen) <= MOST_COMBINED:
        return _of_all(tries, chosen)
    ranked = _by_release(tries, chosen)
    fixed = _wholly(tries, ranked)
    if fixed is None:
        return None
    found = _completed(tries, fixed, ranked)
    if not found:
        return None
    best = _shrunk(tries, min(found, key=tries.cost))
    mixes = [counts for counts in [best, *found, *_exchanged(tries, best, ranked)] if len(counts) > 1]
    return Mix(min(mixes, key=tries.cost), is_proven=False) if mixes else None


def _of_all(tries: Tries, chosen: Sequence[int]) -> Mix | None:
    """Every combination, the cheapest first, until one is enough."""
    every: list[tuple[Cost, dict[int, int]]] = []
    for steps in product(*(range(tries.lines[k].most + 1) for k in chosen)):
        counts = {k: n for k, n in zip(chosen, steps, strict=True) if n}
        if len(counts) > 1:
            every.append((tries.cost(counts), counts))
    every.sort(key=lambda entry: entry[0])
    for start in range(0, len(every), _AT_ONCE):
        chunk = [counts for _, counts in every[start : start + _AT_ONCE]]
        for some, standing in zip(chunk, tries.standings(chunk), strict=True):
            if min(tries.left(standing)) >= 0:
                return Mix(some, is_proven=True)
    return None


def _by_release(tries: Tries, chosen: Sequence[int]) -> list[int]:
    """Lines that help, the highest release per unit traded first; measured on a slice large enough for cents not to
    matter."""
    slices = {k: _slice(tries.lines[k]) for k in chosen}
    wanted = [{k: steps} for k in chosen for steps in (slices[k], tries.lines[k].most)]
    before = min(tries.left(tries.trials.start))
    after = [min(tries.left(standing)) for standing in tries.standings(wanted)]
    ranked: list[tuple[float, int]] = []
    for k, part, whole in zip(chosen, after[::2], after[1::2], strict=True):
        if max(part, whole) > before:
            turnover = tries.cost({k: slices[k]}).turnover
            ranked.append((-float(part - before) / float(turnover) if turnover else 0.0, k))
    return [k for _, k in sorted(ranked)]


def _slice(line: Line) -> int:
    return max(line.most // _SLICES, 1)


def surely_asked(line: Line) -> set[int]:
    """Steps of a line that are tried whatever comes of them: those between which it is linear, a slice, all of it."""
    return {_slice(line), line.most, *(n for piece in line.pieces or () for n in piece)}


def _wholly(tries: Tries, ranked: Sequence[int]) -> Counts | None:
    """The lines to close wholly before the one that completes them; None where closing every line is not enough."""
    for start in range(0, len(ranked), _FEW):
        counts = range(start, min(start + _FEW, len(ranked)))
        sums = [{k: tries.lines[k].most for k in ranked[: count + 1]} for count in counts]
        for count, standing in zip(counts, tries.standings(sums), strict=True):
            if min(tries.left(standing)) >= 0:
                return {k: tries.lines[k].most for k in ranked[:count]}
    return None


def _completed(tries: Tries, fixed: Counts, ranked: Sequence[int]) -> list[Counts]:
    """The fixed steps, completed by as few of one more line as will do: of those that release the most."""
    rest = [k for k in ranked if k not in fixed][:_WIDTH]
    found = tries.fewest({k: (k, fixed) for k in rest})
    return [{**fixed, k: fewest.steps} for k in rest if (fewest := found[k]).steps]


def _shrunk(tries: Tries, counts: Counts) -> Counts:
    """As few steps of each line as the others allow, the last of them first."""
    for k in [*reversed(list(counts))][1 : _MOST_SHRUNK + 1]:
        besides = {other: steps for other, steps in counts.items() if other != k}
        (without,) = tries.standings([besides])
        if min(tries.left(without)) >= 0:
            counts = besides
            continue
        steps = tries.fewest({k: (k, besides)})[k].steps
        counts = {**besides, k: steps} if steps else counts
    return counts


def _exchanged(tries: Tries, counts: Counts, ranked: Sequence[int]) -> list[Counts]:
    """One step less of a line, made up for by a few of another: finer lots come closer to what is needed."""
    finest = sorted(ranked, key=lambda k: tries.cost({k: 1}).turnover)[:_WIDTH]
    found: list[Counts] = []
    sought: dict[tuple[int, int], tuple[int, Counts]] = {}
    for k in list(counts)[-_MOST_SHRUNK:]:
        fewer: Counts = {other: steps - (other == k) for other, steps in counts.items() if steps > (other == k)}
        sought |= {(k, j): (j, fewer) for j in finest if j not in fewer and j != k}
    for key, fewest in tries.fewest(sought).items():
        if fewest.steps:
            j, fewer = sought[key]
            found.append({**fewer, j: fewest.steps})
    return found
