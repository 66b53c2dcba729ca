"""`manage.py stress`: an account, a client or the house under price and volatility shocks, as tables or as JSON."""

import json
from argparse import ArgumentParser
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from accounts.models import Account
from margin import policies, policy_terms, stress
from margin.hypothetical import forms
from margin.hypothetical.document import StressGrid
from market import clock

FIGURES = ("equity", "requirement", "excess", "deficit", "calls", "amount_called", "unpriced")


class Command(BaseCommand):
    help = "What accounts would have and must have if all prices and volatilities moved at once; nothing is written."

    def add_arguments(self, parser: ArgumentParser) -> None:
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--account", help="one account, by its code")
        whose.add_argument("--client", help="all open accounts of a client, by the client's code")
        whose.add_argument("--house", choices=policy_terms.SWEEPS, help="every account of a kind of sweep")
        parser.add_argument("--prices", help="price shocks with commas, as --prices=-0.15,0,0.15")
        parser.add_argument("--volatilities", help="volatility shocks in points, as --volatilities=-0.10,0,0.10")
        parser.add_argument("--bonds", action="store_true", help="shock bonds as well")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = _answer(options)
        except (forms.Wrong, policies.NoPolicy) as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2, ensure_ascii=False))
            return
        console = Console(file=cast(IO[str], self.stdout), width=140)
        for regime in found["regimes"]:
            console.print(cells(regime, found["accounts"]))
        if found["worst_accounts"]:
            console.print(worst(found["worst_accounts"]))


def _answer(options: dict[str, Any]) -> dict[str, Any]:
    stated = {"price_shocks": options["prices"], "volatility_shocks": options["volatilities"]}
    given = {name: value.split(",") for name, value in stated.items() if value}
    house = {"kind": options["house"]} if options["house"] else {}
    grid = forms.read(StressGrid, {**given, **house, "bonds": options["bonds"]})
    at = clock.now()
    if options["house"]:
        return stress.of_house(grid, at=at)
    whose = "account" if options["account"] else "client"
    by = {"code" if options["account"] else "client__code": options[whose]}
    accounts = list(Account.objects.filter(**by).order_by("code"))
    if not accounts:
        raise CommandError(f"there is no account of {whose} {options[whose]!r}")
    return stress.of_accounts(accounts, grid, at=at)


def cells(regime: dict[str, Any], accounts: int) -> Table:
    """A line per cell; the worst one is marked."""
    made = Table(title=f"{regime['regime']}, {regime['currency']}, {accounts:,} accounts")
    for name in ("price", "volatility", *FIGURES):
        made.add_column(name.replace("_", " "), justify="right")
    for cell in regime["cells"]:
        shocks = [cell[name] for name in ("price_shock", "volatility_shock")]
        style = "bold" if cell == regime["worst"] else None
        made.add_row(*shocks, *(str(cell[name]) for name in FIGURES), style=style)
    return made


def worst(accounts: list[dict[str, Any]]) -> Table:
    """The accounts that come out lowest, each at its worst cell."""
    made = Table("account", "regime", title="Worst accounts, each at its worst cell")
    names = ("price_shock", "volatility_shock", "equity", "requirement", "excess", "deficit", "amount_called")
    for name in names:
        made.add_column(name.replace("_", " "), justify="right")
    for row in accounts:
        made.add_row(row["code"], f"{row['regime']}, {row['currency']}", *(row[name] for name in names))
    return made
