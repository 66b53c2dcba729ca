"""Seed the settling of rights once, every minute, and let the roles see and use the registers (`backoffice/roles.py`)."""

from django.db import migrations

from backoffice import roles

NAME, CODE, SECONDS = "Restrictions and strikes", "margin.restrict", 60


def seed(apps, schema_editor):
    every, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
        every=SECONDS, period="seconds"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name=NAME, defaults={"task": CODE, "args": "[]", "interval": every, "expire_seconds": SECONDS}
    )
    roles.grant(apps)


def forget(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0009_charge_views")]
    operations = [migrations.RunPython(seed, forget)]
