"""Accounts under several methodologies at once: whatever is held, the sweep is the sum of what is listed, and neither
the order of rows nor the neighbours of an account change a figure."""

from datetime import date

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import build
from margin.engine.assess import assess, list_charges
from margin.engine.build import AccountRow, InstrumentRow, PositionRow
from margin.engine.columns import Contract, Market, PartRule, Policy, RegimeRule, Rules, Status
from margin.engine.exact import exactly
from margin.engine.methodologies import concentration, cross, span, tiered, volatility
from tests.engine.world import EUR, FX, ON, USD, D

MODEL = {"kind": "ewma", "option": "none"}
RATES = volatility.Terms.from_json({"parameters": "rates", "model": MODEL, "maintenance_rate": "0.8"})
PARAMETERS = {
    "rates": {"model": RATES.model.name, "on": "2024-05-31", "rates": {"XYZ": "0.213", "ABC": "0.37"}},
    "exchange": {
        "on": "2024-06-03",
        "source": "made up",
        "commodities": {
            "CL": {
                "currency": "USD",
                "range": {"rate": "0.07"},
                "short_option_minimum": "50",
            },
            "ES": {"currency": "USD", "outright": [{"on": "2020-01-01", "initial": "13200", "maintenance": "12000"}]},
        },
    },
    "venue": {
        "source": "made up",
        "tables": {
            "all": {
                "brackets": [
                    {"floor": "0", "rate": "0.005", "leverage": "50"},
                    {"floor": "50000", "rate": "0.01", "leverage": "25"},
                ]
            }
        },
        "kinds": {"perpetual": "all"},
    },
}


def contract(**stated):
    return Contract(underlying=0, spot=None, **stated)


HELD = (
    USD,
    EUR,
    InstrumentRow(11, "XYZ", "equity", "USD", D("41.37"), daily_volume=D(1000)),
    InstrumentRow(12, "ABC", "equity", "EUR", D("17.05"), issuer="ABC"),
    InstrumentRow(
        21,
        "CLZ4",
        "future",
        "USD",
        D("70.11"),
        multiplier=D(1000),
        contract=contract(commodity="CL", expires_on=date(2024, 12, 19)),
    ),
    InstrumentRow(
        22,
        "CLF5",
        "future",
        "USD",
        D("69.40"),
        multiplier=D(1000),
        contract=contract(commodity="CL", expires_on=date(2024, 12, 19)),
    ),
    InstrumentRow(
        23,
        "ESZ4",
        "future",
        "USD",
        D("5300.25"),
        multiplier=D(50),
        contract=contract(commodity="ES", expires_on=date(2024, 12, 20)),
    ),
    InstrumentRow(31, "BTC-PERP", "perpetual", "USD", D(64000), multiplier=D("0.01"), contract=contract()),
    InstrumentRow(32, "ETH-INV", "perpetual", "EUR", D(3100), multiplier=D(10), contract=contract(is_inverse=True)),
)
PARTS = (
    PartRule("volatility", "requirement", RATES, ("equity",)),
    PartRule("span", "requirement", span.Terms.from_json({"parameters": "exchange"}), ("future",)),
    PartRule("tiered", "requirement", tiered.Terms.from_json({"parameters": "venue"}), ("perpetual",)),
    PartRule(
        "concentration",
        "addition",
        concentration.Terms.from_json({"share": [{"above": "0.5", "rate": "0.4"}], "stress_rate": "0.3"}),
        ("equity", "future", "perpetual"),
    ),
)
RULES = Rules(
    (Policy("mixed", (RegimeRule("house", "cross", "requirement", cross.Terms(), ("equity",), parts=PARTS),)),)
)
MARKET = Market(ON, FX, parameters=PARAMETERS)
COLUMNS = build.instruments(HELD)
holdings = st.lists(
    st.tuples(st.sampled_from(HELD), st.integers(-40, 40).filter(bool)),
    min_size=1,
    max_size=6,
    unique_by=lambda one: one[0].id,
)


def rows(account, held):
    out = []
    for row, quantity in held:
        unit = -row.multiplier / row.price if row.id == 32 else (row.price or 1) * row.multiplier
        paid = round(quantity * unit * D("0.97"), 8)
        out.append(PositionRow(account, row.id, D(quantity * (1000 if row.kind == "cash" else 1)), paid))
    return out


def book(accounts, positions):
    return build.book(COLUMNS, [AccountRow(account, "USD") for account in accounts], positions)


def figures(whole):
    found = assess(whole, COLUMNS, MARKET, RULES)
    return {one.account_id: one for one in found.figures(np.arange(len(found)))}


@settings(max_examples=60, deadline=None)
@given(st.lists(holdings, min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_the_sweep_is_what_is_listed_and_no_order_or_neighbour_changes_it(accounts, chance):
    positions = [row for account, held in enumerate(accounts) for row in rows(account, held)]
    ids = list(range(len(accounts)))
    whole = book(ids, positions)
    found = assess(whole, COLUMNS, MARKET, RULES)
    together = {one.account_id: one for one in found.figures(np.arange(len(found)))}
    charges = list_charges(whole, COLUMNS, MARKET, RULES, np.arange(len(accounts)))
    with exactly():
        for account in ids:
            if together[account].status != Status.UNPRICED:
                levels, _ = found.exact(0, 0, np.array([account]))
                assert sum(charges.amount[charges.account == account], D(0)) == levels.requirement[0]
    chance.shuffle(positions)
    assert figures(book(ids, positions)) == together
    for account in ids:
        alone = figures(book([account], [row for row in positions if row.account == account]))
        assert alone[account] == together[account]


def test_such_accounts_have_figures():
    held = [(row, quantity) for row, quantity in zip(HELD, (90, 5, 30, 20, 1, -1, 1, 2, -3), strict=True)]
    one = figures(book([0], rows(0, held)))[0]
    assert one.status != Status.UNPRICED, one.reasons
    assert one.requirement > 12000
