"""What every append-only fact carries: when the world said it, when we heard it, and in which transaction.

`transaction_id` makes an exact MVCC snapshot of the past possible: a sweep stores `pg_current_snapshot()`, and a
replay reads the facts for which `pg_visible_in_snapshot(transaction_id, that snapshot)` holds.
"""

from django.db import models


class CurrentTransaction(models.Func):
    """The id of the running top-level transaction, as a bigint."""

    template = "pg_current_xact_id()::text::bigint"
    output_field = models.BigIntegerField()
    allowed_default = True

    def __init__(self) -> None:
        super().__init__()


class StatementClock(models.Func):
    """The database's wall clock, not the start of the transaction."""

    template = "clock_timestamp()"
    output_field = models.DateTimeField()
    allowed_default = True

    def __init__(self) -> None:
        super().__init__()


def recorded_at() -> models.DateTimeField:
    """When the database wrote the fact; never set by the application."""
    return models.DateTimeField(db_default=StatementClock(), editable=False)


def transaction_id() -> models.BigIntegerField:
    """The transaction that wrote the fact; never set by the application."""
    return models.BigIntegerField(db_default=CurrentTransaction(), editable=False)
