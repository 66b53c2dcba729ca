"""`manage.py cascade`: calls, forced sales, prices and the next calls after a shock, as tables, JSON or a chart."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from margin import cascade, policies, policy_terms
from margin.hypothetical import forms
from margin.management.commands.whatif import document
from market import clock

ROUND = ("calls", "new_calls", "calls_on_us", "called", "paid_by_us", "largest_move")
LISTED = 10


class Command(BaseCommand):
    help = "Whom a shock calls, what they must sell, what that does to prices, and whom that calls; writes nothing."
    requires_system_checks: list[str] = []  # a book needs no database, and a terminal should not wait

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", help="the question as JSON (docs/cascade.md); - reads stdin")
        parser.add_argument("--house", choices=policy_terms.SWEEPS, help="every account of a kind of sweep")
        parser.add_argument("--shock", help="of every price, as --shock=-0.20")
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument("--chart", help="write the price path, at once and staged, to this SVG file")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            asked = cascade.read(_question(options))
            found = cascade.of_book(asked) if asked.book else cascade.of_house(asked, at=clock.now())
        except (forms.Wrong, policies.NoPolicy) as error:
            raise CommandError(str(error)) from None
        if options["chart"]:
            _draw(found, options["chart"])
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2, ensure_ascii=False))
            return
        console = Console(file=cast(IO[str], self.stdout), width=140)
        for title, name in (("Sold at once", "at_once"), (f"Staged by {found['staged']['order']}", "staged")):
            console.print(rounds(title, found[name], found["currency"]))
        console.print(overlap(found["overlap"]), losers(found["losers"]), debts(found["clearing"]))
        for each in found["without_depth"]:
            console.print(f"{each['instrument']} did not move: {each['reason']}")


def _question(options: dict[str, Any]) -> Any:
    asked = document(options["file"]) if options["file"] else {}
    if not isinstance(asked, dict):
        raise CommandError("the question is a JSON object")
    if not options["file"] and not options["house"]:
        raise CommandError("name a file with the question, or a --house")
    given = {"kind": options["house"], "shock": options["shock"]}
    return {**asked, **{name: value for name, value in given.items() if value}}


def _draw(found: dict[str, Any], name: str) -> None:
    try:
        Path(name).write_text(cascade.price_chart(found, "Prices in a cascade"), encoding="utf-8")
    except ValueError:
        raise CommandError("nothing was sold, so there is nothing to draw") from None
    except OSError as error:
        raise CommandError(f"{name}: {error}") from None


def rounds(title: str, found: dict[str, Any], currency: str) -> Table:
    """A line per round: calls, what was sold, and the largest move of a price."""
    ended = f"{found['ended']}; {found['total_traded']} {currency} traded"
    made = Table("round", title=f"{title}: {ended}")
    for name in ROUND:
        made.add_column(name.replace("_", " "), justify="right")
    made.add_column("sold")
    for one in found["rounds"]:
        sold = ", ".join(f"{sale['sold']} {sale['instrument']}" for sale in one["sales"][:LISTED])
        made.add_row(str(one["round"]), *(str(one[name]) for name in ROUND), sold)
    return made


def overlap(listed: list[dict[str, Any]]) -> Table:
    """What the called accounts hold in common, the thinnest market first."""
    made = Table("instrument", title="Held by called accounts")
    names = ("accounts", "held", "depth", "held_by_depth", "impact_of_all")
    for name in names:
        made.add_column(name.replace("_", " "), justify="right")
    for one in listed[:LISTED]:
        made.add_row(one["instrument"], *(str(one[name] or "not known") for name in names))
    return made


def losers(found: dict[str, Any]) -> Table:
    """The clients that lose most."""
    made = Table("client", title=f"Losses: {found['by_the_shock']} by the shock, {found['by_the_cascade']} by sales")
    for name in ("by_the_shock", "by_the_cascade"):
        made.add_column(name.replace("_", " "), justify="right")
    for one in found["clients"][:LISTED]:
        made.add_row(one["code"], one["by_the_shock"], one["by_the_cascade"])
    return made


def debts(found: dict[str, Any]) -> Table:
    """What is owed in the end, and paid."""
    made = Table("client", "owes", "pays", title=f"Owed: we lose {found['our_losses']} and have {found['left']} left")
    for one in found["debtors"][:LISTED]:
        made.add_row(one["client"], one["owes"], one["pays"])
    return made
