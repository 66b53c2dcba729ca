"""Portfolio-margin rows of `us_cases.csv`: one account, measured by the part `portfolio` alone."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from margin.engine import build
from margin.engine.assess import assess
from margin.engine.columns import Market, PartRule, Policy, RegimeRule, Rules
from margin.engine.methodologies import portfolio, reg_t
from tests.golden.us_rows import CURRENCY, USD, Position

KINDS = ("equity", "etf", "option", "warrant")


def evaluate(position: Position, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The requirement against net liquidation value, initial as maintenance."""
    rows = {leg.row.id: leg.row for leg in position.legs}
    columns = build.instruments([USD, *rows.values()])
    held = [build.PositionRow(1, leg.row.id, leg.quantity) for leg in position.legs]
    book = build.book(columns, [build.AccountRow(1, CURRENCY)], held)
    market = Market(position.on, risk_free={CURRENCY: params["rate_assumed"]})
    part = PartRule(portfolio.CODE, "requirement", _terms(position, params), KINDS)
    terms = reg_t.Terms.from_json(reg_t.RULE_BOOK)
    regime = RegimeRule("portfolio", reg_t.CODE, "exchange", terms, KINDS[:2], parts=(part,))
    found = assess(book, columns, market, Rules((Policy("golden", (regime,)),)))
    (figures,) = found.figures([0])
    if figures.reasons:
        raise ValueError("; ".join(figures.reasons))
    return {"initial": figures.initial, "maintenance": figures.requirement}


def _terms(position: Position, params: Mapping[str, Any]) -> portfolio.Terms:
    down, up = params["valuation_range"]
    (multiplier,) = {leg.row.multiplier for leg in position.legs if leg.is_option} or {Decimal(100)}
    moved = {"down": str(-down), "up": str(up)}
    ranges = dict.fromkeys(portfolio.RULE_BOOK["ranges"], moved)
    return portfolio.Terms.from_json(
        {
            **portfolio.RULE_BOOK,
            "ranges": ranges,
            "points": int(params["points"]),
            "minimum": str(params["min_per_contract"] / multiplier),
        }
    )
