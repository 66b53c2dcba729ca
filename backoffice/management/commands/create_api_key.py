"""Issue an API key and show it once."""

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice import keys
from market import clock


class Command(BaseCommand):
    help = "Issue an API key for a machine. The key is printed once; only its hash is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="whose key it is, such as 'price feed'")
        parser.add_argument("--scope", action="append", default=[], help=f"repeat it: {', '.join(keys.SCOPES)}")
        parser.add_argument("--days", type=int, default=90, help="days until it ends (default 90)")
        parser.add_argument("--by", required=True, help="login of the member of staff who answers for it")

    def handle(self, *args: Any, name: str, scope: list[str], days: int, by: str, **options: Any) -> None:
        staff = get_user_model().objects.filter(username=by, is_staff=True, is_active=True).first()
        if staff is None:
            raise CommandError(f"{by!r} is no active member of staff; give an existing login with --by")
        at = clock.now()
        ends_at = at + timedelta(days=max(0, min(days, 2 * keys.LONGEST_LIFE.days)))  # neither is taken
        try:
            key, text = keys.issue(name=name, scopes=scope, created_by=staff, at=at, expires_at=ends_at)
        except keys.BadKeyRequest as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(text)
        self.stderr.write(
            f"Key {key.prefix} for {key.name}: {', '.join(key.scopes)}, until {key.expires_at:%Y-%m-%d}."
            " It is not shown again."
        )
