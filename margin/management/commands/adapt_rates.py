"""`manage.py adapt_rates`: publish the margin rates that follow volatility, as the clock does once a day."""

from argparse import ArgumentParser
from datetime import date, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from margin import adaptive
from market import clock


class Command(BaseCommand):
    help = "Estimate the rates that `volatility` asks from official closes, and record them as parameters of the day."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--on", type=date.fromisoformat, help="the last day of closes to use; left out: yesterday")

    def handle(self, *args: Any, **options: Any) -> None:
        at = clock.now()
        on = options["on"] or at.date() - timedelta(days=1)
        if on > at.date():
            raise CommandError(f"{on} lies in the future")
        try:
            published = adaptive.publish(on=on, at=at)
        except adaptive.Contradiction as error:
            raise CommandError(str(error)) from None
        if not published:
            raise CommandError("no policy in force has a volatility part; there is nothing to publish")
        for one in published:
            said = "published" if one.is_new else "known already"
            self.stdout.write(f"{one.name} of {one.on}: {one.rates:,} rates, {said}")
        for reason, codes in sorted(adaptive.told(published).items()):
            shown = ", ".join(codes[:10]) + (f" and {len(codes) - 10} more" if len(codes) > 10 else "")
            self.stdout.write(f"  no rate, {reason}: {shown}")
