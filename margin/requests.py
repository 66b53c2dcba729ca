"""What one person asks and another decides: more time, less time, a hold, a retraction, a call by hand.

Each request leaves an event when it is asked and one when it is decided, in the transaction that writes its row. The
database refuses a decision by whoever asked.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from accounts.models import Account
from margin import calls, chain, grants, policies, policy_terms, reasons
from margin.actors import Actor
from margin.calls import IllegalMove, Move, Refused
from margin.models import MarginCall, Request
from margin.workflow import State, Verb

Kind = Request.Kind
BROKER, AUTHORITY, NOBODY = "broker", "examining_authority", "none"
GRANTED = grants.VERBS
DENIED = {
    Kind.EXTENSION: Verb.DENY_EXTENSION,
    Kind.HOLD: Verb.DENY_HOLD,
    Kind.ACCELERATION: Verb.DENY_ACCELERATION,
    Kind.RETRACTION: Verb.DROP_CANCEL,
    Kind.ISSUE: Verb.DENY_ISSUE,
}


# --- asking -----------------------------------------------------------------------------------------------


def ask_extension(
    call: MarginCall,
    *,
    until: datetime,
    reason_code: str,
    reason: str,
    at: datetime,
    actor: Actor,
    external_reference: str = "",
    seq: int | None = None,
) -> Request:
    """Ask for a later deadline, before the present one passes (workflow.md T9).

    Where the examining authority extends (Regulation T), its grant is recorded when it comes: here it is filed.
    """
    calls.require_reason(actor, Verb.REQUEST_EXTENSION, reason)
    _coded(reason_code, reasons.EXTENSION)
    clock = _clock(call)
    granted = call.requests.filter(kind=Kind.EXTENSION, state=Request.State.GRANTED).count()
    if clock.extension_authority == NOBODY:
        raise Refused(f"a {call.get_regime_display()} call is never extended")
    if granted >= clock.most_extensions:
        raise Refused(f"{call} was extended {granted} time(s) already, the most that its policy allows")
    if call.state != State.ISSUED or at >= call.due_at:
        raise IllegalMove(f"{call} was due at {call.due_at:%Y-%m-%d %H:%M} UTC; an extension is filed before that")
    if until <= call.due_at:
        raise Refused(f"{until:%Y-%m-%d %H:%M} UTC is no later than the deadline of {call}")
    columns = {"until": until, "before": call.due_at, "external_reference": external_reference}
    return _ask([call], Kind.EXTENSION, Verb.REQUEST_EXTENSION, columns, reason_code, reason, at, actor, seq)[0]


def ask_hold(
    call: MarginCall,
    *,
    until: datetime,
    reason: str,
    at: datetime,
    actor: Actor,
    reason_code: str = "other",
    seq: int | None = None,
) -> Request:
    """Ask that nothing happens to the call by itself until an instant. A hold always ends, and who asked for the last
    one cannot ask for the next."""
    calls.require_reason(actor, Verb.REQUEST_HOLD, reason)
    _coded(reason_code, reasons.HOLD)
    longest = timedelta(minutes=_terms(call).hold_minutes)
    if not at < until <= at + longest:
        raise Refused(f"a hold ends within {longest}, not at {until:%Y-%m-%d %H:%M} UTC")
    last = call.requests.filter(kind=Kind.HOLD, state=Request.State.GRANTED).order_by("-id").first()
    if last is not None and last.asked_by_id == actor.user_id:
        raise Refused(f"{actor.name} asked for the last hold of {call}; another person must ask for the next")
    return _ask([call], Kind.HOLD, Verb.REQUEST_HOLD, {"until": until}, reason_code, reason, at, actor, seq)[0]


def ask_acceleration(
    call: MarginCall,
    *,
    due_at: datetime,
    reason: str,
    at: datetime,
    actor: Actor,
    reason_code: str = "other",
    is_emergency: bool = False,
    seq: int | None = None,
) -> Request:
    """Ask for an earlier deadline (workflow.md T10). The client is told anew before the deadline counts, unless it is
    an emergency."""
    calls.require_reason(actor, Verb.PROPOSE_ACCELERATION, reason)
    _coded(reason_code, reasons.ACCELERATION)
    if not _clock(call).may_be_accelerated:
        raise Refused(f"the deadline of a {call.get_regime_display()} call is never brought forward")
    if not at < due_at < call.due_at:
        raise Refused(f"{due_at:%Y-%m-%d %H:%M} UTC is not between now and the deadline of {call}")
    columns = {"until": due_at, "before": call.due_at, "terms": {"is_emergency": is_emergency}}
    return _ask([call], Kind.ACCELERATION, Verb.PROPOSE_ACCELERATION, columns, reason_code, reason, at, actor, seq)[0]


def ask_retraction(
    listed: Sequence[MarginCall],
    *,
    reason_code: str,
    reason: str,
    at: datetime,
    actor: Actor,
    seq: int | None = None,
) -> list[Request]:
    """Ask that calls that should not have been made be retracted: one proposal, one event per call (settled.md 29)."""
    calls.require_reason(actor, Verb.PROPOSE_CANCEL, reason)
    _coded(reason_code, reasons.RETRACTION)
    batch = {"batch": uuid.uuid4()} if len(listed) > 1 else {}
    for call in listed:
        grants.check_unsold(call)
    return _ask(listed, Kind.RETRACTION, Verb.PROPOSE_CANCEL, batch, reason_code, reason, at, actor, seq)


def ask_issue(account: Account, *, regime: str, amount: Decimal, reason: str, at: datetime, actor: Actor) -> Request:
    """Ask for a call that no sweep made; another person issues it."""
    calls.require_reason(actor, Verb.PROPOSE_ISSUE, reason)
    grants.new_call(account, regime, amount, at)  # what could not be issued is not asked
    asked = {"regime": regime, "amount": chain.text(amount)}

    def work() -> Request:
        told = calls.tell(account.pk, verb=Verb.PROPOSE_ISSUE, details=asked, reason=reason, at=at, actor=actor)
        return Request.objects.create(
            account=account,
            kind=Kind.ISSUE,
            terms=asked,
            reason=reason,
            asked_by_id=actor.user_id,
            asked_at=at,
            seq=told.seq or 0,
        )

    return chain.in_transaction(work)


def issue(account: Account, *, regime: str, amount: Decimal, reason: str, at: datetime, actor: Actor) -> MarginCall:
    """Issue a call by hand, up to the amount for which the policy asks no second person."""
    calls.require_reason(actor, Verb.PROPOSE_ISSUE, reason)
    limit = policies.governing(account, at).terms.regime(regime).second_approval_above
    if amount > limit:
        raise Refused(f"a call by hand above {limit} takes a second person: ask for it, and another issues it")
    return grants.issue(account, regime, amount, reason, at, actor)


# --- deciding ---------------------------------------------------------------------------------------------


def grant(request: Request, *, at: datetime, actor: Actor, reason: str = "", external_reference: str = "") -> Request:
    """Say yes, and carry it out in the same transaction."""
    calls.require(actor, GRANTED[Kind(request.kind)])
    extended = request.call if request.kind == Kind.EXTENSION else None
    if extended and _clock(extended).extension_authority == AUTHORITY and not external_reference.strip():
        raise Refused("the examining authority grants this extension; state the reference of its grant")

    def carry_out(current: Request) -> tuple[int, dict[str, Any]]:
        if current.kind == Kind.ISSUE:
            asked = current.terms
            made = grants.issue(current.account, asked["regime"], Decimal(asked["amount"]), reason, at, actor)
            return made.seq, {"call": made}
        return _one(grants.move(current, at, actor, reason, external_reference), at, actor), {}

    return _decide(request, Request.State.GRANTED, carry_out, at, actor, reason, external_reference)


def grant_batch(batch: uuid.UUID, *, at: datetime, actor: Actor, reason: str = "") -> list[Request]:
    """Say yes to every call of one retraction proposal, all or none."""
    listed = list(Request.objects.filter(batch=batch, state=Request.State.OPEN).select_related("call"))
    if not listed:
        raise Refused("nothing of this proposal is open any more")

    def work() -> list[Request]:
        chain.lock(request.account_id for request in listed)
        return [grant(request, at=at, actor=actor, reason=reason) for request in listed]

    return chain.in_transaction(work)


def deny(request: Request, *, reason: str, at: datetime, actor: Actor) -> Request:
    """Say no, with a reason."""
    verb = DENIED[Kind(request.kind)]
    calls.require_reason(actor, verb, reason)
    return _decide(request, Request.State.DENIED, lambda one: _end(one, verb, reason, at, actor), at, actor, reason)


def withdraw(request: Request, *, at: datetime, actor: Actor, reason: str = "withdrawn") -> Request:
    """Take back what oneself asked."""
    if request.asked_by_id != actor.user_id:
        raise Refused(f"only who asked may withdraw: {request.asked_by or 'the system'}")
    is_extension = request.kind == Kind.EXTENSION
    verb = Verb.WITHDRAW_EXTENSION if is_extension else DENIED[Kind(request.kind)]
    return _decide(request, Request.State.WITHDRAWN, lambda one: _end(one, verb, reason, at, actor), at, actor, reason)


def release(call: MarginCall, *, reason: str, at: datetime, actor: Actor, seq: int | None = None) -> MarginCall:
    """End a hold before its time."""
    calls.require_reason(actor, Verb.RELEASE, reason)
    if call.held_until is None or call.held_until <= at:
        raise IllegalMove(f"{call} is not held")
    _one(Move(Verb.RELEASE, call.account_id, call_id=call.pk, seq=seq, reason=reason), at, actor)
    return MarginCall.objects.get(pk=call.pk)


# --- how ----------------------------------------------------------------------------------------------


def _ask(
    listed: Sequence[MarginCall],
    kind: Request.Kind,
    verb: Verb,
    columns: Mapping[str, Any],
    reason_code: str,
    reason: str,
    at: datetime,
    actor: Actor,
    seq: int | None,
) -> list[Request]:
    told = {"until": chain.text(columns.get("until")), "external_reference": columns.get("external_reference")}
    details = {"reason_code": reason_code} | {name: value for name, value in told.items() if value}
    if "batch" in columns:
        details["batch"] = str(columns["batch"])

    def work() -> list[Request]:
        chain.lock(call.account_id for call in listed)
        asked = {
            taken.call_id: taken
            for taken in Request.objects.filter(call__in=listed, kind=kind, state=Request.State.OPEN)
        }
        made = []
        for call in listed:
            if call.pk in asked:
                raise Refused(f"{asked[call.pk]} already; decide about it first")
            move = Move(verb, call.account_id, call_id=call.pk, seq=seq, reason=reason, details=details)
            made.append(
                Request(
                    account_id=call.account_id, call=call, kind=kind, reason_code=reason_code, reason=reason,
                    asked_by_id=actor.user_id, asked_at=at, seq=_one(move, at, actor), **columns,
                )
            )  # fmt: skip
        return Request.objects.bulk_create(made)

    return chain.in_transaction(work)


def _decide(
    request: Request,
    state: Request.State,
    carry_out: Callable[[Request], tuple[int, dict[str, Any]]],
    at: datetime,
    actor: Actor,
    reason: str,
    external_reference: str = "",
) -> Request:
    """Close a request with what its decision does, under the lock of its account's chain: decided once, or not."""
    is_withdrawn = state == Request.State.WITHDRAWN

    def work() -> Request:
        chain.lock([request.account_id])
        current = Request.objects.select_related("call", "account").get(pk=request.pk)
        if not current.is_open:
            raise IllegalMove(f"{current} is {current.state} already")
        if not is_withdrawn and current.asked_by_id == actor.user_id:
            raise Refused(f"{actor.name} asked for it; another person must decide")
        current.seq, more = carry_out(current)
        current.state, current.decided_at, current.decided_by_id = state, at, actor.user_id
        current.decision = reason[:400]
        current.external_reference = external_reference or current.external_reference
        for column, value in more.items():
            setattr(current, column, value)
        current.save()
        return current

    return chain.in_transaction(work)


def _end(request: Request, verb: Verb, reason: str, at: datetime, actor: Actor) -> tuple[int, dict[str, Any]]:
    details = {"asked_by": grants.asker(request), "request": request.pk}
    if request.call_id is None:
        told = calls.tell(request.account_id, verb=verb, details=details, reason=reason, at=at, actor=actor)
        return told.seq or 0, {}
    move = Move(verb, request.account_id, call_id=request.call_id, reason=reason, details=details)
    return _one(move, at, actor), {}


def _one(move: Move, at: datetime, actor: Actor) -> int:
    return calls.make(move, at=at, actor=actor)


def _terms(call: MarginCall) -> policy_terms.RegimeTerms:
    return policies.read(call.policy_version).terms.regime(call.regime)


def _clock(call: MarginCall) -> Any:
    return policies.read(call.policy_version).clocks[call.regime]


def _coded(code: str, known: Mapping[str, str]) -> None:
    if code not in known:
        raise Refused(f"reason {code!r} is not one of {', '.join(known)}")
