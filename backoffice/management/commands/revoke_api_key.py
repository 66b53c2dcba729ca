"""End an API key now."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice import keys
from market import clock


class Command(BaseCommand):
    help = "Revoke an API key by its prefix, the ten characters after mdk_."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix")

    def handle(self, *args: Any, prefix: str, **options: Any) -> None:
        try:
            key = keys.revoke(prefix, at=clock.now())
        except keys.KeyRefused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"{key} was revoked at {key.revoked_at:%Y-%m-%dT%H:%M:%SZ}")
