"""A stored account as a self-contained book: what support needs to see the same figures without our database."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from decimal import Decimal
from typing import Any

from margin import contracts
from margin.engine import alternatives
from margin.engine.exact import plain
from margin.hypothetical.books import CASH, RARE
from margin.hypothetical.document import BookInstrument
from margin.hypothetical.forms import Wrong
from margin.models import PolicyVersion
from margin.prices import Price
from margin.snapshot import Snapshot
from market import contracts as rare

Tree = dict[str, Any]


def book(snap: Snapshot, stored: Mapping[int, Any], *, code: str, version: PolicyVersion) -> Tree:
    """The document of the snapshot's only account, with every instrument that its figures depend on.

    Raises Wrong for an instrument whose rare terms cannot be read.
    """
    of_account = alternatives.positions_of(snap.book, 0)
    held = {int(snap.instruments.ids[row]): found for row, found in sorted(of_account.items())}
    listed = [stored[id] for id in sorted(_needed(held, stored))]
    positions = [
        {"instrument": stored[id].code, "quantity": plain(quantity), **({} if cost is None else {"cost": plain(cost)})}
        for id, (quantity, cost) in held.items()
        if stored[id].kind != CASH
    ]
    owner = {
        "code": code,
        "currency": snap.instruments.currencies[int(snap.book.base[0])],
        "policy": version.policy.code,
        "positions": positions,
        "cash": {stored[id].currency: plain(amount) for id, (amount, _) in held.items() if stored[id].kind == CASH},
    }
    return {
        "on": snap.market.on.isoformat(),
        "instruments": [_instrument(row, snap, stored) for row in listed],
        "fx": [[base, quoted, plain(rate)] for (base, quoted), rate in sorted(snap.market.fx.items())],
        "risk_free": {currency: plain(rate) for currency, rate in sorted(snap.market.risk_free.items())},
        "parameters": dict(snap.market.parameters),
        "policies": {version.policy.code: version.terms},
        "accounts": [owner],
    }


def _needed(held: Iterable[int], stored: Mapping[int, Any]) -> set[int]:
    """What is held, what that is written on, delivers or follows, and every cash instrument."""
    ids = {row.code: id for id, row in stored.items()}
    needed = {id for id, row in stored.items() if row.kind == CASH}
    waiting = set(held)
    while waiting:
        needed |= waiting
        found: set[int] = set()
        for row in (stored[id] for id in waiting):
            found |= {id for id in (row.underlying_id, row.index_id) if id is not None}
            found |= {ids[code] for code in (row.deliverable or {}).get("units", {}) if code in ids}
        waiting = found - needed
    return needed


def _instrument(row: Any, snap: Snapshot, stored: Mapping[int, Any]) -> Tree:
    """What differs from the document's defaults."""
    price = snap.prices.prices.get(row.id, Price(refused="no price"))
    ended = f"ended {row.ended_at:%Y-%m-%d}" if row.ended_at and row.ended_at <= snap.at else ""
    stated = {
        **{each.name: getattr(row, each.name) for each in fields(BookInstrument) if hasattr(row, each.name)},
        "price": None if row.kind == CASH else price.mark,
        "unpriced": "" if row.kind == CASH else ended or price.refused,
        "index": stored[row.index_id].code if row.index_id else "",
        "underlying": stored[row.underlying_id].code if row.underlying_id else "",
        "expires_on": contracts.last_day(row.expires_at, row.zone).isoformat() if row.expires_at else "",
        "matures_on": row.matures_on.isoformat() if row.matures_on else "",
        "dividend_rate": snap.prices.rates_of("dividend").get(row.code, Decimal(0)),
        "implied_volatility": price.implied_volatility,
        "terms": {key: value for key, value in row.terms.items() if key in RARE},
    }
    try:
        rare.read(stated["terms"], row.deliverable)
    except ValueError as error:  # is not handed on as if it could be read
        raise Wrong(row.code, str(error)) from None
    return {
        each.name: _text(stated[each.name])
        for each in fields(BookInstrument)
        if stated[each.name] != (None if each.default is MISSING else each.default)
        if stated[each.name] not in ({}, None)
    }


def _text(value: Any) -> Any:
    return plain(value) if isinstance(value, Decimal) else value
