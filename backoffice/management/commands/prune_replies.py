"""Forget kept replies to POSTs older than 72 hours, as the scheduled task does."""

from typing import Any

from django.core.management.base import BaseCommand

from backoffice import idempotency
from market import clock


class Command(BaseCommand):
    help = "Forget replies to POSTs with an Idempotency-Key that are older than 72 hours."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{idempotency.prune(at=clock.now())} replies forgotten")
