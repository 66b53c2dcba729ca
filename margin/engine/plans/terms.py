"""What a plan is made for: its objective, what trading costs, what is sold last, and how much at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from margin.engine.exact import ZERO

SMALLEST, CHEAPEST = "smallest", "cheapest"
OBJECTIVES = (SMALLEST, CHEAPEST)


@dataclass(frozen=True)
class Costs:
    """A fee is the rate on what is traded, at least the minimum, in the instrument's currency. `half_spreads` by
    instrument id: half of ask − bid, as prices are stated; what has none is supposed to trade at its mark."""

    fee_rate: Decimal = ZERO
    fee_minimum: Decimal = ZERO
    half_spreads: Mapping[int, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """The most that is traded at once: a share of the value of all that may be closed, and of the volume of an average
    day of each instrument. None: the whole."""

    share: Decimal | None = None
    volume_share: Decimal | None = None


@dataclass(frozen=True)
class Wants:
    """What a plan has to keep to.

    `smallest` trades the least value, fees and half spreads included; `cheapest` pays the least fees and half spreads,
    of equals trades the least value. `ranks` by instrument id: what has a rank is traded only when everything of
    lower ranks, 0 where none is stated, is not enough. `left_out` (id → reason) may not be traded at all.
    """

    objective: str = SMALLEST
    costs: Costs = field(default_factory=Costs)
    ranks: Mapping[int, int] = field(default_factory=dict)
    left_out: Mapping[int, str] = field(default_factory=dict)
    stage: Stage = field(default_factory=Stage)

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective {self.objective!r} is not one of {', '.join(OBJECTIVES)}")
