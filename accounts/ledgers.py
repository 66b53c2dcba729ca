"""What fills, cash movements and adjustments share: append-only rows, each external reference once.

A row sent again is found, not added; a reference used for something else is a Conflict.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from django.db import connection
from psycopg2 import sql

from accounts.models import Account, CashMovement, Fill
from market import strict

CLOCK_TOLERANCE = timedelta(seconds=5)  # a venue's clock may be this much ahead of ours
Entry = TypeVar("Entry", Fill, CashMovement)


class Conflict(strict.Refused):
    """The external reference is already used for something else."""


def conflict(field: str, reason: str) -> Conflict:
    return Conflict([strict.Problem(0, field, reason)])


def reference_name(source: str, external_reference: str) -> tuple[str, str]:
    """Source and reference, if both are well-formed codes; Refused otherwise."""
    for field, text, length in (("source", source, 32), ("external_reference", external_reference, 80)):
        if not isinstance(text, str) or not text:
            raise strict.refuse(field, "is missing; without it a repeat cannot be recognised")
        strict.code(text, field=field, length=length)
    return source, external_reference


def not_in_the_future(when: datetime, at: datetime, *, field: str) -> datetime:
    """The instant at which an entry counts: `when`, but never after `at`. Refused if it is truly in the future."""
    if when.tzinfo is None or at.tzinfo is None:
        raise strict.refuse(field, f"{when} names no time zone; give an aware instant")
    if when > at + CLOCK_TOLERANCE:
        raise strict.refuse(field, f"{when.isoformat()} is after now, {at.isoformat()}; correct the instant")
    return min(when, at)


def closed_accounts(accounts: Iterable[int]) -> dict[int, tuple[str, date]]:
    """The closed ones among these accounts: their code and the day on which they closed."""
    closed = Account.objects.filter(pk__in=set(accounts), closed_on__isnull=False)
    return {pk: (code, day) for pk, code, day in closed.values_list("pk", "code", "closed_on") if day}


def check_open(closed: Mapping[int, tuple[str, date]], account: int, when: datetime) -> None:
    if account in closed and when.date() > closed[account][1]:
        code, day = closed[account]
        raise strict.refuse("account", f"{code} closed on {day}; nothing after that day may be booked")


def insert_new(
    table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]], *, unique: Sequence[str]
) -> set[int]:
    """Insert the rows whose `unique` columns are not there yet; returns the ids of those inserted.

    `columns` maps names to PostgreSQL types. Rows of other transactions in flight are waited for.
    """
    statement = sql.SQL(
        "INSERT INTO {table} ({columns}) SELECT * FROM unnest({values}) ON CONFLICT ({unique}) DO NOTHING RETURNING id"
    ).format(
        table=sql.Identifier(table),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(sql.SQL(f"%s::{kind}[]") for kind in columns.values()),
        unique=sql.SQL(", ").join(map(sql.Identifier, unique)),
    )
    with connection.cursor() as cursor:
        # As text: inside a web request the change history looks into the statement and knows only strings.
        cursor.execute(statement.as_string(cursor.cursor), [list(column) for column in zip(*rows, strict=True)])
        return {row[0] for row in cursor}


def by_reference(model: type[Entry], entries: Sequence[Entry]) -> dict[tuple[str, str], Entry]:
    """The stored rows that carry the references of these entries, by source and reference."""
    wanted: dict[str, set[str]] = {}
    for entry in entries:
        wanted.setdefault(entry.source, set()).add(entry.external_reference)
    return {
        (row.source, row.external_reference): row
        for source, references in wanted.items()
        for row in model._default_manager.filter(source=source, external_reference__in=references)
    }


def check_same(there: Entry, given: Entry, fields: Sequence[str]) -> Entry:
    """The stored row, if it says what the given one says; Conflict otherwise."""
    differing = [field for field in fields if getattr(there, field) != getattr(given, field)]
    if differing:
        name = f"{there.source} {there.external_reference}"
        reason = f"{name} is already used by {there}, which differs in {', '.join(differing)}; use a new reference"
        raise conflict("external_reference", reason)
    return there
