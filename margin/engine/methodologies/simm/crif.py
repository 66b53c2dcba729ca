"""Sensitivities from rows of the common risk interchange format: the columns of a CRIF file, by name."""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation

from margin.engine.methodologies.simm.margins import AddOns, Sensitivity

# Risk type → (risk class, kind, label 1 where the file has none).
_RISKS = {
    "Risk_IRCurve": ("rates", "delta", ""),
    "Risk_Inflation": ("rates", "delta", "inflation"),
    "Risk_XCcyBasis": ("rates", "delta", "xccy"),
    "Risk_IRVol": ("rates", "vega", ""),
    "Risk_CreditQ": ("credit_qualifying", "delta", ""),
    "Risk_CreditVol": ("credit_qualifying", "vega", ""),
    "Risk_BaseCorr": ("credit_qualifying", "base_correlation", ""),
    "Risk_CreditNonQ": ("credit_non_qualifying", "delta", ""),
    "Risk_CreditVolNonQ": ("credit_non_qualifying", "vega", ""),
    "Risk_Equity": ("equity", "delta", ""),
    "Risk_EquityVol": ("equity", "vega", ""),
    "Risk_Commodity": ("commodity", "delta", ""),
    "Risk_CommodityVol": ("commodity", "vega", ""),
    "Risk_FX": ("fx", "delta", ""),
    "Risk_FXVol": ("fx", "vega", ""),
}
_MULTIPLIER = "Param_ProductClassMultiplier"
_FIXED = "Param_AddOnFixedAmount"
_FACTOR = "Param_AddOnNotionalFactor"
_NOTIONAL = "Notional"


def read(rows: Iterable[Mapping[str, str]]) -> tuple[list[Sensitivity], AddOns]:
    """(sensitivities, add-ons) of a file's rows, amounts in dollars as the format states them (AmountUSD).

    ValueError names the row (from 1) and what is wrong with it. A notional factor, a percentage of the notional with
    the same qualifier, needs that notional.
    """
    found: list[Sensitivity] = []
    fixed: list[Decimal] = []
    multipliers: dict[str, Decimal] = {}
    factors: dict[str, Decimal] = {}
    notionals: dict[str, Decimal] = {}
    for number, row in enumerate(rows, 1):
        kind, qualifier = row.get("RiskType", ""), row.get("Qualifier", "")
        if kind in _RISKS:
            found.append(_sensitivity(row, number))
        elif kind == _MULTIPLIER:
            multipliers[qualifier] = _number(row, "Amount", number)
        elif kind == _FIXED:
            fixed.append(_number(row, "AmountUSD", number))
        elif kind == _FACTOR:
            factors[qualifier] = _number(row, "Amount", number) / 100
        elif kind == _NOTIONAL:
            notionals[qualifier] = notionals.get(qualifier, Decimal(0)) + _number(row, "AmountUSD", number)
        else:
            raise ValueError(f"row {number}: unknown risk type {kind!r}")
    missing = sorted(set(factors) - set(notionals))
    if missing:
        raise ValueError(f"no notional is stated for the add-on factor of {', '.join(missing)}")
    return found, AddOns(
        tuple(fixed), tuple((notionals[name], factor) for name, factor in factors.items()), multipliers
    )


def _sensitivity(row: Mapping[str, str], number: int) -> Sensitivity:
    risk_class, kind, label1 = _RISKS[row["RiskType"]]
    return Sensitivity(
        product_class=row.get("ProductClass", ""),
        risk_class=risk_class,
        kind=kind,
        qualifier=row.get("Qualifier", ""),
        amount=_number(row, "AmountUSD", number),
        bucket=row.get("Bucket", ""),
        label1=row.get("Label1", "") or label1,
        label2=row.get("Label2", ""),
    )


def _number(row: Mapping[str, str], column: str, number: int) -> Decimal:
    try:
        amount = Decimal(row.get(column, ""))
    except InvalidOperation:
        raise ValueError(f"row {number}: {column} {row.get(column, '')!r} is not a number") from None
    if not amount.is_finite():
        raise ValueError(f"row {number}: {column} is not a finite number")
    return amount
