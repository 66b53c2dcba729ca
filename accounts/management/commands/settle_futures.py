from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import settlement
from market import clock, strict


class Command(BaseCommand):
    help = "Pay the variation margin of futures at their closes. Running it again pays nothing twice."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--on", help="the last day to settle, such as 2026-11-20 (default: every day that is over)")
        parser.add_argument("--since", help="the first day to look at (default: ten days back)")

    def handle(self, *args: Any, on: str | None, since: str | None, **options: Any) -> None:
        at = clock.now()
        try:
            settled = settlement.settle(
                on=strict.date(on, field="--on") if on else settlement.latest_day(at),
                since=strict.date(since, field="--since") if since else None,
                at=at,
            )
        except strict.Refused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"{settled.posted} positions settled")
        for future, day, reason in settled.refused:
            self.stderr.write(f"{future} {day}: {reason}")
        if settled.refused:
            raise CommandError("Some days could not be settled; nothing was guessed")
