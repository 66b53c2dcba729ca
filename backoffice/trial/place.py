"""A database of the trial's own, on the server of the house: made anew for every run, never that of the house."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import dj_database_url
import psycopg2.errors
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from psycopg2 import sql

from backoffice import database, grants
from backoffice.trial.house import TrialError

MARK = "Margin Desk trial: made anew by every manage.py trial"


@contextmanager
def template() -> Iterator[str]:
    """A migrated, empty database to clone from; dropped at the end. Raises TrialError where none can be made."""
    name = f"{_ours()['NAME']}_trial"
    _make(name)
    try:
        with inside(name, as_owner=True):
            call_command("migrate", verbosity=0)
            grants.grant(connection, application_role=settings.DATABASE_APPLICATION_ROLE)
        yield name
    finally:
        _drop(name)


def clone(source: str, book: str) -> str:
    """The name of a fresh copy of the template for one book; an earlier one is replaced."""
    name = f"{source}_{book}"
    _make(name, source=source)
    return name


@contextmanager
def inside(name: str, *, as_owner: bool = False) -> Iterator[None]:
    """Django's connection leads to that database, as the owner or, as every process of the house, without ownership."""
    default = _ours()
    before = {key: default[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
    connection.close()
    owner = {key: _owner()[key] for key in before} if as_owner else {}
    default.update({**owner, "NAME": name})  # in place: the connection reads this very dictionary
    try:
        yield
    finally:
        connection.close()
        default.update(before)


def _ours() -> dict[str, Any]:
    return cast("dict[str, Any]", settings.DATABASES["default"])


def _owner() -> dict[str, Any]:
    """The role that may create databases: DATABASE_OWNER_URL, or the house's only role."""
    url = os.environ.get("DATABASE_OWNER_URL")
    return {**dj_database_url.parse(url)} if url else _ours()


def _owner_url() -> str:
    parts = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    return database.as_url({part: str(_owner()[key]) for part, key in parts.items() if _owner()[key]})


def _make(name: str, *, source: str = "") -> None:
    _drop(name)
    names = {"name": sql.Identifier(name), "source": sql.Identifier(source or "template1"), "mark": sql.Literal(MARK)}
    with database.connected(_owner_url()) as opened, opened.cursor() as cursor:
        try:
            cursor.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {source}").format(**names))
        except psycopg2.errors.InsufficientPrivilege:
            raise TrialError(
                f"the role {grants.standing(opened).role} may not create the trial's own database;"
                " ALTER ROLE … CREATEDB, or set DATABASE_OWNER_URL to a role that may"
            ) from None
        cursor.execute(sql.SQL("COMMENT ON DATABASE {name} IS {mark}").format(**names))


def _drop(name: str) -> None:
    """Drop a database of an earlier trial. TrialError if the name belongs to something else."""
    with database.connected(_owner_url()) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [name])
        found = cursor.fetchone()
        if found is not None and found[0] != MARK:
            raise TrialError(f"there is a database {name} that is not a trial's; rename or drop it, then run again")
        cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
