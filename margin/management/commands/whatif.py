"""`manage.py whatif`: figures of a self-contained book, as a table or as JSON."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from margin import whatif
from margin.hypothetical import forms

LARGEST = 5 * 1024 * 1024  # bytes, as the API takes


class Command(BaseCommand):
    help = "What a book would have and must have, computed as a sweep would; nothing is written."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="a JSON book (docs/whatif.md); - reads standard input")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            answer = whatif.of_book(document(options["file"]))
        except whatif.Wrong as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False))
        else:
            Console(file=cast(IO[str], self.stdout), width=140).print(table(answer))


def document(name: str) -> Any:
    """The JSON of a file or of standard input. Raises CommandError."""
    try:
        raw = sys.stdin.buffer.read(LARGEST + 1) if name == "-" else Path(name).read_bytes()
        if len(raw) > LARGEST:
            raise CommandError(f"{name} is larger than {LARGEST} bytes; send fewer accounts at once")
        return forms.loads(raw.decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name}: {error}") from None


def table(answer: dict[str, Any]) -> Table:
    """A line per account and regime."""
    made = Table(title=f"On {answer['on']}")
    for name in ("account", "regime", "status"):
        made.add_column(name)
    for name in ("equity", "requirement", "excess", "deficit", "called"):
        made.add_column(name, justify="right")
    for account in answer["accounts"]:
        for regime in account["regimes"]:
            figures = [regime[name] or "–" for name in ("equity", "requirement", "excess", "deficit", "amount_called")]
            made.add_row(account["code"], regime["regime"], regime["status"], *figures)
        for reason in account["unpriced"]:
            made.add_row("", "", "", reason)
    return made
