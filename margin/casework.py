"""What staff do about a call beside its figures: whom they spoke with and what they said, and who takes on what."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import CharField, Exists, OuterRef, Value
from django.db.models.functions import Cast, Concat

from margin import calls, chain, reasons
from margin.actors import Actor, system
from margin.calls import IllegalMove, Move, Refused
from margin.models import MarginCall, Task
from margin.workflow import State, Verb

DUTY = system("duty desk")
MISQUOTED = "misquoted"
ESCALATION = "escalation_"  # and the level
TO_PUT_RIGHT = timedelta(minutes=30)


def contact(
    call: MarginCall,
    *,
    channel: str,
    direction: str,
    outcome: str,
    text: str,
    at: datetime,
    actor: Actor,
    who: str = "",
    amount_quoted: Decimal | None = None,
    deadline_quoted: datetime | None = None,
) -> MarginCall:
    """Log a conversation, with the amount and the deadline that were quoted (workflow.md §6.3).

    A client who was reached and heard amount and deadline counts as told. What was quoted wrongly is a task to put
    right: whoever hears 35,000 does not owe 111,000.
    """
    calls.require_reason(actor, Verb.CONTACT, text)
    for value, known in ((channel, reasons.CHANNELS), (outcome, reasons.OUTCOMES), (direction, ("in", "out"))):
        if value not in known:
            raise Refused(f"{value!r} is not one of {', '.join(known)}")
    is_told = outcome == "reached" and amount_quoted is not None and deadline_quoted is not None
    quoted = {"amount_quoted": chain.text(amount_quoted), "deadline_quoted": chain.text(deadline_quoted), "who": who}
    details = {"channel": channel, "direction": direction, "outcome": outcome}
    details |= {name: str(value)[:120] for name, value in quoted.items() if value}
    changes = {"notified_at": at} if is_told and call.is_open and call.notified_at is None else {}
    move = Move(Verb.CONTACT, call.account_id, call_id=call.pk, changes=changes, reason=text[:400], details=details)

    def work() -> MarginCall:
        calls.make(move, at=at, actor=actor)
        after = MarginCall.objects.get(pk=call.pk)
        if after.is_open and _is_misquoted(after, amount_quoted, deadline_quoted):
            title = f"{after}: the client was told another amount or deadline; tell it what is true"
            _open(after, MISQUOTED, title, at + TO_PUT_RIGHT, None, at, actor)
        return after

    return chain.in_transaction(work)


def open_task(
    call: MarginCall,
    *,
    kind: str,
    title: str,
    due_at: datetime,
    at: datetime,
    actor: Actor,
    owner_id: int | None = None,
) -> Task:
    """Note what must be done about a call, and by when. One of a kind is open at a time: the same again is that one."""
    calls.require(actor, Verb.OPEN_TASK)
    if not title.strip() or not kind.strip():
        raise Refused("a task needs a kind and says what is to be done")
    if due_at <= at:
        raise Refused(f"a task is due later than now, not at {due_at:%Y-%m-%d %H:%M} UTC")
    return chain.in_transaction(lambda: _open(call, kind, title, due_at, owner_id, at, actor))


def open_for(call: MarginCall, *, kind: str, title: str, due_at: datetime, at: datetime, actor: Actor) -> Task:
    """As `open_task`, as a consequence of what `actor` did rather than by their right."""
    return chain.in_transaction(lambda: _open(call, kind, title, due_at, None, at, actor))


def close_for(call: MarginCall, *, kind: str, outcome: str, at: datetime, actor: Actor) -> None:
    """Close the open task of a kind, if there is one, as a consequence of what `actor` did."""
    task = Task.objects.filter(call=call, kind=kind, closed_at=None).first()
    if task is not None:
        _close(task, outcome, at, actor)


def see_to_escalated(*, at: datetime) -> int:
    """Give the duty desk a task for every level that an escalated call reached; how many. Safe to repeat."""
    known = Task.objects.filter(
        call=OuterRef("pk"), kind=Concat(Value(ESCALATION), Cast("call__escalation_level", CharField()))
    )
    escalated = MarginCall.objects.filter(~Exists(known), state=State.ESCALATED).order_by("account_id", "pk")
    opened = 0
    waiting = list(escalated)
    for start in range(0, len(waiting), calls.LARGEST_BATCH):
        batch = waiting[start : start + calls.LARGEST_BATCH]
        opened += chain.in_transaction(partial(_see_to, batch, at), is_patient=True)
    return opened


def _see_to(escalated: Sequence[MarginCall], at: datetime) -> int:
    due_at = at + TO_PUT_RIGHT
    tasks = [
        Task(
            account_id=call.account_id, call=call, kind=f"{ESCALATION}{call.escalation_level}", due_at=due_at,
            title=f"{call} is escalated ({call.escalation_cause}), level {call.escalation_level}: decide what follows",
            opened_by=DUTY.name, opened_at=at,
        )
        for call in escalated
    ]  # fmt: skip
    moves = [
        Move(
            Verb.OPEN_TASK, task.account_id, call_id=task.call_id,
            details={"kind": task.kind, "title": task.title, "due_at": chain.text(due_at)},
        )
        for task in tasks
    ]  # fmt: skip
    done = []
    for task, outcome in zip(tasks, calls.carry_out(moves, at=at, actor=DUTY), strict=True):
        if outcome.seq is not None:
            task.seq = outcome.seq
            done.append(task)
    return len(Task.objects.bulk_create(done))


def take_task(task: Task, *, at: datetime, actor: Actor, owner_id: int | None = None) -> Task:
    """Take a task on, or give it to a colleague."""
    calls.require(actor, Verb.OPEN_TASK)
    owner = owner_id or actor.user_id

    def change(current: Task) -> None:
        current.owner_id = owner

    return _change(task, Verb.OPEN_TASK, {"task": task.pk, "kind": task.kind, "owner": _name(owner)}, change, at, actor)


def close_task(task: Task, *, outcome: str, at: datetime, actor: Actor) -> Task:
    """Say what became of it."""
    calls.require_reason(actor, Verb.CLOSE_TASK, outcome)
    return _close(task, outcome, at, actor)


def _close(task: Task, outcome: str, at: datetime, actor: Actor) -> Task:
    def change(current: Task) -> None:
        current.closed_at, current.closed_by, current.outcome = at, actor.name, outcome[:400]

    return _change(task, Verb.CLOSE_TASK, {"task": task.pk, "kind": task.kind}, change, at, actor, outcome)


def _open(
    call: MarginCall, kind: str, title: str, due_at: datetime, owner_id: int | None, at: datetime, actor: Actor
) -> Task:
    chain.lock([call.account_id])
    same = Task.objects.filter(call=call, kind=kind, closed_at=None).first()
    if same is not None:
        return same
    details = {"kind": kind, "title": title[:200], "due_at": chain.text(due_at)}
    if owner_id:
        details["owner"] = _name(owner_id)
    told = calls.make(Move(Verb.OPEN_TASK, call.account_id, call_id=call.pk, details=details), at=at, actor=actor)
    return Task.objects.create(
        account_id=call.account_id, call=call, kind=kind, title=title[:200], due_at=due_at, owner_id=owner_id,
        opened_by=actor.name, opened_at=at, seq=told,
    )  # fmt: skip


def _change(
    task: Task, verb: Verb, details: dict[str, Any], change: Any, at: datetime, actor: Actor, reason: str = ""
) -> Task:
    def work() -> Task:
        chain.lock([task.account_id])
        current = Task.objects.get(pk=task.pk)
        if current.closed_at is not None:
            raise IllegalMove(f"the task {current} was closed by {current.closed_by} already")
        move = Move(verb, current.account_id, call_id=current.call_id, reason=reason, details=details)
        told = calls.make(move, at=at, actor=actor)
        change(current)
        current.seq = told
        current.save()
        return current

    return chain.in_transaction(work)


def _is_misquoted(call: MarginCall, amount: Decimal | None, deadline: datetime | None) -> bool:
    wrong_amount = amount is not None and amount != call.amount_outstanding
    return wrong_amount or (deadline is not None and deadline != call.due_at)


def _name(user_id: int | None) -> str:
    return get_user_model().objects.get(pk=user_id or 0).get_username()
