"""`manage.py seal_history`: what beat does every minute and every five, without Celery."""

from typing import Any

from django.core.management.base import BaseCommand

from margin import epochs, sealing
from market import clock


class Command(BaseCommand):
    help = "Seal what no seal covers yet, and anchor the newest seal outside the database."

    def handle(self, *args: Any, **options: Any) -> None:
        at = clock.now()
        epochs.look(at=at)
        made, line = sealing.seal(at=at), sealing.anchor(at=at)
        self.stdout.write(f"{made}: {made.size:,} events" if made else "nothing to seal")
        self.stdout.write(f"anchored: {line}" if line else "nothing to anchor")
