"""Seed the daily publication of rates that follow volatility: after midnight UTC, when every close of the day is in."""

from django.db import migrations

NAME = "Adaptive margin rates"


def seed(apps, schema_editor):
    crontab = apps.get_model("django_celery_beat", "CrontabSchedule")
    task = apps.get_model("django_celery_beat", "PeriodicTask")
    when, _ = crontab.objects.get_or_create(
        minute="30", hour="0", day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
    )
    task.objects.get_or_create(
        name=NAME, defaults={"task": "margin.adapt_rates", "args": "[]", "crontab": when, "expire_seconds": 3600}
    )


def forget(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("backoffice", "0006_parameter_views"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]
    operations = [migrations.RunPython(seed, forget)]
