"""The cheapest lawful cover of all option legs of one underlying and of the stock beside them.

What is lawful comes in from the rule book (`methodologies.option_strategies`): *pieces* (a naked short, a pair of short
put and short call, a covered call, a collar …) with their cost, and the *families* within which the universal spread
rule may set longs against shorts. What is cheapest is decided here, as an integer program solved to its optimum
(docs/methodologies/option_strategies.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, Inexact
from functools import lru_cache
from math import gcd, inf
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from margin.engine import kernels
from margin.engine.exact import ZERO, exactly, scaled

_NODES = 20_000  # of the search; a book of twenty legs takes a handful
_PIVOTS = 100_000  # of one node
_TOLD_APART = 10**8  # contracts × dearest amount, in steps: the kernel tells single steps apart far beyond this


@dataclass(frozen=True)
class Leg:
    """One option series and how many contracts of it are held; short is negative.

    Strike and size are on the axis of the full-size underlying: a reduced-value index has its strike divided by its
    scale and its size multiplied by it.
    """

    right: str  # "call" or "put"
    strike: Decimal
    expires_on: date
    contracts: int
    size: Decimal  # units of the underlying per contract
    families: tuple[int, ...] = ()  # spreads form within one family; none: never in a spread
    spread_cost: Decimal = Decimal(0)  # what one contract loses by serving in a spread: the loan value of a long


@dataclass(frozen=True)
class Piece:
    """Legs (contracts, unsigned) and stock (units of a holding, unsigned) that are margined together, at a cost.

    The cost may be negative: what the piece releases.
    """

    legs: tuple[tuple[int, int], ...]  # (index of the leg, contracts)
    stocks: tuple[tuple[int, Decimal], ...]  # (index of the holding, units)
    cost: Decimal


@dataclass(frozen=True)
class Problem:
    """Every short contract must be in exactly one piece or spread; longs and stock need not be used."""

    legs: tuple[Leg, ...]
    stocks: tuple[Decimal, ...]  # units available of each holding that may cover something, unsigned
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Spread:
    """Legs margined as one set: the maximum potential loss, and the price of the underlying at which it arises."""

    family: int
    legs: tuple[tuple[int, int], ...]  # (index of the leg, contracts, unsigned)
    loss: Decimal
    worst_at: Decimal
    cost: Decimal  # loss + spread_cost of the longs used


@dataclass(frozen=True)
class Cover:
    """The cheapest cover. `cost` is exact: the sum of the pieces' and spreads' costs."""

    pieces: tuple[tuple[int, int], ...]  # (index of the piece, how many)
    spreads: tuple[Spread, ...]
    cost: Decimal


class NoCover(ValueError):
    """A short contract that no piece and no spread takes, or a problem too large to solve; the message says which."""


def cheapest(problem: Problem) -> Cover:
    """The cover of least cost; of several, one with the fewest pieces. Deterministic; the order of legs and pieces does
    not change the cost. (In books too large for floats to tell a piece more or less, the number of pieces is left out.)

    Costs are told apart down to 10^-10 of the largest leg's contracts times the dearest piece: whole cents as long as
    that product is below fifty million. Raises NoCover; ValueError for a piece that uses nothing at a negative cost.
    """
    form, legs, pieces = _canonical(problem)
    return _cover(problem, legs, pieces, _solve(form))


def cheapest_of_many(problems: Sequence[Problem]) -> list[Cover]:
    """Covers of many problems, each distinct one solved once."""
    solved: dict[_Form, _Counts] = {}
    covers = []
    for problem in problems:
        form, legs, pieces = _canonical(problem)
        if form not in solved:
            solved[form] = _solve(form)
        covers.append(_cover(problem, legs, pieces, solved[form]))
    return covers


class _Form(NamedTuple):
    """A problem in whole numbers and in a fixed order: equal problems have equal forms, whatever order they came in.

    Strikes, sizes, units and costs are multiplied by `scale`, so losses (size × strike) come at its square.
    """

    scale: int
    legs: tuple[tuple[int, int, int, int, int, int, tuple[int, ...]], ...]  # as `_leg_rows` orders them
    stocks: tuple[int, ...]
    pieces: tuple[tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...], int], ...]  # legs, stocks, cost


class _Set(NamedTuple):
    """A spread set of a form: contracts by leg, and the leg whose strike is its worst price (-1: worst at zero)."""

    family: int
    legs: tuple[tuple[int, int], ...]
    worst: int
    loss: int


class _Counts(NamedTuple):
    """The solution of a form, checked."""

    pieces: tuple[int, ...]
    sets: tuple[_Set, ...]


_CALL, _PUT = 0, 1
_RIGHTS = {"call": _CALL, "put": _PUT}


def _canonical(problem: Problem) -> tuple[_Form, list[int], list[int]]:
    """The form of a problem, and the index in the problem of each leg and piece of the form."""
    with exactly():
        try:
            return _form(problem, 4)
        except Inexact:
            return _form(problem, _decimals(problem))


def _decimals(problem: Problem) -> int:
    amounts = [a for leg in problem.legs for a in (leg.strike, leg.size, leg.spread_cost)]
    amounts += [a for piece in problem.pieces for a in (piece.cost, *(units for _, units in piece.stocks))]
    return max(scaled(amount)[1] for amount in (*amounts, *problem.stocks))


@lru_cache(1 << 16)
def _whole(amount: Decimal, decimals: int) -> int:
    """amount × 10^decimals, exactly: strikes, sizes and prices come again and again. Raises Inexact."""
    return int((amount * 10**decimals).to_integral_exact())


def _form(problem: Problem, decimals: int) -> tuple[_Form, list[int], list[int]]:
    """As `_canonical`, at a scale of so many decimals. Raises Inexact if an amount has more."""
    rows = [
        (
            _RIGHTS[leg.right],
            leg.expires_on.toordinal(),
            _whole(leg.strike, decimals),
            _whole(leg.size, decimals),
            leg.contracts,
            _whole(leg.spread_cost, decimals),
            leg.families,
        )
        for leg in problem.legs
    ]
    legs = sorted(range(len(rows)), key=rows.__getitem__)
    place = [0] * len(legs)
    for new, old in enumerate(legs):
        place[old] = new
    parts = [
        (
            tuple(sorted([(place[leg], contracts) for leg, contracts in piece.legs])),
            tuple([(stock, _whole(units, decimals)) for stock, units in piece.stocks]),
            _whole(piece.cost, decimals),
        )
        for piece in problem.pieces
    ]
    pieces = sorted(range(len(parts)), key=parts.__getitem__)
    stocks = tuple([_whole(units, decimals) for units in problem.stocks])
    return _Form(10**decimals, tuple([rows[k] for k in legs]), stocks, tuple([parts[k] for k in pieces])), legs, pieces


def _solve(form: _Form) -> _Counts:
    """The cheapest counts of a form, proven by the kernel and checked here in whole numbers."""
    members = [(leg, family) for leg, row in enumerate(form.legs) for family in row[6]]
    step = _step(form)
    factor = _tie_factor(form, step)
    table, whole, *labels, unit, gap = kernels.cover().lay_out(*_arrays(form, members, step, factor))
    naked, columns, joined = [label.tolist() for label in labels]
    known = inf if any(row[4] < 0 and piece < 0 for row, piece in zip(form.legs, naked, strict=True)) else 0.0
    status, values, saved, _ = kernels.programs().minimise(table, whole, known, gap, _NODES, _PIVOTS)
    counts = np.rint(values).astype(np.int64).tolist()
    rest = counts[table.shape[1] - 1 :][: len(form.legs)]  # of each leg what neither a piece nor a spread takes
    _refuse(form, kernels.programs(), status, naked, rest)
    taken = [counts[column] if column >= 0 else 0 for column in columns]
    for leg, piece in enumerate(naked):
        if piece >= 0:
            taken[piece] += rest[leg]
    chosen = [(*member, counts[column]) for member, column in zip(members, joined, strict=True) if column >= 0]
    sets = [
        _set(form, family, tuple([(leg, count) for leg, of, count in chosen if of == family and count]))
        for family in sorted({family for _, family, count in chosen if count})
    ]
    alone = [(-row[4], form.pieces[piece][2]) for row, piece in zip(form.legs, naked, strict=True) if piece >= 0]
    fewer = sum([count for count, _ in alone]) - sum(taken) if factor > 1 else 0
    cost = sum([count * each for count, each in alone]) * form.scale + (saved / unit + fewer) / factor * step
    _check(form, taken, sets, cost)
    return _Counts(tuple(taken), tuple(sets))


def _refuse(form: _Form, programs: ModuleType, status: int, naked: list[int], rest: list[int]) -> None:
    """Raise unless the program was solved."""
    if status == programs.INFEASIBLE:
        for row, piece, left in zip(form.legs, naked, rest, strict=True):
            if row[4] < 0 and piece < 0 and left:
                right, expiry, strike, *_ = row
                name = f"{'put' if right else 'call'} {Decimal(strike) / form.scale} of {date.fromordinal(expiry)}"
                raise NoCover(f"nothing takes all contracts of the short {name}")
        raise NoCover("no whole number of pieces and spreads takes every short contract")
    if status == programs.TOO_LARGE:
        raise NoCover(f"{len(form.legs)} legs and {len(form.pieces)} pieces: too large to solve exactly")
    if status == programs.UNBOUNDED:
        raise ValueError("a piece that uses nothing cannot have a negative cost")


def _tie_factor(form: _Form, step: int) -> int:
    """More than the pieces of any cover: each then counts as a step ÷ factor, so that their number decides between
    equal costs and never between others. 1: they are not counted."""
    most = 1 + sum([abs(row[4]) for row in form.legs])
    for legs, stocks, _ in form.pieces:
        if not legs:
            most += min([form.stocks[stock] // units for stock, units in stocks], default=0)
    dearest = max([abs(cost) * form.scale for _, _, cost in form.pieces], default=0)
    dearest = max([dearest, *[row[2] * row[3] for row in form.legs]])
    contracts = max([abs(row[4]) for row in form.legs], default=0)
    return most if most * max(contracts, 1) * dearest < _TOLD_APART * step else 1


def _arrays(form: _Form, members: list[tuple[int, int]], step: int, factor: int = 1) -> tuple[Any, ...]:
    """What the kernel takes: every amount a whole number of steps × factor, sizes by their common divisor. With a
    factor above 1 every piece costs 1 more."""
    scale = form.scale
    size = gcd(*[row[3] for row in form.legs]) or 1
    families = {family: number for number, family in enumerate(sorted({family for _, family in members}))}
    legs: list[int] = []
    for right, expiry, strike, each, contracts, spread_cost, _ in form.legs:
        legs += (
            contracts,
            right,
            expiry,
            strike * size // step * factor,
            each // size,
            spread_cost * scale // step * factor,
        )
    uses: list[int] = []
    holds: list[int] = []
    for k, (used, stocks, _) in enumerate(form.pieces):
        for leg, contracts in used:
            uses += k, leg, contracts
        for stock, held in stocks:
            holds += k, stock, held
    return (
        np.array(legs, np.float64).reshape(-1, 6),
        np.array([part for leg, family in members for part in (leg, families[family])], np.int64).reshape(-1, 2),
        np.array([cost * scale // step * factor + (factor > 1) for _, _, cost in form.pieces], np.float64),
        np.array(uses, np.float64).reshape(-1, 3),
        np.array(holds, np.float64).reshape(-1, 3),
        np.array(form.stocks, np.float64),
    )


def _step(form: _Form) -> int:
    """The greatest amount of which every cost and every loss is a multiple."""
    amounts = [cost for _, _, cost in form.pieces]
    amounts += [row[5] for row in form.legs]
    loss = gcd(*[row[3] for row in form.legs]) * gcd(*[row[2] for row in form.legs])
    return gcd(gcd(*amounts) * form.scale, loss) or 1


def _set(form: _Form, family: int, legs: tuple[tuple[int, int], ...]) -> _Set:
    """The loss of a spread set: the largest at zero and at every strike of it; between them it is linear."""
    worst, loss = -1, _loss(form, legs, 0)
    for leg, _ in legs:
        here = _loss(form, legs, form.legs[leg][2])
        if here > loss:
            worst, loss = leg, here
    return _Set(family, legs, worst, max(loss, 0))


def _loss(form: _Form, legs: tuple[tuple[int, int], ...], price: int) -> int:
    """What shorts cost above what longs bring when the underlying ends at `price`."""
    total = 0
    for leg, count in legs:
        right, _, strike, size, contracts, _, _ = form.legs[leg]
        inside = price - strike if right == _CALL else strike - price
        if inside > 0:
            total += count * size * inside if contracts < 0 else -count * size * inside
    return total


def _check(form: _Form, pieces: list[int], sets: list[_Set], cost: float) -> None:
    """Refuse counts that are no cover, or that do not cost what the kernel proved. Raises ArithmeticError."""
    used = [0] * len(form.legs)
    held = [0] * len(form.stocks)
    total = stake = 0
    for count, (legs, stocks, each) in zip(pieces, form.pieces, strict=True):
        if not count:
            continue
        for leg, contracts in legs:
            used[leg] += count * contracts
        for stock, units in stocks:
            held[stock] += count * units
        total += count * each * form.scale
        stake += count * abs(each) * form.scale
    for spread in sets:
        total += spread.loss
        stake += spread.loss
        for leg, count in spread.legs:
            used[leg] += count
            total += count * form.legs[leg][5] * form.scale
    sound = all(map(_is_lawful, [form] * len(sets), sets)) and min(pieces, default=0) >= 0
    sound &= all(
        row[4] + count == 0 if row[4] < 0 else count <= row[4] for row, count in zip(form.legs, used, strict=True)
    )
    sound &= all(count <= units for count, units in zip(held, form.stocks, strict=True))
    if not sound or abs(total - cost) > max(stake, 1) * 1e-9:
        raise ArithmeticError(f"the cover found is not one: pieces {pieces}, spreads {sets}, cost {cost} of {form}")


def _is_lawful(form: _Form, spread: _Set) -> bool:
    """Conditions D and E, by right: as much long as short, and as much long expiring on or after every date.

    Legs are in the order of the form, by right and expiry; so the sums run from the last one back.
    """
    spare, at = 0, (-1, 0)  # longs over shorts so far, and the right and expiry of the leg before
    for leg, count in reversed(spread.legs):
        right, expiry, _, size, contracts, _, _ = form.legs[leg]
        if (right, expiry) != at:
            if spare < 0 or (spare and right != at[0]):
                return False
            at = right, expiry
        spare += count * size if contracts > 0 else -count * size
        if count < 0:
            return False
    return spare == 0


def _cover(problem: Problem, legs: list[int], pieces: list[int], counts: _Counts) -> Cover:
    """The counts of a form as a cover of the problem, its amounts from the problem's own."""
    with exactly():
        taken = sorted([(pieces[k], count) for k, count in enumerate(counts.pieces) if count])
        spreads = tuple([_spread(problem, legs, spread) for spread in counts.sets])
        cost = sum([count * problem.pieces[k].cost for k, count in taken], ZERO) + sum([s.cost for s in spreads], ZERO)
    return Cover(tuple(taken), spreads, cost)


def _spread(problem: Problem, order: list[int], spread: _Set) -> Spread:
    price = ZERO if spread.worst < 0 else problem.legs[order[spread.worst]].strike
    loss = joining = ZERO
    for k, count in spread.legs:
        leg = problem.legs[order[k]]
        inside = price - leg.strike if leg.right == "call" else leg.strike - price
        if inside > 0:
            loss -= count * leg.size * inside if leg.contracts > 0 else -count * leg.size * inside
        joining += count * leg.spread_cost
    loss = max(loss, ZERO)
    return Spread(
        spread.family, tuple(sorted((order[k], count) for k, count in spread.legs)), loss, price, loss + joining
    )
