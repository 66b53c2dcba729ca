"""A venue that refuses to take an order back does not say that it has it: it may never have heard of it."""

from importlib import import_module

from django.db import migrations

before = import_module("margin.migrations.0027_bolts_of_slices")

HEARD = before.replaced(
    before.IN_TURN,
    "WHERE r.order_id = OLD.line_id AND r.told <> 'never_heard')",
    "WHERE r.order_id = OLD.line_id AND r.told NOT IN ('never_heard', 'cancel_refused'))",
)


class Migration(migrations.Migration):
    dependencies = [("margin", "0028_retention")]
    operations = [migrations.RunSQL(HEARD, before.IN_TURN)]
