"""Roles: what bin/start makes on which server, and what the application role may do with each table."""

import secrets

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import parse_dsn

from backoffice import database, grants
from tests.conftest import connected, in_database

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


@pytest.fixture
def empty_database(server):
    """A database of the superuser, as a hosting provider hands it over; its roles go when the test ends."""
    if not server.superuser_url:
        pytest.skip("one-role server")
    name = f"desk_{secrets.token_hex(4)}"
    with connected(server.superuser_url) as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield in_database(server.superuser_url, name)
        cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        for role in (f"{name}_owner", f"{name}_app"):
            cursor.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def outside(url, tmp_path):
    return database.outside(url, owner_url="", application_role="", kept_in=tmp_path / "roles.json")


def test_a_superusers_url_gets_an_owner_and_an_application_role(empty_database, tmp_path):
    access = outside(empty_database, tmp_path)
    assert access.owner_url != access.application_url
    assert (tmp_path / "roles.json").stat().st_mode & 0o077 == 0
    with connected(access.owner_url) as owner, owner.cursor() as cursor:
        cursor.execute("CREATE TABLE thing (x int)")
        assert not grants.standing(owner).is_superuser
        assert grants.grant(owner, application_role=access.application_role)
    with connected(access.application_url) as application, application.cursor() as cursor:
        cursor.execute("INSERT INTO thing VALUES (1)")
        for forbidden in ("TRUNCATE thing", "CREATE TABLE mine (x int)"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(forbidden)


def test_a_second_start_uses_the_roles_of_the_first(empty_database, tmp_path):
    assert outside(empty_database, tmp_path) == outside(empty_database, tmp_path)


def test_roles_whose_passwords_are_lost_are_not_taken_over(empty_database, tmp_path):
    outside(empty_database, tmp_path)
    (tmp_path / "roles.json").unlink()
    with pytest.raises(RuntimeError, match="Set DATABASE_OWNER_URL"):
        outside(empty_database, tmp_path)


def test_a_role_that_cannot_create_roles_does_both_works(committed_db, tmp_path):
    access = outside(committed_db.owner_url, tmp_path)
    assert access.owner_url == access.application_url == committed_db.owner_url
    assert access.application_role == ""


def test_two_stated_urls_are_taken_as_they_are(tmp_path):
    access = database.outside(
        "postgresql://worker@host/desk", owner_url="postgresql://boss@host/desk", application_role="", kept_in=tmp_path
    )
    assert (access.owner_url, access.application_role) == ("postgresql://boss@host/desk", "worker")


@pytest.mark.parametrize(
    "parts",
    [
        {"user": "margin_app", "host": "/run/postgresql", "dbname": "margin_desk"},
        {"user": "a@b", "password": "p:/?#[]@ %", "host": "db.example", "port": "5433", "dbname": "desk"},
        {"user": "x", "host": "db.example", "dbname": "desk", "sslmode": "verify-full", "sslrootcert": "/etc/ca.pem"},
    ],
)
def test_an_address_survives_the_way_there_and_back(parts):
    assert parse_dsn(database.as_url(parts)) == parts


def rights_of(cursor, role: str, table: str) -> set[str]:
    cursor.execute(
        "SELECT r FROM unnest(%s) r WHERE has_table_privilege(%s, %s::regclass, r)", [list(RIGHTS), role, table]
    )
    return {row[0] for row in cursor.fetchall()}


def test_the_application_role_has_exactly_its_rights_on_every_table(committed_db, as_owner, as_application):
    role = as_application().info.user
    bolted = {table: rights for room in grants.ROOMS for table, rights in grants.append_only(room).items()}
    assert bolted["margin_event"] == "SELECT"
    with as_owner() as owner, owner.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')"
        )
        tables = [row[0] for row in cursor.fetchall()]
        assert set(bolted) <= set(tables)
        for table in tables:
            expected = set(bolted.get(table, "SELECT, INSERT, UPDATE, DELETE").split(", "))
            assert rights_of(cursor, role, table) == expected, table


def test_granting_again_changes_nothing(committed_db, as_owner, as_application):
    role = as_application().info.user
    with as_owner() as owner, owner.cursor() as cursor:
        cursor.execute(
            "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
        )
        before = cursor.fetchall()
        assert grants.grant(owner, application_role=role)
        cursor.execute(
            "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
        )
        assert cursor.fetchall() == before
