"""`manage.py cure_options`: what meets an open call at the prices of now, as a table or as JSON."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from decimal import Decimal, InvalidOperation
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from margin import call_numbers, cure_options
from margin.models import MarginCall
from market import clock


def amount(said: str) -> Decimal:
    """An amount of money from the command line."""
    try:
        found = Decimal(said)
    except InvalidOperation:
        raise ArgumentTypeError(f"{said!r} is not an amount") from None
    if not found.is_finite() or found < 0:
        raise ArgumentTypeError(f"{said} is not an amount of money")
    return found


class Command(BaseCommand):
    help = "What meets an open call, and all open calls of its account together; nothing is written."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("call", help="the number of the call, as MC-1042, or its id")
        parser.add_argument("--have", type=amount, default=Decimal(0), help="money that the client brings in already")
        parser.add_argument("--currency", action="append", default=[], help="also the cash in this currency")
        parser.add_argument("--cushion", action="store_true", help="also the cash that likely lasts until the deadline")
        parser.add_argument("--json", action="store_true", help="print JSON, as the API answers")

    def handle(self, *args: Any, **options: Any) -> None:
        call, at = call_of(options["call"]), clock.now()
        try:
            found = cure_options.of_call(
                call,
                at=at,
                have=options["have"],
                currencies=tuple(options["currency"]),
                worlds=cure_options.until_due(call, at=at) if options["cushion"] else None,
            )
        except cure_options.NotSizable as error:
            raise CommandError(str(error)) from None
        told = cure_options.tree(found)
        if options["json"]:
            self.stdout.write(json.dumps(told, indent=2, ensure_ascii=False))
            return
        console = Console(file=cast(IO[str], self.stdout), width=140)
        console.print(table(told, "this_call", told["call"]))
        if told["all_calls"]:
            console.print(table(told, "all_calls", f"every open call of {told['account']}"))


def call_of(said: str) -> MarginCall:
    """The call of that number or id. Raises CommandError."""
    call = call_numbers.find(said)
    if call is None:
        raise CommandError(f"there is no call {said!r}; name one as MC-1042")
    return call


def table(told: dict[str, Any], which: str, title: str) -> Table:
    """A line per option: what to do, what it costs, what is left beyond the calls."""
    options = told[which]
    made = Table("way", "what to do", title=f"{title}, {told['currency']} at {told['at']}", caption=caption(options))
    for head in ("value", "fee", "left"):
        made.add_column(head, justify="right")
    for name in cure_options.LISTS:
        for option in options[name]:
            what = " and ".join(map(sentence, option["steps"]))
            made.add_row(
                name, what, option["value"], option["fee"], min(option["left"].values(), key=Decimal, default="")
            )
        if options[name]:
            made.add_section()
    for value in options["values"]:
        rates = ", ".join(f"{key} {rate}" for key, rate in value["rates"].items())
        made.add_row("securities", f"market value of others margined at: {rates}", value["value"])
    return made


def sentence(step: dict[str, Any]) -> str:
    """One thing to do: 'sale -21 XYZ'."""
    return f"{step['kind'].replace('_', ' ')} {step['quantity']} {step['instrument']}"


def caption(options: dict[str, Any]) -> str | None:
    """What does not meet the calls, and why."""
    lines = ["nothing more is needed"] if options["is_clear"] else []
    for one in options["cushions"]:
        lines.append(f"with {one['cash']} more, {one['regime']} stays clear with probability {one['probability']}")
    for one in options["refused"]:
        missing = f"; {one['missing']} would be missing" if one["missing"] else ""
        lines.append(f"{one['way'].replace('_', ' ')} {one['instrument'] or ''}: {one['why']}{missing}")
    return "\n".join(lines) or None
