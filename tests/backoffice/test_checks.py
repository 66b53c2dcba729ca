"""Production refuses unsafe settings, each with its own sentence; the demonstration runs with them."""

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection

from backoffice import checks

ROOT = Path(__file__).parents[2]
SAFE = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "a-long-and-random-value-nobody-else-has-0123456789-abcdefghij",
    "DEBUG": False,
    "ALLOWED_HOSTS": ["desk.broker.example"],
    "SITE_URL": "https://desk.broker.example",
    "CELERY_BROKER_URL": "rediss://broker.broker.example:6380/0",
    "EMAIL_BACKEND": "anymail.backends.mailgun.EmailBackend",
    "ANYMAIL": {"WEBHOOK_SECRET": "user:password"},
    "HISTORY_KEYS": "keys",
    "HISTORY_ANCHOR_FILE": "anchors.txt",
}


@pytest.fixture
def production(settings):
    for name, value in SAFE.items():
        setattr(settings, name, value)
    return settings


def ids() -> list[str]:
    return [message.id for message in checks.the_database_is_postgresql() + checks.production_is_safe()]


def test_a_careful_production_passes(production):
    assert ids() == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SECRET_KEY", "demo-only-key-that-production-refuses-to-start-with-0123456789", "margin.E001"),
        ("DEBUG", True, "margin.E002"),
        ("ALLOWED_HOSTS", ["*"], "margin.E003"),
        ("ALLOWED_HOSTS", [], "margin.E003"),
        ("ANYMAIL", {}, "margin.E006"),
        ("SITE_URL", "http://desk.broker.example", "margin.E007"),
        ("HISTORY_KEYS", "", "margin.E010"),
        ("HISTORY_ANCHOR_FILE", "", "margin.E010"),
        ("CELERY_BROKER_URL", "redis://broker.broker.example:6379/0", "margin.E008"),
        ("CELERY_BROKER_URL", "amqp://guest@10.0.0.7//", "margin.E008"),
    ],
)
def test_production_refuses(production, name, value, expected):
    setattr(production, name, value)
    assert ids() == [expected]


def test_another_database_engine_is_refused_everywhere(settings, monkeypatch):
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.sqlite3")
    assert [message.id for message in checks.the_database_is_postgresql()] == ["margin.E004"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CELERY_BROKER_URL", "redis+socket:///run/valkey.sock"),
        ("CELERY_BROKER_URL", "redis://127.0.0.1:6379/0"),
        ("CELERY_BROKER_URL", "amqps://user@10.0.0.7//"),
        ("EMAIL_BACKEND", "django.core.mail.backends.smtp.EmailBackend"),
    ],
)
def test_production_accepts(production, name, value):
    setattr(production, name, value)
    production.ANYMAIL = {} if name == "EMAIL_BACKEND" else production.ANYMAIL
    assert ids() == []


def test_the_demonstration_is_not_held_to_production_values(settings):
    settings.ENVIRONMENT, settings.DEBUG, settings.SITE_URL = "demo", True, "http://127.0.0.1:8000"
    assert ids() == []


def test_one_role_for_everything_is_warned_about(committed_db, settings):
    settings.DATABASE_APPLICATION_ROLE = "no_such_role"
    found = checks.the_application_role_is_humble(databases=["default"])
    assert [message.id for message in found] == ["margin.W001"]
    assert checks.the_server_is_not_the_owner() == []


def test_a_web_server_must_not_connect_as_the_owner_beside_an_application_role(committed_db, as_application):
    assert checks.the_application_role_is_humble(databases=["default"]) == []  # migrate runs as the owner
    assert [message.id for message in checks.the_server_is_not_the_owner()] == ["margin.E009"]


def test_the_application_role_is_humble(django_as_application):
    assert checks.the_application_role_is_humble(databases=["default"]) == []
    assert checks.the_server_is_not_the_owner() == []


def test_a_new_production_house_is_migrated_before_its_database_keeps_the_clock(committed_db, production):
    call_command("migrate", verbosity=0, skip_checks=False)
    found = checks.the_database_keeps_its_clock(databases=["default"])
    assert [message.id for message in found] == ["margin.E011"]
    call_command("grant_roles", stdout=StringIO())
    assert checks.the_database_keeps_its_clock(databases=["default"]) == []


def test_a_superuser_is_refused(committed_db, superuser, settings):
    with superuser() as administrator:
        user = administrator.info.user
    default = settings.DATABASES["default"]
    before = default["USER"], default["PASSWORD"]
    connection.close()
    default["USER"], default["PASSWORD"] = user, administrator.info.password
    try:
        assert [message.id for message in checks.the_application_role_is_humble(databases=["default"])] == [
            "margin.E005"
        ]
    finally:
        connection.close()
        default["USER"], default["PASSWORD"] = before


@pytest.mark.django_db
def test_the_refusal_names_every_fault_and_what_to_do(production):
    production.DEBUG, production.SITE_URL = True, "http://desk"
    with pytest.raises(ImproperlyConfigured, match=r"margin\.E002.*Set DEBUG=false\..*margin\.E007"):
        checks.refuse_unsafe()


def test_the_web_server_does_not_start_in_production_with_the_demonstration_key():
    environment = {**os.environ, "MARGIN_ENVIRONMENT": "production", "DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    command = [sys.executable, "-c", "import backoffice.wsgi"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "margin.E001" in ended.stderr.splitlines()[-1]


def test_every_setting_read_from_the_environment_is_explained_in_the_example():
    import re

    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (ROOT / "backoffice" / "settings.py").read_text()))
    explained = set(re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.M))
    assert read - explained == {"PROCESS_NAME"}, "PROCESS_NAME is set by bin/start for each process"
