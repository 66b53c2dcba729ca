"""The staged schedule: the same calls, sold slowly and in the best order, never more than all at once.

    pace    Almgren and Chriss (2000): of each instrument, the share of what is still to sell that is best sold now
    order   the largest margin release per unit of impact first
    test    after every stage all accounts are measured again: who holds again sells no more

Sales spread evenly over K stages meet the depth of K times the days, √K times that of one; a schedule that sells the
shares f of the whole is spread as widely as 1 / Σf² even stages. Nothing else is supposed to move prices meanwhile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np

from margin.cascading import rounds
from margin.cascading.markets import Depths
from margin.cascading.question import CascadeQuestion
from margin.cascading.rounds import Around, Cascade, State
from margin.cascading.selling import IMPACT, Line
from margin.engine.columns import Array
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
    pace = paced(around.asked, depths)
    slow = depths.over(1 / (pace.shares**2).sum(axis=1))
    tried = [
        Staged(how, rounds.play(around, start, slow, how=how, ranked=pace.ranked, stages=around.asked.slices.count))
        for how in dict.fromkeys((IMPACT, around.asked.sales))
    ]
    tried = [each for each in tried if total(each.cascade) <= total(at_once)]
    return min(
        [*tried, Staged(AT_ONCE, at_once)], key=lambda each: (len(each.cascade.still_called), total(each.cascade))
    )


@dataclass(frozen=True)
class Pace:
    """How much of each instrument a stage sells: shares of the whole, float64 [instruments, stages]."""

    shares: Array

    def ranked(self, state: State, lines: Sequence[Line], stage: int) -> list[Line]:
        """The lines of this stage, highest score first, the last one of each instrument cut to whole lots."""
        if stage + 1 >= self.shares.shape[1]:
            return list(lines)
        lots = state.case.instruments.lot
        chosen: list[Line] = []
        for row, is_sale in dict.fromkeys((line.instrument, line.quantity < 0) for line in lines):
            same = [line for line in lines if (line.instrument, line.quantity < 0) == (row, is_sale)]
            with exactly():
                wanted = sum((abs(line.quantity) for line in same), ZERO)
            left = float(self.shares[row, stage:].sum())
            share = float(self.shares[row, stage]) / left if left > 0 else 1.0
            chosen += _first(sorted(same, key=lambda line: -line.score), Fraction(wanted) * Fraction(share), lots[row])
        return chosen


def paced(asked: CascadeQuestion, depths: Depths) -> Pace:
    """The optimal shares of each instrument, which do not depend on how much is sold; even ones without a depth.

    In units of value: selling it all within a stage costs δ of one stage, the permanent impact is a share of that.
    """
    count, days = asked.slices.count, float(asked.days)
    shares = np.full((len(depths.delta), count), 1 / count)
    for row in np.flatnonzero(np.isfinite(depths.delta)).tolist():
        temporary = 1 / float(depths.delta[row])
        market = schedules.Market(
            volatility=float(depths.volatility[row]) * days**0.5,
            permanent=float(asked.slices.permanent_rate) * temporary,
            temporary=temporary,
        )
        aversion = float(asked.slices.aversion)
        shares[row] = schedules.optimal(1.0, days=count, periods=count, aversion=aversion, market=market).sales
    return Pace(shares)


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
