"""The database's clock: the one that tasks and commands go by (settled.md 12)."""

from datetime import UTC, datetime

from django.db import connection

LARGEST_SKEW_SECONDS = 5.0


class SkewedClock(Exception):
    """This machine's clock differs too much from the database's; nothing was done."""


def now() -> datetime:
    """The database's time, aware, in UTC. Raises SkewedClock if this machine's clock is more than 5 s off."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        at: datetime = cursor.fetchone()[0].astimezone(UTC)
    skew = abs((datetime.now(UTC) - at).total_seconds())
    if skew > LARGEST_SKEW_SECONDS:
        raise SkewedClock(
            f"this machine's clock is {skew:.1f} s away from the database's; set it right (NTP) and start again"
        )
    return at
