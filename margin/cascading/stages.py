"""The staged schedule: the same calls, sold slowly and in the best order, never more than all at once.

    pace    Almgren and Chriss (2000): of each instrument, the share of what is still to sell that is best sold now
    order   the largest margin release per unit of impact first
    test    after every stage all accounts are measured again: who holds again sells no more

Sales over K stages meet the depth of K times the days, which is √K times that of one (`markets.Depths.over`). Nothing
else is supposed to move prices meanwhile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np

from margin.cascading import rounds, selling
from margin.cascading.markets import Depths
from margin.cascading.question import CascadeQuestion
from margin.cascading.rounds import Around, Cascade, State
from margin.cascading.selling import IMPACT, Line
from margin.engine.contagion import schedules
from margin.engine.exact import ZERO, exactly

AT_ONCE = "at_once"
Total = Callable[[Cascade], Decimal]


@dataclass(frozen=True)
class Staged:
    """The schedule that sells least of those tried, and by which order; `at_once` where no stage helps."""

    order: str
    cascade: Cascade


def plan(around: Around, start: State, depths: Depths, at_once: Cascade, total: Total) -> Staged:
    """The best of two orders, by impact and as at once: fewest still called, then least sold.

    Never more is sold, and never more accounts stay called, than at once: where no order keeps that, at once it is.
    """
    slow = depths.over(around.asked.slices.count)
    ranker = Pace(around.asked, slow).ranked
    tried = [
        Staged(how, rounds.play(around, start, slow, how=how, ranked=ranker, stages=around.asked.slices.count))
        for how in dict.fromkeys((IMPACT, around.asked.sales))
    ]
    tried = [each for each in tried if total(each.cascade) <= total(at_once)]
    return min(
        [*tried, Staged(AT_ONCE, at_once)], key=lambda each: (len(each.cascade.still_called), total(each.cascade))
    )


@dataclass(frozen=True)
class Pace:
    """How much of each instrument a stage sells."""

    asked: CascadeQuestion
    depths: Depths

    def ranked(self, state: State, lines: Sequence[Line], stage: int) -> list[Line]:
        """The lines of this stage, highest score first, the last one of each instrument cut to whole lots."""
        left = self.asked.slices.count - stage
        if left <= 1:
            return list(lines)
        units = selling.unit_values(state.case.instruments)
        lots = state.case.instruments.lot
        chosen: list[Line] = []
        for row, is_sale in dict.fromkeys((line.instrument, line.quantity < 0) for line in lines):
            same = [line for line in lines if (line.instrument, line.quantity < 0) == (row, is_sale)]
            with exactly():
                wanted = sum((abs(line.quantity) for line in same), ZERO)
            share = self._share(row, float(wanted), float(units[row]), left)
            chosen += _first(sorted(same, key=lambda line: -line.score), Fraction(wanted) * Fraction(share), lots[row])
        return chosen

    def _share(self, row: int, quantity: float, unit: float, left: int) -> float:
        """What part to trade in the first of so many stages: the optimal one, equal ones where depth is not known."""
        delta, sigma = self.depths.delta[row], self.depths.volatility[row]
        if not (np.isfinite(delta) and np.isfinite(sigma) and quantity > 0 and unit > 0):
            return 1 / left
        temporary = unit**2 / float(delta)  # one unit a stage moves the value of a unit by so much
        found = schedules.optimal(
            quantity,
            days=left,
            periods=left,
            aversion=float(self.asked.slices.aversion),
            market=schedules.Market(
                volatility=float(sigma) * unit * float(self.asked.days) ** 0.5,
                permanent=float(self.asked.slices.permanent_rate) * temporary,
                temporary=temporary,
            ),
        )
        return float(found.sales[0]) / quantity


def _first(lines: Sequence[Line], budget: Fraction, lot: Decimal) -> list[Line]:
    """Lines until the budget (a quantity) is met; the last is cut, rounded up to whole lots."""
    chosen: list[Line] = []
    for line in lines:
        if budget <= 0:
            break
        size = abs(line.quantity)
        if Fraction(size) > budget:
            with exactly():
                size = min(size, -(-budget // Fraction(lot)) * lot)
        chosen.append(replace(line, quantity=size if line.quantity > 0 else size.copy_negate()))
        budget -= Fraction(size)
    return chosen
