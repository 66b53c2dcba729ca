from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from market import cycles, strict


class Command(BaseCommand):
    help = "Record how many business days trades of a market take to settle, from a trade date on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("code", help="the market, such as US")
        parser.add_argument("effective_on", help="the first trade date that settles so")
        parser.add_argument("days", type=int, help="business days to settlement: 1 is T+1")
        parser.add_argument("--source", required=True, help="who announced it; kept for good")

    def handle(self, *args: Any, code: str, effective_on: str, days: int, source: str, **options: Any) -> None:
        try:
            on = strict.date(effective_on, field="effective_on")
            made = cycles.record(code, effective_on=on, days=days, source=source)
        except strict.Refused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"{made} ({made.source})")
