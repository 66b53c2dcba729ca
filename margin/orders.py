"""Orders of released plans: placed within a collar; what venues say of them, and what that leaves of them.

Whatever order reports come in, and however often, the same reports leave the same executions and the same state:
both are worked out anew from all that was said. `margin.booking` makes fills of it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from accounts import holdings
from margin import calls, liquidation, prices
from margin.actors import Actor, system
from margin.models import Order, OrderReport, Plan, PlanLine, Release
from margin.order_models import DESK, OUTSIDE, client_order_id
from margin.policy_terms import ReleaseTerms
from margin.venues import interface
from margin.venues.interface import Told
from margin.workflow import Verb

States = Order.State
SYSTEM = system("orders")
SAYS_NOTHING = frozenset({Told.NEVER_HEARD, Told.CANCEL_REFUSED})
"""Of an order that is there: an unknown one cannot be taken back either."""


# --- placing --------------------------------------------------------------------------------------------------


def place(plan: Plan, release: Release, terms: ReleaseTerms, *, at: datetime) -> list[Order]:
    """One order per line, limited to the collar around the last good price; raises calls.Refused without one."""
    now = prices.gather(at=at).prices
    placed = [_order(line, release, terms, now.get(line.instrument_id), at) for line in _lines(plan)]
    try:
        with transaction.atomic():
            Order.objects.bulk_create(placed)
    except IntegrityError as refusal:
        raise calls.Refused(str(refusal).partition("\n")[0]) from None
    if release.venue == DESK:
        for order in placed:
            hear_desk(order, Told.ACCEPTED, "accepted", at=at)
            move(order, States.WORKING, at=at, actor=SYSTEM)
    return placed


def why_not_held(line: PlanLine, accounts: Sequence[int]) -> str:
    """Why a line would turn what is held, or open what is not; "" if it closes some of it. Lock the accounts first."""
    found = holdings.held(accounts, [line.instrument_id])
    held = sum((quantity for quantity, _ in found.values()), Decimal(0))
    if held * line.quantity < 0 and abs(line.quantity) <= abs(held):
        return ""
    return f"{line.instrument}: {held.normalize():f} are held and {line.quantity.normalize():f} would be traded"


def why_off_price(order: Order, terms: ReleaseTerms, *, at: datetime) -> str:
    """Why an order's limit is of no use any more: the price moved too far since; "" if it did not.

    Raises calls.Refused without a good price of now.
    """
    now, _ = good_price(order.line, terms, prices.gather(at=at).prices.get(order.line.instrument_id), at)
    was = order.reference_price
    if was is None or abs(now - was) <= terms.price_move * abs(was):
        return ""
    return f"{order.line.instrument} moved from {was.normalize():f} to {now.normalize():f} since the release"


def _lines(plan: Plan) -> Iterable[PlanLine]:
    return plan.lines.select_related("instrument").order_by("id")


def good_price(
    line: PlanLine, terms: ReleaseTerms, price: prices.Price | None, at: datetime
) -> tuple[Decimal, datetime]:
    """The price an order may go out at, and its instant; raises calls.Refused where there is none, or it is too old."""
    if price is None or price.mark is None or price.as_of is None or price.refused:
        why = price.refused if price is not None and price.refused else "it has no price"
        raise calls.Refused(f"{line.instrument} cannot be ordered: {why}")
    age = (at - price.as_of).total_seconds()
    if terms.price_seconds is not None and age > terms.price_seconds:
        raise calls.Refused(
            f"{line.instrument} cannot be ordered: its last good price is {age:.0f} s old, {terms.price_seconds} s are"
            " allowed; load a new one"
        )
    return price.mark, price.as_of


def _order(line: PlanLine, release: Release, terms: ReleaseTerms, price: prices.Price | None, at: datetime) -> Order:
    mark, as_of = good_price(line, terms, price, at)
    return Order(
        line=line, release=release, client_order_id=client_order_id(line.pk, release.content_hash),
        venue=release.venue, quantity=line.quantity, limit_price=collar(mark, line.quantity, terms.collar_rate),
        reference_price=mark, reference_at=as_of, currency=line.instrument.currency, created_at=at,
        moved_at=at,
    )  # fmt: skip


def collar(mark: Decimal, quantity: Decimal, rate: Decimal) -> Decimal:
    """The worst acceptable price: below the last good one for a sale, above it for a purchase.

    >>> collar(Decimal(50), Decimal(-7), Decimal("0.05")), collar(Decimal(-2), Decimal(1), Decimal("0.05"))
    (Decimal('47.50'), Decimal('-1.90'))
    """
    room = abs(mark) * rate
    return mark - room if quantity < 0 else mark + room


def earlier(order: Order) -> QuerySet[Order]:
    """The orders of the slices before an order's own. Lines leave one slice after the other: what covers a short
    position is not sold before the short is closed."""
    plan = Plan.objects.get(pk=order.release_id)
    slices = {int(line["instrument"]): int(line.get("slice", 0)) for line in liquidation.content(plan)["lines"]}
    mine = slices.get(order.line.instrument_id, 0)
    before = [instrument for instrument, number in slices.items() if number < mine]
    return Order.objects.filter(release=order.release_id, line__instrument__in=before)


def as_sent(order: Order) -> interface.Order:
    """The order as a venue takes it."""
    line = order.line
    return interface.Order(
        client_order_id=order.client_order_id,
        account=line.plan.call.account.code,
        instrument=line.instrument.code,
        side=interface.Side.SELL if order.quantity < 0 else interface.Side.BUY,
        quantity=abs(order.quantity),
        limit=order.limit_price,
        currency=order.currency,
    )


# --- what was said --------------------------------------------------------------------------------------------------


def keep(report: interface.Report) -> tuple[OrderReport, bool]:
    """Store what a venue said; said again, it is the same row."""
    order = Order.objects.filter(client_order_id=report.client_order_id, venue=report.venue).first()
    kept, is_new = OrderReport.objects.get_or_create(
        venue=report.venue,
        report_id=report.report_id,
        defaults={
            "client_order_id": report.client_order_id, "order": order, "told": report.told.value, "at": report.at,
            "quantity": report.quantity, "price": report.price, "fee": report.fee, "refers_to": report.refers_to,
            "venue_order_id": report.venue_order_id[:64], "text": report.text[:400],
        },
    )  # fmt: skip
    return kept, is_new


def contradiction(kept: OrderReport, report: interface.Report) -> str:
    """What a venue now says otherwise under the same name; "" if it only repeats itself."""
    said = ("client_order_id", "told", "quantity", "price", "fee", "refers_to")
    differing = [f"{name} was {getattr(kept, name)}" for name in said if getattr(kept, name) != getattr(report, name)]
    return ", ".join(differing)


def hear_desk(order: Order, told: Told, name: str, *, at: datetime) -> None:
    keep(interface.Report(DESK, f"{order.client_order_id}:{name}", order.client_order_id, told, at))


def executions(reports: Iterable[OrderReport]) -> list[OrderReport]:
    """The executions that stand, each as it was said last: corrected ones as corrected, busted ones not at all.

    Independent of the order in which reports arrived; a bust or a correction may come before what it refers to.
    """
    heard = {report.report_id: report for report in reports}
    first: dict[str, list[OrderReport]] = {}
    busted = set()
    for report in heard.values():
        if report.told in (Told.FILLED, Told.CORRECTED):
            first.setdefault(_origin(report, heard), []).append(report)
        elif report.told == Told.BUSTED:
            busted.add(_origin(report, heard))
    standing = [max(said, key=_weight) for origin, said in first.items() if origin not in busted]
    return sorted((one for one in standing if one.quantity), key=lambda one: (one.at, one.report_id))


def _origin(report: OrderReport, heard: dict[str, OrderReport]) -> str:
    """The id of the execution that a report is about, through corrections of corrections."""
    name, seen = report.report_id, set[str]()
    while name in heard and heard[name].refers_to and name not in seen:
        seen.add(name)
        name = heard[name].refers_to
    return name


def _weight(report: OrderReport) -> tuple[bool, datetime, str]:
    return report.told == Told.CORRECTED, report.at, report.report_id


def state_after(order: Order, reports: Sequence[OrderReport]) -> States:
    """What all that was said leaves of an order; where nothing was said it stays as it is.

    An unknown one is new again only if the venue, asked since then, never heard of it as often as it was asked.
    """
    told = {report.told for report in reports}
    done = sum((one.quantity for one in executions(reports)), Decimal(0))
    if done >= abs(order.quantity):
        return States.FILLED
    if Told.CANCELLED in told:
        return States.CANCELLED
    if Told.REJECTED in told:
        return States.REJECTED
    if told - SAYS_NOTHING:
        return States.WORKING
    never_heard = sum(report.told == Told.NEVER_HEARD for report in reports)
    is_asked = order.asked_at is not None and order.asked_at >= order.moved_at
    if order.state == States.UNKNOWN and is_asked and 0 < order.asks <= never_heard:
        return States.NEW
    return States(order.state)


def move(order: Order, state: States, *, at: datetime, actor: Actor, reason: str = "", **columns: object) -> None:
    """Move an order on, with its event; nothing where it is there already."""
    if order.state == state:
        return
    details = {"order": order.client_order_id, "was": order.state, "is": state.value}
    order.state, order.moved_at = state, at
    for name, value in columns.items():
        setattr(order, name, value)
    order.save(update_fields=["state", "moved_at", *columns])
    plan = Plan.objects.get(pk=order.release_id)
    liquidation.record(plan, Verb.ORDER, at=at, actor=actor, reason=reason, details=details)


def withdraw(order: Order, *, at: datetime, actor: Actor, reason: str) -> None:
    """Take an order back: at once where nobody else has it, else by asking its venue, which may fill it meanwhile."""
    if order.venue == DESK and not order.is_over:
        hear_desk(order, Told.CANCELLED, "cancelled", at=at)
        move(order, state_after(order, list(order.reports.all())), at=at, actor=actor, reason=reason)
    elif order.state == States.NEW:
        move(order, States.CANCELLED, at=at, actor=actor, reason=reason)
    elif order.state in OUTSIDE and order.cancel_wanted_at is None:
        order.cancel_wanted_at, order.cancel_reason = at, reason[:200]
        order.save(update_fields=["cancel_wanted_at", "cancel_reason"])
