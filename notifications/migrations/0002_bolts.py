"""Evidence stays: what a notice said, each try to send it, and each report about it, whoever asks to change it."""

from importlib import import_module

from django.db import migrations

market_bolts = import_module("market.migrations.0002_bolts")

# A notice that could not be written has no text yet; it may be written later, once.
NOTICES = """
CREATE FUNCTION notifications_notice_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'notice % is never deleted', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF (OLD.id, OLD.event_id, OLD.contact_id, OLD.kind, OLD.locale, OLD.message_id, OLD.prepared_at)
        IS DISTINCT FROM
       (NEW.id, NEW.event_id, NEW.contact_id, NEW.kind, NEW.locale, NEW.message_id, NEW.prepared_at)
       OR OLD.text <> '' AND
       (OLD.subject, OLD.text, OLD.html, OLD.template_version, OLD.content_hash)
        IS DISTINCT FROM
       (NEW.subject, NEW.text, NEW.html, NEW.template_version, NEW.content_hash)
    THEN
        RAISE EXCEPTION 'what notice % says never changes', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER notifications_notice_rows_stay BEFORE UPDATE OR DELETE ON notifications_notice
    FOR EACH ROW EXECUTE FUNCTION notifications_notice_is_kept();
CREATE TRIGGER notifications_notice_is_never_emptied BEFORE TRUNCATE ON notifications_notice
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
ALTER TABLE notifications_notice ENABLE ALWAYS TRIGGER notifications_notice_rows_stay;
ALTER TABLE notifications_notice ENABLE ALWAYS TRIGGER notifications_notice_is_never_emptied;
"""
NOTICES_BACK = """
DROP TRIGGER notifications_notice_rows_stay ON notifications_notice;
DROP TRIGGER notifications_notice_is_never_emptied ON notifications_notice;
DROP FUNCTION notifications_notice_is_kept();
"""

# A report that came before its notice was known is matched later; nothing else about it changes.
DELIVERIES = """
CREATE FUNCTION notifications_delivery_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.notice_id IS NOT NULL
       OR (to_jsonb(OLD) - 'notice_id') IS DISTINCT FROM (to_jsonb(NEW) - 'notice_id') THEN
        RAISE EXCEPTION 'report % is kept as it came', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER notifications_delivery_rows_stay BEFORE UPDATE OR DELETE ON notifications_delivery
    FOR EACH ROW EXECUTE FUNCTION notifications_delivery_is_kept();
CREATE TRIGGER notifications_delivery_is_never_emptied BEFORE TRUNCATE ON notifications_delivery
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
ALTER TABLE notifications_delivery ENABLE ALWAYS TRIGGER notifications_delivery_rows_stay;
ALTER TABLE notifications_delivery ENABLE ALWAYS TRIGGER notifications_delivery_is_never_emptied;
"""
DELIVERIES_BACK = """
DROP TRIGGER notifications_delivery_rows_stay ON notifications_delivery;
DROP TRIGGER notifications_delivery_is_never_emptied ON notifications_delivery;
DROP FUNCTION notifications_delivery_is_kept();
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0001_initial"), ("market", "0002_bolts")]
    operations = [
        migrations.RunSQL(NOTICES, NOTICES_BACK),
        migrations.RunSQL(DELIVERIES, DELIVERIES_BACK),
        migrations.RunSQL(market_bolts.bolt("notifications_attempt"), market_bolts.unbolt("notifications_attempt")),
    ]
