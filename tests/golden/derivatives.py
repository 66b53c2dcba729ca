"""A row of `derivatives_cases.csv` through the engine: the operation named by `op`, its inputs by name.

Operations are added with the methodologies that know them; the others are unsupported, and counted so.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tests.golden import (
    ops_contagion,
    ops_crypto_portfolio,
    ops_csa,
    ops_futures,
    ops_loans,
    ops_tiered,
    ops_volatility,
)
from tests.golden.rows import document
from tests.golden.unsupported import Unsupported

OPERATIONS: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    **ops_futures.OPERATIONS,
    **ops_tiered.OPERATIONS,
    **ops_crypto_portfolio.OPERATIONS,
    **ops_csa.OPERATIONS,
    **ops_loans.OPERATIONS,
    **ops_volatility.OPERATIONS,
    **ops_contagion.OPERATIONS,
}


def evaluate(row: Mapping[str, str]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """(expected, got) by name. Raises Unsupported for an operation that no methodology offers yet."""
    inputs = document(row["inputs_json"])
    operation = OPERATIONS.get(inputs["op"])
    if operation is None:
        raise Unsupported(f"operation {inputs['op']}")
    return document(row["expected_json"]), operation(inputs)
