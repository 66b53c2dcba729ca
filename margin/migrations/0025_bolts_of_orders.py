"""Bolts on orders: what makes a plan leave, and what a venue's word may change.

* A plan's hash and creator are computed by the database; an approval and a release name both.
* Who may approve is read at approval and again at release; whoever manages users never may.
* Caps are counted here, on the approved content. While the kill switch is pulled nothing is released or sent.
* An order is a line of a released plan; once a venue may have it, it is never new again unless the venue never heard.
* A fill needs a report of its order; valid fills never exceed the line; `liquidated` needs one that stands.
* Changes of rights leave rows of their own, and nobody both manages users and holds a desk role.
"""

from importlib import import_module

from django.db import migrations

bolts = import_module("margin.migrations.0003_bolts")
members = import_module("margin.migrations.0011_fills_of_members")
lives = import_module("margin.migrations.0013_bolts_of_lives")
market_bolts = import_module("market.migrations.0002_bolts")

MAY_APPROVE = """
CREATE FUNCTION margin_may_approve(person bigint) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
SELECT EXISTS (
    SELECT FROM auth_user u WHERE u.id = person AND u.is_active AND NOT u.is_superuser
) AND EXISTS (
    SELECT FROM auth_user_groups m JOIN auth_group g ON g.id = m.group_id
    WHERE m.user_id = person AND g.name IN ('Supervisor', 'Risk')
) AND NOT EXISTS (
    SELECT FROM auth_user_groups m JOIN auth_group g ON g.id = m.group_id
    WHERE m.user_id = person AND g.name = 'Administrator'
) AND NOT EXISTS (
    SELECT FROM auth_permission p WHERE p.codename IN ('add_user', 'change_user', 'add_group', 'change_group') AND (
        p.id IN (SELECT o.permission_id FROM auth_user_user_permissions o WHERE o.user_id = person)
        OR p.id IN (SELECT o.permission_id FROM auth_group_permissions o
                    JOIN auth_user_groups m ON m.group_id = o.group_id WHERE m.user_id = person))
)
$$;
"""

PLAN_IS_KEPT = """
CREATE OR REPLACE FUNCTION margin_plan_is_kept() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    needed integer;
    given  integer;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'proposed' THEN
            RAISE EXCEPTION 'a new plan is proposed, not %', NEW.state USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR (OLD.id, OLD.call_id, OLD.content, OLD.proposed_by_id, OLD.proposed_at, OLD.expires_at)
        IS DISTINCT FROM (NEW.id, NEW.call_id, NEW.content, NEW.proposed_by_id, NEW.proposed_at, NEW.expires_at) THEN
        RAISE EXCEPTION 'plan % is never edited; reject it and propose another', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (OLD.state, NEW.state) NOT IN (('proposed', 'approved'), ('proposed', 'rejected'), ('proposed', 'expired'),
                                      ('approved', 'done'), ('approved', 'expired'), ('approved', 'rejected')) THEN
        RAISE EXCEPTION 'plan % cannot go from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = 'approved' AND NOT EXISTS (
        SELECT FROM margin_release r WHERE r.plan_id = NEW.id AND r.standing_id IS NOT NULL
    ) THEN
        needed := CASE WHEN NEW.proposed_by_id IS NULL THEN 2 ELSE 1 END;
        SELECT count(*) INTO given FROM margin_approval a WHERE a.plan_id = NEW.id;
        IF given < needed THEN
            RAISE EXCEPTION 'plan % needs % approval(s) by people who did not propose it and has %',
                NEW.id, needed, given USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;
"""

APPROVAL = """
CREATE OR REPLACE FUNCTION margin_approval_is_by_another() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    plan margin_plan;
BEGIN
    SELECT * INTO plan FROM margin_plan p WHERE p.id = NEW.plan_id FOR UPDATE;
    IF plan.proposed_by_id = NEW.approver_id THEN
        RAISE EXCEPTION 'plan % needs two people: its proposer cannot approve it', NEW.plan_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF plan.state <> 'proposed' OR NEW.approved_at > plan.expires_at THEN
        RAISE EXCEPTION 'plan % is % and expires at %; it cannot be approved now', NEW.plan_id, plan.state,
            plan.expires_at USING ERRCODE = 'restrict_violation';
    END IF;
    IF NOT margin_may_approve(NEW.approver_id) THEN
        RAISE EXCEPTION 'user % may not approve plans: it takes an active Supervisor or Risk who manages no users',
            NEW.approver_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""

RELEASE = """
CREATE FUNCTION margin_content_value(content text, OUT notional numeric, OUT largest numeric)
    LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
SELECT sum(value), max(value) FROM (
    SELECT greatest(abs((line ->> 'proceeds')::numeric), abs(
        (line ->> 'quantity')::numeric * (line ->> 'price')::numeric * i.multiplier / i.price_divisor)) AS value
    FROM jsonb_array_elements(content::jsonb -> 'lines') line
    LEFT JOIN market_instrument i ON i.id = (line ->> 'instrument')::bigint
) lines
$$;

CREATE FUNCTION margin_check_caps(caps record, told text, release margin_release, account bigint, standing bigint)
    RETURNS void
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    of_account numeric;
    of_day     numeric;
BEGIN
    SELECT coalesce(sum(r.notional) FILTER (WHERE c.account_id = account), 0), coalesce(sum(r.notional), 0)
        INTO of_account, of_day
        FROM margin_release r JOIN margin_plan p ON p.id = r.plan_id JOIN margin_margincall c ON c.id = p.call_id
        WHERE r.currency = release.currency AND (standing IS NULL OR r.standing_id = standing)
          AND (r.released_at AT TIME ZONE 'UTC')::date = (release.released_at AT TIME ZONE 'UTC')::date;
    IF release.largest > caps.per_order THEN
        RAISE EXCEPTION 'plan % has an order of % %: % allows % an order', release.plan_id,
            round(release.largest, 2), release.currency, told, caps.per_order USING ERRCODE = 'restrict_violation';
    ELSIF of_account + release.notional > caps.per_account THEN
        RAISE EXCEPTION 'plan % would bring its account to % % today: % allows %', release.plan_id,
            round(of_account + release.notional, 2), release.currency, told, caps.per_account
            USING ERRCODE = 'restrict_violation';
    ELSIF of_day + release.notional > caps.per_day THEN
        RAISE EXCEPTION 'plan % would bring the day to % %: % allows %', release.plan_id,
            round(of_day + release.notional, 2), release.currency, told, caps.per_day
            USING ERRCODE = 'restrict_violation';
    END IF;
END $$;

CREATE FUNCTION margin_release_is_due() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    plan     margin_plan;
    called   margin_margincall;
    standing margin_standingapproval;
    caps     margin_liquidationcap;
    person   bigint;
BEGIN
    SELECT * INTO plan FROM margin_plan p WHERE p.id = NEW.plan_id FOR UPDATE;
    IF plan.state <> (CASE WHEN NEW.standing_id IS NULL THEN 'approved' ELSE 'proposed' END)
       OR NEW.released_at NOT BETWEEN plan.proposed_at AND plan.expires_at THEN
        RAISE EXCEPTION 'plan % is % and expires at %; it cannot be released now', NEW.plan_id, plan.state,
            plan.expires_at USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT * INTO called FROM margin_margincall c WHERE c.id = plan.call_id FOR SHARE;
    IF called.state <> 'escalated' OR called.held_until > NEW.released_at OR called.currency <> NEW.currency THEN
        RAISE EXCEPTION 'call % is % (held until %); its plan cannot be released', called.id, called.state,
            coalesce(called.held_until::text, 'never') USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (SELECT FROM margin_killswitch WHERE is_pulled) THEN
        RAISE EXCEPTION 'the kill switch is pulled: nothing is released' USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT v.notional, v.largest INTO NEW.notional, NEW.largest FROM margin_content_value(plan.content) v;
    FOR person IN SELECT a.approver_id FROM margin_approval a WHERE a.id IN (NEW.first_id, NEW.second_id) LOOP
        IF NOT margin_may_approve(person) THEN
            RAISE EXCEPTION 'plan % was approved by user %, who may no longer approve; propose a new one', NEW.plan_id,
                person USING ERRCODE = 'restrict_violation';
        END IF;
    END LOOP;
    IF NEW.standing_id IS NOT NULL THEN
        SELECT * INTO standing FROM margin_standingapproval s WHERE s.id = NEW.standing_id FOR UPDATE;
        IF standing.approved_by_id IS NULL OR standing.revoked_at IS NOT NULL
           OR NEW.released_at NOT BETWEEN standing.approved_at AND standing.expires_at
           OR standing.policy_version_id <> called.policy_version_id OR standing.regime <> called.regime
           OR standing.currency <> called.currency
           OR NOT margin_may_approve(standing.proposed_by_id) OR NOT margin_may_approve(standing.approved_by_id) THEN
            RAISE EXCEPTION 'standing approval % is not in force for plan %', standing.id, NEW.plan_id
                USING ERRCODE = 'restrict_violation';
        END IF;
        PERFORM margin_check_caps(standing, 'standing approval ' || standing.id, NEW, called.account_id, standing.id);
    END IF;
    SELECT * INTO caps FROM margin_liquidationcap c WHERE c.currency = NEW.currency AND c.approved_at <= NEW.released_at
        ORDER BY c.approved_at DESC, c.id DESC LIMIT 1 FOR UPDATE;
    IF FOUND THEN
        PERFORM margin_check_caps(caps, 'the cap', NEW, called.account_id, NULL);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_release_is_due BEFORE INSERT ON margin_release
    FOR EACH ROW EXECUTE FUNCTION margin_release_is_due();
ALTER TABLE margin_release ENABLE ALWAYS TRIGGER margin_release_is_due;
ALTER TABLE margin_release ADD CONSTRAINT release_is_of_this_content
    FOREIGN KEY (plan_id, content_hash, creator) REFERENCES margin_plan (id, content_hash, creator);
ALTER TABLE margin_release ADD CONSTRAINT release_rests_on_its_first_approval
    FOREIGN KEY (first_id, plan_id) REFERENCES margin_approval (id, plan_id);
ALTER TABLE margin_release ADD CONSTRAINT release_rests_on_its_second_approval
    FOREIGN KEY (second_id, plan_id) REFERENCES margin_approval (id, plan_id);
"""
RELEASE_BACK = """
ALTER TABLE margin_release DROP CONSTRAINT release_is_of_this_content,
    DROP CONSTRAINT release_rests_on_its_first_approval, DROP CONSTRAINT release_rests_on_its_second_approval;
DROP TRIGGER margin_release_is_due ON margin_release;
DROP FUNCTION margin_release_is_due();
DROP FUNCTION margin_check_caps(record, text, margin_release, bigint, bigint);
DROP FUNCTION margin_content_value(text);
"""

ORDERS = """
CREATE FUNCTION margin_order_is_kept() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    line  margin_planline;
    plan  margin_plan;
    heard boolean;
BEGIN
    SELECT * INTO line FROM margin_planline l WHERE l.id = NEW.line_id;
    SELECT * INTO plan FROM margin_plan p WHERE p.id = line.plan_id;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'new' OR NEW.release_id <> line.plan_id OR NEW.quantity <> line.quantity
           OR NEW.client_order_id <> 'MD' || line.id || '-' || left(plan.content_hash, 12)
           OR NEW.venue <> (SELECT r.venue FROM margin_release r WHERE r.plan_id = line.plan_id)
           OR NOT EXISTS (SELECT FROM jsonb_array_elements(plan.content::jsonb -> 'lines') told
                          WHERE (told ->> 'instrument')::bigint = line.instrument_id
                            AND (told ->> 'quantity')::numeric = line.quantity) THEN
            RAISE EXCEPTION 'order % is not what plan % was approved and released for', NEW.client_order_id, plan.id
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (OLD.line_id, OLD.release_id, OLD.client_order_id, OLD.venue, OLD.quantity, OLD.limit_price, OLD.currency,
        OLD.created_at) IS DISTINCT FROM
       (NEW.line_id, NEW.release_id, NEW.client_order_id, NEW.venue, NEW.quantity, NEW.limit_price, NEW.currency,
        NEW.created_at) OR NEW.attempts < OLD.attempts OR NEW.asks < OLD.asks - 1 THEN
        RAISE EXCEPTION 'what order % asks for never changes', OLD.client_order_id USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = OLD.state AND (NEW.state <> 'sending' OR NEW.token = OLD.token) THEN
        RETURN NEW;
    END IF;
    heard := EXISTS (SELECT FROM margin_orderreport r WHERE r.order_id = OLD.line_id AND r.told <> 'never_heard');
    IF (OLD.state, NEW.state) NOT IN (
           ('new', 'sending'), ('new', 'cancelled'), ('sending', 'new'), ('sending', 'sent'), ('sending', 'unknown'),
           ('sent', 'unknown'), ('unknown', 'sent'), ('unknown', 'new')
       ) AND NOT (heard AND NEW.state IN ('working', 'filled', 'cancelled', 'rejected'))
       OR NEW.state = 'new' AND heard
       OR OLD.state = 'unknown' AND NEW.state = 'new' AND (NEW.asks < 1 OR NEW.asks > (
            SELECT count(*) FROM margin_orderreport r WHERE r.order_id = OLD.line_id AND r.told = 'never_heard')) THEN
        RAISE EXCEPTION 'order % cannot go from % to %', OLD.client_order_id, OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = 'sending' AND (
        NEW.venue = 'desk' OR plan.state <> 'approved' OR NEW.cancel_wanted_at IS NOT NULL
        OR EXISTS (SELECT FROM margin_killswitch WHERE is_pulled)
        OR NOT EXISTS (SELECT FROM margin_margincall c WHERE c.id = plan.call_id AND c.state = 'escalated')
    ) THEN
        RAISE EXCEPTION 'order % must not leave: its plan is %, or the call is over, or the kill switch is pulled',
            OLD.client_order_id, plan.state USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_order_is_kept BEFORE INSERT OR UPDATE ON margin_order
    FOR EACH ROW EXECUTE FUNCTION margin_order_is_kept();
ALTER TABLE margin_order ENABLE ALWAYS TRIGGER margin_order_is_kept;

CREATE FUNCTION margin_report_is_of_its_order() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.order_id IS DISTINCT FROM (
        SELECT o.line_id FROM margin_order o WHERE o.client_order_id = NEW.client_order_id AND o.venue = NEW.venue
    ) THEN
        RAISE EXCEPTION 'report % of % does not name its order', NEW.report_id, NEW.venue
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_orderreport_is_of_its_order BEFORE INSERT ON margin_orderreport
    FOR EACH ROW EXECUTE FUNCTION margin_report_is_of_its_order();
ALTER TABLE margin_orderreport ENABLE ALWAYS TRIGGER margin_orderreport_is_of_its_order;
"""
ORDERS_BACK = """
DROP TRIGGER margin_order_is_kept ON margin_order;
DROP TRIGGER margin_orderreport_is_of_its_order ON margin_orderreport;
DROP FUNCTION margin_order_is_kept();
DROP FUNCTION margin_report_is_of_its_order();
"""

FILLS = """
CREATE OR REPLACE FUNCTION margin_fill_needs_an_approved_plan() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    line   margin_planline;
    filled numeric;
BEGIN
    SELECT * INTO line FROM margin_planline l WHERE l.id = NEW.line_id;
    PERFORM FROM margin_plan p JOIN margin_release r ON r.plan_id = p.id WHERE p.id = line.plan_id FOR UPDATE OF p;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'plan % is not released; nothing of it may be filled', line.plan_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM margin_orderreport r WHERE r.id = NEW.report_id AND r.order_id = NEW.line_id
                   AND r.told IN ('filled', 'corrected')) THEN
        RAISE EXCEPTION 'fill % has no report of the order of line %', NEW.fill_id, line.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT coalesce(sum(f.quantity), 0) INTO filled FROM accounts_fill f
        WHERE (f.id = NEW.fill_id OR f.id IN (SELECT p.fill_id FROM margin_planfill p WHERE p.line_id = line.id))
          AND NOT EXISTS (SELECT FROM accounts_fill b WHERE b.reverses_id = f.id);
    IF NOT EXISTS (SELECT FROM accounts_fill f JOIN margin_plan p ON p.id = line.plan_id
                   JOIN margin_margincall c ON c.id = p.call_id
                   WHERE f.id = NEW.fill_id AND f.instrument_id = line.instrument_id AND @MEASURED@
                     AND sign(f.quantity) = sign(line.quantity) AND f.reverses_id IS NULL)
       OR abs(filled) > abs(line.quantity) THEN
        RAISE EXCEPTION 'fill % does not fit line % of plan %: same account, instrument and side, at most % in all',
            NEW.fill_id, line.id, line.plan_id, line.quantity USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION margin_liquidated_means_sold() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM margin_planfill f JOIN margin_planline l ON l.id = f.line_id JOIN margin_plan p ON p.id = l.plan_id
        WHERE p.call_id = NEW.id AND NOT EXISTS (SELECT FROM accounts_fill b WHERE b.reverses_id = f.fill_id)
    ) THEN
        RAISE EXCEPTION 'call % cannot be liquidated: no fill of a released plan stands', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.amount_outstanding > NEW.tolerance AND NOT EXISTS (
        SELECT FROM margin_receivable r WHERE r.call_id = NEW.id AND r.amount = NEW.amount_outstanding
    ) THEN
        RAISE EXCEPTION 'call % cannot be liquidated: % is missing and no receivable says so', NEW.id,
            NEW.amount_outstanding USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_margincall_liquidated_means_sold BEFORE UPDATE ON margin_margincall
    FOR EACH ROW WHEN (NEW.state = 'liquidated' AND OLD.state <> 'liquidated')
    EXECUTE FUNCTION margin_liquidated_means_sold();
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER margin_margincall_liquidated_means_sold;
""".replace("@MEASURED@", members.MEASURED)
FILLS_BACK = """
DROP TRIGGER margin_margincall_liquidated_means_sold ON margin_margincall;
DROP FUNCTION margin_liquidated_means_sold();
""" + members.FITS.format(account=members.MEASURED)

# What people decide: columns are filled once; who fills the last ones may approve.
DECIDED = """
CREATE FUNCTION margin_said_once() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    said   jsonb := to_jsonb(NEW);
    before record;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF coalesce(said ->> 'approved_by_id', said ->> 'released_by_id', said ->> 'release_asked_by_id',
                    said ->> 'revoked_by_id') IS NOT NULL THEN
            RAISE EXCEPTION 'one person says it first and another decides afterwards'
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    FOR before IN SELECT key, value FROM jsonb_each(to_jsonb(OLD)) LOOP
        IF before.value NOT IN ('null', '""') AND said -> before.key <> before.value
           AND NOT (before.key = 'is_pulled' AND before.value = 'true' AND said ->> 'released_by_id' IS NOT NULL) THEN
            RAISE EXCEPTION '% %: % was said already', TG_TABLE_NAME, OLD.id, before.key
                USING ERRCODE = 'restrict_violation';
        END IF;
    END LOOP;
    IF to_jsonb(OLD) ->> 'approved_by_id' IS NULL AND said ->> 'approved_by_id' IS NOT NULL AND NOT (
           margin_may_approve((said ->> 'approved_by_id')::bigint)
           AND margin_may_approve((said ->> 'proposed_by_id')::bigint))
       OR to_jsonb(OLD) ->> 'released_by_id' IS NULL AND said ->> 'released_by_id' IS NOT NULL AND NOT (
           margin_may_approve((said ->> 'released_by_id')::bigint)
           AND margin_may_approve((said ->> 'release_asked_by_id')::bigint)) THEN
        RAISE EXCEPTION '% %: it takes two who are active Supervisor or Risk and manage no users', TG_TABLE_NAME,
            OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""
DECIDED_TABLES = ("margin_killswitch", "margin_liquidationcap", "margin_standingapproval")

RIGHTS = """
CREATE FUNCTION margin_rights_leave_a_row() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    was  jsonb := CASE WHEN TG_OP = 'INSERT' THEN jsonb_build_object() ELSE to_jsonb(OLD) END;
    now_ jsonb := CASE WHEN TG_OP = 'DELETE' THEN jsonb_build_object() ELSE to_jsonb(NEW) END;
    any_ jsonb := was || now_;
    whom text;
    what text;
    kept CONSTANT text[] := ARRAY['is_active', 'is_superuser', 'is_staff', 'username', 'name'];
    by_migration CONSTANT boolean := TG_TABLE_NAME IN ('auth_group_permissions', 'auth_group');
BEGIN
    SELECT string_agg(key || ': ' || coalesce(was ->> key, '-') || ' → ' || coalesce(now_ ->> key, '-'), ', ')
        INTO what FROM unnest(kept) AS key WHERE was -> key IS DISTINCT FROM now_ -> key;
    IF TG_TABLE_NAME IN ('auth_user', 'auth_group') THEN
        IF what IS NULL THEN
            RETURN NULL;
        END IF;
        whom := coalesce(any_ ->> 'username', any_ ->> 'name');
    ELSE
        whom := coalesce((SELECT 'user ' || u.username FROM auth_user u WHERE u.id = (any_ ->> 'user_id')::bigint),
                         (SELECT 'role ' || g.name FROM auth_group g WHERE g.id = (any_ ->> 'group_id')::bigint), '?');
        what := CASE TG_OP WHEN 'DELETE' THEN 'without ' ELSE 'with ' END || coalesce(
            (SELECT p.codename FROM auth_permission p WHERE p.id = (any_ ->> 'permission_id')::bigint),
            (SELECT g.name FROM auth_group g WHERE g.id = (any_ ->> 'group_id')::bigint), '?');
    END IF;
    INSERT INTO margin_rightschange (relation, act, subject, change, role, told_at)
        VALUES (TG_TABLE_NAME, TG_OP, left(whom, 200), left(what, 400), session_user,
                CASE WHEN by_migration AND current_user = (SELECT t.tableowner FROM pg_tables t
                     WHERE t.schemaname = 'public' AND t.tablename = 'margin_rightschange') THEN clock_timestamp() END);
    RETURN NULL;
END $$;

CREATE FUNCTION margin_roles_stay_apart() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    held text[];
BEGIN
    PERFORM FROM auth_user u WHERE u.id = NEW.user_id FOR NO KEY UPDATE;
    SELECT array_agg(g.name) INTO held FROM auth_group g
        WHERE g.id = NEW.group_id OR g.id IN (SELECT m.group_id FROM auth_user_groups m
                                              WHERE m.user_id = NEW.user_id AND m.id <> NEW.id);
    IF 'Administrator' = ANY (held) AND held && ARRAY['Operations', 'Supervisor', 'Risk', 'Compliance']::text[] THEN
        RAISE EXCEPTION 'user % cannot be Administrator and decide about clients as well (%)', NEW.user_id,
            array_to_string(held, ', ') USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_roles_stay_apart BEFORE INSERT OR UPDATE ON auth_user_groups
    FOR EACH ROW EXECUTE FUNCTION margin_roles_stay_apart();
ALTER TABLE auth_user_groups ENABLE ALWAYS TRIGGER margin_roles_stay_apart;
"""
RIGHTS_TABLES = (
    "auth_user", "auth_group", "auth_user_groups", "auth_user_user_permissions", "auth_group_permissions",
)  # fmt: skip
CHANGE = "AFTER INSERT OR UPDATE OR DELETE"
RIGHTS_BACK = """
DROP TRIGGER margin_roles_stay_apart ON auth_user_groups;
DROP FUNCTION margin_roles_stay_apart();
DROP FUNCTION margin_rights_leave_a_row();
"""
TOLD_ONCE = """
CREATE FUNCTION margin_rights_change_is_kept() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF OLD.told_at IS NOT NULL OR to_jsonb(OLD) - 'told_at' <> to_jsonb(NEW) - 'told_at' THEN
        RAISE EXCEPTION 'a change of rights is kept as it was' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_rightschange_is_kept BEFORE UPDATE ON margin_rightschange
    FOR EACH ROW EXECUTE FUNCTION margin_rights_change_is_kept();
ALTER TABLE margin_rightschange ENABLE ALWAYS TRIGGER margin_rightschange_is_kept;
"""
TOLD_ONCE_BACK = """
DROP TRIGGER margin_rightschange_is_kept ON margin_rightschange;
DROP FUNCTION margin_rights_change_is_kept();
"""


def trigger(name: str, table: str, when: str, function: str) -> tuple[str, str]:
    """SQL of an ALWAYS row trigger, and of its end."""
    make = f"CREATE TRIGGER {name} {when} ON {table} FOR EACH ROW EXECUTE FUNCTION {function}();"
    return f"{make} ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name};", f"DROP TRIGGER {name} ON {table};"


class Migration(migrations.Migration):
    dependencies = [("margin", "0024_orders"), ("auth", "0012_alter_user_first_name_max_length")]
    operations = [
        migrations.RunSQL(MAY_APPROVE, "DROP FUNCTION margin_may_approve(bigint)"),
        migrations.RunSQL(PLAN_IS_KEPT, migrations.RunSQL.noop),
        migrations.RunSQL(APPROVAL, migrations.RunSQL.noop),
        migrations.RunSQL(RELEASE, RELEASE_BACK),
        migrations.RunSQL(ORDERS, ORDERS_BACK),
        migrations.RunSQL(FILLS, FILLS_BACK),
        migrations.RunSQL(DECIDED, "DROP FUNCTION margin_said_once()"),
        *(
            migrations.RunSQL(*trigger(f"{table}_said_once", table, "BEFORE INSERT OR UPDATE", "margin_said_once"))
            for table in DECIDED_TABLES
        ),
        migrations.RunSQL(RIGHTS, RIGHTS_BACK),
        *(
            migrations.RunSQL(
                *trigger(f"{table}_leaves_a_row", table, CHANGE, "margin_rights_leave_a_row")
            )
            for table in RIGHTS_TABLES
        ),
        migrations.RunSQL(TOLD_ONCE, TOLD_ONCE_BACK),
        *(migrations.RunSQL(market_bolts.bolt(table), market_bolts.unbolt(table))
          for table in ("margin_release", "margin_orderreport")),
        *(migrations.RunSQL(lives.stays(table), market_bolts.unbolt(table))
          for table in ("margin_order", *DECIDED_TABLES, "margin_rightschange")),
    ]  # fmt: skip
