"""The runner of published cases: on the shared files, and that it can fail."""

import csv
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tests.golden import __main__ as command
from tests.golden import runner, us_rows
from tests.golden.rows import SHARED

US = SHARED / "us_cases.csv"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def cases():
    if not US.exists():
        pytest.skip("no ../shared")
    return list(csv.DictReader(US.open(encoding="utf-8", newline="")))


def written(rows, path):
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_every_published_us_case_comes_out(cases):
    results = runner.run(US)
    assert len(results) == len(cases)
    assert [f"{r.case_id}: {r.differences}" for r in results if r.outcome != runner.PASSED] == []


def test_ids_and_labels_are_never_read(cases, tmp_path):
    renamed = [{**row, "case_id": f"row {k}", "strategy": "", "description": ""} for k, row in enumerate(cases)]
    assert all(result.outcome == runner.PASSED for result in runner.run(written(renamed, tmp_path / "cases.csv")))


def test_a_wrong_expectation_fails_and_is_shown(cases, tmp_path, capsys):
    wrong = [{**row, "expected_initial": "1"} for row in cases if row["expected_initial"] == "1000"]
    path = written(wrong, tmp_path / "cases.csv")
    assert command.main([str(path)]) == 1
    printed = capsys.readouterr().out
    assert f"failed {wrong[0]['case_id']}" in printed
    assert "initial: expected 1, got 1000" in printed
    assert printed.splitlines()[-1] == f"0 passed, {len(wrong)} failed, 0 unsupported"


def test_a_case_without_a_needed_price_fails_with_the_reason(cases, tmp_path):
    short = next(row for row in cases if row["strategy"] == "short_put" or '"qty":-1' in row["legs_json"])
    (result,) = runner.run(written([{**short, "underlying_price": ""}], tmp_path / "cases.csv"))
    assert result.outcome == runner.FAILED
    assert "no price" in result.differences[0]


def test_a_month_from_its_last_day_ends_with_a_shorter_one():
    leg, params = {"right": "C"}, {"months_to_expiry": 1}
    assert us_rows._expiry(leg, params, date(2021, 8, 31)) == date(2021, 9, 30)
    assert us_rows._expiry({"right": None}, {}, date(2024, 2, 29)) == date(2029, 2, 28)


def test_an_unknown_operation_is_unsupported_and_named(tmp_path):
    row = {"case_id": "X", "method": "m", "inputs_json": '{"op": "unheard_of"}', "expected_json": "{}"}
    (result,) = runner.run(written([{**row, "tolerance": "exact:0", "confidence": "high"}], tmp_path / "cases.csv"))
    assert (result.outcome, result.differences) == (runner.UNSUPPORTED, ("operation unheard_of",))


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n"])
def test_a_file_of_another_format_is_refused(content, tmp_path, capsys):
    path = tmp_path / "other.csv"
    path.write_text(content)
    assert command.main([str(path)]) == 2
    assert "other.csv: " in capsys.readouterr().err


def test_it_runs_as_a_module(cases):
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden", str(US)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"{len(cases)} passed, 0 failed, 0 unsupported")
