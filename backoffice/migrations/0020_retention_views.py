"""Desk, risk and audit may see legal holds and erasures."""

from django.db import migrations

from backoffice import roles


def forwards(apps, schema_editor):
    roles.grant(apps)


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0019_reconcile_orders"), ("margin", "0028_retention")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
