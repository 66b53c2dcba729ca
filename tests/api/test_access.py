"""Who may ask what: every address for every kind of asker."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from backoffice import keys
from tests.api import house
from tests.api.house import GOOD, LISTS, SCOPE_OF

pytestmark = pytest.mark.django_db


def addresses(furnished):
    return [house.url(name) for name in LISTS] + [house.url(name, furnished[name]) for name in LISTS]


def statuses(client, furnished):
    return {client.get(address).status_code for address in (*addresses(furnished), "/api/v1/")}


def is_problem(response, status):
    body = response.json()
    assert response["Content-Type"] == "application/problem+json"
    assert (response.status_code, body["status"]) == (status, status)
    assert body["type"].startswith("urn:margin-desk:problem:")
    assert body["detail"]
    assert body["reference"]
    return body


def test_a_reading_key_reads_every_list_and_every_row(reader, furnished):
    assert statuses(reader, furnished) == {200}
    assert all(reader.get(house.url(name)).json()["count"] >= 1 for name in LISTS)


def test_an_anonymous_asker_gets_nothing_and_is_told_how_to_ask(furnished):
    assert statuses(Client(), furnished) == {401}
    response = Client().get(house.url("calls"))
    assert response["WWW-Authenticate"].startswith("Bearer")
    is_problem(response, 401)


def test_a_writing_key_does_not_read(writer, furnished):
    assert statuses(writer, furnished) == {403}
    assert "lacks the scope read" in is_problem(writer.get(house.url("calls")), 403)["detail"]


def test_an_expired_key_opens_nothing(furnished):
    text = house.key("read", *SCOPE_OF.values(), at=timezone.now() - timedelta(days=31), days=30)[1]
    assert statuses(house.bearer(text), furnished) == {401}
    assert "expired" in is_problem(house.bearer(text).get(house.url("calls")), 401)["detail"]
    assert house.post(house.bearer(text), "quotes", {"rows": [house.quote()]}).status_code == 401


def test_a_revoked_key_opens_nothing(furnished):
    key, text = house.key("read", *SCOPE_OF.values())
    keys.revoke(key.prefix, at=timezone.now())
    assert statuses(house.bearer(text), furnished) == {401}
    assert "revoked" in is_problem(house.bearer(text).get(house.url("calls")), 401)["detail"]


def wrong_texts():
    right = house.key("read")[1]
    prefix = right.split("_")[1]
    return [
        "",
        "mdk_",
        right[:-1],
        right + "0",
        right.upper(),
        f"mdk_{prefix}_{'0' * 64}",
        f"mdk_{'0' * 10}_{'0' * 64}",
    ]


def test_what_is_not_quite_a_key_opens_nothing_and_says_no_more_than_that():
    for text in wrong_texts():
        response = house.bearer(text).get(house.url("calls"))
        assert is_problem(response, 401)["detail"] == "The API key is not known.", text


@pytest.mark.parametrize(
    "header", ["Basic b3BzOm9wcw==", "Token abc", "Bearer", "bearer  x", "Bearer a b", "mdk_1_2", "ж"]
)
def test_another_authorization_header_is_refused(header):
    response = Client(headers={"Authorization": header}).get(house.url("calls"))
    assert response.status_code == 401


@pytest.mark.parametrize("role", ["Operations", "Supervisor", "Risk", "Compliance", "Auditor"])
def test_a_staff_session_reads_what_its_role_views(role, furnished):
    client = Client()
    client.force_login(house.member(role))
    assert statuses(client, furnished) == {200}


def test_an_administrator_sees_no_book(furnished):
    client = Client()
    client.force_login(house.member("Administrator"))
    assert {client.get(address).status_code for address in addresses(furnished)} == {403}


def test_someone_who_is_no_staff_sees_nothing(furnished):
    client = Client()
    client.force_login(house.member("Auditor", staff=False))
    assert statuses(client, furnished) == {401}


def test_a_session_writes_nothing_but_calls_in_its_role(furnished):
    client = Client()
    client.force_login(house.member("Compliance"))
    for name in LISTS:
        expected = {"calls": 403}.get(name, 403 if name in GOOD else 405)  # Compliance calls nobody by hand
        assert house.post(client, name, {"rows": [{}]}).status_code == expected, name


@pytest.mark.parametrize("name", GOOD)
def test_writing_needs_exactly_its_own_scope(name, furnished):
    others = [scope for scope in keys.SCOPES if scope != SCOPE_OF[name]]
    body = {"rows": [GOOD[name]()]}
    assert is_problem(house.post(house.bearer(house.key(*others)[1]), name, body), 403)["detail"].endswith(
        f"lacks the scope {SCOPE_OF[name]}."
    )
    response = house.post(house.bearer(house.key(SCOPE_OF[name])[1]), name, body)
    assert response.status_code == 201, response.content


@pytest.mark.parametrize("name", GOOD)
def test_an_anonymous_write_is_refused(name, furnished):
    assert house.post(Client(), name, {"rows": [GOOD[name]()]}).status_code == 401


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options", "trace"])
def test_other_methods_are_not_allowed(method, furnished):
    client = house.bearer(house.key(*keys.SCOPES)[1])
    taken = {house.url(name) for name in (*GOOD, "calls")} if method == "post" else set()
    for address in set(addresses(furnished)) - taken:
        response = getattr(client, method)(address)
        assert response.status_code == 405, (address, method)
        assert "GET" in response["Allow"]


def test_the_answer_is_json_or_406(reader, furnished):
    assert reader.get(house.url("calls"), headers={"Accept": "text/html"}).status_code == 406
    assert reader.get(house.url("calls"), headers={"Accept": "text/html,*/*;q=0.8"}).status_code == 200
    assert reader.get(house.url("calls"), headers={"Accept": "application/xml"}).status_code == 406


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", ""]
)
def test_a_body_that_is_no_json_is_415(kind, writer, furnished):
    is_problem(house.post(writer, "quotes", "rows=1", content_type=kind), 415)


def test_what_is_not_there_is_a_problem_and_not_a_page(reader, furnished):
    for address in (
        "/api/v1/nothing/",
        "/api/v2/calls/",
        "/api/",
        "/api/v1/calls/abc/",
        "/api/v1/calls/99999999999999999999/",
    ):
        is_problem(reader.get(address), 404)
    is_problem(reader.get("/api/v1/clients/nobody/"), 404)


def test_a_forgotten_slash_is_added(reader, furnished):
    response = reader.get("/api/v1/calls?state=issued")
    assert (response.status_code, response["Location"]) == (308, "/api/v1/calls/?state=issued")
