"""A shard of a sweep: a range of accounts, worked under a lease and recorded once.

Assessments are stored once, all of a shard together with what a replay must see again, and the door issues once. A
shard killed after that and taken again acts on what it stored; an account whose book changed since is left to the next
sweep.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby

from django.db import connection
from django.db.models import F, QuerySet

from margin import (
    approvals,
    assessments,
    bulk,
    calls,
    consequences,
    decisions,
    gate,
    liquidation,
    prices,
    snapshot,
    watch,
)
from margin.actors import Actor, system
from margin.engine import assess, memory
from margin.models import Alarm, MarginCall, PolicyVersion, Shard, Sweep

LARGEST = 50_000  # accounts; the loading of instruments is paid once per shard
LEASE = timedelta(seconds=30)
MAXIMUM_ATTEMPTS = 5
UNDATED = "calendar"


class LostLease(Exception):
    """Another worker took the shard over; it will finish it."""


def cut(sweep: Sweep, accounts: Sequence[int], *, exactly_these: bool) -> None:
    """Cut the sweep's accounts (ascending ids) into shards."""
    chunks = [accounts[start : start + LARGEST] for start in range(0, len(accounts), LARGEST)]
    Shard.objects.bulk_create(
        Shard(
            sweep=sweep,
            number=number,
            first_account=chunk[0],
            last_account=chunk[-1],
            account_ids=list(chunk) if exactly_these else None,
        )
        for number, chunk in enumerate(chunks, start=1)
    )


def work(shard: Shard, *, now: datetime, in_force: Mapping[str, PolicyVersion]) -> bool:
    """Do a shard if it is free: not done, not leased to another, not tried too often. False if it was not."""
    if not _take(shard, now):
        return False
    try:
        with bulk.uncollected():
            counts = _carry_out(shard, in_force)
    except LostLease:
        return False
    except Exception as error:
        _own(shard).update(last_error=repr(error)[:2000], lease_until=None)
        raise
    done = {"done_at": now, "counts": counts, "last_error": "", "lease_until": None}
    return bool(_own(shard).update(**done))


def _take(shard: Shard, now: datetime) -> bool:
    """Lease the shard if it is free, count the attempt, and read whether an earlier one stored its assessments."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE margin_shard SET lease_until = %s, attempts = attempts + 1"
            " WHERE id = %s AND done_at IS NULL AND attempts < %s AND (lease_until IS NULL OR lease_until <= %s)"
            " RETURNING attempts, visible",
            [now + LEASE, shard.pk, MAXIMUM_ATTEMPTS, now],
        )
        row = cursor.fetchone()
    if row is None:
        return False
    shard.attempts, shard.visible = row
    return True


def _own(shard: Shard) -> QuerySet[Shard]:
    """The shard, as long as this attempt is the latest: the fence."""
    return Shard.objects.filter(pk=shard.pk, attempts=shard.attempts, done_at=None)


def _carry_out(shard: Shard, in_force: Mapping[str, PolicyVersion]) -> dict[str, int]:
    """Assess the shard's accounts and carry out what follows; counts by name."""
    sweep = shard.sweep
    chosen = snapshot.Accounts(shard.first_account, shard.last_account, shard.account_ids)
    snap = snapshot.take(prices=prices.of(sweep), in_force=in_force, accounts=chosen)
    with memory.noting() as notes:
        found = assess.assess(snap.book, snap.instruments, snap.market, snap.rules)
    # An attention sweep keeps all it looked at; any other, the accounts that matter.
    in_play = shard.account_ids or decisions.accounts_in_play() | consequences.accounts_by_cover()
    matter = assessments.that_matter(found, in_play)
    unpriced = sum(1 for account in matter.values() if account.figures[0].reasons)
    stored = assessments.stored(sweep, snap, matter) if shard.visible else None
    if stored is not None:
        matter = {account: matter[account] for account in stored}
    decided, facts = decisions.about(snap, _not_seen_since(matter, snap, shard))
    decided, held = gate.hold(decided, snap, sweep)
    if stored is None:
        explained = decisions.to_explain(decided)
        with_it = partial(_keep_view, shard, visible=snap.visible, said=notes.pack())
        stored = assessments.save(sweep, snap, found, matter, explained=explained, with_it=with_it)
    chosen_moves = decisions.moves(decided, facts, assessments=stored, at=sweep.at)
    counts = _through_the_door(chosen_moves.moves, shard)
    counts.update(_propose(chosen_moves.proposals, sweep))
    counts.update(consequences.settle(at=sweep.at, actor=_actor(sweep), account_ids=list(matter), sweep=sweep))
    _report_undated(chosen_moves.undated, snap.book.accounts.tolist(), sweep)
    counts.update(held)
    counts.update(evaluated=len(snap.book) - unpriced, unpriced=unpriced)
    return dict(counts)


def _keep_view(shard: Shard, *, visible: str, said: bytes) -> None:
    """What a replay must see again, kept by the attempt that stores the assessments."""
    if not _own(shard).update(visible=visible, said=said):
        raise LostLease


def _not_seen_since(
    matter: Mapping[int, decisions.Found], snap: snapshot.Snapshot, shard: Shard
) -> Mapping[int, decisions.Found]:
    """Without the accounts that a later sweep has looked at: a shard taken again late must not act on older prices."""
    later = Shard.objects.filter(sweep__gt=shard.sweep_id, sweep__at__gt=shard.sweep.at, done_at__isnull=False)
    seen = list(later.values_list("sweep__kind", "first_account", "last_account", "account_ids"))

    def is_seen(account: int, kind: str) -> bool:
        return any(
            first <= account <= last and (account in ids if ids is not None else swept == kind)
            for swept, first, last, ids in seen
        )

    return {
        account: found
        for account, found in matter.items()
        if not seen or not is_seen(account, snap.reading(found.row).terms.sweep)
    }


def _actor(sweep: Sweep) -> Actor:
    return system(f"sweep {sweep.pk}")


def _through_the_door(moves: Sequence[calls.Move], shard: Shard) -> Counter[str]:
    """Carry out the moves in batches; the lease is renewed, or found lost, between them."""
    counts: Counter[str] = Counter()
    for batch in _batches(moves):
        if not _own(shard).update(lease_until=F("lease_until") + LEASE):
            raise LostLease
        for outcome in calls.carry_out(batch, at=shard.sweep.at, actor=_actor(shard.sweep)):
            counts[outcome.move.verb.value if outcome.is_done else "refused"] += 1
    return counts


def _batches(moves: Sequence[calls.Move]) -> Iterator[list[calls.Move]]:
    """Batches the door takes, an account's moves never torn apart."""
    batch: list[calls.Move] = []
    for _, of_account in groupby(moves, key=lambda move: move.account_id):
        mine = list(of_account)
        if batch and len(batch) + len(mine) > calls.LARGEST_BATCH:
            yield batch
            batch = []
        batch += mine
    if batch:
        yield batch


def _propose(to_liquidate: Sequence[MarginCall], sweep: Sweep) -> dict[str, int]:
    """The system's own proposals; two people decide about each."""
    proposed = 0
    for call in to_liquidate:
        try:
            plan = liquidation.propose(call, at=sweep.at, actor=_actor(sweep), reason="policy: escalated call")
            approvals.release_by_standing(plan, at=sweep.at, actor=_actor(sweep))
            proposed += 1
            watch.clear_alarm(watch.NO_PLAN, call.number, at=sweep.at)
        except calls.CallError as error:
            watch.raise_alarm(watch.NO_PLAN, call.number, f"no liquidation plan for {call}: {error}", at=sweep.at)
    return {"plans proposed": proposed} if proposed else {}


def _report_undated(undated: Sequence[str], accounts: Collection[int], sweep: Sweep) -> None:
    """A due date is never guessed: without a calendar no call is issued, and staff are told until one reaches far
    enough, or the account is called no more."""
    wrong = {message.partition(":")[0]: message for message in undated}
    for subject, message in list(wrong.items())[:20]:
        watch.raise_alarm(UNDATED, subject, f"no call was issued: {message}", at=sweep.at)
    for subject in Alarm.objects.filter(kind=UNDATED, cleared_at=None).values_list("subject", flat=True):
        account = subject.removeprefix("account ").partition(",")[0]
        if subject not in wrong and account.isdigit() and int(account) in accounts:
            watch.clear_alarm(UNDATED, subject, at=sweep.at)
