"""Contracts as the engine reads them, from instrument rows: what cannot be read makes its holders unpriced."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from margin import snapshot
from margin.engine.methodologies.csa import schedule
from margin.prices import Price, PriceSet
from market import contracts

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
    inverse: bool = False
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


def contract_of(row, *others):
    """The engine's contract of one row among others; everything costs 50."""
    rows = {each.id: each for each in (row, *others)}
    prices = PriceSet(NOW, {number: Price(D(50), NOW, implied_volatility=D("0.25")) for number in rows})
    found = {each.id: each for each in snapshot.instrument_rows(rows, prices)}[row.id]
    assert found.reason == ""
    return found.contract


def future(number=2, **terms):
    return Row(number, "ESZ6", "future", expires_at=datetime(2026, 12, 18, 14, 30, tzinfo=UTC), **terms)


def test_a_future_is_a_contract_with_or_without_an_underlying_here():
    alone = contract_of(future())
    assert (alone.underlying, alone.spot, alone.spot_reason, alone.commodity) == (0, None, "", "ESZ6")
    assert alone.expires_on.isoformat() == "2026-12-18"
    index = Row(1, "SPX", "index", margin_class="broad_index")
    on = contract_of(future(underlying_id=1), index)
    assert (on.underlying, on.spot, on.underlying_code, on.commodity) == (1, 50, "SPX", "SPX")
    assert contract_of(future(underlying_id=1, terms={"commodity": "ES"}), index).commodity == "ES"


def option(number, underlying, **terms):
    when = datetime(2026, 6, 19, 20, tzinfo=UTC)
    stated = {"right": "call", "strike": D(55), "style": "european", "expires_at": when, "underlying_id": underlying}
    return Row(number, f"OPTION-{number}", terms.pop("kind", "future_option"), **stated, **terms)


@pytest.mark.parametrize(
    ("on", "commodity"),
    [({"terms": {"commodity": "ES"}}, "ES"), ({"underlying_id": 1}, "SPX"), ({}, "ESZ6")],
)
def test_an_option_on_a_future_belongs_to_the_product_of_its_future(on, commodity):
    found = contract_of(option(3, 2), future(**on), Row(1, "SPX", "index"))
    assert (found.commodity, found.implied_volatility) == (commodity, D("0.25"))


def test_an_inverse_option_is_paid_in_the_coin_and_struck_in_dollars():
    coin = Row(1, "BTC", "crypto")
    found = contract_of(option(2, 1, kind="option", currency="BTC", inverse=True), coin)
    assert (found.is_inverse, found.spot, found.strike) == (True, 50, 55)


def test_a_product_code_that_is_no_text_leaves_holders_unpriced():
    rows = {2: future(terms={"commodity": 7})}
    (row,) = snapshot.instrument_rows(rows, PriceSet(NOW, {2: Price(D(50), NOW)}))
    assert row.reason == "terms.commodity: a product code of 1 to 48 characters is expected, not 7"


def test_an_uncleared_contract_is_read_with_what_the_margin_schedule_needs():
    swap = Row(4, "SWAP", "otc", terms={"asset_class": "rates", "notional": "1000000"})
    found = contract_of(swap)
    assert (found.underlying, found.asset_class, found.notional) == (0, "rates", 1_000_000)


def test_the_classes_of_uncleared_contracts_are_those_of_the_schedule():
    assert contracts.ASSET_CLASSES == schedule.CLASSES
    refused = Row(4, "SWAP", "otc", terms={"asset_class": "IR", "notional": "1"})
    (row,) = snapshot.instrument_rows({4: refused}, PriceSet(NOW, {4: Price(D(0), NOW)}))
    assert row.reason == "terms.asset_class: 'IR' is not one of rates, credit, fx, equity, commodity, other"
