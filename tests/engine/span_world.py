"""Futures, options on them and parameter documents to margin them by. Prices are chosen for the pencil."""

from datetime import date

import numpy as np

from margin.engine.assess import assess
from margin.engine.build import InstrumentRow
from margin.engine.columns import Contract, Market, PartRule, RegimeRule
from margin.engine.explain import explain
from margin.engine.methodologies import cross, span
from tests.engine.world import FX, ON, D, account

KINDS = ("future", "future_option")
BASE = ("equity", "future_option", "option")
JULY, AUGUST = date(2024, 7, 20), date(2024, 8, 20)
RATES = {"USD": D("0.05"), "EUR": D("0.03")}
TIERS = [
    {"name": "near", "first": "2024-07", "last": "2024-07"},
    {"name": "far", "first": "2024-08", "last": "2024-12"},
]
CALENDAR = {
    "rate": "200",
    "legs": [{"of": "near", "ratio": "1", "side": "A"}, {"of": "far", "ratio": "1", "side": "B"}],
}


def document(*, credits=(), on="2024-05-31", **commodities):
    """Commodities by name; `currency` is USD unless it is stated."""
    named = {name: {"currency": "USD", **stated} for name, stated in commodities.items()}
    return {"on": on, "source": "Test Exchange", "commodities": named, "credits": list(credits)}


def future(code, price, *, id, commodity="CL", multiplier="1000", currency="USD", expires_on=JULY, **contract):
    written = Contract(underlying=0, spot=None, commodity=commodity, expires_on=expires_on, **contract)
    return InstrumentRow(id, code, "future", currency, D(price), multiplier=D(multiplier), contract=written)


def option(code, price, *, id, right, strike, spot="70", kind="future_option", style="european", **more):
    contract = {"commodity": "CL", "expires_on": JULY, **more}
    written = Contract(underlying=31, spot=D(spot), right=right, strike=D(strike), style=style, **contract)
    return InstrumentRow(id, code, kind, "USD", D(price), multiplier=D(1000), contract=written)


def array(*stated, rest="0"):
    """An array with the first losses as stated."""
    return [*stated, *[rest] * (16 - len(stated))]


def world(document, *holdings, cash="100000", kinds=KINDS, base_kinds=BASE, terms=None, **more):
    """(book, instruments, market, rules) of one account under `cross` with `span`."""
    stated = span.Terms.from_json({"parameters": "day", **(terms or {})})
    part = PartRule("span", "requirement", stated, kinds)
    rule = RegimeRule("futures", "cross", "requirement", cross.Terms(), base_kinds, parts=(part,))
    book, columns, _, rules = account(cash, *holdings, regimes=(rule,), **more).arguments
    documents = {} if document is None else {"day": document}
    return book, columns, Market(ON, FX, RATES, documents), rules


def figures(*arguments, **more):
    """Of the only account."""
    return assess(*world(*arguments, **more)).figures(np.array([0]))[0]


def explained(*arguments, **more):
    """The regime of the only account: its charges by (code without `span_`, amount), and the whole tree."""
    (regime,) = explain(*world(*arguments, **more), 0)["regimes"]
    charges = [(one["rule"].removeprefix("span_"), D(one["amount"])) for one in regime["requirement"]["charges"]]
    return charges, regime
