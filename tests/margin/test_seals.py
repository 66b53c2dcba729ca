"""Seals: every event in exactly one, whatever commits late; keys outside, rotated twice; the table refuses the rest."""

import hashlib
import hmac
import threading
from datetime import timedelta

import psycopg2
import pytest
from django.db import connection

from margin import calls, history, history_keys, seals
from margin.models import Event, Seal, Sweep, SweepDigest
from tests.margin import rows
from tests.margin.rows import AT, SWEEPER
from verifier import verify


@pytest.fixture
def keys(settings, tmp_path):
    settings.HISTORY_KEYS = str(tmp_path / "keys")
    settings.HISTORY_ANCHOR_FILE = str(tmp_path / "anchors.txt")
    return tmp_path / "keys"


def issue(number=1):
    version = rows.policy()
    for _ in range(number):
        owner = rows.account()
        calls.carry_out([rows.issue(owner, version)], at=AT, actor=SWEEPER)


def sealed_ids():
    return sorted(
        n for seal in Seal.objects.all() for low, high in verify.ranges(seal.events) for n in range(low, high)
    )


def test_a_seal_covers_all_events_and_the_next_only_the_new_ones(committed_db, keys):
    issue(3)
    first = seals.seal(at=AT)
    issue(2)
    second = seals.seal(at=AT)
    assert (first.number, first.size, second.number, second.size) == (1, 3, 2, 2)
    assert seals.seal(at=AT) is None
    assert sealed_ids() == sorted(Event.objects.values_list("pk", flat=True))
    assert history.verify_all().faults == []


def test_the_code_is_hmac_sha256_of_the_seals_lines(committed_db, keys):
    """Computed here from RFC 2104's definition over the lines that docs/history.md names."""
    issue()
    seal = seals.seal(at=AT)
    event = Event.objects.get()
    digest = hashlib.sha256(f"event {event.pk} {event.hash}\n".encode()).hexdigest()
    lines = ["margin-seal-1", "1", "2026-03-02T15:00:00Z", seal.system, str(seal.horizon)]
    lines += [f"{{[{event.pk},{event.pk + 1})}}", "{}", "1", digest, seal.key_id, "", ""]
    key = bytes.fromhex((keys / f"{seal.key_id}.key").read_text())
    assert seal.mac == hmac.new(key, "\n".join(lines).encode(), "sha256").hexdigest()


def test_an_event_that_commits_late_is_in_the_next_seal(committed_db, keys):
    """A transaction holds a lower id than one that is sealed: "id greater than the last" would lose it (E4b)."""
    rows.policy()
    slow, fast = rows.account(), rows.account()
    version = rows.policy()
    written, may_commit = threading.Event(), threading.Event()

    def write_slowly():
        from django.db import transaction

        with transaction.atomic():
            calls.carry_out([rows.issue(slow, version)], at=AT, actor=SWEEPER)
            written.set()
            may_commit.wait(20)
        connection.close()

    thread = threading.Thread(target=write_slowly)
    thread.start()
    assert written.wait(20)
    calls.carry_out([rows.issue(fast, version)], at=AT, actor=SWEEPER)
    first = seals.seal(at=AT)
    may_commit.set()
    thread.join()
    second = seals.seal(at=AT)
    late, early = Event.objects.get(account=slow), Event.objects.get(account=fast)
    assert late.pk < early.pk
    assert (first.events, second.events) == (f"{{[{early.pk},{early.pk + 1})}}", f"{{[{late.pk},{late.pk + 1})}}")
    assert history.verify_all().faults == []


def test_two_rotations_leave_every_seal_verifiable_and_are_sealed_themselves(committed_db, keys):
    for _ in range(2):
        issue()
        seals.seal(at=AT)
        seals.rotate(at=AT)
    issue()
    seals.seal(at=AT)
    used = list(Seal.objects.order_by("number").values_list("key_id", "next_key"))
    assert len({key for key, _ in used}) == 3
    assert [bool(following) for _, following in used] == [False, True, False, True, False]
    assert (used[1][1], used[3][1]) == (used[2][0], used[4][0])
    assert history.verify_all().faults == []


def test_a_key_made_by_an_unfinished_rotation_is_not_used(committed_db, keys):
    issue()
    first = seals.seal(at=AT)
    history_keys.make()
    issue()
    assert seals.seal(at=AT).key_id == first.key_id


def test_without_its_key_nothing_is_sealed(committed_db, keys):
    issue()
    first = seals.seal(at=AT)
    (keys / f"{first.key_id}.key").unlink()
    issue()
    with pytest.raises(history_keys.KeysMissing, match=first.key_id):
        seals.seal(at=AT)
    assert Seal.objects.count() == 1


def test_a_history_from_another_system_is_sealed_anew_from_its_beginning(committed_db, keys, superuser):
    """Restored rows keep transaction numbers that the new server has not reached."""
    issue(2)
    seals.seal(at=AT)
    tamper(superuser, "UPDATE margin_seal SET system = 'elsewhere/1', horizon = 10000000000")
    issue(1)
    assert seals.seal(at=AT).size == 1
    assert len(sealed_ids()) == 3


def test_a_finished_sweep_is_digested_once_and_a_running_one_waits(committed_db, keys):
    version = rows.policy()
    found = rows.assessment(rows.account(), version)
    assert seals.seal(at=AT) is None
    Sweep.objects.filter(pk=found.sweep_id).update(state="complete", finished_at=AT)
    seal = seals.seal(at=AT + timedelta(minutes=1))
    assert (seal.size, seal.sweeps) == (0, f"{{[{found.sweep_id},{found.sweep_id + 1})}}")
    assert SweepDigest.objects.get().digest
    assert seals.seal(at=AT + timedelta(minutes=2)) is None
    assert history.verify_all().faults == []


def test_the_digest_of_a_sweep_is_the_databases_own_whatever_is_inserted(committed_db, keys, as_application):
    version = rows.policy()
    found = rows.assessment(rows.account(), version)
    Sweep.objects.filter(pk=found.sweep_id).update(state="complete", finished_at=AT)
    connected = as_application()
    with connected, connected.cursor() as cursor:
        cursor.execute("INSERT INTO margin_sweepdigest (sweep_id, digest) VALUES (%s, 'forged')", [found.sweep_id])
        cursor.execute("SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'")
        cursor.execute("SELECT line FROM margin_sweep_rows(%s)", [found.sweep_id])
        each = "".join(hashlib.sha256(line.encode()).hexdigest() for (line,) in cursor.fetchall())
    assert SweepDigest.objects.get().digest == hashlib.sha256(each.encode()).hexdigest()


ATTACKS = {
    "change a seal": "UPDATE margin_seal SET size = 5",
    "delete a seal": "DELETE FROM margin_seal",
    "empty the seals": "TRUNCATE margin_seal",
    "change a digest": "UPDATE margin_sweepdigest SET digest = 'x'",
    "delete a digest": "DELETE FROM margin_sweepdigest",
    "a seal out of its place": "INSERT INTO margin_seal SELECT 7, sealed_at, system, horizon, '{}', '{}', 0, digest,"
    " key_id, '', mac, mac FROM margin_seal",
    "a seal that continues nothing": "INSERT INTO margin_seal SELECT 2, sealed_at, system, horizon, '{}', '{}', 0,"
    " digest, key_id, '', 'x', mac FROM margin_seal",
    "an event in a second seal": "INSERT INTO margin_seal SELECT 2, sealed_at, system, horizon, events, '{}', size,"
    " digest, key_id, '', mac, mac FROM margin_seal",
}


@pytest.mark.parametrize("role", ["as_application", "as_owner"])
def test_what_was_sealed_is_refused_any_change(committed_db, keys, request, role):
    version = rows.policy()
    found = rows.assessment(rows.account(), version)
    Sweep.objects.filter(pk=found.sweep_id).update(state="complete", finished_at=AT)
    issue()
    seals.seal(at=AT)
    connected = request.getfixturevalue(role)()
    for attack in ATTACKS.values():
        with pytest.raises(psycopg2.Error) as refusal, connected, connected.cursor() as cursor:
            cursor.execute(attack)
        assert refusal.value.pgcode in {"23001", "42501", "23P01"}, refusal.value


def tamper(superuser, *statements):
    """As somebody who owns the server: the bolts off, the deed, the bolts on again."""
    connected = superuser()
    with connected, connected.cursor() as cursor:
        tables = ("margin_event", "margin_chain", "margin_seal", "margin_sweepdigest", "margin_margincall")
        tables += ("margin_assessment", "margin_measure", "margin_sweepprice", "margin_cure")
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        for statement in statements:
            cursor.execute(statement)
    connected.close()
