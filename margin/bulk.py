"""Write many rows at once: one COPY, ids taken from the table's sequence beforehand."""

import csv
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from io import StringIO
from typing import Any

from django.db import connection

NULL = "\\N"


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
    writer = csv.writer(buffer)
    for row in rows:
        writer.writerow([_text(value) for value in row])
    if not buffer.tell():
        return
    buffer.seek(0)
    with connection.cursor() as cursor:
        # The size by place: the cursor that DEBUG puts in between takes no names.
        cursor.copy_expert(
            f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT csv, NULL '{NULL}')", buffer, 1 << 20
        )


def _text(value: Any) -> str:
    if value is None:
        return NULL
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
