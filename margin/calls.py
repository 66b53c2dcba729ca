"""THE DOOR. A margin call changes here and nowhere else, and the database refuses any other way.

Every public verb is a list of one. `carry_out` takes up to 500 moves and, in one transaction, locks their accounts
in order, appends one event per move to the account's chain and moves the call rows. A move that lost a race or no
longer fits is reported, never half done.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from margin import chain, confidence, history_keys, locked, rows
from margin.actors import CLIENT, Actor
from margin.models import MarginCall
from margin.workflow import AFTER_THE_END, TRANSITIONS, WITHOUT_CALL, Cause, Resolution, State, Verb

LARGEST_BATCH = 500
LONGEST_REASON = 700  # bytes: encrypted they are a thousand, and an event holds 2,048 in all


class CallError(Exception):
    """Base of the door's refusals; the message says what happened and what to do."""


class StaleCall(CallError):
    """The call or its account moved on since it was read."""


class IllegalMove(CallError):
    """The call's state does not allow the move."""


class Refused(CallError):
    """The person or the reason is not enough for the move."""


@dataclass(frozen=True)
class Move:
    """One step asked of the door. `seq` and `revision`, where given, must still be current.

    A call is named by `call_id`, or, for one that a move before it issues, by its account, regime and key.
    """

    verb: Verb
    account_id: int
    regime: str = ""
    deficiency_key: str = ""
    call_id: int | None = None
    seq: int | None = None
    revision: int | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    cure: dict[str, Any] = field(default_factory=dict)
    """Columns of the cure that the move brings into being, or of the one whose `id` it names."""


@dataclass(frozen=True)
class Outcome:
    """What became of a move: the event it left, or why it was refused."""

    move: Move
    event_id: int | None = None
    seq: int | None = None
    call_id: int | None = None
    error: CallError | None = None

    @property
    def is_done(self) -> bool:
        return self.error is None


# --- public verbs: lists of one ---------------------------------------------------------------------------


def notified(call_ids: Sequence[int], *, at: datetime, actor: Actor) -> list[Outcome]:
    """Record the first provable attempt to tell the client about each call (settled.md 27)."""
    calls = MarginCall.objects.open().filter(pk__in=call_ids, notified_at=None)
    moves = [_move(Verb.NOTIFIED, call, changes={"notified_at": at}) for call in calls]
    return carry_out(moves, at=at, actor=actor)


def meet(
    call: MarginCall, *, how: Resolution, at: datetime, actor: Actor, reason: str = "", seq: int | None = None
) -> MarginCall:
    """Close the call as met. A person may confirm it only once nothing beyond the tolerance is outstanding."""
    require(actor, Verb.MEET)
    if not actor.is_system and call.amount_outstanding > call.tolerance:
        raise Refused(
            f"{call} still has {call.amount_outstanding} {call.currency} outstanding; record the payment first"
        )
    return _one(_move(Verb.MEET, call, seq=seq, changes={"resolution": how}, reason=reason), at=at, actor=actor)


def escalate(
    call: MarginCall, *, cause: Cause, at: datetime, actor: Actor, reason: str = "", seq: int | None = None
) -> MarginCall:
    """Escalate an issued call. A person gives a reason and is a Supervisor or Risk."""
    if not actor.is_system:
        require_reason(actor, Verb.ESCALATE, reason)
        cause = Cause.PERSON
    move = _move(Verb.ESCALATE, call, seq=seq, changes={"escalation_cause": cause}, reason=reason)
    return _one(move, at=at, actor=actor)


def liquidate(call: MarginCall, *, residual: Decimal, at: datetime, actor: Actor, reason: str = "") -> MarginCall:
    """Close an escalated call after the fills of an approved plan (the database checks that there are some)."""
    changes = {"amount_outstanding": residual}
    move = _move(Verb.LIQUIDATE, call, changes=changes, reason=reason, details={"residual": chain.text(residual)})
    return _one(move, at=at, actor=actor)


def note(call: MarginCall, *, text: str, at: datetime, actor: Actor) -> MarginCall:
    """Add a note to the call's history; also to a closed call."""
    require_reason(actor, Verb.NOTE, text)
    return _one(_move(Verb.NOTE, call, reason=text), at=at, actor=actor)


def tell(
    account_id: int, *, verb: Verb, details: dict[str, Any], at: datetime, actor: Actor, reason: str = ""
) -> Outcome:
    """Leave an event about an account without a call; its module writes the row beside it in the same transaction."""
    if verb not in WITHOUT_CALL:
        raise ValueError(f"{verb} is about a call")
    return _done(Move(verb=verb, account_id=account_id, details=details, reason=reason), at, actor)


def record(
    call: MarginCall, *, verb: Verb, details: dict[str, Any], at: datetime, actor: Actor, reason: str = ""
) -> MarginCall:
    """Leave an event of a plan (proposed, approved, rejected, filled) on its call; the call's figures stay."""
    return _one(_move(verb, call, reason=reason, details=details), at=at, actor=actor)


def retraction_asked_by(call: MarginCall) -> str | None:
    """Who asks to retract this open call, or None."""
    asked = call.requests.filter(kind="retraction", state="open").select_related("asked_by").first()
    return None if asked is None or asked.asked_by is None else asked.asked_by.get_username()


# --- what a person may do ---------------------------------------------------------------------------------


STAFF = ("Operations", "Supervisor", "Risk", "Compliance")
MAKERS = ("Operations", "Supervisor")
CHECKERS = ("Supervisor", "Risk")
MAY: dict[Verb, tuple[str, ...]] = {
    Verb.NOTE: STAFF,
    Verb.CONTACT: STAFF,
    Verb.OPEN_TASK: STAFF,
    Verb.CLOSE_TASK: STAFF,
    Verb.MEET: MAKERS,
    Verb.ESCALATE: CHECKERS,
    Verb.CLAIM: (*MAKERS, CLIENT),
    Verb.CHECK: MAKERS,
    Verb.PLEDGE: MAKERS,
    Verb.MOVE_CURE: MAKERS,
    Verb.DISPUTE: (*MAKERS, "Compliance", CLIENT),
    Verb.DECIDE: ("Supervisor", "Compliance"),
    Verb.REQUEST_EXTENSION: MAKERS,
    Verb.WITHDRAW_EXTENSION: MAKERS,
    Verb.EXTEND: ("Supervisor",),
    Verb.DENY_EXTENSION: ("Supervisor",),
    Verb.REQUEST_HOLD: MAKERS,
    Verb.HOLD: CHECKERS,
    Verb.DENY_HOLD: CHECKERS,
    Verb.RELEASE: CHECKERS,
    Verb.PROPOSE_ACCELERATION: CHECKERS,
    Verb.ACCELERATE: CHECKERS,
    Verb.DENY_ACCELERATION: CHECKERS,
    Verb.PROPOSE_CANCEL: MAKERS,
    Verb.CANCEL: ("Supervisor", "Compliance"),
    Verb.DROP_CANCEL: ("Supervisor", "Compliance"),
    Verb.PROPOSE_ISSUE: MAKERS,
    Verb.ISSUE: CHECKERS,
    Verb.DENY_ISSUE: CHECKERS,
    Verb.PLACE_LEGAL_HOLD: ("Compliance",),
    Verb.LIFT_LEGAL_HOLD: ("Compliance",),
    Verb.ERASE: ("Supervisor", "Compliance"),
    Verb.PROPOSE: MAKERS,
    Verb.APPROVE: CHECKERS,
    Verb.REJECT: CHECKERS,
    Verb.RELEASE_PLAN: CHECKERS,
    Verb.CALL_OFF: STAFF,
    Verb.FILL: MAKERS,
}


def require(actor: Actor, verb: Verb) -> None:
    """Raise Refused unless the actor's role may do this (the system may)."""
    if not actor.is_system and actor.role not in MAY[verb]:
        raise Refused(f"{actor.name} ({actor.role or 'no role'}) may not do this; it takes {' or '.join(MAY[verb])}")


def require_reason(actor: Actor, verb: Verb, reason: str) -> None:
    """As `require`, and a person says why, in few enough words for an event."""
    require(actor, verb)
    if len(reason.encode()) > LONGEST_REASON:
        raise Refused(f"the reason is {len(reason.encode())} bytes long; say it in at most {LONGEST_REASON}")
    if not actor.is_system and not reason.strip():
        raise Refused("a reason is needed: it is kept in the history")


def to_keep(words: str, *, client_id: int, actor: Actor) -> str:
    """What somebody says of a client, as a row beside the history keeps it (`confidence.WordsField`); the system's own
    sentences stay as they are. Raises Refused where the client was erased or the keys are missing."""
    if actor.is_system or not words or not confidence.is_kept():
        return words
    try:
        return confidence.sealed(client_id, words)
    except (confidence.Erased, history_keys.KeysMissing) as error:
        raise Refused(str(error)) from None


# --- the one way through ----------------------------------------------------------------------------------


def make(move: Move, *, at: datetime, actor: Actor) -> int:
    """Carry out one move; the seq of its event. Raises what refused it."""
    return _done(move, at, actor).seq or 0


def _done(move: Move, at: datetime, actor: Actor) -> Outcome:
    outcome = carry_out([move], at=at, actor=actor)[0]
    if outcome.error is not None:
        raise outcome.error
    return outcome


def carry_out(moves: Iterable[Move], *, at: datetime, actor: Actor) -> list[Outcome]:
    """Carry out at most 500 moves in one transaction; outcomes come in the order of the moves.

    A move that is stale, illegal or lost to another is refused on its own and leaves nothing behind. Any other
    error undoes all of them. `at` is raised to the last event of an account's chain where that is later.
    """
    asked = list(moves)
    if len(asked) > LARGEST_BATCH:
        raise ValueError(f"{len(asked)} moves at once; the door takes {LARGEST_BATCH}")
    if not asked:
        return []
    try:
        return chain.in_transaction(lambda: _carry_out(asked, at=at, actor=actor), is_patient=actor.is_system)
    except (confidence.Erased, history_keys.KeysMissing) as error:
        raise Refused(str(error)) from None


def _carry_out(moves: list[Move], *, at: datetime, actor: Actor) -> list[Outcome]:
    heads = chain.lock({move.account_id for move in moves})
    revisions = _revisions(moves)
    known = _current_calls(moves)
    members = _members(moves)
    outcomes: dict[int, Outcome] = {}
    waiting = list(enumerate(moves))
    while waiting:
        wave, waiting = _one_per_account(waiting)
        outcomes.update(
            _carry_wave(wave, heads=heads, known=known, revisions=revisions, members=members, at=at, actor=actor)
        )
    return [outcomes[index] for index in range(len(moves))]


def _one_per_account(waiting: list[tuple[int, Move]]) -> tuple[list[tuple[int, Move]], list[tuple[int, Move]]]:
    """Split off the first move of each account: within a wave every chain grows by at most one event."""
    seen: set[int] = set()
    wave: list[tuple[int, Move]] = []
    rest: list[tuple[int, Move]] = []
    for index, move in waiting:
        (rest if move.account_id in seen else wave).append((index, move))
        seen.add(move.account_id)
    return wave, rest


def _carry_wave(
    wave: list[tuple[int, Move]],
    *,
    heads: dict[int, chain.Head],
    known: dict[Any, MarginCall],
    revisions: dict[int, int],
    members: set[int],
    at: datetime,
    actor: Actor,
) -> dict[int, Outcome]:
    outcomes: dict[int, Outcome] = {}
    steps: list[rows.Step] = []
    for index, move in wave:
        head = heads[move.account_id]
        try:
            if move.verb == Verb.ISSUE and move.account_id in members:
                raise StaleCall(f"account {move.account_id} is margined with another, on which calls are issued")
            before = _call_of(move, known, revisions)
            event_at = max(at, head.at) if head.at else at
            steps.append(rows.step(index, move, before, seq=head.seq + 1, at=event_at))
        except CallError as error:
            outcomes[index] = Outcome(move, error=error)
    events = rows.write(steps, actor)
    for step in steps:
        if step.index not in events:
            lost = StaleCall(f"account {step.move.account_id} already has this; nothing was changed")
            outcomes[step.index] = Outcome(step.move, error=lost)
            continue
        event_id, seq = events[step.index]
        heads[step.move.account_id] = chain.Head(step.move.account_id, seq, step.at)
        if step.after is not None:
            _remember(known, step.after)
        outcomes[step.index] = Outcome(step.move, event_id, seq, step.after.pk if step.after else None)
    return outcomes


def _call_of(move: Move, known: dict[Any, MarginCall], revisions: dict[int, int]) -> MarginCall | None:
    """The call row the move is about, as it stands under the lock. Raises StaleCall or IllegalMove."""
    if move.revision is not None and revisions.get(move.account_id, 0) != move.revision:
        raise StaleCall(f"account {move.account_id} changed since it was assessed; it is assessed again next sweep")
    if move.verb in WITHOUT_CALL:
        return None
    named = known.get((move.account_id, move.regime, move.deficiency_key))
    if move.verb == Verb.ISSUE:
        if named is not None and named.is_open:
            raise StaleCall(f"account {move.account_id} already has the open {move.regime} call {named}")
        return None
    call = named if move.call_id is None else known.get(move.call_id)
    if call is None or call.account_id != move.account_id:
        raise IllegalMove(f"call {move.call_id or move.regime} does not belong to account {move.account_id}")
    if move.seq is not None and move.seq != call.seq:
        raise StaleCall(f"{call} moved on (seq {call.seq}); reload and decide again")
    after = rows.STATE_AFTER.get(move.verb)
    is_allowed = call.is_open if after is None else after in TRANSITIONS[State(call.state)]
    if not is_allowed and move.verb not in AFTER_THE_END:
        raise IllegalMove(f"{call} is {call.state}; it cannot be {move.verb.value.split('.')[1].replace('_', ' ')} now")
    return call


def _revisions(moves: list[Move]) -> dict[int, int]:
    return locked.revisions({move.account_id for move in moves if move.revision is not None})


def _members(moves: list[Move]) -> set[int]:
    """Accounts to be called that are margined with another."""
    return locked.members({move.account_id for move in moves if move.verb == Verb.ISSUE})


def _current_calls(moves: list[Move]) -> dict[Any, MarginCall]:
    """Calls named by the moves, by id, and the open calls of accounts to be called, by uniqueness key."""
    known: dict[Any, MarginCall] = {}
    issuing = {move.account_id for move in moves if move.verb == Verb.ISSUE}
    for call in locked.calls({move.call_id for move in moves if move.call_id is not None}, open_of=issuing):
        _remember(known, call)
    return known


def _remember(known: dict[Any, MarginCall], call: MarginCall) -> None:
    key = (call.account_id, call.regime, call.deficiency_key)
    holder = known.get(key)
    known[call.pk] = call
    if call.is_open or holder is None or holder.pk == call.pk:
        known[key] = call


def _move(verb: Verb, call: MarginCall, **options: Any) -> Move:
    return Move(verb=verb, account_id=call.account_id, call_id=call.pk, **options)


def _one(move: Move, *, at: datetime, actor: Actor) -> MarginCall:
    return MarginCall.objects.get(pk=_done(move, at, actor).call_id or 0)
