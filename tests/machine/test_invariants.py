"""Each invariant can fire: rows that break it are made with every bolt drawn, and its query names them."""

# ruff: noqa: E501 - one line a break, however long its SQL

import psycopg2
import pytest

from backoffice import invariants

OPEN = "SELECT min(id) FROM margin_margincall WHERE state = 'issued'"
LAST = "(SELECT max(id) FROM margin_margincall)"
# Every trigger, check, unique and foreign key of our tables goes, inside the transaction of the test.
DRAW = """
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT conrelid::regclass AS place, conname FROM pg_constraint
        WHERE contype IN ('c', 'u', 'x', 'f')
          AND conrelid::regclass::text ~ '^(market|accounts|margin|notifications|backoffice)_'
        ORDER BY contype = 'u' LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I CASCADE', one.place, one.conname);
    END LOOP;
    FOR one IN SELECT indexrelid::regclass AS name FROM pg_index
        WHERE indisunique AND NOT indisprimary
          AND indrelid::regclass::text ~ '^(accounts|margin|notifications|backoffice)_' LOOP
        EXECUTE format('DROP INDEX IF EXISTS %s CASCADE', one.name);
    END LOOP;
    FOR one IN SELECT oid::regclass AS place FROM pg_class
        WHERE relkind = 'r' AND oid::regclass::text ~ '^(market|accounts|margin|notifications|backoffice)_' LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', one.place);
    END LOOP;
END $$
"""


def copied(table: str, where: str, **changed: str) -> str:
    """SQL that adds a copy of a row with some columns changed."""
    changes = ", ".join(f"{column} = {value}" for column, value in changed.items())
    return f"""
        CREATE TEMP TABLE one ON COMMIT DROP AS SELECT * FROM {table} WHERE {where} LIMIT 1;
        UPDATE one SET id = 1000000 + id{", " + changes if changes else ""};
        INSERT INTO {table} SELECT * FROM one
    """


def escalated(**row: str) -> str:
    """SQL that adds an escalation by deadline whose row says this."""
    said = ", ".join(f"'{key}', {value}" for key, value in row.items())
    return f"""
        INSERT INTO margin_event (id, account_id, seq, call_id, kind, at, recorded_at, transaction_id, body,
                                  previous_hash, hash)
        SELECT id + 1000000, account_id, seq + 1000, call_id, 'call.escalated', at, recorded_at,
            transaction_id, jsonb_build_object('actor', 'x', 'role', 'system', 'from', 'issued', 'row',
            jsonb_build_object('state', 'escalated', 'escalation_cause', 'deadline', {said}))::text, previous_hash, hash
        FROM margin_event WHERE kind = 'call.issued' ORDER BY id LIMIT 1
    """


CALL = f"UPDATE margin_margincall SET {{}} WHERE id = ({OPEN})"
PAID = copied("accounts_cashmovement", "true", amount="10", kind="'deposit'", effective_at="now()")
CURE = """
    INSERT INTO margin_cure (call_id, kind, state, movement_id, used, release, currency, method, reference, seq)
    SELECT max(c.id), 'cash', 'settled', (SELECT max(id) FROM accounts_cashmovement), {used}, {release}, '', '', '', {seq}
    FROM margin_margincall c WHERE c.state = 'issued'
"""
MOVED = """
    INSERT INTO accounts_cashmovement (account_id, currency_id, kind, amount, source, external_reference, effective_at,
                                       note, recorded_at, transaction_id)
    SELECT a.id, i.id, 'deposit', 10, 'bank', 'x-1', {at}, '', now(), 1
    FROM accounts_account a, market_instrument i WHERE i.code = 'USD' ORDER BY a.id LIMIT 1
"""
REQUESTED = """
    INSERT INTO margin_request (account_id, call_id, kind, state, reason_code, reason, external_reference, terms,
                                asked_by_id, asked_at, decided_by_id, decided_at, decision, seq, until, before)
    SELECT account_id, id, 'extension', 'granted', 'other', 'x', '', '{{}}', 1, {asked}, 1, now(), '', {seq}, due_at,
           due_at - interval '1 day' FROM margin_margincall ORDER BY id LIMIT 1
"""
RESTRICTED = """
    INSERT INTO margin_restriction (account_id, effect, origin, source, call_id, starts_at, reason, placed_by, placed_seq,
                                    lifted_by, lift_reason, seq)
    SELECT account_id, 'closing_only', 'call', 'x', id, issued_at, 'x', 'x', 99999, '', '', 99999 FROM margin_margincall
"""
WAIVED = (
    RESTRICTED
    + """;
    INSERT INTO margin_waiver (account_id, restriction_id, state, reason, proposed_by_id, proposed_at, decided_by_id,
                               decided_at, decision, seq)
    SELECT account_id, id, 'granted', 'x', 1, now(), 1, now(), '', 1 FROM margin_restriction
"""
)
SWEPT = "(SELECT max(id) FROM margin_sweep WHERE kind = 'securities')"
BREAKS: dict[str, str] = {
    "I1 one open call per account, regime and key": copied("margin_margincall", f"id = ({OPEN})"),
    "I2 an account found in deficit is called": "UPDATE margin_margincall SET closed_at = issued_at",
    "I3 a call comes from a priced assessment that was as much in deficit": "UPDATE margin_assessment SET status = 'unpriced'",
    "I4 a call's row is what its last event says": CALL.format("amount_outstanding = amount_outstanding - 1"),
    "I4 a call's states follow one another legally": 'UPDATE margin_event SET body = replace(body, \'"from": "issued"\', \'"from": "met"\')',
    "I5 a met call has nothing outstanding": CALL.format("state = 'met'"),
    "I5 a met call was found restored, or was paid": CALL.format(
        "state = 'met', closed_at = issued_at, amount_outstanding = 0"
    ),
    "I5 a call that the market does not cure was paid": CALL.format(
        "state = 'met', market_cures = false, resolution = 'cash'"
    ),
    "I5 a market cure has held as long as the policy asks": CALL.format(
        "state = 'met', resolution = 'market', closed_at = issued_at"
    ),
    "I6 a call escalated by deadline was due and its client was told": escalated(due_at="'2020-01-01'"),
    "I6 nothing is escalated by deadline while it is held or a payment is checked": escalated(
        held_until="'2030-01-01'"
    ),
    "I6 a person who escalates gives a reason": escalated(held_until="'2030-01-01'")
    + "; UPDATE margin_event SET body = replace(body, '\"deadline\"', '\"person\"')",
    "I7 a liquidated call was escalated before and has a fill": CALL.format("state = 'liquidated'"),
    "I7 what a liquidated call still misses is a receivable": CALL.format(
        "state = 'liquidated', amount_outstanding = 5"
    ),
    "I8 a cancelled call has a reason and two people": CALL.format("state = 'cancelled'"),
    "I9 an amount is not negative and has whole minor units": CALL.format("amount_outstanding = 0.001"),
    "I29 a release rests on two people besides the proposer, of exactly its content": "UPDATE margin_release SET content_hash = repeat('0', 64)",
    "I30 an order is a line of its release, under the name that follows from it": "UPDATE margin_order SET client_order_id = 'MD0-0'",
    "I31 what is filled of an order is no more than it, and was reported": "UPDATE margin_planline SET quantity = quantity / 1000",
    "I33 nothing was released while the kill switch was pulled": "INSERT INTO margin_killswitch (is_pulled, reason, pulled_by_id, pulled_at, cancels_working, release_reason)"
    " SELECT true, 'stop', min(id), '2000-01-01', false, '' FROM auth_user",
    "I22 an order stands where its last event left it": "UPDATE margin_order SET state = 'rejected'",
    "I32 no order leaves once its call is over": "UPDATE margin_margincall SET closed_at = '2020-01-01';"
    ' UPDATE margin_event SET body = replace(body, \'"is": "working"\', \'"is": "sending"\')',
    "I33 no release went beyond the caps that were in force": "INSERT INTO margin_liquidationcap (currency, per_order,"
    " per_account, per_day, reason, proposed_by_id, proposed_at, approved_by_id, approved_at)"
    " SELECT 'USD', 1, 1, 1, 'x', min(id), '2020-01-01', max(id), '2020-01-01' FROM auth_user",
    "I33 no more orders left within a minute than the cap allowed": "INSERT INTO margin_liquidationcap (currency, per_order, per_account, per_day, per_minute,"
    " reason, proposed_by_id, proposed_at, approved_by_id, approved_at)"
    " SELECT 'USD', 9e9, 9e9, 9e9, 0, 'x', min(id), '2020-01-01', max(id), '2020-01-01' FROM auth_user;"
    ' UPDATE margin_event SET body = replace(body, \'"is": "working"\', \'"is": "sending"\')',
    "I35 nobody manages users and decides about clients": "ALTER TABLE auth_user_groups DISABLE TRIGGER margin_roles_stay_apart; "
    "INSERT INTO auth_user_groups (user_id, group_id) SELECT m.user_id, (SELECT id FROM auth_group WHERE name ="
    " 'Administrator') FROM auth_user_groups m JOIN auth_group g ON g.id = m.group_id WHERE g.name = 'Operations'",
    "I10 what is closed stays closed": "UPDATE margin_margincall SET state = 'met', seq = 1",
    "I11 a sweep saw every account that it was asked for": "UPDATE margin_shard SET account_ids = '[987654]'",
    "I11 a slot has one sweep, and an account one assessment in it": copied("margin_sweep", "true"),
    "I12 a complete sweep accounts for every eligible account": "UPDATE margin_sweep SET eligible = eligible + 1",
    "I12 no sweep stays at work for an hour": copied(
        "margin_sweep", "true", state="'running'", slot_at="slot_at - interval '1 day'", at="at - interval '1 day'"
    ),
    "I13 a kind without a complete sweep for an hour of session has its alarm": "UPDATE margin_sweep SET state = 'incomplete'",
    "the charges of a measure add up to its requirement": "UPDATE margin_measure SET requirement = requirement + 1",
    "I14 every event that needs a notice has one": "UPDATE margin_event SET recorded_at = recorded_at - interval '1 hour', id = id + 1000000",
    "I14 an event has one notice for each recipient": copied("notifications_notice", "true", message_id="'x'"),
    "I15 a notice's state is the highest that was reported": "INSERT INTO notifications_delivery (notice_id, provider, provider_event, message_id, state, at, report, recorded_at) SELECT max(id), 'm', '1', '', 'bounced', now(), '{}', now() FROM notifications_notice",
    "I15 a notice that went out says so": "UPDATE notifications_notice SET sent_at = NULL",
    "I16 a notice is sent once, unless a try ended in silence": copied("notifications_attempt", "outcome = 'sent'"),
    "I17 a notice goes to a contact of the account's own client": "UPDATE accounts_contact SET client_id = 1 + client_id",
    "I17 a notice names its own account": "UPDATE notifications_notice SET text = 'Dear client'",
    "I18 no notice overtakes a more urgent one that was due": "UPDATE notifications_notice SET state = 'queued', lease_until = NULL, urgent_by = '2020-01-01', send_after = '2020-01-01', prepared_at = '2020-01-01' WHERE id = (SELECT min(id) FROM notifications_notice)",
    "I23 a position is the sum of its changes": "UPDATE accounts_position SET quantity = quantity + 1",
    "I23 a movement of cash is booked once": MOVED.format(at="now()"),
    "I23 a fill is booked once": copied("accounts_fill", "true"),
    "I25 no sweep went by a price that was too old": "UPDATE margin_sweepprice SET as_of = as_of - interval '90 days'",
    "I25 no sweep went by a price in quarantine": "INSERT INTO market_heldquote (instrument_id, source, as_of, mark, reason, state, decided_source, decided_reason, recorded_at, transaction_id) SELECT id, 'x', '2020-01-01', 5, 'jump', 'held', '', '', '2020-01-01', 1 FROM market_instrument WHERE code = 'XYZ'",
    "I25 a current quote is its instrument's newest fact": "UPDATE market_quote SET mark = mark + 1",
    "I26 the prices that sweeps go by never go back in time": f"UPDATE margin_sweepprice SET as_of = as_of - interval '1 year' WHERE sweep_id = {SWEPT}",
    "I27 what a book brought has its accepted file": "UPDATE accounts_positionfact SET reference = 'book:999', cause = 'book'",
    "I28 one reply is kept for an idempotency key": "INSERT INTO backoffice_idempotentreply (owner, key, method_and_path, body_hash, status_code, reply, created_at) SELECT 'key:1', 'k', 'POST /', '', 201, '{}', now() FROM generate_series(1, 2)",
    "W1 what one source gives is used once in a regime": MOVED.format(at="now()")
    + ";"
    + CURE.format(used=11, release=5, seq=1),
    "W1 a payment releases no more than it is": MOVED.format(at="now()")
    + ";"
    + CURE.format(used=10, release=11, seq=1),
    "W1 a cure is what its last event says": MOVED.format(at="now()")
    + ";"
    + CURE.format(used=10, release=10, seq=99999),
    "W1 money cures only a call of its own account, issued before it came": MOVED.format(at="'2020-01-01'")
    + ";"
    + CURE.format(used=1, release=1, seq=1),
    "W2 no more is outstanding than settled cures have left": CALL.format("amount_outstanding = amount_called + 1"),
    "I21 every event says who, as what and when": "UPDATE margin_event SET body = replace(body, '\"actor\"', '\"aktor\"')",
    "I19 a chain has no gap and time never runs back in it": "UPDATE margin_event SET seq = seq + 1 WHERE seq > 1",
    "I20 an event is under a seal within five minutes, once seals are made": "INSERT INTO margin_seal VALUES"
    " (1, now() + interval '1 day', 's', 1, '{}', '{}', 0, '', '', '', '', '')",
    "I29 an approved plan has enough approvals by others": "DELETE FROM margin_approval",
    "I31 no more is filled than a line asked for": "UPDATE margin_planline SET quantity = -0.1",
    "W3 whoever asked does not decide": REQUESTED.format(asked="now()", seq=1),
    "W3 a request, dispute or task stands in the history of its account": REQUESTED.format(asked="now()", seq=99999),
    "W6 an open call is disputed as long as its dispute is open": CALL.format("disputed = 5"),
    "W7 an extension was asked before the deadline it moves": REQUESTED.format(asked="due_at", seq=1),
    "W7 a call's deadline moves only with its own event": 'UPDATE margin_event SET body = replace(body, \'"due_at": "2026-03\', \'"due_at": "2026-04\') WHERE seq > 1',
    "W7 a call is due after it is issued": "UPDATE margin_margincall SET due_at = issued_at - interval '1 day'",
    "W10 a hold has an end, and a client's word puts off no more than the policy says": "UPDATE margin_event SET kind = 'call.held'",
    "a restriction says what its events say": RESTRICTED,
    "every restriction and strike of the history is on its register": "UPDATE margin_event SET kind = 'strike.recorded'",
    "a restriction of a call that is over is lifted within the hour": RESTRICTED
    + "; UPDATE margin_margincall SET closed_at = '2020-01-01'",
    "a waiver has two people": WAIVED,
    invariants.NUMBERS: CALL.format("amount_called = 'NaN'"),
}


@pytest.fixture(scope="module")
def house(furnished):
    return furnished


def ask(cursor, name: str, at) -> list[tuple[str]]:
    query = invariants.numbers(cursor) if name == invariants.NUMBERS else invariants.QUERIES[name]
    cursor.execute(query.replace("{at}", "%(at)s::timestamptz"), {"at": at})
    return cursor.fetchall()


def test_every_invariant_is_broken_here():
    assert set(BREAKS) == {*invariants.QUERIES, invariants.NUMBERS}


@pytest.mark.parametrize("name", BREAKS)
def test_an_invariant_names_what_breaks_it(house, superuser, name):
    connected = superuser()
    with connected.cursor() as cursor:
        at = house.opened
        if name in invariants.LIVENESS:
            at = at.replace(hour=18)  # three hours later: nobody has looked since
        else:
            assert ask(cursor, name, at) == []
        cursor.execute(DRAW)
        cursor.execute(BREAKS[name])
        found = ask(cursor, name, at)
    connected.rollback()
    assert found, f"{name} did not fire"
    assert all(isinstance(row[0], str) for row in found)


def test_a_whole_house_in_good_order_breaks_none(house):
    assert {name: rows for name, rows in invariants.check(at=house.opened).items() if rows} == {}


def test_the_database_refuses_what_the_test_does_without_drawing_the_bolts(house, superuser):
    connected = superuser()
    with connected.cursor() as cursor, pytest.raises(psycopg2.Error):
        cursor.execute(BREAKS["I5 a met call has nothing outstanding"])
        connected.commit()
