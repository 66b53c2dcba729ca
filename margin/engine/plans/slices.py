"""Slices: the order in which a plan's trades are done, so that the account is never worse off after one than before.

A long that covers a short is not sold before the short is closed. The engine is asked after every slice; what would
make things worse in any order is done together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from margin.engine.plans.model import Model
from margin.engine.plans.tries import Counts, Tries, held, put


@dataclass(frozen=True)
class Slice:
    """Lines closed together (more than one only where none alone would do), and what is left after them."""

    lines: tuple[int, ...]
    left: Decimal


def of(tries: Tries, model: Model, counts: Counts) -> tuple[Slice, ...]:
    """The counts line by line, those first that help most; after each slice at least as much is left as before it."""
    places = {pull.line: place for place, pull in enumerate(model.pulls)}
    order = sorted(held(counts), key=lambda k: (places.get(k, len(places)), k))
    plain = _prefixes(tries, counts, order)
    left = tries.left([tries.none, *plain])
    if all(after >= before for before, after in pairwise(left)):
        return tuple(Slice((k,), rest) for k, rest in zip(order, left[1:], strict=True))
    return tuple(_step_by_step(tries, counts, order))


def _prefixes(tries: Tries, counts: Counts, order: Sequence[int]) -> list[Counts]:
    done, found = tries.none, []
    for k in order:
        done = put(done, k, counts[k])
        found.append(done)
    return found


def _step_by_step(tries: Tries, counts: Counts, order: Sequence[int]) -> list[Slice]:
    """The best of what makes nothing worse, again and again: one line, else two, else all that remain."""
    done, rest, now, found = tries.none, list(order), tries.start, []
    while rest:
        together = [(k,) for k in rest]
        best = _best(tries, counts, done, together, now)
        if best is None and len(rest) > 2:
            pairs = [(i, j) for place, i in enumerate(rest) for j in rest[place + 1 :]]
            best = _best(tries, counts, done, pairs, now)
        chosen = best or tuple(rest)
        done = _with(done, counts, chosen)
        (now,) = tries.left([done])
        found.append(Slice(chosen, now))
        rest = [k for k in rest if k not in chosen]
    return found


def _best(
    tries: Tries, counts: Counts, done: Counts, choices: Sequence[tuple[int, ...]], now: Decimal
) -> tuple[int, ...] | None:
    after = tries.left([_with(done, counts, lines) for lines in choices])
    best = max(range(len(choices)), key=lambda place: (after[place], -place))
    return choices[best] if after[best] >= now else None


def _with(done: Counts, counts: Counts, lines: Sequence[int]) -> Counts:
    for k in lines:
        done = put(done, k, counts[k])
    return done
