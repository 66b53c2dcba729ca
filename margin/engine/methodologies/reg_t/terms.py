"""The parameters of `reg_t`, as a policy's JSON states them, and the rule book's own values to start from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from margin.engine import terms as reading
from margin.engine.columns import KINDS
from margin.engine.exact import ZERO


@dataclass(frozen=True)
class Rates:
    """House rates of market value; the greatest of all that apply counts, and only what exceeds the SRO amount."""

    long: Decimal = ZERO
    short: Decimal = ZERO

    def __post_init__(self) -> None:
        if self.long < 0 or self.short < 0:
            raise ValueError("rates must not be negative")


@dataclass(frozen=True)
class House:
    """The house table: a basic rate, and overrides by kind, sector and instrument code."""

    basic: Rates = field(default_factory=Rates)
    kinds: Mapping[str, Rates] = field(default_factory=dict)
    sectors: Mapping[str, Rates] = field(default_factory=dict)
    instruments: Mapping[str, Rates] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = set(self.kinds) - set(KINDS)
        if unknown:
            raise ValueError(f"kinds: unknown kinds {', '.join(sorted(unknown))}")


@dataclass(frozen=True)
class Bracket:
    """US government debt with less than `years` to maturity; without `years`, all that is longer."""

    rate: Decimal
    years: int | None = None


@dataclass(frozen=True)
class Terms:
    """Every number of Regulation T 220.12 and FINRA 4210(b), (c), (e) that the formulas use. Rates are fractions."""

    currency: str  # of the amounts per share and of the minimum equity
    long_rate: Decimal
    ineligible_rate: Decimal
    short_rate: Decimal
    short_floor: Decimal  # per share, at low_price and above
    low_price: Decimal
    low_short_rate: Decimal
    low_short_floor: Decimal  # per share, below low_price
    initial_long_rate: Decimal
    initial_short_rate: Decimal
    minimum_equity: Decimal
    government: tuple[Bracket, ...]
    zero_coupon_principal_rate: Decimal
    zero_coupon_years: int
    municipal_rate: Decimal
    investment_grade_rate: Decimal
    other_debt_rate: Decimal
    other_debt_principal_rate: Decimal
    convertible_rate: Decimal
    short_debt_rate: Decimal
    short_debt_principal_rate: Decimal
    box_rate: Decimal = Decimal("0.05")  # of the long value, same security long and short; policies may not state it
    house: House = field(default_factory=House)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, Decimal) and value < 0:
                raise ValueError(f"{name} must not be negative")
        years = [bracket.years for bracket in self.government]
        bounded = [bound for bound in years[:-1] if bound is not None]
        if not years or years[-1] is not None or len(bounded) != len(years) - 1 or bounded != sorted(set(bounded)):
            raise ValueError("government: brackets must rise in years and end with one that has none")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Terms":
        """Terms from a policy's JSON; ValueError naming the key."""
        return reading.read(cls, document)


# The rule book's values (12 CFR 220.12; FINRA Rule 4210 (b), (c), (e)(2)), to be stated in a policy version.
RULE_BOOK: Mapping[str, Any] = {
    "currency": "USD",
    "long_rate": "0.25",
    "ineligible_rate": "1.00",
    "short_rate": "0.30",
    "short_floor": "5.00",
    "low_price": "5.00",
    "low_short_rate": "1.00",
    "low_short_floor": "2.50",
    "initial_long_rate": "0.50",
    "initial_short_rate": "0.50",
    "minimum_equity": "2000",
    "government": [
        {"years": 1, "rate": "0.01"},
        {"years": 3, "rate": "0.02"},
        {"years": 5, "rate": "0.03"},
        {"years": 10, "rate": "0.04"},
        {"years": 20, "rate": "0.05"},
        {"rate": "0.06"},
    ],
    "zero_coupon_principal_rate": "0.03",
    "zero_coupon_years": 5,
    "municipal_rate": "0.07",
    "investment_grade_rate": "0.10",
    "other_debt_rate": "0.20",
    "other_debt_principal_rate": "0.07",
    "convertible_rate": "0.25",
    "short_debt_rate": "0.30",
    "short_debt_principal_rate": "0.05",
    "box_rate": "0.05",
}
