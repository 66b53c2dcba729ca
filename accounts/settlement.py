"""Variation margin of futures: at the official close of every trading day the change of value is paid in cash.

amount = quantity × multiplier × close − cost, half-even to the smallest unit, as one cash movement per account, future
and day named `settlement:ACCOUNT:FUTURE:2026-11-20` (the future by its number). The cost then says what was settled: it
rises by the amount, so that equity does not move on being settled. A clearing house settles at least once each business
day (17 CFR 39.14(b)). Prices, and balances after, may be negative. Without a close, or where a cost is unknown, nothing
is paid, and the day stays open: nothing is guessed.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection, transaction

from accounts import cash, fills, holdings
from accounts.models import CashMovement, Cause
from market import calendars, closes, strict
from market.models import Instrument, Kind, Session

SOURCE = "settlement"
CATCH_UP_DAYS = 10  # a longer gap is closed by naming `since`
MOST_DAYS = 400  # in one run
BATCH = 5_000


class Unsettled(NamedTuple):
    """A day of a future that could not be settled, and why."""

    instrument: str
    on: date
    reason: str


class Settled(NamedTuple):
    """How many positions were settled, and what could not be."""

    posted: int
    refused: list[Unsettled]


class Held(NamedTuple):
    """A position at the close of a day, and now."""

    account_id: int
    account: str
    quantity: Decimal
    cost: Decimal | None
    now_quantity: Decimal
    now_cost: Decimal | None


def settle(*, on: date, at: datetime, since: date | None = None) -> Settled:
    """Settle every trading day not settled yet up to `on` (included), in order, future by future.

    Starts at `since`, or ten days back. May run at any time and any number of times. A day that cannot be settled
    keeps the later days of its future waiting. Refused where that is more than MOST_DAYS.
    """
    posted, refused = 0, []
    on = min(on, latest_day(at))
    first = since or on - timedelta(days=CATCH_UP_DAYS - 1)
    if (on - first).days >= MOST_DAYS:
        raise strict.refuse("since", f"{first} is more than {MOST_DAYS} days before {on}; settle in shorter spans")
    for future in _futures(first):
        day = first
        try:
            for day, closed_at in _days(future, first, on, at):
                posted += _settle(future, day, closed_at, at=at)
        except (strict.Refused, calendars.CalendarUnknown) as refusal:
            refused.append(Unsettled(future.code, day, str(refusal)))
    return Settled(posted, refused)


def latest_day(at: datetime) -> date:
    """The last day that may have closed somewhere at an instant: east of here it is tomorrow."""
    return (at + timedelta(hours=14)).date()


def variation(quantity: Decimal, cost: Decimal, close: Decimal, future: Instrument, step: Decimal) -> Decimal:
    """What a position is paid at a close, negative where it pays, half-even to `step`.

    >>> oil = Instrument(kind="future", multiplier=Decimal(1000), price_divisor=1)
    >>> variation(Decimal(1), Decimal(18270), Decimal("-37.63"), oil, Decimal("0.01"))
    Decimal('-55900.00')
    """
    profit = holdings.ARITHMETIC.subtract(fills.notional(quantity, close, future), cost)
    return profit.quantize(step, context=holdings.ARITHMETIC)


def _futures(first: date) -> list[Instrument]:
    """Futures that are, or were on or after the first day, and have ever been held."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT instrument_id FROM accounts_position")
        held = [row[0] for row in cursor]
    found = Instrument.objects.filter(pk__in=held, kind=Kind.FUTURE, expires_at__date__gte=first)
    return list(found.select_related("calendar").order_by("code"))


def _days(future: Instrument, first: date, last: date, at: datetime) -> Iterator[tuple[date, datetime]]:
    """The trading days of a future that are over, each with the instant of its close."""
    if future.calendar is None or future.calendar.always_open:
        every = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    else:
        sessions = Session.objects.filter(calendar=future.calendar, on__range=(first, last))
        every = list(sessions.order_by("on").values_list("on", flat=True))
    closing = calendars.closing_instants(future.calendar.code if future.calendar else None, [*every, last])
    for day in every:
        if closing[day] <= at and (future.ended_at is None or closing[day] <= future.ended_at):
            yield day, closing[day]


@transaction.atomic
def _settle(future: Instrument, on: date, closed_at: datetime, *, at: datetime) -> int:
    """Pay one day of one future, all or nothing; how many positions were paid. Raises Refused with the reason."""
    currency = cash.instrument(future.currency)
    holdings.lock_instruments([future.pk, currency.pk])
    waiting = list(_held(future, on, closed_at))
    if not waiting:
        return 0
    close = closes.latest([future], days=[on]).get((future.code, on))
    if close is None:
        raise strict.refuse("close", f"is missing; load it, and settle again ({len(waiting)} positions wait)")
    locked = {one.account_id for one in waiting}
    holdings.lock_accounts(locked)
    waiting = [one for one in _held(future, on, closed_at) if one.account_id in locked]  # again: nobody moves them now
    if unknown := [one.account for one in waiting if one.cost is None or one.now_cost is None]:
        raise strict.refuse("cost", f"of {unknown[0]} and {len(unknown) - 1} more is not known; state it")
    starts = range(0, len(waiting), BATCH)
    return sum(_pay(waiting[start : start + BATCH], future, currency, on, close, closed_at, at=at) for start in starts)


def _pay(
    positions: Sequence[Held],
    future: Instrument,
    currency: Instrument,
    on: date,
    close: Decimal,
    closed_at: datetime,
    *,
    at: datetime,
) -> int:
    step = cash.minor(currency)
    amounts = [(one, variation(one.quantity, one.cost or Decimal(0), close, future, step)) for one in positions]
    due = [(one, amount) for one, amount in amounts if amount]
    cash.post([_movement(one, amount, future, currency, on, close, closed_at) for one, amount in due], at=at)
    holdings.write(list(_restated(due, future, on, closed_at)), cause=Cause.CASH)
    return len(due)


def _movement(
    one: Held, amount: Decimal, future: Instrument, currency: Instrument, on: date, close: Decimal, closed_at: datetime
) -> CashMovement:
    return CashMovement(
        account_id=one.account_id,
        currency=currency,
        kind=CashMovement.Kind.SETTLEMENT,
        amount=amount,
        source=SOURCE,
        external_reference=reference(one.account, future, on),
        effective_at=closed_at,
        note=f"{one.quantity.normalize():f} at {close.normalize():f}",
    )


def reference(account: str, future: Instrument, on: date) -> str:
    """What names the settlement of one account's future on a day, once."""
    return f"settlement:{account}:{future.pk}:{on.isoformat()}"


def _restated(
    paid: Iterable[tuple[Held, Decimal]], future: Instrument, on: date, closed_at: datetime
) -> Iterator[holdings.Change]:
    """The cost of what is held now, raised by what was paid: equity stays what it was."""
    for one, amount in paid:
        cost = holdings.ARITHMETIC.add(one.now_cost or Decimal(0), amount)
        name = reference(one.account, future, on)
        yield holdings.Change(
            one.account_id, future.pk, Decimal(0), name, closed_at, cost=cost, rule=holdings.CostRule.STATE
        )


WAITING = """
SELECT a.id, a.code, f.quantity, CASE WHEN f.is_known THEN f.cost END, p.quantity, p.cost
FROM accounts_position p JOIN accounts_account a ON a.id = p.account_id CROSS JOIN LATERAL (
    SELECT sum(c.change) AS quantity, sum(c.cost_change) AS cost,
           (array_agg(c.is_known ORDER BY c.id DESC))[1] AS is_known
    FROM (SELECT id, change, effective_at, quantity = 0 OR cost IS NOT NULL AS is_known,
                 CASE WHEN quantity = 0 THEN 0 ELSE coalesce(cost, 0) END
                 - coalesce(lag(CASE WHEN quantity = 0 THEN 0 ELSE coalesce(cost, 0) END) OVER (ORDER BY id), 0)
                 AS cost_change
          FROM accounts_positionfact WHERE account_id = p.account_id AND instrument_id = p.instrument_id) c
    WHERE c.effective_at <= %(closed_at)s
) f
WHERE p.instrument_id = %(future)s AND p.quantity <> 0 AND sign(p.quantity) = sign(f.quantity)
  AND (a.closed_on IS NULL OR a.closed_on >= %(last)s)
  AND NOT EXISTS (SELECT FROM accounts_cashmovement m
                  WHERE m.source = %(source)s AND m.external_reference = 'settlement:' || a.code || %(suffix)s)
ORDER BY a.id
"""


def _held(future: Instrument, on: date, closed_at: datetime) -> Iterator[Held]:
    """Positions open at the close and still open now, in open accounts, that were not settled for that day.

    The cost at the close is the sum of the changes of cost until then, so that neither a fill after the close nor one
    reported late is settled at the wrong day. What was closed in between has realised its profit by its fill.
    """
    suffix = f":{future.pk}:{on.isoformat()}"
    with connection.cursor() as cursor:
        last = closed_at.astimezone(UTC).date()  # what is booked counts from then
        asked: dict[str, Any] = {
            "future": future.pk,
            "closed_at": closed_at,
            "last": last,
            "source": SOURCE,
            "suffix": suffix,
        }
        cursor.execute(WAITING, asked)
        for row in cursor:
            yield Held(*row)
