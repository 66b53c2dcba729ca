"""Seed the review of calls that come from trades once, every five minutes."""

from django.db import migrations

NAME, CODE, SECONDS = "Calls from trades", "margin.trade_calls", 300


def seed(apps, schema_editor):
    every, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
        every=SECONDS, period="seconds"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name=NAME, defaults={"task": CODE, "args": "[]", "interval": every, "expire_seconds": SECONDS}
    )


def forget(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0010_restrictions")]
    operations = [migrations.RunPython(seed, forget)]
