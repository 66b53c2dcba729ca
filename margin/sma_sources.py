"""What a cash movement or a fill is to SMA: its kind, and its amount in the base currency of the account.

Stock with loan value goes by fixed shares of its price (docs/methodologies/reg_t.md). All else, options before all, and
a fill that turns a long into a short, goes by its net call: what it paid less what it added to the Regulation T excess,
measured by the engine on the account before it and after it, at the price of the fill. For an option, which is in no
equity of the rule basis, that is requirement after − requirement before − proceeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts import cash, fills
from accounts.models import CashMovement, Cause, Fill, PositionFact
from margin import sma
from margin.engine import alternatives, regulation
from margin.engine.account import RULE_BOOK, Rules
from margin.engine.columns import Instruments
from margin.engine.exact import ZERO, exactly, round_down, round_up
from margin.engine.sma import COMMITMENTS, USES, Entry, Kind
from margin.models import SmaEntry, Sweep
from margin.snapshot import Snapshot
from market.models import Instrument

Moved = CashMovement.Kind
PAID = {Moved.DIVIDEND: Kind.DIVIDEND, Moved.INTEREST: Kind.INTEREST}
LEFT_ALONE = (  # like falling prices; the excess follows
    Q(kind__in=(Moved.FEE, Moved.FUNDING, Moved.SETTLEMENT))
    | Q(kind__in=tuple(PAID), amount__lt=0, reverses=None)  # charged
    | Q(kind__in=tuple(PAID), amount__gt=0, reverses__isnull=False)  # and its return
    | Q(kind=Moved.CORRECTION, source="receivable")  # what liquidation writes down is nobody's money coming in
)
STOCK = ("equity", "etf")


class NotKnown(LookupError):
    """What a posting needs cannot be told; the message says what is missing."""


@dataclass(frozen=True)
class Close:
    """What a close goes by: the sweep, its frozen book, how accounts stand, and their last entries seen before it."""

    sweep: Sweep
    snap: Snapshot
    found: regulation.Measured
    numbers: Mapping[int, int]  # account id → number of its last entry
    _rules: dict[tuple[int, int], Rules] = field(default_factory=dict, repr=False)

    @cached_property
    def account_rows(self) -> dict[int, int]:
        return {int(pk): row for row, pk in enumerate(self.snap.book.accounts)}

    @cached_property
    def instrument_rows(self) -> dict[int, int]:
        return {int(pk): row for row, pk in enumerate(self.snap.instruments.ids)}

    @cached_property
    def currencies(self) -> dict[str, Instrument]:
        known = zip(self.snap.instruments.currencies, self.snap.instruments.minor_exponents, strict=True)
        return cash.instruments({code for code, exponent in known if exponent is not None})

    def base(self, account: int) -> int:
        """The account's base currency, as an index into the snapshot's."""
        return int(self.snap.book.base[self.account_rows[account]])

    def rules(self, account: int) -> Rules:
        """The shares that the account's policy states, and its minimum equity in the account's currency."""
        row = self.account_rows[account]
        key = int(self.snap.book.policy[row]), int(self.snap.book.base[row])
        if key not in self._rules:
            terms = regulation.rule_of(self.snap.reading(row).policy).terms
            self._rules[key] = replace(
                RULE_BOOK,
                reg_t_long_rate=terms.initial_long_rate,
                reg_t_short_rate=terms.initial_short_rate,
                minimum_equity=worth(terms.minimum_equity, terms.currency, account, self),
            )
        return self._rules[key]

    def exponent(self, account: int) -> int:
        """Decimals of the account's base currency."""
        return self.snap.instruments.minor_exponent(self.base(account))


@dataclass(frozen=True)
class Source:
    """A movement or a fill that has no entry yet; of a fill, what was held after it was booked."""

    account_id: int
    at: datetime
    movement: CashMovement | None = None
    fill: Fill | None = None
    held: Decimal | None = None

    @property
    def order(self) -> tuple[datetime, bool, int]:
        """By the instant of effect; money before trades of the same instant."""
        return self.at, self.fill is not None, (self.fill or self.movement).pk  # type: ignore[union-attr]


def unposted(accounts: Sequence[int], *, until: datetime) -> dict[int, list[Source]]:
    """What took effect until then, has no entry and is in no opening excess: by account, in order."""
    found: dict[int, list[Source]] = {}
    moved = _without_entry(CashMovement.objects.exclude(LEFT_ALONE), "movement", "effective_at", accounts, until)
    for movement in moved.select_related("currency"):
        source = Source(movement.account_id, movement.effective_at, movement=movement)
        found.setdefault(movement.account_id, []).append(source)
    traded = list(
        _without_entry(Fill.objects.all(), "fill", "traded_at", accounts, until).select_related(
            "instrument", "reverses"
        )
    )
    held = _held_after(traded)
    for fill in traded:
        place = (fill.account_id, fill.instrument_id, fills.reference(fill))
        source = Source(fill.account_id, fill.traded_at, fill=fill, held=held.get(place))
        found.setdefault(fill.account_id, []).append(source)
    return {account: sorted(sources, key=lambda source: source.order) for account, sources in found.items()}


def entries(sources: Sequence[Source], close: Close) -> list[Entry]:
    """The entries that an account's sources make, without what results. Raises NotKnown if one cannot be told."""
    later: dict[int, Decimal] = {}
    paid = {source.fill.instrument: source.fill.price for source in sources if source.fill is not None}
    made = []
    for source in reversed(sources):
        if source.movement is not None:
            made.append(_of_movement(source.movement, close))
        elif source.fill is not None:
            made.append(_of_fill(source.fill, source.held, close, Around(later, paid)))
            instrument = source.fill.instrument_id
            with exactly():
                later[instrument] = later.get(instrument, ZERO) + source.fill.quantity
    return made[::-1]


# --- rows -------------------------------------------------------------------------------------------


def _without_entry(
    rows: QuerySet[Any], source: str, effective: str, accounts: Sequence[int], until: datetime
) -> QuerySet[Any]:
    posted = SmaEntry.objects.filter(**{source: OuterRef("pk")})
    opening = SmaEntry.objects.filter(
        account=OuterRef("account"),
        reference=sma.OPENING,
        at__gte=OuterRef(effective),
        recorded_at__gte=OuterRef("recorded_at"),
    )
    return rows.filter(~Exists(posted), ~Exists(opening), account__in=accounts, **{f"{effective}__lte": until})


def _held_after(traded: Sequence[Fill]) -> dict[tuple[int, int, str], Decimal]:
    facts = PositionFact.objects.filter(
        account__in={fill.account_id for fill in traded},
        instrument__in={fill.instrument_id for fill in traded},
        reference__in=[fills.reference(fill) for fill in traded],
        cause=Cause.FILL,
    )
    rows = facts.values_list("account_id", "instrument_id", "reference", "quantity")
    return {(account, instrument, reference): quantity for account, instrument, reference, quantity in rows}


# --- movements --------------------------------------------------------------------------------------


def _of_movement(movement: CashMovement, close: Close) -> Entry:
    kind = _kind_of(movement)
    amount = worth(abs(movement.amount), movement.currency.currency, movement.account_id, close)
    return Entry(kind, _rounded(kind, amount, close.exponent(movement.account_id)))


def _kind_of(movement: CashMovement) -> Kind:
    if movement.amount > 0:
        return PAID.get(Moved(movement.kind), Kind.DEPOSIT)
    return Kind.WITHDRAWAL if movement.kind == Moved.WITHDRAWAL else Kind.REVERSAL


def worth(amount: Decimal, currency: str, account: int, close: Close) -> Decimal:
    """In the account's base currency at the rate of the close, exact."""
    instruments = close.snap.instruments
    base = instruments.currencies[close.base(account)]
    rate = close.snap.market.rate(currency, base)
    if rate is None:
        raise NotKnown(f"no exchange rate of {currency} in {base}")
    with exactly():
        return amount * rate


def _rounded(kind: Kind, worth: Decimal, exponent: int) -> Decimal:
    """Whole in the smallest unit: what is credited down, what is asked up."""
    return (round_up if kind in COMMITMENTS or kind in USES else round_down)(worth, exponent)


# --- fills ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Around:
    """The other fills of the account that are posted with one: what follows it, and at which price each last was.

    Requirements are of trade prices, so that the legs of one order add up to what the order asks.
    """

    later: Mapping[int, Decimal]  # quantity by instrument id
    prices: Mapping[Instrument, Decimal]


def _of_fill(fill: Fill, held: Decimal | None, close: Close, around: Around) -> Entry:
    if held is None:
        raise NotKnown(f"{fill} moved no position")
    currency = close.currencies[fill.instrument.currency]
    with exactly():
        paid = -fill.fee - fills.cash_effect(fill, fill.instrument, currency)  # negative where it brought money
    amount = worth(paid, fill.instrument.currency, fill.account_id, close)
    kind = _share(fill, held)
    with exactly():
        amount = amount - _gain(fill, close, around) if kind is None else abs(amount)
    kind = kind or Kind.OPTION
    return Entry(kind, _rounded(kind, amount, close.exponent(fill.account_id)))


def _share(fill: Fill, held: Decimal) -> Kind | None:
    """The kind of a fill that goes by a fixed share of its price; None: by its net call."""
    with exactly():
        before = held - fill.quantity
    if fill.instrument.kind not in STOCK:
        return None
    is_purchase = fill.quantity > 0 and before >= 0
    if not fill.instrument.margin_eligible:
        return Kind.CASH_PURCHASE if is_purchase else None
    if is_purchase:
        return Kind.PURCHASE
    if fill.quantity > 0:
        return Kind.COVER if held <= 0 else None
    if before <= 0:
        return Kind.SHORT_SALE
    return Kind.SALE if held >= 0 else None


def _gain(fill: Fill, close: Close, around: Around) -> Decimal:
    """What the fill added to the Regulation T excess, its money aside: after it less before it, at trade prices."""
    if _is_adjusted_after(fill, close):
        raise NotKnown(f"a corporate action or correction came after {fill}: what it asked cannot be told")
    snap, row = close.snap, close.instrument_rows[fill.instrument_id]
    after = {close.instrument_rows[instrument]: -quantity for instrument, quantity in around.later.items()}
    with exactly():
        before = {**after, row: after.get(row, ZERO) - fill.quantity}
    instruments = _at_trade_prices(fill, close, around)
    books = alternatives.books(instruments, snap.book, close.account_rows[fill.account_id], [before, after])
    excess = regulation.excesses(books, instruments, snap.market, snap.rules)
    if len(excess) < len(books):
        raise NotKnown(f"the positions around {fill} cannot be measured")
    with exactly():
        return excess[1] - excess[0]


def _at_trade_prices(fill: Fill, close: Close, around: Around) -> Instruments:
    """The instruments of the close, those of the fills at what was paid; stock keeps the price its options are on."""
    price, priced = close.snap.instruments.price.copy(), close.snap.instruments.priced.copy()
    others = {one: paid for one, paid in around.prices.items() if one.kind not in STOCK}
    for instrument, paid in {**others, fill.instrument: fill.price}.items():
        row = close.instrument_rows[instrument.pk]
        price[row], priced[row] = paid / instrument.price_divisor, True
    return replace(close.snap.instruments, price=price, priced=priced)


def _is_adjusted_after(fill: Fill, close: Close) -> bool:
    return PositionFact.objects.filter(
        account=fill.account_id,
        cause=Cause.ADJUSTMENT,
        effective_at__gte=fill.traded_at,
        effective_at__lte=close.sweep.at,
    ).exists()
