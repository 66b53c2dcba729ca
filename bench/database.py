"""A throw-away database of the embedded PostgreSQL for benchmarks: on disk, with fsync, migrated by the owner."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@contextmanager
def opened() -> Iterator[None]:
    """Start a cluster, migrate it and point Django at it. Call before anything imports a model."""
    sys.path.insert(0, str(ROOT))
    from backoffice import database, embedded

    with tempfile.TemporaryDirectory(prefix="margin-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        cluster = embedded.start_postgresql(folder / "postgresql", log=folder / "postgresql.log")
        try:
            access = database.inside(cluster)
            os.environ.update(access.environment, DJANGO_SETTINGS_MODULE="backoffice.settings")
            owner = {**os.environ, "DATABASE_URL": access.owner_url}
            subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=owner, check=True)
            import django

            django.setup()
            with database.connected(access.owner_url) as connection:
                from backoffice import grants

                grants.grant(connection, application_role=access.application_role)
            yield
        finally:
            cluster.stop()


def owner() -> AbstractContextManager[Any]:
    """A connection of the owner, in autocommit."""
    from backoffice import database

    return database.connected(os.environ["DATABASE_OWNER_URL"])


@contextmanager
def copied(name: str) -> Iterator[None]:
    """Point Django at a fresh copy of the database, file by file; the copy is dropped at the end."""
    from django.db import connections
    from psycopg2 import sql

    from backoffice import embedded

    default = connections["default"]
    names = {"copy": sql.Identifier(name), "of": sql.Identifier(embedded.DATABASE)}
    names["role"] = sql.Identifier(embedded.APPLICATION_ROLE)
    default.close()
    _as_owner(sql.SQL("CREATE DATABASE {copy} TEMPLATE {of}").format(**names))
    _as_owner(sql.SQL("GRANT CONNECT ON DATABASE {copy} TO {role}").format(**names))
    before = default.settings_dict["NAME"]
    default.settings_dict["NAME"] = name
    try:
        yield
    finally:
        default.close()
        default.settings_dict["NAME"] = before
        _as_owner(sql.SQL("DROP DATABASE {copy} WITH (FORCE)").format(**names))


def _as_owner(statement: Any) -> None:
    """Run it from a database of its own: a template must have no connections."""
    import psycopg2

    from backoffice import database

    parts = psycopg2.extensions.parse_dsn(os.environ["DATABASE_OWNER_URL"])
    with database.connected(database.as_url({**parts, "dbname": "postgres"})) as connection:
        connection.cursor().execute(statement)
