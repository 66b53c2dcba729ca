"""The cheapest cover by SciPy's HiGHS, written from the text of the rule and sharing nothing with the engine's solver.

Every variable of the rule is one of the program: how many of each piece, how many contracts of each leg in the set of
each family, and the maximum potential loss of each set — at every strike of the book and at zero.
"""

from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from margin.engine.cover import Leg, Problem


class Program(NamedTuple):
    objective: Any
    constraints: list[Any]
    integrality: Any
    members: list[tuple[int, int]]  # (leg, family)
    families: list[int]


class _Rows:
    def __init__(self, width: int) -> None:
        self.width = width
        self.rows: list[Any] = []
        self.low: list[float] = []
        self.high: list[float] = []

    def add(self, entries: dict[int, float], low: float, high: float) -> None:
        row = np.zeros(self.width)
        for column, entry in entries.items():
            row[column] += entry
        self.rows.append(row)
        self.low.append(low)
        self.high.append(high)


def program(problem: Problem) -> Program:
    members = [(k, family) for k, leg in enumerate(problem.legs) for family in leg.families]
    families = sorted({family for _, family in members})
    first, last = len(problem.pieces), len(problem.pieces) + len(members)
    rows = _Rows(last + len(families))
    for k, leg in enumerate(problem.legs):
        taken: dict[int, float] = {}
        for t, piece in enumerate(problem.pieces):
            for used, contracts in piece.legs:
                if used == k:
                    taken[t] = taken.get(t, 0) + contracts
        taken.update({first + m: 1.0 for m, (of, _) in enumerate(members) if of == k})
        rows.add(taken, -leg.contracts if leg.contracts < 0 else 0, abs(leg.contracts))
    for s, units in enumerate(problem.stocks):
        held = {t: float(each) for t, piece in enumerate(problem.pieces) for of, each in piece.stocks if of == s}
        rows.add(held, 0, float(units))
    for f, family in enumerate(families):
        _set_rows(rows, problem.legs, [(first + m, k) for m, (k, of) in enumerate(members) if of == family], last + f)
    objective = [float(piece.cost) for piece in problem.pieces]
    objective += [float(problem.legs[k].spread_cost) if problem.legs[k].contracts > 0 else 0.0 for k, _ in members]
    objective += [1.0] * len(families)
    whole = np.array([1] * last + [0] * len(families))
    bounds = LinearConstraint(np.array(rows.rows).reshape(-1, rows.width), rows.low, rows.high)
    return Program(np.array(objective), [bounds], whole, members, families)


def _set_rows(rows: _Rows, legs: tuple[Leg, ...], chosen: list[tuple[int, int]], loss: int) -> None:
    for right in ("call", "put"):
        same = [(column, legs[k]) for column, k in chosen if legs[k].right == right]
        rows.add({column: _signed_size(leg) for column, leg in same}, 0, 0)
        for day in sorted({leg.expires_on for _, leg in same}):
            rows.add({column: _signed_size(leg) for column, leg in same if leg.expires_on >= day}, 0, np.inf)
    for price in [Decimal(0), *sorted({leg.strike for leg in legs})]:
        value = {column: _signed_size(legs[k]) * _intrinsic(legs[k], price) for column, k in chosen}
        rows.add({**value, loss: 1.0}, 0, np.inf)


def _signed_size(leg: Leg) -> float:
    return float(leg.size) if leg.contracts > 0 else -float(leg.size)


def _intrinsic(leg: Leg, price: Decimal) -> float:
    return float(max(price - leg.strike if leg.right == "call" else leg.strike - price, Decimal(0)))


def solve(program: Program, *, presolve: bool = True) -> Any:
    """The counts HiGHS proves cheapest; raises if it proves nothing."""
    result = milp(
        program.objective,
        constraints=program.constraints,
        integrality=program.integrality,
        bounds=Bounds(0, np.inf),
        options={"mip_rel_gap": 0.0, "presolve": presolve},
    )
    if result.status != 0:
        raise ValueError(result.message)
    return result.x


def cost(problem: Problem, program: Program, counts: Any) -> Decimal:
    """What the counts cost, exactly: the losses from the payoff at zero and at every strike, not from the solver."""
    whole = [round(float(count)) for count in counts[: len(problem.pieces) + len(program.members)]]
    total = sum((count * piece.cost for count, piece in zip(whole, problem.pieces, strict=False)), Decimal(0))
    for family in program.families:
        legs = [
            (problem.legs[k], count)
            for (k, of), count in zip(program.members, whole[len(problem.pieces) :], strict=True)
            if of == family
        ]
        total += max(Decimal(0), *(payoff(legs, price) for price in [Decimal(0), *(leg.strike for leg, _ in legs)]))
        total += sum((count * leg.spread_cost for leg, count in legs if leg.contracts > 0), Decimal(0))
    return total


def payoff(legs: list[tuple[Leg, int]], price: Decimal) -> Decimal:
    """What the set costs its holder when the underlying ends at `price`."""
    total = Decimal(0)
    for leg, count in legs:
        value = max(price - leg.strike if leg.right == "call" else leg.strike - price, Decimal(0)) * leg.size * count
        total += -value if leg.contracts > 0 else value
    return total
