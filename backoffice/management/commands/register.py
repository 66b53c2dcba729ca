"""`manage.py register daily --first 2026-03-02`: a register for the regulator, as CSV or PDF."""

from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from backoffice import register_files
from margin import register_sheets, registers
from market import clock


class Command(BaseCommand):
    help = (
        "Print a register of the days asked for: the daily record of margin calls, extensions of time, restrictions,"
        " waivers, liquidations, or the aging of open calls."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", choices=sorted(registers.REGISTERS))
        parser.add_argument("--first", type=date.fromisoformat, help="first day; left out: today")
        parser.add_argument("--last", type=date.fromisoformat, help="last day, included; left out: the first")
        parser.add_argument("--zone", default=settings.TIME_ZONE, help="where days begin and end; %(default)s")
        parser.add_argument("--csv", type=Path, help="write CSV to this file instead of printing it")
        parser.add_argument("--pdf", type=Path, help="write a PDF to this file")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            zone = ZoneInfo(options["zone"])
        except (ZoneInfoNotFoundError, ValueError):
            raise CommandError(f"there is no time zone {options['zone']!r}") from None
        now = clock.now()
        first = options["first"] or now.astimezone(zone).date()
        last = options["last"] or first
        if first > last:
            raise CommandError(f"the first day {first} is after the last {last}")
        sheet = registers.REGISTERS[options["name"]](register_sheets.Span(first, last, zone))
        if options["pdf"]:
            options["pdf"].write_bytes(register_files.as_pdf(sheet, at=now))
        if options["csv"]:
            options["csv"].write_text(register_files.as_csv(sheet), encoding="utf-8", newline="")
        if not (options["csv"] or options["pdf"]):
            self.stdout.write(register_files.as_csv(sheet), ending="")
        self.stderr.write(f"{sheet.title}: {len(sheet.rows)} rows")
