"""What-ifs and stress on the wire: described, guarded like reading, refused by path, and never our fault."""

import copy
import json
from contextlib import suppress
from datetime import timedelta
from io import StringIO

import jsonschema
import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from margin import whatif
from margin.engine.methodologies import option_strategies, portfolio
from margin.hypothetical import api, examples
from market.models import Rate
from tests.api import house
from tests.margin import rows, world

pytestmark = pytest.mark.django_db
BOOK = "/api/v1/whatif/"


def post(client, address, body):
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post(address, content, content_type="application/json")


@pytest.fixture
def account():
    """100 AIG at 50.00 with 3,600 borrowed: short by 100."""
    rows.policy("us_margin", world.securities())
    aig = rows.equity("AIG", max_age_seconds=10**6)
    world.quote(aig, "50", timezone.now())
    return world.long_account("100", "3600", aig, code="A-1001")


def addresses(account):
    return {
        f"/api/v1/accounts/{account.code}/whatif/": examples.HYPOTHESES,
        f"/api/v1/accounts/{account.code}/stress/": examples.GRID,
        f"/api/v1/clients/{account.client.code}/stress/": examples.GRID,
        "/api/v1/stress/": {**examples.GRID, "kind": "securities"},
    }


def described():
    out = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    return yaml.safe_load(out.getvalue())["paths"]


def test_every_question_is_described_and_its_answer_is_as_described(reader, account):
    paths = described()
    asked = {
        BOOK: (BOOK, {**examples.BOOK, "explain": True}),
        "/api/v1/accounts/{code}/whatif/": (f"/api/v1/accounts/{account.code}/whatif/", {"explain": True}),
        "/api/v1/accounts/{code}/stress/": (f"/api/v1/accounts/{account.code}/stress/", examples.GRID),
        "/api/v1/clients/{code}/stress/": (f"/api/v1/clients/{account.client.code}/stress/", examples.GRID),
        "/api/v1/stress/": ("/api/v1/stress/", {"kind": "securities"}),
    }
    for path, (address, body) in asked.items():
        operation = paths[path]["post"]
        said = operation["requestBody"]["content"]["application/json"]
        jsonschema.Draft202012Validator(said["schema"]).validate(body)
        for example in said["examples"].values():
            jsonschema.Draft202012Validator(said["schema"]).validate(example["value"])
            assert post(reader, address, example["value"]).status_code == 200
        answer = post(reader, address, body)
        assert answer.status_code == 200, answer.content
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator(schema).validate(answer.json())


def test_the_figures_are_those_of_the_rule(reader, account):
    # the ladder: 150,000 against 180,000 stands at 83.3 %, beyond 80 %; restored at 65 %: 33,000
    (found,) = post(reader, BOOK, examples.BOOK).json()["accounts"]
    assert (found["regimes"][0]["status"], found["regimes"][0]["amount_called"]) == ("severe", "33000")
    (regime,) = post(reader, f"/api/v1/accounts/{account.code}/whatif/", {}).json()["regimes"]
    assert (regime["before"]["equity"], regime["before"]["deficit"]) == ("1400", "100")


def test_asking_needs_the_scope_read_and_no_more(account, writer):
    for address, body in {**addresses(account), BOOK: examples.BOOK}.items():
        assert post(Client(), address, body).status_code == 401
        assert post(writer, address, body).status_code == 403
        assert Client().get(address).status_code in (401, 405)


def test_a_member_of_staff_asks_with_the_right_to_see_assessments(account):
    risk, administrator = Client(), Client()
    risk.force_login(house.member("Risk"))
    administrator.force_login(house.member("Administrator"))
    for address, body in addresses(account).items():
        assert post(risk, address, body).status_code == 200, address
        assert post(administrator, address, body).status_code == 403, address
    guarded = Client(enforce_csrf_checks=True)
    guarded.force_login(house.member("Auditor"))
    assert post(guarded, BOOK, examples.BOOK).status_code == 403


def test_what_is_wrong_is_400_with_its_path(reader, account):
    whatif_, stress, *_ = addresses(account)
    for address, body, field in (
        (BOOK, {**examples.BOOK, "surprise": 1}, "surprise"),
        (BOOK, [], None),
        (BOOK, {**examples.BOOK, "fx": [["EUR", "USD", "0"]]}, "fx[0][2]"),
        (whatif_, {"trades": [{"instrument": "NOPE", "quantity": "1"}]}, "trades[0].instrument"),
        (whatif_, {"prices": {"AIG": 5.0}}, "prices.AIG"),
        (stress, {"price_shocks": ["-2"]}, "price_shocks[0]"),
        (stress, {"kind": "crypto"}, "kind"),
        ("/api/v1/stress/", {}, "kind"),
    ):
        response = post(reader, address, body)
        assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json"), response.content
        assert response.json()["errors"][0]["field"] == field
    for text in ("{", "", '{"on": NaN}', '{"on": "1", "on": "2"}', "[" * 50):
        assert post(reader, BOOK, text).status_code == 400


def test_who_is_not_there_is_404_and_who_has_no_policy_is_400(reader, account):
    for address in ("accounts/NOBODY/whatif", "accounts/NOBODY/stress", "clients/NOBODY/stress", "accounts/%00/whatif"):
        assert post(reader, f"/api/v1/{address}/", {}).status_code == 404
    stray = rows.account(agreement="nobody")
    for what in ("whatif", "stress"):
        assert post(reader, f"/api/v1/accounts/{stray.code}/{what}/", {}).status_code == 400


def test_a_large_house_is_sent_to_the_command(reader, account, monkeypatch):
    monkeypatch.setattr(api, "LARGEST_HOUSE", 0)
    answer = post(reader, "/api/v1/stress/", {"kind": "securities"})
    assert "manage.py stress" in answer.json()["errors"][0]["reason"]


# --- never our fault ------------------------------------------------------------------------------------

PARTS = [
    {"methodology": name, "measure": measure, "kinds": ["option", "equity"], "terms": book}
    for name, measure, book in (
        ("option_strategies", "maintenance", option_strategies.RULE_BOOK),
        ("portfolio", "requirement", portfolio.RULE_BOOK),
    )
]
MARGIN = {name: world.HOUSE[name] for name in ("regime", "methodology", "measure", "kinds", "terms", "severe_rate")}
HELD = [{"instrument": "XYZ", "quantity": "10", "cost": "500"}, {"instrument": "C", "quantity": "-1"}]
FULL = {
    **copy.deepcopy(examples.BOOK),
    "fx": [["EUR", "USD", "1.08"]],
    "risk_free": {"USD": "0.04"},
    "instruments": [
        *examples.BOOK["instruments"],
        {"code": "XYZ", "kind": "equity", "currency": "USD", "price": "5000", "price_divisor": 100},
        {
            **{"code": "C", "kind": "option", "currency": "USD", "price": "1.5", "multiplier": "100", "strike": "50"},
            **{"underlying": "XYZ", "right": "call", "style": "american", "expires_on": "2026-12-18"},
            **{"terms": {"flex": False}, "deliverable": {"units": {"XYZ": "100"}, "cash": "1"}},
        },
        {"code": "B", "kind": "bond", "currency": "EUR", "matures_on": "2030-01-01", "debt_class": "municipal"},
    ],
    "policies": {
        **examples.BOOK["policies"],
        **{part["methodology"]: {"regimes": [{**MARGIN, "parts": [part]}]} for part in PARTS},
    },
    "accounts": [
        *examples.BOOK["accounts"],
        *(
            {"code": name, "currency": "USD", "policy": name, "positions": HELD, "cash": {"USD": "9000", "EUR": "-1"}}
            for name in ("option_strategies", "portfolio")
        ),
    ],
}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.sampled_from(["", "0", "-1", "1e5", "1E400", "NaN", "9" * 30, "0." + "0" * 11 + "1", "٣", "USD", "COIN", "XYZ"]),
    st.sampled_from(
        ["99999999999999999999", "0.000000000001", "2026-06-03", "0000-00-00", "cash", "option", "\x00", "a" * 600]
    ),
    st.sampled_from([[], {}, [[]], {"a": {}}, [1, 2, 3], ["EUR", "USD", "1e-12"], {"USD": "1"}, {"XYZ": "0"}]),
)


def places(value, path=()):
    """Every place of a document."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def put(document, path, value):
    made = copy.deepcopy(document)
    if not path:
        return value
    at = made
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return made


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(places(FULL), key=str)), ODD)
def test_whatever_stands_in_a_book_it_is_answered_or_refused(path, odd):
    with suppress(whatif.Wrong):
        json.dumps(whatif.of_book(put(FULL, path, odd)))


def test_the_book_that_is_bent_is_sound_when_straight():
    assert [account["unpriced"] for account in whatif.of_book(FULL)["accounts"]] == [[], [], []]


SUPPOSED = {
    "trades": [{"instrument": "AIG", "quantity": "-50", "price": "49"}],
    "fees": True,
    "cash": {"USD": "5"},
    "prices": {"AIG": "45"},
    "price_shifts": {"XYZ": "0.1"},
    "volatility_shifts": {"XYZ": "0.1", "C20": "-0.05"},
    "policy": {"code": "us_margin", "version": 1},
    "explain": True,
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(places(SUPPOSED), key=str)), ODD)
def test_whatever_is_supposed_it_is_answered_or_refused(account, path, odd):
    xyz = rows.equity("XYZ", max_age_seconds=10**6)
    if not hasattr(xyz, "quote"):  # the examples of one test share its rows
        now = timezone.now()
        terms = {"kind": "option", "right": "call", "strike": 20, "style": "american", "max_age_seconds": 10**6}
        call = rows.equity("C20", **terms, underlying=xyz, multiplier=100, expires_at=now + timedelta(days=90))
        Rate.objects.create(kind="risk_free", currency="USD", value="0.04", source="t", effective_at=now)
        for instrument, mark in ((xyz, "20"), (call, "1.5")):
            world.quote(instrument, mark, now)
        rows.hold(account, call, "-1")
    with suppress(whatif.Wrong):
        json.dumps(whatif.of_account(account, put(SUPPOSED, path, odd), at=timezone.now()))
