"""The client says that a call is wrong: what it disputes, why, whether the clock waits, and what was decided."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from margin import calls, chain, policies, reasons
from margin.actors import Actor
from margin.calls import IllegalMove, Move, Refused
from margin.models import Dispute, MarginCall
from margin.workflow import State, Verb


def dispute(
    call: MarginCall,
    *,
    amount: Decimal,
    reason_code: str,
    reason: str,
    at: datetime,
    actor: Actor,
    opened_by: str = "",
    seq: int | None = None,
) -> Dispute:
    """Record that so much of what is outstanding is disputed. Whether its deadline waits is the policy's to say; what
    is not disputed stays due on time (workflow.md §4)."""
    calls.require(actor, Verb.DISPUTE)
    if reason_code not in reasons.DISPUTE:
        raise Refused(f"reason {reason_code!r} is not one of {', '.join(reasons.DISPUTE)}")
    if not 0 < amount <= call.amount_outstanding:
        raise Refused(f"{amount} is not between 0 and the {call.amount_outstanding} {call.currency} outstanding")
    stops = policies.read(call.policy_version).terms.regime(call.regime).dispute_stops_clock
    is_stopped = stops and call.state == State.ISSUED and at < call.due_at
    changes: dict[str, Any] = {"disputed": amount, "clock_stopped_at": at if is_stopped else None}
    details = {"reason_code": reason_code, "amount": chain.text(amount), "stops_clock": is_stopped}
    move = Move(
        Verb.DISPUTE, call.account_id, call_id=call.pk, seq=seq, changes=changes, reason=reason[:400], details=details
    )

    def work() -> Dispute:
        chain.lock([call.account_id])
        if Dispute.objects.filter(call=call, state=Dispute.State.OPEN).exists():
            raise IllegalMove(f"{call} is disputed already; decide that first")
        told = calls.make(move, at=at, actor=actor)
        return Dispute.objects.create(
            account_id=call.account_id, call=call, reason_code=reason_code, reason=reason[:400], amount=amount,
            stops_clock=is_stopped, opened_by=opened_by or actor.name, opened_at=at, seq=told,
        )  # fmt: skip

    return chain.in_transaction(work)


def decide(
    dispute: Dispute,
    *,
    finding: str,
    reason: str,
    at: datetime,
    actor: Actor,
    granted: Decimal = Decimal(0),
) -> Dispute:
    """Uphold it (the call shrinks by all that was disputed), in part (by `granted`), or reject it.

    A stopped clock goes on: the deadline moves by as long as it stood. What makes the whole call wrong is retracted by
    two people instead. A sweep that still finds the deficit raises the call again: put right what caused it first.
    """
    calls.require_reason(actor, Verb.DECIDE, reason)

    def work() -> Dispute:
        chain.lock([dispute.account_id])
        current = Dispute.objects.select_related("call").get(pk=dispute.pk)
        if current.state != Dispute.State.OPEN:
            raise IllegalMove(f"{current} was decided already: {current.get_state_display()}")
        cut = _granted(current, finding, granted)
        for move in _moves(current, finding, cut, reason, at):
            current.seq = calls.make(move, at=at, actor=actor)
        current.state, current.granted, current.decision = Dispute.State(finding), cut, reason[:400]
        current.decided_at, current.decided_by_id = at, actor.user_id
        current.save()
        return current

    return chain.in_transaction(work)


def _granted(dispute: Dispute, finding: str, granted: Decimal) -> Decimal:
    call = dispute.call
    match finding:
        case "upheld":
            cut = dispute.amount
        case "partly":
            cut = granted
            if not 0 < cut < dispute.amount:
                raise Refused(f"a part of {dispute.amount} is more than 0 and less than all, not {cut}")
        case "rejected":
            cut = Decimal(0)
        case _:
            raise Refused(f"{finding!r} is not one of upheld, partly, rejected")
    if cut >= call.amount_called and call.is_open:
        raise Refused(f"that leaves nothing of {call}: ask for its retraction, which another person decides")
    return cut


def _moves(dispute: Dispute, finding: str, cut: Decimal, reason: str, at: datetime) -> list[Move]:
    """The decision, and the deadline that waited."""
    call: MarginCall = dispute.call
    if not call.is_open:
        told = {"dispute": dispute.pk, "finding": finding, "granted": chain.text(cut)}
        return [Move(Verb.NOTE, call.account_id, call_id=call.pk, reason=reason, details=told)]
    changes: dict[str, Any] = {"disputed": Decimal(0), "clock_stopped_at": None}
    if cut:
        changes["amount_called"] = call.amount_called - cut
        changes["amount_outstanding"] = max(Decimal(0), call.amount_outstanding - cut)
    details = {"dispute": dispute.pk, "finding": finding, "granted": chain.text(cut)}
    decided = Move(Verb.DECIDE, call.account_id, call_id=call.pk, changes=changes, reason=reason, details=details)
    if call.clock_stopped_at is None or call.state != State.ISSUED:
        return [decided]
    later = call.due_at + (at - call.clock_stopped_at)
    basis = f"extended from {call.due_at:%Y-%m-%d %H:%M} UTC: {reasons.EXTENSION['dispute']}"
    extended = Move(
        Verb.EXTEND, call.account_id, call_id=call.pk, changes={"due_at": later, "due_basis": basis[:200]},
        reason=reasons.EXTENSION["dispute"], details={"reason_code": "dispute", "dispute": dispute.pk},
    )  # fmt: skip
    return [decided, extended]
