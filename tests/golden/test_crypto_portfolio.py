"""Published portfolios of crypto derivatives: Derive's standard manager and PMRM_2."""

import pytest

from tests.golden import derivatives
from tests.golden.rows import read
from tests.golden.runner import matches

METHODS = ("crypto_standard_margin", "deribit_pm")
ROWS = [row for row in read("derivatives_cases.csv") if row["method"] in METHODS]


def test_both_models_have_published_cases():
    assert {row["method"] for row in ROWS} == set(METHODS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["case_id"])
def test_a_published_portfolio_has_its_published_margins(row):
    expected, got = derivatives.evaluate(row)
    assert {name: matches(got[name], value, row["tolerance"]) for name, value in expected.items()} == dict.fromkeys(
        expected, True
    )
