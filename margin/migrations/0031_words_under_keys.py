"""Columns of what people said of a client take it encrypted, and the reason of a correction by hand can be forgotten."""

from django.db import migrations

from margin.confidence import WordsField

# As for the notes of payments (0028): the application role may change no adjustment, this function only its words.
ADJUSTMENTS = """
CREATE FUNCTION accounts_adjustment_is_kept() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.reason ~ '^erased on [0-9-]{10}$'
       AND (to_jsonb(OLD) - 'reason') IS NOT DISTINCT FROM (to_jsonb(NEW) - 'reason')
       AND margin_is_erased_now((SELECT a.client_id FROM accounts_account a WHERE a.id = OLD.account_id)) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append only: % is refused; record a later row instead', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER accounts_adjustment_rows_stay ON accounts_adjustment;
CREATE TRIGGER accounts_adjustment_rows_stay BEFORE UPDATE OR DELETE ON accounts_adjustment
    FOR EACH ROW EXECUTE FUNCTION accounts_adjustment_is_kept();
ALTER TABLE accounts_adjustment ENABLE ALWAYS TRIGGER accounts_adjustment_rows_stay;
CREATE OR REPLACE FUNCTION accounts_forget_notes(client bigint, said text) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
    UPDATE accounts_cashmovement m SET note = said FROM accounts_account a
        WHERE a.id = m.account_id AND a.client_id = client AND m.note <> '';
    UPDATE accounts_adjustment c SET reason = said FROM accounts_account a
        WHERE a.id = c.account_id AND a.client_id = client AND c.entered_by_id IS NOT NULL
$$;
"""
ADJUSTMENTS_BACK = """
CREATE OR REPLACE FUNCTION accounts_forget_notes(client bigint, said text) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
    UPDATE accounts_cashmovement m SET note = said FROM accounts_account a
        WHERE a.id = m.account_id AND a.client_id = client AND m.note <> ''
$$;
DROP TRIGGER accounts_adjustment_rows_stay ON accounts_adjustment;
CREATE TRIGGER accounts_adjustment_rows_stay BEFORE UPDATE OR DELETE ON accounts_adjustment
    FOR EACH ROW EXECUTE FUNCTION market_refuse_change();
ALTER TABLE accounts_adjustment ENABLE ALWAYS TRIGGER accounts_adjustment_rows_stay;
DROP FUNCTION accounts_adjustment_is_kept();
"""
WORDS = (
    ("erasure", "reason", {}),
    ("legalhold", "reason", {}),
    ("legalhold", "lift_reason", {"blank": True}),
    ("plan", "reason", {"blank": True}),
    ("restriction", "reason", {}),
    ("restriction", "lift_reason", {"blank": True}),
    ("waiver", "reason", {}),
    ("waiver", "decision", {"blank": True}),
)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_liquidate_last"),
        ("margin", "0030_bolts_of_value"),
    ]

    operations = [
        *(migrations.AlterField(model, name, WordsField(**options)) for model, name, options in WORDS),
        migrations.RunSQL(ADJUSTMENTS, ADJUSTMENTS_BACK),
    ]
