from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import positions
from market import clock, strict


class Command(BaseCommand):
    help = "Load a book of clients, contacts, accounts and positions from CSV, all or nothing (docs/formats_book.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--rows", help="how many rows the sender says there are, without the header")
        parser.add_argument("--total", help="what the sender says the quantities add up to")
        parser.add_argument("--effective-at", help="the instant the book describes, such as 2026-11-20T21:00:00Z")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            book = positions.load(
                file,
                at=clock.now(),
                effective_at=_read(options["effective_at"], strict.instant, field="--effective-at"),
                control=strict.Control(
                    rows=_read(options["rows"], strict.integer, field="--rows", lowest=1, highest=5_000_000),
                    total=_read(options["total"], strict.decimal, field="--total", digits=56, places=18),
                ),
            )
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}") from None
        except strict.Refused as refusal:
            problems = "\n".join(f"  {problem}" for problem in refusal.problems)
            raise CommandError(f"Nothing of {file} was loaded; correct it and send it again:\n{problems}") from None
        self.stdout.write(f"Book {book.pk} loaded: {book.row_count} rows, quantities add up to {book.quantity_total:f}")


def _read(text: str | None, how: Any, **options: Any) -> Any:
    return None if text is None else how(text, **options)
