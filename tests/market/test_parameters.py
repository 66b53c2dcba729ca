"""Published parameters: documents in force from a day, corrected by later rows, never changed."""

import csv
import json
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from market import clock, parameters
from market.models import ParameterSet
from market.strict import Refused

pytestmark = pytest.mark.django_db
PUBLISHED = Path(__file__).parents[2] / "../shared/data/market/futures_margin_history.csv"
ON = date(2026, 11, 20)
FIRST = {"commodities": {"ES": {"currency": "USD"}}, "on": "2026-11-20"}
SECOND = {"commodities": {"NQ": {"currency": "USD"}}, "on": "2026-11-23"}


def record(document, name="cme", *, on=ON, kind="span"):
    return parameters.record(name, document, kind=kind, effective_on=on, source="CME")


def documents(names, **when):
    return parameters.documents(parameters.in_force(names, **when))


def test_the_newest_day_that_has_come_is_in_force():
    record(FIRST)
    record(SECOND, on=date(2026, 11, 23))
    assert documents({"cme"}, on=date(2026, 11, 19)) == {}
    assert documents({"cme"}, on=date(2026, 11, 22)) == {"cme": FIRST}
    assert documents({"cme", "ice"}, on=date(2026, 11, 23)) == {"cme": SECOND}
    assert parameters.in_force(set(), on=ON) == {}


def test_the_same_document_again_changes_nothing_and_another_is_a_correction():
    assert record(FIRST).is_new
    assert not record(dict(reversed(FIRST.items()))).is_new  # the order of keys says nothing
    between = clock.now()
    assert record(SECOND).is_new
    assert ParameterSet.objects.count() == 2
    assert documents({"cme"}, on=ON) == {"cme": SECOND}
    assert documents({"cme"}, on=ON, known_at=between) == {"cme": FIRST}
    assert record(FIRST).is_new, "back to the first: that is a later row as well"
    assert parameters.in_force({"cme"}, on=ON, known_at=between - timedelta(days=1)) == {}


def test_what_a_sweep_went_by_is_found_by_its_digest():
    then = record(FIRST).stored
    record(SECOND)
    assert parameters.documents({"cme": then.digest}) == {"cme": FIRST}
    with pytest.raises(LookupError, match="no parameters with the digest 00"):
        parameters.documents({"ice": "00"})


def test_a_digest_is_that_of_the_canonical_text():
    # printf '{"a":"1","b":["2"]}' | sha256sum
    said = "3d49a4bc3b17c3bf1459002259eabd3147e2afe000eaada72d47237f43c68d1d"
    assert parameters.digest_of({"b": ["2"], "a": "1"}) == said


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"document": {"rate": 0.1}}, "document.rate is a float"),
        ({"document": {"rates": ["1", {"x": 0.5}]}}, "document.rates.1..x is a float"),
        ({"document": {}}, "is not an object"),
        ({"name": "no blanks"}, "is not a name"),
        ({"kind": "other"}, "is not one of"),
    ],
)
def test_what_is_not_exact_or_has_no_name_is_refused(given, words):
    said = {"name": "cme", "document": FIRST, "kind": "span"} | given
    with pytest.raises(Refused, match=words):
        record(said["document"], said["name"], kind=said["kind"])
    assert not ParameterSet.objects.exists()


@pytest.mark.parametrize(
    "statement", ["UPDATE market_parameterset SET source = 'x'", "DELETE FROM market_parameterset"]
)
def test_the_database_refuses_to_change_what_was_published(statement):
    record(FIRST)
    with pytest.raises(DatabaseError, match="append only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_command_loads_a_file_once_and_refuses_floats(tmp_path):
    file, out = tmp_path / "cme.json", StringIO()
    options = {"kind": "span", "effective_on": "2026-11-20", "source": "CME", "stdout": out}
    file.write_text(json.dumps(FIRST))
    for _ in range(2):
        call_command("load_parameters", "cme", file, **options)
    assert [line.split(": ")[1].split(",")[0] for line in out.getvalue().splitlines()] == ["recorded", "known already"]
    file.write_text('{"rate": 0.1}')
    with pytest.raises(CommandError, match=r"0\.1 must be written as text"):
        call_command("load_parameters", "cme", file, **options)


HISTORY = """exchange,product,date,initial,maintenance
CME,6A,2000-01-01,1215,900
CME,6A,2000-02-03,1080,800
NYMEX,CL,2000-01-01,2025,1500
"""


def test_a_history_of_margins_becomes_one_document(tmp_path):
    file = tmp_path / "margins.csv"
    file.write_text(HISTORY)
    options = {"effective_on": "2000-01-31", "source": "CME", "stdout": StringIO()}
    call_command("load_futures_margins", "outright", file, exchange="CME", **options)
    stored = documents({"outright"}, on=date(2000, 2, 1))["outright"]
    assert stored["commodities"] == {
        "6A": {
            "currency": "USD",
            "outright": [{"on": "2000-01-01", "initial": "1215", "maintenance": "900"}],
        }
    }
    with pytest.raises(CommandError, match="no row"):
        call_command("load_futures_margins", "outright", file, exchange="ICE", **options)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="no ../shared")
def test_twenty_years_of_published_margins_are_one_document():
    printed = StringIO()
    options = {"effective_on": "2020-06-30", "source": "exchange", "exchange": "NYMEX", "stdout": printed}
    call_command("load_futures_margins", "nymex", PUBLISHED, **options)
    document = documents({"nymex"}, on=date(2020, 7, 1))["nymex"]
    crude = document["commodities"]["CL"]["outright"]
    assert crude == sorted(crude, key=lambda margin: margin["on"])
    assert all(margin["on"] <= "2020-06-30" for margin in crude)
    rows = [row for row in csv.DictReader(PUBLISHED.open()) if (row["exchange"], row["product"]) == ("NYMEX", "CL")]
    last = max((row for row in rows if row["date"] <= "2020-06-30"), key=lambda row: row["date"])
    assert (float(crude[-1]["initial"]), float(crude[-1]["maintenance"])) == (
        float(last["initial"]),
        float(last["maintenance"]),
    )
