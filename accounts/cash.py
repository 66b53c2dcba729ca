"""Money in and out of accounts. Cash is a position in a cash instrument; every movement has a unique reference.

    cash.deposit(account, currency="USD", amount=Decimal("5000"), source="bank", external_reference="FT-8841", at=at)

The same movement sent again returns the one that is there and changes nothing; other content under a used reference
raises Conflict. Amounts must fit the currency's smallest unit: they are never rounded here.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, localcontext

from django.db import IntegrityError, transaction

from accounts import holdings, ledgers
from accounts.models import Account, CashMovement, Cause
from market import strict
from market.models import Instrument, Kind

COLUMNS = {  # of accounts_cashmovement, with their types
    "account_id": "bigint",
    "currency_id": "bigint",
    "kind": "text",
    "amount": "numeric",
    "source": "text",
    "external_reference": "text",
    "effective_at": "timestamptz",
    "reverses_id": "bigint",
    "note": "text",
}
SAME = ("account_id", "currency_id", "kind", "amount", "reverses_id")  # what makes a repeat the same movement


def instrument(currency: str) -> Instrument:
    """The cash instrument of a currency, or Refused."""
    return instruments({currency})[currency]


def instruments(currencies: set[str]) -> dict[str, Instrument]:
    """The cash instruments of these currencies, by currency; Refused if one is missing or there are two."""
    found: dict[str, Instrument] = {}
    for cash in Instrument.objects.filter(kind=Kind.CASH, currency__in=currencies).order_by("id"):
        if cash.currency in found:
            codes = f"{found[cash.currency].code} and {cash.code}"
            raise strict.refuse("currency", f"{cash.currency} has two cash instruments, {codes}; correct one of them")
        found[cash.currency] = cash
    for missing in sorted(currencies - found.keys()):
        raise strict.refuse("currency", f"there is no cash instrument for {missing}; load one with its minor units")
    return found


def minor(currency: Instrument) -> Decimal:
    """The smallest unit of a cash instrument: 0.01 for USD, 1 for JPY."""
    if currency.minor_exponent is None:
        raise strict.refuse("currency", f"{currency.code} is {currency.kind}, not cash")
    return Decimal(1).scaleb(-currency.minor_exponent)


def checked(amount: Decimal, currency: Instrument, *, field: str = "amount") -> Decimal:
    """The amount, if it is a whole number of the currency's smallest units; Refused otherwise."""
    amount = strict.exact(amount, field=field, digits=28, places=8)
    with localcontext(holdings.ARITHMETIC):
        too_fine = amount % minor(currency)
    if too_fine:
        reason = (
            f"{amount} is finer than {minor(currency):f} {currency.code}, its smallest unit; round it at its source"
        )
        raise strict.refuse(field, reason)
    return amount


def deposit(
    account: Account,
    *,
    currency: str,
    amount: Decimal,
    source: str,
    external_reference: str,
    at: datetime,
    effective_at: datetime | None = None,
    note: str = "",
) -> CashMovement:
    """Record money received: a positive amount. Counts from `effective_at`, or from `at`."""
    movement = CashMovement(
        account=account,
        currency=instrument(currency),
        kind=CashMovement.Kind.DEPOSIT,
        amount=amount,
        source=source,
        external_reference=external_reference,
        effective_at=effective_at or at,
        note=note,
    )
    return post([movement], at=at)[0]


def withdraw(
    account: Account,
    *,
    currency: str,
    amount: Decimal,
    source: str,
    external_reference: str,
    at: datetime,
    effective_at: datetime | None = None,
    note: str = "",
) -> CashMovement:
    """Record money paid out: a positive amount, kept as a negative movement. Whether it may go is not decided here."""
    if amount <= 0:
        raise strict.refuse("amount", f"{amount} is not positive; give the amount that leaves the account")
    movement = CashMovement(
        account=account,
        currency=instrument(currency),
        kind=CashMovement.Kind.WITHDRAWAL,
        amount=-amount,
        source=source,
        external_reference=external_reference,
        effective_at=effective_at or at,
        note=note,
    )
    return post([movement], at=at)[0]


def reverse(
    movement: CashMovement, *, source: str, external_reference: str, at: datetime, note: str = ""
) -> CashMovement:
    """Take a movement back, once, by a linked movement of the opposite amount that counts from `at`."""
    if movement.reverses_id is not None:
        raise strict.refuse("reverses", f"movement {movement.pk} is itself a reversal; post a correction instead")
    back = CashMovement(
        account_id=movement.account_id,
        currency_id=movement.currency_id,
        kind=movement.kind,
        amount=-movement.amount,
        source=source,
        external_reference=external_reference,
        effective_at=at,
        reverses=movement,
        note=note,
    )
    return post([back], at=at)[0]


def post(movements: Sequence[CashMovement], *, at: datetime) -> list[CashMovement]:
    """Record movements (unsaved rows), all or nothing; returns the stored rows in the order given.

    Repeats of stored movements are harmless. Raises Refused, its `row` counting from 1 in the order given, or Conflict.
    """
    if not movements:
        return []
    _check(movements, at=at)
    with transaction.atomic():
        holdings.lock_instruments(movement.currency_id for movement in movements)
        holdings.lock_accounts(movement.account_id for movement in movements)
        fresh = _insert(movements)
        stored = _stored(movements)
        holdings.write([_change(movement) for movement in stored if movement.pk in fresh], cause=Cause.CASH)
    return stored


def reference(movement: CashMovement) -> str:
    """What position facts call a movement."""
    return f"cash:{movement.source}:{movement.external_reference}"


def _change(movement: CashMovement) -> holdings.Change:
    return holdings.Change(
        account_id=movement.account_id,
        instrument_id=movement.currency_id,
        change=movement.amount,
        reference=reference(movement),
        effective_at=movement.effective_at,
    )


def _check(movements: Sequence[CashMovement], *, at: datetime) -> None:
    """Correct what may be corrected (an instant a breath ahead of our clock); refuse the rest, row by row."""
    currencies = Instrument.objects.in_bulk({movement.currency_id for movement in movements})
    closed = ledgers.closed_accounts(movement.account_id for movement in movements)
    problems, names = strict.Problems(), set()
    for row, movement in enumerate(movements, start=1):
        try:
            name = ledgers.reference_name(movement.source, movement.external_reference)
            if name in names:
                raise strict.refuse("external_reference", f"{strict.shown(name[1])} comes twice in this batch")
            names.add(name)
            currency = currencies.get(movement.currency_id)
            if currency is None or currency.kind != Kind.CASH:
                raise strict.refuse("currency", "is no cash instrument")
            movement.amount = checked(movement.amount, currency)
            _check_sign(movement)
            movement.note = strict.words(movement.note, field="note", length=200)
            movement.effective_at = ledgers.not_in_the_future(movement.effective_at, at, field="effective_at")
            ledgers.check_open(closed, movement.account_id, movement.effective_at)
        except strict.Refused as refusal:
            problems.take(row, refusal)
    problems.check()


def _check_sign(movement: CashMovement) -> None:
    if not movement.amount:
        raise strict.refuse("amount", "is zero; a movement moves something")
    if movement.kind not in CashMovement.Kind.values:
        raise strict.refuse("kind", f"{strict.shown(str(movement.kind))} is not one of {CashMovement.Kind.values}")
    if movement.reverses_id is None:
        if movement.kind == CashMovement.Kind.DEPOSIT and movement.amount < 0:
            raise strict.refuse("amount", f"a deposit is positive, not {movement.amount}; use a withdrawal")
        if movement.kind == CashMovement.Kind.WITHDRAWAL and movement.amount > 0:
            raise strict.refuse("amount", "a withdrawal takes money out; give it as a negative movement")


def _insert(movements: Sequence[CashMovement]) -> set[int]:
    """Insert what is new, in the order of references so that two batches cannot wait for each other."""
    ordered = sorted(movements, key=lambda movement: (movement.source, movement.external_reference))
    try:
        with transaction.atomic():
            return ledgers.insert_new(
                "accounts_cashmovement",
                COLUMNS,
                [[getattr(movement, name) for name in COLUMNS] for movement in ordered],
                unique=("source", "external_reference"),
            )
    except IntegrityError as error:
        if "reverses" in str(error):
            raise ledgers.conflict("reverses", "the movement was reversed already; once is enough") from None
        raise


def _stored(movements: Sequence[CashMovement]) -> list[CashMovement]:
    there = ledgers.by_reference(CashMovement, movements)
    return [ledgers.check_same(there[one.source, one.external_reference], one, SAME) for one in movements]
