"""An account with an open call keeps its client and its agreement, and is not closed: no sweep would end that call."""

from django.db import migrations

BOLT = """
CREATE FUNCTION margin_account_with_a_call_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM margin_margincall WHERE account_id = NEW.id AND state IN ('issued', 'escalated')) THEN
        RAISE EXCEPTION 'account % has an open margin call; let it be met or cancelled before it is closed or goes over',
            NEW.code USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER margin_account_with_a_call_stays AFTER UPDATE OF closed_on, client_id, agreement ON accounts_account
    FOR EACH ROW WHEN ((NEW.closed_on, NEW.client_id, NEW.agreement)
                       IS DISTINCT FROM (OLD.closed_on, OLD.client_id, OLD.agreement))
    EXECUTE FUNCTION margin_account_with_a_call_stays();
ALTER TABLE accounts_account ENABLE ALWAYS TRIGGER margin_account_with_a_call_stays;
"""
UNBOLT = """
DROP TRIGGER margin_account_with_a_call_stays ON accounts_account;
DROP FUNCTION margin_account_with_a_call_stays();
"""


class Migration(migrations.Migration):
    dependencies = [("margin", "0017_gates"), ("accounts", "0009_deliveries")]
    operations = [migrations.RunSQL(BOLT, UNBOLT)]
