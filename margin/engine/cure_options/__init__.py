"""Cure options: what meets the open calls of an account, exactly. docs/cure_options.md.

Every option was tried as one more account and meets what is asked; one lot or one cent less of it does not. Calls of
several regimes are of the same equity, so the cash that meets them all is the greatest of what each asks, not the sum.
"""

from margin.engine.cure_options.demands import CASH, SALE, SECURITIES, WAYS, Demand, ways_of
from margin.engine.cure_options.finding import find
from margin.engine.cure_options.options import Asked, Option, Options, Refused, Step, Value
from margin.engine.sizing import NotSizable

__all__ = ["CASH", "SALE", "SECURITIES", "WAYS", "Asked", "Demand", "NotSizable", "Option", "Options"]
__all__ += ["Refused", "Step", "Value", "find", "ways_of"]
