"""Portfolio margin against the 2007 Cboe table, pencil cases and the shape of the rule."""

import dataclasses
import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import build
from margin.engine.build import InstrumentRow
from margin.engine.columns import Contract, Market
from margin.engine.exact import exactly
from margin.engine.groups import Groups, arrange
from margin.engine.measures import Lane, Units, worth
from margin.engine.methodologies import portfolio
from tests.golden import rows as golden

D = Decimal
ON, EXPIRY = date(2007, 2, 23), date(2007, 4, 21)
RATES = {"USD": D("0.0525")}
IBM, SPX, SPY, RUT, OTHER = 11, 21, 22, 31, 41


def terms(**changes):
    return portfolio.Terms.from_json({**portfolio.RULE_BOOK, **changes})


def share(number=IBM, price="97.73", **more):
    return InstrumentRow(number, more.pop("code", f"S{number}"), more.pop("kind", "equity"), "USD", D(price), **more)


def spy(price="145.30", **more):
    return InstrumentRow(
        SPY,
        "SPY",
        "etf",
        "USD",
        D(price),
        **{"index": SPX, "margin_class": "etf_broad", "minor_exponent": None, **more},
    )


def option(number, right, strike, price, spot="97.73", *, contract=None, **more):
    """An American option on IBM, unless told otherwise."""
    written = {
        "underlying": IBM,
        "underlying_code": "IBM",
        "style": "american",
        "expires_on": EXPIRY,
        "right": right,
        "strike": D(strike),
        "spot": None if spot is None else D(spot),
        **(contract or {}),
    }
    row = {"multiplier": D(100), **more}
    return InstrumentRow(number, f"O{number}", "option", "USD", D(price), contract=Contract(**written), **row)


INDEX = {
    "underlying": SPX,
    "underlying_code": "SPX",
    "index": SPX,
    "margin_class": "high_cap_index",
    "style": "european",
    "dividend_rate": D("0.018"),
}


def index_option(number, right, strike, price, **contract):
    return option(number, right, strike, price, "1451.19", contract={**INDEX, **contract})


def base_units(columns):
    """What a base methodology on the rule basis counts as equity: everything but options."""
    with exactly():
        value = np.where(columns.kind == build.KINDS.index("option"), D(0), worth(columns))
        lanes = {"value": Lane(value, -value)}
    silent = Lane(np.full(len(columns), "", object), np.full(len(columns), "", object))
    return Units(lanes, (), silent, {"value": 1})


def grouped(accounts: Sequence[Sequence[tuple[InstrumentRow, object]]], chosen=None, fx=None, base="USD") -> Groups:
    """Groups of accounts given as lists of (instrument, quantity)."""
    listed = {row.id: row for held in accounts for row, _ in held}
    columns = build.instruments(listed.values(), {base})
    place = {number: k for k, number in enumerate(columns.ids.tolist())}
    flat = [(a, place[row.id], D(str(quantity))) for a, held in enumerate(accounts) for row, quantity in held]
    quantities = np.empty(len(flat), object)
    quantities[:] = [quantity for _, _, quantity in flat]
    market = Market(ON, fx or {}, RATES)
    return arrange(
        instruments=columns,
        base=base_units(columns),
        keys=portfolio.group_keys(columns, chosen or terms()),
        account=np.array([a for a, _, _ in flat], np.int64),
        base_currency=np.full(len(accounts), columns.currencies.index(base), np.int32),
        position=np.arange(len(flat)),
        instrument=np.array([i for _, i, _ in flat], np.int32),
        quantity=lambda at: quantities[at],
        convert=lambda own, target: market.rate(columns.currencies[own], columns.currencies[target]),
    )


def measured(accounts, chosen=None, *, market=None, fx=None, base="USD"):
    chosen = chosen or terms()
    market = market or Market(ON, fx or {}, RATES)
    return portfolio.measure_groups(grouped(accounts, chosen, fx, base), market, "requirement", chosen)


def asked(*held, **more):
    """The requirement of one account."""
    found = measured([held], **more)
    assert list(found.refused) == [""]
    return found.requirement[0]


def charges(*held, chosen=None):
    return measured([held], chosen).told(0).charges


# --- the published table --------------------------------------------------------------------------------------------


def golden_rows():
    return [row for row in golden.read("us_cases.csv") if row["method"] == "portfolio_margin"]


def leg_row(number, leg, spot, params):
    """An instrument of a golden row, and its quantity."""
    on_index = leg["underlying"] in ("SPX", "SPY")
    if leg["instrument_type"] == "equity":
        return share(price=str(leg["price"]), code="IBM")
    if leg["instrument_type"] == "etf":
        return spy(str(leg["price"]))
    build_option = index_option if on_index else option
    right = {"C": "call", "P": "put"}[leg["right"]]
    contract = {"dividend_rate": params["dividend_yield_assumed"], "expires_on": date.fromisoformat(leg["expiry_date"])}
    if on_index:
        return build_option(number, right, str(leg["strike"]), str(leg["price"]), **contract)
    return build_option(number, right, str(leg["strike"]), str(leg["price"]), str(spot), contract=contract)


@pytest.mark.skipif(not (golden.SHARED / "us_cases.csv").exists(), reason="no ../shared")
def test_the_2007_cboe_table_is_met_within_its_tolerance():
    rows = golden_rows()
    assert rows
    for row in rows:
        legs, params = golden.document(row["legs_json"]), golden.document(row["params_json"])
        held = [(leg_row(100 + k, leg, row["underlying_price"], params), leg["qty"]) for k, leg in enumerate(legs)]
        market = Market(date.fromisoformat(params["as_of"]), {}, {"USD": params["rate_assumed"]})
        found = asked(*held, market=market)
        assert golden.is_close(found, D(row["expected_initial"]), row["tolerance"]), (row["case_id"], found)
