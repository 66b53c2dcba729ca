"""The storm gate: many calls at once wait for a person, for a while, and are never dropped (fault C7).

A crash of the whole market and a wrong price of one instrument look alike to a sweep. Where a policy states a gate, a
sweep that would issue more than so many new calls, or whose calls are explained by one instrument, holds them. The
prices of the next sweep decide again: what a corrected price cures was never called.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.db import IntegrityError, transaction

from margin import policies, prices, watch
from margin.actors import Actor
from margin.calls import IllegalMove, Refused
from margin.decisions import Decided, Ruling
from margin.models import PolicyVersion, StormGate, Sweep
from margin.policy_terms import StormTerms
from margin.snapshot import Snapshot
from margin.workflow import Verb

ALARM = "storm"
MAY_RELEASE = ("Supervisor", "Risk")


@dataclass(frozen=True)
class _Storm:
    """What a sweep found of one policy."""

    accounts: int
    called: tuple[int, ...]
    instrument_id: int | None = None
    explained: int = 0

    def is_one(self, terms: StormTerms) -> bool:
        if len(self.called) < terms.least_calls:
            return False
        by_count = len(self.called) > terms.accounts_rate * self.accounts
        return by_count or self.explained > terms.instrument_rate * len(self.called)


def hold(decided: Sequence[Decided], snap: Snapshot, sweep: Sweep) -> tuple[list[Decided], dict[str, int]]:
    """The decisions that may go on, and counts of what is held: of policies in a storm, all but the new calls."""
    held: set[int] = set()
    by_version = {reading.version_id: reading for _, reading, _ in decided}
    for version_id, reading in by_version.items():
        terms = reading.terms.storm
        if terms is None:
            continue
        called = tuple(figures.account_id for figures, one, rulings in decided if one is reading and _issues(rulings))
        version = PolicyVersion.objects.select_related("policy").get(pk=version_id)
        gate = _open_gate(version, at=sweep.at)
        if len(called) >= terms.least_calls:
            gate = _seen(gate, sweep) if gate else _open(version, _storm(snap, called, sweep), terms, sweep)
        elif reading.terms.sweep == sweep.kind:  # a few calls are no storm, unless the sweep saw a few accounts only
            gate = None
        if gate is not None:
            held.add(version_id)
    if not held:
        return list(decided), {}
    freed = [_without_issues(one) if one[1].version_id in held else one for one in decided]
    count = sum(len(_issues(rulings)) for _, reading, rulings in decided if reading.version_id in held)
    return freed, {"calls held": count}


def release(gate: StormGate, *, reason: str, at: datetime, actor: Actor) -> StormGate:
    """A person says that the storm is real: the next sweep issues the calls."""
    if actor.role not in MAY_RELEASE:
        raise Refused(f"{actor.name} ({actor.role or 'no role'}) may not release calls; it takes Supervisor or Risk")
    if not reason.strip():
        raise Refused("a reason is needed: it is kept with the gate")
    if not _close(gate, StormGate.State.RELEASED, at=at, actor=actor, reason=reason):
        gate.refresh_from_db()
        raise IllegalMove(f"the gate is {gate.get_state_display()} already")
    gate.refresh_from_db()
    return gate


def pass_over(sweep: Sweep) -> None:
    """Close the gates of the policies that the sweep covers, now that it is complete and no shard found a storm."""
    covered = policies.in_force(sweep.at)
    for gate in StormGate.objects.filter(state=StormGate.State.OPEN, last_sweep__lt=sweep.pk).select_related("policy"):
        version = covered.get(gate.policy.code)
        if version is None or policies.read(version).terms.sweep == sweep.kind:
            _close(gate, StormGate.State.PASSED, at=sweep.at)


def _open_gate(version: PolicyVersion, *, at: datetime) -> StormGate | None:
    """The policy's open gate; one whose time is up lets the calls through from now on."""
    gate = StormGate.objects.filter(policy=version.policy, state=StormGate.State.OPEN).first()
    if gate is not None and gate.until <= at:
        _close(gate, StormGate.State.LAPSED, at=at)
        return None
    return gate


def _seen(gate: StormGate, sweep: Sweep) -> StormGate:
    StormGate.objects.filter(pk=gate.pk, state=StormGate.State.OPEN, last_sweep__lt=sweep.pk).update(last_sweep=sweep)
    return gate


def _open(version: PolicyVersion, storm: _Storm, terms: StormTerms, sweep: Sweep) -> StormGate | None:
    """Open a gate if this is a storm and not one that was let through already."""
    quiet = StormGate.objects.filter(policy=version.policy, quiet_until__gt=sweep.at)
    if not storm.is_one(terms) or quiet.exists():
        return None
    try:
        with transaction.atomic():
            gate = StormGate.objects.create(
                policy=version.policy, sweep=sweep, last_sweep=sweep, calls=len(storm.called), accounts=storm.accounts,
                instrument_id=storm.instrument_id, explained=storm.explained, opened_at=sweep.at,
                until=sweep.at + timedelta(minutes=terms.minutes),
            )  # fmt: skip
    except IntegrityError:  # another shard of the sweep was first
        return StormGate.objects.filter(policy=version.policy, state=StormGate.State.OPEN).first()
    cause = f"; {gate.instrument} explains {gate.explained}" if gate.instrument else ""
    message = f"{gate.calls} new calls of {gate.accounts} accounts are held until {gate.until:%H:%M} UTC{cause}"
    watch.raise_alarm(ALARM, str(version.policy), message, at=sweep.at)
    return gate


def _close(
    gate: StormGate, state: StormGate.State, *, at: datetime, actor: Actor | None = None, reason: str = ""
) -> bool:
    """Close it once; after a release the same storm is not held again for as long as it was allowed to last."""
    lasting = gate.until - gate.opened_at
    quiet_until = at + 4 * lasting if state != StormGate.State.PASSED else None
    changed = StormGate.objects.filter(pk=gate.pk, state=StormGate.State.OPEN).update(
        state=state, closed_at=at, closed_by_id=actor.user_id if actor else None, reason=reason[:400],
        quiet_until=quiet_until,
    )  # fmt: skip
    if changed:
        watch.clear_alarm(ALARM, str(gate.policy), at=at)
    return bool(changed)


def _storm(snap: Snapshot, called: Sequence[int], sweep: Sweep) -> _Storm:
    """Of the accounts to be called: how many there are, and which instrument's move hurt most of them."""
    rows = np.flatnonzero(np.isin(snap.book.accounts, np.array(called, np.int64)))
    governed = int((snap.book.policy == snap.book.policy[rows[0]]).sum())
    moved = _moves(snap, sweep.previous)
    worst = Counter(one for row in rows if (one := _worst(snap, int(row), moved)) is not None)
    if not worst:
        return _Storm(governed, tuple(called))
    (instrument_id, explained), *_ = worst.most_common(1)
    return _Storm(governed, tuple(called), instrument_id, explained)


def _moves(snap: Snapshot, previous: Sweep | None) -> np.ndarray:
    """By row of Instruments: how far its price moved since the sweep before, as a number good enough to compare."""
    before = prices.of(previous).prices if previous else {}
    moved = np.zeros(len(snap.instruments.ids))
    for row, instrument_id in enumerate(snap.instruments.ids.tolist()):
        old, new = before.get(instrument_id), snap.prices.prices.get(instrument_id)
        if old and new and old.mark is not None and new.mark is not None:
            moved[row] = float(new.mark - old.mark)
    return moved


def _worst(snap: Snapshot, row: int, moved: np.ndarray) -> int | None:
    """The instrument whose move cost the account most; None where none did."""
    held = slice(int(snap.book.offsets[row]), int(snap.book.offsets[row + 1]))
    instruments = snap.book.instrument[held]
    quantity = snap.book.quantity[held] / 10.0 ** snap.book.decimals[held]
    cost = quantity * moved[instruments]
    return int(snap.instruments.ids[instruments[cost.argmin()]]) if len(cost) and cost.min() < 0 else None


def _issues(rulings: Sequence[Ruling]) -> list[Ruling]:
    return [one for one in rulings if any(decision.verb == Verb.ISSUE for decision in one[1])]


def _without_issues(decided: Decided) -> Decided:
    """The decisions without new calls, nor what would have followed one at once."""
    figures, reading, rulings = decided
    kept = [one for one in rulings if not any(decision.verb == Verb.ISSUE for decision in one[1])]
    return figures, reading, kept
