"""`manage.py send_notices`: what beat does every 15 seconds, without Celery."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from market import clock
from notifications import deliveries, notices, unreached


class Command(BaseCommand):
    help = "Prepare notices for new events, send what waits, and ask staff to phone whom no notice reached."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=int, default=1000, help="tries at most")
        parser.add_argument("--seconds", type=float, default=600, help="at most, for writing and again for sending")

    def handle(self, *args: Any, **options: Any) -> None:
        prepared = notices.prepare(at=clock.now(), seconds=options["seconds"])
        sent = notices.send(at=clock.now(), limit=options["limit"], seconds=options["seconds"])
        matched = deliveries.match(at=clock.now())
        escalated = unreached.carry_out(at=clock.now())
        self.stdout.write(
            f"{prepared} prepared, {sent} sent, {matched} reports matched, {escalated} calls escalated as undeliverable"
        )
