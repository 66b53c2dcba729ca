"""The ground every other test stands on."""

import threading

import psycopg2
import pytest
from django.contrib.auth.models import Group
from django.db import connection


@pytest.mark.django_db
def test_the_tests_do_not_run_as_a_superuser():
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False,)


def test_what_one_thread_commits_in_a_clone_every_other_thread_sees(committed_db):
    Group.objects.create(name="Committed")
    seen = []

    def look():
        seen.append(Group.objects.filter(name="Committed").count())
        connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [1]


def test_a_clone_starts_without_what_another_clone_was_told(committed_db):
    assert not Group.objects.filter(name="Committed").exists()


def test_the_application_role_may_write_rows_and_may_neither_truncate_nor_create_tables(committed_db, as_application):
    application = as_application()
    application.autocommit = True
    with application.cursor() as cursor:
        cursor.execute("INSERT INTO margin_policy (code, name) VALUES ('mine', 'By the application')")
        for forbidden in (
            *("TRUNCATE margin_policy CASCADE", "DROP TABLE margin_policy", "ALTER TABLE margin_policy ADD x int"),
            "INSERT INTO auth_group (name) VALUES ('a role of my own')",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(forbidden)
        if application.server_version >= 150000:  # before 15 everybody may create in schema public of a new database
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("CREATE TABLE mine (x int)")


def test_django_itself_can_run_as_the_application_role(django_as_application):
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user <> (SELECT tableowner FROM pg_tables WHERE tablename = 'auth_group')")
        assert cursor.fetchone() == (True,)


def test_the_superuser_fixture_is_one(superuser):
    with superuser().cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (True,)


def test_the_broker_answers(broker):
    import redis

    assert redis.Redis(unix_socket_path=str(broker.socket)).ping()


def test_the_live_house_serves_its_login_page(live_house):
    from urllib.request import urlopen

    assert urlopen(live_house + "/admin/login/").status == 200
