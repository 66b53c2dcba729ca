"""Kinks: the numbers of lots at which closing or bringing in a holding changes from one straight line to the next.

Where positions are charged unit by unit, so is what they release. Options take shares in whole deliverables alone, so
with them the line has a kink wherever one whole deliverable more or less is held, as far as there are contracts to
use it. A loan has one where what the sale pays for crosses zero.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor, gcd, lcm

from margin.engine.columns import KINDS, Contract, Instruments
from margin.engine.cure_options.searches import Piece

OPTIONS = (KINDS.index("option"), KINDS.index("future_option"))
_MOST_PIECES = 200

Held = Mapping[int, tuple[Decimal, Decimal | None]]  # row of Instruments → (quantity, cost)


def pieces(
    instruments: Instruments,
    held: Held,
    row: int,
    *,
    step: Decimal,
    most: int,
    crossing: Piece | None = None,
    beyond: int | None = None,
) -> tuple[Piece, ...] | None:
    """Runs of 1 … most steps in which what is left is linear; None where that is not known, or there are too many.

    `step` is what a step adds to the size of the holding, negative when it closes. The last step may be a broken lot,
    so it is a run by itself. `crossing` are the steps between which the cash that they move reaches zero, `beyond` the
    first whose fee is more than the minimum.
    """
    written = [(other, contract) for other in held if (contract := instruments.contract[other]) is not None]
    if instruments.contract[row] is not None or _covers_otherwise(instruments, row, [one for _, one in written]):
        return None
    starts = {1, most}
    if crossing is not None:
        starts |= {crossing[0], crossing[1] + 1}
    if beyond is not None:
        starts |= {beyond}
    taken = _deliverables(instruments, row, held, written)
    if taken:
        wholes = _wholes(abs(held[row][0]), taken, step, most)
        if wholes is None:
            return None
        starts |= wholes
    ordered = sorted(n for n in starts if 1 <= n <= most)
    return tuple(zip(ordered, [*(n - 1 for n in ordered[1:]), most], strict=True))


def _wholes(size: Decimal, taken: Sequence[Decimal], step: Decimal, most: int) -> set[int] | None:
    """The first n of each run in which the same number of whole deliverables is held."""
    unit = _common(taken)
    pace, start = Fraction(step), Fraction(size)
    first, last = sorted((floor(start / unit), floor(max(start + most * pace, Fraction(0)) / unit)))
    last = min(last, floor(sum(map(Fraction, taken), Fraction(0)) / unit) + 1)  # no contract can use more
    if last - first > _MOST_PIECES:
        return None
    if pace < 0:  # so many are held for the last time at n: a new run begins after it
        return {floor((whole * unit - start) / pace) + 1 for whole in range(first, last + 1)}
    return {ceil((whole * unit - start) / pace) for whole in range(first, last + 1)}


def _common(taken: Iterable[Decimal]) -> Fraction:
    """The greatest size of which every deliverable is a whole multiple."""
    sizes = [Fraction(size) for size in taken]
    below = lcm(*(size.denominator for size in sizes))
    return Fraction(gcd(*(int(size * below) for size in sizes)), below)


def _deliverables(
    instruments: Instruments, row: int, held: Held, written: Sequence[tuple[int, Contract]]
) -> list[Decimal]:
    """What each option contract in the account delivers of the instrument, one element a contract."""
    mine = int(instruments.ids[row])
    found: list[Decimal] = []
    for other, contract in written:
        basket = [units for id, units, _ in contract.deliverable if id == mine]
        if not basket and contract.underlying == mine and instruments.kind[other] in OPTIONS:
            basket = [instruments.multiplier[other]]
        contracts = min(ceil(abs(held[other][0])), _MOST_PIECES + 1)
        found += [units for units in basket if units > 0] * contracts
    return found


def _covers_otherwise(instruments: Instruments, row: int, contracts: Sequence[Contract]) -> bool:
    """Whether the holding may cover options by following their index, or be what something held turns into."""
    mine, index = int(instruments.ids[row]), int(instruments.index[row])
    return any((index and index == one.index) or (one.conversion and one.underlying == mine) for one in contracts)
