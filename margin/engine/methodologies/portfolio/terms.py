"""The parameters of `portfolio`, as a policy's JSON states them, and the rule book's own values to start from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from margin.engine import terms as reading
from margin.engine.columns import MARGIN_CLASSES
from margin.engine.exact import ONE, ZERO

_POINTS = (2, 4, 8, 10, 20)
TIERS = ("monitored", "standard", "away", "unlisted")


@dataclass(frozen=True)
class Range:
    """How far the price of an underlying is moved, as fractions of it, both positive."""

    down: Decimal
    up: Decimal

    def __post_init__(self) -> None:
        if not (0 < self.down <= 1 and self.up > 0):
            raise ValueError("a range needs down above 0 and at most 1, and up above 0")


@dataclass(frozen=True)
class Stress:
    """One point at which the firm looks beyond the range: moves of price and of volatility, as signed fractions."""

    price_rate: Decimal
    volatility_rate: Decimal = ZERO

    def __post_init__(self) -> None:
        if self.price_rate < -1 or self.volatility_rate < -1:
            raise ValueError("a stress point must not move anything by more than -1")


@dataclass(frozen=True)
class PortfolioGroup:
    """Product groups, by margin class, whose gains offset one another's losses at the same point at `rate`."""

    classes: tuple[str, ...]
    rate: Decimal


@dataclass(frozen=True)
class House:
    """What the house asks beyond the rule: it widens ranges and raises what opening needs, and never lowers.

    `classes` and `instruments` multiply ranges: by margin class, and by the code of an underlying or of any member;
    the greater counts.
    """

    classes: Mapping[str, Decimal] = field(default_factory=dict)
    instruments: Mapping[str, Decimal] = field(default_factory=dict)
    initial_rate: Decimal = ONE  # of the requirement
    opening_equity: Decimal = ZERO  # minimum equity of an account that opens positions

    def __post_init__(self) -> None:
        _check_classes("classes", self.classes)
        for name, factor in {**self.classes, **self.instruments}.items():
            if factor < 1:
                raise ValueError(f"the range of {name} may be multiplied by 1 or more")
        if self.initial_rate < 1 or self.opening_equity < 0:
            raise ValueError("initial_rate must be 1 or more, and opening_equity not negative")


@dataclass(frozen=True)
class Terms:
    """Every number of FINRA 4210(g) that the formulas use. Rates and ranges are fractions."""

    currency: str  # of the minimum per contract and of the minimum equity
    tier: str  # one of TIERS: which minimum equity an account must have
    minimum_equity: Mapping[str, Decimal]  # by tier
    ranges: Mapping[str, Range]  # by margin class
    points: int  # even: half of them below the price, half above
    minimum: Decimal  # per unit of every option contract
    days: int  # business days in which a deficiency must be met; the regime's clock is the policy's
    parity_tolerance_rate: Decimal  # of spot: how far below its least value an option's price may lie
    product_groups: Mapping[str, Decimal] = field(default_factory=dict)  # offset rate by margin class
    portfolio_groups: tuple[PortfolioGroup, ...] = ()
    house: House = field(default_factory=House)
    stress: tuple[Stress, ...] = ()

    def __post_init__(self) -> None:
        if self.tier not in TIERS:
            raise ValueError(f"tier: {self.tier!r} is not one of {', '.join(TIERS)}")
        if self.tier not in self.minimum_equity:
            raise ValueError(f"minimum_equity: nothing is stated for tier {self.tier}")
        unknown = set(self.minimum_equity) - set(TIERS)
        if unknown:
            raise ValueError(f"minimum_equity: unknown tiers {', '.join(sorted(unknown))}")
        if self.points not in _POINTS:
            raise ValueError(f"points must be one of {', '.join(map(str, _POINTS))}, so that steps are exact decimals")
        if min(self.minimum, self.parity_tolerance_rate, *self.minimum_equity.values()) < 0 or self.days < 0:
            raise ValueError("minimum, days, parity_tolerance_rate and minimum_equity must not be negative")
        _check_classes("ranges", self.ranges)
        if not self.ranges:
            raise ValueError("ranges: state at least one margin class")
        self._check_offsets()

    def _check_offsets(self) -> None:
        _check_classes("product_groups", self.product_groups)
        joined = [name for group in self.portfolio_groups for name in group.classes]
        _check_classes("portfolio_groups", joined)
        if len(joined) != len(set(joined)):
            raise ValueError("portfolio_groups: a margin class may be in one of them only")
        strangers = set(joined) - set(self.product_groups)
        if strangers:
            raise ValueError(f"portfolio_groups: {', '.join(sorted(strangers))} must be product_groups too")
        for rate in (*self.product_groups.values(), *(group.rate for group in self.portfolio_groups)):
            if not 0 <= rate <= 1:
                raise ValueError("offset rates must be from 0 to 1")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Terms":
        """Terms from a policy's JSON; ValueError naming the key."""
        return reading.read(cls, document)


def _check_classes(where: str, names: Iterable[str]) -> None:
    unknown = set(names) - set(MARGIN_CLASSES)
    if unknown:
        raise ValueError(f"{where}: unknown margin classes {', '.join(sorted(unknown))}")


_WIDE = {"down": "0.15", "up": "0.15"}
_BROAD = {"down": "0.10", "up": "0.10"}

# The rule book's values (FINRA Rule 4210(g); Cboe Rule 10.4), to be stated in a policy version. For volatility indexes
# and currencies the rule names no customer range: what OCC uses for net capital stands in.
RULE_BOOK: Mapping[str, Any] = {
    "currency": "USD",
    "tier": "standard",
    "minimum_equity": {"monitored": "100000", "standard": "150000", "away": "500000", "unlisted": "5000000"},
    "ranges": {
        "equity": _WIDE,
        "etf_narrow": _WIDE,
        "etf_broad": _BROAD,
        "etn_broad": _BROAD,
        "narrow_index": _WIDE,
        "broad_index": _BROAD,
        "high_cap_index": {"down": "0.08", "up": "0.06"},
        "vol_index": {"down": "0.20", "up": "0.20"},
        "fx": {"down": "0.06", "up": "0.06"},
    },
    "points": 10,
    "minimum": "0.375",
    "days": 3,
    "parity_tolerance_rate": "0.02",
    "stress": [{"price_rate": "-0.25"}, {"price_rate": "0.25"}],
}
