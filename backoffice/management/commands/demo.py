"""`manage.py demo`: build the demonstration house in an empty database."""

import os
import secrets
from typing import Any

from django.core.management.base import BaseCommand

from backoffice.demo import build
from market import clock


class Command(BaseCommand):
    help = "Build the demonstration house: staff logins, made-up instruments and prices, twenty clients."

    def handle(self, *args: Any, **options: Any) -> None:
        password = os.environ.get("MARGIN_DEMO_PASSWORD") or secrets.token_urlsafe(12)
        if not build.build(at=clock.now(), password=password):
            self.stdout.write("There are clients already; the demonstration house is for an empty database.")
            return
        self.stdout.write("The demonstration house is built. Its prices are simulated.")
        if "MARGIN_DEMO_PASSWORD" not in os.environ:
            self.stdout.write(f"Password of every login: {password}")
