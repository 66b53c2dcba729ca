"""`manage.py legal_hold C-1008 --on --reason "subpoena of 3 March" --by login`: keep all that is known of a client."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Client
from margin import actors, calls, retention
from market import clock


class Command(BaseCommand):
    help = "Place or lift a legal hold: while it stands nothing of the client is erased, whatever has run out."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("client", help="its code")
        way = parser.add_mutually_exclusive_group(required=True)
        way.add_argument("--on", action="store_true", help="place it")
        way.add_argument("--off", action="store_true", help="lift it")
        parser.add_argument("--reason", required=True, help="kept in the history: name nobody in it")
        parser.add_argument("--by", required=True, help="login of the person of Compliance who decides it")

    def handle(self, *args: Any, client: str, on: bool, reason: str, by: str, **options: Any) -> None:
        found = Client.objects.filter(code=client).first()
        if found is None:
            raise CommandError(f"there is no client {client!r}")
        act = retention.place_hold if on else retention.lift_hold
        try:
            hold = act(found, reason=reason, at=clock.now(), actor=actors.staff(by))
        except (LookupError, calls.CallError) as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"{hold}, code {client}, is {'placed' if on else 'lifted'}.")
