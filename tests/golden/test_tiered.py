"""The published cases of brackets, liquidation prices, collateral, funding and interest, row by row."""

import pytest

from tests.golden import rows, runner
from tests.golden.derivatives import evaluate

METHODS = {
    "leverage_tiers",
    "liquidation_price",
    "crypto_cross",
    "collateral_haircut",
    "borrow_interest",
    "funding",
    "margin_status",
    "okx_pm",
}
CASES = [row for row in rows.read("derivatives_cases.csv") if row["method"] in METHODS]


@pytest.mark.parametrize("row", CASES, ids=lambda row: row["case_id"])
def test_the_published_number_comes_out(row):
    expected, got = evaluate(row)
    assert expected
    assert [
        name for name, value in expected.items() if not runner.matches(got.get(name), value, row["tolerance"])
    ] == []
