"""A row of `us_cases.csv` through the engine's public functions: which convention it is read by, and what comes out."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.golden import us_accounts, us_options, us_portfolio, us_rows
from tests.golden.rows import document
from tests.golden.unsupported import Unsupported

__all__ = ["Unsupported", "evaluate"]
COLUMNS = {"expected_initial": "initial", "expected_maintenance": "maintenance", "expected_net_call": "net_call"}


def evaluate(row: Mapping[str, str]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """(expected, got) by name. Raises Unsupported for what no methodology offers."""
    params, legs = document(row["params_json"]), document(row["legs_json"])
    expected = {name: Decimal(row[column]) for column, name in COLUMNS.items() if row[column]}
    spot = Decimal(row["underlying_price"]) if row["underlying_price"] else None
    if row["convention"] == "account_level" or "market_session" in params:
        asserted = {**expected, **_asserted(row)}
        return asserted, _named(asserted, _account(params, legs))
    position = us_rows.read(legs, params, spot)
    if row["convention"] == "pm_requirement":
        return expected, us_portfolio.evaluate(position, params)
    if row["convention"] == "mpl_only" and any(leg["price"] is None for leg in legs):
        expected.pop("net_call", None)  # it is the loss less the credit, and the credit is not among the columns
    return expected, us_options.evaluate(position, params, row["convention"])


def _asserted(row: Mapping[str, str]) -> dict[str, Any]:
    """Figures asserted beside the columns: at account level they are the assertion, elsewhere information."""
    return dict(document(row["expected_json"])) if row["convention"] == "account_level" else {}


def _named(asserted: Mapping[str, Any], found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Names of account figures are the sources' own: where the arithmetic has one figure, it is meant by any name."""
    figures = set(found.values())
    return {**dict.fromkeys(asserted, *figures), **found} if len(figures) == 1 else found


def _account(params: Mapping[str, Any], legs: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    price = legs[0]["price"] if len(legs) == 1 else None
    quantity = legs[0]["qty"] if len(legs) == 1 else None
    found = us_accounts.evaluate(params, price, quantity)
    if found is None:
        raise Unsupported(f"account arithmetic for {', '.join(sorted(params))}")
    return found
