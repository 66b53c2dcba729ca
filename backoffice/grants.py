"""The two database roles and what the application role may do.

The owner role owns the tables and migrates; the application role is what every process connects as. It owns nothing,
cannot TRUNCATE, and writes history only through the functions of the margin room's migrations (`margin.bolts`).
Works on any connection with a DB-API cursor: psycopg2's or Django's.
"""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql

ROOMS = ("market", "accounts", "margin", "notifications", "backoffice")
TABLE_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


@dataclass(frozen=True)
class Standing:
    """What the connected role may do on its server."""

    role: str
    is_superuser: bool
    can_create_databases: bool
    can_create_roles: bool


def standing(connection: Any) -> Standing:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolname, rolsuper, rolcreatedb OR rolsuper, rolcreaterole OR rolsuper"
            " FROM pg_roles WHERE rolname = current_user"
        )
        return Standing(*cursor.fetchone())


def role_exists(connection: Any, role: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
        return cursor.fetchone() is not None


def create_role(connection: Any, role: str, *, password: str | None = None, creates_databases: bool = False) -> None:
    """Create a login role that is no superuser, if it does not exist. A password is set only on creation."""
    if role_exists(connection, role):
        return
    statement = sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEROLE {} {}").format(
        sql.Identifier(role),
        sql.SQL("CREATEDB" if creates_databases else "NOCREATEDB"),
        sql.SQL("PASSWORD {}").format(sql.Literal(password)) if password else sql.SQL(""),
    )
    _execute(connection, statement)


def create_database(connection: Any, database: str, *, owner: str) -> None:
    """Create the database for its owner, if it does not exist. The connection must be in autocommit."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
        if cursor.fetchone():
            return
    names = {"database": sql.Identifier(database), "owner": sql.Identifier(owner)}
    _execute(connection, sql.SQL("CREATE DATABASE {database} OWNER {owner}").format(**names))
    _execute(connection, sql.SQL("REVOKE ALL ON DATABASE {database} FROM PUBLIC").format(**names))


def grant(connection: Any, *, application_role: str) -> bool:
    """Give the application role its rights on every table, sequence and function that exist. May run again at any time.

    Connect as the owner. Returns False, changing nothing, in one-role mode: no such role, or it is the owner itself.
    """
    if not role_exists(connection, application_role) or standing(connection).role == application_role:
        return False
    role = sql.Identifier(application_role)
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database(), current_schema()")
        database, schema = (sql.Identifier(name) for name in cursor.fetchone())
    names = {"role": role, "database": database, "schema": schema}
    for statement in (
        "GRANT CONNECT ON DATABASE {database} TO {role}",
        "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC, {role}",
        "GRANT USAGE ON SCHEMA {schema} TO {role}",
        "REVOKE CREATE ON SCHEMA {schema} FROM {role}",
        "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role}",
    ):
        _execute(connection, sql.SQL(statement).format(**names))
    bolted = {table: rights for room in ROOMS for table, rights in append_only(room).items()}
    for table in _tables(connection):
        _set_rights(connection, table, bolted.get(table, "SELECT, INSERT, UPDATE, DELETE"), role)
    return True


def keep_the_wall_clock(connection: Any) -> None:
    """From now on the database refuses orders, and what lets them leave, dated at another time than its own clock's.

    For production alone: trials, tests and the demonstration live at instants of their own. Connect as the owner.
    """
    _execute(connection, sql.SQL("INSERT INTO margin_wallclock (id) VALUES (1) ON CONFLICT DO NOTHING"))


def _set_rights(connection: Any, table: str, rights: str, role: sql.Identifier) -> None:
    """Give what is due, then take what is not: at no moment has the role too much, or a running process too little."""
    names = {"table": sql.Identifier(table), "role": role}
    surplus = ", ".join(right for right in TABLE_RIGHTS if right not in rights.split(", "))
    _execute(connection, sql.SQL(f"GRANT {rights} ON TABLE {{table}} TO {{role}}").format(**names))
    _execute(connection, sql.SQL(f"REVOKE {surplus} ON TABLE {{table}} FROM {{role}}").format(**names))


def _tables(connection: Any) -> list[str]:
    """Every table and view of the schema."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
            " UNION SELECT viewname FROM pg_views WHERE schemaname = current_schema() ORDER BY 1"
        )
        return [row[0] for row in cursor.fetchall()]


def append_only(room: str) -> dict[str, str]:
    """A room's append-only tables and the rights that remain, from its `bolts.APPEND_ONLY`.

    A tuple of table names leaves SELECT; a dict names the rights, such as {"market_fact": "SELECT, INSERT"}.
    """
    if importlib.util.find_spec(f"{room}.bolts") is None:
        return {}
    tables = getattr(importlib.import_module(f"{room}.bolts"), "APPEND_ONLY", ())
    return dict(tables) if isinstance(tables, dict) else dict.fromkeys(tables, "SELECT")


def _execute(connection: Any, statement: sql.Composable) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
