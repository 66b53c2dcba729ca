"""From what venues and people report to fills and to the end of a call; safe to run again at any time.

A fill has a report, a report has its order, an order has its release. What cannot be booked is kept and alarmed.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet, Sum

from accounts import cash, fills, holdings, ledgers
from accounts.models import Account, Fill
from margin import calls, chain, liquidation, orders, watch
from margin.actors import Actor, system
from margin.models import Alarm, MarginCall, Order, OrderReport, Plan, PlanFill, PlanLine, Release
from margin.order_models import DESK, OVER
from margin.venues import interface
from margin.venues.interface import Told
from margin.workflow import State, Verb
from market import strict

UNBOOKED = "not_booked"
LOOK_BACK = timedelta(days=2)
RECONCILER = system("reconciler")


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
    """Book a fill that a person reports of an order worked by hand, and settle the call. The same report twice is one.

    `quantity` has the line's sign (sold is negative). The database refuses more than the line asked for.
    """
    calls.require(actor, Verb.FILL)
    order = Order.objects.filter(line=line).first()
    if order is None:
        plan = Plan.objects.get(pk=line.plan_id)
        raise calls.IllegalMove(f"plan {plan.pk} is {plan.state} and not released; nothing of it may be filled")
    if order.venue != DESK:
        raise calls.Refused(f"{order} is at {order.venue}, which reports its fills itself")
    if quantity * order.quantity <= 0:
        raise calls.Refused(f"{order} is for {order.quantity.normalize():f}; a fill of it has the same sign")
    name = f"{source}:{external_reference}"
    report = interface.Report(
        DESK, name, order.client_order_id, Told.FILLED, at, abs(quantity), price, fee, text=f"told by {actor.name}"
    )
    with transaction.atomic():
        kept, is_new = orders.keep(report)
        if (kept.order_id, kept.quantity, kept.price, kept.fee) != (order.pk, abs(quantity), price, fee):
            raise ledgers.conflict("external_reference", f"{name} was reported already and said something else")
        if is_new:
            follow(order, at=at, actor=actor)
        return PlanFill.objects.select_related("fill").get(report=kept).fill


def hear(report: interface.Report, *, at: datetime) -> OrderReport:
    """Keep what a venue said, once, and let its order follow. What cannot be booked is alarmed, never lost."""
    kept, is_new = orders.keep(report)
    if not is_new and (otherwise := orders.contradiction(kept, report)):
        message = f"{report.venue} reports {report.report_id} again and says something else ({otherwise}); ask them"
        watch.raise_alarm("contradicted", f"{report.venue} {report.report_id}", message, at=at)
    if kept.order is None:
        message = f"{report.venue} reports {report.told} of {report.client_order_id}, which is no order of ours"
        watch.raise_alarm("unknown_order", f"{report.venue} {report.client_order_id}", message, at=at)
        return kept
    follow(kept.order, at=at, actor=system(report.venue))
    if is_new and report.told == Told.CANCEL_REFUSED:
        message = f"{report.venue} refuses to cancel {kept.order}: {report.text}; ring them"
        watch.raise_alarm("cancel_refused", report.client_order_id, message, at=at)
    if is_new and report.told == Told.REJECTED:
        message = f"{report.venue} rejected {kept.order}: {report.text}; propose another plan"
        watch.raise_alarm("order_rejected", report.client_order_id, message, at=at)
    if is_new and report.told == Told.BUSTED:
        message = f"{report.venue} took back {report.refers_to} of {kept.order}: {report.text}; ask what becomes of it"
        watch.raise_alarm("busted", report.report_id, message, at=at)
    return kept


def follow(order: Order, *, at: datetime, actor: Actor) -> Order:
    """Make an order's fills and state what its reports say, and settle its plan."""
    return chain.in_transaction(lambda: _follow(order, at=at, actor=actor), is_patient=actor.is_system)


def lock_orders(plan_id: int) -> None:
    """All orders of a plan, in line order, so that two who change orders of one plan cannot wait for each other."""
    list(Order.objects.select_for_update().filter(release=plan_id).order_by("line").values_list("pk"))


def _follow(order: Order, *, at: datetime, actor: Actor) -> Order:
    lock_orders(order.release_id)
    order = Order.objects.get(pk=order.pk)
    reports = list(order.reports.order_by("id"))
    is_moved = _book(order, orders.executions(reports), at=at, actor=actor)
    orders.move(order, orders.state_after(order, reports), at=at, actor=actor)
    if is_moved or order.is_over:
        settle(Plan.objects.select_related("call").get(pk=order.release_id), at=at, actor=actor)
    return order


# --- fills ----------------------------------------------------------------------------------------------------


def _book(order: Order, standing: Sequence[OrderReport], *, at: datetime, actor: Actor) -> bool:
    """Take back fills whose execution no longer stands, then book those that are new; whether any was there."""
    booked = PlanFill.objects.filter(line=order.line_id, report__isnull=False, fill__reversed_by=None)
    reports = {one.report_id: one for one in booked.select_related("fill", "line__plan")}
    kept = {report.pk for report in standing}
    void = [one for report_id, one in reports.items() if report_id not in kept]
    fresh = [report for report in standing if report.pk not in reports]
    for one in void:
        fills.bust(one.fill, source=order.venue, external_reference=f"void-{one.fill_id}", at=at)
        details = {"fill": one.fill_id, "order": order.client_order_id, "taken_back": True}
        liquidation.record(one.line.plan, Verb.FILL, at=at, actor=actor, details=details)
        _tell_if_late(order, at=at)
    for report in fresh:
        _book_one(order, report, at=at, actor=actor)
    return bool(void or fresh)


def _book_one(order: Order, report: OrderReport, *, at: datetime, actor: Actor) -> None:
    """A person is told at once what does not fit; a venue's report stays, and staff are told."""
    try:
        with transaction.atomic():
            _apply(order, report, at=at, actor=actor)
    except (IntegrityError, calls.CallError, strict.Refused) as refusal:
        said = str(refusal).partition("\n")[0]
        if report.venue == DESK:
            raise calls.IllegalMove(said) from refusal
        message = f"{report.venue}'s execution {report.report_id} of {order} cannot be booked: {said}"
        watch.raise_alarm(UNBOOKED, report.report_id, message, at=at)


def _apply(order: Order, report: OrderReport, *, at: datetime, actor: Actor) -> None:
    line = PlanLine.objects.select_related("plan__call__account", "instrument").get(pk=order.line_id)
    quantity = report.quantity if order.quantity > 0 else -report.quantity
    source, reference = _reference(report)
    fill = fills.apply_fill(
        _holder(line.plan.call.account, line, quantity), instrument=line.instrument, quantity=quantity,
        price=report.price, fee=report.fee, source=source, external_reference=reference,
        traded_at=min(report.at, at), at=at,
    )  # fmt: skip
    PlanFill.objects.create(line=line, fill=fill, report=report)
    details = {"fill": fill.pk, "quantity": chain.text(quantity), "price": chain.text(report.price)}
    liquidation.record(line.plan, Verb.FILL, at=at, actor=actor, details=details)
    _tell_if_late(order, at=at)


def _reference(report: OrderReport) -> tuple[str, str]:
    """Source and reference of a report's fill; the desk says both itself."""
    if report.venue == DESK:
        source, _, name = report.report_id.partition(":")
        return source, name
    return report.venue, report.report_id if len(report.report_id) <= 80 else f"report-{report.pk}"


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


def _tell_if_late(order: Order, *, at: datetime) -> None:
    """Nothing reopens: what happens to a closed call is booked and looked at by a person."""
    plan = Plan.objects.select_related("call").get(pk=order.release_id)
    if not plan.call.is_open or plan.state != Plan.State.APPROVED:
        message = f"{order} was reported on after {plan.call} was {plan.call.state} and {plan} {plan.state}; look at it"
        watch.raise_alarm("late_fill", order.client_order_id, message, at=at)


# --- the end of a plan ----------------------------------------------------------------------------------------


def settle(plan: Plan, *, at: datetime, actor: Actor) -> MarginCall:
    """After a report: close the call as liquidated if the account holds again, or if nothing is left to sell.

    Otherwise the call stays escalated; once every order is over the plan is done and another can be proposed. What is
    still out is asked back. An account that cannot be priced stays as it is: nothing acts on a guess. While a venue
    executed what is not booked the plan stays as well: another would sell the same again.
    """
    call = MarginCall.objects.get(pk=plan.call_id)
    if plan.state != Plan.State.APPROVED:
        cancel_rest(plan, at=at, actor=actor, reason=f"the plan is {plan.state}")  # a bust opens an order again
        return call
    if not Release.objects.filter(plan=plan).exists():
        return call
    is_sold = standing_fills(plan).exists()
    end = Plan.State.DONE if is_sold else Plan.State.EXPIRED
    if call.state != State.ESCALATED:
        _finish(plan, end, at=at, actor=actor, reason=f"the call is {call.state}")
        return call
    try:
        short: Decimal | None = liquidation.missing(call, at=at)
    except calls.Refused:
        short = None
    if short is not None and short <= call.tolerance and is_sold:
        _finish(plan, end, at=at, actor=actor, reason="the account holds again")
        return calls.liquidate(call, residual=Decimal(0), at=at, actor=actor)
    _drop_blocked(plan, at=at, actor=actor)
    placed = Order.objects.filter(release=plan.pk)
    if not placed.exclude(state__in=OVER).exists() and not any(_difference(order) for order in placed):
        _finish(plan, end, at=at, actor=actor, reason="every order is over")
        if is_sold and short is not None and _is_sold_out(call, at=at):
            return liquidation.write_down(call, short, at=at, actor=actor)
    return call


def _is_sold_out(call: MarginCall, *, at: datetime) -> bool:
    """What cannot be sized may still be worth something: the call stays, for people to look at."""
    try:
        return liquidation.is_sold_out(call, at=at)
    except calls.Refused:
        return False


def call_off(plan: Plan, *, at: datetime, actor: Actor, reason: str) -> None:
    """Take back what of a plan is not executed, and end it once nothing of it is out."""
    cancel_rest(plan, at=at, actor=actor, reason=reason)
    settle(plan, at=at, actor=actor)


def _drop_blocked(plan: Plan, *, at: datetime, actor: Actor) -> None:
    """What waits for an earlier slice that ended unfilled never leaves: what remains is planned anew."""
    waiting = Order.objects.select_for_update(of=("self",)).filter(release=plan.pk, state=Order.State.NEW)
    for order in waiting.select_related("line").order_by("line"):
        ended = orders.earlier(order).filter(state__in=(Order.State.CANCELLED, Order.State.REJECTED)).first()
        if ended is not None:
            reason = f"{ended} of an earlier slice was {ended.state} and not filled"
            orders.withdraw(order, at=at, actor=actor, reason=reason)


def _finish(plan: Plan, state: Plan.State, *, at: datetime, actor: Actor, reason: str) -> None:
    liquidation.close(plan, state, at=at)
    cancel_rest(plan, at=at, actor=actor, reason=reason)


def cancel_rest(plan: Plan, *, at: datetime, actor: Actor, reason: str) -> int:
    """Take back what of a plan's orders is not executed; how many there were. Staff are told of what is at a venue."""
    rest = Order.objects.select_for_update().filter(release=plan.pk).exclude(state__in=OVER).order_by("line")
    taken = list(rest)
    for order in taken:
        orders.withdraw(order, at=at, actor=actor, reason=reason)
    out = [order.client_order_id for order in taken if not order.is_over]
    if out:
        message = f"{', '.join(out[:5])} of {plan} are asked back ({reason}); see that their venue confirms it"
        watch.raise_alarm("cancelling", str(plan), message, at=at)
    return len(taken)


def standing_fills(plan: Plan) -> QuerySet[PlanFill]:
    """The fills of a plan that were not taken back."""
    return PlanFill.objects.filter(line__plan=plan, fill__reversed_by=None)


# --- reconciling ----------------------------------------------------------------------------------------------


def reconcile(*, at: datetime) -> list[str]:
    """Compare what venues said with what was booked, order by order; every difference is named and alarmed.

    What could not be booked is tried again first. Looked at is what was reported on within LOOK_BACK, or differed.
    """
    recent = OrderReport.objects.filter(recorded_at__gte=at - LOOK_BACK, order__isnull=False).values("order")
    differed = Alarm.objects.filter(kind="order_differs", cleared_at=None).values("subject")
    wrong = []
    for order in Order.objects.filter(Q(pk__in=recent) | Q(client_order_id__in=differed)).order_by("line"):
        if _difference(order):
            follow(order, at=at, actor=RECONCILER)
            if difference := _difference(order):
                wrong.append((order.client_order_id, difference))
    found = [("order_differs", subject, message) for subject, message in wrong]
    watch.raise_and_clear(found, kinds=("order_differs",), at=at)
    return [message for _, message in wrong]


def _difference(order: Order) -> str:
    """What a venue executed of an order and what is booked of it, if they differ."""
    told = sum((one.quantity for one in orders.executions(order.reports.all())), Decimal(0))
    booked = PlanFill.objects.filter(line=order.line_id, fill__reversed_by=None).aggregate(all=Sum("fill__quantity"))
    has = abs(booked["all"] or Decimal(0))
    if told == has:
        return ""
    return f"{order}: {order.venue} executed {told.normalize():f}, {has.normalize():f} is booked; look at it"
