from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from market import clock, rates
from market.management import loading


class Command(BaseCommand):
    help = "Record interest, dividend, borrow, lending and funding rates from CSV, all or nothing (docs/formats.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        loading.add_arguments(parser, total_of="value")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        with loading.loading(file):
            done = rates.load(file, at=clock.now(), control=loading.control(options))
        self.stdout.write(f"{done.accepted} recorded, {done.repeated} known already")
