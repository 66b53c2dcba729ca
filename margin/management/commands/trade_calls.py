"""Review the calls that come from trades now: `manage.py trade_calls`, or of a day gone by: `--day 2026-03-02`."""

from argparse import ArgumentParser
from datetime import date
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from accounts.models import Account
from margin import closing, trades
from market import clock


class Command(BaseCommand):
    help = "Decide about Regulation T, day-trading and intraday calls on the day's last sweep, and name who waits."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--day", type=date.fromisoformat, help="a trading day of New York; left out: today there")

    def handle(self, *args: Any, **options: Any) -> None:
        at = clock.now()
        swept = closing.sweep_of(options["day"]) if options["day"] else trades.latest(at)
        if swept is None:
            raise CommandError(f"no {closing.KIND} sweep of {options['day'] or 'today'} to review on; run one first")
        done = trades.review(swept, at=at)
        table = Table(title=f"Calls from trades, {swept}", show_header=False)
        for verb, count in sorted(done.counts.items()):
            table.add_row(verb, f"{count:,}")
        codes = Account.objects.in_bulk(done.waiting)
        for pk, reason in sorted(done.waiting.items()):
            table.add_row(f"{codes[pk].code} waits", reason)
        Console(file=cast(IO[str], self.stdout)).print(table)
