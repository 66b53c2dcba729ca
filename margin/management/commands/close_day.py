"""Close the day for SMA now: `manage.py close_day`, or `manage.py close_day --day 2026-03-02` for a day gone by."""

from argparse import ArgumentParser
from datetime import date
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from margin import closing, sweep
from market import clock


class Command(BaseCommand):
    help = "Post what happened to the SMA of Regulation T accounts, raise it to the excess, and name who waits."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--day", type=date.fromisoformat, help="a trading day of New York; left out: today there")

    def handle(self, *args: Any, **options: Any) -> None:
        at = clock.now()
        day = options["day"] or closing.day_of(at)
        if not closing.is_over(day, at):
            raise CommandError(f"{day} is no trading day of New York, or it is not over")
        closed = closing.sweep_of(day)
        if closed is None and day == closing.day_of(at):
            sweep.run(closing.KIND, at=at)
            closed = closing.sweep_of(day)
        if closed is None:
            raise CommandError(
                f"no {closing.KIND} sweep was complete after the close of {day}; a later close takes it up"
            )
        done = closing.close(closed, day=day)
        table = Table(title=f"SMA of {day}, {closed}", show_header=False)
        for name in ("opened", "posted", "raised"):
            table.add_row(name, f"{getattr(done, name):,}")
        for code, reason in sorted(done.waiting.items()):
            table.add_row(f"{code} waits", reason)
        Console(file=cast(IO[str], self.stdout)).print(table)
