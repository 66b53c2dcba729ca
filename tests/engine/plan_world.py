"""Random books with a call to liquidate for, and a judge of plans that shares nothing with the search but `assess`.

The judge trades by its own arithmetic, fees, minimum fees and half spreads included, and builds every book anew.
"""

import random
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR
from itertools import product
from math import ceil

import numpy as np

from margin.engine import plans
from margin.engine.assess import assess
from margin.engine.columns import Status
from margin.engine.cure_options import Demand
from margin.engine.exact import exactly
from margin.engine.plans import Costs, Wants
from tests.engine.cure_world import MINOR, RATES, random_case
from tests.engine.world import D

SPREADS = ("0", "0", "0.01", "0.05")


@dataclass(frozen=True)
class Judge:
    """One account, one demand, and what trading costs."""

    case: object
    demand: Demand
    wants: Wants

    def find(self):
        """What the engine plans."""
        return plans.find(*self.case.arguments(), demand=self.demand, wants=self.wants)

    def holding(self, id):
        """(row, quantity, cost) of a holding."""
        return next(entry for entry in self.case.held if entry[0].id == id)

    def trade(self, quantities):
        """(changes by id or currency, cost by the objective and by value, Regulation T release) of trades by id."""
        change, value, paid, released = {}, D(0), D(0), D(0)
        for id, quantity in quantities.items():
            row, held, cost = self.holding(id)
            unit = D(1).scaleb(-MINOR[row.currency])
            exact = -quantity * row.price * row.multiplier
            gross = exact.quantize(unit, ROUND_FLOOR)
            charged = max(abs(gross) * self.wants.costs.fee_rate, self.wants.costs.fee_minimum)
            fee = charged.quantize(unit, ROUND_CEILING)
            half = self.wants.costs.half_spreads.get(id, D(0))
            spread = (abs(quantity) * half * row.multiplier).quantize(unit, ROUND_CEILING)
            brings = gross
            if row.kind == "future":  # only the profit is realised
                kept = cost * (held + quantity) / held
                brings = (exact - (cost - kept)).quantize(unit, ROUND_FLOOR)
            change[id] = quantity
            change[row.currency] = change.get(row.currency, D(0)) + brings - fee - spread
            rate = RATES[row.currency]
            value, paid = value + abs(gross) * rate, paid + (fee + spread) * rate
            share = D(1) if not row.margin_eligible and quantity < 0 else D("0.5")
            released += (abs(exact) * share - (exact - gross) - fee - spread) * rate
        objective = value + paid if self.wants.objective == "smallest" else paid
        return change, (objective, value), released

    def left(self, wanted):
        """What is left beyond the demand after each of the trades by id, exact."""
        traded = [self.trade(quantities) for quantities in wanted]
        if self.demand.regime == "reg_t":
            return [released - self.demand.outstanding for _, _, released in traded]
        found = assess(*self.case.arguments([change for change, _, _ in traded]))
        assert not (found.status == Status.UNPRICED).any()
        index = [rule.regime for rule in self.case.regimes].index(self.demand.regime)
        with exactly():
            levels, limits = found.exact(0, index, np.arange(len(wanted)))
            left = levels.equity - limits.restore
        return [rest if applies else max(rest, D(0)) for rest, applies in zip(left, levels.applies, strict=True)]

    def lots(self, id):
        """How many lots are held."""
        row, quantity, _ = self.holding(id)
        return ceil(abs(quantity) / row.lot)

    def closing(self, id, lots):
        """The trade that gives up so many lots."""
        row, quantity, _ = self.holding(id)
        return (-1 if quantity > 0 else 1) * min(lots * row.lot, abs(quantity))

    def combinations(self):
        """Every combination of whole lots of what may be closed, as trades by id."""
        ids = [row.id for row, *_ in self.case.held if row.id not in self.wants.left_out]
        for counts in product(*(range(self.lots(id) + 1) for id in ids)):
            yield {id: self.closing(id, lots) for id, lots in zip(ids, counts, strict=True) if lots}


def random_judge(seed, *, is_small=False):
    """A book with a call; with few lots of everything where it is to be small. None where the draw has no call."""
    rng = random.Random(seed)
    case = random_case(seed)
    if case is None:
        return None
    if is_small:
        case = replace(case, held=tuple(_coarse(rng, *entry) for entry in case.held[:4]))
    demand = rng.choice(case.demands)
    if is_small and demand.regime != "reg_t":
        short = [figures for figures in case.figures([{}])[0].values() if figures.shortfall]
        if not short:
            return None
        demand = replace(demand, regime=rng.choice(short).regime)
    halves = {row.id: D(rng.choice(SPREADS)) for row, *_ in case.held if row.kind != "future"}
    wants = Wants(
        objective=rng.choice(plans.OBJECTIVES),
        costs=Costs(case.fee_rate, D(rng.choice(["0", "0", "1", "9.95"])), halves),
    )
    return Judge(case, demand, wants)


def _coarse(rng, row, quantity, cost):
    if row.kind == "option":
        return row, quantity, cost
    lots = rng.randint(1, 6)
    lot = abs(quantity) if row.kind != "future" else D(max(ceil(abs(quantity) / lots), 1))
    if row.kind != "future":
        step = D("0.01") if row.kind == "crypto" else D(1)
        lot = max((abs(quantity) / lots).quantize(step, ROUND_CEILING), step)
    return replace(row, lot=lot), quantity, cost
