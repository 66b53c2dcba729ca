"""Operations of `derivatives_cases.csv`: futures and options on futures, margined by risk arrays and settled daily."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from margin.engine.exact import ZERO
from margin.engine.methodologies.span import amounts, arrays, settlement, spreads

Inputs = Mapping[str, Any]


def scan_gain_positive(inputs: Inputs) -> Mapping[str, Any]:
    legs = [(one["qty"], arrays.as_losses(one["pnl_per_long"], True)) for one in inputs["positions"]]
    losses = arrays.added(legs)
    return {"scan_risk": arrays.scan_risk(losses)[0], "portfolio_pnl": [-loss for loss in losses]}


def scan_loss_positive(inputs: Inputs) -> Mapping[str, Any]:
    legs = [(one["qty"], arrays.as_losses(one["array"], False)) for one in inputs["positions"]]
    found = {"scan_risk": arrays.scan_risk(arrays.added(legs))[0]}
    if "exposure_pct" in inputs:
        short = sum((-quantity for quantity, _ in legs if quantity < 0), ZERO)
        found["exposure"] = amounts.exposure(short, inputs["exposure_ref"], inputs["exposure_pct"])
    return found


def total(inputs: Inputs) -> Mapping[str, Any]:
    names = ("scan", "intra_spread", "spot_charge", "inter_credit", "short_option_min")
    risks = [amounts.commodity_risk(*(one.get(name, ZERO) for name in names)) for one in inputs["combined_commodities"]]
    risk = sum(risks, ZERO)
    return {"span_requirement": risk, "total_margin": amounts.total(risk, inputs.get("net_option_value") or ZERO)}


def inter_spread(inputs: Inputs) -> Mapping[str, Any]:
    legs = [(leg["ratio"], leg["outright"]) for leg in inputs["legs"]]
    outright, credit = spreads.outright_credit(legs, inputs["credit_pct"])
    return {"outright_total": outright, "credit": credit, "spread_margin": outright - credit}


def calendar_spread(inputs: Inputs) -> Mapping[str, Any]:
    asked = spreads.calendar_spread(inputs["outright_long"], inputs["outright_short"], inputs["spread_charge"])
    return {"spread_margin": asked}


def simple(inputs: Inputs) -> Mapping[str, Any]:
    scan = amounts.notional_scan(inputs["price"], inputs["multiplier"], inputs["scan_pct"], inputs["qty"])
    factors = {"delivery_charge": "delivery_pct", "initial_margin": "initial_factor"}
    factors["maintenance_margin"] = "maint_factor"
    return {
        "scan_risk": scan,
        **{name: scan * inputs[key] for name, key in factors.items() if inputs.get(key) is not None},
    }


def nse_option_total(inputs: Inputs) -> Mapping[str, Any]:
    asked = amounts.total(inputs["risk_loss"], inputs["net_option_value"])
    added = amounts.exposure(inputs["lot"], inputs["underlying"], inputs["exposure_pct"])
    return {"span_margin": asked, "exposure": added, "total": asked + added}


def nse_sum(inputs: Inputs) -> Mapping[str, Any]:
    return {"total": inputs["span"] + inputs["exposure"]}


def nse_exposure(inputs: Inputs) -> Mapping[str, Any]:
    return {"exposure": amounts.exposure(inputs["short_qty"], inputs["underlying"], inputs["pct"])}


def nse_price_scan_range(inputs: Inputs) -> Mapping[str, Any]:
    names = ("daily_sigma", "k", "horizon_days", "floor")
    return {"psr": amounts.price_scan_range(*(inputs[name] for name in names))}


def vm_path(inputs: Inputs) -> Mapping[str, Any]:
    days = settlement.path(
        contracts=inputs["side"] * inputs["contracts"],
        multiplier=inputs["multiplier"],
        entry=inputs["entry"],
        settlements=inputs["settlements"],
        balance=inputs["start_balance"],
        initial=inputs["initial"],
        maintenance=inputs["maint"],
    )
    calls = [day.call for day in days]
    return {"balances": [day.balance for day in days], "calls": calls, "final": days[-1].balance}


@dataclass(frozen=True)
class Entry:
    on: str
    initial: Decimal
    maintenance: Decimal


def step_margin_by_date(inputs: Inputs) -> Mapping[str, Any]:
    history = [Entry(*entry) for entry in inputs["history"]]
    found = [settlement.in_force(history, date.fromisoformat(on)) for on in inputs["dates"]]
    return {
        "initial": [one and one.initial for one in found],
        "maintenance": [one and one.maintenance for one in found],
    }


def expiry_exposure(inputs: Inputs) -> Mapping[str, Any]:
    left = settlement.exercised(
        cash=inputs["cash"],
        contracts=inputs["contracts"],
        multiplier=inputs["mult"],
        strike=inputs["strike"],
        price=inputs["open"],
    )
    return {"cash": left.cash, "stock": left.stock, "net_liq": left.net_liquidation}


OPERATIONS: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    "span_scan_gain_positive": scan_gain_positive,
    "span_scan_loss_positive": scan_loss_positive,
    "span_total": total,
    "span_inter_spread": inter_spread,
    "span_calendar_spread": calendar_spread,
    "span_simple": simple,
    "nse_option_total": nse_option_total,
    "nse_sum": nse_sum,
    "nse_exposure": nse_exposure,
    "nse_price_scan_range": nse_price_scan_range,
    "vm_path": vm_path,
    "step_margin_by_date": step_margin_by_date,
    "expiry_exposure": expiry_exposure,
}
