"""Operations of `derivatives_cases.csv`: contagion."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from margin.engine.contagion import clearing, fire_sales, schedules

Inputs = Mapping[str, Any]
MILLION = 1e6  # the cases state risk aversion per million dollars, and costs in millions


def _floats(value: Any) -> Any:
    return np.array(value, dtype=np.float64)


def _clearing_vector(inputs: Inputs) -> Mapping[str, Any]:
    shares = {name: float(inputs[name]) for name in ("alpha", "beta") if name in inputs}
    found = clearing.clear(_floats(inputs["liabilities"]), _floats(inputs["external"]), **shares)
    return {"payments": found.payments.tolist()}


def _xos_first_pass(inputs: Inputs) -> Mapping[str, Any]:
    found = clearing.first_pass(_floats(inputs["external"]), _floats(inputs["debt"]))
    return {"equity": found.equity.tolist(), "debt_paid": found.debt_paid.tolist()}


def _initial_shock(inputs: Inputs) -> Mapping[str, Any]:
    found = fire_sales.initial_shock(*(_floats(inputs[name]) for name in ("capital", "illiquid", "shock")))
    return {"illiquid_after": found.illiquid.tolist(), "capital_after": found.capital.tolist()}


def _market_depth(inputs: Inputs) -> Mapping[str, Any]:
    names = ("adv", "sigma", "c", "tau", "floor", "price")
    found = fire_sales.market_depth(**{name: float(inputs[name]) for name in names})
    return {"depth": found.depth, "delta": found.delta}


def _delever_share(inputs: Inputs) -> Mapping[str, Any]:
    banks = (_floats(inputs[name]) for name in ("marketable", "illiquid", "capital"))
    gamma = fire_sales.delever_share(*banks, cap=float(inputs["lam_max"]), target=float(inputs["lam_target"]))
    return {"gamma": gamma.tolist()}


def _price_impact(inputs: Inputs) -> Mapping[str, Any]:
    price = float(inputs["price"])
    impact = fire_sales.price_impact(
        float(inputs["sold"]), delta=float(inputs["delta"]), floor=float(inputs["floor"]), price=price
    )
    return {"impact": impact, "price_after": price * (1 - impact)}


def _balance_update(inputs: Inputs) -> Mapping[str, Any]:
    marketable, gamma = (_floats(inputs[name]) for name in ("marketable", "gamma"))
    found = fire_sales.balance_update(marketable, gamma, float(inputs["impact"]), float(inputs["alpha"]))
    return {"marketable": found.marketable.tolist(), "loss": found.loss.tolist()}


def _rounds(inputs: Inputs) -> Mapping[str, Any]:
    marketable, illiquid, capital = (_floats(inputs[name]) for name in ("marketable", "illiquid", "capital"))
    found = fire_sales.rounds(
        marketable,
        illiquid,
        capital,
        cap=float(inputs["lam_max"]),
        target=float(inputs["lam_target"]),
        most=int(inputs["rounds"]),
        **{name: float(inputs[name]) for name in ("alpha", "delta", "floor", "price") if name in inputs},
    )
    return {
        "gamma_bank1": [float(each.gamma[0]) for each in found],
        "capital_after_round1": found[0].capital.tolist() if found else list(inputs["capital"]),
    }


def _almgren_chriss(inputs: Inputs) -> Mapping[str, Any]:
    names = {"volatility": "sigma", "permanent": "gamma", "temporary": "eta", "half_spread": "half_spread"}
    found = schedules.optimal(
        float(inputs["shares"]),
        days=float(inputs["T"]),
        periods=int(inputs["N"]),
        aversion=float(inputs["lam"]) / MILLION,
        market=schedules.Market(**{ours: float(inputs[theirs]) for ours, theirs in names.items()}),
    )
    return {
        "mean": found.mean / MILLION,
        "variance": found.variance / MILLION**2,
        "penalty": found.penalty / MILLION,
        "halflife": found.half_life,
    }


OPERATIONS: dict[str, Callable[[Inputs], Mapping[str, Any]]] = {
    "clearing_vector": _clearing_vector,
    "xos_first_pass": _xos_first_pass,
    "initial_shock": _initial_shock,
    "market_depth": _market_depth,
    "delever_share": _delever_share,
    "price_impact": _price_impact,
    "balance_update": _balance_update,
    "rounds": _rounds,
    "almgren_chriss": _almgren_chriss,
}
