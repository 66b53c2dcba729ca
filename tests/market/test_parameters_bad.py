"""Files of parameters that the database could not keep are refused with their reason."""

from datetime import date

import pytest
from django.core.management import CommandError, call_command

from market.models import ParameterSet

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "content",
    [
        '{"a": "\\u0000"}',
        '{"a\\u0000": "1"}',
        '{"a": "\\ud800"}',
        '{"a": ' * 900 + '"1"' + "}" * 900,
        '{"a": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"a": 1' + "0" * 5000 + "}",
        "\0",
        "",
        "[]",
        '{"a": NaN}',
        '{"a": 1e5}',
    ],
    ids=lambda text: text[:24],
)
def test_what_cannot_be_kept_is_refused(tmp_path, content):
    file = tmp_path / "rates.json"
    file.write_text(content)
    with pytest.raises(CommandError):
        call_command(
            "load_parameters", "rates", str(file), kind="volatility", effective_on="2026-01-01", source="exchange"
        )
    assert not ParameterSet.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [{"name": "a b"}, {"name": ""}, {"effective_on": "2026-02-30"}, {"effective_on": "x"}, {"source": "x" * 99}],
)
def test_bad_arguments_are_refused(tmp_path, wrong):
    file = tmp_path / "rates.json"
    file.write_text('{"a": "1"}')
    given = {"name": "rates", "effective_on": date(2026, 1, 1).isoformat(), "source": "exchange", **wrong}
    with pytest.raises(CommandError):
        call_command("load_parameters", given.pop("name"), str(file), kind="volatility", **given)
    with pytest.raises(CommandError):
        call_command("load_parameters", "x", str(tmp_path / "no"), kind="span", effective_on="2026-01-01", source="x")
