"""Liquidation prices by formula against the price found by moving one mark through the whole engine."""

from dataclasses import replace

import numpy as np
import pytest

from margin.engine import build
from margin.engine.assess import assess, explain, list_charges
from margin.engine.build import AccountRow, InstrumentRow, PositionRow
from margin.engine.columns import Contract, Market, PartRule, Policy, RegimeRule, Rules, Status
from margin.engine.exact import exactly, round_up
from margin.engine.liquidation_prices import liquidation_prices
from margin.engine.methodologies import concentration, cross, tiered
from tests.engine.world import ON, D

TICK = 4  # decimals
USD = InstrumentRow(1, "USD", "cash", "USD", minor_exponent=2)
BTC = InstrumentRow(2, "BTC", "cash", "BTC", minor_exponent=8)
FX = {("BTC", "USD"): D("50000")}
# Binance USD-M, BNBUSDT as of the liquidation examples that freqtrade's tests hold
BNB = [
    ("0", "0.0065"),
    ("10000", "0.01"),
    ("50000", "0.02"),
    ("250000", "0.05"),
    ("1000000", "0.1"),
    ("2000000", "0.125"),
    ("5000000", "0.15"),
    ("10000000", "0.25"),
    ("20000000", "0.5"),
]
COIN = [("0", "0.004"), ("1", "0.005"), ("5", "0.01"), ("10", "0.025"), ("20", "0.05"), ("100", "0.25")]
TABLES = {
    "linear": {"brackets": [{"floor": floor, "rate": rate} for floor, rate in BNB]},
    "inverse": {"brackets": [{"floor": floor, "rate": rate} for floor, rate in COIN]},
    "ranges": {
        "ranges": [
            {"least": 0, "most": 2000, "rate": "0.01"},
            {"least": 2001, "most": 4000, "rate": "0.015"},
            {"least": 4001, "most": 8000, "rate": "0.02"},
        ]
    },
    "power": {"power": {"base_rate": "0.006", "base_initial_rate": "0.01", "factor": "0.0000001"}},
}
FUTURES = ("future", "perpetual")


def rules(*parts):
    charged = PartRule("tiered", "requirement", tiered.Terms("venue"), FUTURES)
    regime = RegimeRule("futures", "cross", "requirement", cross.Terms(), ("crypto",), parts=(charged, *parts))
    return Rules((Policy("test", (regime,)),))


def perpetual(id, form, price, multiplier="1"):
    is_inverse = form == "inverse"
    written = Contract(underlying=0, spot=None, is_inverse=is_inverse)
    currency = "BTC" if is_inverse else "USD"
    code = f"{form}{id}"
    return InstrumentRow(id, code, "perpetual", currency, price, multiplier=D(multiplier), contract=written)


def published(instruments):
    forms = {row.code: row.code.rstrip("0123456789") for row in instruments}
    return {"venue": {"source": "a test", "tables": TABLES, "instruments": forms}}


def columns(instruments):
    return build.instruments((USD, BTC, *instruments), {"USD"})


def book(instruments, accounts, positions):
    return build.book(columns(instruments), accounts, positions)


def assessed(instruments, accounts, positions, found_rules):
    held, market = columns(instruments), Market(ON, FX, parameters=published(instruments))
    return assess(build.book(held, accounts, positions), held, market, found_rules), market


def prices_of(instruments, positions, *parts):
    """By code, of account 7."""
    found, market = assessed(instruments, [AccountRow(7, "USD")], positions, rules(*parts))
    return {one.code: one for one in liquidation_prices(found.totals[0], market, 0, [0])[0]}


# --- published numbers -------------------------------------------------------------------------------------


def test_a_cross_account_of_two_linear_positions_has_the_published_liquidation_prices(monkeypatch):
    # Binance USD-M liquidation FAQ: 1,153.26 for ETH and 26,316.89 for BTC
    brackets = {
        "eth": [("0", "0.05", "0"), ("2707300", "0.1", "135365")],
        "btc": [("0", "0.01", "0"), ("1000000", "0.025", "16300"), ("7500000", "0.05", "203800")],
    }
    for name, steps in brackets.items():
        listed = [dict(zip(("floor", "rate", "amount"), step, strict=True)) for step in steps]
        monkeypatch.setitem(TABLES, name, {"brackets": listed})
    eth, btc = perpetual(11, "eth", D("1335.18")), perpetual(12, "btc", D("31967.27"))
    held = [
        PositionRow(7, 1, D("1535443.01")),
        PositionRow(7, 11, D("3683.979"), D("3683.979") * D("1456.84")),
        PositionRow(7, 12, D("109.488"), D("109.488") * D("32481.98")),
    ]
    found = prices_of((eth, btc), held)
    assert {code: round(float(one.exact), 2) for code, one in found.items()} == {"eth11": 1153.26, "btc12": 26316.89}


def test_an_inverse_position_alone_falls_to_its_coin_formula():
    # short 100 × 100 USD at 50,000 with 0.1 BTC, 0.4 % of up to 1 BTC:
    # 0.1 − 0.2 + 10,000/P = 0.004 × 10,000/P  →  P = 9,960 ÷ 0.1 … a short loses as P rises
    coin = perpetual(11, "inverse", D("50000"), "100")
    found = prices_of((coin,), [PositionRow(7, 2, D("0.1")), PositionRow(7, 11, D("-100"), D("0.2"))])
    assert found["inverse11"].exact == 99600


def test_the_explanation_tells_the_last_price_before_liquidation():
    coin = perpetual(11, "inverse", D("50000"), "100")
    held = [PositionRow(7, 2, D("0.1")), PositionRow(7, 11, D("-100"), D("0.2"))]
    market = Market(ON, FX, parameters=published((coin,)))
    these = (build.book(columns((coin,)), [AccountRow(7, "USD")], held), columns((coin,)), market, rules())
    (found,) = explain(*these, 0, with_prices=True)["regimes"]
    assert [(one["code"], one["direction"], one["covered_to"]) for one in found["prices"]] == [
        ("inverse11", "up", "99600.00")
    ]


def test_a_long_with_its_whole_price_behind_it_cannot_be_liquidated():
    # 1,000 behind one unit bought at 1,000
    found = prices_of(
        (perpetual(11, "linear", D(1000)),), [PositionRow(7, 1, D(1000)), PositionRow(7, 11, D(1), D(1000))]
    )
    assert (found["linear11"].exact, found["linear11"].quoted(2), found["linear11"].reason) == (None, None, "")


def test_where_another_part_asks_for_the_same_position_the_formula_does_not_hold():
    stressed = PartRule("concentration", "addition", concentration.Terms(stress_rate=D("0.2")), FUTURES)
    found = prices_of(
        (perpetual(11, "linear", D(1000)),), [PositionRow(7, 1, D(900)), PositionRow(7, 11, D(1), D(1000))], stressed
    )
    assert found["linear11"].reason == "what concentration asks also changes with its price"


def test_an_unpriced_account_has_none():
    assert (
        prices_of((perpetual(11, "linear", None),), [PositionRow(7, 1, D(900)), PositionRow(7, 11, D(1), D(1000))])
        == {}
    )


# --- a thousand accounts -------------------------------------------------------------------------------------


def accounts_of(count, seed):
    """`count` accounts of one to four positions, and cash in money and coins that is near what they need."""
    random = np.random.default_rng(seed)
    instruments, positions = [], []
    for account in range(1, count + 1):
        need = {"USD": 0.0, "BTC": 0.0}
        for _ in range(random.integers(1, 5)):
            form = str(random.choice(["linear", "inverse", "ranges", "power"], p=[0.4, 0.4, 0.1, 0.1]))
            price = D(f"{10 ** random.uniform(1, 4.8):.4f}")
            row = perpetual(len(instruments) + 10, form, price, "100" if form == "inverse" else "0.1")
            notional = 10 ** random.uniform(2, 6.5)
            contracts = notional / 100 if form == "inverse" else notional / float(price) / 0.1
            side, entry = random.choice([-1, 1]), price * D(f"{random.uniform(0.9, 1.1):.4f}")
            quantity = D(min(max(int(contracts), 1), 8000)) * side
            # money paid for a linear contract; coins taken in for an inverse one
            size = quantity * row.multiplier
            cost = D(f"{-size / entry:.8f}") if form == "inverse" else size * entry
            instruments.append(row)
            positions.append(PositionRow(account, row.id, quantity, cost))
            need[row.currency] += float(abs(cost)) * random.uniform(0.01, 0.3)
        for cash, code in ((USD, "USD"), (BTC, "BTC")):
            positions.append(PositionRow(account, cash.id, D(f"{need[code]:.2f}") + D("0.01")))
    return instruments, [AccountRow(k, "USD") for k in range(1, count + 1)], positions


@pytest.fixture(scope="module")
def thousand():
    return accounts_of(1000, 20261122)


def moved(instruments, prices):
    return [replace(row, price=prices.get(row.code, row.price)) for row in instruments]


def chosen_prices(instruments, accounts, positions):
    """One position of every account with its price by formula: account id → LiquidationPrice."""
    found, market = assessed(instruments, accounts, positions, rules())
    random = np.random.default_rng(7)
    listed = liquidation_prices(found.totals[0], market, 0, range(len(accounts)))
    return {account.id: listed[k][random.integers(len(listed[k]))] for k, account in enumerate(accounts)}


def is_short_of(instruments, accounts, positions):
    found, _ = assessed(instruments, accounts, positions, rules())
    assert not (found.status == Status.UNPRICED).any()
    return dict(zip(found.account_ids(np.arange(len(found))).tolist(), found.status >= Status.DEFICIT, strict=True))


def test_a_thousand_accounts_are_covered_up_to_their_price_and_no_tick_further(thousand):
    instruments, accounts, positions = thousand
    chosen = chosen_prices(*thousand)
    last = {one.code: one.quoted(TICK) for one in chosen.values() if one.exact is not None}
    beyond = {
        one.code: last[one.code] - D(1).scaleb(-TICK) * (1 if one.quantity > 0 else -1)
        for one in chosen.values()
        if one.exact is not None
    }
    never = {one.code: D("0.0001") if one.quantity > 0 else D(10) ** 9 for one in chosen.values() if one.exact is None}
    at_last = is_short_of(moved(instruments, {**last, **never}), accounts, positions)
    at_next = is_short_of(moved(instruments, {**beyond, **never}), accounts, positions)
    wrong = [
        (one.code, float(one.exact or 0), at_last[account], at_next[account])
        for account, one in chosen.items()
        if (at_last[account], at_next[account]) != (bool(one.reason), bool(one.reason) or one.exact is not None)
    ]
    assert wrong == []
    forms = [(one.code.rstrip("0123456789"), one.quantity > 0, one.exact is not None) for one in chosen.values()]
    assert min(forms.count((form, side, True)) for form in TABLES for side in (True, False)) > 10
    assert len(last) > 600


def test_the_listed_charges_of_a_thousand_accounts_are_their_requirements(thousand):
    instruments, accounts, positions = thousand
    held, market = columns(instruments), Market(ON, FX, parameters=published(instruments))
    these = (build.book(held, accounts, positions), held, market, rules())
    listed = list_charges(*these, np.arange(len(accounts)))
    assert len(listed) == sum(position.instrument > 2 for position in positions)
    total = dict.fromkeys(range(len(accounts)), D(0))
    with exactly():
        for account, amount in zip(listed.account.tolist(), listed.amount, strict=True):
            total[account] += amount
    found = assess(*these).figures(np.arange(len(accounts)))
    assert [one.requirement for one in found] == [round_up(amount, 2) for amount in total.values()]


def test_bisecting_the_mark_through_the_engine_ends_at_the_formula():
    instruments, accounts, positions = accounts_of(60, 5)
    chosen = {k: one for k, one in chosen_prices(instruments, accounts, positions).items() if one.exact is not None}
    # in ticks: where falling prices hurt, covered above; else covered below
    low, high = dict.fromkeys(chosen, 1), dict.fromkeys(chosen, 10**14)
    for _ in range(47):
        middle = {k: (low[k] + high[k]) // 2 for k in chosen}
        prices = {one.code: D(middle[k]).scaleb(-TICK) for k, one in chosen.items()}
        short = is_short_of(moved(instruments, prices), accounts, positions)
        for k, one in chosen.items():
            if short[k] == (one.quantity > 0):
                low[k] = middle[k]
            else:
                high[k] = middle[k]
    ends = {k: D(high[k] if one.quantity > 0 else low[k]).scaleb(-TICK) for k, one in chosen.items()}
    assert ends == {k: one.quoted(TICK) for k, one in chosen.items()}
