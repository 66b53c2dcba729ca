"""Bolts on what a release is worth and who let its caps count, and where every trigger looks for its tables.

* A cap counts once another person approved it; an approval names who gave it and when, or neither.
* A plan's lines are what its content says, price included: caps count the content.
* A line is worth its proceeds in the call's currency; units times price only where that is the instrument's too.
* No trigger finds a table of the session's own before ours.
"""

from importlib import import_module

from django.db import migrations, models
from django.db.models import Q

before = import_module("margin.migrations.0025_bolts_of_orders")
slices = import_module("margin.migrations.0027_bolts_of_slices")

WORTH = before.RELEASE[: before.RELEASE.index("CREATE FUNCTION margin_check_caps")]
IN_ITS_CURRENCY = slices.replaced(
    WORTH,
    """greatest(abs((line ->> 'proceeds')::numeric), abs(
        (line ->> 'quantity')::numeric * (line ->> 'price')::numeric * i.multiplier / i.price_divisor)) AS value""",
    """greatest(abs((line ->> 'proceeds')::numeric), CASE WHEN i.currency = content::jsonb ->> 'currency' THEN abs(
        (line ->> 'quantity')::numeric * (line ->> 'price')::numeric * i.multiplier / i.price_divisor) END) AS value""",
)
CAPS_OF_TWO = slices.replaced(
    slices.ONE_PLAN_AT_A_TIME,
    "WHERE c.currency = NEW.currency AND c.approved_at <= NEW.released_at",
    "WHERE c.currency = NEW.currency AND c.approved_by_id IS NOT NULL\n"
    "        AND c.approved_at <= NEW.released_at",
)
AS_IT_SAYS = slices.replaced(
    CAPS_OF_TWO,
    """    SELECT v.notional, v.largest INTO""",
    """    SELECT coalesce(l.instrument_id, (told ->> 'instrument')::bigint) AS instrument INTO other
        FROM jsonb_array_elements(plan.content::jsonb -> 'lines') told
        FULL JOIN (SELECT * FROM margin_planline WHERE plan_id = NEW.plan_id) l
            ON l.instrument_id = (told ->> 'instrument')::bigint
        WHERE l.quantity IS DISTINCT FROM (told ->> 'quantity')::numeric
           OR l.price IS DISTINCT FROM round((told ->> 'price')::numeric, 12) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'plan % says of instrument % another quantity or price than its line', NEW.plan_id,
            other.instrument USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT v.notional, v.largest INTO""",
)
LOOK_HERE_FIRST = """
DO $$
DECLARE
    found regprocedure;
BEGIN
    FOR found IN SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.prorettype = 'trigger'::regtype
          AND pg_get_userbyid(p.proowner) = current_user
          AND NOT coalesce(array_to_string(p.proconfig, ','), '') LIKE '%search_path=%'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = public, pg_temp', found);
    END LOOP;
END $$;
"""


def says_who(model: str, name: str) -> migrations.AddConstraint:
    nobody, somebody = Q(approved_by=None, approved_at=None), Q(approved_by__isnull=False, approved_at__isnull=False)
    return migrations.AddConstraint(model, models.CheckConstraint(condition=nobody | somebody, name=name))


class Migration(migrations.Migration):
    dependencies = [
        ("margin", "0029_bolts_of_refused_cancels"),
        ("market", "0011_bolts_of_days"),
        ("accounts", "0012_documents"),
        ("notifications", "0003_erasure"),
    ]
    operations = [
        migrations.RunSQL(IN_ITS_CURRENCY, slices.again(WORTH)),
        migrations.RunSQL(AS_IT_SAYS, slices.again(slices.ONE_PLAN_AT_A_TIME)),
        migrations.RunSQL(LOOK_HERE_FIRST, migrations.RunSQL.noop),
        says_who("liquidationcap", "cap_says_who_approved_it"),
        says_who("standingapproval", "standing_approval_says_who_approved_it"),
    ]
