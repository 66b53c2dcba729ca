"""Covers found without the solver: every one there is (brute force), and two that take what looks best (greedy).

All are written from the rule's text: a set is lawful if every short contract can be given a long of the same right that
expires no earlier, none is left over, and it costs the most it can lose at any price.
"""

from collections.abc import Iterator
from decimal import Decimal
from itertools import combinations, product

from margin.engine.cover import Leg, Problem

Set = list[tuple[Leg, int]]  # contracts, unsigned
NONE = Decimal("Infinity")  # what it costs to break the rule


def most_lost(legs: Set) -> Decimal:
    """The most a set can lose at the end, at prices from zero to beyond every strike; never below zero."""
    strikes = sorted({leg.strike for leg, _ in legs})
    prices = [Decimal(0), *strikes, *(strike * 3 + 1 for strike in strikes)]
    return max([Decimal(0), *(-worth(legs, price) for price in prices)])


def worth(legs: Set, price: Decimal) -> Decimal:
    total = Decimal(0)
    for leg, count in legs:
        inside = max(price - leg.strike if leg.right == "call" else leg.strike - price, Decimal(0))
        total += inside * leg.size * count * (1 if leg.contracts > 0 else -1)
    return total


def is_lawful(legs: Set) -> bool:
    """Whether every short unit has a long one of its right that lives as long, pairing earliest with earliest."""
    for right in ("call", "put"):
        longs = _units(legs, right, is_long=True)
        shorts = _units(legs, right, is_long=False)
        if len(longs) != len(shorts) or any(a < b for a, b in zip(longs, shorts, strict=True)):
            return False
    return True


def set_cost(legs: Set) -> Decimal:
    return most_lost(legs) + sum((count * leg.spread_cost for leg, count in legs if leg.contracts > 0), Decimal(0))


def brute_force(problem: Problem) -> Decimal:
    """The least cost over every whole number of every piece and every division of the rest into spread sets."""
    return min((cost + _cheapest_sets(problem, contracts) for contracts, cost in _piece_counts(problem)), default=NONE)


def _units(legs: Set, right: str, *, is_long: bool) -> list[int]:
    chosen = [(leg, count) for leg, count in legs if leg.right == right and (leg.contracts > 0) == is_long]
    return sorted(leg.expires_on.toordinal() for leg, count in chosen for _ in range(count * int(leg.size) // 10))


def _piece_counts(problem: Problem) -> Iterator[tuple[list[int], Decimal]]:
    """Every choice of pieces that fits: what it leaves of each leg, and what it costs."""

    def choose(k: int, contracts: list[int], units: list[Decimal]) -> Iterator[tuple[list[int], Decimal]]:
        if k == len(problem.pieces):
            yield contracts, Decimal(0)
            return
        piece, cost = problem.pieces[k], Decimal(0)
        contracts, units = list(contracts), list(units)
        while min([*contracts, *units, Decimal(0)]) >= 0:
            for left, rest in choose(k + 1, contracts, units):
                yield left, cost + rest
            for leg, used in piece.legs:
                contracts[leg] -= used
            for stock, used_units in piece.stocks:
                units[stock] -= used_units
            cost += piece.cost

    return choose(0, [abs(leg.contracts) for leg in problem.legs], list(problem.stocks))


def _cheapest_sets(problem: Problem, contracts: list[int]) -> Decimal:
    """All that is left short must be in a set; of what is left long, anything may."""
    families = sorted({family for leg in problem.legs for family in leg.families})
    choices = []
    for leg, left in zip(problem.legs, contracts, strict=True):
        splits = [s for s in product(range(left + 1), repeat=len(leg.families)) if sum(s) <= left]
        choices.append([s for s in splits if leg.contracts > 0 or sum(s) == left])
    least = NONE
    for split in product(*choices):
        sets = [
            [(leg, s[leg.families.index(f)]) for leg, s in zip(problem.legs, split, strict=True) if f in leg.families]
            for f in families
        ]
        if all(is_lawful(legs) for legs in sets):
            least = min(least, sum((set_cost(legs) for legs in sets), Decimal(0)))
    return least


class _Greedy:
    """Contracts and units still free, and the cost of what was taken."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.contracts = [abs(leg.contracts) for leg in problem.legs]
        self.units = list(problem.stocks)
        self.cost = Decimal(0)

    def take_piece(self, k: int) -> bool:
        piece = self.problem.pieces[k]
        fits = all(self.contracts[leg] >= used for leg, used in piece.legs)
        if not fits or any(self.units[stock] < used for stock, used in piece.stocks):
            return False
        for leg, used in piece.legs:
            self.contracts[leg] -= used
        for stock, used_units in piece.stocks:
            self.units[stock] -= used_units
        self.cost += piece.cost
        return True

    def take_set(self, chosen: dict[int, int]) -> bool:
        if any(self.contracts[leg] < used for leg, used in chosen.items()):
            return False
        for leg, used in chosen.items():
            self.contracts[leg] -= used
        self.cost += self.cost_of(chosen)
        return True

    def cost_of(self, chosen: dict[int, int]) -> Decimal:
        return set_cost([(self.problem.legs[leg], used) for leg, used in chosen.items()])

    def may_join(self, chosen: dict[int, int]) -> bool:
        legs = [self.problem.legs[leg] for leg in chosen]
        shared = set.intersection(*(set(leg.families) for leg in legs))
        return bool(shared) and is_lawful(list(zip(legs, chosen.values(), strict=True)))


def dearest_first(problem: Problem) -> Decimal:
    """Contract by contract, the dearest naked short first: each takes the cheapest piece or two-leg spread left."""
    state = _Greedy(problem)
    alone = {piece.legs[0][0]: piece.cost for piece in problem.pieces if len(piece.legs) == 1 and not piece.stocks}
    for short in sorted(alone, key=lambda leg: -alone[leg]):
        while state.contracts[short]:
            offers: list[tuple[Decimal, int, int]] = []  # cost, 0 piece or 1 spread, which
            for k, piece in enumerate(problem.pieces):
                if any(leg == short for leg, _ in piece.legs):
                    others = [alone[leg] for leg, _ in piece.legs if leg != short and leg in alone]
                    offers.append((piece.cost - sum(others, Decimal(0)), 0, k))
            for long, leg in enumerate(problem.legs):
                if leg.contracts > 0 and state.may_join({short: 1, long: 1}):
                    offers.append((state.cost_of({short: 1, long: 1}), 1, long))
            for _, kind, which in sorted(offers):
                if state.take_set({short: 1, which: 1}) if kind else state.take_piece(which):
                    break
    return state.cost


def most_legs_first(problem: Problem) -> Decimal:
    """The way of LEAN's matcher: known combinations by falling count of legs, each as often as it fits."""
    state = _Greedy(problem)
    count = len(problem.legs)
    for legs in (4, 3, 2):
        for k, piece in enumerate(problem.pieces):
            while len(piece.legs) + len(piece.stocks) == legs and state.take_piece(k):
                pass
        for chosen in combinations(range(count), legs):
            shorts = [k for k in chosen if problem.legs[k].contracts < 0]
            if not 0 < len(shorts) < legs:
                continue
            known = dict.fromkeys(chosen, 1)
            if legs == 3:  # a butterfly: the one leg of its side counts twice
                alone = shorts[0] if len(shorts) == 1 else next(k for k in chosen if k not in shorts)
                known[alone] = 2
            if state.may_join(known):
                while state.take_set(known):
                    pass
    for k, piece in enumerate(problem.pieces):
        while len(piece.legs) == 1 and not piece.stocks and state.take_piece(k):
            pass
    return state.cost
