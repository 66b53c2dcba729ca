"""The servers bin/start brings up: private, restartable, and gone with their parent however it dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg2
import pytest

from backoffice import children, embedded
from tests.conftest import connected, temporary_folder

ROOT = Path(__file__).parents[2]
PARENT = """
import sys, time
from pathlib import Path
from backoffice import children, embedded
home = Path(sys.argv[1])
cluster = embedded.start_postgresql(home / "postgresql", log=home / "postgresql.log")
broker = embedded.start_broker(home / "valkey", log=home / "valkey.log")
sleeper = children.spawn(("sleep", "600"), log=home / "sleep.log")
print(cluster.url("postgres", "postgres"), broker.socket, sleeper.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def home():
    import shutil

    folder = temporary_folder()
    yield folder
    shutil.rmtree(folder)


def begin(home: Path) -> tuple[subprocess.Popen[str], list[str]]:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(home)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    return parent, parent.stdout.readline().split()


def wait_until_gone(family: list[psutil.Process]) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(family, timeout=15)
    return alive


def test_kill_9_of_the_parent_leaves_no_orphan_and_loses_no_row(home):
    parent, (url, *_) = begin(home)
    with connected(url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) >= 3
    parent.kill()
    parent.wait()
    assert wait_until_gone(family) == []

    parent, (url, *_) = begin(home)  # the next start recovers what the kill left
    try:
        with connected(url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT answer FROM kept")
            assert cursor.fetchone() == (42,)
    finally:
        family = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
        parent.wait()
    assert wait_until_gone(family) == []


def test_a_stale_pid_file_neither_stops_the_start_nor_harms_the_stranger_it_names(home):
    cluster = embedded.start_postgresql(home / "postgresql", log=home / "log", throw_away=True)
    lines = (home / "postgresql" / "data" / "postmaster.pid").read_text().splitlines()
    cluster.process.kill()
    cluster.process.wait()
    time.sleep(0.5)
    stranger = subprocess.Popen(["sleep", "60"])
    pid_file = home / "postgresql" / "data" / "postmaster.pid"
    pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
    try:
        cluster = embedded.start_postgresql(home / "postgresql", log=home / "log", throw_away=True)
        cluster.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_postgresql_listens_on_no_port_and_refuses_other_users_of_the_machine(home):
    cluster = embedded.start_postgresql(home / "postgresql", log=home / "log", throw_away=True)
    try:
        with connected(cluster.url("postgres", "postgres")) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW listen_addresses")
            assert cursor.fetchone() == ("",)
        assert cluster.sockets.stat().st_mode & 0o077 == 0
    finally:
        cluster.stop()


def test_a_folder_too_deep_for_a_socket_still_works(home):
    deep = home / ("deep-" * 12) / ("deeper-" * 8)
    deep.mkdir(parents=True)
    cluster = embedded.start_postgresql(deep / "postgresql", log=home / "log", throw_away=True)
    try:
        assert len(str(cluster.sockets)) < embedded.LONGEST_SOCKET_PATH
        with connected(cluster.url("postgres", "postgres")):
            pass
    finally:
        cluster.stop()
        cluster.sockets.rmdir()


def test_a_server_that_cannot_start_is_reported_with_its_own_words(home):
    cluster = embedded.start_postgresql(home / "postgresql", log=home / "log", throw_away=True)
    cluster.stop()
    with (home / "postgresql" / "data" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(RuntimeError, match="no_such_setting"):
        embedded.start_postgresql(home / "postgresql", log=home / "log", throw_away=True)


def test_valkey_keeps_what_it_was_told_when_it_is_killed(home):
    import redis

    broker = embedded.start_broker(home / "valkey", log=home / "log")
    queue = redis.Redis(unix_socket_path=str(broker.socket))
    queue.rpush("celery", "a sweep")
    assert queue.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    time.sleep(1.2)  # the append-only file is written every second
    broker.process.kill()
    broker.process.wait()
    broker = embedded.start_broker(home / "valkey", log=home / "log")
    try:
        assert redis.Redis(unix_socket_path=str(broker.socket)).lrange("celery", 0, -1) == [b"a sweep"]
    finally:
        broker.stop()


def test_a_child_that_ignores_the_request_to_stop_is_killed(home):
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    child = children.spawn((sys.executable, "-c", stubborn), log=home / "log")
    while b"deaf" not in (home / "log").read_bytes():
        time.sleep(0.02)
    children.stop(child, patience=0.3)
    assert child.returncode == -signal.SIGKILL


def test_the_servers_run_as_ourselves_or_for_root_as_somebody_else(home):
    cluster = embedded.start_postgresql(home / "postgresql", log=home / "log", throw_away=True)
    try:
        runs_as = psutil.Process(cluster.process.pid).uids().real
        assert (runs_as != 0) if os.geteuid() == 0 else (runs_as == os.geteuid())
        with pytest.raises(psycopg2.OperationalError), connected(cluster.url("no_such_role", "postgres")):
            pass
    finally:
        cluster.stop()
