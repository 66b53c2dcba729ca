"""Whoever reads the margin room may read whether the house runs by the wall clock."""

from django.db import migrations

from backoffice import roles


def forwards(apps, schema_editor):
    roles.grant(apps)


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0021_document_views"), ("margin", "0034_bolts_of_the_clock")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
