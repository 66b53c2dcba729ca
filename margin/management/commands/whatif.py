"""`manage.py whatif`: figures of a book, or of an account under hypotheses, as a table or as JSON."""

import json
import sys
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from accounts.models import Account
from margin import policies, whatif
from margin.hypothetical import forms
from market import clock

LARGEST = 5 * 1024 * 1024  # bytes, as the API takes
SHOWN = ("equity", "requirement", "excess", "deficit", "initial", "amount_called")


class Command(BaseCommand):
    help = "What a book or an account would have and must have, computed as a sweep would; nothing is written."
    requires_system_checks: list[str] = []  # a book needs no database, and a terminal should not wait

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", help="JSON (docs/whatif.md): a book, or hypotheses; - reads stdin")
        parser.add_argument("--account", help="the code of the account that the file's hypotheses are about")
        parser.add_argument("--export", action="store_true", help="print the account as a self-contained book")
        parser.add_argument(
            "--at", type=datetime.fromisoformat, help="export as of a past instant, with its UTC offset"
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            answer, made = self._answer(options)
        except (whatif.Wrong, policies.NoPolicy) as error:
            raise CommandError(str(error)) from None
        if options["json"] or made is None:
            self.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False))
        else:
            Console(file=cast(IO[str], self.stdout), width=140).print(made)

    def _answer(self, options: dict[str, Any]) -> tuple[dict[str, Any], Table | None]:
        if options["account"] is None:
            if options["export"] or options["at"] or not options["file"]:
                raise CommandError("name a file with a book, or an --account to suppose something about or to --export")
            answer = whatif.of_book(document(options["file"]))
            return answer, book_table(answer)
        account = account_of(options["account"])
        at, now = options["at"], clock.now()
        if at is not None and at.tzinfo is None:
            raise CommandError(f"{at} has no UTC offset; write it as {at}+00:00")
        if options["export"]:
            return whatif.export(account, at=at or now, known_at=now if at else None), None
        if at is not None:
            raise CommandError("hypotheses are about now; --at goes with --export")
        answer = whatif.of_account(account, document(options["file"]) if options["file"] else {}, at=now)
        return answer, account_table(answer)


def account_of(code: str) -> Account:
    """The account with that code. Raises CommandError."""
    try:
        return Account.objects.get(code=code)
    except Account.DoesNotExist:
        raise CommandError(f"there is no account {code!r}") from None


def document(name: str) -> Any:
    """The JSON of a file or of standard input. Raises CommandError."""
    try:
        raw = sys.stdin.buffer.read(LARGEST + 1) if name == "-" else Path(name).read_bytes()
        if len(raw) > LARGEST:
            raise CommandError(f"{name} is larger than {LARGEST} bytes; send fewer accounts at once")
        return forms.loads(raw.decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name}: {error}") from None


def _table(title: str, *heads: str) -> Table:
    made = Table(*heads, title=title)
    for name in SHOWN:
        made.add_column(name.replace("_", " "), justify="right")
    return made


def book_table(answer: dict[str, Any]) -> Table:
    """A line per account and regime."""
    made = _table(f"On {answer['on']}", "account", "regime", "status")
    for account in answer["accounts"]:
        for regime in account["regimes"]:
            made.add_row(account["code"], regime["regime"], regime["status"], *(regime[name] or "–" for name in SHOWN))
        for reason in account["unpriced"]:
            made.add_row("", "", reason)
    return made


def account_table(answer: dict[str, Any]) -> Table:
    """Three lines per regime: before, after and the change."""
    title = f"{answer['code']} at {answer['at']}, {answer['currency']}, {answer['policy']['after']}"
    made = _table(title, "regime", "", "status")
    for regime in answer["regimes"]:
        for when in ("before", "after", "change"):
            figures = regime[when] or {}
            shown = [figures.get(name) or "–" for name in SHOWN]
            made.add_row(regime["regime"] if when == "before" else "", when, figures.get("status", ""), *shown)
        made.add_section()
    for reason in answer["unpriced"]["after"]:
        made.add_row("unpriced", "", reason)
    made.caption = "\n".join(map(_opening, answer["openings"])) or None
    return made


def _opening(found: dict[str, Any]) -> str:
    """The triple of one group of option trades in a line, or why it has none."""
    triple = ", ".join(f"{name.replace('_', ' ')} {found[name]}" for name in ("gross", "proceeds", "net_call"))
    said = "; ".join(found["unpriced"]) or f"{triple} {found['currency']}"
    return f"{found['regime']}, {' and '.join(found['trades'])}: {said}"
