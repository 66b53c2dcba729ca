"""Seed the beat schedule once. From then on it is edited in the admin; `beat_schedule` in code stays empty."""

from django.db import migrations

EVERY = {  # name: (task, arguments, seconds)
    "Crypto sweep": ("margin.sweep", '["crypto"]', 60),
    "Deadlines and payments": ("margin.attention", "[]", 60),
    "Notices": ("notifications.tasks.prepare_and_send", "[]", 15),
    "Recovery of lost work": ("margin.recover", "[]", 30),
    "Corporate actions": ("accounts.tasks.apply_corporate_actions", "[]", 300),
}
AT = {  # name: (task, arguments, minute, hour)
    "Securities sweep": ("margin.sweep", '["securities"]', "*/15", "*"),
    "Interest": ("accounts.tasks.accrue_interest", "[]", "10", "0"),
    "Prune API replies": ("backoffice.tasks.prune_replies", "[]", "40", "3"),
}


def seed(apps, schema_editor):
    interval = apps.get_model("django_celery_beat", "IntervalSchedule")
    crontab = apps.get_model("django_celery_beat", "CrontabSchedule")
    task = apps.get_model("django_celery_beat", "PeriodicTask")
    for name, (code, arguments, seconds) in EVERY.items():
        every, _ = interval.objects.get_or_create(every=seconds, period="seconds")
        task.objects.get_or_create(
            name=name, defaults={"task": code, "args": arguments, "interval": every, "expire_seconds": seconds}
        )
    for name, (code, arguments, minute, hour) in AT.items():
        when, _ = crontab.objects.get_or_create(
            minute=minute, hour=hour, day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
        )
        task.objects.get_or_create(
            name=name, defaults={"task": code, "args": arguments, "crontab": when, "expire_seconds": 600}
        )


def forget(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=[*EVERY, *AT]).delete()


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0002_roles"), ("django_celery_beat", "0019_alter_periodictasks_options")]
    operations = [migrations.RunPython(seed, forget)]
