"""What open calls ask, and when an alternative meets them.

A regime that the market cures is met where its restore level is reached again. Where the market does not cure, what was
released since the call has to make up what is outstanding, and the restore level of a measured regime besides
(settled figures of the workflow). What trades owe is not in the sweep's measures: a Regulation T call goes by
Regulation T alone (12 CFR 220.12: 50 % of stock, all of what is not marginable), a call for a day's trading by the
exchange's maintenance (FINRA 4210(d)(2), (f)(8)).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import IntEnum

from margin.engine import regulation
from margin.engine.columns import Array, Policy
from margin.engine.exact import ZERO
from margin.engine.levels import thresholds
from margin.engine.measures import Levels, larger, pick

CASH, SECURITIES, SALE = "cash", "securities", "sale"
WAYS = (CASH, SECURITIES, SALE)
# What some regimes accept; the others accept every way. Equity alone meets a minimum, and a sale adds none.
_NARROWER: Mapping[str, tuple[str, ...]] = {
    "minimum_equity": (CASH, SECURITIES),
    "day_trade": (CASH,),
    "csa": (CASH, SECURITIES),
}
_BY_INITIAL, _BY_MAINTENANCE = ("reg_t",), ("day_trade", "intraday")


class Level(IntEnum):
    """What equity is compared with."""

    RESTORE = 0
    REQUIREMENT = 1
    INITIAL = 2


def ways_of(regime: str) -> tuple[str, ...]:
    """The ways that meet a call of the regime where its policy says nothing else."""
    return _NARROWER.get(regime, WAYS)


@dataclass(frozen=True)
class Demand:
    """One open call: `outstanding` in the account's base currency; `key` tells it from the account's other calls."""

    key: str
    regime: str
    outstanding: Decimal
    market_cures: bool = True
    ways: tuple[str, ...] = WAYS

    @property
    def is_of_trades(self) -> bool:
        """Whether trades made it, so that no sweep measures it."""
        return self.regime in _BY_INITIAL or self.regime in _BY_MAINTENANCE


@dataclass(frozen=True)
class Yardstick:
    """How a demand is measured: in which regime of the policy, and against which level. None: nothing measures it."""

    regime: int | None
    level: Level


def yardsticks(policy: Policy, demands: Sequence[Demand]) -> tuple[Policy, tuple[Yardstick, ...]]:
    """The policy, with Regulation T alone as one more regime where a demand goes by it, and a yardstick per demand."""
    names = [rule.regime for rule in policy.regimes]
    is_governed = regulation.is_governed(policy)
    wider = policy
    if is_governed and any(demand.regime in _BY_INITIAL for demand in demands):
        wider = replace(policy, regimes=(*policy.regimes, *regulation.policy_of(policy).regimes))

    def of(demand: Demand) -> Yardstick:
        if demand.regime in _BY_INITIAL:
            return Yardstick(len(names) if is_governed else None, Level.INITIAL)
        if demand.regime in _BY_MAINTENANCE:
            place = policy.regimes.index(regulation.rule_of(policy)) if is_governed else None
            return Yardstick(place, Level.REQUIREMENT)
        return Yardstick(names.index(demand.regime) if demand.regime in names else None, Level.RESTORE)

    return wider, tuple(of(demand) for demand in demands)


def excess(levels: Levels, policy: Policy, regime: int, level: Level) -> Array:
    """Equity beyond a level, exact; at least 0 where the regime asks nothing. Call inside `exact.exactly()`."""
    if level == Level.RESTORE:
        left = levels.equity - thresholds(levels, policy.regimes[regime], Decimal).restore
    else:
        left = levels.equity - (levels.requirement if level == Level.REQUIREMENT else levels.initial)
    return pick(levels.applies, left, larger(left, ZERO))


def target(demand: Demand, standing: Decimal) -> Decimal:
    """The excess that meets the demand, where `standing` is the excess before anything is done."""
    if demand.is_of_trades:
        return standing + demand.outstanding
    return ZERO if demand.market_cures else max(standing + demand.outstanding, ZERO)
