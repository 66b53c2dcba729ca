"""A house is dumped, goes on, and is restored: it notices, holds what it would send, is compared, and goes on."""

import subprocess
from datetime import timedelta
from io import StringIO

import psycopg2
import psycopg2.extensions
import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connection

from backoffice import embedded
from margin import calls, confidence, epochs, history, sealing
from margin.models import Alarm, MarginCall, Seal, SystemEpoch
from market import clock
from notifications import notices
from notifications.models import Notice
from tests import conftest
from tests.margin import rows
from tests.margin.rows import AT, SWEEPER


@pytest.fixture
def outside(settings, tmp_path):
    settings.HISTORY_KEYS = str(tmp_path / "keys")
    settings.HISTORY_ANCHOR_FILE = str(tmp_path / "anchors.txt")
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    return tmp_path


def issue():
    owner = rows.account()
    version = rows.policy()
    found = rows.assessment(owner, version)
    calls.carry_out([rows.issue(owner, version, assessment_id=found.pk)], at=AT, actor=SWEEPER)
    return owner


def staff():
    rows.staff("ann", "Supervisor")
    rows.staff("bob", "Risk")
    User.objects.update(is_staff=True)


def said(*words):
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def postgresql(name, *words):
    done = subprocess.run(
        [str(embedded._postgresql_binaries() / name), *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_fresh_house_is_in_its_first_epoch_and_holds_nothing(committed_db, outside):
    epoch = epochs.look(at=AT)
    assert (epoch.number, epoch.is_held, epochs.look(at=AT).number) == (1, False, 1)


def test_a_dump_restored_elsewhere_holds_its_mails_until_two_people_looked(
    committed_db, outside, server, settings, django_db_blocker
):
    """D7, by the commands of docs/operations.md: pg_dump, createdb, pg_restore."""
    staff()
    issue()
    epochs.look(at=AT)
    sealing.seal(at=AT)
    sealing.anchor(at=AT)
    connection.close()
    name, url = f"{committed_db.name}_restored", server.superuser_url or server.owner_url
    dump = outside / "margin_desk.dump"
    postgresql("pg_dump", "-Fc", "-f", str(dump), conftest.in_database(url, committed_db.name))
    assert (notices.prepare(at=AT), notices.send(at=AT)) == (1, 1)
    issue()  # after the backup: lost
    sealing.seal(at=AT + timedelta(minutes=5))
    line = sealing.anchor(at=AT + timedelta(minutes=5))
    connection.close()
    owner = psycopg2.extensions.parse_dsn(server.owner_url)["user"]
    with conftest.connected(url) as connected, connected.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}" OWNER "{owner}"')
    postgresql("pg_restore", "--exit-on-error", "-d", conftest.in_database(url, name), str(dump))
    base = settings.DATABASES["default"]["NAME"]
    settings.DATABASES["default"]["NAME"] = name
    try:
        goes_on(line, outside, cause="another database of the same server")
    finally:
        connection.close()
        settings.DATABASES["default"]["NAME"] = base
        conftest.drop(server, name)


def goes_on(line, outside, *, cause):
    """The house on what is left: all but a second call and its seal, and the letter that went out is not in it."""
    assert (MarginCall.objects.count(), Notice.objects.count()) == (1, 0)
    (sent,) = (each for each in mail.outbox if "Message-ID" in each.extra_headers)
    mail.outbox.clear()
    assert notices.prepare(at=clock.now()) == 1
    assert notices.send(at=clock.now()) == 0
    assert mail.outbox == []
    epoch = SystemEpoch.objects.first()
    assert (epoch.number, epoch.is_held, epoch.kept_seal) == (2, True, 1)
    assert cause in epoch.cause
    assert Alarm.objects.get(kind="epoch_held").cleared_at is None
    with pytest.raises(epochs.Held, match="reconcile_epoch"):
        epochs.require_open(at=clock.now())
    issue()  # sweeps go on; nobody hears of it
    sealing.seal(at=clock.now())
    assert sealing.anchor(at=clock.now()) is None
    assert [f"anchor of seal 2: recomputed: the seal had another code at {line.split()[1]}"] == [
        str(fault) for fault in history.verify_all().faults
    ]
    found = said("reconcile_epoch", "--by", "ann")
    assert "LOST: what was recorded between 2026-03-02T15:00:00+00:00 and 2026-03-02T15:05:00Z (seals 2 to 2" in found
    with pytest.raises(CommandError, match="1 waiting mails may have gone out already: compare again with --mail-log"):
        said("reconcile_epoch", "--by", "bob", "--release", "--reason", "compared")
    log = outside / "mail.log"
    log.write_text(f"Mar  2 15:00:01 mx postfix/cleanup[7]: 4F1: message-id={sent.extra_headers['Message-ID']}\n")
    found = said("reconcile_epoch", "--by", "ann", "--mail-log", str(log))
    assert "1 waiting mails stand in the mail log" in found
    assert "0 waiting mails do not" in found
    with pytest.raises(CommandError, match="needs two people"):
        said("reconcile_epoch", "--by", "ann", "--release", "--reason", "compared")
    with pytest.raises(CommandError, match="a reason is needed"):
        said("reconcile_epoch", "--by", "bob", "--release")
    assert notices.send(at=clock.now()) == 0
    assert "senders go on" in said("reconcile_epoch", "--by", "bob", "--release", "--reason", "deposits booked again")
    assert history.verify_all().faults == []
    notices.prepare(at=clock.now())
    assert notices.send(at=clock.now()) == 1  # the letter that is in the log is not sent twice
    (told,) = (each for each in mail.outbox if "Message-ID" in each.extra_headers)
    assert told.extra_headers["Message-ID"] != sent.extra_headers["Message-ID"]
    assert not Notice.objects.filter(state="queued").exists()
    assert sealing.anchor(at=clock.now())
    assert history.verify_all().faults == []
    assert Alarm.objects.get(kind="epoch_held").cleared_at is not None
    assert Seal.objects.count() == 2


def test_a_client_whom_a_restore_brought_back_keeps_the_house_held_until_erased_again(committed_db, outside):
    staff()
    erased = issue().client
    epochs.look(at=AT)
    call_command("begin_epoch", "--by", "ann", "--cause", "restored from the tape", stdout=StringIO())
    confidence.destroy(erased.pk, at=AT)  # as it was before the tape
    assert f"UNSETTLED: client {erased.code}: its key is destroyed" in said(
        "reconcile_epoch", "--by", "ann", "--no-mail-log"
    )
    with pytest.raises(CommandError, match="its rows were restored; erase it again"):
        said("reconcile_epoch", "--by", "bob", "--release", "--reason", "compared")


def test_a_history_put_back_in_place_is_noticed_by_the_mark_beside_the_keys(committed_db, outside, superuser):
    """The same files of the same server, as they were a minute ago: nothing but the mark tells."""
    issue()
    epochs.look(at=AT)
    sealing.seal(at=AT)
    issue()
    sealing.seal(at=AT)
    connected = superuser()
    with connected, connected.cursor() as cursor:
        cursor.execute("ALTER TABLE margin_seal DISABLE TRIGGER ALL")
        cursor.execute("DELETE FROM margin_seal WHERE number = 2")
    epoch = epochs.look(at=AT)
    assert (epoch.number, epoch.is_held) == (2, True)
    assert "shorter than it was" in epoch.cause
    assert epochs.look(at=AT).number == 2


@pytest.mark.parametrize(
    ("column", "value", "cause"),
    [
        ("system_identifier", "'1'", "another database system"),
        ("timeline", "99", "failover or recovery: timeline"),
        ("database_oid", "1", "another database of the same server"),
    ],
)
def test_another_system_timeline_or_database_opens_an_epoch(committed_db, outside, superuser, column, value, cause):
    epochs.look(at=AT)
    connected = superuser()
    with connected, connected.cursor() as cursor:
        cursor.execute("ALTER TABLE margin_systemepoch DISABLE TRIGGER ALL")
        cursor.execute(f"UPDATE margin_systemepoch SET {column} = {value}")
        cursor.execute("ALTER TABLE margin_systemepoch ENABLE ALWAYS TRIGGER margin_systemepoch_is_kept")
    assert cause in epochs.look(at=AT).cause
    assert SystemEpoch.objects.count() == 2


def test_the_application_role_cannot_release_what_it_did_not_compare_nor_go_back(committed_db, outside, as_application):
    epochs.look(at=AT)
    epochs.begin("restored by hand", at=AT)
    connected = as_application()
    for attack in (
        "UPDATE margin_systemepoch SET released_at = now() WHERE number = 2",
        "UPDATE margin_systemepoch SET database_oid = 1 WHERE number = 2",
        "UPDATE margin_systemepoch SET cause = '' WHERE number = 1",
        "DELETE FROM margin_systemepoch",
        "INSERT INTO margin_systemepoch SELECT 3, now(), 'x', '1', 1, 1, 0, '{}', NULL, now(), '', NULL, NULL",
    ):
        with pytest.raises(psycopg2.Error), connected, connected.cursor() as cursor:
            cursor.execute(attack)
    assert epochs.look(at=AT).is_held


def test_an_epoch_is_opened_by_hand_where_the_house_cannot_know(committed_db, outside):
    rows.staff("ann", "Supervisor")
    User.objects.update(is_staff=True)
    assert "epoch 2 holds every sender" in said("begin_epoch", "--by", "ann", "--cause", "restored with its keys")
    issue()
    notices.prepare(at=clock.now())
    assert notices.send(at=clock.now()) == 0
    with pytest.raises(CommandError, match="no active member of staff"):
        said("begin_epoch", "--by", "nobody", "--cause", "restored")
