"""`manage.py sweep`: what beat does, without Celery."""

from argparse import ArgumentParser
from datetime import datetime
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from margin import sweep
from margin.policy_terms import SWEEPS
from market import clock


class Command(BaseCommand):
    help = "Assess all accounts of a kind now, issue, meet and escalate calls, and say what was seen."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=(*SWEEPS, sweep.ATTENTION), help="which accounts: by their policy's sweep")
        parser.add_argument("--at", type=datetime.fromisoformat, help="instant to assess at, with its UTC offset")

    def handle(self, *args: Any, **options: Any) -> None:
        at = options["at"] or clock.now()
        if at.tzinfo is None:
            raise CommandError(f"{at} has no UTC offset; write it as {at}+00:00")
        kind = options["kind"]
        ids = sweep.wanting_attention(at) if kind == sweep.ATTENTION else None
        done = sweep.run(kind, at=at, ids=ids)
        if done is None:
            raise CommandError(f"there is a {kind} sweep of {at} already")
        table = Table(title=f"{done}: {done.state}", show_header=False)
        for name in ("eligible", "evaluated", "unpriced", "failed"):
            table.add_row(name, f"{getattr(done, name):,}")
        for name, count in sorted(done.counts.items()):
            if name not in ("evaluated", "unpriced"):
                table.add_row(name, f"{count:,}")
        Console(file=cast(IO[str], self.stdout)).print(table)
