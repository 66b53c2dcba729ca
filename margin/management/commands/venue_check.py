"""`manage.py venue_check [CODE]`: reach a venue and leave it again, before an order depends on it."""

from argparse import ArgumentParser
from contextlib import closing
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from margin.venues import registry
from margin.venues.fix import session
from margin.venues.interface import NotSent


class Command(BaseCommand):
    help = "Reach each venue: log on, have a test answered, log out; or see that its folders can be written."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("code", nargs="?", help="a venue of VENUES; left out: every one")
        parser.add_argument(
            "--reset", action="store_true", help="FIX: both sides count from 1, as agreed with the venue"
        )
        parser.add_argument("--go-on", action="store_true", help="FIX: the venue has repaired its numbers, try again")
        parser.add_argument(
            "--tell-again-since",
            type=datetime.fromisoformat,
            metavar="INSTANT",
            help="after a restore: tell the reports since then once more; with its UTC offset",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        since = options["tell_again_since"]
        changes = options["reset"] or options["go_on"] or since is not None
        if changes and not options["code"]:
            raise CommandError("name the venue whose journal you change")
        if since is not None and since.tzinfo is None:
            raise CommandError(f"{since} has no UTC offset; write it as {since}+00:00")
        try:
            codes = [options["code"]] if options["code"] else registry.codes()
            failed = [code for code in codes if not self._reach(code, options)]
        except registry.WrongSettings as error:
            raise CommandError(str(error)) from None
        if not codes:
            self.stdout.write("VENUES names no venue: no order leaves this house by itself.")
        if failed:
            raise CommandError(f"not reached: {', '.join(failed)}")

    def _reach(self, code: str, options: dict[str, Any]) -> bool:
        """Try one venue and say how it went; whether it was reached."""
        try:
            self._decide(code, options)
            with closing(registry.begin(code, alarm=lambda subject, text: self.stderr.write(text))) as venue:
                took, waiting = venue.try_out(), len(venue.journal.not_kept())
        except (NotSent, OSError) as error:
            self.stderr.write(f"{code}: {error}")
            return False
        self.stdout.write(f"{code}: reached, answered in {took * 1000:.0f} ms; {waiting} reports not yet taken over")
        return True

    def _decide(self, code: str, options: dict[str, Any]) -> None:
        """Write a person's decision into the journal before anybody is called."""
        if not (options["reset"] or options["go_on"] or options["tell_again_since"]):
            return
        with closing(registry.journal(code)) as journal:
            if options["tell_again_since"]:
                told = journal.tell_again(since=options["tell_again_since"])
                self.stdout.write(f"{code}: {told} reports will be told again")
            if options["reset"]:
                session.begin_anew(journal)
                self.stdout.write(f"{code}: both sides count from 1. Ask about every order that works.")
            elif options["go_on"]:
                session.go_on(journal)
