"""`manage.py verify_history`: recompute chains, rows, seals, sweeps and anchors; exit 1 and name each fault."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from margin import history


class Command(BaseCommand):
    help = "Recompute the history from its first byte, and print one digest over all heads to keep elsewhere."

    def handle(self, *args: Any, **options: Any) -> None:
        verdict = history.verify_all()
        for fault in verdict.faults:
            self.stderr.write(str(fault))
        if not verdict.is_intact:
            raise CommandError(
                f"{len(verdict.faults)} faults in the history; nothing may be trusted before they are explained"
            )
        for lack in verdict.unproved:
            self.stderr.write(lack)
        counted = f"{verdict.chains:,} chains, {verdict.events:,} events, {verdict.seals:,} seals"
        self.stdout.write(f"intact: {counted}, digest {verdict.digest}")
