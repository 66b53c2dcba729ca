"""The OpenAPI document: valid, complete, with examples that are what they claim."""

import re

import jsonschema
import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from django.test import Client

from margin import controls, verbs
from tests.api import house
from tests.api.house import GOOD, LISTS
from tests.margin import rows

pytestmark = pytest.mark.django_db
COMPUTED = {  # asked by POST, and nothing is written: tests/api/test_whatif.py
    *("/api/v1/whatif/", "/api/v1/stress/", "/api/v1/accounts/{code}/whatif/", "/api/v1/accounts/{code}/stress/"),
    *("/api/v1/clients/{code}/stress/", "/api/v1/cascade/", "/api/v1/accounts/{code}/check/"),
}
BESIDES = {  # answers that are no row: tests/margin/test_cure_options.py, test_registers.py
    *("/api/v1/calls/{id}/cure-options/", "/api/v1/calls/{id}/passport/", "/api/v1/registers/{name}/"),
}
ALERT = "/api/v1/accounts/{code}/alert/"  # tests/api/test_warnings.py
ACTS = {f"/api/v1/{act.on}/{{id}}/{act.name}/" for act in verbs.ACTS} | {"/api/v1/retractions/", ALERT}  # test_verbs.py
CONTROLS = {  # tests/flows/test_stories.py
    "/api/v1/" + one.address.replace("<int:id>", "{id}").replace("<path:code>", "{code}") for one in controls.CONTROLS
}
OFFERS = {f"/api/v1/{on}/{{id}}/verbs/" for on in verbs.ROWS}
BATCHES = {f"/api/v1/{name}/" for name in GOOD}


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    file = tmp_path_factory.mktemp("schema") / "openapi.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(file))
    return yaml.safe_load(file.read_text())


def resolved(document, schema):
    return {**schema, "components": document["components"]}


def operations(document):
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_list_and_row_is_described(document):
    paths = set(document["paths"])
    for name in LISTS:
        assert f"/api/v1/{name}/" in paths
        assert any(re.fullmatch(rf"/api/v1/{name}/\{{\w+\}}/", path) for path in paths)
    posts = {path for path, method, _ in operations(document) if method == "post"}
    assert posts == BATCHES | COMPUTED | ACTS | CONTROLS | {"/api/v1/calls/"}


def test_every_operation_says_how_it_refuses_and_what_it_wants(document):
    for path, method, operation in operations(document):
        writes = method == "post" and path not in COMPUTED
        wanted = {"400", "401", "403"} | ({"409", "413", "415", "422"} if writes else {"404", "406"})
        assert wanted <= set(operation["responses"]), path
        headers = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "header"}
        assert headers == ({"Idempotency-Key"} if writes else set())
        assert {"ApiKey": []} in operation["security"]


def test_every_example_is_valid(document):
    seen = 0
    for _, _, operation in operations(document):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (media for body in bodies for media in body.get("content", {}).values()):
            for example in content.get("examples", {}).values():
                jsonschema.Draft202012Validator(resolved(document, content["schema"])).validate(example["value"])
                seen += 1
    assert seen >= 2 * len(GOOD)


def test_what_we_answer_is_what_we_describe(document, reader, furnished):
    for path, methods in document["paths"].items():
        name = path.split("/")[3]
        if path in COMPUTED | BESIDES | ACTS | CONTROLS | OFFERS:
            continue
        schema = methods["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        answer = reader.get(house.url(name, furnished[name] if "{" in path else "")).json()
        jsonschema.Draft202012Validator(resolved(document, schema)).validate(answer)


@pytest.mark.parametrize("name", GOOD)
def test_what_the_document_allows_we_take_and_what_it_forbids_we_refuse(name, document, writer, furnished):
    schema = document["paths"][f"/api/v1/{name}/"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator(resolved(document, schema))
    good = {"rows": [GOOD[name]()]}
    validator.validate(good)
    assert house.post(writer, name, good).status_code == 201
    for wrong in ({}, {"rows": []}, {"rows": [GOOD[name](surprise="1")]}, {"rows": [{}]}):
        assert not validator.is_valid(wrong)
        assert house.post(writer, name, wrong, once="wrong").status_code == 422


def test_our_own_examples_can_be_sent(document, writer, furnished):
    """As they stand in the document, once the accounts and instruments they name exist."""
    rows.cash("JPY", 0)
    rows.equity("WTI-2020-05", may_be_negative=True)
    rows.equity("IWM")
    rows.account("A-1002")
    for name in ("quotes", "fills", "cash-movements"):
        body = document["paths"][f"/api/v1/{name}/"]["post"]["requestBody"]["content"]["application/json"]
        (example,) = body["examples"].values()
        value = example["value"]
        if name == "quotes":  # we hold a newer quote of AIG
            value = {"rows": value["rows"][1:]}
        response = house.post(writer, name, value, once=name)
        assert response.status_code == 201, response.content


def test_a_problem_is_as_described(document, writer, furnished):
    problem = {"$ref": "#/components/schemas/ProblemDocument", "components": document["components"]}
    answers = [
        Client().get(house.url("calls")),
        house.post(writer, "quotes", {"rows": [{}]}),
        house.post(writer, "quotes", "{"),
        writer.get("/api/v1/nothing/"),
    ]
    for answer in answers:
        jsonschema.Draft202012Validator(problem).validate(answer.json())


def test_the_documents_are_served_from_this_house_alone():
    page = Client().get("/api/docs")
    assert page.status_code == 200
    served = re.findall(r'(?:src|href)="([^"]+)"', page.content.decode())
    assert len(served) >= 4
    assert all(address.startswith(("/", settings.STATIC_URL)) and not address.startswith("//") for address in served)
    assert "<script>" not in page.content.decode()
    script = Client().get("/api/docs?script=")
    assert "/api/schema" in script.content.decode()
    assert Client().get("/api/schema").status_code == 200


def test_the_documents_with_a_slash_lead_to_the_documents():
    assert Client().get("/api/docs/")["Location"] == "/api/docs"
