"""The six roles. Who may do what is the table in `backoffice/roles.py`; a change there comes with a migration like this."""

from django.db import migrations

from backoffice import roles


def forwards(apps, schema_editor):
    roles.grant(apps)


class Migration(migrations.Migration):
    dependencies = [
        ("backoffice", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
