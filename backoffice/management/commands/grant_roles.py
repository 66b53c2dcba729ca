"""Grant the application role its rights on every table, and in production bind the database to its own clock.

Run as the owner after `migrate`, as often as you like.
"""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connection

from backoffice import grants


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        role = settings.DATABASE_APPLICATION_ROLE
        if grants.grant(connection, application_role=role):
            self.stdout.write(f"The application role {role} has its rights.")
        else:
            self.stdout.write(
                f"One-role mode: no application role {role!r} besides {grants.standing(connection).role!r}. "
                "The triggers guard the history; the second lock, a role without ownership, is missing."
            )
        if settings.ENVIRONMENT == "production":
            grants.keep_the_wall_clock(connection)
            self.stdout.write("The database refuses approvals, releases and orders of another time than its own.")
