"""The database keeps the promises: what the door does not do, nobody does."""

import psycopg2
import pytest
from django.db import connection

from margin import calls, history
from margin.models import Event, MarginCall
from tests.margin import rows
from tests.margin.rows import AT, SWEEPER

INSERT_CALL = """
INSERT INTO margin_margincall (account_id, regime, deficiency_key, state, seq, policy_version_id, currency,
    amount_called, amount_outstanding, tolerance, market_cures, issued_at, due_at, original_due_at, due_basis,
    escalation_cause, escalation_level, resolution, disputed, is_provisional)
SELECT account_id, 'exchange', '', 'issued', 99, policy_version_id, currency, 5, 5, 0, true, issued_at, due_at,
    original_due_at, '', '', 0, '', 0, false FROM margin_margincall
"""
INSERT_EVENT = """
INSERT INTO margin_event
    (id, account_id, seq, call_id, kind, at, recorded_at, transaction_id, body, previous_hash, hash)
SELECT 99, account_id, seq + 1, call_id, kind, at, now(), pg_current_xact_id()::text::bigint, body, hash, hash
FROM margin_event
"""
ATTACKS = {
    "change a body": "UPDATE margin_event SET body = replace(body, '100', '900')",
    "delete events": "DELETE FROM margin_event",
    "empty the events": "TRUNCATE margin_event CASCADE",
    "forge an event": INSERT_EVENT,
    "move a head": "UPDATE margin_chain SET seq = 0, head = ''",
    "forget a chain": "DELETE FROM margin_chain",
    "empty the chains": "TRUNCATE margin_chain",
    "meet a call": "UPDATE margin_margincall SET state = 'met', closed_at = now(), resolution = 'cash'",
    "liquidate a call": "UPDATE margin_margincall SET state = 'liquidated', closed_at = now(),"
    " resolution = 'liquidation',"
    " escalated_at = now(), escalation_cause = 'person'",
    "lower an amount": "UPDATE margin_margincall SET amount_outstanding = 1",
    "reuse the old event": "UPDATE margin_margincall SET amount_outstanding = 1, seq = seq + 1",
    "move a deadline": "UPDATE margin_margincall SET due_at = due_at + interval '1 day'",
    "insert a call": INSERT_CALL,
    "insert a met call": INSERT_CALL.replace("'issued', 99", "'met', 99"),
    "delete a call": "DELETE FROM margin_margincall",
    "empty the calls": "TRUNCATE margin_margincall CASCADE",
    "edit a policy in force": "UPDATE margin_policyversion SET terms = '{}'",
    "delete a policy": "DELETE FROM margin_policyversion",
    "edit an assessment": "UPDATE margin_assessment SET currency = 'EUR'",
}


@pytest.fixture
def one_call(committed_db):
    version = rows.policy()
    owner = rows.account()
    found = rows.assessment(owner, version)
    calls.carry_out([rows.issue(owner, version, assessment_id=found.pk)], at=AT, actor=SWEEPER)
    connection.close()


def attempt(connected, statement: str) -> None:
    """Run the attack as one transaction; it must end in an error of the database."""
    with pytest.raises(psycopg2.Error) as refusal, connected, connected.cursor() as cursor:
        cursor.execute("SET pgtrigger.ignore = 'margin.MarginCall:moves_legally,margin.Event:rows_stay'")
        cursor.execute(statement)
    assert refusal.value.pgcode in {"23001", "42501"}, refusal.value


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_the_application_role_is_refused(one_call, as_application, attack):
    attempt(as_application(), attack)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_the_owner_of_the_tables_is_refused(one_call, as_owner, attack):
    attempt(as_owner(), attack)


def test_nothing_an_attack_tried_is_left(one_call, as_owner):
    for attack in ATTACKS.values():
        attempt(as_owner(), attack)
    assert MarginCall.objects.get().state == "issued"
    assert history.verify_all().is_intact


def test_a_session_in_the_replica_role_meets_the_same_bolts(one_call, superuser):
    connected = superuser()
    with connected, connected.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
    for name in ("change a body", "delete events", "meet a call", "delete a call"):
        with pytest.raises(psycopg2.Error), connected, connected.cursor() as cursor:
            cursor.execute(ATTACKS[name])


def test_a_function_of_the_same_name_elsewhere_does_not_open_the_chain(one_call, as_owner):
    connected = as_owner()
    with connected, connected.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION pg_temp.margin_append_events(n bigint) RETURNS void LANGUAGE plpgsql AS"
            f" $$ BEGIN {INSERT_EVENT}; END $$"
        )
    with pytest.raises(psycopg2.Error, match="margin_append_events alone"), connected, connected.cursor() as cursor:
        cursor.execute("SELECT pg_temp.margin_append_events(1)")


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("body", "overlay(body placing 'X' from 30 for 1)"),
        ("body", "replace(body, '\"100\"', '\"101\"')"),
        ("kind", "'call.met'"),
        ("at", "at + interval '1 microsecond'"),
        ("recorded_at", "recorded_at + interval '1 microsecond'"),
        ("transaction_id", "transaction_id + 1"),
        ("call_id", "NULL"),
        ("hash", "overlay(hash placing CASE left(hash, 1) WHEN 'f' THEN '0' ELSE 'f' END from 1 for 1)"),
        ("previous_hash", "'00'"),
    ],
)
def test_one_byte_changed_by_a_superuser_is_named(one_call, superuser, column, change):
    connected = superuser()
    with connected, connected.cursor() as cursor:
        cursor.execute("ALTER TABLE margin_event DISABLE TRIGGER USER")
        cursor.execute(f"UPDATE margin_event SET {column} = {change}")
        cursor.execute("ALTER TABLE margin_event ENABLE ALWAYS TRIGGER margin_event_rows_stay")
    event = Event.objects.get()
    faults = history.verify_all().faults
    assert (event.account_id, 1) in {(fault.account_id, fault.seq) for fault in faults}


def test_a_cut_tail_is_named(one_call, superuser):
    connected = superuser()
    with connected, connected.cursor() as cursor:
        cursor.execute("ALTER TABLE margin_event DISABLE TRIGGER ALL")
        cursor.execute("DELETE FROM margin_event")
    assert "the head stands at 1" in str(history.verify_all().faults[0])
