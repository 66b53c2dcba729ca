"""What must hold of the rows at any time: each invariant is one query that returns the rows which break it.

The names follow the catalogue in docs/operations.md. `check` asks them all; nothing found is what is wanted. The state
machine of the tests asks them after every step, as one prepared statement.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection

from backoffice.promises import CALLS, CURES, PEOPLE, RIGHTS
from backoffice.promises_of_orders import ORDERS
from backoffice.promises_of_runs import BOOKS, NOTICES, SWEEPS

QUERIES: Mapping[str, str] = {**CALLS, **SWEEPS, **NOTICES, **BOOKS, **CURES, **PEOPLE, **RIGHTS, **ORDERS}
"""Name → query. The id before the name is the catalogue's."""
STUCK = "I12 no sweep stays at work for an hour"
UNWATCHED = "I13 a kind without a complete sweep for an hour of session has its alarm"
UNLIFTED = "a restriction of a call that is over is lifted within the hour"
LIVENESS = frozenset({STUCK, UNWATCHED, UNLIFTED})
"""What holds once recovery has run and the watchdog has looked; in a house at work they always have."""
NUMBERS = "I24 no numeric column holds NaN or infinity"
NUMERIC_COLUMNS = """
    SELECT c.table_name, array_agg(c.column_name::text ORDER BY c.column_name) FROM information_schema.columns c
    JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE c.table_schema = current_schema() AND c.data_type = 'numeric' AND t.table_type = 'BASE TABLE'
      AND c.table_name ~ '^(market|accounts|margin|notifications)_'
    GROUP BY 1 ORDER BY 1
"""
MOST_ROWS = 20
# In one statement for all, the bodies are parsed once: the name of the table then means this.
EVENTS_READ_ONCE = """
    WITH margin_event AS MATERIALIZED (
        SELECT id, account_id, seq, call_id, kind, at, recorded_at, body::jsonb AS body, previous_hash, hash
        FROM public.margin_event)
"""


def check(*, at: datetime | None = None) -> dict[str, list[str]]:
    """Invariant → the first rows that break it at `at` (or now); every invariant is listed, an empty list is good."""
    with connection.cursor() as cursor:
        queries = {**QUERIES, NUMBERS: numbers(cursor)}
        broken = {}
        for name, query in queries.items():
            asked = query.replace("{at}", "%(at)s::timestamptz")
            cursor.execute(
                f"SELECT * FROM ({asked}) broken LIMIT {MOST_ROWS}",  # noqa: S608 - text of ours
                {"at": at} if at else {"at": _now(cursor)},
            )
            broken[name] = [row[0] for row in cursor.fetchall()]
    return broken


def all_in_one(cursor: Any, *, without: frozenset[str] = frozenset()) -> str:
    """One statement that returns (invariant, row) for every broken row; `$1` in it is the instant."""
    queries = {name: query for name, query in {**QUERIES, NUMBERS: numbers(cursor)}.items() if name not in without}
    return EVENTS_READ_ONCE + " UNION ALL ".join(
        f"SELECT '{name.replace(chr(39), chr(39) * 2)}', broken.* FROM ({query.replace('{at}', '$1')}) broken"  # noqa: S608
        for name, query in queries.items()
    )


def numbers(cursor: Any) -> str:
    """The query of I24; new columns join by themselves: the catalogue is asked."""
    cursor.execute(NUMERIC_COLUMNS)
    return " UNION ALL ".join(_not_numbers(table, columns) for table, columns in cursor.fetchall())


def _not_numbers(table: str, columns: list[str]) -> str:
    """One scan of a table, one row for each of its columns that holds what is no number."""
    counts = ", ".join(f"count(*) FILTER (WHERE {name} IN ('NaN', 'Infinity', '-Infinity')) {name}" for name in columns)
    found = ", ".join(f"('{table}.{name} ', counted.{name})" for name in columns)
    return (
        f"SELECT found.name || found.count FROM (SELECT {counts} FROM {table}) counted"  # noqa: S608 - the catalogue's
        f" CROSS JOIN LATERAL (VALUES {found}) found(name, count) WHERE found.count > 0"
    )


def _now(cursor: Any) -> Any:
    cursor.execute("SELECT clock_timestamp()")
    return cursor.fetchone()[0]
