"""Bodies and questions that make no sense are refused with their reason; none of them is an error of ours."""

import json
from datetime import date
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from margin.cascading import examples
from market import parameters
from tests.margin import rows, world

pytestmark = pytest.mark.django_db
HOUSE = {"kind": "securities", "shock": "-0.1"}
FIELDS = [
    {"shock": "NaN"}, {"shock": "Infinity"}, {"shock": "-1"}, {"shock": "-1.01"}, {"shock": "1e400"}, {"shock": "1e30"},
    {"shock": 0.1}, {"shock": {}}, {"shock": "9" * 5000}, {"shock": "-0." + "9" * 40}, {"currency": "XXX"},
    {"currency": "\0"}, {"volatilities": {"XYZ": "-1"}}, {"volatilities": {"XYZ": "0"}},
    {"volatilities": {"XYZ": "NaN"}}, {"volatilities": {"XYZ": "1e-12"}}, {"volatilities": {"XYZ": "999999"}},
    {"volatilities": {"NOPE": "0.1"}}, {"volatilities": []}, {"volatilities": {"\0": "1"}}, {"floor_rate": "1"},
    {"floor_rate": "-1"}, {"late_rate": "2"}, {"recovery_rate": "sNaN"}, {"recovery_rate": "0"},
    {"max_rounds": 10**9}, {"max_rounds": "1"}, {"max_rounds": True}, {"slices": {"count": 10**9}},
    {"slices": {"count": 0}}, {"slices": None}, {"slices": {"aversion": "1"}}, {"slices": {"aversion": "0"}},
    {"sales": "nonsense"}, {"clients": {"L": "x"}}, {"counterparties": ["L"]}, {"book": {}}, {"unknown": 1},
    {"depth_rate": "0"}, {"depth_rate": "1e-12"}, {"depth_rate": "1e12"}, {"days": "0"}, {"days": "1e-12"},
    {"days": "999999999"}, {"daily_volumes": {"XYZ": "0.000000000001"}}, {"daily_volumes": {"XYZ": "9e18"}},
    {"price_shocks": {"XYZ": "-5"}}, {"price_shocks": {"NOPE": "-0.5"}}, {"price_shocks": {"XYZ": "-1"}},
    {"capital": "-1"}, {"capital": "NaN"}, {"means": {"C": "-1"}}, {"liquidity": {"USD": "-1"}},
    {"liquidity": {"ZZZ": "1"}}, {"settled_rate": "-1"}, {"settled_rate": "2"}, {"kind": "crypto"},
    {"shock": "-0.1", "volatilities": {"XYZ": "0.05"}, "daily_volumes": {"XYZ": "1"}, "floor_rate": "0"},
    {"shock": "-0.1", "volatilities": {"XYZ": "9"}, "daily_volumes": {"XYZ": "1"}, "sales": "pro_rata"},
]  # fmt: skip
BODIES = [
    *("null", "[]", "1", '"x"', "true", "{", "", "{}", "\0", "NaN"),
    *('{"kind": 1}', '{"kind": null}', '{"kind": "none"}', '{"kind": "attention"}', '{"kind": "\\u0000"}'),
    *('{"kind": "securities", "kind": "crypto"}', '{"kind": "\\ud800"}', "[" * 3000, '{"a":' * 3000 + "1" + "}" * 3000),
    *(json.dumps({**HOUSE, **wrong}) for wrong in FIELDS),
    *(json.dumps({**examples.QUESTION, **wrong}) for wrong in FIELDS),
]
QUERIES = [
    {"effective_from": "2026-02-30"}, {"effective_before": "x"}, {"kind": "nonsense"}, {"name": "\0"},
    {"source": "'; --"}, {"ordering": "document"}, {"ordering": "\0"}, {"page_size": "-1"}, {"cursor": "AAAA"},
    {"limit": "x"}, {"offset": "99999999999999999999"}, {"page": "0"}, {"unknown": "1"}, {"name": "x" * 5000},
]  # fmt: skip


def test_no_bad_question_about_a_cascade_breaks_anything(reader):
    rows.policy("us_margin", world.securities())
    xyz = rows.equity("XYZ", daily_volume=100, max_age_seconds=10**6)
    world.quote(xyz, "100", timezone.now())
    world.long_account("100", "6500", xyz)
    broken = {}
    for body in BODIES:
        answer = reader.post("/api/v1/cascade/", body, content_type="application/json")
        if answer.status_code not in (200, 400):
            broken[body[:200]] = (answer.status_code, answer.content[:200])
    assert broken == {}


def test_no_bad_question_about_parameters_breaks_anything(reader):
    document = {"rates": {"XYZ": "0.1"}}
    known = parameters.record("rates", document, kind="volatility", effective_on=date(2026, 1, 1), source="x").stored
    address = "/api/v1/parameters/"
    asked = [f"{address}?{urlencode(query)}" for query in QUERIES]
    asked += [f"{address}{key}/" for key in ("0", "-1", "x", "9" * 30, "%00", "1.5")]
    codes = {one: reader.get(one).status_code for one in asked}
    assert {one: code for one, code in codes.items() if code not in (200, 400, 404)} == {}
    assert reader.get(f"{address}{known.pk}/").json()["document"] == document
    assert "document" not in reader.get(address).json()["results"][0]
