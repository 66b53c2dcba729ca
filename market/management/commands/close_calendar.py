from argparse import ArgumentParser
from datetime import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from market import closures, strict
from market.venues import CalendarUnknown


class Command(BaseCommand):
    help = "Record that a calendar is shut on a day out of turn, or with --open that it is open; open calls follow."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("calendar", help="such as XNYS; each calendar that keeps the day is told on its own")
        parser.add_argument("day", help="such as 2025-01-09")
        parser.add_argument("--reason", required=True, help="why, and who announced it; kept for good")
        parser.add_argument("--open", action="store_true", help="open it: again, or out of turn with --hours")
        parser.add_argument("--hours", nargs=2, metavar=("FROM", "TO"), help="wall times there, such as 09:30 16:00")

    def handle(self, *args: Any, calendar: str, day: str, reason: str, **options: Any) -> None:
        try:
            on = strict.date(day, field="day")
            if options["open"]:
                hours = _hours(*options["hours"]) if options["hours"] else None
                change = closures.open_day(calendar, on, reason=reason, source="close_calendar --open", hours=hours)
            elif options["hours"]:
                raise strict.refuse("hours", "belong to --open")
            else:
                change = closures.close_day(calendar, on, reason=reason, source="close_calendar")
        except (CalendarUnknown, strict.Refused) as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"{change}: {change.reason}")


def _hours(first: str, last: str) -> tuple[time, time]:
    try:
        return time.fromisoformat(first), time.fromisoformat(last)
    except ValueError:
        raise strict.refuse("hours", f"{first} {last} are not wall times; write them as 09:30 16:00") from None
