"""Facts are append only: the database refuses UPDATE, DELETE and TRUNCATE, whoever asks, whatever the session sets."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION market_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append only: % is refused; record a later row instead', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
"""
TABLES = ("market_quotefact", "market_close", "market_fxrate", "market_rate")


def bolt(table: str) -> str:
    """SQL that makes a table append only. ALWAYS: it also fires for a session in the replica role."""
    return f"""
CREATE TRIGGER {table}_rows_stay BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER {table}_is_never_emptied BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_rows_stay;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_is_never_emptied;
"""


def unbolt(table: str) -> str:
    return f"DROP TRIGGER {table}_rows_stay ON {table}; DROP TRIGGER {table}_is_never_emptied ON {table};"


class Migration(migrations.Migration):
    dependencies = [("market", "0001_initial")]
    operations = [
        migrations.RunSQL(REFUSE, "DROP FUNCTION market_refuse_change()"),
        *(migrations.RunSQL(bolt(table), unbolt(table)) for table in TABLES),
    ]
