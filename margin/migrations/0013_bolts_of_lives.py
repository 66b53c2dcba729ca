"""Bolts on the new parts of a call's life: its optional columns, cures with states, requests, disputes and tasks.

* An event's row says a call's optional columns only where they are not what they usually are.
* A cure, request, dispute or task is written together with its event, and a cure moves only along its states.
* What all cures of one regime take of a cash movement is no more than the movement: used once per regime.
"""

from importlib import import_module

from django.db import migrations

bolts = import_module("margin.migrations.0003_bolts")
market_bolts = import_module("market.migrations.0002_bolts")

HAS_ITS_EVENT = """
CREATE OR REPLACE FUNCTION margin_call_has_its_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    event margin_event;
    told  jsonb;
    usual margin_margincall := NEW;
BEGIN
    SELECT * INTO event FROM margin_event e WHERE e.account_id = NEW.account_id AND e.seq = NEW.seq;
    IF NOT FOUND OR event.call_id IS DISTINCT FROM NEW.id
       OR event.transaction_id <> pg_current_xact_id()::text::bigint THEN
        RAISE EXCEPTION 'call % changed without its event in the same transaction; use margin.calls', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    told := event.body::jsonb -> 'row';
    usual.held_until := NULL;
    usual.paused_until := NULL;
    usual.disputed := 0;
    usual.clock_stopped_at := NULL;
    usual.is_provisional := false;
    usual.reminded_at := NULL;
    IF told IS NULL
       OR NOT told ?& ARRAY['state', 'amount_called', 'amount_outstanding', 'tolerance', 'due_at', 'due_basis', 'notified_at',
                            'provisionally_met_at', 'escalated_at', 'escalation_cause', 'escalation_level',
                            'closed_at', 'resolution']
       OR jsonb_populate_record(usual, told) IS DISTINCT FROM NEW THEN
        RAISE EXCEPTION 'call % does not say what its event % says', NEW.id, event.seq
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = 'liquidated' AND NOT EXISTS (
        SELECT FROM margin_planfill f JOIN margin_planline l ON l.id = f.line_id JOIN margin_plan p ON p.id = l.plan_id
        WHERE p.call_id = NEW.id
    ) THEN
        RAISE EXCEPTION 'call % cannot be liquidated without a fill of an approved plan', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
"""
# The function as it was in 0003, for the way back.
HAS_ITS_EVENT_BACK = (
    "CREATE OR REPLACE FUNCTION margin_call_has_its_event()"
    + bolts.CALLS.split("CREATE FUNCTION margin_call_has_its_event()")[1].split("CREATE TRIGGER")[0]
)

CURES = """
CREATE FUNCTION margin_cure_moves_legally() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state NOT IN ('claimed', 'in_transit', 'settled') THEN
            RAISE EXCEPTION 'a new cure is claimed, in transit or settled, not %', NEW.state
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (OLD.state, NEW.state) NOT IN (
        ('claimed', 'claimed'), ('claimed', 'in_transit'), ('claimed', 'settled'), ('claimed', 'rejected'),
        ('in_transit', 'in_transit'), ('in_transit', 'settled'), ('in_transit', 'rejected'), ('settled', 'reversed')
    ) THEN
        RAISE EXCEPTION 'cure % cannot go from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (OLD.id, OLD.call_id, OLD.kind, OLD.currency, OLD.amount, OLD.instrument_id, OLD.method, OLD.reference)
       IS DISTINCT FROM
       (NEW.id, NEW.call_id, NEW.kind, NEW.currency, NEW.amount, NEW.instrument_id, NEW.method, NEW.reference)
       OR OLD.state = 'settled' AND (OLD.movement_id, OLD.fill_id, OLD.adjustment_id, OLD.used, OLD.release)
          IS DISTINCT FROM (NEW.movement_id, NEW.fill_id, NEW.adjustment_id, NEW.used, NEW.release) THEN
        RAISE EXCEPTION 'what cure % was announced or settled with never changes', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION margin_cure_has_its_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told  jsonb;
    called margin_margincall;
    moved accounts_cashmovement;
    taken numeric;
BEGIN
    SELECT * INTO called FROM margin_margincall c WHERE c.id = NEW.call_id;
    SELECT e.body::jsonb -> 'cure' INTO told FROM margin_event e
        WHERE e.account_id = called.account_id AND e.seq = NEW.seq AND e.call_id = NEW.call_id
          AND e.transaction_id = pg_current_xact_id()::text::bigint;
    IF told IS NULL OR (told ->> 'id')::bigint <> NEW.id OR told ->> 'state' <> NEW.state
       OR coalesce((told ->> 'release')::numeric, 0) <> NEW.release
       OR coalesce((told ->> 'used')::numeric, 0) <> NEW.used
       OR (told ->> 'movement_id')::bigint IS DISTINCT FROM NEW.movement_id
       OR (told ->> 'fill_id')::bigint IS DISTINCT FROM NEW.fill_id
       OR (told ->> 'adjustment_id')::bigint IS DISTINCT FROM NEW.adjustment_id THEN
        RAISE EXCEPTION 'cure % changed without its event in the same transaction; use margin.calls', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.movement_id IS NOT NULL AND NEW.state = 'settled' THEN
        SELECT * INTO moved FROM accounts_cashmovement m WHERE m.id = NEW.movement_id;
        SELECT sum(k.used) INTO taken FROM margin_cure k JOIN margin_margincall c ON c.id = k.call_id
            WHERE k.movement_id = NEW.movement_id AND k.state = 'settled' AND c.regime = called.regime;
        IF taken > moved.amount THEN
            RAISE EXCEPTION 'movement % of % is used for % in the regime %: what meets one call meets no other of it',
                moved.id, moved.amount, taken, called.regime USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER margin_cure_moves_legally BEFORE INSERT OR UPDATE ON margin_cure
    FOR EACH ROW EXECUTE FUNCTION margin_cure_moves_legally();
CREATE CONSTRAINT TRIGGER margin_cure_has_its_event AFTER INSERT OR UPDATE ON margin_cure
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION margin_cure_has_its_event();
ALTER TABLE margin_cure ENABLE ALWAYS TRIGGER margin_cure_moves_legally;
ALTER TABLE margin_cure ENABLE ALWAYS TRIGGER margin_cure_has_its_event;
"""
CURES_BACK = """
DROP TRIGGER margin_cure_moves_legally ON margin_cure;
DROP TRIGGER margin_cure_has_its_event ON margin_cure;
DROP FUNCTION margin_cure_moves_legally();
DROP FUNCTION margin_cure_has_its_event();
"""

# Rows beside the chain say with `account_id` and `seq` which event wrote them.
BESIDE = """
CREATE FUNCTION margin_row_has_its_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM margin_event e WHERE e.account_id = NEW.account_id AND e.seq = NEW.seq
                   AND e.transaction_id = pg_current_xact_id()::text::bigint) THEN
        RAISE EXCEPTION '% % changed without its event in the same transaction', TG_TABLE_NAME, NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
"""
BESIDE_BACK = "DROP FUNCTION margin_row_has_its_event();"
TABLES = ("margin_request", "margin_dispute", "margin_task")


def beside(table: str) -> str:
    """SQL that lets rows of a table come and change only with their event, and never go."""
    return f"""
CREATE CONSTRAINT TRIGGER {table}_has_its_event AFTER INSERT OR UPDATE ON {table}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION margin_row_has_its_event();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_has_its_event;
{stays(table)}
"""


def stays(table: str) -> str:
    """SQL that refuses to delete or truncate; rows may change."""
    return f"""
CREATE TRIGGER {table}_rows_stay BEFORE DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER {table}_is_never_emptied BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_rows_stay;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_is_never_emptied;
"""


def beside_back(table: str) -> str:
    return f"DROP TRIGGER {table}_has_its_event ON {table}; {market_bolts.unbolt(table)}"


class Migration(migrations.Migration):
    dependencies = [("margin", "0012_lives")]
    operations = [
        migrations.RunSQL(HAS_ITS_EVENT, HAS_ITS_EVENT_BACK),
        migrations.RunSQL(CURES, CURES_BACK),
        migrations.RunSQL(stays("margin_cure"), market_bolts.unbolt("margin_cure")),
        migrations.RunSQL(BESIDE, BESIDE_BACK),
        *(migrations.RunSQL(beside(table), beside_back(table)) for table in TABLES),
    ]
