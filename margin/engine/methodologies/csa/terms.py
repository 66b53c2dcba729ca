"""Terms of a credit support annex, as a policy's JSON states them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from margin.engine import terms as reading
from margin.engine.columns import KINDS
from margin.engine.exact import ONE, ZERO
from margin.engine.methodologies.csa.schedule import Grid
from margin.engine.methodologies.csa.support import APPROACHES

HAIRCUT_BOUNDS = (1, 5)  # years of residual maturity


def regulatory_debt_haircuts() -> dict[str, tuple[Decimal, ...]]:
    """Below 1 year, below 5 years, longer. BCBS-IOSCO, Margin requirements for non-centrally cleared derivatives,
    Appendix B."""
    sovereign, corporate = ("0.005", "0.02", "0.04"), ("0.01", "0.04", "0.08")
    return {
        "us_government": tuple(map(Decimal, sovereign)),
        "us_government_zero": tuple(map(Decimal, sovereign)),
        "investment_grade": tuple(map(Decimal, corporate)),
    }


@dataclass(frozen=True)
class Terms:
    """Amounts are in `currency`, rates are fractions. What has no haircut is not eligible and counts for nothing.

    Of the two parties, the client posts and we collect: `threshold`, `minimum_transfer` and `independent_amount` are
    the client's. `rounding`: the unit that a delivery is rounded up to; 0: none.
    """

    currency: str
    threshold: Decimal = ZERO
    minimum_transfer: Decimal = ZERO
    rounding: Decimal = ZERO
    independent_amount: Decimal = ZERO
    our_independent_amount: Decimal = ZERO
    approach: str = "distinct"  # how initial margin and independent amounts go together
    is_defaulting: bool = False  # the client: no threshold, no minimum transfer amount
    haircuts: Mapping[str, Decimal] = field(default_factory=dict)  # by instrument code
    kind_haircuts: Mapping[str, Decimal] = field(default_factory=lambda: {"cash": ZERO})
    debt_haircuts: Mapping[str, tuple[Decimal, ...]] = field(default_factory=regulatory_debt_haircuts)  # by debt class
    fx_haircut: Decimal = Decimal("0.08")  # on what is not in a currency of settlement
    settlement_currencies: tuple[str, ...] = ()  # beside `currency`
    grid: Grid = field(default_factory=Grid)

    def __post_init__(self) -> None:
        if not self.currency:
            raise ValueError("currency must be stated")
        for name in ("threshold", "minimum_transfer", "rounding", "independent_amount", "our_independent_amount"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if self.approach not in APPROACHES:
            raise ValueError(f"approach must be one of {', '.join(APPROACHES)}")
        for name, rates in self._listed_haircuts():
            if any(not ZERO <= rate <= ONE for rate in rates):
                raise ValueError(f"the haircut of {name} must be from 0 to 1")
        for name, rates in self.debt_haircuts.items():
            if len(rates) != len(HAIRCUT_BOUNDS) + 1:
                raise ValueError(f"debt_haircuts: {name} needs three rates: below 1 year, below 5 years, longer")
        unknown = set(self.kind_haircuts) - set(KINDS)
        if unknown:
            raise ValueError(f"kind_haircuts: unknown kinds {', '.join(sorted(unknown))}")

    def _listed_haircuts(self) -> list[tuple[str, tuple[Decimal, ...]]]:
        one_each = {**self.haircuts, **self.kind_haircuts, "another currency": self.fx_haircut}
        return [*((name, (rate,)) for name, rate in one_each.items()), *self.debt_haircuts.items()]

    @property
    def allowed(self) -> Decimal:
        """The threshold in force."""
        return ZERO if self.is_defaulting else self.threshold

    @property
    def least(self) -> Decimal:
        """The minimum transfer amount in force."""
        return ZERO if self.is_defaulting else self.minimum_transfer

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Terms":
        """Terms from a policy's JSON; ValueError naming the key."""
        return reading.read(cls, document)
