"""`manage.py demo`: build the demonstration house in an empty database."""

import os
import secrets
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from backoffice.demo import build, casework
from market import clock


class Command(BaseCommand):
    help = "Build the demonstration house: staff logins, made-up instruments and prices, twenty clients."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--casework", action="store_true", help="sweep the house just built, and work on its calls")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["casework"]:
            casework.play(at=clock.now())
            self.stdout.write("The desk has worked on the first calls.")
            return
        password = os.environ.get("MARGIN_DEMO_PASSWORD") or secrets.token_urlsafe(12)
        if not build.build(at=clock.now(), password=password):
            self.stdout.write("There are clients already; the demonstration house is for an empty database.")
            return
        self.stdout.write("The demonstration house is built. Its prices are simulated.")
        if "MARGIN_DEMO_PASSWORD" not in os.environ:
            self.stdout.write(f"Password of every login: {password}")
