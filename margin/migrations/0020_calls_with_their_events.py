"""Calls and events of a batch are written and compared as sets, no longer row by row.

* `margin_append_events` words and hashes each event once; before, its plan did so for every use of the text.
* That a call row says what its event says is asked once a statement, of all its rows, and no longer at commit of each.
  So an event must be there when the statement ends that writes its call; nothing removes or alters it afterwards.

What is written, refused and hashed is as before. No plan may read a whole history, however small that was when the
plan was made: plans are kept.
"""

from importlib import import_module

from django.db import migrations

waves = import_module("margin.migrations.0016_events_in_one_statement")
lives = import_module("margin.migrations.0013_bolts_of_lives")

APPEND_EVENTS = """
CREATE OR REPLACE FUNCTION margin_append_events(entries jsonb)
    RETURNS TABLE (ordinal bigint, event_id bigint, account_id bigint, seq bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    bad     record;
    clock   timestamptz;
    said    text;
    present text := pg_current_xact_id()::text;
    largest bigint;
BEGIN
    PERFORM FROM margin_chain c
        WHERE c.account_id IN (SELECT (value ->> 'account')::bigint FROM jsonb_array_elements(entries))
        ORDER BY c.account_id FOR UPDATE;
    SELECT max(events) INTO largest
        FROM (SELECT count(*) AS events FROM jsonb_array_elements(entries) GROUP BY value ->> 'account') each;
    FOR wave IN 1 .. coalesce(largest, 0) LOOP
        SELECT listed.value AS entry, c.account_id, c.at INTO bad
            FROM (SELECT value, row_number() OVER (PARTITION BY value ->> 'account' ORDER BY place) AS turn
                  FROM jsonb_array_elements(entries) WITH ORDINALITY AS list (value, place)) listed
            LEFT JOIN margin_chain c ON c.account_id = (value ->> 'account')::bigint
            WHERE turn = wave AND (c.account_id IS NULL OR value ->> 'at' IS NULL OR value ->> 'kind' IS NULL
                                   OR value ->> 'actor' IS NULL OR (value ->> 'at')::timestamptz < c.at)
            LIMIT 1;
        IF FOUND AND bad.account_id IS NULL THEN
            RAISE EXCEPTION 'account % has no chain; lock it with margin_lock_chains first', bad.entry ->> 'account';
        ELSIF FOUND AND (bad.entry ->> 'at')::timestamptz < bad.at THEN
            RAISE EXCEPTION 'time runs backwards for account %: % is before its last event at %',
                bad.account_id, bad.entry ->> 'at', bad.at USING ERRCODE = 'invalid_datetime_format';
        ELSIF FOUND THEN
            RAISE EXCEPTION 'an event needs at, kind and actor: %', bad.entry;
        END IF;
        clock := clock_timestamp();
        said := to_char(clock AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
        RETURN QUERY
            WITH listed AS (
                SELECT place, value AS entry, (value ->> 'account')::bigint AS account,
                       row_number() OVER (PARTITION BY value ->> 'account' ORDER BY place) AS turn
                FROM jsonb_array_elements(entries) WITH ORDINALITY AS list (value, place)
            ), numbered AS MATERIALIZED (
                SELECT l.*, c.seq + 1 AS seq, c.head, nextval('margin_event_id') AS number
                FROM (SELECT * FROM listed WHERE turn = wave ORDER BY place) l
                JOIN margin_chain c ON c.account_id = l.account
            ), worded AS MATERIALIZED (
                SELECT n.*, (n.entry || jsonb_build_object(
                    'id', n.number, 'seq', n.seq, 'recorded_at', said, 'transaction', present))::text AS body
                FROM numbered n
            ), written AS (
                INSERT INTO margin_event (id, account_id, seq, call_id, kind, at, recorded_at, transaction_id, body,
                                          previous_hash, hash)
                SELECT number, account, seq, (entry ->> 'call')::bigint, entry ->> 'kind',
                       (entry ->> 'at')::timestamptz, clock, present::bigint, body, head,
                       encode(sha256(convert_to(head || E'\\n' || body, 'UTF8')), 'hex')
                FROM worded
                RETURNING account_id, seq, at, hash
            ), moved AS (
                UPDATE margin_chain c SET seq = w.seq, head = w.hash, at = w.at
                FROM written w WHERE c.account_id = w.account_id
            )
            SELECT w.place, w.number, w.account, w.seq FROM worded w;
    END LOOP;
END $$;

-- A longer event belongs elsewhere, with its hash in the chain.
CREATE FUNCTION margin_event_is_short() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event % of account % is % bytes; store it elsewhere and keep its hash here',
        NEW.kind, NEW.account_id, octet_length(NEW.body);
END $$;
CREATE TRIGGER margin_event_is_short BEFORE INSERT ON margin_event
    FOR EACH ROW WHEN (octet_length(NEW.body) > 2048) EXECUTE FUNCTION margin_event_is_short();
ALTER TABLE margin_event ENABLE ALWAYS TRIGGER margin_event_is_short;
"""
APPEND_EVENTS_BACK = f"""
DROP TRIGGER margin_event_is_short ON margin_event;
DROP FUNCTION margin_event_is_short();
DROP FUNCTION margin_append_events(jsonb);
{waves.APPEND_EVENTS}
REVOKE EXECUTE ON FUNCTION margin_append_events(jsonb) FROM PUBLIC;
"""

# `usual` are the optional columns, which an event's row says only where they are not what they usually are.
HAVE_THEIR_EVENTS = """
CREATE FUNCTION margin_calls_have_their_events() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    wrong   record;
    present bigint := pg_current_xact_id()::text::bigint;
    usual   CONSTANT jsonb := '{"held_until": null, "paused_until": null, "disputed": 0, "clock_stopped_at": null,
                                "is_provisional": false, "reminded_at": null}';
    needed  CONSTANT text[] := ARRAY['state', 'amount_called', 'amount_outstanding', 'tolerance', 'due_at', 'due_basis',
                                     'notified_at', 'provisionally_met_at', 'escalated_at', 'escalation_cause',
                                     'escalation_level', 'closed_at', 'resolution'];
BEGIN
    SELECT c.id, c.seq, e.told INTO wrong
        FROM changed c LEFT JOIN LATERAL (
            SELECT coalesce(body::jsonb -> 'row', 'null') AS told FROM margin_event
            WHERE account_id = c.account_id AND seq = c.seq AND call_id = c.id AND transaction_id = present
            OFFSET 0
        ) e ON true
        WHERE e.told IS NULL OR NOT e.told ?& needed
           OR jsonb_populate_record(ROW(c.*)::margin_margincall, usual || e.told)
              IS DISTINCT FROM ROW(c.*)::margin_margincall
        LIMIT 1;
    IF FOUND AND wrong.told IS NULL THEN
        RAISE EXCEPTION 'call % changed without its event in the same transaction; use margin.calls', wrong.id
            USING ERRCODE = 'restrict_violation';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'call % does not say what its event % says', wrong.id, wrong.seq
            USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT c.id INTO wrong FROM changed c WHERE c.state = 'liquidated' AND NOT EXISTS (
        SELECT FROM margin_planfill f JOIN margin_planline l ON l.id = f.line_id JOIN margin_plan p ON p.id = l.plan_id
        WHERE p.call_id = c.id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'call % cannot be liquidated without a fill of an approved plan', wrong.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER margin_margincall_has_its_event ON margin_margincall;
CREATE TRIGGER margin_margincall_comes_with_its_event AFTER INSERT ON margin_margincall
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION margin_calls_have_their_events();
CREATE TRIGGER margin_margincall_has_its_event AFTER UPDATE ON margin_margincall
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION margin_calls_have_their_events();
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER margin_margincall_comes_with_its_event;
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER margin_margincall_has_its_event;
DROP FUNCTION margin_call_has_its_event();
"""
HAVE_THEIR_EVENTS_BACK = f"""
DROP TRIGGER margin_margincall_comes_with_its_event ON margin_margincall;
DROP TRIGGER margin_margincall_has_its_event ON margin_margincall;
DROP FUNCTION margin_calls_have_their_events();
{lives.HAS_ITS_EVENT}
CREATE CONSTRAINT TRIGGER margin_margincall_has_its_event AFTER INSERT OR UPDATE ON margin_margincall
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION margin_call_has_its_event();
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER margin_margincall_has_its_event;
"""


class Migration(migrations.Migration):
    dependencies = [("margin", "0019_rungs")]
    operations = [
        migrations.RunSQL(APPEND_EVENTS, APPEND_EVENTS_BACK),
        migrations.RunSQL(HAVE_THEIR_EVENTS, HAVE_THEIR_EVENTS_BACK),
    ]
