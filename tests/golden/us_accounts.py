"""Account-level rows of `us_cases.csv`: which arithmetic the stated parameters ask for, and every figure it gives.

The names of the expected figures are the sources' own, so a figure may be known by several.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from margin.engine import account, ib_profile, lean_profile, triggers

ZERO = Decimal(0)
Figures = Mapping[str, Any]


def evaluate(params: Mapping[str, Any], price: Decimal | None, quantity: Decimal | None) -> Figures | None:
    """The figures of the first arithmetic whose parameters are all stated; None if there is none."""
    stated = {**params}
    if price is not None:
        stated.setdefault("price", price)
    if quantity is not None:
        stated.setdefault("shares", quantity)
    for needed, arithmetic in ARITHMETIC:
        if needed <= set(stated):
            return {name: _decimal(value) for name, value in arithmetic(stated).items()}
    return None


def _decimal(value: Any) -> Any:
    if isinstance(value, Fraction):
        return Decimal(value.numerator) / Decimal(value.denominator)
    return value


def _rules(p: Mapping[str, Any]) -> account.Rules:
    rules = account.RULE_BOOK
    if "reg_t" in p:
        rules = replace(rules, reg_t_long_rate=p["reg_t"], reg_t_short_rate=p["reg_t"])
    if "maintenance" in p:
        rules = replace(rules, long_rate=p["maintenance"], short_rate=p["maintenance"])
    return rules


def _standing(p: Mapping[str, Any]) -> account.Standing:
    return account.Standing(
        p.get("long_market_value", ZERO), p.get("short_market_value", ZERO), p.get("debit", ZERO), p.get("credit", ZERO)
    )


def _statement(found: account.Standing, p: Mapping[str, Any]) -> Figures:
    rules = _rules(p)
    call = account.maintenance_call(found, rules)
    cure = account.cures(call, rules.long_rate if found.long_value else rules.short_rate)
    sma = max(account.reg_t_excess(found, rules), ZERO)
    return {
        "equity": account.equity(found),
        "reg_t_requirement": account.reg_t_requirement(found, rules),
        "reg_t_excess": account.reg_t_excess(found, rules),
        "restricted": account.is_restricted(found, rules),
        "maintenance_requirement": account.maintenance_requirement(found, rules),
        "maintenance_excess": account.maintenance_excess(found, rules),
        **dict.fromkeys(("call", "maintenance_call", "margin_call", "cash_needed", "deposit"), call),
        **dict.fromkeys(("stock_to_sell", "liquidation", "liquidate", "sell"), cure.sale),
        **dict.fromkeys(("stock_deposit", "marginable_stock"), cure.securities),
        "sma": sma,
        "buying_power": account.buying_power(sma, rate=rules.reg_t_long_rate),
    }


def _balances(p: Mapping[str, Any]) -> Figures:
    return _statement(_standing(p), p)


def _bought(p: Mapping[str, Any]) -> Figures:
    """Shares bought at a cost with the Regulation T rate paid, now at a price."""
    debit = p["shares"] * p["cost"] * (1 - p["reg_t"])
    return _statement(account.Standing(long_value=p["shares"] * p["price"], debit=debit), p)


def _sold_short(p: Mapping[str, Any]) -> Figures:
    return {"credit": account.short_credit(p["shares"], p["price"], _rules(p))}


def _long_trigger(p: Mapping[str, Any]) -> Figures:
    return _trigger(triggers.long_trigger_value(p["debit"], p["maintenance"]), "trigger_market_value")


def _short_trigger(p: Mapping[str, Any]) -> Figures:
    if "shares" in p:
        return _trigger(triggers.short_trigger_price(p["credit"], p["shares"]), "trigger_price")
    return _trigger(triggers.short_trigger_value(p["credit"], p["maintenance"]), "trigger_market_value")


def _trigger_of_share(p: Mapping[str, Any]) -> Figures:
    return _trigger(triggers.long_trigger_price(p["price"], p["equity_share"], p["maintenance"]), "trigger_price")


def _trigger(found: triggers.Trigger | None, name: str) -> Figures:
    return {} if found is None else {name: found.exact}


def _first_deposit(p: Mapping[str, Any]) -> Figures:
    if "purchase" in p:
        return {"deposit": account.first_deposit(p["purchase"], _rules(p))}
    return {"deposit": account.first_short_deposit(p["sale"], rules=_rules(p))}


def _released(p: Mapping[str, Any]) -> Figures:
    freed = account.released(p["sale"], p["maintenance"])
    return dict.fromkeys(("released", "deficit_reduction", "satisfied", "iml_increase", "reduction"), freed)


def _day_trading(p: Mapping[str, Any]) -> Figures:
    power = account.day_trading_buying_power(p["maintenance_excess"])
    return {"day_trading_buying_power": power, "buying_power": power}


def _broker(p: Mapping[str, Any]) -> Figures:
    """Interactive Brokers' window for one long or short position."""
    value = p.get("shares", ZERO) * p.get("price", ZERO)
    found = ib_profile.figures(p["cash"], long_value=max(value, ZERO), short_value=max(-value, ZERO))
    return {**vars(found), "sma": ib_profile.sma(found)}


def _lean(p: Mapping[str, Any]) -> Figures:
    """LEAN's stock model. A stated leverage is that of the open market, or of the closed one."""
    is_open = p["market_session"] == "open"
    rate = lean_profile.leverage(is_open=is_open, open_leverage=p["leverage"], closed_leverage=p["leverage"])
    held = lean_profile.Holding(p["shares"], p["price"])
    worth = lean_profile.net_liquidation_value(p.get("cash", ZERO), held)
    used = lean_profile.margin_used(rate, held)
    return {
        "net_liquidation_value": worth,
        "margin_used": used,
        "shares_to_trade": Decimal(lean_profile.shares_to_trade(held, leverage=rate, net_liquidation=worth, used=used)),
        "initial": used,
        "maintenance": used,
    }


ARITHMETIC: tuple[tuple[set[str], Callable[[Mapping[str, Any]], Figures]], ...] = (
    ({"market_session", "leverage", "shares", "price"}, _lean),
    ({"price", "equity_share", "maintenance"}, _trigger_of_share),
    ({"first_trade"}, _first_deposit),
    ({"sale", "maintenance"}, _released),
    ({"maintenance_excess"}, _day_trading),
    ({"shares", "cost", "price", "reg_t"}, _bought),
    ({"shares", "price", "reg_t"}, _sold_short),
    ({"cash"}, _broker),
    ({"long_market_value"}, _balances),
    ({"short_market_value"}, _balances),
    ({"debit", "maintenance"}, _long_trigger),
    ({"credit", "shares"}, _short_trigger),
    ({"credit", "maintenance"}, _short_trigger),
)
