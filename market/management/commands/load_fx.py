from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from market import clock, fx
from market.management import loading


class Command(BaseCommand):
    help = "Record exchange rates from CSV, all or nothing (docs/formats.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        loading.add_arguments(parser, total_of="value")
        parser.add_argument("--confirmed", action="store_true", help="moves of more than 10 % are right")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        with loading.loading(file):
            done = fx.load(file, at=clock.now(), control=loading.control(options), confirmed=options["confirmed"])
        self.stdout.write(f"{done.accepted} recorded, {done.repeated} known already")
