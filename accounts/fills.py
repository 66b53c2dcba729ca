"""Executed trades: each moves its instrument and its cash once, however often and in whatever order it is reported.

A future or a perpetual moves no notional: its fill costs the fee, and where it closes what was held it pays the profit
since it was opened or last settled; the rest comes later as variation margin (`settlement`). A fill reported after a
corporate action that its trade preceded is adjusted at once (`adjustments.follow`).
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import NamedTuple

from django.db import IntegrityError, transaction

from accounts import adjustments, cash, holdings, ledgers
from accounts.holdings import MARGINED, notional
from accounts.models import Account, Cause, Fill, PositionFact
from market import strict
from market.models import Instrument, Kind

COLUMNS = {  # of accounts_fill, with their types
    "account_id": "bigint",
    "instrument_id": "bigint",
    "source": "text",
    "external_reference": "text",
    "quantity": "numeric",
    "price": "numeric",
    "fee": "numeric",
    "traded_at": "timestamptz",
    "settles_on": "date",
    "reverses_id": "bigint",
}
SAME = ("account_id", "instrument_id", "quantity", "price", "fee", "traded_at", "settles_on", "reverses_id")
SAME_BUST = ("account_id", "reverses_id")  # a bust repeats everything else from the fill it takes back


class Terms(NamedTuple):
    """What a fill needs to know of the world: instruments by id, cash instruments by currency, closed accounts."""

    instruments: Mapping[int, Instrument]
    currencies: Mapping[str, Instrument]
    closed: Mapping[int, tuple[str, date]]


def apply_fill(
    account: Account,
    *,
    instrument: Instrument,
    quantity: Decimal,
    price: Decimal,
    fee: Decimal = Decimal(0),
    source: str,
    external_reference: str,
    traded_at: datetime,
    at: datetime,
    settles_on: date | None = None,
) -> Fill:
    """Book one executed trade: bought is positive, sold negative; price as quoted; fee in the instrument's currency."""
    fill = Fill(
        account=account,
        instrument=instrument,
        quantity=quantity,
        price=price,
        fee=fee,
        source=source,
        external_reference=external_reference,
        traded_at=traded_at,
        settles_on=settles_on,
    )
    return apply_fills([fill], at=at)[0]


def apply_fills(fills: Sequence[Fill], *, at: datetime) -> list[Fill]:
    """Book executed trades (unsaved rows), all or nothing; returns the stored rows in the order given.

    A fill that is there already is returned and moves nothing; Conflict if its reference says something else. Raises
    Refused with the place of each wrong fill in the batch, counted from 1.
    """
    if not fills:
        return []
    terms = _terms(fills)
    _check(fills, terms, at=at)
    with transaction.atomic():
        _lock(fills, terms)
        fresh = _insert(fills)
        stored = _stored(fills, SAME)
        new = [fill for fill in stored if fill.pk in fresh]
        holdings.write(_all_changes(new, terms, at), cause=Cause.FILL)
        adjustments.follow({(fill.instrument_id, fill.account_id, fill.traded_at) for fill in new}, at=at)
    return stored


def bust(fill: Fill, *, source: str, external_reference: str, at: datetime) -> Fill:
    """Take a fill back, once: a linked fill of the opposite quantity at the same price, and the fee returned.

    It counts from when the fill was traded, so that a split in between takes back what it gave. The cost becomes what
    it was before the fill; if the position has moved since, nobody knows that, and the cost is unknown. A future or
    perpetual that moved since, or was settled, is traded back at the fill's price instead: what that realises pays
    variation margin of the fill back, and equity is as if the fill had never been.
    """
    if fill.reverses_id is not None:
        raise strict.refuse("reverses", f"fill {fill.pk} is itself a bust; book the trade again under a new reference")
    ledgers.reference_name(source, external_reference)
    back = Fill(
        account_id=fill.account_id,
        instrument_id=fill.instrument_id,
        source=source,
        external_reference=external_reference,
        quantity=fill.quantity.copy_negate(),
        price=fill.price,
        fee=fill.fee,
        traded_at=fill.traded_at,
        reverses=fill,
    )
    terms = _terms([back])
    with transaction.atomic():
        _lock([back], terms)
        fresh = _insert([back])
        (stored,) = _stored([back], SAME_BUST)
        if stored.pk in fresh:
            holdings.write(_taken_back(fill, stored, terms, at), cause=Cause.FILL)
            adjustments.follow({(fill.instrument_id, fill.account_id, fill.traded_at)}, at=at)
    return stored


def reference(fill: Fill) -> str:
    """What position facts call a fill."""
    return f"fill:{fill.source}:{fill.external_reference}"


def cash_effect(fill: Fill, instrument: Instrument, currency: Instrument) -> Decimal:
    """What a fill moves in cash, negative when paid: rounded half-even to the smallest unit, then the exact fee. What a
    future or perpetual realises comes on top.

    >>> gold = Instrument(kind="equity", multiplier=Decimal(1), price_divisor=1)
    >>> trade = Fill(quantity=Decimal(3), price=Decimal("10.005"), fee=Decimal("1.50"))
    >>> cash_effect(trade, gold, Instrument(kind="cash", minor_exponent=2))
    Decimal('-31.52')
    """
    fee = -fill.fee
    if instrument.kind in MARGINED:
        return fee
    with localcontext(holdings.ARITHMETIC):
        paid = notional(fill.quantity, fill.price, instrument)
        return -paid.quantize(cash.minor(currency), rounding=ROUND_HALF_EVEN) + fee


def _all_changes(new: Sequence[Fill], terms: Terms, at: datetime) -> list[holdings.Change]:
    """The changes of new fills in their order; what each realises depends on those before it."""
    margined = [fill for fill in new if terms.instruments[fill.instrument_id].kind in MARGINED]
    held = holdings.held({fill.account_id for fill in margined}, {fill.instrument_id for fill in margined})
    changes = []
    for fill in new:
        instrument = terms.instruments[fill.instrument_id]
        currency = terms.currencies[instrument.currency]
        paid = cash_effect(fill, instrument, currency)
        moved = _moved(fill, notional(fill.quantity, fill.price, instrument), at)
        if instrument.kind in MARGINED:
            place = (fill.account_id, fill.instrument_id)
            before = held.get(place, holdings.NOTHING)
            paid += to_cash(holdings.realised(before, moved), currency)
            held[place] = (before[0] + fill.quantity, holdings.cost_after(before, moved))
        changes += _with_money(moved, terms, fill, paid)
    return changes


def to_cash(profit: Decimal | None, currency: Instrument) -> Decimal:
    """A profit as it is paid, half-even to the smallest unit; what is unknown is not paid."""
    if profit is None:
        return Decimal(0)
    return profit.quantize(cash.minor(currency), rounding=ROUND_HALF_EVEN, context=holdings.ARITHMETIC)


def _taken_back(fill: Fill, back: Fill, terms: Terms, at: datetime) -> list[holdings.Change]:
    """The changes by which `back` undoes `fill`."""
    instrument = terms.instruments[fill.instrument_id]
    facts = PositionFact.objects.filter(account_id=fill.account_id, instrument_id=fill.instrument_id)
    own = facts.filter(reference=reference(fill)).values("id")[:1]
    causes = set(facts.filter(id__gt=own).values_list("cause", flat=True))
    if instrument.kind in MARGINED and causes and causes <= {Cause.FILL, Cause.CASH}:  # a split would change the price
        moved = _moved(back, notional(back.quantity, back.price, instrument), at)
        place = (back.account_id, back.instrument_id)
        before = holdings.held(place[:1], place[1:]).get(place, holdings.NOTHING)
        profit = holdings.realised(before, moved)
        if profit is not None:
            paid = fill.fee + to_cash(profit, terms.currencies[instrument.currency])
            return _with_money(moved, terms, back, paid)
    moved = _moved(back, _cost_before(back), at, rule=holdings.CostRule.STATE)
    return _with_money(moved, terms, back, _paid_back(fill, terms))


def _with_money(moved: holdings.Change, terms: Terms, fill: Fill, paid: Decimal) -> list[holdings.Change]:
    currency = terms.currencies[terms.instruments[fill.instrument_id].currency]
    money = holdings.Change(fill.account_id, currency.pk, paid, reference(fill), moved.effective_at)
    return [change for change in (moved, money) if change.change]


def _moved(
    fill: Fill, cost: Decimal | None, at: datetime, *, rule: holdings.CostRule = holdings.CostRule.TRADE
) -> holdings.Change:
    """How a fill changes the position in its instrument."""
    effective_at = min(fill.traded_at, at)
    return holdings.Change(
        fill.account_id, fill.instrument_id, fill.quantity, reference(fill), effective_at, cost=cost, rule=rule
    )


def _paid_back(fill: Fill, terms: Terms) -> Decimal:
    """The cash that a bust returns: the opposite of what its fill moved, fee and realised profit included."""
    currency = terms.currencies[terms.instruments[fill.instrument_id].currency]
    moved = PositionFact.objects.filter(
        account_id=fill.account_id, instrument=currency, reference=reference(fill), cause=Cause.FILL
    )
    return -sum((fact.change for fact in moved), Decimal(0))


def _cost_before(bust: Fill) -> Decimal | None:
    """What the position had cost before the fill that is taken back, if that was its last change."""
    facts = PositionFact.objects.filter(account_id=bust.account_id, instrument_id=bust.instrument_id).order_by("-id")
    last, *before = facts[:2]
    assert bust.reverses is not None  # noqa: S101  only busts come here
    if last.reference != reference(bust.reverses):
        return None
    return before[0].cost if before and before[0].quantity else Decimal(0)


def _terms(fills: Sequence[Fill]) -> Terms:
    instruments = Instrument.objects.in_bulk({fill.instrument_id for fill in fills})
    return Terms(
        instruments=instruments,
        currencies=cash.instruments({instrument.currency for instrument in instruments.values()}),
        closed=ledgers.closed_accounts(fill.account_id for fill in fills),
    )


def _check(fills: Sequence[Fill], terms: Terms, *, at: datetime) -> None:
    problems = strict.Problems()
    names: set[tuple[str, str]] = set()
    for row, fill in enumerate(fills, start=1):
        try:
            name = ledgers.reference_name(fill.source, fill.external_reference)
            if name in names:
                raise strict.refuse("external_reference", f"{strict.shown(name[1])} comes twice in this batch")
            names.add(name)
            _check_fill(fill, terms, at)
        except strict.Refused as refusal:
            problems.take(row, refusal)
    problems.check()


def _check_fill(fill: Fill, terms: Terms, at: datetime) -> None:
    instrument = terms.instruments[fill.instrument_id]
    if fill.reverses_id is not None:
        raise strict.refuse("reverses", "a fill is taken back by a bust, not by a fill")
    if instrument.kind == Kind.CASH:
        raise strict.refuse("instrument", f"{instrument.code} is cash, which moves by cash movements, not fills")
    fill.quantity = strict.exact(fill.quantity, field="quantity", digits=32, places=12)
    fill.price = strict.exact(fill.price, field="price", digits=32, places=12)
    fill.fee = cash.checked(fill.fee, terms.currencies[instrument.currency], field="fee")
    if not fill.quantity:
        raise strict.refuse("quantity", "is zero; a fill moves something")
    if fill.fee < 0:
        raise strict.refuse("fee", f"{fill.fee} is negative; book a rebate as a cash movement")
    if fill.price < 0 and not instrument.may_be_negative:
        raise strict.refuse("price", f"{fill.price} is negative, which {instrument.code} may not be")
    traded_at = ledgers.not_in_the_future(fill.traded_at, at, field="traded_at")
    if instrument.ended_at is not None and traded_at >= instrument.ended_at:
        raise strict.refuse("instrument", f"{instrument.code} ended at {instrument.ended_at.isoformat()}")
    ledgers.check_open(terms.closed, fill.account_id, traded_at)


def _lock(fills: Sequence[Fill], terms: Terms) -> None:
    holdings.lock_instruments([*terms.instruments, *(currency.pk for currency in terms.currencies.values())])
    holdings.lock_accounts(fill.account_id for fill in fills)


def _insert(fills: Sequence[Fill]) -> set[int]:
    """Insert what is new, in the order of references so that two batches cannot wait for each other."""
    ordered = sorted(fills, key=lambda fill: (fill.source, fill.external_reference))
    try:
        with transaction.atomic():
            return ledgers.insert_new(
                "accounts_fill",
                COLUMNS,
                [[getattr(fill, name) for name in COLUMNS] for fill in ordered],
                unique=("source", "external_reference"),
            )
    except IntegrityError as error:
        if "reverses" in str(error):
            raise ledgers.conflict("reverses", "the fill was taken back already; once is enough") from None
        raise


def _stored(fills: Sequence[Fill], same: Sequence[str]) -> list[Fill]:
    there = ledgers.by_reference(Fill, fills)
    return [ledgers.check_same(there[one.source, one.external_reference], one, same) for one in fills]
