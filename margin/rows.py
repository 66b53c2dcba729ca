"""How the door writes: from a move to the row it leaves, the event that says the same, and the SQL for both."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import connection

from margin import beside, chain, confidence
from margin.actors import Actor
from margin.chain import text
from margin.models import Event, MarginCall
from margin.workflow import WITHOUT_CALL, Resolution, State, Verb

if TYPE_CHECKING:
    from margin.calls import Move

STATE_AFTER: dict[Verb, State] = {
    Verb.ISSUE: State.ISSUED,
    Verb.MEET: State.MET,
    Verb.ESCALATE: State.ESCALATED,
    Verb.LIQUIDATE: State.LIQUIDATED,
    Verb.CANCEL: State.CANCELLED,
}
MUTABLE = (
    "state",
    "amount_called",
    "amount_outstanding",
    "tolerance",
    "due_at",
    "due_basis",
    "notified_at",
    "provisionally_met_at",
    "escalated_at",
    "escalation_cause",
    "escalation_level",
    "closed_at",
    "resolution",
)
OPTIONAL: dict[str, Any] = {
    "held_until": None,
    "paused_until": None,
    "disputed": Decimal(0),
    "clock_stopped_at": None,
    "is_provisional": False,
    "reminded_at": None,
}
"""Columns that events may change too, with the value they have unless an event says otherwise."""
IDENTITY = (
    "regime",
    "deficiency_key",
    "policy_version_id",
    "assessment_id",
    "currency",
    "market_cures",
    "issued_at",
    "original_due_at",
    "predecessor_id",
)
NEW: dict[str, Any] = {field.attname: field.get_default() for field in MarginCall._meta.concrete_fields}
"""Every column of a call in the table's order, with what it is before anything is said of it."""

OF_RETENTION = frozenset({Verb.PLACE_LEGAL_HOLD, Verb.LIFT_LEGAL_HOLD, Verb.ERASE})


@dataclass
class Step:
    """A move under the lock: the call before and after it, and the place of its event in the chain."""

    index: int
    move: "Move"
    before: MarginCall | None
    after: MarginCall | None
    seq: int
    at: datetime
    cure: dict[str, Any] | None = None
    """What the step leaves of a cure, as its event says it."""


def step(index: int, move: "Move", before: MarginCall | None, *, seq: int, at: datetime) -> Step:
    """Work out what the call will be; nothing is written. Notes on a closed call leave its row as it is."""
    if move.verb in WITHOUT_CALL or (before is not None and not before.is_open):
        return Step(index, move, before, before, seq, at)
    changes = {**_consequences(move.verb, at), **move.changes, "seq": seq}
    if before is None:
        named = {"account_id": move.account_id, "regime": move.regime, "deficiency_key": move.deficiency_key}
        return Step(index, move, None, _new({**NEW, **named, "issued_at": at, **changes}), seq, at)
    after = copy.copy(before)
    for column, value in changes.items():
        setattr(after, column, value)
    return Step(index, move, before, after, seq, at)


def _new(columns: dict[str, Any]) -> MarginCall:
    """A call of these columns, all of them; made as one that was read, at a third of the cost of keywords."""
    if columns.keys() != NEW.keys():
        raise ValueError(f"a call has no {sorted(columns.keys() - NEW.keys())}")
    return MarginCall.from_db(None, list(columns), list(columns.values()))


def _consequences(verb: Verb, at: datetime) -> dict[str, Any]:
    """The columns a verb always sets."""
    closed = {"closed_at": at, "provisionally_met_at": None}
    fixed: dict[Verb, dict[str, Any]] = {
        Verb.PROVISIONALLY_MEET: {"provisionally_met_at": at},
        Verb.BREACH_AGAIN: {"provisionally_met_at": None},
        Verb.REVERSE_CURE: {"provisionally_met_at": None},  # it was held met with what is gone
        Verb.MEET: {**closed, "amount_outstanding": Decimal(0)},
        Verb.ESCALATE: {"escalated_at": at, "escalation_level": 1, "provisionally_met_at": None},
        Verb.REMIND: {"reminded_at": at},
        Verb.FINALISE: {"is_provisional": False},
        Verb.RELEASE: {"held_until": None},
        Verb.LIQUIDATE: {**closed, "resolution": Resolution.LIQUIDATION},
        Verb.CANCEL: {**closed, "resolution": Resolution.RETRACTION},
    }
    state = {"state": STATE_AFTER[verb]} if verb in STATE_AFTER else {}
    return {**state, **fixed.get(verb, {})}


def entry(step: Step, actor: Actor, clients: Mapping[int, int]) -> dict[str, Any]:
    """The event of a step, as the append function takes it. What people say of one of `clients` (by account) is
    encrypted, but for holds and erasures: `margin.retention` has done that, and ends them without the key too."""
    move, after = step.move, step.after
    event: dict[str, Any] = {
        "account": move.account_id,
        "call": after.pk if after else None,
        "kind": move.verb.value,
        "at": text(step.at),
        "actor": actor.name,
        "role": actor.role,
    }
    if move.reason:
        event["reason"] = move.reason
    if move.details:
        event["details"] = move.details
    if move.regime and not after:
        event["regime"] = move.regime
    if after is not None:
        event["from"] = step.before.state if step.before else None
        columns = MUTABLE if step.before else MUTABLE + IDENTITY
        known = vars(after)
        event["row"] = {column: text(known[column]) for column in columns}
        event["row"] |= {column: text(known[column]) for column, usual in OPTIONAL.items() if known[column] != usual}
    if step.cure:
        event["cure"] = step.cure
    client = clients.get(move.account_id)
    return event if client is None or move.verb in OF_RETENTION else confidence.keep(event, client_id=client)


def read(event: Event) -> dict[str, Any]:
    """An event's body as a dict, with what people said readable, or with what became of it."""
    body: dict[str, Any] = json.loads(event.body)
    return confidence.opened(body) if '"sealed:' in event.body else body


# --- SQL --------------------------------------------------------------------------------------------------


def write(steps: list[Step], actor: Actor) -> dict[int, tuple[int, int]]:
    """Write what steps of different accounts leave, with their events; (event id, seq) by the steps' index.

    Steps that lost to an existing row left nothing and are not among them.
    """
    issuing = [step for step in steps if step.move.verb == Verb.ISSUE]
    others = [step for step in steps if step.move.verb != Verb.ISSUE]
    lost = {step.index for step in beside.write(others)}
    done = [step for step in others if step.index not in lost]
    clients = {} if actor.is_system else confidence.clients({step.move.account_id for step in steps})
    events = chain.append([entry(step, actor, clients) for step in done])
    update(done)
    return {**issue(issuing, actor, clients), **{step.index: event for step, event in zip(done, events, strict=True)}}


# One statement: the index decides who may be called, and a call is there with its event or not at all.
ONE_OPEN = "(account_id, regime, deficiency_key) WHERE state IN ('issued', 'escalated')"
ISSUE = """
WITH asked AS MATERIALIZED (
    SELECT value AS entry, (value ->> 'account')::bigint AS account, place
    FROM jsonb_array_elements(%(entries)s::jsonb) WITH ORDINALITY AS list (value, place)
), called AS (
    INSERT INTO margin_margincall (account_id, seq, {columns})
    SELECT account, (entry ->> 'seq')::bigint, {columns}
    FROM asked, jsonb_populate_record(NULL::margin_margincall, %(usual)s::jsonb || (entry -> 'row'))
    ON CONFLICT {conflict} DO NOTHING RETURNING id, account_id
)
SELECT account_id, called.id, event.event_id, event.seq
FROM margin_append_events((
    SELECT jsonb_agg(entry || jsonb_build_object('call', called.id) ORDER BY place)
    FROM called JOIN asked ON account = account_id
)) AS event JOIN called USING (account_id)
"""


def issue(steps: list[Step], actor: Actor, clients: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """Insert new calls from what their events say; (event id, seq) by the index of the steps that did not lose."""
    if not steps:
        return {}
    columns = ", ".join((*MUTABLE, *OPTIONAL, *IDENTITY))
    entries = json.dumps([{**entry(step, actor, clients), "seq": step.seq} for step in steps])
    usual = json.dumps({column: text(value) for column, value in OPTIONAL.items()})
    with connection.cursor() as cursor:
        cursor.execute(ISSUE.format(columns=columns, conflict=ONE_OPEN), {"entries": entries, "usual": usual})
        made = {account: rest for account, *rest in cursor.fetchall()}
    done = {}
    for step in steps:
        if step.move.account_id in made and step.after is not None:
            step.after.pk, event_id, seq = made[step.move.account_id]
            done[step.index] = (event_id, seq)
    return done


def update(steps: list[Step]) -> None:
    """Write the call rows that steps changed. Their accounts are locked, so every row is there."""
    changed = [step for step in steps if step.before is not None and step.before.is_open and step.after is not None]
    if not changed:
        return
    columns = ("seq", *MUTABLE, *OPTIONAL)
    records = [
        {"id": step.after.pk, **{column: text(getattr(step.after, column)) for column in columns}}
        for step in changed
        if step.after is not None
    ]
    assignments = ", ".join(f"{column} = r.{column}" for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE margin_margincall c SET {assignments}"  # noqa: S608 - names of ours, values as parameters
            " FROM jsonb_populate_recordset(NULL::margin_margincall, %s::jsonb) r WHERE c.id = r.id",
            [json.dumps(records)],
        )
        if cursor.rowcount != len(changed):
            raise RuntimeError(f"{cursor.rowcount} of {len(changed)} call rows were written; everything is undone")
