from argparse import ArgumentParser
from datetime import date, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from market import calendars, clock, strict
from market.venues import FARTHEST, CalendarUnknown

COMMON = ("24/7", "XNYS", "US-BANK", "US-SETTLE", "US-REGT")
FIRST = date(2007, 1, 1)
AHEAD = timedelta(days=365 * 2)


class Command(BaseCommand):
    help = "Fill calendars with their sessions; only missing days are added, so run it again whenever it runs short."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "codes", nargs="*", default=COMMON, help=f"venues, such as XTKS; default {' '.join(COMMON)}"
        )
        parser.add_argument("--first", default=FIRST.isoformat(), help="first day (default 2007-01-01)")
        parser.add_argument("--until", help=f"last day (default: two years ahead; never after {FARTHEST})")

    def handle(self, *args: Any, codes: list[str], **options: Any) -> None:
        today = clock.now().date()
        try:
            first = strict.date(options["first"], field="--first")
            last = strict.date(options["until"], field="--until") if options["until"] else today + AHEAD
        except strict.Refused as refusal:
            raise CommandError(str(refusal)) from None
        if last > FARTHEST:
            raise CommandError(f"nobody has checked the holidays after {FARTHEST}; {last} is a guess")
        for code in codes:
            try:
                added = calendars.fill(code, first, last)
            except (CalendarUnknown, ValueError) as error:
                raise CommandError(str(error)) from None
            calendar = calendars.find(code)
            known = f"known from {calendar.known_from} until {calendar.known_until}"
            self.stdout.write(f"{code}: {added} sessions added, {known}")
