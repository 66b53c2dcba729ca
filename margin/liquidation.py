"""Forced closing, step by step: proposed from a fresh snapshot, approved by another person, filled, settled.

A plan's content never changes; an approval is bound to its hash, and the database counts the people.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from accounts import cash, fills, holdings
from accounts.models import Account, CashMovement, Fill
from margin import calls, chain, planning, policies
from margin.actors import Actor
from margin.engine import plans
from margin.models import Approval, MarginCall, Plan, PlanFill, PlanLine, Receivable
from margin.planning import Position, stand
from margin.workflow import State, Verb

PEOPLE_WHEN_THE_SYSTEM_PROPOSES = 2


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
            content_hash=hashlib.sha256(content.encode()).hexdigest(),
            proposed_by_id=actor.user_id,
            proposed_at=at,
            expires_at=at + timedelta(minutes=terms.plan_minutes),
            reason=reason[:200],
        )
        PlanLine.objects.bulk_create(
            PlanLine(
                plan=plan, instrument_id=trade.instrument_id, quantity=trade.quantity, price=trade.price, fee=trade.fee
            )
            for trade in sized.trades
        )
        _record(plan, Verb.PROPOSE, at=at, actor=actor, reason=reason)
    return plan


def approve(plan: Plan, *, at: datetime, actor: Actor) -> Plan:
    """Say yes to exactly this content. The proposer cannot; a plan of the system needs two people."""
    calls.require(actor, Verb.APPROVE)
    if actor.user_id is None or actor.user_id == plan.proposed_by_id:
        raise calls.Refused(f"{actor.name} proposed plan {plan.pk}; another person must approve it")
    with transaction.atomic():
        plan = Plan.objects.select_for_update().select_related("call").get(pk=plan.pk)
        _check_open(plan, at=at)
        if plan.approvals.filter(approver=actor.user_id).exists():
            raise calls.Refused(f"{actor.name} approved plan {plan.pk} already; another person must approve it too")
        Approval.objects.create(plan=plan, content_hash=plan.content_hash, approver_id=actor.user_id, approved_at=at)
        needed = 1 if plan.proposed_by_id else PEOPLE_WHEN_THE_SYSTEM_PROPOSES
        if plan.approvals.count() >= needed:
            plan.state = Plan.State.APPROVED
            plan.save(update_fields=["state"])
        _record(plan, Verb.APPROVE, at=at, actor=actor)
    return plan


def reject(plan: Plan, *, at: datetime, actor: Actor, reason: str) -> Plan:
    """Say no, with a reason; another plan can be proposed."""
    calls.require(actor, Verb.REJECT)
    if not reason.strip():
        raise calls.Refused("a reason is needed: it is kept in the history")
    with transaction.atomic():
        plan = Plan.objects.select_for_update().select_related("call").get(pk=plan.pk)
        if plan.state != Plan.State.PROPOSED:
            raise calls.IllegalMove(f"plan {plan.pk} is {plan.state}; only a proposed one can be rejected")
        _close(plan, Plan.State.REJECTED, at=at)
        _record(plan, Verb.REJECT, at=at, actor=actor, reason=reason)
    return plan


def record_fill(
    line: PlanLine,
    *,
    quantity: Decimal,
    price: Decimal,
    fee: Decimal,
    source: str,
    external_reference: str,
    at: datetime,
    actor: Actor,
) -> Fill:
    """Book a fill of an approved plan's line, and settle the call if that was enough. The same report twice is one.

    `quantity` has the line's sign (sold is negative). The database refuses more than the line asked for.
    """
    calls.require(actor, Verb.FILL)
    known = PlanFill.objects.filter(
        line=line, fill__source=source, fill__external_reference=external_reference, fill__quantity=quantity,
        fill__price=price, fill__fee=fee,
    ).first()  # fmt: skip
    if known:
        return known.fill
    plan = Plan.objects.select_related("call__account").get(pk=line.plan_id)
    if plan.state != Plan.State.APPROVED:
        raise calls.IllegalMove(f"plan {plan.pk} is {plan.state}; nothing of it may be filled")
    with transaction.atomic():
        fill = fills.apply_fill(
            _holder(plan.call.account, line, quantity),
            instrument=line.instrument,
            quantity=quantity,
            price=price,
            fee=fee,
            source=source,
            external_reference=external_reference,
            traded_at=at,
            at=at,
        )
        _keep(line, fill)
        details = {"fill": fill.pk, "quantity": chain.text(quantity), "price": chain.text(price)}
        _record(plan, Verb.FILL, at=at, actor=actor, details=details)
        settle(plan, at=at, actor=actor)
    return fill


def _keep(line: PlanLine, fill: Fill) -> None:
    """The database has the last word on what may be filled: another may have closed the plan while we looked."""
    try:
        PlanFill.objects.create(line=line, fill=fill)
    except IntegrityError as refusal:
        raise calls.IllegalMove(str(refusal).splitlines()[0]) from refusal


def _holder(lead: Account, line: PlanLine, quantity: Decimal) -> Account:
    """Who of the accounts measured as one delivers a fill: the lead, or the first member, that holds so much."""
    members = list(lead.members.order_by("code"))
    if not members:
        return lead
    holdings.lock_instruments([line.instrument_id, cash.instrument(line.instrument.currency).pk])
    holdings.lock_accounts([lead.pk, *(member.pk for member in members)])
    held = holdings.held([lead.pk, *(member.pk for member in members)], [line.instrument_id])
    for account in (lead, *members):
        has, _ = held.get((account.pk, line.instrument_id), holdings.NOTHING)
        if has * quantity < 0 and abs(has) >= abs(quantity):
            return account
    listed = ", ".join(account.code for account in (lead, *members))
    raise calls.Refused(f"none of {listed} holds {abs(quantity).normalize():f} alone; record a fill for each account")


def settle(plan: Plan, *, at: datetime, actor: Actor) -> MarginCall:
    """After a fill: close the call as liquidated if the account holds again, or if nothing is left to sell.

    Otherwise the call stays escalated; once every line is filled the plan is done and another can be proposed. An
    account that cannot be priced stays as it is: nothing acts on a guess.
    """
    call = MarginCall.objects.get(pk=plan.call_id)
    is_filled = all(sum(f.fill.quantity for f in line.fills.select_related("fill")) == line.quantity
                    for line in plan.lines.all())  # fmt: skip
    try:
        now: Position | None = stand(call, at=at)
    except calls.Refused:
        now = None
    if now is not None and now.missing <= call.tolerance:
        _close(plan, Plan.State.DONE, at=at)
        return calls.liquidate(call, residual=Decimal(0), at=at, actor=actor)
    if is_filled:
        _close(plan, Plan.State.DONE, at=at)
        if now is not None and planning.is_sold_out(planning.size(call, now)):
            return _write_down(call, now.missing, at=at, actor=actor)
    return call


def _write_down(call: MarginCall, residual: Decimal, *, at: datetime, actor: Actor) -> MarginCall:
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


def _check_open(plan: Plan, *, at: datetime) -> None:
    _check_not_held(plan.call, at=at)
    if plan.call.state != State.ESCALATED:
        raise calls.IllegalMove(f"{plan.call} is {plan.call.state}; its plan is no longer needed")
    if plan.state != Plan.State.PROPOSED:
        raise calls.IllegalMove(f"plan {plan.pk} is {plan.state}; only a proposed one can be approved")
    if at > plan.expires_at:
        raise calls.Refused(f"plan {plan.pk} expired at {plan.expires_at:%H:%M} UTC; propose a new one")


def _expire(call: MarginCall, *, at: datetime) -> None:
    """Plans nobody approved in time make room for a new one."""
    for plan in Plan.objects.select_for_update().filter(call=call, state=Plan.State.PROPOSED, expires_at__lt=at):
        _close(plan, Plan.State.EXPIRED, at=at)


def _close(plan: Plan, state: Plan.State, *, at: datetime) -> None:
    plan.state, plan.closed_at = state, at
    plan.save(update_fields=["state", "closed_at"])


def _record(
    plan: Plan, verb: Verb, *, at: datetime, actor: Actor, reason: str = "", details: Mapping[str, Any] | None = None
) -> None:
    told = {"plan": plan.pk, "content_hash": plan.content_hash, **(details or {})}
    call = MarginCall.objects.get(pk=plan.call_id)
    calls.record(call, verb=verb, details=told, at=at, actor=actor, reason=reason)
