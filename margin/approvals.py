"""Who lets a plan out: approvals of exactly its content, and its release, once, on what still holds at that moment.

The approval that completes the number releases the plan at once if everything still holds; otherwise the plan stays
approved, staff are told why, and whoever may approve may release it until it expires. The database reads the rights
again, binds approvals and release to the content's hash, and counts the caps (settled.md 29).
"""

from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction

from accounts import holdings
from margin import booking, calls, chain, liquidation, orders, policies, prices, watch
from margin.actors import Actor
from margin.models import Approval, KillSwitch, MarginCall, Order, Plan, Release, StandingApproval
from margin.order_models import OVER
from margin.policy_terms import ReleaseTerms
from margin.workflow import State, Verb

PEOPLE_WHEN_THE_SYSTEM_PROPOSES = 2
ALARM = "not_released"


def needed(plan: Plan) -> int:
    """How many people must approve it: one besides a person who proposed, two where the system did."""
    return 1 if plan.proposed_by_id else PEOPLE_WHEN_THE_SYSTEM_PROPOSES


def approve(plan: Plan, *, at: datetime, actor: Actor) -> Plan:
    """Say yes to exactly this content; the last yes that is needed releases the plan. The proposer cannot."""
    calls.require(actor, Verb.APPROVE)
    if actor.user_id is None or actor.user_id == plan.proposed_by_id:
        raise calls.Refused(f"{actor.name} proposed plan {plan.pk}; another person must approve it")
    with transaction.atomic():
        plan = Plan.objects.select_for_update().select_related("call").get(pk=plan.pk)
        check_open(plan, at=at)
        if plan.approvals.filter(approver=actor.user_id).exists():
            raise calls.Refused(f"{actor.name} approved plan {plan.pk} already; another person must approve it too")
        _check_prices(plan, terms_of(plan.call), at=at)
        _keep_approval(plan, actor.user_id, at=at)
        if plan.approvals.count() >= needed(plan):
            plan.state = Plan.State.APPROVED
            plan.save(update_fields=["state"])
        liquidation.record(plan, Verb.APPROVE, at=at, actor=actor)
    return _release_now(plan, at=at, actor=actor) if plan.state == Plan.State.APPROVED else plan


def reject(plan: Plan, *, at: datetime, actor: Actor, reason: str) -> Plan:
    """Say no, with a reason, to a plan that did not leave yet; another plan can be proposed."""
    calls.require(actor, Verb.REJECT)
    if not reason.strip():
        raise calls.Refused("a reason is needed: it is kept in the history")
    with transaction.atomic():
        plan = Plan.objects.select_for_update().select_related("call").get(pk=plan.pk)
        if plan.state not in (Plan.State.PROPOSED, Plan.State.APPROVED):
            raise calls.IllegalMove(f"plan {plan.pk} is {plan.state}; only an open one can be rejected")
        if Release.objects.filter(plan=plan).exists():
            raise calls.IllegalMove(f"plan {plan.pk} is released; call it off instead")
        liquidation.close(plan, Plan.State.REJECTED, at=at)
        liquidation.record(plan, Verb.REJECT, at=at, actor=actor, reason=reason)
    return plan


def call_off(plan: Plan, *, at: datetime, actor: Actor, reason: str) -> Plan:
    """Stop a released plan: what has not left is cancelled, what is at a venue is asked back, what is filled stands.

    One person is enough to stop. The plan ends once nothing of it is out; its call stays escalated, to be planned anew.
    """
    calls.require_reason(actor, Verb.CALL_OFF, reason)
    chain.in_transaction(lambda: _call_off(plan.pk, at=at, actor=actor, reason=reason))
    return Plan.objects.select_related("call").get(pk=plan.pk)


def release(plan: Plan, *, at: datetime, actor: Actor) -> Plan:
    """Let an approved plan out, once: every line becomes an order. A cure in the meantime expires it instead.

    Raises calls.CallError where it expired, a price moved or is missing, the call is held or over, the kill switch is
    pulled, a cap is reached, or somebody who approved no longer may.
    """
    calls.require(actor, Verb.RELEASE_PLAN)
    return chain.in_transaction(lambda: _release(plan.pk, standing=None, at=at, actor=actor))


def release_by_standing(plan: Plan, *, at: datetime, actor: Actor) -> Plan:
    """Release a plan of the system on a standing approval in force, if there is one; else it waits for people."""
    call = MarginCall.objects.get(pk=plan.call_id)
    given = StandingApproval.objects.filter(
        policy_version=call.policy_version_id, regime=call.regime, currency=call.currency, approved_at__lte=at,
        expires_at__gte=at, revoked_at=None,
    ).first()  # fmt: skip
    if given is None or plan.proposed_by_id is not None:
        return plan
    try:
        return chain.in_transaction(lambda: _release(plan.pk, standing=given, at=at, actor=actor))
    except calls.CallError as refusal:
        watch.raise_alarm(ALARM, str(plan), f"{plan} of {call} waits for people: {refusal}", at=at)
        return Plan.objects.get(pk=plan.pk)


# --- what must hold -------------------------------------------------------------------------------------------


def terms_of(call: MarginCall) -> ReleaseTerms:
    return policies.read(call.policy_version).terms.release


def check_open(plan: Plan, *, at: datetime) -> None:
    """Raise calls.CallError unless the plan can still be approved."""
    _check_due(plan, at=at)
    if plan.state != Plan.State.PROPOSED:
        raise calls.IllegalMove(f"plan {plan.pk} is {plan.state}; only a proposed one can be approved")


def _check_due(plan: Plan, *, at: datetime) -> None:
    call = plan.call
    if call.held_until is not None and at < call.held_until:
        raise calls.Refused(f"{call} is held until {call.held_until:%Y-%m-%d %H:%M} UTC; release it first")
    if call.state != State.ESCALATED:
        raise calls.IllegalMove(f"{call} is {call.state}; its plan is no longer needed")
    if at > plan.expires_at:
        raise calls.Refused(f"plan {plan.pk} expired at {plan.expires_at:%H:%M} UTC; propose a new one")


def _check_prices(plan: Plan, terms: ReleaseTerms, *, at: datetime) -> None:
    """Raise calls.Refused where a price moved too far since the plan was sized; one that is missing moved nowhere."""
    now = prices.gather(at=at).prices
    for line in plan.lines.select_related("instrument"):
        price = now.get(line.instrument_id)
        if price is None or price.mark is None or price.refused:
            continue
        moved = abs(price.mark - line.price)
        if moved > terms.price_move * abs(line.price):
            raise calls.Refused(
                f"{line.instrument} moved from {line.price.normalize():f} to {price.mark.normalize():f} since plan"
                f" {plan.pk}, more than {terms.price_move:.1%}; reject it and propose a new one"
            )


# --- how ------------------------------------------------------------------------------------------------------


def _keep_approval(plan: Plan, approver_id: int, *, at: datetime) -> None:
    given = Approval(
        plan=plan, content_hash=plan.content_hash, creator=plan.creator, approver_id=approver_id, approved_at=at
    )
    try:
        with transaction.atomic():
            given.save()
    except IntegrityError as refusal:
        raise calls.Refused(_said(refusal)) from None


def _release_now(plan: Plan, *, at: datetime, actor: Actor) -> Plan:
    """The last approval is kept even where the release is refused."""
    try:
        return release(plan, at=at, actor=actor)
    except calls.CallError as refusal:
        watch.raise_alarm(ALARM, str(plan), f"{plan} of {plan.call} is approved, not released: {refusal}", at=at)
        return plan


@transaction.atomic
def _release(plan_id: int, *, standing: StandingApproval | None, at: datetime, actor: Actor) -> Plan:
    plan = Plan.objects.select_for_update().get(pk=plan_id)
    call = MarginCall.objects.get(pk=plan.call_id)
    members = call.account.members.values_list("pk", flat=True)
    holdings.lock_accounts([call.account_id, *members])  # no payment comes between the look and the orders
    chain.lock([call.account_id])
    plan = Plan.objects.select_related("call__account", "call__policy_version").get(pk=plan_id)
    _check_due(plan, at=at)
    if plan.state != (Plan.State.PROPOSED if standing else Plan.State.APPROVED):
        raise calls.IllegalMove(f"plan {plan.pk} is {plan.state}; only an approved one can be released")
    if Release.objects.filter(plan=plan).exists():
        raise calls.IllegalMove(f"plan {plan.pk} is released already")
    if KillSwitch.objects.filter(is_pulled=True).exists():
        raise calls.Refused("the kill switch is pulled: nothing is released until two people let orders go again")
    short = liquidation.missing(plan.call, at=at)
    if short <= plan.call.tolerance:
        liquidation.close(plan, Plan.State.EXPIRED, at=at)
        liquidation.record(plan, Verb.EXPIRE_PLAN, at=at, actor=actor, reason="nothing is missing any more")
        return plan
    terms = terms_of(plan.call)
    _check_prices(plan, terms, at=at)
    for line in plan.lines.select_related("instrument"):
        if wrong := orders.why_not_held(line, [call.account_id, *members]):
            raise calls.Refused(f"{wrong}; reject plan {plan.pk} and propose a new one")
    _let_out(plan, terms, standing, at=at, actor=actor)
    return plan


@transaction.atomic
def _call_off(plan_id: int, *, at: datetime, actor: Actor, reason: str) -> None:
    booking.lock_orders(plan_id)
    plan = Plan.objects.select_related("call").get(pk=plan_id)
    if not Release.objects.filter(plan=plan).exists():
        raise calls.IllegalMove(f"plan {plan.pk} is {plan.state} and not released; reject it instead")
    out = Order.objects.filter(release=plan_id, cancel_wanted_at=None).exclude(state__in=OVER)
    names = list(out.order_by("line").values_list("client_order_id", flat=True))
    if not names:
        raise calls.IllegalMove(f"nothing of plan {plan.pk} is out that is not asked back already")
    liquidation.record(plan, Verb.CALL_OFF, at=at, actor=actor, reason=reason, details={"orders": names[:20]})
    booking.call_off(plan, at=at, actor=actor, reason=f"called off by {actor.name}")  # the words are with the event


def _let_out(plan: Plan, terms: ReleaseTerms, standing: StandingApproval | None, *, at: datetime, actor: Actor) -> None:
    given = [] if standing else list(plan.approvals.order_by("id")[: needed(plan)])
    row = Release(
        plan=plan, content_hash=plan.content_hash, creator=plan.creator, standing=standing, venue=terms.venue,
        first=given[0] if given else None, second=given[1] if len(given) > 1 else None,
        currency=plan.call.currency, notional=Decimal(0), largest=Decimal(0),  # the database counts them
        released_by_id=actor.user_id, released_at=at,
    )  # fmt: skip
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as refusal:
        raise calls.Refused(_said(refusal)) from None
    if standing:
        plan.state = Plan.State.APPROVED
        plan.save(update_fields=["state"])
    placed = orders.place(plan, row, terms, at=at)
    rests_on = f"standing approval {standing.pk}" if standing else [one.approver_id for one in given]
    details = {"orders": [one.client_order_id for one in placed][:20], "venue": terms.venue, "rests_on": rests_on}
    liquidation.record(plan, Verb.RELEASE_PLAN, at=at, actor=actor, details=details)
    watch.clear_alarm(ALARM, str(plan), at=at)


def _said(refusal: IntegrityError) -> str:
    """What a bolt said; a constraint that spoke first is named."""
    return str(refusal).partition("\n")[0]
