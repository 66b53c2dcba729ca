"""Rights that an account lost: placed and lifted through the account's history, each with its cause and its end.

    restrictions.place(account, effect=Effect.CLOSING_ONLY, reason="…", ends_at=…, at=at, actor=actor)

A person's own restriction is lifted by a person; what a call, a strike or a rule placed, and what lasts 90 days, ends
early only by a waiver of two people (`strikes.waive`). What calls and strikes cause is settled by `consequences`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from accounts.models import Account
from margin import calls, chain
from margin.actors import Actor
from margin.calls import Refused
from margin.models import Event, Restriction
from margin.restriction_terms import Effect
from margin.workflow import Verb

PERSON = "person"
LONGEST_REASON = 400
PLACERS = ("Supervisor", "Risk", "Compliance")
COLUMNS = ("effect", "origin", "source", "call_id", "starts_at", "ends_at", "placed_by", "lifted_at", "lifted_by")


@dataclass(frozen=True)
class Placement:
    """A restriction to come. `source` names its cause: one of its kind at a time."""

    account_id: int
    effect: str
    origin: str
    source: str
    reason: str
    ends_at: datetime | None = None
    call_id: int | None = None

    @property
    def key(self) -> tuple[int, str, str]:
        return (self.account_id, self.effect, self.source)


@dataclass(frozen=True)
class Lift:
    """A restriction to end, and why."""

    restriction: Restriction
    reason: str


def in_force(account: Account, *, at: datetime) -> list[Restriction]:
    """What binds the account at `at`: its own, and those of the account that it is margined with."""
    bound = [pk for pk in (account.pk, account.margined_with_id) if pk is not None]
    return list(Restriction.objects.in_force(at).filter(account__in=bound).order_by("starts_at", "pk"))


# --- by people --------------------------------------------------------------------------------------


def place(
    account: Account, *, effect: Effect, reason: str, at: datetime, actor: Actor, ends_at: datetime | None = None
) -> Restriction:
    """Place a restriction by hand: Supervisor, Risk or Compliance, with a reason. Raises Refused."""
    _require(actor, reason)
    if ends_at is not None and ends_at <= at:
        raise Refused(f"{ends_at:%Y-%m-%d %H:%M} UTC is past; a restriction ends later than it starts")
    wanted = Placement(account.pk, Effect(effect).value, Restriction.Origin.PERSON.value, PERSON, reason, ends_at)
    return chain.in_transaction(lambda: _place_one(wanted, account, at, actor))


def _place_one(wanted: Placement, account: Account, at: datetime, actor: Actor) -> Restriction:
    chain.lock([account.pk])
    unlifted = Restriction.objects.unlifted().filter(account=account, effect=wanted.effect, source=wanted.source)
    standing = unlifted.first()
    lifts = []
    if standing is not None:
        if standing.ends_at is None or standing.ends_at > at:
            raise Refused(f"{account} is already under {standing.get_effect_display()} since {standing.starts_at:%F}")
        lifts.append(Lift(standing, "expired"))
    made = write([wanted], lifts, at=at, actor=actor)[0]
    return Restriction.objects.get(pk=made.pk)


def lift(restriction: Restriction, *, reason: str, at: datetime, actor: Actor) -> Restriction:
    """Lift a person's restriction before its end. Raises Refused where that takes two people, or it is lifted."""
    _require(actor, reason)
    if restriction.takes_two_to_lift:
        raise Refused(
            f"{restriction} was placed by {restriction.get_origin_display()} and holds by rule or for 90 days or "
            "more; ending it early takes a waiver of two people"
        )
    return chain.in_transaction(lambda: _lift_one(restriction, reason, at, actor))


def _lift_one(restriction: Restriction, reason: str, at: datetime, actor: Actor) -> Restriction:
    write([], [Lift(locked(restriction), reason)], at=at, actor=actor)
    return Restriction.objects.get(pk=restriction.pk)


def locked(restriction: Restriction) -> Restriction:
    """The restriction under its account's lock, still in place. Raises StaleCall if it was lifted meanwhile."""
    chain.lock([restriction.account_id])
    current = Restriction.objects.select_related("account").get(pk=restriction.pk)
    if current.lifted_at is not None:
        raise calls.StaleCall(f"{current} was lifted by {current.lifted_by}; nothing is left to lift")
    return current


def _require(actor: Actor, reason: str) -> None:
    if actor.role not in PLACERS:
        raise Refused(f"{actor.name} ({actor.role or 'no role'}) may not do this; it takes {' or '.join(PLACERS)}")
    check_reason(reason)


def check_reason(reason: str) -> None:
    """Refused unless something is said, in at most 400 characters, and few enough bytes for an event."""
    if not reason.strip() or len(reason) > LONGEST_REASON or len(reason.encode()) > calls.LONGEST_REASON:
        raise Refused(f"a reason of at most {LONGEST_REASON} characters is needed: it is kept in the history")


# --- events and rows --------------------------------------------------------------------------------


def write(placements: Sequence[Placement], lifts: Sequence[Lift], *, at: datetime, actor: Actor) -> list[Restriction]:
    """Place and lift in the caller's transaction: for each its event, then its row. Lifts come first.

    The caller holds the chains' locks and has seen that each step fits; the rows say what the events say.
    """
    ids = {one.account_id for one in placements} | {one.restriction.account_id for one in lifts}
    heads = chain.lock(ids)
    clients = {} if actor.is_system else dict(Account.objects.filter(pk__in=ids).values_list("pk", "client_id"))

    def kept(words: str, account_id: int) -> str:
        return calls.to_keep(words, client_id=clients.get(account_id, 0), actor=actor)

    lifts = [replace(one, reason=kept(one.reason, one.restriction.account_id)) for one in lifts]
    placements = [replace(one, reason=kept(one.reason, one.account_id)) for one in placements]
    instants = {pk: max(at, head.at) if head.at else at for pk, head in heads.items()}
    moves = [_lift_move(one) for one in lifts] + [_place_move(one) for one in placements]
    seqs = [seq for batch in _batches(moves) for seq in _carried(batch, at, actor)]
    for one, seq in zip(lifts, seqs, strict=False):
        row = one.restriction
        row.lifted_at, row.lifted_by = instants[row.account_id], actor.name
        row.lift_reason, row.seq = one.reason, seq
        row.save(update_fields=["lifted_at", "lifted_by", "lift_reason", "seq"])
    made = [
        _row(one, instants[one.account_id], seq, actor) for one, seq in zip(placements, seqs[len(lifts) :], strict=True)
    ]
    return Restriction.objects.bulk_create(made)


def _batches(moves: list[calls.Move]) -> Iterable[list[calls.Move]]:
    return (moves[start : start + calls.LARGEST_BATCH] for start in range(0, len(moves), calls.LARGEST_BATCH))


def _carried(moves: list[calls.Move], at: datetime, actor: Actor) -> list[int]:
    """The seqs of the moves' events; the first refusal undoes all."""
    seqs = []
    for outcome in calls.carry_out(moves, at=at, actor=actor):
        if outcome.error is not None:
            raise outcome.error
        seqs.append(outcome.seq or 0)
    return seqs


def _place_move(one: Placement) -> calls.Move:
    said: dict[str, Any] = {"effect": one.effect, "origin": one.origin, "source": one.source}
    optional = {"ends_at": chain.text(one.ends_at), "call": one.call_id}
    said |= {name: value for name, value in optional.items() if value is not None}
    return calls.Move(verb=Verb.RESTRICT, account_id=one.account_id, reason=one.reason, details=said)


def _lift_move(one: Lift) -> calls.Move:
    row = one.restriction
    said = {"placed": row.placed_seq, "effect": row.effect, "source": row.source}
    return calls.Move(verb=Verb.LIFT, account_id=row.account_id, reason=one.reason, details=said)


def _row(one: Placement, starts_at: datetime, seq: int, actor: Actor) -> Restriction:
    return Restriction(
        account_id=one.account_id,
        effect=one.effect,
        origin=one.origin,
        source=one.source,
        call_id=one.call_id,
        starts_at=starts_at,
        ends_at=one.ends_at,
        reason=one.reason,
        placed_by=actor.name,
        placed_seq=seq,
        seq=seq,
    )


# --- from the history alone -------------------------------------------------------------------------


def rebuilt(account: Account) -> dict[int, dict[str, Any]]:
    """The register of an account as its events alone tell it: by the seq that placed a restriction, its columns."""
    found: dict[int, dict[str, Any]] = {}
    told = Event.objects.filter(account=account, kind__in=[Verb.RESTRICT.value, Verb.LIFT.value]).order_by("seq")
    for event in told:
        body = json.loads(event.body)
        said = body["details"]
        if event.kind == Verb.RESTRICT:
            ends = said.get("ends_at")
            found[event.seq] = {
                "effect": said["effect"],
                "origin": said["origin"],
                "source": said["source"],
                "call_id": said.get("call"),
                "starts_at": event.at,
                "ends_at": datetime.fromisoformat(ends) if ends else None,
                "placed_by": body["actor"],
                "lifted_at": None,
                "lifted_by": "",
            }
        else:
            found[said["placed"]] |= {"lifted_at": event.at, "lifted_by": body["actor"]}
    return found


def register(account: Account) -> dict[int, dict[str, Any]]:
    """The stored register in the form of `rebuilt`: the two are equal."""
    rows = Restriction.objects.filter(account=account).order_by("placed_seq")
    return {row.placed_seq: {column: getattr(row, column) for column in COLUMNS} for row in rows}
