"""What somebody who owns the server could do to the history, and how each deed is named.

The deeds of E25 (reliability.md) and more, done with the bolts off. Each is looked for three times: by
`history.verify_all`, by the stand-alone verifier on an export, and, where only the outside shows it, in the anchors.
"""

import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as house
from django.db import connection

from margin import anchors, calls, exports, history, sealing
from margin.models import Event, MarginCall, Sweep
from margin.workflow import Resolution
from tests import conftest
from tests.margin import rows
from tests.margin.rows import AT, SWEEPER
from tests.margin.test_seals import tamper
from verifier import verify

VERIFIER = Path(__file__).parents[2] / "verifier" / "verify.py"
LATER = AT + timedelta(hours=1)


@pytest.fixture(scope="module")
def sealed(django_db_setup, django_db_blocker, server, tmp_path_factory):
    """A template with two accounts, two calls, a finished sweep, and seals up to the last event but none after."""
    folder = tmp_path_factory.mktemp("outside")
    before = house.HISTORY_KEYS, house.HISTORY_ANCHOR_FILE
    house.HISTORY_KEYS, house.HISTORY_ANCHOR_FILE = str(folder / "keys"), str(folder / "anchors.txt")
    with conftest.committed_clone(server, django_db_blocker) as made:
        version = rows.policy()
        for _ in range(2):
            owner = rows.account()
            found = rows.assessment(owner, version)
            calls.carry_out([rows.issue(owner, version, assessment_id=found.pk)], at=AT, actor=SWEEPER)
            call = MarginCall.objects.get(account=owner)
            calls.notified([call.pk], at=AT, actor=SWEEPER)
            sealing.seal(at=AT)
        Sweep.objects.update(state="complete", finished_at=AT)
        calls.meet(call, how=Resolution.CASH, at=LATER, actor=SWEEPER)
        sealing.seal(at=LATER)
        sealing.anchor(at=LATER)
        connection.close()
        yield made.name
    house.HISTORY_KEYS, house.HISTORY_ANCHOR_FILE = before


@pytest.fixture
def copy(sealed, server, django_db_blocker, settings, tmp_path):
    """A copy of it for one deed, with its own copy of what lies outside."""
    name = f"{sealed}_deed"
    connection.close()
    conftest.clone(server, sealed, name)
    base = settings.DATABASES["default"]["NAME"]
    with django_db_blocker.unblock():
        settings.DATABASES["default"]["NAME"] = name
        for setting in ("HISTORY_KEYS", "HISTORY_ANCHOR_FILE"):
            source = Path(getattr(house, setting))
            target = tmp_path / source.name
            if source.is_dir():
                target.mkdir()
                for file in source.iterdir():
                    (target / file.name).write_text(file.read_text())
            else:
                target.write_text(source.read_text())
            setattr(settings, setting, str(target))
        yield tmp_path
        connection.close()
        settings.DATABASES["default"]["NAME"] = base
        conftest.drop(server, name)


RECHAIN = """
DO $$
DECLARE
    e record;
    head text := '';
    account bigint := 0;
BEGIN
    FOR e IN SELECT * FROM margin_event ORDER BY account_id, seq LOOP
        IF e.account_id <> account THEN
            account := e.account_id;
            head := '';
        END IF;
        UPDATE margin_event SET previous_hash = head,
            hash = encode(sha256(convert_to(head || E'\\n' || e.body, 'UTF8')), 'hex') WHERE id = e.id;
        head := encode(sha256(convert_to(head || E'\\n' || e.body, 'UTF8')), 'hex');
        UPDATE margin_chain c SET head = head_, seq = e.seq FROM (SELECT head AS head_) x WHERE c.account_id = account;
    END LOOP;
END $$
"""
SECOND = "(SELECT max(account_id) FROM margin_event)"
LAST = f"account_id = {SECOND} AND seq = 3"
INSERTED = f"""
INSERT INTO margin_event (id, account_id, seq, call_id, kind, at, recorded_at, transaction_id, body, previous_hash,
    hash)
SELECT nextval('margin_event_id'), account_id, 4, call_id, 'call.note', at, recorded_at, transaction_id, body,
    previous_hash, hash FROM margin_event WHERE account_id = {SECOND} AND seq = 2
"""
SWAP = f"""
UPDATE margin_event SET seq = seq + 100 WHERE account_id = {SECOND};
UPDATE margin_event SET seq = 5 - (seq - 100) WHERE account_id = {SECOND} AND seq > 101;
UPDATE margin_event SET seq = 1 WHERE seq = 101
"""
LOWER = 'UPDATE margin_event SET body = replace(body, \'"amount_called": "100"\', \'"amount_called": "90"\')'


@dataclass(frozen=True)
class Deed:
    """SQL with the bolts off, and the word by which every look must name it."""

    sql: tuple[str, ...]
    named: str


DEEDS = {
    "a body is changed": Deed((f"{LOWER} WHERE {LAST}",), "changed: its body is not what was hashed"),
    "an event is deleted": Deed(
        (f"DELETE FROM margin_event WHERE account_id = {SECOND} AND seq = 2",), "deleted: events 2 to 2"
    ),
    "an event is put in": Deed((INSERTED,), "its column seq is not what its body says"),
    "events change places": Deed((SWAP,), "reordered: its column seq is not what its body says"),
    "the tail is cut": Deed((f"DELETE FROM margin_event WHERE {LAST}",), "truncated: the head stands at 3"),
    "the tail is cut with its head": Deed(
        (
            f"DELETE FROM margin_event WHERE {LAST}",
            f"UPDATE margin_chain SET seq = 2, head = (SELECT hash FROM margin_event WHERE account_id = {SECOND}"
            f" AND seq = 2) WHERE account_id = {SECOND}",
        ),
        "deleted or truncated: event id",
    ),
    "a chain is recomputed": Deed((LOWER, RECHAIN), "recomputed: its 2 events or its sweeps"),
    "an event is put in and the chain recomputed": Deed(
        (
            INSERTED,
            "UPDATE margin_event SET body = jsonb_set(jsonb_set(jsonb_set(body::jsonb, '{seq}', '4'), '{id}',"
            " to_jsonb(id)), '{kind}', '\"call.note\"')::text WHERE seq = 4",
            "UPDATE margin_event SET recorded_at = recorded_at - interval '1 year', body = jsonb_set(body::jsonb,"
            " '{recorded_at}', to_jsonb(to_char((recorded_at - interval '1 year') AT TIME ZONE 'UTC',"
            ' \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')))::text WHERE seq = 4',
            RECHAIN,
        ),
        "inserted: no seal covers it",
    ),
    "a row is changed without event": Deed(
        ("UPDATE margin_margincall SET due_at = due_at + interval '1 day' WHERE state = 'issued'",),
        "row changed without event: its due_at",
    ),
    "a call is deleted": Deed(("DELETE FROM margin_margincall WHERE state = 'issued'",), "the row is not"),
    "an amount is changed in row and event": Deed(
        (
            f"{LOWER} WHERE account_id = {SECOND}",
            RECHAIN,
            f"UPDATE margin_margincall SET amount_called = 90 WHERE account_id = {SECOND}",
        ),
        "recomputed: its",
    ),
    "a snapshot is changed": Deed(
        ("UPDATE margin_assessment SET revision = revision + 1",), "changed snapshot: its prices or assessments"
    ),
    "a snapshot is changed with its digest": Deed(
        (
            "UPDATE margin_assessment SET revision = revision + 1",
            "UPDATE margin_sweepdigest SET digest = margin_sweep_digest(sweep_id)",
        ),
        "recomputed: its",
    ),
    "a seal is changed": Deed(
        ("UPDATE margin_seal SET sealed_at = sealed_at - interval '1 second' WHERE number = 1",), "changed seal"
    ),
    "a seal is deleted": Deed(("DELETE FROM margin_seal WHERE number = 2",), "deleted: seals 2 to 2 are missing"),
    "the last seal is cut off": Deed(
        ("DELETE FROM margin_seal WHERE number = 3",), "truncated: the seal of 2026-03-02T16:00:00Z is missing"
    ),
    "a head is moved": Deed((f"UPDATE margin_chain SET seq = 2 WHERE account_id = {SECOND}",), "the head stands at 2"),
}


def looked_at(folder: Path, *, with_snapshots: bool = True) -> tuple[list[str], list[str]]:
    """What the house's own look names, and what the stand-alone verifier does."""
    own = [str(fault) for fault in history.verify_all().faults]
    exports.write(folder / "export.zip", at=LATER, with_snapshots=with_snapshots)
    return own, stand_alone(folder)


def stand_alone(folder: Path) -> list[str]:
    """The verifier as an auditor runs it: another interpreter, without our packages (-I: nor our path)."""
    words = [folder / "export.zip", "--keys", house.HISTORY_KEYS, "--anchors", house.HISTORY_ANCHOR_FILE]
    command = [sys.executable, "-I", "-S", VERIFIER, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()[:-1]


def test_an_untouched_history_is_intact_to_both(copy):
    assert looked_at(copy) == ([], [])
    connection.close()


@pytest.mark.parametrize("name", DEEDS)
def test_the_deed_is_named(copy, superuser, name):
    deed = DEEDS[name]
    tamper(superuser, *deed.sql)
    own, others = looked_at(copy)
    assert [line for line in own if deed.named in line], own
    assert [line for line in others if deed.named in line], others


def reseal_with_forged_key(folder: Path, superuser) -> None:
    """Whoever has the server but not the key makes a key of their own and seals all anew."""
    tamper(superuser, LOWER, RECHAIN, "DELETE FROM margin_seal", "DELETE FROM margin_sweepdigest")
    keys = Path(house.HISTORY_KEYS)
    for file in keys.iterdir():
        file.rename(folder / file.name)
    sealing.seal(at=LATER)
    connection.close()
    for file in folder.glob("k*.key"):
        file.rename(keys / file.name)


def test_a_history_sealed_anew_with_another_key_is_named_by_the_anchors_and_by_the_missing_key(copy, superuser):
    reseal_with_forged_key(copy, superuser)
    forged = list(Path(house.HISTORY_KEYS).glob("k*.key"))
    own, _ = looked_at(copy)
    assert [line for line in own if "anchor of seal 3: truncated" in line], own
    assert len(forged) == 2  # the auditor's folder holds the old key alone:
    old = {file.stem for file in forged} - {seal.key_id for seal in history.Seal.objects.all()}
    for file in forged:
        if file.stem not in old:
            file.unlink()
    others = stand_alone(copy)
    assert [line for line in others if "replaced key: there is no key" in line], others


def test_a_seal_made_with_another_key_in_the_middle_is_named(copy, superuser):
    tamper(superuser, "UPDATE margin_seal SET key_id = 'k000000000000000000000000' WHERE number = 2")
    own, others = looked_at(copy)
    for lines in (own, others):
        assert [line for line in lines if "replaced key: it is made with k000000000000000000000000" in line]


def test_a_key_file_with_another_key_in_it_is_named(copy):
    (file,) = Path(house.HISTORY_KEYS).glob("k*.key")
    file.write_text("00" * 32)
    own, others = looked_at(copy)
    for lines in (own, others):
        assert [line for line in lines if "replaced key: the file holds another key than its name says" in line]


def test_an_anchor_that_was_rewritten_is_named(copy):
    file = Path(house.HISTORY_ANCHOR_FILE)
    number, at, code, system = file.read_text().split()
    file.write_text(f"{number} {at} {code[::-1]} {system}\n")
    own, others = looked_at(copy)
    for lines in (own, others):
        assert [line for line in lines if "anchor of seal 3: recomputed" in line]


def test_seals_cannot_be_declared_lost_by_somebody_without_a_key(copy, superuser):
    tamper(superuser, "DELETE FROM margin_seal WHERE number = 3")
    code, system = anchors.lines()[-1].split()[2:]
    anchors.append(verify.excuse(b"guessed", 2, 2, "k000000000000000000000000", code, system))
    own, others = looked_at(copy)
    for lines in (own, others):
        assert [line for line in lines if "nobody with a key declared these seals lost" in line]


def test_an_old_declaration_of_lost_seals_put_in_once_more_excuses_no_later_ones():
    """A restore lost seal 2 and that was declared; then the history is cut after seal 1, and the line repeated."""
    key, system = b"the key", "7/8"
    key_id = verify.fingerprint(key)
    line = verify.excuse(key, 2, 1, key_id, "b" * 64, system)
    told = [f"1 2026-03-02T15:00:00Z {'a' * 64} {system}", f"2 2026-03-02T15:05:00Z {'b' * 64} {system}", line]
    later = f"2 2026-03-02T16:00:00Z {'c' * 64} {system}"
    one = verify.Seal(1, "2026-03-02T15:00:00Z", system, 9, "{[1,3)}", "{}", 2, "", key_id, "", "", "a" * 64)
    assert list(verify.anchor_faults(told, [one], {key_id: key})) == []
    found = [str(fault) for fault in verify.anchor_faults([*told, later, line], [one], {key_id: key})]
    assert found == [
        "anchor of seal 2: truncated: the seal of 2026-03-02T16:00:00Z is missing; the history is shorter than it was"
    ]


def test_a_history_sealed_anew_with_the_very_key_is_named_by_the_anchors(copy, superuser):
    """Whoever has the server and the key makes as many seals of the same instants anew; what lies outside tells."""
    tamper(superuser, LOWER, RECHAIN, "DELETE FROM margin_seal", "DELETE FROM margin_sweepdigest")
    for at in (AT, AT, LATER):
        sealing.rotate(at=at)
    own, others = looked_at(copy)
    for lines in (own, others):
        assert [line for line in lines if "anchor of seal 3: recomputed: the seal had another code" in line], lines


def test_every_single_byte_of_a_body_matters_to_the_verifier(copy):
    """500 random flips of one byte of one event's body, each named."""
    import random

    exports.write(copy / "export.zip", at=LATER, with_snapshots=False)
    export = verify.Export(copy / "export.zip")
    events = list(export.events())
    chosen = random.Random(20081)
    for _ in range(500):
        place = chosen.randrange(len(events))
        event = events[place]
        byte = chosen.randrange(len(event.body))
        letter = chr((ord(event.body[byte]) + chosen.randrange(1, 94) - 32) % 94 + 32)
        if letter == event.body[byte]:
            continue
        changed = event._replace(body=event.body[:byte] + letter + event.body[byte + 1 :])
        chain = [changed if each is event else each for each in events if each.account == event.account]
        assert [f for f in verify.chain_faults(event.account, chain, None) if "not what was hashed" in f.what]


def test_the_arithmetic_is_that_of_sha256sum_and_openssl():
    """printf 'a\\nb' | sha256sum; printf 'margin-key\\n0123' | sha256sum; openssl dgst -sha256 -hmac key FILE."""
    assert verify.link("a", "b") == "7e18f737311b2dc3b2f269dd78396b0351f14fb66efa879f768cb23181883c78"
    seal = verify.Seal(1, "2026-03-02T15:00:00Z", "7/8", 9, "{[1,3)}", "{}", 2, "abc", "k1", "", "", "")
    assert verify.mac(b"key", seal) == "a18bbd9f001d2f39f56a3f7e1cf531ec0ad740a040e633ec3612562e4360942c"
    assert verify.fingerprint(b"0123") == "k2e95f92131e45723607a73a8"
    assert history.link is verify.link


def test_the_export_holds_every_event_as_it_was_hashed(copy):
    exports.write(copy / "export.zip", at=LATER, with_snapshots=False)
    export = verify.Export(copy / "export.zip")
    assert {e.hash for e in export.events()} == set(Event.objects.values_list("hash", flat=True))
    assert json.loads(next(export.events()).body)["kind"] == "call.issued"


# --- an export that somebody edited ---------------------------------------------------------------------------


def without(column):
    def edit(text):
        rows = [json.loads(line) for line in text.splitlines()]
        return "".join(json.dumps({name: row[name] for name in row if name != column}) + "\n" for row in rows)

    return edit


EDITS = {
    "a call's amount is taken out": ("calls.jsonl", without("amount_outstanding"), "its amount_outstanding is not"),
    "the calls' state is taken out": ("calls.jsonl", without("state"), "its state is not what event"),
    "a sweep's prices are taken out": (
        "snapshots.jsonl", lambda text: "".join(text.splitlines(keepends=True)[:-1]), "snapshot",
    ),
    "every snapshot is taken out": ("snapshots.jsonl", lambda text: "", "deleted snapshot"),
    "a sweep is invented": (
        "snapshots.jsonl", lambda text: text + '{"sweep": 999, "row": "[1, 50]"}\n', "inserted snapshot: no such sweep",
    ),
    "the manifest counts more events": (
        "manifest.json", lambda text: text.replace('"events": ', '"events": 9'), "where its manifest says 9",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_export_is_named(copy, name):
    file, edit, named = EDITS[name]
    exports.write(copy / "whole.zip", at=LATER, with_snapshots=True)
    with zipfile.ZipFile(copy / "whole.zip") as whole, zipfile.ZipFile(copy / "export.zip", "w") as edited:
        for each in whole.namelist():
            text = whole.read(each).decode()
            edited.writestr(each, edit(text) if each == file else text)
    faults = stand_alone(copy)
    assert [line for line in faults if named in line], faults
