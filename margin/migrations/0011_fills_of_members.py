"""A fill of a plan may be that of an account measured with the call's: who holds what is sold delivers it."""

from django.db import migrations

FITS = """
CREATE OR REPLACE FUNCTION margin_fill_needs_an_approved_plan() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    line   margin_planline;
    filled numeric;
BEGIN
    SELECT * INTO line FROM margin_planline l WHERE l.id = NEW.line_id;
    PERFORM FROM margin_plan p WHERE p.id = line.plan_id AND p.state = 'approved' FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'plan % is not approved; nothing of it may be filled', line.plan_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT coalesce(sum(f.quantity), 0) INTO filled FROM accounts_fill f
        WHERE f.id = NEW.fill_id OR f.id IN (SELECT p.fill_id FROM margin_planfill p WHERE p.line_id = line.id);
    IF NOT EXISTS (SELECT FROM accounts_fill f JOIN margin_plan p ON p.id = line.plan_id
                   JOIN margin_margincall c ON c.id = p.call_id
                   WHERE f.id = NEW.fill_id AND f.instrument_id = line.instrument_id AND {account}
                     AND sign(f.quantity) = sign(line.quantity))
       OR abs(filled) > abs(line.quantity) THEN
        RAISE EXCEPTION 'fill % does not fit line % of plan %: same account, instrument and side, at most % in all',
            NEW.fill_id, line.id, line.plan_id, line.quantity USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""
OWN = "f.account_id = c.account_id"
MEASURED = "f.account_id IN (SELECT a.id FROM accounts_account a WHERE c.account_id IN (a.id, a.margined_with_id))"


class Migration(migrations.Migration):
    dependencies = [("margin", "0010_members_have_no_calls")]
    operations = [migrations.RunSQL(FITS.format(account=MEASURED), FITS.format(account=OWN))]
