"""Contracts as the engine reads them, from instrument rows: what cannot be read makes its holders unpriced."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from margin import snapshot
from margin.prices import Price, PriceSet

D = Decimal
ONE = D(1)
NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    """An instrument row with what is usual."""

    id: int
    code: str
    kind: str = "equity"
    currency: str = "USD"
    price_divisor: int = 1
    multiplier: Decimal = ONE
    leverage: Decimal = ONE
    lot_size: Decimal = ONE
    margin_eligible: bool = True
    sector: str = ""
    issuer: str = ""
    debt_class: str = ""
    matures_on: Any = None
    minor_exponent: Any = None
    ended_at: Any = None
    daily_volume: Any = None
    margin_class: str = "equity"
    index_id: Any = None
    index_scale: Decimal = ONE
    underlying_id: Any = None
    right: str = ""
    strike: Any = None
    style: str = ""
    expires_at: Any = None
    cash_settled: bool = False
    deliverable: dict[str, Any] = field(default_factory=dict)
    terms: dict[str, Any] = field(default_factory=dict)
    zone: Any = None


def read(**option: Any) -> Any:
    """The engine's row of a call on XYZ, priced like everything else."""
    underlying = Row(1, "XYZ", **option.pop("on", {}))
    call = Row(
        2,
        "XYZ-C55",
        "option",
        multiplier=D(100),
        underlying_id=1,
        right="call",
        strike=D(55),
        style="american",
        expires_at=datetime(2026, 6, 19, 20, tzinfo=UTC),
        **option,
    )
    other = Row(3, "ABC", currency="EUR")
    rows = {row.id: row for row in (underlying, call, other)}
    prices = PriceSet(NOW, {number: Price(D(50), NOW) for number in rows})
    return next(row for row in snapshot.instrument_rows(rows, prices) if row.id == 2)


def test_a_contract_is_read_with_the_price_and_the_issuer_of_its_underlying():
    row = read(on={"issuer": "XYZ Holdings"})
    assert (row.reason, row.contract.spot, row.contract.issuer) == ("", 50, "XYZ Holdings")


@pytest.mark.parametrize(
    ("rare", "reason"),
    [
        ({"deliverable": {"units": {"XYZ": "many"}}}, "deliverable.units.XYZ: 'many' is not a number"),
        ({"deliverable": {"units": {"NEW": "100"}}}, "deliverable.units.NEW: not an instrument of ours"),
        ({"terms": {"venue": "otcc"}}, "terms.venue: 'otcc' is not one of listed, otc"),
    ],
)
def test_terms_that_cannot_be_read_leave_every_holder_unpriced(rare, reason):
    """A long option in a spread reads no price of its underlying: it must not pass for a standard listed one."""
    assert read(**rare).reason == reason


def test_an_underlying_in_another_currency_is_not_compared_with_the_strike():
    said = "priced in USD, and {}, which it is written on, in EUR; no rule compares them"
    assert read(on={"currency": "EUR"}).reason == said.format("XYZ")
    assert read(deliverable={"units": {"ABC": "100"}}).reason == said.format("ABC")


def test_an_underlying_quoted_in_pence_is_compared_in_pounds():
    assert read(on={"price_divisor": 100}).contract.spot == D("0.5")
