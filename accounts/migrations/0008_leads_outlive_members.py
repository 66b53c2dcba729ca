"""A member does not outlive its lead: nobody would measure it."""

from django.db import migrations

BOLT = """
CREATE FUNCTION accounts_lead_outlives_members() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lead accounts_account%ROWTYPE;
    survivor accounts_account%ROWTYPE;
BEGIN
    IF NEW.margined_with_id IS NOT NULL THEN
        SELECT * INTO lead FROM accounts_account WHERE id = NEW.margined_with_id FOR SHARE;
        survivor := NEW;
    ELSE
        lead := NEW;
        SELECT * INTO survivor FROM accounts_account
            WHERE margined_with_id = NEW.id ORDER BY closed_on DESC NULLS FIRST, id LIMIT 1;
    END IF;
    IF survivor.id IS NOT NULL AND lead.closed_on < coalesce(survivor.closed_on, 'infinity') THEN
        RAISE EXCEPTION 'account % cannot outlive its lead %; let it part from it first', survivor.code, lead.code
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER accounts_member_joins_an_open_lead AFTER INSERT ON accounts_account
    FOR EACH ROW WHEN (NEW.margined_with_id IS NOT NULL) EXECUTE FUNCTION accounts_lead_outlives_members();
CREATE TRIGGER accounts_lead_outlives_members AFTER UPDATE OF margined_with_id, closed_on ON accounts_account
    FOR EACH ROW EXECUTE FUNCTION accounts_lead_outlives_members();
ALTER TABLE accounts_account ENABLE ALWAYS TRIGGER accounts_member_joins_an_open_lead;
ALTER TABLE accounts_account ENABLE ALWAYS TRIGGER accounts_lead_outlives_members;
"""
UNBOLT = """
DROP TRIGGER accounts_member_joins_an_open_lead ON accounts_account;
DROP TRIGGER accounts_lead_outlives_members ON accounts_account;
DROP FUNCTION accounts_lead_outlives_members();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_margined_with_bolts")]
    operations = [migrations.RunSQL(BOLT, UNBOLT)]
