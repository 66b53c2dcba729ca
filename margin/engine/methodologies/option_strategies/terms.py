"""The parameters of `option_strategies`, as a policy's JSON states them, and the rule book's values to start from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from margin.engine import terms as reading
from margin.engine.columns import MARGIN_CLASSES
from margin.engine.exact import ONE, ZERO

ACCOUNTS = ("margin", "cash")
SHORT_BASES = ("market", "strike")
_MOST_MONTHS, _MOST_DAYS = 1200, 366


@dataclass(frozen=True)
class Rates:
    """A short option: option value + max(basic × underlying − out of the money, minimum × underlying or strike)."""

    basic: Decimal
    minimum: Decimal

    def __post_init__(self) -> None:
        if self.basic < 0 or self.minimum < 0:
            raise ValueError("rates must not be negative")


@dataclass(frozen=True)
class Terms:
    """Every number of FINRA 4210(f)(2) and Cboe Rule 10.3 that the formulas use. Rates are fractions.

    `listed` and `otc` have one row per margin class; a class without a row has no rule, and is refused. `house` rows
    raise them. `hedged_short_basis` and `reverse_conversion_relief` choose between readings of the Cboe manual that
    disagree (pages 58 to 61).
    """

    listed: Mapping[str, Rates]
    otc: Mapping[str, Rates]
    long_option_months: int  # calendar months; a longer listed option has loan value
    long_option_rate: Decimal  # asked of what counts as equity
    long_option_classes: tuple[str, ...]
    box_loan_rate: Decimal  # of the strike difference, asked of a long European box; 1: no loan
    hedge_rate: Decimal  # of the strike, where an option limits the loss of stock
    collar_call_rate: Decimal  # of the call's strike
    convertible_offset_rate: Decimal  # of a long convertible against the short it turns into, (e)(1)
    hedged_short_basis: str  # "market": the table; "strike": the samples of pages 58, 60 and 61
    reverse_conversion_relief: bool  # Regulation T asks only the proceeds where the call is below the sale price
    european_calendars: bool  # a European long may serve beyond the expiry of the short it covers
    volatility_calendars: bool  # the same for options on a volatility index
    flex_separation_days: int  # AM and PM settled FLEX options of one expiry part company so many days before it
    account: str = "margin"  # or "cash"
    house: Mapping[str, Rates] = field(default_factory=dict)
    minimum_per_contract: Decimal = ZERO  # beyond the option's value, in its currency: a house minimum
    special: Mapping[str, Decimal] = field(default_factory=dict)  # house rate by code of an underlying, and its options
    baskets: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)  # units by stock code, by index code

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, Decimal) and value < 0:
                raise ValueError(f"{name} must not be negative")
        if any(rate < 0 for rate in self.special.values()):
            raise ValueError("special: rates must not be negative")
        for index, stocks in self.baskets.items():
            if not stocks or any(units <= 0 for units in stocks.values()):
                raise ValueError(f"baskets: {index} needs stocks, each with units above 0")
        for name in ("long_option_rate", "box_loan_rate"):
            if getattr(self, name) > ONE:
                raise ValueError(f"{name} must not be above 1")
        if not 0 <= self.long_option_months <= _MOST_MONTHS or not 0 <= self.flex_separation_days <= _MOST_DAYS:
            most = f"long_option_months at most {_MOST_MONTHS}, flex_separation_days at most {_MOST_DAYS}"
            raise ValueError(f"{most}; neither may be negative")
        for name in ("listed", "otc", "house"):
            _check_classes(name, tuple(getattr(self, name)))
        _check_classes("long_option_classes", self.long_option_classes)
        if self.account not in ACCOUNTS:
            raise ValueError(f"account: {self.account!r} is not one of {', '.join(ACCOUNTS)}")
        if self.hedged_short_basis not in SHORT_BASES:
            raise ValueError(f"hedged_short_basis: {self.hedged_short_basis!r} is not one of {', '.join(SHORT_BASES)}")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Terms":
        """Terms from a policy's JSON; ValueError naming the key."""
        return reading.read(cls, document)

    def rates(self, margin_class: str, venue: str) -> Rates | None:
        """The row of a class, raised by the house where it asks more; None where there is no rule."""
        row = (self.otc if venue == "otc" else self.listed).get(margin_class)
        house = self.house.get(margin_class)
        if row is None or house is None:
            return row
        return Rates(max(row.basic, house.basic), max(row.minimum, house.minimum))


def _check_classes(name: str, classes: tuple[str, ...]) -> None:
    unknown = set(classes) - set(MARGIN_CLASSES)
    if unknown:
        raise ValueError(f"{name}: unknown margin classes {', '.join(sorted(unknown))}")


_TWENTY = {"basic": "0.20", "minimum": "0.10"}
_FIFTEEN = {"basic": "0.15", "minimum": "0.10"}
_THIRTY = {"basic": "0.30", "minimum": "0.10"}
_BROAD_OTC = {"basic": "0.20", "minimum": "0.10"}

# FINRA Rule 4210(f)(2) and Cboe Rule 10.3 as the Cboe Margin Manual of 30 November 2021 tabulates them.
RULE_BOOK: Mapping[str, Any] = {
    "listed": {
        "equity": _TWENTY,
        "etf_narrow": _TWENTY,
        "etf_broad": _FIFTEEN,
        "etn_broad": _TWENTY,  # the 15 % row lists funds and indexes, not notes
        "narrow_index": _TWENTY,
        "broad_index": _FIFTEEN,
        "high_cap_index": _FIFTEEN,
        "vol_index": _TWENTY,
        "fx": {"basic": "0.04", "minimum": "0.0075"},
    },
    "otc": {
        "equity": _THIRTY,
        "etf_narrow": _THIRTY,
        "etf_broad": _THIRTY,
        "etn_broad": _THIRTY,
        "narrow_index": _THIRTY,
        "broad_index": _BROAD_OTC,
        "high_cap_index": _BROAD_OTC,
    },
    "long_option_months": 9,
    "long_option_rate": "0.75",
    "long_option_classes": [
        "equity",
        "etf_narrow",
        "etf_broad",
        "narrow_index",
        "broad_index",
        "high_cap_index",
    ],
    "box_loan_rate": "0.50",
    "hedge_rate": "0.10",
    "collar_call_rate": "0.25",
    "convertible_offset_rate": "0.10",
    "hedged_short_basis": "market",
    "reverse_conversion_relief": True,
    "european_calendars": True,
    "volatility_calendars": True,
    "flex_separation_days": 2,
}
