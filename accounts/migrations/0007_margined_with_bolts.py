"""One level: a lead is nobody's member, a member leads nobody, and both share a client or an agreement."""

from django.db import migrations

BOLT = """
CREATE FUNCTION accounts_margined_with() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE lead accounts_account%ROWTYPE;
BEGIN
    IF NEW.margined_with_id IS NOT NULL THEN
        SELECT * INTO lead FROM accounts_account WHERE id = NEW.margined_with_id FOR SHARE;
        IF lead.margined_with_id IS NOT NULL THEN
            RAISE EXCEPTION 'account % is itself margined with another; name that one', lead.code
                USING ERRCODE = 'check_violation';
        END IF;
        IF EXISTS (SELECT FROM accounts_account WHERE margined_with_id = NEW.id) THEN
            RAISE EXCEPTION 'others are margined with account %; it cannot be a member', NEW.code
                USING ERRCODE = 'check_violation';
        END IF;
        IF lead.client_id <> NEW.client_id AND lead.agreement <> NEW.agreement THEN
            RAISE EXCEPTION 'accounts % and % share neither client nor agreement', NEW.code, lead.code
                USING ERRCODE = 'check_violation';
        END IF;
    ELSIF EXISTS (
        SELECT FROM accounts_account member WHERE member.margined_with_id = NEW.id
        AND member.client_id <> NEW.client_id AND member.agreement <> NEW.agreement
    ) THEN
        RAISE EXCEPTION 'account % and its member share neither client nor agreement', NEW.code
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER accounts_member_joins AFTER INSERT ON accounts_account
    FOR EACH ROW WHEN (NEW.margined_with_id IS NOT NULL) EXECUTE FUNCTION accounts_margined_with();
CREATE TRIGGER accounts_member_changes AFTER UPDATE OF margined_with_id, client_id, agreement ON accounts_account
    FOR EACH ROW EXECUTE FUNCTION accounts_margined_with();
ALTER TABLE accounts_account ENABLE ALWAYS TRIGGER accounts_member_joins;
ALTER TABLE accounts_account ENABLE ALWAYS TRIGGER accounts_member_changes;
"""
UNBOLT = """
DROP TRIGGER accounts_member_joins ON accounts_account;
DROP TRIGGER accounts_member_changes ON accounts_account;
DROP FUNCTION accounts_margined_with();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_margined_with")]
    operations = [migrations.RunSQL(BOLT, UNBOLT)]
