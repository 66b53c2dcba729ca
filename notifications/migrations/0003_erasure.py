"""Letters, answers of mail servers and reports of providers stay as they are, until their client is erased."""

from importlib import import_module

from django.db import migrations

before = import_module("notifications.migrations.0002_bolts")

CLIENT_OF_NOTICE = """
CREATE FUNCTION notifications_is_erased_now(notice bigint) RETURNS boolean LANGUAGE sql STABLE
    SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM notifications_notice n JOIN margin_event e ON e.id = n.event_id
        JOIN accounts_account a ON a.id = e.account_id LEFT JOIN accounts_contact c ON c.id = n.contact_id
        WHERE n.id = notice AND (margin_is_erased_now(a.client_id) OR margin_is_erased_now(c.client_id)))
$$;
"""
NOTICES = """
CREATE OR REPLACE FUNCTION notifications_notice_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
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
       AND NOT (NEW.text ~ '^erased on [0-9-]{10}$' AND (NEW.subject, NEW.html) = (NEW.text, NEW.text)
                AND (OLD.template_version, OLD.content_hash) = (NEW.template_version, NEW.content_hash)
                AND notifications_is_erased_now(OLD.id))
    THEN
        RAISE EXCEPTION 'what notice % says never changes', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""
NOTICES_BACK = "CREATE OR REPLACE " + before.NOTICES[
    before.NOTICES.index("FUNCTION notifications_notice_is_kept") : before.NOTICES.index("END $$;") + len("END $$;")
]
DELIVERIES = """
CREATE OR REPLACE FUNCTION notifications_delivery_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (to_jsonb(OLD) - 'report') IS NOT DISTINCT FROM (to_jsonb(NEW) - 'report')
       AND NEW.report - 'erased' = '{}' AND NEW.report ->> 'erased' ~ '^erased on [0-9-]{10}$'
       AND notifications_is_erased_now(OLD.notice_id) THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR OLD.notice_id IS NOT NULL
       OR (to_jsonb(OLD) - 'notice_id') IS DISTINCT FROM (to_jsonb(NEW) - 'notice_id') THEN
        RAISE EXCEPTION 'report % is kept as it came', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""
DELIVERIES_BACK = "CREATE OR REPLACE " + before.DELIVERIES[
    before.DELIVERIES.index("FUNCTION notifications_delivery_is_kept") : before.DELIVERIES.index("END $$;")
    + len("END $$;")
]
# The application role may not update attempts at all; the function may, and does this much.
ATTEMPTS = """
CREATE FUNCTION notifications_attempt_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.answer ~ '^erased on [0-9-]{10}$'
       AND (to_jsonb(OLD) - 'answer') IS NOT DISTINCT FROM (to_jsonb(NEW) - 'answer')
       AND notifications_is_erased_now(OLD.notice_id) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append only: % is refused; record a later row instead', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER notifications_attempt_rows_stay ON notifications_attempt;
CREATE TRIGGER notifications_attempt_rows_stay BEFORE UPDATE OR DELETE ON notifications_attempt
    FOR EACH ROW EXECUTE FUNCTION notifications_attempt_is_kept();
ALTER TABLE notifications_attempt ENABLE ALWAYS TRIGGER notifications_attempt_rows_stay;
CREATE FUNCTION notifications_forget_answers(notices bigint[], said text) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
    UPDATE notifications_attempt SET answer = said WHERE notice_id = ANY (notices) AND answer <> ''
$$;
REVOKE EXECUTE ON FUNCTION notifications_forget_answers(bigint[], text) FROM PUBLIC;
"""
ATTEMPTS_BACK = """
DROP FUNCTION notifications_forget_answers(bigint[], text);
DROP TRIGGER notifications_attempt_rows_stay ON notifications_attempt;
CREATE TRIGGER notifications_attempt_rows_stay BEFORE UPDATE OR DELETE ON notifications_attempt
    FOR EACH ROW EXECUTE FUNCTION market_refuse_change();
ALTER TABLE notifications_attempt ENABLE ALWAYS TRIGGER notifications_attempt_rows_stay;
DROP FUNCTION notifications_attempt_is_kept();
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0002_bolts"), ("margin", "0028_retention")]
    operations = [
        migrations.RunSQL(CLIENT_OF_NOTICE, "DROP FUNCTION notifications_is_erased_now(bigint)"),
        migrations.RunSQL(NOTICES, NOTICES_BACK),
        migrations.RunSQL(DELIVERIES, DELIVERIES_BACK),
        migrations.RunSQL(ATTEMPTS, ATTEMPTS_BACK),
    ]
