"""Changes of positions that are no trades: corporate actions, and corrections by hand.

What an action owes an account follows from what the account held just before the action took effect, less what was
adjusted for it already. So an action may be applied any number of times, before or after late fills, with one end.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from typing import Any, NamedTuple

from django.contrib.auth.models import AbstractBaseUser
from django.db import connection, transaction

from accounts import cash, holdings, ledgers
from accounts.models import Account, Adjustment, CashMovement, Cause
from market import actions, strict
from market.models import CorporateAction, Instrument, Kind

Action = CorporateAction.Kind
COLUMNS = {  # of accounts_adjustment, with their types
    "account_id": "bigint",
    "instrument_id": "bigint",
    "change": "numeric",
    "is_delivery": "boolean",
    "reason": "text",
    "external_reference": "text",
    "effective_at": "timestamptz",
    "entered_by_id": "bigint",
}
ADJUSTING = (Action.SPLIT, Action.WRITE_OFF, Action.EXPIRY)  # the others change names and prices, not quantities
SOURCE = "action"
SAME = ("account_id", "instrument_id", "change", "is_delivery")  # what makes a repeat the same adjustment
QUANTITY_STEP = Decimal(1).scaleb(-12)


class Due(NamedTuple):
    """What an action still owes one account: the change of its position, under the reference of this adjustment."""

    account_id: int
    change: Decimal
    reference: str


class Applied(NamedTuple):
    """What a run over the approved actions did: how many were applied, and why each other one was not."""

    applied: int
    refused: list[tuple[CorporateAction, str]]


def adjust(
    account: Account,
    *,
    instrument: Instrument,
    change: Decimal,
    reason: str,
    external_reference: str,
    at: datetime,
    effective_at: datetime | None = None,
    cost: Decimal | None = None,
    entered_by: AbstractBaseUser | None = None,
    is_delivery: bool = False,
) -> Adjustment:
    """Correct a position by hand, with a reason. `cost` is what was paid for the change; None: unknown.

    A delivery is securities or coins that the client brought in, or took out, free of payment: what came in since a
    call was issued may cure it. The same correction again returns the one that is there; Conflict if its reference says
    something else.
    """
    if instrument.kind == Kind.CASH:
        raise strict.refuse("instrument", f"{instrument.code} is cash; post a correction as a cash movement")
    if not isinstance(reason, str) or not reason:
        raise strict.refuse("reason", "is missing; say why the position is corrected")
    ledgers.reference_name(SOURCE, external_reference)
    if external_reference.startswith(f"{SOURCE}:"):
        raise strict.refuse("external_reference", f"references that begin with {SOURCE}: belong to corporate actions")
    given = Adjustment(
        account=account,
        instrument=instrument,
        change=strict.exact(change, field="change", digits=32, places=12),
        is_delivery=is_delivery,
        reason=strict.words(reason, field="reason", length=200),
        external_reference=external_reference,
        effective_at=ledgers.not_in_the_future(effective_at or at, at, field="effective_at"),
        entered_by_id=entered_by.pk if entered_by else None,
    )
    if not given.change:
        raise strict.refuse("change", "is zero; an adjustment changes something")
    if cost is not None:
        cost = strict.exact(cost, field="cost", digits=28, places=8)
    ledgers.check_open(ledgers.closed_accounts([account.pk]), account.pk, given.effective_at)
    with transaction.atomic():
        holdings.lock_instruments([instrument.pk])
        holdings.lock_accounts([account.pk])
        fresh = _insert([given])
        stored = Adjustment.objects.get(external_reference=external_reference)
        if any(getattr(stored, field) != getattr(given, field) for field in SAME):
            reason = f"{external_reference} is already used by another adjustment, {stored}; use a new reference"
            raise ledgers.conflict("external_reference", reason)
        if fresh:
            _move([stored], cost=cost, rule=holdings.CostRule.TRADE)
            follow({(instrument.pk, account.pk, stored.effective_at)}, at=at)
    return stored


def apply_approved_actions(*, at: datetime) -> Applied:
    """Apply every approved action that has taken effect, oldest first, each in a transaction of its own."""
    applied, refused = 0, []
    for action in actions.due(at):
        try:
            applied += apply_action(action, at=at)
        except strict.Refused as refusal:
            refused.append((action, str(refusal)))
    return Applied(applied, refused)


def apply_action(action: CorporateAction, *, at: datetime) -> bool:
    """Adjust every position that the action concerns and mark it applied, in one transaction.

    * split: quantities are multiplied, fractions kept, cost unchanged; quotes are not touched;
    * write-off: the position ends at zero, and its last fact keeps what had been paid;
    * expiry: the position ends at zero against `settlement_price` × quantity × multiplier in cash, which may be
      negative. A future is closed at that price: it pays the profit since it was opened or last settled;
    * delisting, symbol change: positions stay as they are.

    Returns False, changing nothing, if it is applied already. Raises Refused if it may not be applied (yet).
    """
    with transaction.atomic():
        holdings.lock_instrument_for_action(action.instrument_id)
        action = CorporateAction.objects.select_for_update(of=("self",)).select_related("instrument").get(pk=action.pk)
        if action.applied_at is not None:
            return False
        _check(action, at=at)
        if action.kind in ADJUSTING:
            holdings.lock_accounts(_held_before(action, None))
            adjusted = _adjust(action, None, at=at)
            follow({(action.instrument_id, account, action.effective_at) for account in adjusted}, at=at)
        CorporateAction.objects.filter(pk=action.pk).update(applied_at=at)
    return True


def follow(changed: Iterable[tuple[int, int, datetime]], *, at: datetime) -> None:
    """Apply later actions, already applied to others, to (instrument, account, instant) changes booked after them.

    The caller holds the locks of these instruments and accounts.
    """
    changed = list(changed)
    if not changed:
        return
    first = min(instant for _, _, instant in changed)
    done = CorporateAction.objects.filter(
        instrument__in={instrument for instrument, _, _ in changed},
        kind__in=ADJUSTING,
        applied_at__isnull=False,
        effective_at__gt=first,
    )
    for action in done.select_related("instrument").order_by("effective_at", "id"):
        late = {
            account
            for instrument, account, instant in changed
            if instrument == action.instrument_id and instant < action.effective_at
        }
        if late:
            _adjust(action, late, at=at)


def _check(action: CorporateAction, *, at: datetime) -> None:
    if action.approved_by_id is None:
        raise strict.refuse("approved_by", f"action {action.pk} is not approved; a second person must approve it first")
    if action.effective_at > at:
        raise strict.refuse("effective_at", f"action {action.pk} takes effect at {action.effective_at.isoformat()}")
    if action.kind not in ADJUSTING:
        return
    if action.instrument.kind == Kind.CASH:
        raise strict.refuse("instrument", f"{action.instrument.code} is cash; a {action.kind} of cash has no meaning")
    if action.kind == Action.EXPIRY and action.settlement_price is None:
        raise strict.refuse("settlement_price", f"expiry {action.pk} has none; enter what is paid per unit, or 0")
    twins = CorporateAction.objects.filter(
        instrument=action.instrument_id, kind__in=ADJUSTING, effective_at=action.effective_at, applied_at__isnull=False
    )
    if twin := twins.exclude(pk=action.pk).first():
        reason = f"action {twin.pk} ({twin.kind}) took effect at the same instant; say which comes first"
        raise strict.refuse("effective_at", reason)


def _held_before(action: CorporateAction, accounts: Collection[int] | None) -> dict[int, Decimal]:
    """What accounts held just before the action took effect, by account."""
    return _sums(
        "SELECT account_id, sum(change) FROM accounts_positionfact"
        " WHERE instrument_id = %s AND effective_at < %s AND (%s::bigint[] IS NULL OR account_id = ANY(%s))"
        " GROUP BY account_id",
        [action.instrument_id, action.effective_at, *_twice(accounts)],
    )


def _adjusted(action: CorporateAction, accounts: Collection[int] | None, measure: str) -> dict[int, Any]:
    """A measure of the adjustments made for the action so far, by account."""
    query = f"SELECT account_id, {measure} FROM accounts_adjustment WHERE external_reference LIKE %s"  # noqa: S608  ours
    narrowed = " AND (%s::bigint[] IS NULL OR account_id = ANY(%s)) GROUP BY account_id"
    return _sums(query + narrowed, [f"{SOURCE}:{action.pk}:%", *_twice(accounts)])


def _twice(accounts: Collection[int] | None) -> list[list[int] | None]:
    return [None if accounts is None else sorted(accounts)] * 2


def _sums(query: str, parameters: Sequence[Any]) -> dict[int, Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return dict(cursor)


def _due(action: CorporateAction, accounts: Collection[int] | None) -> list[Due]:
    """What the action still owes, account by account."""
    held = _held_before(action, accounts)
    given, times = (_adjusted(action, accounts, measure) for measure in ("sum(change)", "count(*)"))
    factor = ratio(action.new_per_old) - 1 if action.new_per_old and action.kind == Action.SPLIT else Fraction(-1)
    due = []
    with localcontext(holdings.ARITHMETIC):
        for account, quantity in sorted(held.items()):
            target = (quantity * factor.numerator / factor.denominator).quantize(QUANTITY_STEP)
            if change := target - given.get(account, 0):
                due.append(Due(account, change, f"{SOURCE}:{action.pk}:{account}:{times.get(account, 0) + 1}"))
    return due


def ratio(new_per_old: Decimal) -> Fraction:
    """The split ratio meant by a decimal of 12 places: 0.333333333333 is one for three.

    >>> ratio(Decimal("0.333333333333")), ratio(Decimal("1.5")), ratio(Decimal("1.0123"))
    (Fraction(1, 3), Fraction(3, 2), Fraction(10123, 10000))
    """
    exact = Fraction(new_per_old)
    simple = exact.limit_denominator(1000)
    with localcontext(holdings.ARITHMETIC):
        meant = (Decimal(simple.numerator) / simple.denominator).quantize(QUANTITY_STEP)
    return simple if meant == new_per_old else exact


def _adjust(action: CorporateAction, accounts: Collection[int] | None, *, at: datetime) -> list[int]:
    """Book what the action still owes these accounts (None: all); returns the accounts adjusted."""
    due = _due(action, accounts)
    adjustments = [
        Adjustment(
            account_id=owed.account_id,
            instrument_id=action.instrument_id,
            change=owed.change,
            is_delivery=False,
            reason=f"{action.get_kind_display()}: {action.reason}"[:200],
            external_reference=owed.reference,
            effective_at=action.effective_at,
        )
        for owed in due
    ]
    settled = _settlements(action, due) if action.kind == Action.EXPIRY else []
    if adjustments:
        _insert(adjustments)
        _move(adjustments, cost=None, rule=holdings.CostRule.KEEP)
    cash.post(settled, at=at)
    return [owed.account_id for owed in due]


def _settlements(action: CorporateAction, due: Sequence[Due]) -> list[CashMovement]:
    instrument, price = action.instrument, action.settlement_price
    if price is None or not due:
        return []
    currency = cash.instrument(instrument.currency)
    held = holdings.held([owed.account_id for owed in due], [instrument.pk])
    movements = []
    with localcontext(holdings.ARITHMETIC):
        for owed in due:
            paid = _paid(action, owed, held.get((owed.account_id, instrument.pk), holdings.NOTHING))
            amount = paid.quantize(cash.minor(currency), rounding=ROUND_HALF_EVEN)
            if amount:
                movements.append(
                    CashMovement(
                        account_id=owed.account_id,
                        currency=currency,
                        kind=CashMovement.Kind.SETTLEMENT,
                        amount=amount,
                        source=SOURCE,
                        external_reference=owed.reference,
                        effective_at=action.effective_at,
                        note=f"Expiry of {instrument.code}",
                    )
                )
    return movements


def _paid(action: CorporateAction, owed: Due, held: holdings.Held) -> Decimal:
    """What an expiry pays one account: the value at the settlement price, of a future only the profit."""
    instrument, price = action.instrument, action.settlement_price or Decimal(0)
    worth = holdings.notional(owed.change, price, instrument)
    if instrument.kind not in holdings.MARGINED:
        return -worth
    traded = holdings.Change(
        owed.account_id, instrument.pk, owed.change, owed.reference, action.effective_at, cost=worth
    )
    profit = holdings.realised(held, traded)
    if profit is None:
        reason = f"what account {owed.account_id} paid for {instrument.code} is not known, so neither is its profit"
        raise strict.refuse("cost", f"{reason}; load its position with a cost, then apply the expiry again")
    return profit


def _insert(adjustments: Sequence[Adjustment]) -> set[int]:
    rows = [[getattr(adjustment, name) for name in COLUMNS] for adjustment in adjustments]
    return ledgers.insert_new("accounts_adjustment", COLUMNS, rows, unique=["external_reference"])


def _move(adjustments: Sequence[Adjustment], *, cost: Decimal | None, rule: holdings.CostRule) -> None:
    changes = [
        holdings.Change(
            account_id=adjustment.account_id,
            instrument_id=adjustment.instrument_id,
            change=adjustment.change,
            reference=f"adjustment:{adjustment.external_reference}",
            effective_at=adjustment.effective_at,
            cost=cost,
            rule=rule,
        )
        for adjustment in adjustments
    ]
    holdings.write(changes, cause=Cause.ADJUSTMENT)
