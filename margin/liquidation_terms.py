"""What a policy says of forced closing: what a plan is best at, what is sold last, and how much at once.

Part of a policy's terms (`margin.policies`), read strictly. Pure: no Django, no clock.
"""

from dataclasses import dataclass
from decimal import Decimal

from margin.engine.plans import OBJECTIVES, SMALLEST

ZERO, ONE = Decimal(0), Decimal(1)


@dataclass(frozen=True)
class LiquidationTerms:
    """How plans are made (docs/liquidation.md).

    `fee_minimum` is what an order costs at least, in the instrument's currency, beside the policy's fee_rate.
    `stage_share` is the most that is traded at once, of the value of all that may be closed; `stage_volume_share` of an
    average day's volume, line by line. None: the whole.
    """

    objective: str = SMALLEST
    honours_liquidate_last: bool = False
    fee_minimum: Decimal = ZERO
    stage_share: Decimal | None = None
    stage_volume_share: Decimal | None = None
    needs_open_market: bool = False

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective {self.objective!r} is not one of {', '.join(OBJECTIVES)}")
        if self.fee_minimum < 0:
            raise ValueError("fee_minimum must not be negative")
        for name, share in (("stage_share", self.stage_share), ("stage_volume_share", self.stage_volume_share)):
            if share is not None and not 0 < share <= ONE:
                raise ValueError(f"{name} must be above 0 and at most 1")
