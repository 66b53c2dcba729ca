from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import together
from accounts.models import Account
from market import strict


class Command(BaseCommand):
    help = "Measure accounts together with a lead account, on which their calls are then issued; --apart ends it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("members", nargs="+", help="codes of the accounts to be measured with the lead")
        lead = parser.add_mutually_exclusive_group(required=True)
        lead.add_argument("--lead", help="code of the lead account")
        lead.add_argument("--apart", action="store_true", help="each account is measured by itself again")

    def handle(self, *args: Any, members: list[str], lead: str | None, **options: Any) -> None:
        found = Account.objects.in_bulk([*members, *([lead] if lead else [])], field_name="code")
        if missing := sorted({*members, *([lead] if lead else [])} - found.keys()):
            raise CommandError(f"There is no account {missing[0]}")
        try:
            changed = together.margin([found[code] for code in members], lead=found[lead] if lead else None)
        except strict.Refused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"{changed} accounts changed")
