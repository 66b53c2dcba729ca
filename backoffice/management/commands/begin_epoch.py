"""`manage.py begin_epoch`: hold every sender by hand, after a restore that the house cannot notice by itself."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from margin import actors, epochs
from market import clock


class Command(BaseCommand):
    help = "Open a new epoch: no mail and no order leaves the house until it is compared and released."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--by", required=True, help="login of who asks for it")
        parser.add_argument("--cause", required=True, help="what happened to the database")

    def handle(self, *args: Any, by: str, cause: str, **options: Any) -> None:
        at = clock.now()
        try:
            actor = actors.staff(by)
        except LookupError as refusal:
            raise CommandError(str(refusal)) from None
        epochs.look(at=at)
        epoch = epochs.begin(f"{cause} (by {actor.name})", at=at)
        self.stdout.write(f"{epoch} holds every sender; {epochs.WHAT_TO_DO}")
