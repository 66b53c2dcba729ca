"""The bolts on the door: plain SQL, so that no session setting and no library can slide them back.

* `margin_lock_chains` locks the chains of some accounts, in account order.
* `margin_append_events` alone writes events: it sets id, seq, recorded_at and the transaction, and hashes them all.
* A call row is refused unless an event of the same transaction says exactly what the row says.
* Approved policies, plans, approvals and plan fills keep what they were.
"""

from importlib import import_module

from django.db import migrations

market_bolts = import_module("market.migrations.0002_bolts")

EVENT_IDS = ("CREATE SEQUENCE margin_event_id", "DROP SEQUENCE margin_event_id")

LOCK_CHAINS = """
CREATE FUNCTION margin_lock_chains(accounts bigint[])
    RETURNS TABLE (account_id bigint, seq bigint, at timestamptz)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO margin_chain (account_id, seq, head)
        SELECT DISTINCT wanted, 0, '' FROM unnest(accounts) AS wanted
        WHERE NOT EXISTS (SELECT FROM margin_chain known WHERE known.account_id = wanted)
        ORDER BY wanted
        ON CONFLICT DO NOTHING;
    RETURN QUERY
        SELECT chain.account_id, chain.seq, chain.at FROM margin_chain chain
        WHERE chain.account_id = ANY (accounts)
        ORDER BY chain.account_id
        FOR UPDATE;
END $$;
"""

APPEND_EVENTS = """
CREATE FUNCTION margin_append_events(entries jsonb)
    RETURNS TABLE (ordinal bigint, event_id bigint, account_id bigint, seq bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    entry   jsonb;
    chain   margin_chain;
    moment  timestamptz;
    clock   timestamptz;
    number  bigint;
    text    text;
    link    text;
BEGIN
    FOR ordinal, entry IN SELECT list.ord, list.value FROM jsonb_array_elements(entries) WITH ORDINALITY AS list(value, ord)
    LOOP
        SELECT * INTO chain FROM margin_chain c WHERE c.account_id = (entry ->> 'account')::bigint FOR UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'account % has no chain; lock it with margin_lock_chains first', entry ->> 'account';
        END IF;
        moment := (entry ->> 'at')::timestamptz;
        IF moment IS NULL OR entry ->> 'kind' IS NULL OR entry ->> 'actor' IS NULL THEN
            RAISE EXCEPTION 'an event needs at, kind and actor: %', entry;
        END IF;
        IF moment < chain.at THEN
            RAISE EXCEPTION 'time runs backwards for account %: % is before its last event at %',
                chain.account_id, moment, chain.at USING ERRCODE = 'invalid_datetime_format';
        END IF;
        clock := clock_timestamp();
        number := nextval('margin_event_id');
        text := (entry || jsonb_build_object(
            'id', number,
            'seq', chain.seq + 1,
            'recorded_at', to_char(clock AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'transaction', pg_current_xact_id()::text
        ))::text;
        IF octet_length(text) > 2048 THEN
            RAISE EXCEPTION 'the event % of account % is % bytes; store it elsewhere and keep its hash here',
                entry ->> 'kind', chain.account_id, octet_length(text);
        END IF;
        link := encode(sha256(convert_to(chain.head || E'\\n' || text, 'UTF8')), 'hex');
        INSERT INTO margin_event (id, account_id, seq, call_id, kind, at, recorded_at, transaction_id, body,
                                  previous_hash, hash)
            VALUES (number, chain.account_id, chain.seq + 1, (entry ->> 'call')::bigint, entry ->> 'kind', moment,
                    clock, pg_current_xact_id()::text::bigint, text, chain.head, link);
        UPDATE margin_chain c SET seq = chain.seq + 1, head = link, at = moment WHERE c.account_id = chain.account_id;
        event_id := number;
        account_id := chain.account_id;
        seq := chain.seq + 1;
        RETURN NEXT;
    END LOOP;
END $$;
"""

PRIVATE = """
REVOKE EXECUTE ON FUNCTION margin_lock_chains(bigint[]), margin_append_events(jsonb) FROM PUBLIC;
"""

# The stack of running functions tells whether a write comes from the functions above. A function of the same name
# in another schema shows its schema there, so it does not pass.
ONLY_BY_FUNCTION = """
CREATE FUNCTION margin_only_by_function() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stack text;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    IF stack !~ E'\\nPL/pgSQL function (public\\\\.)?margin_(append_events|lock_chains)\\\\(' THEN
        RAISE EXCEPTION '% on % is refused: chains are written by margin_append_events alone', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_event_comes_by_function BEFORE INSERT ON margin_event
    FOR EACH ROW EXECUTE FUNCTION margin_only_by_function();
CREATE TRIGGER margin_chain_moves_by_function BEFORE INSERT OR UPDATE ON margin_chain
    FOR EACH ROW EXECUTE FUNCTION margin_only_by_function();
CREATE TRIGGER margin_chain_rows_stay BEFORE DELETE ON margin_chain
    FOR EACH ROW EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER margin_chain_is_never_emptied BEFORE TRUNCATE ON margin_chain
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
ALTER TABLE margin_event ENABLE ALWAYS TRIGGER margin_event_comes_by_function;
ALTER TABLE margin_chain ENABLE ALWAYS TRIGGER margin_chain_moves_by_function;
ALTER TABLE margin_chain ENABLE ALWAYS TRIGGER margin_chain_rows_stay;
ALTER TABLE margin_chain ENABLE ALWAYS TRIGGER margin_chain_is_never_emptied;
"""
ONLY_BY_FUNCTION_BACK = """
DROP TRIGGER margin_event_comes_by_function ON margin_event;
DROP TRIGGER margin_chain_moves_by_function ON margin_chain;
DROP TRIGGER margin_chain_rows_stay ON margin_chain;
DROP TRIGGER margin_chain_is_never_emptied ON margin_chain;
DROP FUNCTION margin_only_by_function();
"""

CALLS = """
CREATE FUNCTION margin_call_moves_legally() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'issued' THEN
            RAISE EXCEPTION 'a new call is issued, not %', NEW.state USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (OLD.state, NEW.state) NOT IN (
        ('issued', 'issued'), ('issued', 'met'), ('issued', 'escalated'), ('issued', 'cancelled'),
        ('escalated', 'escalated'), ('escalated', 'met'), ('escalated', 'liquidated'), ('escalated', 'cancelled')
    ) THEN
        RAISE EXCEPTION 'call % cannot go from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (OLD.id, OLD.account_id, OLD.regime, OLD.deficiency_key, OLD.policy_version_id, OLD.assessment_id, OLD.currency,
        OLD.issued_at, OLD.original_due_at, OLD.market_cures, OLD.predecessor_id)
        IS DISTINCT FROM
       (NEW.id, NEW.account_id, NEW.regime, NEW.deficiency_key, NEW.policy_version_id, NEW.assessment_id, NEW.currency,
        NEW.issued_at, NEW.original_due_at, NEW.market_cures, NEW.predecessor_id)
    THEN
        RAISE EXCEPTION 'what call % was issued for never changes', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.seq <= OLD.seq THEN
        RAISE EXCEPTION 'call % must move on to a later event than %', OLD.id, OLD.seq
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION margin_call_has_its_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    event margin_event;
    told  jsonb;
BEGIN
    SELECT * INTO event FROM margin_event e WHERE e.account_id = NEW.account_id AND e.seq = NEW.seq;
    IF NOT FOUND OR event.call_id IS DISTINCT FROM NEW.id
       OR event.transaction_id <> pg_current_xact_id()::text::bigint THEN
        RAISE EXCEPTION 'call % changed without its event in the same transaction; use margin.calls', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    told := event.body::jsonb -> 'row';
    IF told IS NULL
       OR NOT told ?& ARRAY['state', 'amount_called', 'amount_outstanding', 'tolerance', 'due_at', 'due_basis', 'notified_at',
                            'provisionally_met_at', 'escalated_at', 'escalation_cause', 'escalation_level',
                            'closed_at', 'resolution']
       OR jsonb_populate_record(NEW, told) IS DISTINCT FROM NEW THEN
        RAISE EXCEPTION 'call % does not say what its event % says', NEW.id, event.seq
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = 'liquidated' AND NOT EXISTS (
        SELECT FROM margin_planfill f JOIN margin_planline l ON l.id = f.line_id JOIN margin_plan p ON p.id = l.plan_id
        WHERE p.call_id = NEW.id
    ) THEN
        RAISE EXCEPTION 'call % cannot be liquidated without a fill of an approved plan', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER margin_margincall_moves_legally BEFORE INSERT OR UPDATE ON margin_margincall
    FOR EACH ROW EXECUTE FUNCTION margin_call_moves_legally();
CREATE CONSTRAINT TRIGGER margin_margincall_has_its_event AFTER INSERT OR UPDATE ON margin_margincall
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION margin_call_has_its_event();
CREATE TRIGGER margin_margincall_rows_stay BEFORE DELETE ON margin_margincall
    FOR EACH ROW EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER margin_margincall_is_never_emptied BEFORE TRUNCATE ON margin_margincall
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER margin_margincall_moves_legally;
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER margin_margincall_has_its_event;
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER margin_margincall_rows_stay;
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER margin_margincall_is_never_emptied;
"""
CALLS_BACK = """
DROP TRIGGER margin_margincall_moves_legally ON margin_margincall;
DROP TRIGGER margin_margincall_has_its_event ON margin_margincall;
DROP TRIGGER margin_margincall_rows_stay ON margin_margincall;
DROP TRIGGER margin_margincall_is_never_emptied ON margin_margincall;
DROP FUNCTION margin_call_moves_legally();
DROP FUNCTION margin_call_has_its_event();
"""

POLICIES = """
CREATE FUNCTION margin_policy_version_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.approved_by_id IS NOT NULL THEN
            RAISE EXCEPTION 'a policy version is published first and approved by another person afterwards'
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR OLD.approved_by_id IS NOT NULL
       OR (OLD.id, OLD.policy_id, OLD.number, OLD.terms, OLD.effective_at, OLD.published_by_id, OLD.published_at)
          IS DISTINCT FROM
          (NEW.id, NEW.policy_id, NEW.number, NEW.terms, NEW.effective_at, NEW.published_by_id, NEW.published_at)
    THEN
        RAISE EXCEPTION 'policy version % is never edited; publish a new version', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_policyversion_is_kept BEFORE INSERT OR UPDATE OR DELETE ON margin_policyversion
    FOR EACH ROW EXECUTE FUNCTION margin_policy_version_is_kept();
CREATE TRIGGER margin_policyversion_is_never_emptied BEFORE TRUNCATE ON margin_policyversion
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
ALTER TABLE margin_policyversion ENABLE ALWAYS TRIGGER margin_policyversion_is_kept;
ALTER TABLE margin_policyversion ENABLE ALWAYS TRIGGER margin_policyversion_is_never_emptied;
"""
POLICIES_BACK = """
DROP TRIGGER margin_policyversion_is_kept ON margin_policyversion;
DROP TRIGGER margin_policyversion_is_never_emptied ON margin_policyversion;
DROP FUNCTION margin_policy_version_is_kept();
"""

PLANS = """
ALTER TABLE margin_plan ADD CONSTRAINT plan_hash_is_of_its_content
    CHECK (content_hash = encode(sha256(convert_to(content, 'UTF8')), 'hex'));
ALTER TABLE margin_approval ADD CONSTRAINT approval_is_of_this_content
    FOREIGN KEY (plan_id, content_hash) REFERENCES margin_plan (id, content_hash);

CREATE FUNCTION margin_plan_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
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
    IF TG_OP = 'DELETE' OR (OLD.id, OLD.call_id, OLD.content, OLD.content_hash, OLD.proposed_by_id, OLD.proposed_at,
                            OLD.expires_at)
        IS DISTINCT FROM (NEW.id, NEW.call_id, NEW.content, NEW.content_hash, NEW.proposed_by_id, NEW.proposed_at,
                          NEW.expires_at) THEN
        RAISE EXCEPTION 'plan % is never edited; reject it and propose another', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (OLD.state, NEW.state) NOT IN (('proposed', 'approved'), ('proposed', 'rejected'), ('proposed', 'expired'),
                                      ('approved', 'done'), ('approved', 'expired'), ('approved', 'rejected')) THEN
        RAISE EXCEPTION 'plan % cannot go from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = 'approved' THEN
        needed := CASE WHEN NEW.proposed_by_id IS NULL THEN 2 ELSE 1 END;
        SELECT count(*) INTO given FROM margin_approval a WHERE a.plan_id = NEW.id;
        IF given < needed THEN
            RAISE EXCEPTION 'plan % needs % approval(s) by people who did not propose it and has %',
                NEW.id, needed, given USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION margin_approval_is_by_another() RETURNS trigger LANGUAGE plpgsql AS $$
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
    RETURN NEW;
END $$;
CREATE FUNCTION margin_fill_needs_an_approved_plan() RETURNS trigger LANGUAGE plpgsql AS $$
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
                   WHERE f.id = NEW.fill_id AND f.instrument_id = line.instrument_id AND f.account_id = c.account_id
                     AND sign(f.quantity) = sign(line.quantity))
       OR abs(filled) > abs(line.quantity) THEN
        RAISE EXCEPTION 'fill % does not fit line % of plan %: same account, instrument and side, at most % in all',
            NEW.fill_id, line.id, line.plan_id, line.quantity USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION margin_line_of_a_new_plan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM margin_approval a WHERE a.plan_id = NEW.plan_id)
       OR NOT EXISTS (SELECT FROM margin_plan p WHERE p.id = NEW.plan_id AND p.state = 'proposed') THEN
        RAISE EXCEPTION 'plan % is no longer open to new lines', NEW.plan_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_plan_is_kept BEFORE INSERT OR UPDATE OR DELETE ON margin_plan
    FOR EACH ROW EXECUTE FUNCTION margin_plan_is_kept();
CREATE TRIGGER margin_plan_is_never_emptied BEFORE TRUNCATE ON margin_plan
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER margin_approval_is_by_another BEFORE INSERT ON margin_approval
    FOR EACH ROW EXECUTE FUNCTION margin_approval_is_by_another();
CREATE TRIGGER margin_planfill_needs_approval BEFORE INSERT ON margin_planfill
    FOR EACH ROW EXECUTE FUNCTION margin_fill_needs_an_approved_plan();
CREATE TRIGGER margin_planline_is_early BEFORE INSERT ON margin_planline
    FOR EACH ROW EXECUTE FUNCTION margin_line_of_a_new_plan();
ALTER TABLE margin_plan ENABLE ALWAYS TRIGGER margin_plan_is_kept;
ALTER TABLE margin_plan ENABLE ALWAYS TRIGGER margin_plan_is_never_emptied;
ALTER TABLE margin_approval ENABLE ALWAYS TRIGGER margin_approval_is_by_another;
ALTER TABLE margin_planfill ENABLE ALWAYS TRIGGER margin_planfill_needs_approval;
ALTER TABLE margin_planline ENABLE ALWAYS TRIGGER margin_planline_is_early;
"""
PLANS_BACK = """
DROP TRIGGER margin_plan_is_kept ON margin_plan;
DROP TRIGGER margin_plan_is_never_emptied ON margin_plan;
DROP TRIGGER margin_approval_is_by_another ON margin_approval;
DROP TRIGGER margin_planfill_needs_approval ON margin_planfill;
DROP TRIGGER margin_planline_is_early ON margin_planline;
DROP FUNCTION margin_plan_is_kept();
DROP FUNCTION margin_approval_is_by_another();
DROP FUNCTION margin_fill_needs_an_approved_plan();
DROP FUNCTION margin_line_of_a_new_plan();
ALTER TABLE margin_approval DROP CONSTRAINT approval_is_of_this_content;
ALTER TABLE margin_plan DROP CONSTRAINT plan_hash_is_of_its_content;
"""
APPEND_ONLY = (
    "margin_event",
    "margin_cure",
    "margin_approval",
    "margin_planline",
    "margin_planfill",
    "margin_receivable",
    "margin_measure",
    "margin_charge",
    "margin_assessment",
)


class Migration(migrations.Migration):
    dependencies = [("margin", "0002_initial"), ("accounts", "0003_bolts"), ("market", "0002_bolts")]
    operations = [
        migrations.RunSQL(*EVENT_IDS),
        migrations.RunSQL(LOCK_CHAINS, "DROP FUNCTION margin_lock_chains(bigint[])"),
        migrations.RunSQL(APPEND_EVENTS, "DROP FUNCTION margin_append_events(jsonb)"),
        migrations.RunSQL(PRIVATE, migrations.RunSQL.noop),
        migrations.RunSQL(ONLY_BY_FUNCTION, ONLY_BY_FUNCTION_BACK),
        migrations.RunSQL(CALLS, CALLS_BACK),
        migrations.RunSQL(POLICIES, POLICIES_BACK),
        migrations.RunSQL(PLANS, PLANS_BACK),
        *(migrations.RunSQL(market_bolts.bolt(table), market_bolts.unbolt(table)) for table in APPEND_ONLY),
    ]
