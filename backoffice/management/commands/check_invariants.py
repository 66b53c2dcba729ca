"""`manage.py check_invariants`: ask the database for every row that breaks a promise."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from backoffice import invariants


class Command(BaseCommand):
    help = "Check every invariant of the rows; exit 1 and name the rows if one is broken."

    def handle(self, *args: Any, **options: Any) -> None:
        found = invariants.check()
        broken = {name: rows for name, rows in found.items() if rows}
        for name, rows in broken.items():
            self.stderr.write(f"broken: {name}: {', '.join(rows)}")
        if broken:
            raise CommandError(f"{len(broken)} of {len(found)} invariants are broken")
        self.stdout.write(f"all {len(found)} invariants hold")
