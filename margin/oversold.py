"""What a plan sold beyond the need, and what that cost the client."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from accounts import cash
from accounts.fills import reference
from accounts.holdings import notional
from accounts.models import Fill, PositionFact
from margin import calls, hindsight, planning, prices, snapshot
from margin.hindsight import EVER, Otherwise, Undone
from margin.models import Event, Plan, PlanFill
from margin.prices import PriceSet
from margin.workflow import Verb
from market.models import Instrument

ZERO = Decimal(0)


@dataclass(frozen=True)
class Sale:
    """One fill of a plan. Quantities have the fill's sign (sold is negative), money is in the instrument's currency."""

    fill: Fill
    code: str
    needed: Decimal
    """What should have been sold of it; zero where no plan was needed."""
    excess: Decimal
    fair_price: Decimal | None
    """What it was truly quoted at when it was sold; None: not known."""
    price_now: Decimal | None
    loss_then: Decimal | None
    """Of the excess: its value at the fair price, less what it brought, with its share of the fee."""
    loss_now: Decimal | None
    """The same at the price of now: what it costs to buy back."""
    put_back: Mapping[int, Decimal]
    """Instrument → what undoes the excess: the instrument, and the cash it moved."""
    reasons: tuple[str, ...] = ()

    @property
    def restitution(self) -> Decimal | None:
        """The larger of the two losses, never negative: the client is put where it would be; None: it is unsaid."""
        if not self.excess:
            return ZERO
        known = [loss for loss in (self.loss_then, self.loss_now) if loss is not None]
        return max([ZERO, *known]) if known else None


def plans(before: datetime, call_ids: Iterable[int]) -> list[Plan]:
    """The calls' plans that were filled before an instant, in the order they were proposed."""
    filled = PlanFill.objects.filter(fill__traded_at__lt=before, line__plan__call__in=list(call_ids))
    found = Plan.objects.filter(pk__in=filled.values("line__plan"))
    return list(found.select_related("call__policy_version", "call__account").order_by("proposed_at", "pk"))


def sales(plan: Plan, *, otherwise: Otherwise, undone: Undone, valued_at: datetime) -> list[Sale]:
    """The plan's fills, each with what of it was needed; busted fills never were."""
    needed, reason = _needed(plan, otherwise, undone)
    now = prices.gather(at=valued_at, known_at=EVER)
    filled = PlanFill.objects.filter(line__plan=plan, fill__reversed_by=None)
    found = []
    for row in filled.select_related("fill__instrument").order_by("fill__traded_at", "fill"):
        fill = row.fill
        left = fill.quantity if needed is None else needed.get(fill.instrument_id, ZERO)
        used = max(left, fill.quantity) if fill.quantity < 0 else min(left, fill.quantity)
        if needed is not None:
            needed[fill.instrument_id] = left - used
        found.append(_sale(fill, used, otherwise, now, (reason,) if reason else ()))
    return found


def _needed(plan: Plan, otherwise: Otherwise, undone: Undone) -> tuple[dict[int, Decimal] | None, str]:
    """Instrument → what a plan of that instant should have traded; None with the reason where it cannot be said."""
    call = plan.call
    proposed = Event.objects.filter(call=call, kind=Verb.PROPOSE, at=plan.proposed_at).order_by("seq").first()
    known_at = proposed.recorded_at if proposed else None
    version = otherwise.policies.get(call.account.agreement, call.policy_version)
    snap = snapshot.take(
        prices=otherwise.corrected(prices.gather(at=plan.proposed_at, known_at=known_at or EVER)),
        in_force={call.account.agreement: version},
        accounts=snapshot.Accounts(ids=[call.account_id]),
        past=snapshot.Past(at=plan.proposed_at, known_at=known_at),
    )
    book = hindsight.put_back(snap, 0, undone.get(call.account_id, {})) if len(snap.book) else snap.book
    try:
        now = planning.standing(call, replace(snap, book=book))
        if now.demand.is_of_trades:
            return None, f"what was needed cannot be said: {call} came from trades"
        sized = planning.size(call, now)
    except calls.Refused as error:
        return None, f"what was needed cannot be said: {error}"
    return {trade.instrument_id: trade.quantity for trade in sized.whole}, ""


def _sale(fill: Fill, used: Decimal, otherwise: Otherwise, now: PriceSet, reasons: tuple[str, ...]) -> Sale:
    instrument = fill.instrument
    excess = fill.quantity - used
    then = otherwise.corrected(prices.gather(at=fill.traded_at, known_at=EVER))
    fair, price_now = _mark(then, instrument), _mark(now, instrument)
    missing = [
        f"{instrument.code} has no usable price {when}"
        for when, price in (("when it was sold", fair), ("now", price_now))
        if price is None and excess
    ]
    return Sale(
        fill=fill,
        code=instrument.code,
        needed=used,
        excess=excess,
        fair_price=fair,
        price_now=price_now,
        loss_then=_loss(fill, excess, fair),
        loss_now=_loss(fill, excess, price_now),
        put_back=_put_back(fill, excess),
        reasons=(*reasons, *missing),
    )


def _mark(known: PriceSet, instrument: Instrument) -> Decimal | None:
    price = known.prices.get(instrument.pk)
    return None if price is None or price.refused else price.mark


def _loss(fill: Fill, excess: Decimal, price: Decimal | None) -> Decimal | None:
    """What the client lost by trading `excess` at the fill's price instead of holding it at `price`, fee included."""
    if price is None:
        return None
    if not excess:
        return ZERO
    minor = cash.minor(cash.instrument(fill.instrument.currency))
    traded = notional(excess, fill.price, fill.instrument)
    worth = notional(excess, price, fill.instrument)
    return (traded - worth + fill.fee * excess / fill.quantity).quantize(minor, rounding=ROUND_HALF_EVEN)


def _put_back(fill: Fill, excess: Decimal) -> dict[int, Decimal]:
    """The changes that undo so much of a fill: the instrument back, and its share of the cash it moved."""
    if not excess:
        return {}
    currency = cash.instrument(fill.instrument.currency)
    moved = PositionFact.objects.filter(account=fill.account_id, instrument=currency, reference=reference(fill))
    paid = sum((fact.change for fact in moved), ZERO)
    share = (paid * excess / fill.quantity).quantize(cash.minor(currency), rounding=ROUND_HALF_EVEN)
    return {fill.instrument_id: -excess, currency.pk: -share}
