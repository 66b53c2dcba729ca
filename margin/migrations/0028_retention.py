"""Legal holds and erasures, with their bolts: two people, no hold, no account open or closed too lately, an event each.

What is append only elsewhere may be blanked by an erasure alone: within its transaction, for its client, and only
with words that say so.
"""

from importlib import import_module

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

market_bolts = import_module("market.migrations.0002_bolts")

HOLDS = """
CREATE FUNCTION margin_legal_hold_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.lifted_at IS NOT NULL OR TG_OP = 'UPDATE' AND (
        OLD.lifted_at IS NOT NULL OR NEW.lifted_at IS NULL
        OR (OLD.id, OLD.client_id, OLD.reason, OLD.placed_by_id, OLD.placed_at)
           IS DISTINCT FROM (NEW.id, NEW.client_id, NEW.reason, NEW.placed_by_id, NEW.placed_at)) THEN
        RAISE EXCEPTION 'legal hold % is placed once, lifted once and otherwise never changes', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_legalhold_is_kept BEFORE INSERT OR UPDATE ON margin_legalhold
    FOR EACH ROW EXECUTE FUNCTION margin_legal_hold_is_kept();
ALTER TABLE margin_legalhold ENABLE ALWAYS TRIGGER margin_legalhold_is_kept;
"""

# Locks the client: a hold placed meanwhile, whose foreign key locks it too, is either seen here or waits.
ERASURES = """
CREATE FUNCTION margin_erasure_is_due() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    today date := (NEW.done_at AT TIME ZONE 'UTC')::date;
BEGIN
    NEW.transaction_id := NULL;
    IF TG_OP = 'INSERT' AND NEW.done_at IS NOT NULL OR TG_OP = 'UPDATE' AND (
        OLD.done_at IS NOT NULL OR NEW.done_at IS NULL
        OR (OLD.id, OLD.client_id, OLD.reason, OLD.asked_by_id, OLD.asked_at)
           IS DISTINCT FROM (NEW.id, NEW.client_id, NEW.reason, NEW.asked_by_id, NEW.asked_at)) THEN
        RAISE EXCEPTION 'erasure % is asked for once, carried out once and otherwise never changes', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'INSERT' THEN
        RETURN NEW;
    END IF;
    PERFORM FROM accounts_client c WHERE c.id = NEW.client_id FOR UPDATE;
    IF EXISTS (SELECT FROM margin_legalhold h WHERE h.client_id = NEW.client_id AND h.lifted_at IS NULL) THEN
        RAISE EXCEPTION 'client % is under a legal hold; nothing of it is erased', NEW.client_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.done_at > clock_timestamp() + interval '1 minute' OR NEW.retained_until >= today OR EXISTS (
        SELECT FROM accounts_account a WHERE a.client_id = NEW.client_id
          AND (NEW.retained_until IS NULL OR a.closed_on IS NULL OR a.closed_on + interval '5 years' >= today)) THEN
        RAISE EXCEPTION 'records of client % must still be kept; nothing of it is erased', NEW.client_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    NEW.transaction_id := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_erasure_is_due BEFORE INSERT OR UPDATE ON margin_erasure
    FOR EACH ROW EXECUTE FUNCTION margin_erasure_is_due();
ALTER TABLE margin_erasure ENABLE ALWAYS TRIGGER margin_erasure_is_due;

CREATE FUNCTION margin_is_erased_now(client bigint) RETURNS boolean LANGUAGE sql STABLE
    SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM margin_erasure e
                   WHERE e.client_id = client AND e.transaction_id = pg_current_xact_id()::text::bigint)
$$;
"""

TOLD = """
CREATE FUNCTION margin_retention_is_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wanted text := CASE WHEN TG_TABLE_NAME = 'margin_erasure' THEN 'client.erased' WHEN TG_OP = 'INSERT'
                   THEN 'legal_hold.placed' ELSE 'legal_hold.lifted' END;
BEGIN
    IF EXISTS (SELECT FROM accounts_account a WHERE a.client_id = NEW.client_id AND NOT EXISTS (
        SELECT FROM margin_event e WHERE e.account_id = a.id AND e.kind = wanted
          AND e.transaction_id = pg_current_xact_id()::text::bigint)) THEN
        RAISE EXCEPTION 'an account of client % has no event % in the same transaction; use margin.retention',
            NEW.client_id, wanted USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER margin_legalhold_is_told AFTER INSERT OR UPDATE ON margin_legalhold
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION margin_retention_is_told();
CREATE CONSTRAINT TRIGGER margin_erasure_is_told AFTER UPDATE ON margin_erasure
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION margin_retention_is_told();
ALTER TABLE margin_legalhold ENABLE ALWAYS TRIGGER margin_legalhold_is_told;
ALTER TABLE margin_erasure ENABLE ALWAYS TRIGGER margin_erasure_is_told;
"""
BACK = """
DROP TRIGGER margin_legalhold_is_told ON margin_legalhold;
DROP TRIGGER margin_erasure_is_told ON margin_erasure;
DROP TRIGGER margin_legalhold_is_kept ON margin_legalhold;
DROP TRIGGER margin_erasure_is_due ON margin_erasure;
DROP FUNCTION margin_retention_is_told();
DROP FUNCTION margin_is_erased_now(bigint);
DROP FUNCTION margin_erasure_is_due();
DROP FUNCTION margin_legal_hold_is_kept();
"""

# The application role may not update movements at all; this function may, and does this much.
MOVEMENTS = """
CREATE FUNCTION accounts_movement_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.note ~ '^erased on [0-9-]{10}$'
       AND (to_jsonb(OLD) - 'note') IS NOT DISTINCT FROM (to_jsonb(NEW) - 'note')
       AND margin_is_erased_now((SELECT a.client_id FROM accounts_account a WHERE a.id = OLD.account_id)) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append only: % is refused; record a later row instead', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER accounts_cashmovement_rows_stay ON accounts_cashmovement;
CREATE TRIGGER accounts_cashmovement_rows_stay BEFORE UPDATE OR DELETE ON accounts_cashmovement
    FOR EACH ROW EXECUTE FUNCTION accounts_movement_is_kept();
ALTER TABLE accounts_cashmovement ENABLE ALWAYS TRIGGER accounts_cashmovement_rows_stay;
CREATE FUNCTION accounts_forget_notes(client bigint, said text) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
    UPDATE accounts_cashmovement m SET note = said FROM accounts_account a
        WHERE a.id = m.account_id AND a.client_id = client AND m.note <> ''
$$;
REVOKE EXECUTE ON FUNCTION accounts_forget_notes(bigint, text) FROM PUBLIC;
"""
MOVEMENTS_BACK = """
DROP FUNCTION accounts_forget_notes(bigint, text);
DROP TRIGGER accounts_cashmovement_rows_stay ON accounts_cashmovement;
CREATE TRIGGER accounts_cashmovement_rows_stay BEFORE UPDATE OR DELETE ON accounts_cashmovement
    FOR EACH ROW EXECUTE FUNCTION market_refuse_change();
ALTER TABLE accounts_cashmovement ENABLE ALWAYS TRIGGER accounts_cashmovement_rows_stay;
DROP FUNCTION accounts_movement_is_kept();
"""


def stays(table: str) -> str:
    """SQL that keeps a table's rows from being deleted, whoever asks."""
    return f"""
CREATE TRIGGER {table}_rows_stay BEFORE DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER {table}_is_never_emptied BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_rows_stay;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_is_never_emptied;
"""


def person(**options):
    return models.ForeignKey(
        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL, **options
    )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_liquidate_last"),
        ("margin", "0027_bolts_of_slices"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="LegalHold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reason", models.CharField(max_length=400)),
                ("placed_at", models.DateTimeField()),
                ("lifted_at", models.DateTimeField(blank=True, null=True)),
                ("lift_reason", models.CharField(blank=True, max_length=400)),
                (
                    "client",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="legal_holds", to="accounts.client"
                    ),
                ),
                ("lifted_by", person(blank=True, null=True)),
                ("placed_by", person()),
            ],
            options={
                "ordering": ("-id",),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("lifted_at", None)),
                        fields=("client",),
                        name="legal_hold_is_open_once_per_client",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="legal_hold_says_why"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("lift_reason", ""), ("lifted_at", None), ("lifted_by", None)),
                            models.Q(
                                ("lifted_at__isnull", False),
                                ("lifted_by__isnull", False),
                                models.Q(("lift_reason", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="legal_hold_is_lifted_by_somebody_who_says_why",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Erasure",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reason", models.CharField(max_length=400)),
                (
                    "retained_until",
                    models.DateField(
                        blank=True,
                        help_text="The last day that records of the client's accounts must be kept",
                        null=True,
                    ),
                ),
                ("asked_at", models.DateTimeField()),
                ("done_at", models.DateTimeField(blank=True, null=True)),
                (
                    "transaction_id",
                    models.BigIntegerField(blank=True, editable=False, help_text="Set by the database", null=True),
                ),
                ("approved_by", person(blank=True, null=True)),
                ("asked_by", person()),
                (
                    "client",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="erasures", to="accounts.client"
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("done_at", None)),
                        fields=("client",),
                        name="erasure_is_asked_once_per_client",
                    ),
                    models.CheckConstraint(condition=models.Q(("reason", ""), _negated=True), name="erasure_says_why"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("approved_by", None), ("done_at", None)),
                            models.Q(
                                ("approved_by__isnull", False),
                                ("done_at__isnull", False),
                                models.Q(("approved_by", models.F("asked_by")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="erasure_needs_two_people",
                    ),
                ],
            },
        ),
        migrations.RunSQL(HOLDS + ERASURES + TOLD, BACK),
        *(
            migrations.RunSQL(stays(table), market_bolts.unbolt(table))
            for table in ("margin_legalhold", "margin_erasure")
        ),
        migrations.RunSQL(MOVEMENTS, MOVEMENTS_BACK),
    ]
