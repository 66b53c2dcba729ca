"""Searches for the fewest steps that are enough, where more is not always better.

What is left of an excess after n steps is known only by trying. A search asks for the n it wants to know, many at once,
and is told; many searches go on side by side, so that one assessment answers a round of all of them.

Where an account is charged unit by unit, what is left is linear in n between known kinks, up to the cents that booking
loses: that is enough to prove that nothing smaller would do. Elsewhere small numbers are all tried, and large ones are
searched under the assumption that what is left bends only one way between the points tried.
"""

from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Left = Mapping[int, tuple[Decimal, ...]]  # n → what is left beyond each demand; enough where none is negative
MOST_TRIED = 128  # numbers that are all tried where the structure is not known
_WIDEST = 1024  # numbers that are all tried within the cents of booking
_POINTS = 32  # numbers tried at once while a search narrows
_MOST_ROUNDS = 24


@dataclass(frozen=True)
class Fewest:
    """The fewest steps that are enough; None where no number is. Proven: no smaller number was assumed away."""

    steps: int | None
    is_proven: bool = True


Search = Generator[Sequence[int], Left, Fewest]
Piece = tuple[int, int]  # first and last n between which what is left is linear


def together(
    searches: Mapping[Key, Search], measure: Callable[[Mapping[Key, Sequence[int]]], Mapping[Key, Left]]
) -> dict[Key, Fewest]:
    """Run the searches side by side; `measure` answers all their questions of a round."""
    found: dict[Key, Fewest] = {}
    wanted: dict[Key, Sequence[int]] = {}

    def go_on(key: Key, told: Left | None) -> None:
        try:
            wanted[key] = next(searches[key]) if told is None else searches[key].send(told)
        except StopIteration as stop:
            found[key] = stop.value

    for key in searches:
        go_on(key, None)
    while wanted:
        asked, wanted = wanted, {}
        for key, told in measure(asked).items():
            go_on(key, told)
    return found


def fewest(most: int, pieces: Sequence[Piece] | None, noise: Decimal) -> Search:
    """The fewest of 1 … most. `pieces` cover them in order, None where they are not known; booking loses ≤ `noise`."""
    if most < 1:
        return Fewest(None)
    if pieces is None:
        return (yield from (_all_of(range(1, most + 1)) if most <= MOST_TRIED else _narrowing(most)))
    left = yield sorted({n for piece in pieces for n in piece})
    is_proven = True
    for first, last in pieces:
        highest = map(max, left[first], left[last])
        if min(highest) + noise >= 0:
            found = yield from _within(first, last, left, noise)
            is_proven &= found.is_proven
            if found.steps is not None:
                return Fewest(found.steps, is_proven)
    return Fewest(None, is_proven)


def _all_of(numbers: Sequence[int]) -> Search:
    left = yield numbers
    return Fewest(_first(numbers, left))


def _first(numbers: Iterable[int], left: Left) -> int | None:
    return next((n for n in numbers if min(left[n]) >= 0), None)


def _within(first: int, last: int, ends: Left, noise: Decimal) -> Search:
    """The fewest of a linear piece. What is left of a demand lies within `noise` of the chord through its ends."""
    if min(ends[first]) >= 0 or first == last:
        return Fewest(first if min(ends[first]) >= 0 else None)
    low, sure, cap = first, first, last
    for start, end in zip(ends[first], ends[last], strict=True):
        rise = Fraction(end - start) / (last - first)
        if rise > 0:
            low = max(low, first + ceil((-Fraction(start) - Fraction(noise)) / rise))
            sure = max(sure, first + ceil((-Fraction(start) + Fraction(noise)) / rise))
        elif start + noise < 0:
            return Fewest(None)
        elif rise < 0:
            cap = min(cap, first + floor((Fraction(start) + Fraction(noise)) / -rise))
    chords = [Fraction(start) + Fraction(end - start) * (sure - first) / (last - first)
              for start, end in zip(ends[first], ends[last], strict=True)]  # fmt: skip
    high = sure if sure <= cap and min(chords) >= noise else cap
    if high - low < _WIDEST:
        return (yield from _all_of(range(low, high + 1)))
    return (yield from _bisected(low, high))


def _bisected(low: int, high: int) -> Search:
    """An n that is enough while n − 1 is not: the cents of booking are worth more than a step."""
    short = low - 1
    left = yield [high]
    if min(left[high]) < 0:
        return Fewest(None, is_proven=False)
    enough = high
    while enough - short > 1:
        points = _spread(short, enough)
        left = yield points
        enough = next((n for n in points if min(left[n]) >= 0), enough)
        short = max((n for n in points if n < enough), default=short)
    return Fewest(enough, is_proven=False)


def _spread(low: int, high: int) -> list[int]:
    """At most `_POINTS` numbers strictly between the two, evenly."""
    step = max((high - low) // (_POINTS + 1), 1)
    return list(range(low + step, high, step))[:_POINTS]


def _narrowing(most: int) -> Search:
    """Search among many: points, slopes at the points, then wherever a bend could rise above what is asked."""
    step = max(most // 1024, 1)
    known: dict[int, Decimal] = {}
    points = [1, *_spread(1, most), most]
    for _ in range(_MOST_ROUNDS):
        asked = sorted({n for point in points for n in (point, min(point + step, most))} - known.keys())
        if asked:
            left = yield asked
            known |= {n: min(left[n]) for n in asked}
        gap = _gap(known, step)
        if gap is None:
            break
        points = _spread(*gap)
    return Fewest(next((n for n in sorted(known) if known[n] >= 0), None), is_proven=False)


def _gap(known: Mapping[int, Decimal], step: int) -> Piece | None:
    """The first interval that may hold a smaller number that is enough; None if there is none."""
    numbers = sorted(known)
    for low, high in pairwise(numbers):
        if known[low] >= 0:
            return None
        if high - low > 1 and (known[high] >= 0 or (high - low > step and _bend(known, numbers, low, high) >= 0)):
            return low, high
    return None


def _bend(known: Mapping[int, Decimal], numbers: Sequence[int], low: int, high: int) -> Fraction:
    """The most that could be left between two points if it bends only downwards: where the lines beyond them meet."""
    place = numbers.index(low)
    before = numbers[place - 1] if place else None
    after = numbers[place + 2] if place + 2 < len(numbers) else None
    if before is None or after is None:
        return Fraction(max(known[low], known[high]))
    up = Fraction(known[low] - known[before]) / (low - before)
    down = Fraction(known[after] - known[high]) / (after - high)
    if up <= 0 or down >= 0:
        return Fraction(max(known[low], known[high]))
    meet = (Fraction(known[high]) - Fraction(known[low]) + up * low - down * high) / (up - down)
    meet = min(max(meet, Fraction(low)), Fraction(high))
    return Fraction(known[low]) + up * (meet - low)
