"""The two database functions that keep the chains (migration `0003_bolts`), as Python sees them."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from time import sleep
from typing import Any, TypeVar

from django.db import OperationalError, connection, transaction

Result = TypeVar("Result")
RETRIED = frozenset({"40001", "40P01"})  # serialization failure, deadlock: the transaction did nothing
LOCK_TIMEOUT = "55P03"
MAXIMUM_TRIES = 12
PLAIN = frozenset({str, int, bool})  # what an event keeps as it is; asked first, since most values are


@dataclass(frozen=True)
class Head:
    """Where an account's chain stands while its lock is held."""

    account_id: int
    seq: int
    at: datetime | None


def lock(account_ids: Iterable[int]) -> dict[int, Head]:
    """Lock the accounts' chains in account order until the transaction ends; a first lock makes the chain."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM margin_lock_chains(%s)", [sorted(set(account_ids))])
        return {row[0]: Head(*row) for row in cursor.fetchall()}


def append(entries: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Append events to locked chains; returns (event id, seq) in the order of `entries`.

    An entry holds account, call, kind, at, actor, role, reason, from, row, details; the database adds id, seq,
    recorded_at and transaction, and hashes the whole (docs/decisions.md).
    """
    if not entries:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT event_id, seq FROM margin_append_events(%s::jsonb) ORDER BY ordinal", [json.dumps(entries)]
        )
        return cursor.fetchall()


def text(value: object) -> object:
    """A value as an event keeps it: amounts as plain decimals, instants as UTC, None as null."""
    if value is None or type(value) in PLAIN:
        return value
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return _instant(value) if isinstance(value, datetime) else value


@lru_cache(maxsize=1_000)
def _instant(at: datetime) -> str:
    """UTC, as written; a batch of events states the same few instants again and again."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def in_transaction(work: Callable[[], Result], *, is_patient: bool = False) -> Result:
    """Run `work` in one transaction, again from the start when the database asks for it (40001, 40P01).

    A lock that is not free within `lock_timeout` is an error to a person who waits; a job (`is_patient`) tries again.
    Inside a caller's transaction it runs once: only the outermost can start again.
    """
    if connection.in_atomic_block:
        return work()
    retried = RETRIED | {LOCK_TIMEOUT} if is_patient else RETRIED
    for attempt in range(1, MAXIMUM_TRIES + 1):
        try:
            with transaction.atomic():
                return work()
        except OperationalError as error:
            if getattr(error.__cause__, "pgcode", None) not in retried or attempt == MAXIMUM_TRIES:
                raise
            sleep(0.01 * attempt)
    raise AssertionError("unreachable")
