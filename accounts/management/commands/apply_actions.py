from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import positions
from market import clock


class Command(BaseCommand):
    help = "Let positions follow the approved corporate actions that have taken effect. Safe to run again."

    def handle(self, *args: Any, **options: Any) -> None:
        done = positions.apply_approved_actions(at=clock.now())
        self.stdout.write(f"{done.applied} corporate actions applied")
        for action, reason in done.refused:
            self.stderr.write(f"corporate action {action.pk}: {reason}")
        if done.refused:
            raise CommandError("Some could not be applied; nothing was guessed")
