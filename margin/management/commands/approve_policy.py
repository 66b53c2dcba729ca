from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from margin import actors, calls, policies
from margin.models import PolicyVersion
from market import clock


class Command(BaseCommand):
    help = "Approve a published version of a policy; never by whoever published it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("policy", help="its code")
        parser.add_argument("number", type=int, help="of the version")
        parser.add_argument("--by", required=True, help="login of the person of Risk who approves it")

    def handle(self, *args: Any, policy: str, number: int, by: str, **options: Any) -> None:
        version = PolicyVersion.objects.filter(policy__code=policy, number=number).select_related("policy").first()
        if version is None:
            raise CommandError(f"policy {policy!r} has no version {number}")
        try:
            approved = policies.approve(version, at=clock.now(), actor=actors.staff(by))
        except (LookupError, calls.CallError) as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"{approved} is approved; it is in force from {approved.effective_at:%Y-%m-%d %H:%M:%S} UTC")
