"""Published cases of credit support, the margin schedule, loans and interest curves against the public formulas."""

import pytest

from tests.golden import rows
from tests.golden.derivatives import evaluate
from tests.golden.runner import matches

METHODS = ("csa_call", "schedule_im", "ltv_loan", "interest_curve")
CASES = [row for row in rows.read("derivatives_cases.csv") if row["method"] in METHODS]


@pytest.mark.parametrize("row", CASES, ids=lambda row: row["case_id"])
def test_a_published_case_is_reproduced(row):
    expected, got = evaluate(row)
    assert {name for name, value in expected.items() if not matches(got.get(name), value, row["tolerance"])} == set()


def test_the_file_still_holds_cases_of_every_method():
    assert {row["method"] for row in CASES} == set(METHODS)
