"""Bolts on the way of orders: slice after slice, one plan of an account at a time, asked before sent again.

* Two plans of one account would sell the same holding twice: none is released before another's orders are over.
* An order of a later slice does not leave before all of the earlier slices are filled.
* An unknown order is new again only by answers to questions put since it is unknown.
* Who pulled the kill switch may add later that working orders are asked back.
* What is refused names its row.
"""

from importlib import import_module

from django.db import migrations

before = import_module("margin.migrations.0025_bolts_of_orders")


def replaced(function: str, old: str, new: str) -> str:
    """SQL that states a function anew with one passage changed."""
    if function.count(old) != 1:
        raise ValueError(f"the function does not say once: {old}")
    return function.replace(old, new).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


def only(name: str, script: str) -> str:
    """One function's statement out of a script."""
    start = script.index(f"FUNCTION {name}(")
    start = script.rindex("CREATE ", 0, start)
    return script[start : script.index("END $$;", start) + len("END $$;")]


RELEASE = only("margin_release_is_due", before.RELEASE)
ONE_PLAN_AT_A_TIME = replaced(
    RELEASE,
    """    IF EXISTS (SELECT FROM margin_killswitch WHERE is_pulled) THEN
""",
    """    PERFORM FROM margin_margincall c WHERE c.account_id = called.account_id AND c.state = 'escalated'
        ORDER BY c.id FOR UPDATE;
    SELECT p.id, p.state INTO other FROM margin_plan p JOIN margin_release r ON r.plan_id = p.id
        JOIN margin_margincall c ON c.id = p.call_id
        WHERE c.account_id = called.account_id AND p.id <> NEW.plan_id AND (p.state = 'approved' OR EXISTS (
            SELECT FROM margin_order o WHERE o.release_id = p.id AND o.state NOT IN ('filled', 'cancelled', 'rejected')
        )) ORDER BY p.id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'plan % waits: plan % of the same account is % and its orders are not over', NEW.plan_id,
            other.id, other.state USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (SELECT FROM margin_killswitch WHERE is_pulled) THEN
""",
).replace("    person   bigint;\nBEGIN", "    person   bigint;\n    other    record;\nBEGIN")
ONE_PLAN_AT_A_TIME = replaced(
    ONE_PLAN_AT_A_TIME,
    "RAISE EXCEPTION 'the kill switch is pulled: nothing is released' USING",
    "RAISE EXCEPTION 'the kill switch is pulled: plan % is not released', NEW.plan_id USING",
)

ORDER = only("margin_order_is_kept", before.ORDERS)
ASKED = replaced(
    ORDER,
    "NEW.state = 'new' AND (NEW.asks < 1 OR NEW.asks > (",
    "NEW.state = 'new' AND (NEW.asks < 1 OR OLD.asked_at IS NULL OR OLD.asked_at < OLD.moved_at OR NEW.asks > (",
)
IN_TURN = replaced(
    ASKED,
    """    RETURN NEW;
END $$;""",
    """    IF NEW.state = 'sending' THEN
        SELECT o.client_order_id, o.state INTO other
            FROM jsonb_array_elements(plan.content::jsonb -> 'lines') told
            JOIN margin_planline l ON l.plan_id = plan.id AND l.instrument_id = (told ->> 'instrument')::bigint
            JOIN margin_order o ON o.line_id = l.id
            WHERE o.state <> 'filled' AND coalesce((told ->> 'slice')::integer, 0) < (
                SELECT coalesce((mine ->> 'slice')::integer, 0)
                FROM jsonb_array_elements(plan.content::jsonb -> 'lines') mine
                WHERE (mine ->> 'instrument')::bigint = line.instrument_id)
            ORDER BY o.line_id LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'order % waits: order % of an earlier slice is %', OLD.client_order_id,
                other.client_order_id, other.state USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;""",
).replace("    heard boolean;\nBEGIN", "    heard boolean;\n    other record;\nBEGIN")

SAID_ONCE = replaced(
    before.DECIDED,
    "said ->> 'released_by_id' IS NOT NULL) THEN",
    "said ->> 'released_by_id' IS NOT NULL)\n"
    "           AND NOT (before.key = 'cancels_working' AND before.value = 'false') THEN",
)
SAID_ONCE = replaced(
    SAID_ONCE,
    """'one person says it first and another decides afterwards'
""",
    """'% %: one person says it first and another decides afterwards', TG_TABLE_NAME, NEW.id
""",
)
APPROVAL = replaced(
    before.APPROVAL,
    """ approve plans: it takes an active Supervisor or Risk who manages no users',
            NEW.approver_id USING""",
    """ approve plan %: it takes an active Supervisor or Risk who manages no users',
            NEW.approver_id, NEW.plan_id USING""",
)


def again(function: str) -> str:
    return function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


class Migration(migrations.Migration):
    dependencies = [("margin", "0026_gate_last_sweep")]
    operations = [
        migrations.RunSQL(ONE_PLAN_AT_A_TIME, again(RELEASE)),
        migrations.RunSQL(IN_TURN, again(ORDER)),
        migrations.RunSQL(SAID_ONCE, again(before.DECIDED)),
        migrations.RunSQL(APPROVAL, before.APPROVAL),
    ]
