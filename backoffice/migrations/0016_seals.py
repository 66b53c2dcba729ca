"""Seal the history every minute, anchor it every five; auditors and the desk may read seals and epochs."""

from django.db import migrations

from backoffice import roles

EVERY = {"Seals of the history": ("margin.seal", 60), "Anchors of the history": ("margin.anchor", 300)}


def seed(apps, schema_editor):
    for name, (code, seconds) in EVERY.items():
        every, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
            every=seconds, period="seconds"
        )
        apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
            name=name, defaults={"task": code, "args": "[]", "interval": every, "expire_seconds": seconds}
        )
    roles.grant(apps)


def forget(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=list(EVERY)).delete()


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0015_reschedule")]
    operations = [migrations.RunPython(seed, forget)]
