"""Published loan cases of `derivatives_cases.csv` that a ladder of loan-to-value rates can answer."""

from dataclasses import replace
from decimal import Decimal as Dec

import pytest

from margin.engine.columns import Status
from tests.engine.world import account, figures, loan_regime, loan_terms, stock
from tests.golden import rows

COIN = stock("1", code="COIN", kind="crypto")
# Operations of other lenders' models (health factors with borrow weights, close factors, seized tokens) are not a
# broker's ladder; their formulas are tried in `ops_loans`.
OTHER_MODELS = {"health_factor", "close_factor", "seize"}


def lent(loan, *collateral, **rates):
    terms = {"call": "0.7", "liquidate": "0.999", "restore": "0.01", "warn": "0.02", **rates}
    coins = [
        (replace(COIN, id=20 + k, code=f"COIN{k}", price=Dec(price)), quantity)
        for k, (price, quantity) in enumerate(collateral)
    ]
    return figures(account(-loan, *coins, regimes=(loan_regime(loan_terms(**terms)),)))


def liquidation_price(loan, quantity, rate):
    """The highest price, to the hundredth, at which the liquidation rung is reached."""
    low, high = Dec(0), loan * 10
    while high - low > Dec("0.01"):
        middle = ((low + high) / 2).quantize(Dec("0.001")) or Dec("0.001")
        reached = lent(loan, (middle, quantity), liquidate=str(rate)).status == Status.SEVERE
        low, high = (middle, high) if reached else (low, middle)
    return low


def price_at_ltv(p):
    return {"price": liquidation_price(p["loan"], p["qty"], p["ltv"])}


def ltv(p):
    """The rung that is reached exactly at this rate and not a millionth beyond."""

    def is_called(rate):
        return lent(p["loan"], (p["collateral"], 1), call=str(rate)).status >= Status.DEFICIT

    rate = Dec(rows.document(p["expected"])["ltv"])
    assert is_called(rate)
    assert not is_called(rate + Dec("0.000001"))
    return {"ltv": rate}


def breakeven(p):
    """Where the equity ends: at a rung of 100 %."""
    quantity = (p["collateral"] / p["price"]).quantize(Dec("0.00000001"))
    return {"collateral_btc": quantity, "price_100": liquidation_price(p["loan"], quantity, 1)}


def liquidation_price_loan(p):
    return {"price": liquidation_price(p["debt"], p["qty"], p["liq_threshold"])}


def account_liquidity(p):
    """Collateral factors are what a haircut leaves; liquidity and shortfall are the two signs of the equity."""
    haircuts = {f"COIN{k}": str(1 - supplied["cf"]) for k, supplied in enumerate(p["supplied"])}
    found = lent(sum(p["borrowed"]), *((s["value"], 1) for s in p["supplied"]), haircuts=haircuts)
    return {"liquidity": max(found.equity, Dec(0)), "shortfall": max(-found.equity, Dec(0))}


def ltv_bands(p):
    """A ladder of four rungs on our four: two warnings, the call, the forced repayment."""
    first, second, call, liquidate = (str(level) for level, _ in p["ladder"])
    names = [name for _, name in p["ladder"]]
    told = {Status.SEVERE: names[3], Status.DEFICIT: names[2], Status.WARNING: names[1]}
    rates = {"call": call, "liquidate": liquidate, "restore": "0.1"}
    status = lent(p["ltv"] * 1000, (1000, 1), warn=second, **rates).status
    if status == Status.QUIET and lent(p["ltv"] * 1000, (1000, 1), warn=first, **rates).status == Status.WARNING:
        return {"status": names[0]}
    return {"status": told.get(status, "")}


OPERATIONS = {
    "price_at_ltv": price_at_ltv,
    "ltv": ltv,
    "breakeven": breakeven,
    "liquidation_price_loan": liquidation_price_loan,
    "account_liquidity": account_liquidity,
    "ltv_bands": ltv_bands,
}


def _cases():
    for row in rows.read("derivatives_cases.csv"):
        stated = rows.document(row["inputs_json"])
        if row["method"] in ("ltv_loan", "margin_status") and stated["op"] not in OTHER_MODELS | {"ratio_bands"}:
            yield pytest.param(row, stated, id=row["case_id"])


CASES = list(_cases())


@pytest.mark.parametrize(("case", "stated"), CASES)
def test_a_published_loan_case_is_reproduced(case, stated):
    found = OPERATIONS[stated["op"]]({**stated, "expected": case["expected_json"]})
    for name, value in rows.document(case["expected_json"]).items():
        if isinstance(value, str):
            assert found[name] == value
        else:
            assert rows.is_close(found[name], value, case["tolerance"]), name


def test_the_file_still_holds_cases_of_this_step():
    assert len(CASES) >= 8
