"""`manage.py rotate_history_key`: a new key for the seals from now on; what older keys sealed stays verifiable."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from margin import sealing
from market import clock


class Command(BaseCommand):
    help = "Make a new key in HISTORY_KEYS and seal, with the old one, that the next seals are made with it."

    def handle(self, *args: Any, **options: Any) -> None:
        made = sealing.rotate(at=clock.now())
        if made is None:
            raise CommandError("not rotated: another process seals at this moment, or the key is missing; try again")
        self.stdout.write(
            f"{made} is the last of key {made.key_id}; the next ones are made with {made.next_key}. Keep both keys:"
            " without the old one the seals before it cannot be verified."
        )
