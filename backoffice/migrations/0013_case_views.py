"""Desk, risk and audit may see requests, disputes and tasks: the table in `backoffice/roles.py`, written again."""

from django.db import migrations

from backoffice import roles


def forwards(apps, schema_editor):
    roles.grant(apps)


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0012_prevention"), ("margin", "0012_lives")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
