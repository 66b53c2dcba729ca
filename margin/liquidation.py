"""Forced closing: what an account misses, and the plan that restores it, proposed from a fresh snapshot.

A plan's content never changes. `margin.approvals` says who lets it out, `margin.booking` what became of it.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from accounts import cash
from accounts.models import CashMovement
from margin import calls, planning, policies
from margin.actors import Actor
from margin.engine import plans
from margin.models import MarginCall, Plan, PlanLine, Receivable
from margin.planning import Position, stand
from margin.workflow import State, Verb


def propose(call: MarginCall, *, at: datetime, actor: Actor, reason: str = "") -> Plan:
    """Propose the best plan for the call by its policy's objective, on prices of now (docs/liquidation.md).

    Raises calls.Refused if the call is not escalated, a plan is open, the account is unpriced or nothing helps.
    """
    calls.require(actor, Verb.PROPOSE)
    if call.state != State.ESCALATED:
        raise calls.IllegalMove(f"{call} is {call.state}; only an escalated call can be liquidated")
    _check_not_held(call, at=at)
    now = stand(call, at=at)
    terms = policies.read(call.policy_version).terms
    sized = planning.size(call, now)
    if not sized.trades:
        raise calls.Refused(f"nothing to sell for {call}: {planning.why_nothing(now, sized)}")
    content = _content(call, now, sized)
    with transaction.atomic():
        _expire(call, at=at)
        if Plan.objects.filter(call=call, state__in=(Plan.State.PROPOSED, Plan.State.APPROVED)).exists():
            raise calls.Refused(f"{call} has a plan already; decide about it first")
        plan = Plan.objects.create(
            call=call,
            content=content,
            proposed_by_id=actor.user_id,
            proposed_at=at,
            expires_at=at + timedelta(minutes=terms.plan_minutes),
            reason=calls.to_keep(reason[:200], client_id=call.account.client_id, actor=actor),
        )
        PlanLine.objects.bulk_create(
            PlanLine(
                plan=plan, instrument_id=trade.instrument_id, quantity=trade.quantity, price=trade.price, fee=trade.fee
            )
            for trade in sized.trades
        )
        record(plan, Verb.PROPOSE, at=at, actor=actor, reason=reason)
    plan.refresh_from_db(fields=["reason"])
    return plan


def missing(call: MarginCall, *, at: datetime) -> Decimal:
    """What the call's account misses now. Raises calls.Refused if it is unpriced."""
    return stand(call, at=at).missing


def is_sold_out(call: MarginCall, *, at: datetime) -> bool:
    """Whether nothing eligible is left whose sale would help."""
    return planning.is_sold_out(planning.size(call, stand(call, at=at)))


def write_down(call: MarginCall, residual: Decimal, *, at: datetime, actor: Actor) -> MarginCall:
    """Nothing eligible is left: what is still missing becomes a receivable (settled.md 28).

    It leaves the account by a correction of its cash, so that no later sweep calls for the same money again.
    """
    Receivable.objects.create(call=call, account=call.account, currency=call.currency, amount=residual, booked_at=at)
    correction = CashMovement(
        account=call.account,
        currency=cash.instrument(call.currency),
        kind=CashMovement.Kind.CORRECTION,
        amount=residual,
        source="receivable",
        external_reference=call.number,
        effective_at=at,
        note=f"Owed as a receivable since {call} was liquidated",
    )
    cash.post([correction], at=at)
    return calls.liquidate(call, residual=residual, at=at, actor=actor, reason="nothing left to sell")


def _content(call: MarginCall, now: Position, sized: plans.Plan) -> str:
    """What is approved, word for word: canonical JSON, amounts as text."""
    return json.dumps(planning.content(call, now, sized), sort_keys=True, separators=(",", ":"))


def content(plan: Plan) -> dict[str, Any]:
    """A plan's content as a dict."""
    body: dict[str, Any] = json.loads(plan.content)
    return body


def _check_not_held(call: MarginCall, *, at: datetime) -> None:
    if call.held_until is not None and at < call.held_until:
        raise calls.Refused(f"{call} is held until {call.held_until:%Y-%m-%d %H:%M} UTC; release it first")


def _expire(call: MarginCall, *, at: datetime) -> None:
    """Plans that nobody let out in time make room for a new one."""
    waiting = Plan.objects.select_for_update(of=("self",)).filter(
        call=call, state__in=(Plan.State.PROPOSED, Plan.State.APPROVED), release=None, expires_at__lt=at
    )
    for plan in waiting:
        close(plan, Plan.State.EXPIRED, at=at)


def close(plan: Plan, state: Plan.State, *, at: datetime) -> None:
    """Write a plan's end; its event is the caller's."""
    plan.state, plan.closed_at = state, at
    plan.save(update_fields=["state", "closed_at"])


def record(
    plan: Plan, verb: Verb, *, at: datetime, actor: Actor, reason: str = "", details: Mapping[str, Any] | None = None
) -> None:
    """Leave an event of a plan or of one of its orders on its call."""
    told = {"plan": plan.pk, "content_hash": plan.content_hash, **(details or {})}
    call = MarginCall.objects.get(pk=plan.call_id)
    calls.record(call, verb=verb, details=told, at=at, actor=actor, reason=reason)
