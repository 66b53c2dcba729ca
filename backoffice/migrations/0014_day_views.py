"""Desk, risk and audit may read days out of turn and settlement cycles: `backoffice/roles.py`, written again."""

from django.db import migrations

from backoffice import roles


def forwards(apps, schema_editor):
    roles.grant(apps)


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0013_case_views")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
