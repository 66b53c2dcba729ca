"""What a granted request does: the move that changes the call, or the call it makes (`margin.requests`)."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from accounts.models import Account
from margin import calls, policies, reasons
from margin.actors import Actor
from margin.calls import IllegalMove, Move, Refused
from margin.decisions import Clockwork
from margin.models import MarginCall, PlanFill, Request
from margin.workflow import State, Verb

Kind = Request.Kind
VERBS = {
    Kind.EXTENSION: Verb.EXTEND,
    Kind.HOLD: Verb.HOLD,
    Kind.ACCELERATION: Verb.ACCELERATE,
    Kind.RETRACTION: Verb.CANCEL,
    Kind.ISSUE: Verb.ISSUE,
}


def move(request: Request, at: datetime, actor: Actor, reason: str, external_reference: str) -> Move:
    """The move that a yes makes."""
    call = request.call
    if call is None:
        raise IllegalMove(f"{request} is about no call")
    changes = {
        Kind.EXTENSION: _later,
        Kind.ACCELERATION: _earlier,
        Kind.HOLD: _held,
        Kind.RETRACTION: _unsold,
    }[Kind(request.kind)](request, call, at)
    details = {"asked_by": asker(request), "request": request.pk, "reason_code": request.reason_code}
    if request.kind == Kind.RETRACTION:
        details["proposed_by"] = asker(request)
    if external_reference or request.external_reference:
        details["external_reference"] = external_reference or request.external_reference
    verb = VERBS[Kind(request.kind)]
    return Move(
        verb, call.account_id, call_id=call.pk, changes=changes, reason=reason or request.reason, details=details
    )


def _until(request: Request) -> datetime:
    if request.until is None:
        raise IllegalMove(f"{request} names no instant")
    return request.until


def _later(request: Request, call: MarginCall, at: datetime) -> dict[str, Any]:
    if call.state != State.ISSUED:
        raise IllegalMove(f"{call} is {call.state}; only an issued call is extended")
    if _until(request) <= max(at, call.due_at):
        raise IllegalMove(f"{_until(request):%Y-%m-%d %H:%M} UTC is not later than now and than the deadline of {call}")
    basis = f"extended from {call.due_at:%Y-%m-%d %H:%M} UTC: {reasons.EXTENSION[request.reason_code]}"
    return {"due_at": request.until, "due_basis": basis[:200]}


def _earlier(request: Request, call: MarginCall, at: datetime) -> dict[str, Any]:
    if not at < _until(request) < call.due_at:
        raise IllegalMove(f"{_until(request):%Y-%m-%d %H:%M} UTC is no longer between now and the deadline of {call}")
    basis = f"brought forward from {call.due_at:%Y-%m-%d %H:%M} UTC"  # why is in the request: words can be erased there
    changes: dict[str, Any] = {"due_at": request.until, "due_basis": basis}
    if not request.terms.get("is_emergency"):
        changes["notified_at"] = None  # the new deadline counts once the client was told of it
    return changes


def _held(request: Request, call: MarginCall, at: datetime) -> dict[str, Any]:
    if _until(request) <= at:
        raise IllegalMove(f"the hold would have ended at {_until(request):%Y-%m-%d %H:%M} UTC")
    return {"held_until": request.until}


def _unsold(request: Request, call: MarginCall, at: datetime) -> dict[str, Any]:
    check_unsold(call)
    return {}


def issue(account: Account, regime: str, amount: Decimal, reason: str, at: datetime, actor: Actor) -> MarginCall:
    move = Move(
        Verb.ISSUE, account.pk, regime=regime, changes=new_call(account, regime, amount, at), reason=reason,
        details={"by_hand": True},
    )  # fmt: skip
    return MarginCall.objects.get(account=account, seq=calls.make(move, at=at, actor=actor))


def new_call(account: Account, regime: str, amount: Decimal, at: datetime) -> dict[str, Any]:
    """The columns of a call by hand, under the policy in force. Refused where the policy has no such regime."""
    reading = policies.governing(account, at)
    if regime not in reading.clocks:
        raise Refused(f"policy {reading.policy.code} has no regime {regime!r}; it has {', '.join(reading.clocks)}")
    if amount <= 0:
        raise Refused(f"{amount} is not an amount that can be called")
    terms = reading.terms.regime(regime)
    deadline = Clockwork().due(reading.clocks[regime], at=at)
    return {
        "policy_version_id": reading.version_id,
        "currency": account.base_currency,
        "amount_called": amount,
        "amount_outstanding": amount,
        "tolerance": terms.tolerance,
        "market_cures": False,  # whoever made it knows what no sweep sees
        "due_at": deadline.at,
        "original_due_at": deadline.at,
        "due_basis": deadline.basis[:200],
    }


def asker(request: Request) -> str:
    return request.asked_by.get_username() if request.asked_by else "system"


def check_unsold(call: MarginCall) -> None:
    if PlanFill.objects.filter(line__plan__call=call).exists():
        raise IllegalMove(f"{call} has fills of a liquidation; it cannot be retracted, only put right")
