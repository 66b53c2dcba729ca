"""What derivatives are written on, from rows to the engine: contracts, with their underlyings' prices and dividends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from margin.engine.columns import Contract
from margin.prices import Price
from market import contracts

FUTURES = frozenset({"future", "perpetual"})
ALONE = FUTURES | {"otc"}  # contracts whether or not what they are written on is priced here
WRITTEN = frozenset({"option", "future_option", "warrant", "bond", "equity"})  # kinds that may turn into something
NO_PRICE = Price(refused="no price")


@dataclass(frozen=True)
class World:
    """What all contracts of a snapshot are read against."""

    stored: Mapping[int, Any]  # instrument rows by id
    ids: Mapping[str, int]  # by code
    prices: Mapping[int, Price]
    dividends: Mapping[str, Decimal]  # by instrument code
    at: datetime


def contract(row: Any, world: World) -> tuple[Contract | None, str]:
    """(the contract of one instrument row, or None where it is written on nothing; why it cannot be read, or '').

    What cannot be read makes its holders unpriced, as if it had no price: nobody is guessed at.
    """
    if row.kind not in ALONE and (row.underlying_id is None or row.kind not in WRITTEN):
        return None, ""
    underlying = None if row.underlying_id is None else world.stored[row.underlying_id]
    try:
        rare = contracts.read(row.terms, row.deliverable)
        delivered = tuple(_delivered(code, units, row, world) for code, units in rare.units.items())
        written_on = {} if underlying is None else _written_on(underlying, row, world)
    except ValueError as error:
        return None, str(error)
    read = Contract(
        **{"underlying": 0, "spot": None, **written_on},
        right=row.right,
        strike=row.strike or Decimal(0),
        style=row.style,
        expires_on=None if row.expires_at is None else last_day(row.expires_at, row.zone),
        is_cash_settled=row.cash_settled,
        settles=rare.settles,
        venue=rare.venue,
        is_guaranteed=rare.guaranteed,
        is_flex=rare.flex,
        is_adjusted=rare.is_adjusted,
        deliverable=delivered,
        deliverable_cash=rare.cash,
        conversion=rare.conversion,
        exercise_price=rare.exercise_price,
        is_inverse=row.inverse,
        commodity=rare.commodity or _product(underlying, row, world),
        implied_volatility=world.prices.get(row.id, NO_PRICE).implied_volatility,
        asset_class=rare.asset_class,
        notional=rare.notional,
    )
    return read, ""


def _written_on(underlying: Any, row: Any, world: World) -> dict[str, Any]:
    """What a contract says of its underlying."""
    spot, reason = _price(underlying, row, world)
    return {
        "underlying": underlying.id,
        "spot": spot,
        "spot_reason": reason,
        "margin_class": underlying.margin_class,
        "leverage": underlying.leverage,
        "index": _index(underlying),
        "scale": underlying.index_scale,
        "dividend_rate": world.dividends.get(underlying.code, Decimal(0)),
        "underlying_code": underlying.code,
        "issuer": underlying.issuer,
    }


def _product(underlying: Any, row: Any, world: World) -> str:
    """The product that published parameters name where the terms do not: of an option on a future that of the future,
    else the underlying, else the instrument itself."""
    if underlying is None:
        return str(row.code)
    if underlying.kind in FUTURES:
        stated = (underlying.terms or {}).get("commodity")
        below = None if underlying.underlying_id is None else world.stored[underlying.underlying_id]
        return str(stated or (underlying if below is None else below).code)
    return str(underlying.code)


def last_day(expires_at: datetime, zone: str | None) -> Any:
    """The day on which it expires, where its calendar's clock stands; UTC around the clock."""
    return expires_at.astimezone(ZoneInfo(zone or "UTC")).date()


def _index(underlying: Any) -> int:
    """The full-size index: what the underlying follows or is a part of, or itself."""
    if underlying.index_id is not None:
        return int(underlying.index_id)
    return int(underlying.id) if underlying.kind == "index" else 0


def _delivered(code: str, units: Decimal, row: Any, world: World) -> tuple[int, Decimal, Decimal | None]:
    if code not in world.ids:
        raise ValueError(f"deliverable.units.{code}: not an instrument of ours")
    delivered = world.stored[world.ids[code]]
    mark, _ = _price(delivered, row, world)
    return delivered.id, units, mark


def _price(underlying: Any, row: Any, world: World) -> tuple[Decimal | None, str]:
    """(price of what an instrument is written on, in the main unit of its currency; why there is none).

    A strike is in the currency of the option or warrant: ValueError where the price would be in another. Inverse
    options alone are paid in a coin whose price, like the strike, is in another currency.
    """
    if row.kind in ("option", "warrant") and underlying.currency != row.currency and not row.inverse:
        raise ValueError(
            f"priced in {row.currency}, and {underlying.code}, which it is written on, in {underlying.currency}; "
            "no rule compares them"
        )
    price = world.prices.get(underlying.id, NO_PRICE)
    if price.refused or price.mark is None:
        return None, f"{underlying.code}: {price.refused}" if price.refused else ""
    return _main_unit(price.mark, underlying.price_divisor), ""


def _main_unit(price: Decimal, divisor: int) -> Decimal:
    return price if divisor == 1 else price / divisor
