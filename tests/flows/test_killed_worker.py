"""`kill -9` of a whole Celery worker at random moments of a sweep: after recovery the end is as if left in peace.

The worker, its pool, the broker and the database are real, and the test plays beat: it publishes the tasks that the
schedule publishes. Every kill has a fresh copy of one world; the worker that recovered from a kill is killed next.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection, connections
from kombu import Connection

from backoffice import children, embedded
from backoffice.celery import app
from margin.models import Shard, Sweep
from market import clock
from tests.conftest import CommittedDatabase, Server, clone, committed_clone, drop, in_database
from tests.flows.test_races import everything_is_there_once, five_hundred_in_deficit

ROOT = Path(__file__).parents[2]
COMMAND = (  # as in the Procfile; the size of shards and batches is all that is ours
    *(sys.executable, "-m", "celery", "-A", "backoffice", "worker", "--concurrency=2", "--without-gossip"),
    *("--without-mingle", "--include=tests.flows.smaller_shards", "--loglevel=INFO"),
)
PATIENCE = 60.0  # seconds for anything that takes one or two


@dataclass
class House:
    """The worlds of the test: `fresh` makes Django's database a new copy of the first one, under the same name."""

    server: Server
    world: str
    name: str

    def fresh(self) -> None:
        connections.close_all()
        drop(self.server, self.name)
        clone(self.server, self.world, self.name)

    @property
    def environment(self) -> dict[str, str]:
        urls = (in_database(url, self.name) for url in (self.server.owner_url, self.server.application_url))
        return CommittedDatabase(self.name, *urls).environment


@pytest.fixture
def house(server: Server, django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[House]:
    """500 accounts in deficit at the prices of this moment, ready to be copied."""
    with committed_clone(server, django_db_blocker) as world:
        five_hundred_in_deficit(clock.now())
        made = House(server, world.name, f"{world.name}_copy")
        settings.DATABASES["default"]["NAME"] = made.name
        try:
            yield made
        finally:
            connections.close_all()
            drop(server, made.name)


class Beat:
    """Publishes tasks as beat does, and knows what waits."""

    def __init__(self, broker: embedded.Broker) -> None:
        self.connection = Connection(broker.url)

    def publish(self, task: str, *arguments: object) -> None:
        app.send_task(task, arguments, connection=self.connection)

    def waiting(self) -> int:
        return self.connection.default_channel.client.llen("celery")


class Worker:
    """One `celery worker` with its pool, in a process group of its own that dies with the test."""

    def __init__(self, house: House, broker: embedded.Broker, log: Path, number: int) -> None:
        self.name, self.log = f"worker-{number}", log / f"worker-{number}"
        environment = {"CELERY_BROKER_URL": broker.url, "CONN_MAX_AGE": "0", "PROCESS_NAME": self.name}
        self.process: subprocess.Popen[bytes] = children.spawn(
            COMMAND,
            log=self.log,
            death_signal=signal.SIGKILL,
            environment={**house.environment, **environment},
            directory=ROOT,
        )

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return " ready." in self.log.read_text()

    def kill(self) -> None:
        """SIGKILL for the group, and the server's processes that served it are gone."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not self.is_connected(), "the connections of a dead worker went away")

    def is_connected(self) -> bool:
        """Whether it works: with CONN_MAX_AGE 0 a connection lives as long as its task."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [self.name])
            return cursor.fetchone()[0] > 0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not in {PATIENCE:.0f} s: {what}"
        time.sleep(0.02)


def is_over() -> bool:
    """A sweep has ended, and none is at work."""
    states = set(Sweep.objects.values_list("state", flat=True))
    return bool(states) and Sweep.State.RUNNING not in states


@contextmanager
def workers(house: House, broker: embedded.Broker, log: Path) -> Iterator[Callable[[], Worker]]:
    """Starts workers, ready to work; whatever still runs at the end is killed."""
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker(house, broker, log, len(started)))
        wait_until(started[-1].is_ready, "a worker is ready")
        return started[-1]

    try:
        yield start
    finally:
        for worker in started:
            if worker.process.poll() is None:
                worker.kill()


def let_leases_lapse() -> None:
    """Half a minute passes: the leases that the dead worker held are over. Call while no worker lives."""
    Shard.objects.filter(done_at=None).exclude(lease_until=None).update(lease_until=clock.now())


def recover(beat: Beat, worker: Worker) -> None:
    """Beat's next rounds, until a sweep is complete and the worker rests."""
    beat.publish("margin.sweep", "securities")
    beat.publish("margin.recover")
    wait_until(is_over, "the sweep ended")
    wait_until(lambda: not beat.waiting() and not worker.is_connected(), "the worker rests")


def left_in_peace(house: House, beat: Beat, worker: Worker) -> float:
    """How long a sweep takes that nobody kills, in seconds."""
    house.fresh()
    started = time.monotonic()
    beat.publish("margin.sweep", "securities")
    wait_until(is_over, "the sweep ended")
    seconds = time.monotonic() - started
    wait_until(lambda: not beat.waiting() and not worker.is_connected(), "the worker rests")
    return seconds


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
def test_a_killed_worker_leaves_nothing_undone_and_nothing_done_twice(house, broker, tmp_path, kills):
    beat, chance, killed = Beat(broker), random.Random(kills), 0
    with workers(house, broker, tmp_path) as start:
        worker = start()
        left_in_peace(house, beat, worker)  # the pool loads its kernels
        length = left_in_peace(house, beat, worker)
        everything_is_there_once(clock.now())
        for number in range(1, 4 * kills):
            house.fresh()
            beat.publish("margin.sweep", "securities")
            moment = chance.uniform(0, length)
            time.sleep(moment)
            worker.kill()
            done = Shard.objects.exclude(done_at=None).count()
            was_running = not is_over()  # not begun, or begun and not ended
            print(f"kill {number} after {moment:.3f} s of {length:.3f}, {done} shards done, running: {was_running}")
            let_leases_lapse()
            worker = start()
            recover(beat, worker)
            everything_is_there_once(clock.now())
            killed += was_running
            if killed == kills:
                break
    assert killed == kills
