"""Seed the weekly report of how many warned accounts came back without a call: Monday morning, UTC."""

from django.db import migrations

NAME = "Prevention report"


def seed(apps, schema_editor):
    crontab = apps.get_model("django_celery_beat", "CrontabSchedule")
    task = apps.get_model("django_celery_beat", "PeriodicTask")
    when, _ = crontab.objects.get_or_create(
        minute="0", hour="6", day_of_week="1", day_of_month="*", month_of_year="*", timezone="UTC"
    )
    task.objects.get_or_create(
        name=NAME, defaults={"task": "margin.report_prevention", "args": "[]", "crontab": when, "expire_seconds": 86400}
    )


def forget(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0011_trade_calls")]
    operations = [migrations.RunPython(seed, forget)]
