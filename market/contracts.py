"""The rare terms of derivatives, convertibles and warrants, read strictly from an instrument's JSON columns.

`terms` may say `venue` ("listed", "otc"), `guaranteed`, `flex` (true, false), `settles` ("am", "pm"), and for
convertibles and warrants `conversion` and `exercise_price`; of futures and their options `commodity`, the product that
published margin parameters name; of uncleared contracts `asset_class` and `notional`, of one unit, in the contract's
currency, which a margin schedule reads. `deliverable` says what an adjusted contract delivers:
`{"units": {"XYZ": "150"}, "cash": "32.50"}`. Amounts are text. docs/formats.md lists them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

ZERO = Decimal(0)
ASSET_CLASSES = ("rates", "credit", "fx", "equity", "commodity", "other")  # of the schedule of BCBS-IOSCO, Appendix A


@dataclass(frozen=True)
class Rare:
    """Rare contract terms, with what is usual where nothing is said."""

    venue: str = "listed"
    guaranteed: bool = False
    flex: bool = False
    settles: str = "pm"
    conversion: Decimal = ZERO  # units of the underlying for one unit of a convertible or warrant
    exercise_price: Decimal = ZERO  # paid per unit of the underlying
    commodity: str = ""  # product code in published margin parameters; '' where nothing is said
    asset_class: str = ""  # one of ASSET_CLASSES; '' where nothing is said
    notional: Decimal = ZERO  # of one unit
    is_adjusted: bool = False
    units: Mapping[str, Decimal] = field(default_factory=dict)  # delivered, by instrument code
    cash: Decimal = ZERO


def read(terms: Mapping[str, Any], deliverable: Mapping[str, Any]) -> Rare:
    """The rare terms; other keys of `terms` are left to those who know them. Raises ValueError naming the key."""
    known = {name: reader(terms[name], f"terms.{name}") for name, reader in _TERMS.items() if name in terms}
    unknown = set(deliverable) - {"units", "cash"}
    if unknown:
        raise ValueError(f"deliverable.{min(unknown)}: unknown key; known: units, cash")
    units = deliverable.get("units", {})
    if not isinstance(units, Mapping):
        raise ValueError('deliverable.units: an object of amounts by instrument code is expected, as {"XYZ": "150"}')
    return Rare(
        **known,
        is_adjusted=bool(deliverable) or terms.get("adjusted") is True,
        units={code: _positive(amount, f"deliverable.units.{code}") for code, amount in units.items()},
        cash=_amount(deliverable.get("cash", "0"), "deliverable.cash"),
    )


def _amount(value: Any, where: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f'{where}: a number in quotes is expected, as "12.5", not {value!r}')
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{where}: {value!r} is not a number") from None
    if not number.is_finite() or number < 0:
        raise ValueError(f"{where}: {value!r} is not a number of 0 or more")
    return number


def _positive(value: Any, where: str) -> Decimal:
    number = _amount(value, where)
    if number == 0:
        raise ValueError(f"{where}: must be more than 0")
    return number


def _one_of(*choices: str) -> Callable[[Any, str], str]:
    def reader(value: Any, where: str) -> str:
        if value not in choices:
            raise ValueError(f"{where}: {value!r} is not one of {', '.join(choices)}")
        return str(value)

    return reader


def _product(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value or len(value) > 48:
        raise ValueError(f"{where}: a product code of 1 to 48 characters is expected, not {value!r}")
    return value


def _truth(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{where}: true or false is expected, not {value!r}")
    return value


_TERMS: Mapping[str, Callable[[Any, str], Any]] = {
    "venue": _one_of("listed", "otc"),
    "guaranteed": _truth,
    "flex": _truth,
    "settles": _one_of("am", "pm"),
    "conversion": _positive,
    "exercise_price": _amount,
    "commodity": _product,
    "asset_class": _one_of(*ASSET_CLASSES),
    "notional": _positive,
}
