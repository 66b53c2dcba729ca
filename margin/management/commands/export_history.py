"""`manage.py export_history FILE.zip`: the history for somebody who verifies it without us."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from margin import exports
from market import clock


class Command(BaseCommand):
    help = "Write events, chains, rows, seals and digests as a ZIP for verifier/verify.py. Keys are never in it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--snapshots", action="store_true", help="also prices and assessments of sealed sweeps")

    def handle(self, *args: Any, **options: Any) -> None:
        made = exports.write(options["file"], at=clock.now(), with_snapshots=options["snapshots"])
        counted = ", ".join(f"{made[name]:,} {name}" for name in ("chains", "events", "seals", "sweeps"))
        self.stdout.write(f"{options['file']}: {counted}. Verify it with: python3 verifier/verify.py {options['file']}")
