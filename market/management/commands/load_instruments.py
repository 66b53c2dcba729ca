from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from market import instruments
from market.management import loading


class Command(BaseCommand):
    help = "Load instruments from CSV, all or nothing (docs/formats.md); --aliases loads their names with days instead."

    def add_arguments(self, parser: ArgumentParser) -> None:
        loading.add_arguments(parser)
        parser.add_argument(
            "--aliases", action="store_true", help="the file holds names: tickers, ISINs, venue symbols"
        )

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        with loading.loading(file):
            control = loading.control(options)
            if options["aliases"]:
                self.stdout.write(f"{instruments.load_aliases(file, control=control)} names added")
                return
            done = instruments.load(file, control=control)
        self.stdout.write(
            f"{done.added} instruments added, {done.changed} changed, {done.same} the same already;"
            f" {done.names} names added"
        )
