"""Published stock cases of `us_cases.csv`: every row of reg_t and finra_4210 that has stock or account figures only."""

from decimal import Decimal as Dec

import pytest

from margin.engine.columns import Status
from tests.engine.world import account, figures, regime, stock
from tests.golden import rows

CASES = [
    row
    for row in rows.read("us_cases.csv")
    if row["method"] in ("reg_t", "finra_4210")
    and all(leg["instrument_type"] in ("equity", "etf") for leg in rows.document(row["legs_json"]))
]
EXCHANGE = (regime("exchange"),)


def in_exchange(cash, *holdings):
    return figures(account(cash, *holdings, regimes=EXCHANGE))


def held(value, debit):
    """So much stock, at a price of 1, against so much debit."""
    return in_exchange(-debit, (stock("1"), value))


def account_equity(p):
    found = held(p["long_market_value"], p["debit"])
    return {
        "equity": found.equity,
        "reg_t_requirement": found.initial,
        "reg_t_excess": found.equity - found.initial,
        "maintenance_requirement": found.requirement,
        "maintenance_excess": found.equity - found.requirement,
        "call": found.amount,
    }


def sma(p):
    """With nothing stored before, SMA is the Regulation T excess (220.5); it buys twice as much at 50 %."""
    if "shares" in p:
        debit = p["shares"] * p["cost"] * (1 - p["reg_t"])
        found = in_exchange(-debit, (stock(p["price"]), p["shares"]))
    else:
        found = held(p["long_market_value"], p["debit"])
    excess = found.equity - found.initial
    return {"equity": found.equity, "sma": excess, "buying_power": excess / p["reg_t"]}


def short_account(p):
    """The credit of a new short: its proceeds and the initial margin."""
    found = in_exchange(0, (stock(p["price"]), p["shares"]))
    return {"credit": -p["shares"] * p["price"] + found.initial}


def minimum_equity(p):
    """The first deposit: the greatest initial requirement of all regimes on the purchase."""
    both = (regime("exchange"), regime("minimum_equity"))
    bought = account(-p["purchase"], (stock("1"), p["purchase"], p["purchase"]), regimes=both)
    return {"deposit": max(found.initial for found in bought.figures().values())}


def ib_sma(p):
    found = in_exchange(p["cash"], (stock(p["price"]), p["shares"]))
    return {
        "equity_with_loan": found.equity,
        "initial_margin": found.requirement,  # IB's intraday initial is the maintenance amount
        "available_funds": found.equity - found.requirement,
        "reg_t_margin": found.initial,
        "sma": found.equity - found.initial,
    }


def margin_call_trigger(p):
    """The price or value, to the cent, below which a call starts: found by asking the engine, not by formula."""
    if "price" in p:
        debit = p["price"] * (1 - p["equity_share"])
        return {"trigger_price": trigger(debit)}
    return {"trigger_market_value": trigger(p["debit"])}


def trigger(debit):
    low, high = debit, debit * 2
    while high - low > Dec("0.005"):
        middle = ((low + high) / 2).quantize(Dec("0.001"))
        is_called = in_exchange(-debit, (stock(middle), 1)).status == Status.DEFICIT
        low, high = (middle, high) if is_called else (low, middle)
    return high


ACCOUNT_LEVEL = {
    "account_equity": account_equity,
    "maintenance_call": account_equity,
    "sma": sma,
    "short_account": short_account,
    "minimum_equity": minimum_equity,
    "ib_sma": ib_sma,
    "margin_call_trigger": margin_call_trigger,
}


@pytest.mark.parametrize("case", [pytest.param(row, id=row["case_id"]) for row in CASES])
def test_a_published_stock_case_is_reproduced(case):
    legs, parameters = rows.document(case["legs_json"]), rows.document(case["params_json"])
    if case["convention"] == "account_level":
        found = ACCOUNT_LEVEL[case["strategy"]](parameters)
        expected = rows.document(case["expected_json"])
    else:
        assert case["convention"] == "equity_req"  # what is asked beyond the market value of the short
        holdings = [(stock(leg["price"], kind=leg["instrument_type"]), leg["qty"]) for leg in legs]
        told = in_exchange(0, *holdings)
        found = {"expected_initial": told.initial, "expected_maintenance": told.requirement}
        expected = {name: Dec(case[name]) for name in found if case[name]}
    assert expected
    for name, value in expected.items():
        assert rows.is_close(found[name], value, case["tolerance"]), name


def test_the_file_still_holds_cases_of_this_step():
    assert len(CASES) >= 13
