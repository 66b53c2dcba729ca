"""How many orders may leave within a minute: a cap that two people set and the database keeps, whoever sends."""

from importlib import import_module

from django.db import migrations, models
from django.db.models import Q

heard = import_module("margin.migrations.0029_bolts_of_refused_cancels")
slices = import_module("margin.migrations.0027_bolts_of_slices")

# An order's lease ends half a minute after it began to leave, so leases lie apart as departures do.
A_MINUTE = slices.replaced(
    heard.HEARD,
    """    IF NEW.state = 'sending' THEN
        SELECT o.client_order_id, o.state INTO other
""",
    """    IF NEW.state = 'sending' THEN
        SELECT c.per_minute AS most INTO other FROM margin_liquidationcap c
            WHERE c.currency = NEW.currency AND c.approved_by_id IS NOT NULL AND c.approved_at <= NEW.moved_at
            ORDER BY c.approved_at DESC, c.id DESC LIMIT 1 FOR UPDATE;
        IF other.most <= (SELECT count(*) FROM margin_order o WHERE o.currency = NEW.currency
                          AND o.lease_until > NEW.lease_until - interval '1 minute' AND o.line_id <> NEW.line_id) THEN
            RAISE EXCEPTION 'order % waits: % % orders left within a minute; the cap allows %', OLD.client_order_id,
                other.most, NEW.currency, other.most USING ERRCODE = 'restrict_violation';
        END IF;
        SELECT o.client_order_id, o.state INTO other
""",
)


class Migration(migrations.Migration):
    dependencies = [("margin", "0032_appending_planned_once")]
    operations = [
        migrations.AddField(
            "liquidationcap",
            "per_minute",
            models.PositiveIntegerField(
                blank=True, null=True, help_text="Orders that may leave within a minute; empty: as many as there are"
            ),
        ),
        migrations.AlterField(
            "order",
            "lease_until",
            models.DateTimeField(blank=True, null=True, help_text="Half a minute after it last began to leave"),
        ),
        migrations.AddConstraint(
            "liquidationcap",
            models.CheckConstraint(
                condition=Q(("per_minute", None), ("per_minute__gt", 0), _connector="OR"), name="cap_lets_orders_leave"
            ),
        ),
        migrations.AddIndex("order", models.Index(fields=["currency", "lease_until"], name="order_left_lately")),
        migrations.RunSQL(A_MINUTE, heard.HEARD),
    ]
