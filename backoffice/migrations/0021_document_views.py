"""Desk, risk and audit may see documents and their receipts."""

from django.db import migrations

from backoffice import roles


def forwards(apps, schema_editor):
    roles.grant(apps)


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0020_retention_views"), ("accounts", "0012_documents")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
