"""Many at once, and killed at random: the same end as one that was left in peace."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection, connections

from accounts import positions
from accounts.models import Account, Client, Contact, Revision
from backoffice import invariants
from margin import history, shards, sweep
from margin.models import Event, MarginCall, Shard, Sweep
from notifications import notices
from notifications.models import Notice
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes, quote

ROOT = Path(__file__).parents[2]
ACCOUNTS = 500
SWEEPERS = 16


def five_hundred_in_deficit(at: datetime = MONDAY) -> None:
    """500 accounts long 100 XYZ at 50.00 with 3,600 borrowed: each misses 100.00 of the house requirement."""
    rows.policy("us_margin", world.securities())
    xyz, dollars = rows.equity("XYZ", max_age_seconds=10**6), rows.cash()
    clients = Client.objects.bulk_create(Client(code=f"C{n:03}", name=f"Client {n}") for n in range(ACCOUNTS))
    Contact.objects.bulk_create(
        Contact(client=client, name="Desk", email=f"{client.code.lower()}@clients.example") for client in clients
    )
    accounts = Account.objects.bulk_create(
        Account(code=f"A{n:03}", client=client, agreement="us_margin", opened_on="2020-01-01")
        for n, client in enumerate(clients)
    )
    Revision.objects.bulk_create(Revision(account=account) for account in accounts)
    held = [(account.pk, xyz.pk, Decimal(100), Decimal(5000)) for account in accounts]
    owed = [(account.pk, dollars.pk, Decimal(-3600), None) for account in accounts]
    positions.write(held + owed, cause="book", reference="test", effective_at=at)
    quote(xyz, "50", at)


def everything_is_there_once(at: datetime = MONDAY) -> None:
    assert MarginCall.objects.open().count() == MarginCall.objects.count() == ACCOUNTS
    assert Event.objects.filter(kind="call.issued").count() == Event.objects.count() == ACCOUNTS
    deadline = time.monotonic() + 300  # an open transaction of any database of the server holds the horizon back
    while Notice.objects.count() < ACCOUNTS and time.monotonic() < deadline:
        notices.prepare(at=at + minutes(1))
    assert Counter(Notice.objects.values_list("event__kind", flat=True)) == {"call.issued": ACCOUNTS}
    assert history.verify_all().is_intact
    assert not {name: found for name, found in invariants.check(at=at + minutes(1)).items() if found}


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_sixteen_sweeps_at_once_issue_every_call_once(django_as_application, isolation):
    five_hundred_in_deficit()
    barrier, failures = threading.Barrier(SWEEPERS), []

    def one(number: int) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {isolation}")
            barrier.wait()
            sweep.run("securities", at=MONDAY, slot_at=MONDAY + timedelta(seconds=number))
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(SWEEPERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Sweep.objects.filter(state="complete").count() == SWEEPERS
    everything_is_there_once()


WORKER = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "backoffice.settings"
import django; django.setup()
from django.db import connections
from margin import calls, shards, sweep
from market import clock
from margin.engine import kernels
from margin.models import Shard, Sweep

calls.LARGEST_BATCH = 40  # more and smaller transactions to be killed between
shards.MAXIMUM_ATTEMPTS = 10_000
kernels.warm()

def work():
    for shard in Shard.objects.filter(done_at=None).order_by("number"):
        shards.work(shard, now=clock.now(), in_force=sweep.policies_of(shard.sweep.kind, shard.sweep.at))
        sweep.finish(shard.sweep, now=clock.now())
    for running in Sweep.objects.filter(state="running"):  # its last shard was recorded by a child that died then
        sweep.finish(running, now=clock.now())

for line in sys.stdin:  # each line: one more child, forked as Celery forks its own
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


@contextmanager
def prefork(environment: dict[str, str]) -> Iterator["Prefork"]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield Prefork(process)
    finally:
        process.stdin.close()
        process.wait(timeout=120)


class Prefork:
    """A worker that forks a child for each round of work, as Celery's prefork pool does."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def child(self) -> int:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def status(self) -> int:
        """How the child ended, once it has."""
        return int(self.process.stdout.readline())


def begin(monkeypatch, second: int = 0) -> Sweep:
    """The next slot, in five shards."""
    monkeypatch.setattr(shards, "LARGEST", 100)
    monkeypatch.setattr(shards, "MAXIMUM_ATTEMPTS", 10_000)
    return sweep.begin("securities", at=MONDAY, slot_at=MONDAY + timedelta(seconds=second))


def forget_leases() -> None:
    """What the recovery task sees half a minute after a kill: the lease has lapsed."""
    Shard.objects.filter(done_at=None).update(lease_until=None)


def finish(worker: Prefork) -> None:
    forget_leases()
    worker.child()
    assert worker.status() == 0
    assert not Sweep.objects.filter(state="running").exists()


def test_a_worker_killed_twenty_times_ends_as_if_left_in_peace(django_as_application, monkeypatch):
    five_hundred_in_deficit()
    begin(monkeypatch)
    seed, killed, second = random.Random(20), 0, 0
    with prefork(django_as_application.environment) as worker:
        while killed < 20:
            pid = worker.child()
            time.sleep(seed.uniform(0, 0.4))
            with suppress(ProcessLookupError):  # it may have finished the sweep a moment before
                os.kill(pid, signal.SIGKILL)
            killed += worker.status() == signal.SIGKILL
            forget_leases()
            if not Sweep.objects.filter(state="running").exists():
                second += 1
                begin(monkeypatch, second)  # the sweep was over before the kill: the next slot goes on being killed
        finish(worker)
    everything_is_there_once()


def test_cut_database_connections_lose_and_double_nothing(django_as_application, superuser, monkeypatch):
    five_hundred_in_deficit()
    begin(monkeypatch)
    seed, cut, second = random.Random(7), 0, 0
    cutter = superuser()
    cutter.autocommit = True
    environment = {**django_as_application.environment, "PROCESS_NAME": "victim"}
    with prefork(environment) as worker, cutter.cursor() as cursor:
        while cut < 20:
            worker.child()
            time.sleep(seed.uniform(0, 0.4))
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'victim'"
            )
            cut += cursor.fetchone()[0]
            worker.status()
            forget_leases()
            if not Sweep.objects.filter(state="running").exists():
                second += 1
                begin(monkeypatch, second)
        finish(worker)
    everything_is_there_once()
