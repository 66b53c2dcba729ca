"""Seed the settlement of futures and the funding of perpetuals once: both look for what is over and not paid yet."""

from django.db import migrations

EVERY = {  # name: (task, seconds)
    "Settlement of futures": ("accounts.tasks.settle_futures", 900),
    "Funding of perpetuals": ("accounts.tasks.pay_funding", 300),
}


def seed(apps, schema_editor):
    interval = apps.get_model("django_celery_beat", "IntervalSchedule")
    task = apps.get_model("django_celery_beat", "PeriodicTask")
    for name, (code, seconds) in EVERY.items():
        every, _ = interval.objects.get_or_create(every=seconds, period="seconds")
        task.objects.get_or_create(
            name=name, defaults={"task": code, "args": "[]", "interval": every, "expire_seconds": seconds}
        )


def forget(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=EVERY).delete()


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0007_adapt_rates"), ("django_celery_beat", "0019_alter_periodictasks_options")]
    operations = [migrations.RunPython(seed, forget)]
