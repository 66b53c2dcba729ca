"""Bolts on instants: in a house that runs by the wall clock, what lets an order leave is dated when it happens.

Caps of a day and of a minute, expiry and standing approvals are counted by instants that whoever writes the row gives:
tests, trials and the demonstration live at instants of their own. Where `margin_wallclock` has its row, which the owner
alone writes (`manage.py grant_roles` of a production house), an instant two minutes from now or five minutes ago is
refused, and an order that leaves is dated by the database. A plan lives a day at most, by any clock.
"""

from datetime import timedelta

from django.db import migrations, models
from django.db.models import F, Q

import market.facts

SAID_NOW = """
CREATE FUNCTION margin_is_said_now() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    clock CONSTANT timestamptz := clock_timestamp();
    told  timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM margin_wallclock) THEN
        RETURN NEW;
    END IF;
    FOR place IN 1 .. TG_NARGS - 1 LOOP
        told := to_jsonb(NEW) ->> TG_ARGV[place];
        IF told > clock + interval '2 minutes'
           OR TG_ARGV[0] = 'now' AND told < clock - interval '5 minutes' THEN
            RAISE EXCEPTION '%: % is % by the database''s clock, not %; try again, and compare the clocks of the machines',
                TG_TABLE_NAME, TG_ARGV[place], clock, told USING ERRCODE = 'restrict_violation';
        END IF;
    END LOOP;
    RETURN NEW;
END $$;
"""
SAID_NOW_BACK = "DROP FUNCTION margin_is_said_now();"

# Orders of a minute are counted by their leases. Its name lets it fire before `margin_order_is_kept`, which counts.
LEAVES = """
CREATE FUNCTION margin_order_dates_itself() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.state <> 'sending' OR OLD.state = 'sending' THEN
        RAISE EXCEPTION 'order % has its lease since it left; it stays', OLD.client_order_id
            USING ERRCODE = 'restrict_violation';
    ELSIF EXISTS (SELECT FROM margin_wallclock) THEN
        NEW.moved_at := clock_timestamp();
        NEW.lease_until := NEW.moved_at + interval '30 seconds';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_order_dates_itself BEFORE UPDATE ON margin_order FOR EACH ROW
    WHEN (NEW.lease_until IS DISTINCT FROM OLD.lease_until OR NEW.state = 'sending' AND OLD.state <> 'sending')
    EXECUTE FUNCTION margin_order_dates_itself();
ALTER TABLE margin_order ENABLE ALWAYS TRIGGER margin_order_dates_itself;
"""
LEAVES_BACK = "DROP TRIGGER margin_order_dates_itself ON margin_order; DROP FUNCTION margin_order_dates_itself();"

# Proposing at an earlier instant shortens a plan's life and harms nobody; a sweep proposes at its own.
BOUND = {
    "margin_plan_is_said_now": ("INSERT ON margin_plan", "", "'by now', 'proposed_at'"),
    "margin_approval_is_said_now": ("INSERT ON margin_approval", "", "'now', 'approved_at'"),
    "margin_release_is_said_now": ("INSERT ON margin_release", "", "'now', 'released_at'"),
    **{
        f"{table}_is_{said}_now": (f"{act} ON {table}", when, f"'now', '{said}_at'")
        for table in ("margin_liquidationcap", "margin_standingapproval")
        for said, act, when in (
            ("proposed", "INSERT", ""),
            ("approved", "UPDATE", "WHEN (NEW.approved_at IS DISTINCT FROM OLD.approved_at)"),
        )
    },
}


def bind(name: str, act: str, when: str, told: str) -> migrations.RunSQL:
    table = act.rpartition(" ")[2]
    return migrations.RunSQL(
        f"CREATE TRIGGER {name} BEFORE {act} FOR EACH ROW {when} EXECUTE FUNCTION margin_is_said_now({told});"
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name};",
        f"DROP TRIGGER {name} ON {table};",
    )


class Migration(migrations.Migration):
    dependencies = [("margin", "0033_orders_a_minute")]
    operations = [
        migrations.CreateModel(
            name="WallClock",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("since", models.DateTimeField(db_default=market.facts.StatementClock(), editable=False)),
            ],
        ),
        migrations.AddConstraint(
            "wallclock", models.CheckConstraint(condition=Q(id=1), name="wall_clock_is_there_once")
        ),
        migrations.AddConstraint(
            "plan",
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("proposed_at"), expires_at__lte=F("proposed_at") + timedelta(days=1)),
                name="plan_lives_a_day_at_most",
            ),
        ),
        migrations.RunSQL(SAID_NOW, SAID_NOW_BACK),
        migrations.RunSQL(LEAVES, LEAVES_BACK),
        *(bind(name, *rest) for name, rest in BOUND.items()),
    ]
