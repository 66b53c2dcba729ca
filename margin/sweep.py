"""A sweep: take → assess → decide → save → door, over every account of a kind.

A sweep is a slot that exists once. It is begun in one transaction, with its prices and its shards; each shard is
worked by whoever holds its lease, and is recorded once (`margin.shards`). `run` does here what Celery does in many
processes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import connection
from django.db.models import Q

from accounts.models import Account
from margin import casework, chain, cures, gate, policies, prices, reversals, shards
from margin.models import MarginCall, PolicyVersion, Shard, Sweep
from margin.workflow import State
from market import parameters

ATTENTION = "attention"  # accounts whose calls are due or paid, looked at between two sweeps of their kind
SLOT = """
SELECT EXISTS (SELECT FROM margin_sweep WHERE kind = %(kind)s AND slot_at = %(slot_at)s),
       (SELECT id FROM margin_sweep WHERE kind = %(kind)s ORDER BY id DESC LIMIT 1)
"""


def run(kind: str, *, at: datetime, slot_at: datetime | None = None, ids: Sequence[int] | None = None) -> Sweep | None:
    """Begin a sweep, work all its shards here and finish it; None if somebody has the slot already."""
    in_force = policies_of(kind, at)
    sweep = begin(kind, at=at, slot_at=slot_at or at, ids=ids, in_force=in_force)
    if sweep is not None:
        for shard in sweep.shards.all():
            shards.work(shard, now=at, in_force=in_force)
        finish(sweep, now=at)
    return sweep


def policies_of(kind: str, at: datetime) -> dict[str, PolicyVersion]:
    """The policies in force whose accounts this kind of sweep covers; an attention sweep covers all."""
    stated = policies.in_force(at)
    return {
        code: version
        for code, version in stated.items()
        if kind == ATTENTION or policies.read(version).terms.sweep == kind
    }


def begin(
    kind: str,
    *,
    at: datetime,
    slot_at: datetime,
    ids: Sequence[int] | None = None,
    in_force: Mapping[str, PolicyVersion] | None = None,
) -> Sweep | None:
    """Claim the slot with its prices and shards, all or nothing; None if somebody has it.

    `in_force` are the policies of the kind, where the caller has read them already.
    """
    reversals.carry_out(at=at)
    governing = policies_of(kind, at) if in_force is None else in_force
    return chain.in_transaction(lambda: _begin(kind, at, slot_at, ids, governing), is_patient=True)


def _begin(
    kind: str, at: datetime, slot_at: datetime, ids: Sequence[int] | None, in_force: Mapping[str, PolicyVersion]
) -> Sweep | None:
    with connection.cursor() as cursor:  # sweeps of a kind store their price changes one after the other
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"margin.sweep.{kind}"])
        cursor.execute(SLOT, {"kind": kind, "slot_at": slot_at})
        is_taken, previous = cursor.fetchone()
    if is_taken:
        return None
    accounts = _eligible(in_force, at, ids)
    sweep = Sweep(kind=kind, slot_at=slot_at, at=at, started_at=at, previous_id=previous, eligible=len(accounts))
    named = policies.parameters_of(policies.read(version) for version in in_force.values())
    sweep.parameters = parameters.in_force(named, on=at.date())
    prices.store(sweep, prices.gather(at=at))
    shards.cut(sweep, accounts, exactly_these=ids is not None)
    return sweep


def _eligible(in_force: Mapping[str, PolicyVersion], at: datetime, ids: Sequence[int] | None) -> list[int]:
    """Open accounts governed by these policies, ascending: what the sweep must account for. Members count with their
    lead."""
    accounts = Account.objects.filter(agreement__in=list(in_force), margined_with=None)
    accounts = accounts.filter(Q(closed_on=None) | Q(closed_on__gt=at.date()))
    if ids is not None:
        accounts = accounts.filter(pk__in=list(ids))
    return list(accounts.order_by("pk").values_list("pk", flat=True))


def finish(sweep: Sweep, *, now: datetime) -> bool:
    """Close a sweep whose shards are all done, or given up; False while some are still at work.

    Complete means that every eligible account was evaluated or is known to be unpriced; anything less is an alarm.
    """
    rows = list(sweep.shards.values_list("done_at", "attempts", "counts"))
    if any(done_at is None and attempts < shards.MAXIMUM_ATTEMPTS for done_at, attempts, _ in rows):
        return False
    counts: Counter[str] = Counter()
    for _, _, counted in rows:
        counts.update(counted)
    seen = counts["evaluated"] + counts["unpriced"]
    is_complete = seen == sweep.eligible and all(done_at for done_at, _, _ in rows)
    figures = {
        "state": Sweep.State.COMPLETE if is_complete else Sweep.State.INCOMPLETE,
        "evaluated": counts["evaluated"],
        "unpriced": counts["unpriced"],
        "failed": max(0, sweep.eligible - seen),
        "counts": dict(counts),
        "finished_at": now,
    }
    casework.see_to_escalated(at=now)
    if is_complete:
        gate.pass_over(sweep)
    if Sweep.objects.filter(pk=sweep.pk, state=Sweep.State.RUNNING).update(**figures):
        for name, figure in figures.items():
            setattr(sweep, name, figure)
    else:  # another finished it
        sweep.refresh_from_db()
    return True


def lapsed(now: datetime) -> list[Shard]:
    """Shards of running sweeps that nobody works on: to be taken again."""
    free = Q(lease_until=None) | Q(lease_until__lte=now)
    return list(
        Shard.objects.filter(free, done_at=None, sweep__state=Sweep.State.RUNNING, attempts__lt=shards.MAXIMUM_ATTEMPTS)
    )


def wanting_attention(at: datetime) -> list[int]:
    """Accounts not to be kept waiting for their sweep: a call fell due, a client's word ran out, or money came in for
    an open call or was taken back."""
    is_free = (Q(held_until=None) | Q(held_until__lte=at)) & (Q(paused_until=None) | Q(paused_until__lte=at))
    is_due = Q(state=State.ISSUED, due_at__lte=at, notified_at__isnull=False) & is_free
    due = MarginCall.objects.filter(is_due).values_list("account_id", flat=True)
    taken_back = {cure.call.account_id for cure in reversals.found()}
    return sorted(taken_back | cures.waiting() | set(due))
