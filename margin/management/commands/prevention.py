"""How many warned accounts came back without a call: `manage.py prevention --first 2026-03-02 --last 2026-03-09`."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from margin import warnings
from market import clock


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Command(BaseCommand):
    help = "Count the accounts warned in a time, and those of them that came back without a call."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--first", type=day, help="first day, UTC; left out: seven days before the last")
        parser.add_argument("--last", type=day, help="the day after the last one, UTC; left out: until now")
        parser.add_argument("--json", action="store_true", help="plain values for other programs")

    def handle(self, *args: Any, **options: Any) -> None:
        last = options["last"] or clock.now()
        first = options["first"] or last - timedelta(days=7)
        if first >= last:
            raise CommandError(f"the first day {first:%Y-%m-%d} must lie before the last {last:%Y-%m-%d}")
        found = warnings.prevention(first, last)
        self.stdout.write(json.dumps(found.tree) if options["json"] else found.sentence)
