"""What only shows between transactions and processes: late commits, rivals, sudden death, and the bolts."""

import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from datetime import datetime, timedelta

import psycopg2
import pytest
from django.core.management import call_command
from django.db import connections, transaction

from margin import calls
from margin.models import Event, MarginCall
from notifications import notices, tasks
from notifications.models import Attempt, Delivery, Horizon, Notice
from tests.margin import rows as margin_rows
from tests.notifications import rows
from tests.notifications.rows import LATER


def test_the_horizon_moves_up_to_the_oldest_running_transaction(committed_db):
    """An event whose transaction began earlier and committed later than another's is not skipped."""
    first, second, version = margin_rows.account(), margin_rows.account(), margin_rows.policy()
    rows.issued(version=version)
    begun, may_commit = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                rows.issued(first, version=version)
                begun.set()
                may_commit.wait(30)
        finally:
            connections.close_all()

    thread = threading.Thread(target=slow)
    thread.start()
    assert begun.wait(30)
    rows.issued(second, version=version)
    assert notices.prepare(at=LATER) == 2  # the first one is not visible yet
    held = Horizon.objects.get().transaction_id
    may_commit.set()
    thread.join()
    late = Event.objects.get(account=first).transaction_id
    assert held <= late < Event.objects.get(account=second).transaction_id
    assert notices.prepare(at=LATER) == 1
    assert Horizon.objects.get().transaction_id > late


def test_eight_at_once_prepare_each_event_once(django_as_application):
    for _ in range(12):
        rows.issued()
    barrier = threading.Barrier(8)
    made: list[int] = []

    def prepare() -> None:
        try:
            barrier.wait()
            made.append(notices.prepare(at=LATER))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=prepare) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(made) + notices.prepare(at=LATER) == Notice.objects.count() == 12


def test_what_a_notice_says_never_changes_and_attempts_stay(django_as_application, as_owner, as_application):
    rows.issued()
    notices.prepare(at=LATER)
    notice = Notice.objects.get()
    Notice.objects.update(last_error="may change")
    Attempt.objects.create(notice=notice, outcome="deferred", at=LATER)
    Delivery.objects.create(provider="x", provider_event="1", state="sent", at=LATER)
    Delivery.objects.update(notice=notice)
    for change in (
        "UPDATE notifications_notice SET text = 'other'",
        "UPDATE notifications_notice SET content_hash = ''",
        "UPDATE notifications_notice SET message_id = 'x'",
        "DELETE FROM notifications_notice",
        "TRUNCATE notifications_notice CASCADE",
        "DELETE FROM notifications_attempt",
        "UPDATE notifications_attempt SET outcome = 'sent'",
        "UPDATE notifications_delivery SET state = 'bounced'",
        "UPDATE notifications_delivery SET notice_id = NULL",
        "DELETE FROM notifications_delivery",
    ):
        for connect in (as_owner, as_application):
            with pytest.raises(psycopg2.Error, match=r"never|append only|permission denied|kept"):
                connect().cursor().execute(change)


# --- sudden death ---------------------------------------------------------------------------------------------


def _send(at: str) -> None:
    notices.send(at=datetime.fromisoformat(at), seconds=60)
    os._exit(0)


def _drain(mail_server, *, kills: int, seed: int) -> int:
    """Send until nothing waits; the sender dies by SIGKILL at random messages that the server has taken."""
    chance, done = random.Random(seed), 0
    fork = multiprocessing.get_context("fork")
    at = LATER
    for _ in range(kills * 4 + 10):
        connections.close_all()
        child = fork.Process(target=_send, args=(at.isoformat(),))
        countdown = chance.randint(0, 4) if done < kills else -1

        def on_message(received, child=child) -> None:
            nonlocal countdown, done
            if countdown == 0:
                os.kill(child.pid, signal.SIGKILL)
                done += 1
            countdown -= 1

        mail_server.on_message = on_message
        child.start()
        child.join(60)
        assert child.exitcode in (0, -signal.SIGKILL)
        at += notices.LEASE + timedelta(seconds=1)
        if child.exitcode == 0 and not Notice.objects.filter(state="queued").exists():
            return done
    pytest.fail("not all went out")


def _prepare_all(count: int) -> None:
    """Prepare until that many are written: an open transaction of any database of the server holds the horizon back."""
    deadline = time.monotonic() + 300
    while Notice.objects.count() < count:
        notices.prepare(at=LATER)
        assert time.monotonic() < deadline, "the notices were never prepared"
        time.sleep(0.05)


def _killed_while_draining(mail_server, *, notices_to_send: int, kills: int) -> None:
    version = margin_rows.policy()
    moves = [margin_rows.issue(margin_rows.account(), version) for _ in range(notices_to_send)]
    for start in range(0, len(moves), 500):
        calls.carry_out(moves[start : start + 500], at=rows.MONDAY, actor=rows.SWEEPER)
    _prepare_all(notices_to_send)
    done = _drain(mail_server, kills=kills, seed=kills)
    assert done == kills
    copies = Counter(received.message_id for received in mail_server.received)
    assert set(copies) == set(Notice.objects.values_list("message_id", flat=True))  # none lost
    assert sum(copies.values()) - len(copies) <= kills  # at most one more copy a kill, under the same Message-ID
    assert set(Notice.objects.values_list("state", flat=True)) == {"sent"}
    assert not MarginCall.objects.filter(notified_at=None).exists()


def test_a_kill_between_the_servers_yes_and_our_mark_loses_nothing(django_as_application, mail_server):
    _killed_while_draining(mail_server, notices_to_send=30, kills=8)


@pytest.mark.long
def test_fifty_kills_while_draining_1200_lose_nothing(django_as_application, mail_server):
    _killed_while_draining(mail_server, notices_to_send=1200, kills=50)


def test_four_senders_at_once_send_each_notice_once(django_as_application, mail_server):
    for _ in range(20):
        rows.issued()
    _prepare_all(20)
    connections.close_all()
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=_send, args=(LATER.isoformat(),)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert len(mail_server.received) == len({received.message_id for received in mail_server.received}) == 20


def test_the_command_does_without_celery_what_the_task_does_with_it(django_as_application, mail_server):
    version = margin_rows.policy()
    rows.issued(version=version)
    call_command("send_notices")
    rows.issued(version=version)
    tasks.prepare_and_send()
    tasks.prepare_and_send()
    assert len(mail_server.received) == 2
    assert set(Notice.objects.values_list("state", flat=True)) == {"sent"}
