"""LEAN's rows of `us_cases.csv`: its profile with the stated stock rates, apart from the rule."""

from collections.abc import Mapping
from typing import Any

from margin.engine.columns import Market
from margin.engine.groups import Groups
from margin.engine.methodologies.option_strategies import lean_ib


def evaluate(groups: Groups, market: Market, params: Mapping[str, Any], convention: str) -> Mapping[str, Any]:
    """Initial and maintenance without the premium; where the broker's own requirement is expected, the broker's."""
    rates = (params.get("equity_initial_rate"), params.get("equity_maintenance_rate"))
    profile = lean_ib.interactive_brokers(*rates) if convention == "equity_req" else lean_ib.Profile(*rates)
    (found,) = lean_ib.figures(groups, market, profile)
    return {"initial": found.initial, "maintenance": found.maintenance, "initial_total": found.initial_total}
