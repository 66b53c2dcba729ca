"""What the house is built on: one database, one driver, light start-up, honest licences."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from django.conf import settings
from django.db.backends.postgresql.psycopg_any import is_psycopg3

ROOT = Path(__file__).parents[2]


def test_psycopg2_is_the_only_driver():
    assert not is_psycopg3
    installed = {distribution.metadata["Name"].lower() for distribution in metadata.distributions()}
    assert "psycopg2-binary" in installed
    assert not {"psycopg", "psycopg-binary", "psycopg-c", "asyncpg", "pg8000"} & installed


def test_postgresql_is_the_only_database():
    assert set(settings.DATABASES) == {"default"}
    assert settings.DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql"


def run_python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_setup_check_and_healthz_never_import_numba_or_pandas():
    code = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "backoffice.settings"
import django
django.setup()
from django.core.management import call_command
call_command("check")
from django.test import Client
assert Client(HTTP_HOST="127.0.0.1").get("/healthz").status_code == 200
print(sorted({"numba", "llvmlite", "pandas", "exchange_calendars"} & set(sys.modules)))
"""
    assert run_python(code).splitlines()[-1] == "[]"


def test_the_engine_loads_without_django():
    code = """
import sys
import margin.engine.assess, margin.engine.columns, margin.engine.sizing, margin.due
found = {name.split(".")[0] for name in sys.modules} & {"django", "rest_framework", "celery", "psycopg2"}
# margin/__init__ is empty; only the rooms above bring Django in
print(sorted(found))
"""
    assert run_python(code).splitlines()[-1] == "[]"


def locked_packages() -> set[str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return {match[1].lower() for line in lines if (match := re.match(r"([A-Za-z0-9._-]+)==", line))}


def licence_of(distribution: metadata.Distribution) -> str:
    said = distribution.metadata
    classifiers = [line for line in said.get_all("Classifier") or [] if line.startswith("License ::")]
    return " ".join([said.get("License-Expression") or "", (said.get("License") or "")[:200], *classifiers])


def test_no_package_we_run_on_is_under_gpl_or_agpl():
    """The lesser GPL (psycopg2) may be used by an Apache-2.0 program; the full one may not."""
    refused = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"].lower()
        licence = licence_of(distribution)
        full = re.search(r"\bA?GPL|(?<!Lesser )(?<!Library or Lesser )General Public License", licence)
        lesser = re.search(r"LGPL|Lesser General Public", licence)
        if name in locked_packages() and full and not lesser:
            refused[name] = licence
    assert refused == {}


def test_every_requirement_is_pinned_with_hashes():
    for name in ("requirements", "requirements-dev", "requirements-bench", "requirements-bootstrap"):
        text = (ROOT / f"{name}.txt").read_text()
        packages = re.findall(r"^[A-Za-z0-9._\[\]-]+(==| @ )", text, flags=re.M)
        assert packages
        assert set(packages) == {"=="}, name
        assert text.count("--hash=sha256:") >= len(packages)
