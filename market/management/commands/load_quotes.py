from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from market import clock, quotes
from market.management import loading


class Command(BaseCommand):
    help = "Record quotes from CSV, all or nothing (docs/formats.md). What moved too far waits in quarantine."

    def add_arguments(self, parser: ArgumentParser) -> None:
        loading.add_arguments(parser, total_of="mark")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        with loading.loading(file):
            done = quotes.load(file, at=clock.now(), control=loading.control(options))
        self.stdout.write(
            f"{done.accepted} quotes accepted, {done.repeated} known already, {len(done.held)} in quarantine,"
            f" {done.released} released from it"
        )
        for problem in done.held:
            self.stdout.write(f"  held: {problem}")
