"""Seed the sender of orders once, every three seconds: a pulled switch and a cure are seen within five."""

from django.db import migrations

NAME, CODE, SECONDS = "Orders of released plans", "margin.send_orders", 3


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
    dependencies = [("backoffice", "0017_order_views")]
    operations = [migrations.RunPython(seed, forget)]
