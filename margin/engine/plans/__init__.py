"""Plans: what is closed by force to meet a call, at the least cost and in whole lots. docs/liquidation.md.

The engine is the oracle: every combination that counts was assessed as one more account of one book. The plan says what
it is best at, what else could have been done, and, before anything is sold, whether it can be enough at all.
"""

from margin.engine.cure_options.demands import Demand
from margin.engine.plans.finding import find, released
from margin.engine.plans.plan import Alternative, Plan, Total, Trade
from margin.engine.plans.terms import CHEAPEST, OBJECTIVES, SMALLEST, Costs, Stage, Wants
from margin.engine.sizing import NotSizable

__all__ = ["CHEAPEST", "OBJECTIVES", "SMALLEST", "Alternative", "Costs", "Demand", "NotSizable", "Plan", "Stage"]
__all__ += ["Total", "Trade", "Wants", "find", "released"]
