"""Desk, risk and audit may read how charges are stored: the roles' table in `backoffice/roles.py`, written again."""

from django.db import migrations

from backoffice import roles


def forwards(apps, schema_editor):
    roles.grant(apps)


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0008_settlement_schedule")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
