"""The Celery application. The schedule lives in the database (django-celery-beat), never here."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")

app = Celery("margin_desk")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
