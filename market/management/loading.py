"""What the loading commands share: their arguments, and how a refusal is shown."""

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from market import strict
from market.venues import CalendarUnknown


def add_arguments(parser: ArgumentParser, *, total_of: str = "") -> None:
    """FILE and its control totals."""
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", help="how many rows the sender says there are, without the header")
    if total_of:
        parser.add_argument("--total", help=f"what the sender says the column {total_of} adds up to")


@contextmanager
def loading(file: Path) -> Iterator[None]:
    """Inside a file is loaded; whatever is wrong with it ends the command with every row named, and status 1."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from None
    except strict.Refused as refusal:
        problems = "\n".join(f"  {problem}" for problem in refusal.problems)
        raise CommandError(f"Nothing of {file} was loaded; correct it and send it again:\n{problems}") from None
    except CalendarUnknown as error:
        raise CommandError(f"Nothing of {file} was loaded: {error}") from None


def control(options: dict[str, Any]) -> strict.Control:
    """The control totals given on the command line."""
    rows, total = options.get("rows"), options.get("total")
    return strict.Control(
        rows=None if rows is None else strict.integer(rows, field="--rows", lowest=0, highest=5_000_000),
        total=None if total is None else strict.decimal(total, field="--total", digits=56, places=18),
    )
