"""Seed the comparison of orders with what is booked once, every minute."""

from django.db import migrations

NAME, CODE, SECONDS = "Orders against what is booked", "margin.reconcile_orders", 60


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
    dependencies = [("backoffice", "0018_send_orders")]
    operations = [migrations.RunPython(seed, forget)]
