"""Initial margin by the schedule (grid): a rate of the notional by class and residual maturity, and the ratio of net to
gross replacement cost. BCBS-IOSCO, Margin requirements for non-centrally cleared derivatives, Appendix A; paragraph
3.2 for the ratio.

Public, and the fallback for what no model covers. Rates may be replaced by a policy's own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from margin.engine.exact import ONE, ZERO, exactly

CLASSES = ("rates", "credit", "fx", "equity", "commodity", "other")
BOUNDS = (2, 5)  # years of residual maturity: below the first, below the second, from there on
FLOOR_SHARE = Decimal("0.4")
RATIO_SHARE = Decimal("0.6")
_RATES = (Decimal("0.01"), Decimal("0.02"), Decimal("0.04"))
_CREDIT = (Decimal("0.02"), Decimal("0.05"), Decimal("0.10"))


@dataclass(frozen=True)
class Grid:
    """Rates of the notional. Three for what depends on maturity, from short to long."""

    rates: tuple[Decimal, ...] = field(default_factory=lambda: _RATES)
    credit: tuple[Decimal, ...] = field(default_factory=lambda: _CREDIT)
    fx: Decimal = Decimal("0.06")
    equity: Decimal = Decimal("0.15")
    commodity: Decimal = Decimal("0.15")
    other: Decimal = Decimal("0.15")

    def __post_init__(self) -> None:
        for name in ("rates", "credit"):
            if len(getattr(self, name)) != len(BOUNDS) + 1:
                raise ValueError(f"{name}: three rates are expected, for up to 2, up to 5 and more years")
        if any(rate < 0 for name in CLASSES for rate in _listed(getattr(self, name))):
            raise ValueError("rates must not be negative")

    def rate(self, asset_class: str, bracket: int) -> Decimal:
        """The rate of a class in a maturity bracket (0, 1, 2). ValueError for an unknown class."""
        if asset_class not in CLASSES:
            raise ValueError(f"the schedule has no class {asset_class!r}; known: {', '.join(CLASSES)}")
        listed = _listed(getattr(self, asset_class))
        return listed[bracket] if len(listed) > 1 else listed[0]


def _listed(rates: Decimal | tuple[Decimal, ...]) -> tuple[Decimal, ...]:
    return rates if isinstance(rates, tuple) else (rates,)


PUBLISHED = Grid()


@dataclass(frozen=True)
class Trade:
    """A trade, or one leg of it: `value` is what it is worth to the collecting party."""

    id: str
    asset_class: str
    notional: Decimal
    value: Decimal
    years: Decimal  # residual maturity


@dataclass(frozen=True)
class Schedule:
    """Initial margin of a netting set and where it comes from."""

    gross: Decimal  # Σ |notional| × rate
    gross_replacement: Decimal  # Σ max(value, 0)
    net_replacement: Decimal  # max(Σ value, 0)
    ratio: Fraction = field(default=Fraction(1))  # net ÷ gross replacement cost

    @property
    def margin(self) -> Fraction:
        """0.4 × gross + 0.6 × ratio × gross."""
        return Fraction(self.gross) * (Fraction(FLOOR_SHARE) + Fraction(RATIO_SHARE) * self.ratio)


def bracket(years: Decimal) -> int:
    """Of a residual maturity: 0 below 2 years, 1 below 5, else 2."""
    return sum(years >= bound for bound in BOUNDS)


def measure(trades: Iterable[Trade], *, ratio: Decimal | None = None, grid: Grid = PUBLISHED) -> Schedule:
    """The schedule of a netting set. Legs of one id net before the rate and before replacement costs, trades never net.
    `ratio` overrides the net-to-gross ratio, which is 1 where nothing could be lost."""
    merged: dict[str, Trade] = {}
    with exactly():
        for trade in trades:
            before = merged.get(trade.id)
            merged[trade.id] = trade if before is None else _joined(before, trade)
        netted = merged.values()
        gross = sum((abs(t.notional) * grid.rate(t.asset_class, bracket(t.years)) for t in netted), ZERO)
        gross_replacement = sum((max(t.value, ZERO) for t in netted), ZERO)
        net_replacement = max(sum((t.value for t in netted), ZERO), ZERO)
    if ratio is not None:
        return Schedule(gross, gross_replacement, net_replacement, Fraction(ratio))
    return Schedule(gross, gross_replacement, net_replacement, net_to_gross(net_replacement, gross_replacement))


def net_to_gross(net: Decimal, gross: Decimal) -> Fraction:
    """net ÷ gross replacement cost; 1 where the gross is 0."""
    return Fraction(net) / Fraction(gross) if gross else Fraction(ONE)


def _joined(one: Trade, other: Trade) -> Trade:
    if (one.asset_class, bracket(one.years)) != (other.asset_class, bracket(other.years)):
        raise ValueError(f"trade {one.id}: its legs differ in class or maturity bracket")
    return Trade(one.id, one.asset_class, one.notional + other.notional, one.value + other.value, one.years)
