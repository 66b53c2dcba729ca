"""An account with an open call does not become a member: no sweep would end that call."""

from django.db import migrations

BOLT = """
CREATE FUNCTION margin_member_has_no_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM margin_margincall WHERE account_id = NEW.id AND state IN ('issued', 'escalated')) THEN
        RAISE EXCEPTION 'account % has an open margin call; let it be met or cancelled first', NEW.code
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER margin_member_has_no_call AFTER UPDATE OF margined_with_id ON accounts_account
    FOR EACH ROW WHEN (NEW.margined_with_id IS NOT NULL AND NEW.margined_with_id IS DISTINCT FROM OLD.margined_with_id)
    EXECUTE FUNCTION margin_member_has_no_call();
ALTER TABLE accounts_account ENABLE ALWAYS TRIGGER margin_member_has_no_call;
"""
UNBOLT = """
DROP TRIGGER margin_member_has_no_call ON accounts_account;
DROP FUNCTION margin_member_has_no_call();
"""


class Migration(migrations.Migration):
    dependencies = [("margin", "0009_shard_said"), ("accounts", "0008_leads_outlive_members")]
    operations = [migrations.RunSQL(BOLT, UNBOLT)]
