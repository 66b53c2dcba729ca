"""`manage.py erase_subject C-1008 --reason "asked on 3 March" --by login`, then `--approve --by another`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Client
from backoffice import erasure
from margin import actors, calls, retention
from market import clock


class Command(BaseCommand):
    help = (
        "Erase a client's names, addresses and words for good: one person asks, another carries it out with --approve."
        " Without a client: say which erasures were left half done, by a crash or by a restore."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("client", nargs="?", help="its code")
        parser.add_argument("--reason", default="", help="kept in the history: name nobody in it")
        parser.add_argument("--approve", action="store_true", help="carry out what another person asked for")
        parser.add_argument("--by", default="", help="login of who asks or approves: Supervisor or Compliance")

    def handle(self, *args: Any, client: str | None, reason: str, approve: bool, by: str, **options: Any) -> None:
        if client is None:
            left = retention.unfinished()
            self.stdout.write("\n".join(left) or "No erasure is half done.")
            return
        found = Client.objects.filter(code=client).first()
        if found is None:
            raise CommandError(f"there is no client {client!r}")
        try:
            actor = actors.staff(by)
            if approve:
                done = erasure.carry_out(found, at=clock.now(), actor=actor)
                self.stdout.write(
                    f"Client {client} is erased since {done.done_at:%Y-%m-%d %H:%M} UTC, its key destroyed."
                )
            else:
                asked = retention.ask_erasure(found, reason=reason, at=clock.now(), actor=actor)
                self.stdout.write(f"{asked} is asked for; another person carries it out with --approve.")
        except (LookupError, calls.CallError) as refusal:
            raise CommandError(str(refusal)) from None
