"""`manage.py explain ACCOUNT`: the whole computation of one account, as a readable tree or as JSON."""

import json
from argparse import ArgumentParser
from datetime import datetime
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.tree import Tree

from accounts.models import Account
from margin import assessments, policies
from market import clock


class Command(BaseCommand):
    help = "Explain what an account has and must have: every charge, its rule, its numbers and its law."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", help="the account's code")
        parser.add_argument("--at", type=datetime.fromisoformat, help="a past instant, with its UTC offset")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            account = Account.objects.get(code=options["account"])
        except Account.DoesNotExist:
            raise CommandError(f"there is no account {options['account']!r}") from None
        at = options["at"]
        if at is not None and at.tzinfo is None:
            raise CommandError(f"{at} has no UTC offset; write it as {at}+00:00")
        now = clock.now()
        try:
            found = assessments.explain(account, at=at or now, known_at=now if at else None)
        except policies.NoPolicy as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2, ensure_ascii=False))
        else:
            Console(file=cast(IO[str], self.stdout), width=120).print(branch(found))


def branch(found: dict[str, Any]) -> Tree:
    """The explanation as a tree for a terminal."""
    tree = Tree(f"[bold]{found['code']}[/] at {found['at']}, policy {found['policy']}, {found['currency']}")
    for reason in found["unpriced"]:
        tree.add(f"[red]unpriced: {reason}[/]")
    for regime in found["regimes"]:
        tree.add(_regime(regime, found["currency"]))
    return tree


def _regime(regime: dict[str, Any], currency: str) -> Tree:
    node = Tree(f"[bold]{regime['regime']}[/] ({regime['methodology']}, {regime['measure']}): {regime['status']}")
    if "equity" not in regime:
        return node
    rounded = regime["rounding"]
    equity = node.add(f"equity {rounded['equity']} {currency}")
    for part in regime["equity"]["parts"]:
        equity.add(f"{part['amount']}  {part['quantity']} {part['code']} at {part['price']}")
    requirement = node.add(f"requirement {rounded['requirement']} {currency}")
    for charge in regime["requirement"]["charges"]:
        requirement.add(f"{charge['amount']}  {charge['sentence']}  [dim]{charge['law']}[/]")
    node.add(f"deficit {rounded['deficit']}, to be called {rounded['amount']} {currency}")
    prices = node.add("each price by itself, the others standing still")
    for price in regime["prices"]:
        prices.add(_covered_to(price))
    for change in regime["forecast"]:
        node.add(f"{change['on']}: {change['amount']} {currency} more needed: {change['reason']}")
    node.add(f"[dim]{rounded['sentence']}[/]")
    return node


def _covered_to(price: dict[str, Any]) -> str:
    """How far the price of one position may go."""
    said = f"{price['quantity']} {price['code']} at {price['price']} {price['currency']}: "
    if price["reason"]:
        return said + f"no price is told: {price['reason']}"
    if price["covered_to"] is None:
        return said + "covered at every price"
    return said + f"covered {price['direction']} to {price['covered_to']}"
