"""The rows a move leaves beside its call: warnings raised and cleared, cures that come and go on."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import connection

from margin.chain import text
from margin.models import Cure
from margin.workflow import RUNG, Verb

if TYPE_CHECKING:
    from margin.rows import Step

CURE = (
    "kind",
    "state",
    "movement_id",
    "fill_id",
    "adjustment_id",
    "used",
    "release",
    "currency",
    "amount",
    "instrument_id",
    "method",
    "reference",
    "expected_at",
    "settled_at",
)


def write(steps: list["Step"]) -> list["Step"]:
    """Write the rows that steps bring into being, or move, beside their calls; returns the steps that lost."""
    writers: dict[Verb, Callable[[list[Step]], list[Step]]] = {
        Verb.WARN: _insert_warnings,
        Verb.CLEAR: _clear_warnings,
        Verb.CURE: _insert_cures,
        Verb.PLEDGE: _insert_cures,
        Verb.CLAIM: _insert_cures,
        Verb.MOVE_CURE: _move_cures,
        Verb.CHECK: _move_cures,
        Verb.REVERSE_CURE: _move_cures,
    }
    lost: list[Step] = []
    for verb, writer in writers.items():
        mine = [step for step in steps if step.move.verb == verb]
        if mine:
            lost += writer(mine)
    return lost


def _insert_warnings(steps: list["Step"]) -> list["Step"]:
    columns = ("account_id", "regime", "rung", "raised_at", "cleared_by", "assessment_id", "cover")
    records = [
        {
            "account_id": step.move.account_id,
            "regime": step.move.regime,
            "rung": step.move.changes.get("rung", RUNG),
            "raised_at": text(step.at),
            "cleared_by": "",
            "assessment_id": step.move.changes["assessment_id"],
            "cover": text(step.move.changes["cover"]),
        }
        for step in steps
    ]
    made = _insert(
        "margin_warning",
        columns,
        records,
        conflict="(account_id, regime, rung) WHERE cleared_at IS NULL",
        returning="account_id, id",
    )
    return [step for step in steps if step.move.account_id not in dict(made)]


def _clear_warnings(steps: list["Step"]) -> list["Step"]:
    records = [
        {
            "account_id": step.move.account_id,
            "regime": step.move.regime,
            "rung": step.move.changes.get("rung", RUNG),
            "cleared_at": text(step.at),
            "cleared_by": step.move.reason,
        }
        for step in steps
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE margin_warning w SET cleared_at = r.cleared_at, cleared_by = r.cleared_by
            FROM jsonb_populate_recordset(NULL::margin_warning, %s::jsonb) r
            WHERE w.account_id = r.account_id AND w.regime = r.regime AND w.rung = r.rung AND w.cleared_at IS NULL
            RETURNING w.account_id
            """,
            [json.dumps(records)],
        )
        cleared = {row[0] for row in cursor.fetchall()}
    return [step for step in steps if step.move.account_id not in cleared]


def _insert_cures(steps: list["Step"]) -> list["Step"]:
    """Cures that come into being: pledged by somebody, or found settled by a sweep."""
    columns = ("call_id", "seq", *CURE)
    given = {
        "state": "settled",
        "currency": "",
        "method": "",
        "reference": "",
        "used": Decimal(0),
        "release": Decimal(0),
    }
    records = []
    for step in steps:
        cure = {**given, **step.move.cure}
        settled_at = step.at if cure["state"] == "settled" else None
        stated = {**cure, "call_id": step.move.call_id, "seq": step.seq, "settled_at": settled_at}
        records.append({column: text(stated.get(column)) for column in columns})
    made = dict(_insert("margin_cure", columns, records, conflict="", returning="call_id, id"))
    for step, record in zip(steps, records, strict=True):
        step.cure = _told(made.get(step.move.call_id or 0), record)
    return [step for step in steps if step.move.call_id not in made]


def _move_cures(steps: list["Step"]) -> list["Step"]:
    """Cures that go on: in transit, settled, reversed or rejected. The database knows which step follows which."""
    columns = (
        "state",
        "movement_id",
        "fill_id",
        "adjustment_id",
        "used",
        "release",
        "expected_at",
        "settled_at",
        "seq",
    )
    known = Cure.objects.in_bulk([step.move.cure["id"] for step in steps])
    records = []
    for step in steps:
        cure = known[step.move.cure["id"]]
        for column, value in step.move.cure.items():
            setattr(cure, column, value)
        cure.seq = step.seq
        if cure.state == Cure.State.SETTLED:
            cure.settled_at = step.at
        record = {column: text(getattr(cure, column)) for column in ("id", "call_id", *CURE, "seq")}
        step.cure = _told(cure.pk, record)
        records.append(record)
    assignments = ", ".join(f"{column} = r.{column}" for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE margin_cure k SET {assignments}"  # noqa: S608 - names of ours, values as parameters
            " FROM jsonb_populate_recordset(NULL::margin_cure, %s::jsonb) r"
            " WHERE k.id = r.id AND k.call_id = r.call_id RETURNING k.id",
            [json.dumps(records)],
        )
        moved = {row[0] for row in cursor.fetchall()}
    return [step for step in steps if step.move.cure["id"] not in moved]


def _told(cure_id: int | None, record: dict[str, Any]) -> dict[str, Any]:
    """A cure as its event says it: what is empty is left out."""
    kept = {column: value for column, value in record.items() if column in CURE and value not in (None, "", "0")}
    return {"id": cure_id, **kept}


def _insert(
    table: str, columns: tuple[str, ...], records: list[dict[str, Any]], *, conflict: str, returning: str
) -> list[tuple[int, int]]:
    names = ", ".join(columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({names})"  # noqa: S608 - names of ours, values as parameters
            f" SELECT {names} FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb)"
            f" ON CONFLICT {conflict} DO NOTHING RETURNING {returning}",
            [json.dumps(records)],
        )
        made: list[tuple[int, int]] = cursor.fetchall()
    return made
