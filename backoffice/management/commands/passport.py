"""`manage.py passport MC-1042`: all that explains and proves a call, in one ZIP."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from backoffice import passport
from margin import call_numbers, history_keys
from market import clock


class Command(BaseCommand):
    help = "Write the passport of a call: PDF and JSON in one ZIP, which verifier/passport.py verifies."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("call", help="number of the call, such as MC-1042")
        parser.add_argument("--out", type=Path, help="file to write; left out: the call's number in this folder")

    def handle(self, *args: Any, **options: Any) -> None:
        call = call_numbers.find(options["call"])
        if call is None:
            raise CommandError(f"there is no call {options['call']!r}")
        try:
            made = passport.make(call, at=clock.now(), by="manage.py passport")
        except history_keys.KeysMissing as error:
            raise CommandError(str(error)) from None
        file = options["out"] or Path(f"{call.number}.zip")
        file.write_bytes(made)
        self.stdout.write(f"{file}: {len(made):,} bytes; verify it with: python3 verifier/passport.py {file} --keys …")
