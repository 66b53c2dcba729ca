"""A standby takes over from a server that died with what it had not sent: the house notices, holds, and goes on."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from backoffice import children, database, embedded, grants
from margin import epochs, sealing
from notifications import notices
from tests.conftest import temporary_folder
from tests.flows import test_recovery as recovery
from tests.margin.rows import AT

outside = recovery.outside
pytestmark = pytest.mark.long  # two servers of its own, and every migration
WHERE = ("HOST", "PORT", "NAME", "USER", "PASSWORD")


@pytest.fixture
def folder() -> Iterator[Path]:
    made = temporary_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@contextmanager
def led_to(url: str, blocker: Any) -> Iterator[None]:
    """Django's default connection leads there."""
    default = settings.DATABASES["default"]
    before, there = {name: default[name] for name in WHERE}, dj_database_url.parse(url)
    with blocker.unblock():
        connections.close_all()
        default.update({name: there.get(name, "") for name in WHERE})
        try:
            yield
        finally:
            connections.close_all()
            default.update(before)


def asked(cluster: embedded.Cluster, statement: str) -> Any:
    with database.connected(cluster.url(embedded.SUPERUSER, "postgres")) as connected, connected.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


def wait_until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def standby_of(primary: embedded.Cluster, folder: Path) -> embedded.Cluster:
    """As docs/operations.md says: pg_basebackup with -R, then start it."""
    user = children.server_user()
    binaries = embedded._reachable_binaries(embedded._postgresql_binaries(), user)
    embedded._own(folder / "standby", user)
    words = ["-h", primary.sockets, "-U", embedded.SUPERUSER, "-D", folder / "standby" / "data", "-R", "-c", "fast"]
    log = folder / "basebackup.log"
    copying = children.spawn([binaries / "pg_basebackup", *words], log=log, user=user, directory=folder / "standby")
    assert copying.wait(timeout=120) == 0, log.read_text()
    return embedded.start_postgresql(folder / "standby", log=folder / "standby.log")


def test_a_promoted_standby_holds_its_mails_until_two_people_looked(
    django_db_setup, django_db_blocker, outside, folder
):
    """D7, failover: what the dead server had not streamed is lost, and the anchors say so."""
    primary = embedded.start_postgresql(folder / "primary", log=folder / "primary.log")
    standby = None
    try:
        access = database.inside(primary)
        with led_to(access.owner_url, django_db_blocker):
            call_command("migrate", verbosity=0)
        with database.connected(access.owner_url) as connected:
            grants.grant(connected, application_role=access.application_role)
        with led_to(access.application_url, django_db_blocker):
            recovery.staff()
            recovery.issue()
            assert epochs.look(at=AT).number == 1
            sealing.seal(at=AT)
            sealing.anchor(at=AT)
            standby = standby_of(primary, folder)
            sent = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn = pg_current_wal_lsn()"
            wait_until(lambda: asked(primary, sent))
            asked(standby, "ALTER SYSTEM SET primary_conninfo = ''")
            asked(standby, "SELECT pg_reload_conf()")
            wait_until(lambda: not asked(primary, "SELECT 1 FROM pg_stat_replication"))
            assert (notices.prepare(at=AT), notices.send(at=AT)) == (1, 1)
            recovery.issue()  # the standby never hears of it
            sealing.seal(at=AT + timedelta(minutes=5))
            line = sealing.anchor(at=AT + timedelta(minutes=5))
        primary.process.kill()
        primary.process.wait()
        assert asked(standby, "SELECT pg_promote()") == (True,)
        with led_to(standby.url(access.application_role), django_db_blocker):
            recovery.goes_on(line, outside, cause="failover or recovery: timeline 2, it was 1")
    finally:
        for cluster in (primary, standby):
            if cluster is not None:
                cluster.stop()
