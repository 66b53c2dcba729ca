"""The sender: hands orders of released plans to their venues, each at most once, whatever dies in between.

An order is marked `sending` in a transaction of its own, with a lease, before it leaves. Whoever dies with it leaves
the lease to lapse: then nobody knows whether it left, the order is unknown and its venue is asked. It is sent again
only when the venue never heard of it, as often as it was asked. The switch, the plan, the call and what the account
misses are looked at again in the transaction that marks it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

from django.db import DatabaseError, IntegrityError, connection, transaction

from accounts import holdings
from margin import approvals, booking, calls, chain, control_switches, epochs, liquidation, orders, watch
from margin.actors import system
from margin.models import MarginCall, Order, Plan
from margin.order_models import DESK, OUTSIDE
from margin.venues import interface, registry
from margin.workflow import State
from market import strict

States = Order.State
LEASE = timedelta(seconds=30)
SILENCE = timedelta(minutes=5)
"""How long a venue may say nothing of an order that left before it is asked, and before it is asked again."""
MOST_ATTEMPTS = 5
MINUTE = timedelta(minutes=1)
WAIT = "orders_wait"
SENDER = system("sender")
Clock = Callable[[], datetime]


def open_venues() -> dict[str, interface.Venue]:
    """The house's venues by code, but those that another process speaks to; none where only people work orders."""
    found: dict[str, interface.Venue] = {}
    for code in registry.codes():
        with suppress(interface.NotSent):
            found[code] = registry.venue(code)
    return found


def run(venues: Mapping[str, interface.Venue], *, clock: Clock) -> Counter[str]:
    """One round at every venue; counts of what was done. One process at a time works a venue, others pass on."""
    done: Counter[str] = Counter()
    lapse(at=clock())
    obey_switch(at=clock())
    withdraw_needless(at=clock())
    end_asked_back(at=clock())
    for code, venue in venues.items():
        with _alone(code) as is_alone:
            if is_alone:
                done += _try_round(venue, clock=clock)
    tell_of_waiting(at=clock())
    return done


def _try_round(venue: interface.Venue, *, clock: Clock) -> Counter[str]:
    """A round; a venue that cannot be reached at all keeps no other from being worked."""
    try:
        done = _round(venue, clock=clock)
    except (interface.NotSent, interface.Unknown, OSError) as fault:
        message = f"venue {venue.code} cannot be worked: {fault}; its orders wait"
        watch.raise_alarm("venue_down", venue.code, message, at=clock())
        return Counter()
    watch.clear_alarm("venue_down", venue.code, at=clock())
    return done


def _round(venue: interface.Venue, *, clock: Clock) -> Counter[str]:
    done = Counter(heard=hear(venue, clock=clock))
    mine = Order.objects.filter(venue=venue.code).order_by("line")
    for order in mine.filter(state=States.UNKNOWN):
        done["asked"] += ask(order, venue, at=clock())
    for order in mine.filter(state__in=OUTSIDE, cancel_wanted_at__isnull=False):
        done["asked back"] += cancel(order, venue, at=clock())
    epoch = epochs.look(at=clock())  # after a restore nothing leaves until people have compared
    for order in mine.filter(state=States.NEW).select_related("release__plan") if not epoch.is_held else ():
        if control_switches.pulled() is not None:
            break  # the next round asks back what left
        if epoch.number > 1 and order.release.plan.proposed_at <= epoch.began_at and not order.asks:
            done["doubted"] += doubt(order, at=clock())
        else:
            done["sent"] += send(order, venue, clock=clock)
    done["heard"] += hear(venue, clock=clock)
    return done


@contextmanager
def _alone(code: str) -> Iterator[bool]:
    """A session's advisory lock on a venue: it ends with the process that held it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext('venue'), hashtext(%s))", [code])
        (is_alone,) = cursor.fetchone()
        try:
            yield is_alone
        finally:
            if is_alone:
                cursor.execute("SELECT pg_advisory_unlock(hashtext('venue'), hashtext(%s))", [code])


def hear(venue: interface.Venue, *, clock: Clock) -> int:
    """Store what the venue said and let its orders follow; only then it need not say it again.

    What cannot be stored is alarmed and told again; what came after it is heard all the same.
    """
    heard = []
    for report in venue.reports():
        try:
            booking.hear(report, at=clock())
        except (DatabaseError, calls.CallError, strict.Refused) as fault:
            said = str(fault).partition("\n")[0]
            message = f"{report.told} {report.report_id} of {report.client_order_id} cannot be stored: {said}"
            watch.raise_alarm("not_heard", f"{venue.code} {report.report_id}", message, at=clock())
            continue
        heard.append(report)
    venue.keep(heard)
    return len(heard)


# --- sending ------------------------------------------------------------------------------------------------------


def send(order: Order, venue: interface.Venue, *, clock: Clock) -> bool:
    """Hand one order over, if it may leave now; whether it left for certain."""
    claimed = claim(order, at=clock())
    if claimed is None:
        return False
    try:
        venue.send(orders.as_sent(claimed))
    except interface.NotSent as why:
        _after(claimed, States.NEW, str(why), at=clock())
        return False
    except interface.Unknown as why:
        _after(claimed, States.UNKNOWN, str(why), at=clock())
        return False
    _after(claimed, States.SENT, "", at=clock())
    return True


def claim(order: Order, *, at: datetime) -> Order | None:
    """Mark an order as about to leave, under a lease; None if it must not, or another has it."""
    try:
        return chain.in_transaction(lambda: _claim(order.pk, at=at), is_patient=True)
    except IntegrityError as refusal:  # the database looked a moment after us: the switch was pulled, say
        if control_switches.pulled() is None:
            message = f"{order} must not leave: {str(refusal).partition(chr(10))[0]}"
            watch.raise_alarm("not_sent", order.client_order_id, message, at=at)
        return None


def doubt(order: Order, *, at: datetime) -> bool:
    """Whether an order is asked about before it leaves: the database that was lost may have sent it under this name."""
    claimed = claim(order, at=at)
    if claimed is not None:
        _after(claimed, States.UNKNOWN, "the database was restored; the order may have left before", at=at)
    return claimed is not None


def _claim(line_id: int, *, at: datetime) -> Order | None:
    release = Order.objects.values_list("release", flat=True).get(pk=line_id)
    booking.lock_orders(release)
    order = Order.objects.select_related("line__instrument").get(pk=line_id)
    if order.state != States.NEW or order.cancel_wanted_at is not None:
        return None
    plan = Plan.objects.select_related("call__account", "call__policy_version").get(pk=release)
    if _must_wait(order, plan, at=at):
        return None
    try:
        needless = _why_needless(order, plan, at=at) or _why_stale(order, plan, at=at)
    except calls.Refused:
        return None  # unpriced: nothing acts on a guess
    if needless:
        booking.call_off(plan, at=at, actor=SENDER, reason=needless)
        return None
    token, until = uuid4(), at + LEASE
    orders.move(order, States.SENDING, at=at, actor=SENDER, token=token, lease_until=until, attempts=order.attempts + 1)
    order.line.plan = plan
    return order


def _must_wait(order: Order, plan: Plan, *, at: datetime) -> bool:
    if order.attempts >= MOST_ATTEMPTS:
        message = f"{order} could not be sent {order.attempts} times: {order.last_error}; look at {order.venue}"
        watch.raise_alarm("not_sent", order.client_order_id, message, at=at)
        return True
    failed_just_now = order.attempts and order.lease_until is not None and at < order.lease_until
    is_held = plan.call.held_until is not None and at < plan.call.held_until
    if failed_just_now or is_held or control_switches.pulled() is not None:
        return True
    return orders.earlier(order).exclude(state=States.FILLED).exists() or _why_full(order.currency, at=at) != ""


def _why_full(currency: str, *, at: datetime) -> str:
    """Why no further order in the currency leaves within this minute; "" if one may. The database asks the same."""
    cap = control_switches.cap_in_force(currency, at=at)
    if cap is None or cap.per_minute is None:
        return ""
    left = Order.objects.filter(currency=currency, lease_until__gt=at + LEASE - MINUTE).count()
    if left < cap.per_minute:
        return ""
    return f"{left} {currency} orders left within a minute, as many as the cap allows: the others wait"


def tell_of_waiting(*, at: datetime) -> None:
    """One alarm for each currency in which orders wait for their minute."""
    new = Order.objects.filter(state=States.NEW, cancel_wanted_at=None).exclude(venue=DESK)
    waiting = sorted(set(new.values_list("currency", flat=True)))
    full = [(WAIT, currency, why) for currency in waiting if (why := _why_full(currency, at=at))]
    watch.raise_and_clear(full, kinds=(WAIT,), at=at)


def _why_needless(order: Order, plan: Plan, *, at: datetime) -> str:
    """Why an order must not leave any more; "" if it may. Raises calls.Refused if nobody knows."""
    if plan.call.state != State.ESCALATED or plan.state != Plan.State.APPROVED:
        return f"the call is {plan.call.state}, its plan {plan.state}"
    if liquidation.missing(plan.call, at=at) <= plan.call.tolerance:
        return "nothing is missing any more"
    return ""


def _why_stale(order: Order, plan: Plan, *, at: datetime) -> str:
    """Why an order must not leave as it was released: the client traded meanwhile, or the price moved; "" if it may.

    Staff are told to plan anew. Raises calls.Refused without a good price.
    """
    lead = plan.call.account
    accounts = [lead.pk, *lead.members.values_list("pk", flat=True)]
    holdings.lock_accounts(accounts)
    why = orders.why_not_held(order.line, accounts)
    why = why or orders.why_off_price(order, approvals.terms_of(plan.call), at=at)
    if why:
        message = f"{order} does not leave, {plan} of {plan.call} ends: {why}; propose a new one"
        watch.raise_alarm("not_sent", order.client_order_id, message, at=at)
    return why


def _after(claimed: Order, state: States, error: str, *, at: datetime) -> None:
    """What became of the attempt, unless somebody else knows better by now."""

    def write() -> None:
        order = Order.objects.select_for_update().get(pk=claimed.pk)
        if order.state == States.SENDING and order.token == claimed.token:
            orders.move(order, state, at=at, actor=SENDER, reason=error, last_error=error[:400])

    chain.in_transaction(write, is_patient=True)


# --- not knowing --------------------------------------------------------------------------------------------------


def lapse(*, at: datetime) -> int:
    """Orders whose sender died, and orders of which nothing was heard for long, are unknown; how many became so."""
    died = Order.objects.filter(state=States.SENDING, lease_until__lt=at)
    silent = Order.objects.filter(state=States.SENT, moved_at__lt=at - SILENCE).exclude(venue=DESK)
    count = 0
    for found in (*died.order_by("line"), *silent.order_by("line")):
        with transaction.atomic():
            order = Order.objects.select_for_update().get(pk=found.pk)
            if order.state == found.state and order.moved_at == found.moved_at:
                orders.move(order, States.UNKNOWN, at=at, actor=SENDER, reason="nobody knows whether it arrived")
                count += 1
    return count


def ask(order: Order, venue: interface.Venue, *, at: datetime) -> bool:
    """Ask what became of an order, counted before the question leaves: every question must be answered with never."""
    if order.asked_at is not None and at < order.asked_at + SILENCE and order.asked_at >= order.moved_at:
        return False
    if order.asks >= MOST_ATTEMPTS:
        message = f"nobody knows whether {order} arrived, and {order.venue} does not say; ring them"
        watch.raise_alarm("order_unknown", order.client_order_id, message, at=at)
        return False
    counted = Order.objects.filter(pk=order.pk, state=States.UNKNOWN, asks=order.asks)
    if not counted.update(asks=order.asks + 1, asked_at=at):
        return False
    try:
        venue.ask(_whole(order))
    except interface.NotSent:
        Order.objects.filter(pk=order.pk, asks=order.asks + 1).update(asks=order.asks, asked_at=None)
        return False
    return True


def cancel(order: Order, venue: interface.Venue, *, at: datetime) -> bool:
    """Ask a venue to take an order back; asked again while it says nothing."""
    if order.cancel_asked_at is not None and at < order.cancel_asked_at + SILENCE:
        return False
    Order.objects.filter(pk=order.pk).update(cancel_asked_at=at)
    try:
        venue.cancel(_whole(order))
    except interface.NotSent:
        Order.objects.filter(pk=order.pk).update(cancel_asked_at=None)
        return False
    except interface.Unknown:
        return False
    return True


def _whole(order: Order) -> interface.Order:
    found = Order.objects.select_related("line__instrument", "line__plan__call__account").get(pk=order.pk)
    return orders.as_sent(found)


def obey_switch(*, at: datetime) -> int:
    """While a switch that asks back is pulled, every order that left is asked back; how many were."""
    switch = control_switches.pulled()
    if switch is None or not switch.cancels_working:
        return 0
    count = 0
    for found in Order.objects.filter(state__in=OUTSIDE, cancel_wanted_at=None).order_by("line"):
        count += chain.in_transaction(partial(_ask_back, found.pk, at=at), is_patient=True)
    return count


def _ask_back(line_id: int, *, at: datetime) -> bool:
    order = Order.objects.select_for_update().get(pk=line_id)
    if order.state not in OUTSIDE or order.cancel_wanted_at is not None:
        return False
    orders.withdraw(order, at=at, actor=SENDER, reason="the kill switch is pulled")
    return True


def withdraw_needless(*, at: datetime) -> int:
    """Orders of calls that are over, by a cure or by a person, or that hold again for now, are taken back; of how many
    plans."""
    out = Order.objects.filter(state__in=(States.NEW, *OUTSIDE), cancel_wanted_at=None)
    needless = MarginCall.objects.exclude(state=State.ESCALATED, provisionally_met_at=None)
    plans = Plan.objects.filter(pk__in=out.values("release"), call__in=needless).select_related("call")
    for plan in plans:
        chain.in_transaction(partial(_withdraw, plan, at=at), is_patient=True)
    return len(plans)


def end_asked_back(*, at: datetime) -> int:
    """Orders that were asked back while nobody knew whether they had arrived, and had not; of how many plans."""
    asked_back = Order.objects.filter(state=States.NEW, cancel_wanted_at__isnull=False).order_by("line")
    plans = {order.release_id: order.cancel_reason for order in asked_back}
    for plan_id, reason in plans.items():
        plan = Plan.objects.select_related("call__account", "call__policy_version").get(pk=plan_id)
        chain.in_transaction(partial(booking.call_off, plan, at=at, actor=SENDER, reason=reason), is_patient=True)
    return len(plans)


def _withdraw(plan: Plan, *, at: datetime) -> None:
    is_over = plan.call.state != State.ESCALATED
    reason = f"the call is {plan.call.state}" if is_over else "the account holds again"
    booking.call_off(plan, at=at, actor=SENDER, reason=reason)
