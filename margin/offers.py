"""When an act is offered: what the domain would take from this person as things stand. Reads prefetched rows."""

from datetime import datetime
from typing import Any

from margin import policies, requests
from margin.actors import Actor
from margin.models import Dispute, MarginCall, Order, Plan, PlanFill, Release, Request
from margin.order_models import DESK, OVER
from margin.workflow import State

Kind = Request.Kind


def always(row: Any, actor: Actor, at: datetime) -> bool:
    return True


def is_open(call: MarginCall, actor: Actor, at: datetime) -> bool:
    return call.is_open


def open_request(call: MarginCall, kind: Request.Kind) -> Request | None:
    return next((one for one in call.requests.all() if one.kind == kind and one.is_open), None)


def clock_of(call: MarginCall) -> Any:
    try:
        return policies.read(call.policy_version).clocks.get(call.regime)
    except policies.BadTerms:  # of a version that today's terms cannot read: the domain would say the same
        return None


def may_be_extended(call: MarginCall, actor: Actor, at: datetime) -> bool:
    clock = clock_of(call)
    granted = [one for one in call.requests.all() if one.kind == Kind.EXTENSION and one.state == Request.State.GRANTED]
    return (
        call.state == State.ISSUED
        and at < call.due_at
        and open_request(call, Kind.EXTENSION) is None
        and clock is not None
        and clock.extension_authority != requests.NOBODY
        and len(granted) < clock.most_extensions
    )


def may_be_held(call: MarginCall, actor: Actor, at: datetime) -> bool:
    held = [one for one in call.requests.all() if one.kind == Kind.HOLD and one.state == Request.State.GRANTED]
    is_own = bool(held) and max(held, key=lambda one: one.pk).asked_by_id == actor.user_id
    return call.is_open and open_request(call, Kind.HOLD) is None and not is_own


def may_be_brought_forward(call: MarginCall, actor: Actor, at: datetime) -> bool:
    clock = clock_of(call)
    return (
        call.is_open
        and at < call.due_at
        and open_request(call, Kind.ACCELERATION) is None
        and clock is not None
        and bool(clock.may_be_accelerated)
    )


def may_be_disputed(call: MarginCall, actor: Actor, at: datetime) -> bool:
    is_disputed = any(one.state == Dispute.State.OPEN for one in call.disputes.all())
    return call.is_open and call.amount_outstanding > 0 and not is_disputed


def may_be_sold(call: MarginCall, actor: Actor, at: datetime) -> bool:
    is_planned = any(
        plan.state == Plan.State.APPROVED or (plan.state == Plan.State.PROPOSED and at <= plan.expires_at)
        for plan in call.plans.all()
    )
    return call.state == State.ESCALATED and not is_planned


def may_be_retracted(call: MarginCall, actor: Actor, at: datetime) -> bool:
    is_sold = bool(call.plans.all()) and PlanFill.objects.filter(line__plan__call=call).exists()
    return call.is_open and open_request(call, Kind.RETRACTION) is None and not is_sold


def may_decide_retraction(call: MarginCall, actor: Actor, at: datetime) -> bool:
    asked = open_request(call, Kind.RETRACTION)
    return call.is_open and asked is not None and asked.asked_by_id != actor.user_id


def may_decide(request: Request, actor: Actor, at: datetime) -> bool:
    return request.is_open and request.asked_by_id != actor.user_id


def may_withdraw(request: Request, actor: Actor, at: datetime) -> bool:
    return request.is_open and request.asked_by_id == actor.user_id


def may_approve(plan: Plan, actor: Actor, at: datetime) -> bool:
    return (
        plan.state == Plan.State.PROPOSED
        and at <= plan.expires_at
        and plan.call.state == State.ESCALATED
        and plan.proposed_by_id != actor.user_id
        and not plan.approvals.filter(approver=actor.user_id).exists()
    )


def may_reject(plan: Plan, actor: Actor, at: datetime) -> bool:
    return plan.state == Plan.State.PROPOSED or may_release(plan, actor, at)


def may_release(plan: Plan, actor: Actor, at: datetime) -> bool:
    return plan.state == Plan.State.APPROVED and not Release.objects.filter(plan=plan).exists()


def may_call_off(plan: Plan, actor: Actor, at: datetime) -> bool:
    """Something of it is out and nobody asked for it back."""
    out = Order.objects.filter(release=plan.pk, cancel_wanted_at=None).exclude(state__in=OVER)
    return plan.call.state == State.ESCALATED and out.exists()


def may_fill(plan: Plan, actor: Actor, at: datetime) -> bool:
    return plan.state == Plan.State.APPROVED and Order.objects.filter(release=plan.pk, venue=DESK).exists()
