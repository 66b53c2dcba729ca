"""How a position changes: the one writer of Position, PositionFact and Revision.

Everything that changes what an account holds ends in `write`. It locks, in this order, the instruments (shared),
the accounts' revisions (in account order) and then the positions; appends one fact per change; lets every position
say what its last fact says; and counts the revision up: all or nothing, in the caller's transaction.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from enum import Enum
from itertools import islice

from django.db import connection, transaction

from accounts.models import Cause
from market import strict
from market.models import Instrument, Kind

ARITHMETIC = Context(prec=100, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
CENTIMILLIONTH = Decimal(1).scaleb(-8)  # the finest step of an amount column
LIMIT = Decimal(10) ** 20  # of quantities and amounts: their columns hold twenty digits before the point
COPY_ROWS = 50_000
MARGINED = (Kind.FUTURE, Kind.PERPETUAL)  # paid by variation margin, not when traded


class CostRule(Enum):
    """What a change does to the cost of a position."""

    TRADE = "trade"  # `cost` was paid for the change: average on adding, proportional on reducing, fresh past zero
    KEEP = "keep"  # a split or a write-off: what was paid stays what it was
    STATE = "state"  # `cost` is the cost of the whole position from now on


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one position.

    `cost` has the sign of the quantity it was paid for: bought positive, sold negative. None: unknown.
    """

    account_id: int
    instrument_id: int
    change: Decimal
    reference: str
    effective_at: datetime
    cost: Decimal | None = None
    rule: CostRule = CostRule.TRADE


Held = tuple[Decimal, Decimal | None]
NOTHING: Held = (Decimal(0), Decimal(0))


def cost_after(held: Held, change: Change) -> Decimal | None:
    """The cost of a position after a change, exact before rounding to 8 places half-even; None where it is unknown.

    >>> at = datetime(2026, 1, 5)
    >>> cost_after((Decimal(100), Decimal(1000)), Change(1, 1, Decimal(-25), "", at, Decimal(-500)))
    Decimal('750.00000000')
    """
    if change.rule is CostRule.KEEP:
        return held[1]
    if change.rule is CostRule.STATE:
        return rounded(change.cost)
    with localcontext(ARITHMETIC):
        return rounded(_traded_cost(held, change.change, change.cost))


def realised(held: Held, change: Change) -> Decimal | None:
    """The profit of what a traded change closes: what it was sold for less what it had cost; None where unknown.

    >>> at = datetime(2026, 1, 5)
    >>> realised((Decimal(2), Decimal(200)), Change(1, 1, Decimal(-3), "", at, Decimal(-330)))
    Decimal('20.00000000')
    """
    after = cost_after(held, change)
    if after is None or held[1] is None or change.cost is None:
        return None
    return ARITHMETIC.subtract(ARITHMETIC.subtract(after, held[1]), change.cost)


def _traded_cost(held: Held, change: Decimal, paid: Decimal | None) -> Decimal | None:
    quantity, cost = held
    after = quantity + change
    if after == 0:
        return Decimal(0)
    if quantity == 0:
        return paid
    if (quantity > 0) == (change > 0):  # adding: average cost
        return None if cost is None or paid is None else cost + paid
    if (quantity > 0) == (after > 0):  # reducing: in proportion
        return None if cost is None else cost * after / quantity
    return None if paid is None else paid * after / change  # through zero: what is held now was bought just now


def notional(quantity: Decimal, price: Decimal, instrument: Instrument) -> Decimal:
    """What a quantity costs at a price, in the instrument's currency, exact.

    An inverse future or perpetual is quoted in money and paid in the coin: a unit is a debt of multiplier ÷ price
    coins, here half-even to 8 places over the whole quantity, so that value less cost is the profit in coins. Refused
    where that price is zero.

    >>> swap = Instrument(kind="perpetual", inverse=True, multiplier=Decimal(100), price_divisor=1)
    >>> notional(Decimal(50), Decimal(40000), swap)
    Decimal('-0.12500000')
    """
    with localcontext(ARITHMETIC):
        if not (instrument.inverse and instrument.kind in MARGINED):
            return quantity * price * instrument.multiplier / instrument.price_divisor
        if not price:
            raise strict.refuse("price", f"is zero, and {instrument.code} is paid in coins at that price")
        coins = -quantity * instrument.multiplier * instrument.price_divisor / price
        return coins.quantize(CENTIMILLIONTH)


def rounded(cost: Decimal | None) -> Decimal | None:
    return None if cost is None else cost.quantize(CENTIMILLIONTH, context=ARITHMETIC)


def lock_accounts(accounts: Iterable[int]) -> None:
    """Lock the revisions of these accounts, in account order, until the transaction ends."""
    wanted = sorted(set(accounts))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_revision (account_id, number)"
            " SELECT id, 0 FROM unnest(%s::bigint[]) AS id"
            " WHERE NOT EXISTS (SELECT FROM accounts_revision known WHERE known.account_id = id)"
            " ORDER BY id ON CONFLICT (account_id) DO NOTHING",
            [wanted],
        )
        cursor.execute(
            "SELECT account_id FROM accounts_revision WHERE account_id = ANY(%s) ORDER BY account_id FOR UPDATE",
            [wanted],
        )


def lock_instruments(instruments: Iterable[int]) -> None:
    """Keep corporate actions of these instruments out until the transaction ends. Always before the accounts."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM market_instrument WHERE id = ANY(%s) ORDER BY id FOR SHARE", [sorted(set(instruments))]
        )


def lock_instrument_for_action(instrument: int) -> None:
    """Keep every change of positions in this instrument out until the transaction ends. Quotes still come in."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM market_instrument WHERE id = %s FOR NO KEY UPDATE", [instrument])


def write(changes: Sequence[Change], *, cause: Cause) -> int:
    """Apply the changes in the order given, in one transaction, and return how many facts were written.

    A change of nothing at unchanged cost leaves no trace. A position that ends at zero keeps its row, at cost zero;
    the fact of a write-off still says what had been paid.
    """
    if not changes:
        return 0
    with transaction.atomic(), localcontext(ARITHMETIC):
        accounts = {change.account_id for change in changes}
        instruments = {change.instrument_id for change in changes}
        lock_instruments(instruments)
        lock_accounts(accounts)
        facts = _facts(changes, held(accounts, instruments), Cause(cause))
        floor, count = _floor(), 0
        changed: set[int] = set()
        while chunk := list(islice(facts, COPY_ROWS)):
            _copy(chunk)
            count += len(chunk)
            changed.update(fact[0] for fact in chunk)
        if changed:
            _follow(floor, sorted(changed))
        return count


def held(accounts: Iterable[int], instruments: Iterable[int]) -> dict[tuple[int, int], Held]:
    """What these accounts hold of these instruments, by (account, instrument): quantity and cost."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT account_id, instrument_id, quantity, cost FROM accounts_position"
            " WHERE account_id = ANY(%s) AND instrument_id = ANY(%s)",
            [sorted(set(accounts)), sorted(set(instruments))],
        )
        return {(account, instrument): (quantity, cost) for account, instrument, quantity, cost in cursor}


Fact = tuple[int, int, Decimal, Decimal, Decimal | None, str, str, str]


def _facts(changes: Sequence[Change], holdings: dict[tuple[int, int], Held], cause: Cause) -> Iterator[Fact]:
    for change in changes:
        place = (change.account_id, change.instrument_id)
        before = holdings.get(place, NOTHING)
        quantity, cost = before[0] + change.change, cost_after(before, change)
        if change.change == 0 and (quantity == 0 or cost == before[1]):
            continue
        if abs(quantity) >= LIMIT or (cost is not None and abs(cost) >= LIMIT):
            reason = f"{change.reference} would take account {place[0]} beyond 10^20 of instrument {place[1]}"
            raise strict.refuse("quantity", reason)
        holdings[place] = (quantity, Decimal(0) if quantity == 0 else cost)
        yield (*place, change.change, quantity, cost, cause.value, change.reference, change.effective_at.isoformat())


def _floor() -> int:
    """An id below that of every fact this transaction writes from now on."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('accounts_positionfact', 'id'))")
        return cursor.fetchone()[0]


def _copy(facts: Sequence[Fact]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(facts)
    text.seek(0)
    with connection.cursor() as cursor:
        cursor.copy_expert(
            "COPY accounts_positionfact (account_id, instrument_id, change, quantity, cost, cause, reference,"
            " effective_at) FROM STDIN (FORMAT csv)",
            text,
        )


def _follow(floor: int, accounts: list[int]) -> None:
    """Let positions say what the facts just written say, and count the accounts' revisions up."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_position (account_id, instrument_id, quantity, cost)"
            " SELECT DISTINCT ON (account_id, instrument_id) account_id, instrument_id, quantity,"
            "        CASE WHEN quantity = 0 THEN 0 ELSE cost END"
            " FROM accounts_positionfact"
            " WHERE transaction_id = pg_current_xact_id()::text::bigint AND id > %s"
            " ORDER BY account_id, instrument_id, id DESC"
            " ON CONFLICT (account_id, instrument_id) DO UPDATE"
            " SET quantity = EXCLUDED.quantity, cost = EXCLUDED.cost",
            [floor],
        )
        cursor.execute("UPDATE accounts_revision SET number = number + 1 WHERE account_id = ANY(%s)", [accounts])
