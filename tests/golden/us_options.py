"""Strategy-based rows of `us_cases.csv`: the part `option_strategies` over Regulation T, or stock alone."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine import build, parts, tables
from margin.engine.assess import assess
from margin.engine.columns import Market, PartRule, Policy, RegimeRule, Rules
from margin.engine.exact import exactly
from margin.engine.groups import Groups, arrange
from margin.engine.methodologies import option_strategies, reg_t
from margin.engine.methodologies.option_strategies import opening
from tests.golden import us_lean
from tests.golden.us_rows import CURRENCY, USD, Position

KINDS = ("equity", "etf", "option", "warrant", "bond")
REGIME = RegimeRule("exchange", reg_t.CODE, "exchange", reg_t.Terms.from_json(reg_t.RULE_BOOK), ("equity", "etf"))
ACCOUNT = build.AccountRow(1, CURRENCY)


def evaluate(position: Position, params: Mapping[str, Any], convention: str) -> Mapping[str, Any]:
    """Initial, maintenance and net call, as the convention reads them."""
    if not any(leg.row.contract for leg in position.legs):
        return _stock(position)
    groups, market, terms = _group(position, params, _terms(params, convention))
    if "equity_initial_rate" in params:
        return us_lean.evaluate(groups, market, params, convention)
    if convention == "mpl_only":
        return _greatest_loss(groups, market, terms)
    (found,) = opening.openings(groups, market, terms)
    gross = found.separate if params.get("pairing") == "none" else found.gross
    beside = found.short_stock_value if convention.startswith("cboe_gross") else Decimal(0)
    initial = found.initial - found.equity if convention == "equity_req" else gross
    net_call = None if gross is None or found.proceeds is None else gross - found.proceeds
    maintenance = found.maintenance + beside
    if convention == "equity_req":
        maintenance -= found.equity
    return {"initial": initial, "maintenance": maintenance, "net_call": net_call}


def _stock(position: Position) -> Mapping[str, Any]:
    """Stock alone, on equity: what the sweep would ask."""
    columns, book = _book(position)
    found = assess(book, columns, Market(position.on), Rules((Policy("golden", (REGIME,)),)))
    (figures,) = found.figures(np.array([0]))
    return {"initial": figures.initial, "maintenance": figures.requirement}


def _book(position: Position) -> tuple[Any, Any]:
    columns = build.instruments([USD, *{leg.row.id: leg.row for leg in position.legs}.values()])
    held = [build.PositionRow(1, leg.row.id, leg.quantity) for leg in position.legs]
    return columns, build.book(columns, [ACCOUNT], held)


def _terms(params: Mapping[str, Any], convention: str) -> option_strategies.Terms:
    stated = {**option_strategies.RULE_BOOK, "account": params.get("account", "margin")}
    if convention == "cboe_gross_incl_short_mv":  # the samples of the manual that do not follow its own table
        stated |= {"hedged_short_basis": "strike", "reverse_conversion_relief": False}
    if "house_rate_basic" in params:
        rates = {"basic": str(params["house_rate_basic"]), "minimum": str(params["house_rate_minimum"])}
        stated["house"] = {params["underlying_class"]: rates}
    if params.get("use_loan_value") is not True:  # a broker may lend on a European box; the sources say when it does
        stated["box_loan_rate"] = "1"
    return option_strategies.Terms.from_json(stated)


def _group(
    position: Position, params: Mapping[str, Any], terms: option_strategies.Terms
) -> tuple[Groups, Market, option_strategies.Terms]:
    """All legs as the groups of one account; stock in a cash account is paid in full."""
    market = Market(position.on)
    stock = {**reg_t.RULE_BOOK, "initial_long_rate": "1.00"} if params.get("account") == "cash" else reg_t.RULE_BOOK
    base = replace(REGIME, kinds=KINDS[:2], terms=reg_t.Terms.from_json(stock))
    columns, book = _book(position)
    held, local = tables.held_of(book, columns)
    part = PartRule(option_strategies.CODE, option_strategies.GROUP_MEASURES[0], terms, KINDS)
    with exactly():
        units = tables.governed_units(held, market, base)
    groups = arrange(
        instruments=held,
        base=units,
        keys=parts.keys_of(held, part),
        account=np.zeros(len(local), np.int64),
        base_currency=book.base,
        position=np.arange(len(local)),
        instrument=local,
        quantity=lambda rows: parts.quantities(book, rows),
        convert=lambda own, target: Decimal(1),
    )
    return groups, market, terms


def _greatest_loss(groups: Groups, market: Market, terms: option_strategies.Terms) -> Mapping[str, Any]:
    """The loss component alone; the net call is it less the net credit, where prices are stated."""
    found = opening.payoff_loss(groups, 0)
    loss = None if found is None else found[0]
    return {"initial": loss, "maintenance": loss}
