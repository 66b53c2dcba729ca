"""Write many rows at once: one COPY, ids taken from the table's sequence beforehand."""

import gc
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from io import StringIO
from typing import Any

from django.db import connection

NULL = "\\N"
UNSAFE = re.compile(r"[\\\t\n\r]")


@contextmanager
def uncollected() -> Iterator[None]:
    """Make many rows without the cycle collector, which would walk all of them again and again and free none.

    Rows are freed when nobody holds them, as ever; cycles wait until the end.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def new_ids(table: str, count: int) -> list[int]:
    """The next `count` ids of the table, in ascending order."""
    if not count:
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [table, count])
        return [row[0] for row in cursor.fetchall()]


def copy(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows; constraints and triggers hold as for INSERT. Values: text, numbers, instants, None, JSON."""
    buffer = StringIO()
    for row in rows:
        buffer.write("\t".join([_text(value) for value in row]) + "\n")
    if not buffer.tell():
        return
    buffer.seek(0)
    with connection.cursor() as cursor:
        # The size by place: the cursor that DEBUG puts in between takes no names.
        cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN", buffer, 1 << 20)


def _text(value: Any) -> str:
    """A value in PostgreSQL's own text format."""
    kind = type(value)
    if kind is str:
        return _escaped(value) if UNSAFE.search(value) else value
    if kind is int:
        return str(value)
    if value is None:
        return NULL
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat()
    return _escaped(json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
