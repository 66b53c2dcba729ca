"""Who connects to which database: the owner that migrates and the application role that every process uses.

Embedded: both roles are made. With a DATABASE_URL from outside, both are made if its role is a superuser, only the
application role if it may create roles; else one role does both and the system check `margin.W001` says so.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

from backoffice import embedded, grants


@dataclass(frozen=True)
class Access:
    """Addresses of one database. In one-role mode both URLs are the same and the role's name is empty."""

    owner_url: str
    application_url: str
    application_role: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.application_url,
            "DATABASE_OWNER_URL": self.owner_url,
            "DATABASE_APPLICATION_ROLE": self.application_role,
        }


def inside(cluster: embedded.Cluster) -> Access:
    """Make the two roles and the database in our own cluster, where they are missing."""
    with connected(cluster.url(embedded.SUPERUSER, "postgres")) as connection:
        grants.create_role(connection, embedded.OWNER_ROLE, creates_databases=True)
        grants.create_role(connection, embedded.APPLICATION_ROLE)
        grants.create_database(connection, embedded.DATABASE, owner=embedded.OWNER_ROLE)
    with connected(cluster.url(embedded.SUPERUSER)) as connection:
        _give_schema(connection, embedded.OWNER_ROLE)
    owner, application = embedded.OWNER_ROLE, embedded.APPLICATION_ROLE
    return Access(cluster.url(owner), cluster.url(application), application)


def outside(url: str, *, owner_url: str, application_role: str, kept_in: Path) -> Access:
    """Use somebody else's server. Passwords of roles made here are kept in the file `kept_in`, readable by us alone."""
    if owner_url:
        return Access(owner_url, url, application_role or psycopg2.extensions.parse_dsn(url)["user"])
    with connected(url) as connection:
        standing = grants.standing(connection)
        database = psycopg2.extensions.parse_dsn(url).get("dbname") or standing.role
        if not standing.can_create_roles:
            return Access(url, url, "")
        application, owner = f"{database}_app", f"{database}_owner"
        passwords = _passwords(kept_in)
        application_url = _make_role(connection, url, application, passwords)
        if standing.is_superuser:
            owner_url = _make_role(connection, url, owner, passwords)
            _give_schema(connection, owner)
        kept_in.touch(mode=0o600)
        kept_in.write_text(json.dumps(passwords))
    return Access(owner_url or url, application_url, application)


def _passwords(kept_in: Path) -> dict[str, str]:
    return json.loads(kept_in.read_text()) if kept_in.exists() else {}


def _make_role(connection: Any, url: str, role: str, passwords: dict[str, str]) -> str:
    if grants.role_exists(connection, role) and role not in passwords:
        raise RuntimeError(
            f"The server already has a role {role!r} whose password is not known here. "
            "Set DATABASE_OWNER_URL (it migrates) and DATABASE_URL (the processes use it) yourself."
        )
    password = passwords.setdefault(role, secrets.token_urlsafe(24))
    grants.create_role(connection, role, password=password)
    return as_url({**psycopg2.extensions.parse_dsn(url), "user": role, "password": password})


def _give_schema(connection: Any, owner: str) -> None:
    """Before PostgreSQL 15 everybody may create in schema public; from 15 on only the database's owner may."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        names = {"database": sql.Identifier(cursor.fetchone()[0]), "owner": sql.Identifier(owner)}
        cursor.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        cursor.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {owner}").format(**names))
        cursor.execute(sql.SQL("GRANT ALL ON DATABASE {database} TO {owner}").format(**names))


def as_url(parts: dict[str, Any]) -> str:
    """A postgresql:// address from libpq's parts, as dj-database-url and psycopg2 both read it."""
    parts = dict(parts)
    user, password = quote(parts.pop("user", ""), safe=""), parts.pop("password", "")
    secret = f":{quote(password, safe='')}" if password else ""
    host, port = quote(parts.pop("host", ""), safe=""), parts.pop("port", "")
    name = quote(parts.pop("dbname", ""), safe="")
    options = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in sorted(parts.items()))
    return f"postgresql://{user}{secret}@{host}{f':{port}' if port else ''}/{name}{f'?{options}' if options else ''}"


@contextmanager
def connected(url: str) -> Iterator[psycopg2.extensions.connection]:
    """A connection in autocommit, closed at the end."""
    connection = psycopg2.connect(url, connect_timeout=10)
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()
