"""Desk, risk and audit may read published parameters: the roles' table in `backoffice/roles.py`, written again."""

from django.db import migrations

from backoffice import roles


def forwards(apps, schema_editor):
    roles.grant(apps)


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0005_close_sma")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
