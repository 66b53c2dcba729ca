"""Desk, risk and audit may see releases, orders, caps, the kill switch and changes of rights."""

from django.db import migrations

from backoffice import roles


def forwards(apps, schema_editor):
    roles.grant(apps)


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0016_seals"), ("margin", "0025_bolts_of_orders")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
