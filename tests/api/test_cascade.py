"""The cascade radar on the wire."""

import jsonschema
import pytest
from django.utils import timezone

from margin.cascading import examples
from tests.api.test_whatif import described, post
from tests.margin import rows, world

pytestmark = pytest.mark.django_db
ADDRESS = "/api/v1/cascade/"


@pytest.fixture
def house():
    """100 XYZ at 100 with 6,500 borrowed: 10 % down it is short by 200."""
    rows.policy("us_margin", world.securities())
    xyz = rows.equity("XYZ", daily_volume=100, max_age_seconds=10**6)
    world.quote(xyz, "100", timezone.now())
    return world.long_account("100", "6500", xyz)


def test_the_answer_is_as_described(reader, house):
    asked = {"kind": "securities", "shock": "-0.1", "volatilities": {"XYZ": "0.05"}}
    said = described()[ADDRESS]["post"]
    jsonschema.Draft202012Validator(said["requestBody"]["content"]["application/json"]["schema"]).validate(asked)
    answer = post(reader, ADDRESS, asked)
    assert answer.status_code == 200, answer.content
    schema = said["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator(schema).validate(answer.json())
    assert answer.json()["at_once"]["rounds"][0]["called"] == "200.00"


def test_the_example_is_a_question(house, reader):
    rows.equity("AIG")
    assert post(reader, ADDRESS, examples.QUESTION).status_code == 200


@pytest.mark.parametrize(
    ("asked", "path"), [({"shock": "-0.1"}, "kind"), ({"kind": "securities", "shock": "-2"}, "shock")]
)
def test_what_is_wrong_is_said_by_its_path(reader, house, asked, path):
    answer = post(reader, ADDRESS, asked)
    assert answer.status_code == 400
    assert path in answer.content.decode()
