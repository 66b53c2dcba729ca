"""The coverage report: read strictly, tested without a look ahead, told as a table, as JSON and as a chart."""

import json
from datetime import date, timedelta
from decimal import Decimal
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from margin import coverage_report
from margin.coverage_report import History, Split
from margin.engine.adaptive import Model
from market import closes, strict
from tests.margin import rows

MODEL = Model("ewma", days=1, option="none", least=100, window=500)
FIRST = date(2020, 1, 1)


def days(count, first=FIRST):
    return tuple(first + timedelta(days=k) for k in range(count))


def history(returns, name="XYZ"):
    prices = 100 * np.cumprod(np.concatenate(([1.0], 1 + np.asarray(returns))))
    return History(name, days(len(prices)), prices)


def flips(count, seed=1):
    return 0.01 * np.random.default_rng(seed).choice([-1.0, 1.0], count)


def file(tmp_path, lines, header="symbol,date,open,close"):
    path = tmp_path / "closes.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_breaches_are_counted_against_the_rate_of_the_day_before():
    # every loss is 1 % and the rate is 2.33 %, but for one of 5 %
    returns = flips(300)
    returns[250] = -0.05
    found = coverage_report.report([history(returns)], MODEL, first=days(400)[201], last=days(400)[300])
    line = found.lines[0]
    assert (line.name, line.option, line.days, line.breaches) == ("XYZ", "none", 100, 1)
    assert line.zone.name == "green"
    assert line.first_failure is not None
    (pooled,) = [one for one in found.lines if (one.name, one.option) == ("all", "none")]
    assert (pooled.days, pooled.breaches) == (100, 1)
    short = coverage_report.report([history(returns)], MODEL, first=days(400)[201], last=days(400)[300], is_short=True)
    assert short.lines[0].breaches == 0


def test_a_right_model_covers_what_it_says():
    draws = np.random.default_rng(7)
    variance, returns = 1e-4, []
    for noise in draws.standard_normal(4000):
        returns.append(np.sqrt(variance) * noise)
        variance = 0.05 * returns[-1] ** 2 + 0.94 * variance + 1e-6
    model = Model("fhs", days=1, option="none")
    found = coverage_report.report([history(returns)], model, first=days(4001)[1500], last=days(4001)[-1])
    assert found.lines[0].days > 2000
    assert found.lines[0].breaches / found.lines[0].days == pytest.approx(0.01, abs=0.005)


def test_several_days_are_tested_on_periods_that_do_not_overlap():
    model = Model("ewma", days=5, option="none", least=100, window=500)
    found = coverage_report.report([history(flips(300))], model, first=days(400)[201], last=days(400)[300])
    assert found.lines[0].days == 20


def test_a_history_that_is_too_short_is_named():
    whole, short = history(flips(300)), history(flips(20), "NEW")
    found = coverage_report.report([whole, short], MODEL, first=days(400)[201], last=days(400)[300])
    assert found.skipped == {"NEW": "its closes end on 2020-01-21"}
    with pytest.raises(ValueError, match="nothing can be tested from 2020-07-20"):
        coverage_report.report([short], MODEL, first=days(400)[201], last=days(400)[300])


def test_a_split_and_a_ticker_that_comes_back_are_no_returns(tmp_path):
    lines = ["WM,2020-01-01,1,70", "WM,2020-01-02,1,10", "WM,2020-03-01,1,28", "ABC,2020-01-01,1,5"]
    split = Split("WM", date(2020, 1, 2), Decimal(7))
    found = {one.name: one.prices.tolist() for one in coverage_report.read(file(tmp_path, lines), splits=[split])}
    assert found == {"WM": [10.0, 10.0], "WM (2)": [28.0], "ABC": [5.0]}
    (only,) = coverage_report.read(file(tmp_path, lines), names=["ABC"])
    assert only.name == "ABC"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("XYZ,2020-01-02,1,0", "row 3, close"),
        ("XYZ,2020-01-02,1,-37.63", "row 3, close"),
        ("XYZ,2020-01-02,1,", "row 3, close"),
        ("XYZ,2020-01-02,1,NaN", "row 3, close"),
        ("XYZ,2020-13-02,1,5", "row 3, date"),
        ("XYZ,2020-01-01,1,5", "row 3, date"),
        (",2020-01-02,1,5", "row 3, symbol"),
    ],
)
def test_a_bad_row_is_named(tmp_path, line, said):
    with pytest.raises(strict.Refused, match=said):
        coverage_report.read(file(tmp_path, ["XYZ,2020-01-01,1,5", line]))


def test_the_command_prints_a_table_json_and_a_chart(tmp_path):
    one = history(flips(300))
    path = file(tmp_path, [f"XYZ,{on},1,{price:.6f}" for on, price in zip(one.days, one.prices, strict=True)])
    stated = {"model": "ewma", "least": 100, "first": str(days(400)[201]), "last": str(days(400)[300])}
    printed, told = StringIO(), StringIO()
    call_command("coverage", str(path), stdout=printed, chart=tmp_path / "c.svg", **stated)
    assert "XYZ" in printed.getvalue()
    assert "buffer" in printed.getvalue()
    assert "<svg" in (tmp_path / "c.svg").read_text()
    call_command("coverage", str(path), stdout=told, json=True, **stated)
    tree = json.loads(told.getvalue())
    assert [line["breaches"] for line in tree["lines"] if line["name"] == "XYZ"] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"first": "yesterday"}, "--from"),
        ({"first": "2020-07-01", "confidence": "high"}, "--confidence"),
        ({"first": "2020-07-01", "confidence": "2"}, "confidence"),
        ({"first": "2020-07-01", "split": ["XYZ"]}, "--split"),
        ({"first": "2020-07-01", "instruments": "NONE"}, "NONE is not in the file"),
        ({"first": "2030-01-01"}, "nothing can be tested"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, stated, said):
    path = file(tmp_path, [f"XYZ,{on},1,5" for on in days(300)])
    with pytest.raises(CommandError, match=said):
        call_command("coverage", str(path), stdout=StringIO(), **stated)


@pytest.mark.django_db
def test_recorded_closes_are_tested_too():
    shares = rows.equity("XYZ")
    one = history(flips(300))
    listed = [
        closes.Incoming("XYZ", on, Decimal(f"{price:.6f}"), "test")
        for on, price in zip(one.days, one.prices, strict=True)
    ]
    closes.record(listed, at=rows.AT)
    (found,) = coverage_report.stored([shares], until=one.days[-1])
    assert (found.name, found.days) == ("XYZ", one.days)
    printed = StringIO()
    call_command(
        "coverage", stdout=printed, model="ewma", least=100, first=str(days(400)[201]), last=str(days(400)[300])
    )
    assert "XYZ" in printed.getvalue()
    with pytest.raises(CommandError, match="NONE is not an instrument of ours"):
        call_command("coverage", instruments="NONE", first="2020-07-01", stdout=StringIO())
