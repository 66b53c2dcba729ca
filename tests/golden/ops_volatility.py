"""Operations of `derivatives_cases.csv`: volatility margins and tests of their coverage."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from margin.engine import coverage, volatility

Inputs = Mapping[str, Any]


def _garch_update(inputs: Inputs) -> Mapping[str, Any]:
    model = volatility.Garch(*(float(inputs.get(name, 0)) for name in ("omega", "alpha", "beta")))
    change = float(inputs["price"]) / float(inputs["prev_price"]) - 1
    return {"vol": model.following(float(inputs["vol"]), change)}


def _weighted_var(inputs: Inputs) -> Mapping[str, Any]:
    returns, weights = (np.array(inputs[name], np.float64) for name in ("returns", "weights"))
    return {"vol": volatility.weighted_volatility(returns, weights)}


def _garch_longrun(inputs: Inputs) -> Mapping[str, Any]:
    names = ("long_run", "gamma", "alpha", "beta", "u2", "lagged_var")
    variance = volatility.pulled_variance(*(float(inputs[name]) for name in names))
    return {"variance": variance, "vol": variance**0.5}


def _emir_apc(inputs: Inputs) -> Mapping[str, Any]:
    model = float(inputs["model"])
    return {
        "option1": volatility.with_buffer(model, float(inputs["buffer"])),
        "option2": volatility.with_stress(model, float(inputs["stressed"]), float(inputs["stress_weight"])),
        "option3": volatility.with_floor(model, float(inputs["ten_year_floor"])),
    }


def _told(verdict: coverage.Verdict) -> Mapping[str, Any]:
    return {"lr": verdict.ratio, "p": verdict.probability}


def _pof(inputs: Inputs) -> Mapping[str, Any]:
    return _told(coverage.kupiec(int(inputs["x"]), int(inputs["n"]), float(inputs["p"])))


def _kupiec_reject(inputs: Inputs) -> Mapping[str, Any]:
    verdict = coverage.kupiec(int(inputs["x"]), int(inputs["n"]), float(inputs["p"]))
    return {"reject": verdict.rejects(float(inputs["level"]))}


def _tuff(inputs: Inputs) -> Mapping[str, Any]:
    return _told(coverage.first_failure(int(inputs["n"]), float(inputs["p"])))


def _traffic_light(inputs: Inputs) -> Mapping[str, Any]:
    zone = coverage.traffic_light(int(inputs["x"]), int(inputs["n"]), float(inputs["p"]))
    return {"probability": zone.probability, "zone": zone.name}


def _moves(inputs: Inputs) -> coverage.Moves:
    return coverage.Moves(*(int(inputs[name]) for name in ("n00", "n01", "n10", "n11")))


def _independence(inputs: Inputs) -> Mapping[str, Any]:
    return _told(coverage.independence(_moves(inputs)))


def _conditional(inputs: Inputs) -> Mapping[str, Any]:
    found = coverage.conditional(int(inputs["x"]), int(inputs["n"]), float(inputs["p"]), _moves(inputs))
    return _told(found)


OPERATIONS: dict[str, Callable[[Inputs], Mapping[str, Any]]] = {
    "garch_update": _garch_update,
    "weighted_var": _weighted_var,
    "garch_longrun": _garch_longrun,
    "emir_apc": _emir_apc,
    "pof": _pof,
    "kupiec_reject": _kupiec_reject,
    "tuff": _tuff,
    "traffic_light": _traffic_light,
    "independence": _independence,
    "cc": _conditional,
}
