from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import interest
from market import clock, strict


class Command(BaseCommand):
    help = "Charge interest on borrowed cash for every day not charged yet. Running it again charges nothing twice."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--through", help="the last day to charge, such as 2026-11-20 (default: yesterday)")
        parser.add_argument("--since", help="the first day to look at (default: the last day charged)")

    def handle(self, *args: Any, through: str | None, since: str | None, **options: Any) -> None:
        at = clock.now()
        try:
            accrued = interest.accrue(
                through=strict.date(through, field="--through") if through else interest.day_before(at),
                since=strict.date(since, field="--since") if since else None,
                at=at,
            )
        except strict.Refused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"{accrued.posted} interest charges posted")
        for currency, on, reason in accrued.refused:
            self.stderr.write(f"{currency} {on}: {reason}")
        if accrued.refused:
            raise CommandError("Some days could not be charged; nothing was guessed")
