"""What people say of a client: readable while the client's key is there, gone with it, and no chain the worse."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import connection

from margin import approvals, calls, casework, confidence, history, liquidation
from margin import rows as door
from margin.models import Event, MarginCall, Plan
from tests.margin import liquidating, rows
from tests.margin.rows import AT, SWEEPER

pytestmark = pytest.mark.django_db
ERASED_AT = datetime(2026, 3, 9, 12, tzinfo=UTC)


@pytest.fixture
def keys(settings, tmp_path):
    settings.HISTORY_KEYS = str(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def call(keys):
    owner = rows.account()
    calls.carry_out([rows.issue(owner, rows.policy())], at=AT, actor=SWEEPER)
    return MarginCall.objects.get(account=owner)


def say(call, text, at=AT):
    calls.note(call, text=text, at=at, actor=rows.staff("ops", "Operations"))
    return Event.objects.filter(call=call).latest("seq")


def test_words_are_read_on_pages_and_are_not_in_the_database(call):
    event = say(call, "Frau Müller ruft zurück")
    assert door.read(event)["reason"] == "Frau Müller ruft zurück"
    assert "ller" not in event.body
    assert json.loads(event.body)["reason"].startswith(f"sealed:{call.account.client_id}:")


def test_they_are_aes_gcm_under_the_key_in_the_clients_file(call, keys):
    """Decrypted here from the stored token: number, then nonce of 12 bytes and ciphertext in URL-safe base64."""
    from base64 import urlsafe_b64decode

    _, client, hidden = json.loads(say(call, "rang twice").body)["reason"].split(":")
    key = bytes.fromhex((keys / f"subject-{client}.key").read_text())
    raw = urlsafe_b64decode(hidden)
    assert (len(key), AESGCM(key).decrypt(raw[:12], raw[12:], client.encode())) == (32, b"rang twice")
    assert (keys / f"subject-{client}.key").stat().st_mode & 0o777 == 0o600


def test_who_was_spoken_with_and_what_is_to_be_done_are_words_too(call):
    actor = rows.staff("ops", "Operations")
    casework.contact(
        call, channel="phone", direction="out", outcome="reached", text="pays", who="Ada King", at=AT, actor=actor
    )
    casework.open_task(call, kind="see", title="ask Ada again", due_at=AT.replace(hour=20), at=AT, actor=actor)
    told = [door.read(event)["details"] for event in Event.objects.filter(call=call).order_by("seq")[1:]]
    assert (told[0]["who"], told[1]["title"]) == ("Ada King", "ask Ada again")
    assert not Event.objects.filter(body__contains="Ada").exists()
    assert told[0]["channel"] == "phone"


def test_the_systems_own_words_stay_as_they_are(call):
    calls.carry_out(
        [calls.Move(calls.Verb.NOTE, call.account_id, call_id=call.pk, reason="merged")], at=AT, actor=SWEEPER
    )
    assert '"reason": "merged"' in Event.objects.latest("id").body


def test_with_its_key_the_words_are_gone_and_the_chain_is_not(call):
    other = rows.account()
    calls.carry_out([rows.issue(other, rows.policy())], at=AT, actor=SWEEPER)
    event, kept = say(call, "Frau Müller"), say(MarginCall.objects.get(account=other), "Herr Maier")
    confidence.destroy(call.account.client_id, at=ERASED_AT)
    assert door.read(event)["reason"] == "erased on 2026-03-09"
    assert door.read(kept)["reason"] == "Herr Maier"
    assert history.verify(call.account) == []


def test_nothing_is_left_of_a_destroyed_key(call, keys):
    say(call, "x")
    client = call.account.client_id
    inode = (keys / f"subject-{client}.key").stat().st_ino
    other_name = keys.parent / "link"
    os.link(keys / f"subject-{client}.key", other_name)
    confidence.destroy(client, at=ERASED_AT)
    confidence.destroy(client, at=AT)
    assert sorted(file.name for file in keys.iterdir()) == [f"subject-{client}.erased"]
    assert other_name.stat().st_ino == inode
    assert set(other_name.read_text().strip()) <= {"0"}, "the bytes themselves were overwritten"
    assert (confidence.erased_at(client), confidence.erased_clients()) == (ERASED_AT, {client})


def test_of_an_erased_client_nothing_more_is_written(call):
    confidence.destroy(call.account.client_id, at=ERASED_AT)
    with pytest.raises(calls.Refused, match="was erased; nothing more is written"):
        say(call, "one more thing")


def test_without_the_folder_of_keys_words_are_refused_rather_than_kept_in_clear(call, settings):
    settings.IN_PRODUCTION, settings.HISTORY_KEYS = True, str(Path(settings.HISTORY_KEYS) / "not_mounted")
    with pytest.raises(calls.Refused, match="the history's keys are not in"):
        say(call, "x")


def test_a_key_that_was_lost_is_told_apart_from_one_that_was_destroyed(call, keys):
    event = say(call, "x")
    (keys / f"subject-{call.account.client_id}.key").unlink()
    assert door.read(event)["reason"] == "not readable here: the client's key is missing"


def test_why_a_plan_was_proposed_is_read_from_its_row_and_is_not_in_it(keys):
    call = liquidating.escalated()
    plan = liquidation.propose(call, at=liquidating.LATER, actor=rows.staff("ops", "Operations"), reason="Ada asks")
    assert plan.reason == "Ada asks"
    with connection.cursor() as cursor:
        cursor.execute("SELECT reason FROM margin_plan")
        assert cursor.fetchone()[0].startswith(f"sealed:{call.account.client_id}:")
    approvals.reject(plan, at=liquidating.LATER, actor=rows.staff("sue", "Supervisor"), reason="Ada paid")
    confidence.destroy(call.account.client_id, at=ERASED_AT)
    assert Plan.objects.get().reason == "erased on 2026-03-09"


@pytest.mark.parametrize("typed", ["sealed:", "sealed:1:x", "sealed:7:" + "A" * 40, "sealed:9:" + "é" * 40])
def test_words_that_look_encrypted_are_words(call, typed):
    assert door.read(say(call, typed))["reason"] == typed


def test_the_longest_words_fit_into_an_event(call):
    assert door.read(say(call, "ü" * 350))["reason"] == "ü" * 350
    with pytest.raises(calls.Refused, match="701 bytes long; say it in at most 700"):
        say(call, "x" * 701)
