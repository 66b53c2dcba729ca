"""Events of many accounts in one statement: `margin_append_events` goes by waves, one event of each account a wave.

A batch of calls has one event per account, so it is one INSERT and one UPDATE. What is written, refused and hashed is
as before, event by event in the order of the list.

Who writes is asked once a statement, no longer once a row: every INSERT, UPDATE, COPY or MERGE of the two tables is a
statement, whoever runs it. Only its owner could bring rows in otherwise, by making the table part of another, and the
owner could drop the trigger as well; `verify_history` finds what no trigger can.
"""

from importlib import import_module

from django.db import migrations

bolts = import_module("margin.migrations.0003_bolts")

APPEND_EVENTS = """
CREATE OR REPLACE FUNCTION margin_append_events(entries jsonb)
    RETURNS TABLE (ordinal bigint, event_id bigint, account_id bigint, seq bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    bad     record;
    made    record;
    clock   timestamptz;
    present text := pg_current_xact_id()::text;
    waves   bigint;
BEGIN
    PERFORM FROM margin_chain c
        WHERE c.account_id IN (SELECT (value ->> 'account')::bigint FROM jsonb_array_elements(entries))
        ORDER BY c.account_id FOR UPDATE;
    SELECT value AS entry, c.account_id INTO bad
        FROM jsonb_array_elements(entries) LEFT JOIN margin_chain c ON c.account_id = (value ->> 'account')::bigint
        WHERE c.account_id IS NULL OR value ->> 'at' IS NULL OR value ->> 'kind' IS NULL OR value ->> 'actor' IS NULL
        LIMIT 1;
    IF FOUND AND bad.account_id IS NULL THEN
        RAISE EXCEPTION 'account % has no chain; lock it with margin_lock_chains first', bad.entry ->> 'account';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'an event needs at, kind and actor: %', bad.entry;
    END IF;
    SELECT max(events) INTO waves
        FROM (SELECT count(*) AS events FROM jsonb_array_elements(entries) GROUP BY value ->> 'account') each;
    FOR wave IN 1 .. coalesce(waves, 0) LOOP
        clock := clock_timestamp();
        FOR made IN
            WITH listed AS (
                SELECT place, value AS entry, (value ->> 'account')::bigint AS account,
                       row_number() OVER (PARTITION BY value ->> 'account' ORDER BY place) AS turn
                FROM jsonb_array_elements(entries) WITH ORDINALITY AS list (value, place)
            ), numbered AS MATERIALIZED (
                SELECT l.*, c.seq + 1 AS seq, c.head, c.at AS last, nextval('margin_event_id') AS number
                FROM (SELECT * FROM listed WHERE turn = wave ORDER BY place) l
                JOIN margin_chain c ON c.account_id = l.account
            ), worded AS (
                SELECT n.*, (n.entry || jsonb_build_object(
                    'id', n.number,
                    'seq', n.seq,
                    'recorded_at', to_char(clock AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                    'transaction', present
                ))::text AS body FROM numbered n
            ), written AS (
                INSERT INTO margin_event (id, account_id, seq, call_id, kind, at, recorded_at, transaction_id, body,
                                          previous_hash, hash)
                SELECT number, account, seq, (entry ->> 'call')::bigint, entry ->> 'kind',
                       (entry ->> 'at')::timestamptz, clock, present::bigint, body, head,
                       encode(sha256(convert_to(head || E'\\n' || body, 'UTF8')), 'hex')
                FROM worded
                RETURNING id, account_id, seq, kind, at, hash, octet_length(body) AS size
            ), moved AS (
                UPDATE margin_chain c SET seq = w.seq, head = w.hash, at = w.at
                FROM written w WHERE c.account_id = w.account_id
            )
            SELECT n.place, w.*, n.last FROM written w JOIN numbered n ON n.number = w.id
        LOOP
            IF made.at < made.last THEN
                RAISE EXCEPTION 'time runs backwards for account %: % is before its last event at %',
                    made.account_id, made.at, made.last USING ERRCODE = 'invalid_datetime_format';
            END IF;
            IF made.size > 2048 THEN
                RAISE EXCEPTION 'the event % of account % is % bytes; store it elsewhere and keep its hash here',
                    made.kind, made.account_id, made.size;
            END IF;
            ordinal := made.place;
            event_id := made.id;
            account_id := made.account_id;
            seq := made.seq;
            RETURN NEXT;
        END LOOP;
    END LOOP;
END $$;
"""
BACK = bolts.APPEND_EVENTS.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
GUARDS = (
    ("margin_event_comes_by_function", "INSERT", "margin_event"),
    ("margin_chain_moves_by_function", "INSERT OR UPDATE", "margin_chain"),
)


def guard(name: str, when: str, table: str, each: str) -> str:
    """SQL that asks who writes, for each ROW or STATEMENT."""
    return f"""
DROP TRIGGER {name} ON {table};
CREATE TRIGGER {name} BEFORE {when} ON {table} FOR EACH {each} EXECUTE FUNCTION margin_only_by_function();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name};
"""


class Migration(migrations.Migration):
    dependencies = [("margin", "0015_restrictions")]
    operations = [
        migrations.RunSQL(APPEND_EVENTS, BACK),
        *(migrations.RunSQL(guard(*each, "STATEMENT"), guard(*each, "ROW")) for each in GUARDS),
    ]
