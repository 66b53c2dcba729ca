from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import funding
from market import clock, strict


class Command(BaseCommand):
    help = "Post the funding of perpetuals for every instant that has passed. Running it again pays nothing twice."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", help="look after this instant, such as 2026-11-20T00:00:00Z (default: ten days)")

    def handle(self, *args: Any, since: str | None, **options: Any) -> None:
        try:
            paid = funding.pay(at=clock.now(), since=strict.instant(since, field="--since") if since else None)
        except strict.Refused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"{paid.posted} funding payments posted")
        for perpetual, effective_at, reason in paid.refused:
            self.stderr.write(f"{perpetual} {effective_at.isoformat()}: {reason}")
        if paid.refused:
            raise CommandError("Some payments could not be made; nothing was guessed")
