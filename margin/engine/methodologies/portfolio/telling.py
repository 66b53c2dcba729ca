"""How a portfolio's requirement is told: a charge per class group, naming the point that binds, and a release per
offset. Their sum is the requirement, exactly."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine.columns import Array
from margin.engine.exact import ZERO
from margin.engine.groups import GroupCharge
from margin.engine.measures import Sentence
from margin.engine.methodologies.portfolio import classes
from margin.engine.methodologies.portfolio.offsets import Relief
from margin.engine.methodologies.portfolio.profits import Measured
from margin.engine.methodologies.portfolio.terms import Terms

_LAW = "FINRA Rule 4210(g); Cboe Rule 10.4"
_POINT = Sentence("{underlying} moved by {move_rate}: {listed} lose {amount}, the most at any of {points} points", _LAW)
_MINIMUM = Sentence(
    "{underlying}: {contracts} option contracts ask for {amount}, {minimum} per unit; {listed} lose at most {loss}",
    _LAW,
)
_OFFSET = Sentence(
    "Offset among {classes}: at each point losses count in full and gains at {gain_rate}", "SEC Rule 15c3-1a; " + _LAW
)


def charges(measured: Measured, group: int, terms: Terms) -> Iterator[GroupCharge]:
    """One charge for each class group that asks for anything."""
    low, high = np.searchsorted(measured.classes.group, [group, group + 1])
    for row in range(int(low), int(high)):
        amount = measured.amount(measured.requirements[row])
        if amount:
            yield _charge(measured, group, row, amount, terms)


def _charge(measured: Measured, group: int, row: int, amount: Decimal, terms: Terms) -> GroupCharge:
    arranged, groups = measured.classes, measured.groups
    places = arranged.place[int(arranged.offsets[row]) : int(arranged.offsets[row + 1])]
    moves = arranged.listed_moves[int(arranged.moves[row])]
    profits = [measured.amount(profit) for profit in measured.profits[row]]
    worst = profits.index(min(profits))
    by_minimum = -profits[worst] < amount
    first = int(groups.offsets[group])
    told: dict[str, Any] = {
        "underlying": _name(measured, places),
        "amount": amount,
        "loss": max(-profits[worst], ZERO),
        "move_rate": moves[worst],
        "points": str(len(moves)),
        "contracts": _contracts(measured, places),
        "minimum": terms.minimum,
    }
    for k, (move, profit) in enumerate(zip(moves, profits, strict=True), 1):
        told |= {f"move_{k}_rate": move, f"profit_{k}": profit}
    return GroupCharge(
        code="finra_4210_g",
        branch="minimum" if by_minimum else _point(worst, len(moves)),
        amount=amount,
        legs=tuple((int(place) - first, groups.quantity[place]) for place in places),
        inputs=told,
        sentence=_MINIMUM if by_minimum else _POINT,
    )


def _point(place: int, points: int) -> str:
    """down_5 is the furthest of five points below the price, up_1 the nearest above it."""
    side = points // 2
    return f"down_{side - place}" if place < side else f"up_{place - side + 1}"


def _name(measured: Measured, places: Array) -> str:
    """The underlying whose id keys the class group, if a member names it, else the first member's."""
    rows = [int(measured.instrument[place]) for place in places]
    instruments, found = measured.instruments, measured.found
    for row in rows:
        contract = instruments.contract[row]
        owner = contract.underlying if instruments.kind[row] in classes.WRITTEN else instruments.ids[row]
        if owner == found.key[row] and found.name[row]:
            return str(found.name[row])
    return str(found.name[rows[0]] or instruments.codes[rows[0]])


def _contracts(measured: Measured, places: Array) -> Decimal:
    rows = [(place, measured.instrument[place]) for place in places]
    options = [place for place, row in rows if measured.instruments.kind[row] == classes.OPTION]
    return sum((abs(measured.groups.quantity[place]) for place in options), ZERO)


def releases(measured: Measured, reliefs: tuple[Relief, ...], group: int) -> Iterator[GroupCharge]:
    """One negative charge for each offset that releases anything in the group."""
    for relief in reliefs:
        for at in np.flatnonzero((relief.group == group) & (relief.amount != 0)):
            yield GroupCharge(
                code="finra_4210_g_offset",
                branch=relief.branch,
                amount=Decimal(-relief.amount[at]).scaleb(-measured.decimals - relief.decimals),
                legs=(),
                inputs={"classes": ", ".join(relief.classes), "gain_rate": relief.rate},
                sentence=_OFFSET,
            )
