import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from margin import actors, calls, policies
from market import clock, strict


class Command(BaseCommand):
    help = "Publish a version of a policy from a JSON file (docs/policy.schema.json); another person approves it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("policy", help="the code of the agreement it governs; a new code begins a new policy")
        parser.add_argument("file", type=Path, help="its terms as JSON")
        parser.add_argument("--by", required=True, help="login of the person of Risk who publishes it")
        parser.add_argument("--effective-at", help="in force from then on, as 2026-11-20T21:00:00Z (default: now)")
        parser.add_argument("--note", default="", help="what changes and why")

    def handle(self, *args: Any, policy: str, file: Path, by: str, note: str, **options: Any) -> None:
        at, stated = clock.now(), options["effective_at"]
        try:
            effective_at = strict.instant(stated, field="--effective-at") if stated else at
            terms = strict.json_object(file.read_text(encoding="utf-8"), field=str(file))
            actor = actors.staff(by)
            version = policies.publish(policy, terms=terms, effective_at=effective_at, at=at, actor=actor, note=note)
        except (OSError, UnicodeDecodeError, ValueError, LookupError, calls.CallError) as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"{version} is published; it binds nobody until another person of Risk approves it:")
        self.stdout.write(f"manage.py approve_policy {json.dumps(policy)} {version.number} --by LOGIN")
