"""A row of `us_cases.csv` as the engine's own rows: documented columns only, never ids or labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from margin.engine.build import InstrumentRow
from margin.engine.columns import Contract
from margin.engine.methodologies.option_strategies.legs import months_later

CURRENCY = "USD"
USD = InstrumentRow(1, CURRENCY, "cash", CURRENCY, minor_exponent=2)
NEVER_STATED = date(2026, 1, 15)
MONTH = 30
YEARS_OF_A_SECURITY = 5  # of a convertible or warrant whose end is not stated
WORTHLESS = Decimal("1e-20")  # the file's stand-in for a price of nothing lies below


@dataclass(frozen=True)
class Leg:
    """One leg: its instrument, and how much of it is held."""

    row: InstrumentRow
    quantity: Decimal
    price: Decimal | None
    instrument_type: str

    @property
    def is_option(self) -> bool:
        return self.row.kind == "option"


@dataclass(frozen=True)
class Position:
    """All legs of a row, and the day on which they are looked at."""

    legs: tuple[Leg, ...]
    on: date


def read(legs: list[Mapping[str, Any]], params: Mapping[str, Any], spot: Decimal | None) -> Position:
    """The legs as instruments: stock by its own price, options with their underlying's."""
    legs = [{**leg, **_followed(leg, legs, params)} for leg in legs]
    on = _day(legs, params)
    spots = {**_stock_prices(legs), **params.get("underlying_prices", {})}
    if "strike_equivalent_per_share" in params:
        spots |= _index_level(legs, params["strike_equivalent_per_share"])
    names = sorted(
        {leg["underlying"] for leg in legs} | {leg["tracks_index"] for leg in legs if leg.get("tracks_index")}
    )
    ids = {name: 100 + k for k, name in enumerate(names)}
    indexes = _indexes(legs, ids)
    made = []
    for k, leg in enumerate(legs):
        price = leg["price"]
        if price is not None and 0 < price < WORTHLESS:
            price = Decimal("0.00000001")
        kind = {"option": "option", "index_option": "option", "etf": "etf", "warrant": "warrant"}.get(
            leg["instrument_type"], "equity"
        )
        is_stock = kind in ("equity", "etf") and leg["instrument_type"] != "convertible"
        made.append(
            Leg(
                InstrumentRow(
                    id=ids[leg["underlying"]] if is_stock else 200 + k,
                    code=f"{leg['underlying']} {k}",
                    kind=kind,
                    currency=CURRENCY,
                    price=price,
                    multiplier=leg["multiplier"] if kind == "option" else Decimal(1),
                    leverage=Decimal(params.get("leverage", 1))
                    if is_stock and "market_session" not in params
                    else Decimal(1),
                    margin_class=_margin_class(params),
                    index=ids.get(leg.get("tracks_index") or "", 0),
                    contract=None if is_stock else _contract(leg, params, spots, spot, ids, indexes, on),
                ),
                leg["qty"],
                price,
                leg["instrument_type"],
            )
        )
    return Position(tuple(made), on)


def _followed(leg: Mapping[str, Any], legs: list[Mapping[str, Any]], params: Mapping[str, Any]) -> dict[str, Any]:
    """A strike said per share of a fund tells that the fund follows the index of the options beside it."""
    if "strike_equivalent_per_share" not in params or leg["instrument_type"] != "etf":
        return {}
    return {"tracks_index": next(one["underlying"] for one in legs if one["instrument_type"] == "index_option")}


def _index_level(legs: list[Mapping[str, Any]], per_share: Decimal) -> dict[str, Decimal]:
    """The index at the fund's price, by the ratio of the strike to what the strike is per share of the fund."""
    fund = next(leg for leg in legs if leg["instrument_type"] == "etf")
    option = next(leg for leg in legs if leg["instrument_type"] == "index_option")
    return {option["underlying"]: fund["price"] * option["strike"] / per_share}


def _stock_prices(legs: list[Mapping[str, Any]]) -> dict[str, Decimal]:
    return {
        leg["underlying"]: leg["price"] for leg in legs if leg["instrument_type"] in ("equity", "etf") and leg["price"]
    }


def _indexes(legs: list[Mapping[str, Any]], ids: Mapping[str, int]) -> dict[str, int]:
    """Which full-size index every underlying belongs to: the unscaled one of the row, or what a fund follows."""
    options = [leg for leg in legs if leg["instrument_type"] == "index_option"]
    full = {leg["underlying"] for leg in options if leg.get("underlying_scale") in (None, 1)}
    followed = {leg["underlying"]: leg["tracks_index"] for leg in legs if leg.get("tracks_index")}
    found = {name: ids[index] for name, index in followed.items()}
    for leg in options:
        name = leg["underlying"]
        scaled = leg.get("underlying_scale") not in (None, 1)
        found[name] = ids[min(full)] if scaled and full else ids[name]
    return found


def _contract(
    leg: Mapping[str, Any],
    params: Mapping[str, Any],
    spots: Mapping[str, Decimal],
    spot: Decimal | None,
    ids: Mapping[str, int],
    indexes: Mapping[str, int],
    on: date,
) -> Contract:
    name = leg["underlying"]
    found = spots.get(name, spot)
    return Contract(
        underlying=ids[name],
        spot=found,
        spot_reason="" if found is not None else f"{name}: no price",
        margin_class=_margin_class(params),
        leverage=Decimal(params.get("leverage", 1)),
        index=indexes.get(name, 0),
        scale=Decimal(leg.get("underlying_scale") or 1),
        dividend_rate=Decimal(params.get("dividend_yield_assumed", 0)),
        right={"C": "call", "P": "put", None: ""}[leg["right"]],
        strike=leg["strike"] or Decimal(0),
        style=leg["style"] or "",
        expires_on=_expiry(leg, params, on),
        is_cash_settled=leg["instrument_type"] == "index_option",
        venue=leg.get("venue") or params.get("venue", "listed"),
        is_guaranteed=bool(leg.get("broker_guaranteed")),
        conversion=Decimal(1) if leg["instrument_type"] in ("convertible", "warrant") else Decimal(0),
        exercise_price=leg.get("exercise_price") or Decimal(0),
    )


def _margin_class(params: Mapping[str, Any]) -> str:
    if params.get("valuation_range"):  # of portfolio margin: the product group is told by its range
        down = -params["valuation_range"][0]
        return {Decimal("0.08"): "high_cap_index", Decimal("0.10"): "broad_index"}.get(down, "equity")
    return str(params.get("underlying_class", "equity"))


def _day(legs: list[Mapping[str, Any]], params: Mapping[str, Any]) -> date:
    """The day stated; else one on which no leg has expired, a month before the first expiry."""
    if "as_of" in params:
        return date.fromisoformat(params["as_of"])
    days = [date.fromisoformat(leg["expiry_date"]) for leg in legs if leg.get("expiry_date")]
    return min(days) - timedelta(MONTH) if days else NEVER_STATED


def _expiry(leg: Mapping[str, Any], params: Mapping[str, Any], on: date) -> date:
    if leg.get("expiry_date"):
        return date.fromisoformat(leg["expiry_date"])
    if "expiry" in params:
        return date.fromisoformat(params["expiry"])
    if leg["right"] is None and not leg.get("expiry_months"):
        return months_later(on, 12 * YEARS_OF_A_SECURITY)
    months = leg.get("expiry_months") or params.get("months_to_expiry") or 1
    return months_later(on, int(months))
