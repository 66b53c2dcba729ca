"""Seed the close of SMA once: after New York's close, of early closes too, and again for what a first try left."""

from django.db import migrations

NAME = "Close of SMA"


def seed(apps, schema_editor):
    crontab = apps.get_model("django_celery_beat", "CrontabSchedule")
    task = apps.get_model("django_celery_beat", "PeriodicTask")
    when, _ = crontab.objects.get_or_create(
        minute="15,45",
        hour="16-18",
        day_of_week="1-5",
        day_of_month="*",
        month_of_year="*",
        timezone="America/New_York",
    )
    task.objects.get_or_create(
        name=NAME, defaults={"task": "margin.close_sma", "args": "[]", "crontab": when, "expire_seconds": 600}
    )


def forget(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0004_sma_views"), ("django_celery_beat", "0019_alter_periodictasks_options")]
    operations = [migrations.RunPython(seed, forget)]
