"""Funding of perpetuals: at every instant for which a venue published a funding rate, longs pay shorts, or are paid.

amount = −size × mark × rate, half-even to the smallest unit, as one cash movement per account, perpetual and instant
named `funding:ACCOUNT:PERPETUAL:2026-11-20T08:00:00Z` (the perpetual by its number). The rate is that of the payment,
not of a year (`market.Rate`, kind funding, of the perpetual); a positive one is paid by longs. Who held it at the
instant pays, from an opening at it to a closing at it, both included. An inverse perpetual pays in coins: its size is
quantity × multiplier ÷ mark. The mark is the quote that stood at the instant: without one the payment waits.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any, NamedTuple

from django.db import connection

from accounts import cash, holdings
from accounts.models import CashMovement
from market import strict
from market.models import Instrument, Kind, QuoteFact, Rate

SOURCE = "funding"
CATCH_UP = timedelta(days=10)  # a longer gap is closed by naming `since`
BATCH = 5_000


class Unpaid(NamedTuple):
    """A funding instant of a perpetual at which nothing could be paid, and why."""

    instrument: str
    effective_at: datetime
    reason: str


class Paid(NamedTuple):
    """How many movements were posted, and what could not be."""

    posted: int
    refused: list[Unpaid]


def pay(*, at: datetime, since: datetime | None = None) -> Paid:
    """Post every funding payment since `since` (ten days back) that is not posted yet. May run at any time, any
    number of times. Of two sources for one instant the newest row counts."""
    posted, refused = 0, []
    rates = Rate.objects.filter(
        kind=Rate.Kind.FUNDING,
        instrument__kind=Kind.PERPETUAL,
        effective_at__gt=since or at - CATCH_UP,
        effective_at__lte=at,
    )
    newest = rates.order_by("effective_at", "instrument_id", "-id").distinct("effective_at", "instrument_id")
    for rate in newest.select_related("instrument"):
        try:
            posted += _pay(rate, at=at)
        except strict.Refused as refusal:
            refused.append(Unpaid(rate.instrument.code if rate.instrument else "", rate.effective_at, str(refusal)))
    return Paid(posted, refused)


def funding(quantity: Decimal, mark: Decimal, rate: Decimal, perpetual: Instrument, step: Decimal) -> Decimal:
    """What a holder receives, negative where it pays, in the perpetual's currency, half-even to `step`.

    >>> swap = Instrument(kind="perpetual", multiplier=Decimal(1), price_divisor=1)
    >>> funding(Decimal("0.5"), Decimal(65000), Decimal("0.0001"), swap, Decimal("0.01"))
    Decimal('-3.25')
    """
    with localcontext(holdings.ARITHMETIC):
        price = mark / perpetual.price_divisor
        size = quantity * perpetual.multiplier
        worth = size / price if perpetual.inverse else size * price
        return (-worth * rate).quantize(step, rounding=ROUND_HALF_EVEN)


def _pay(rate: Rate, *, at: datetime) -> int:
    perpetual = rate.instrument
    assert perpetual is not None  # noqa: S101  chosen by its kind
    held = list(_held(perpetual, rate.effective_at))
    if not held:
        return 0
    currency, mark = cash.instrument(perpetual.currency), _mark(perpetual, rate.effective_at)
    movements = [
        CashMovement(
            account_id=account,
            currency=currency,
            kind=CashMovement.Kind.FUNDING,
            amount=amount,
            source=SOURCE,
            external_reference=f"funding:{code}{_suffix(perpetual, rate.effective_at)}",
            effective_at=rate.effective_at,
            note=f"{rate.value.normalize():f} of {quantity.normalize():f} at {mark.normalize():f}",
        )
        for account, code, quantity in held
        if (amount := funding(quantity, mark, rate.value, perpetual, cash.minor(currency)))
    ]
    for start in range(0, len(movements), BATCH):
        cash.post(movements[start : start + BATCH], at=at)
    return len(movements)


def _mark(perpetual: Instrument, at: datetime) -> Decimal:
    """The mark that stood at the instant, not older than the perpetual's prices may be."""
    oldest = at - timedelta(seconds=perpetual.max_age_seconds)
    quotes = QuoteFact.objects.filter(instrument=perpetual, as_of__lte=at, as_of__gte=oldest)
    quote = quotes.order_by("-as_of", "-id").first()
    if quote is None or not quote.mark:
        raise strict.refuse("mark", f"is missing: no quote of {perpetual.code} stood at {at.isoformat()}")
    return quote.mark


def _suffix(perpetual: Instrument, at: datetime) -> str:
    return f":{perpetual.pk}:{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


HOLDERS = """
SELECT a.id, a.code, CASE WHEN abs(f.before) > abs(f.until) THEN f.before ELSE f.until END
FROM (
    SELECT account_id, sum(change) AS until, coalesce(sum(change) FILTER (WHERE effective_at < %(at)s), 0) AS before
    FROM accounts_positionfact WHERE instrument_id = %(perpetual)s AND effective_at <= %(at)s GROUP BY account_id
) f JOIN accounts_account a ON a.id = f.account_id
WHERE (f.before <> 0 OR f.until <> 0) AND (a.closed_on IS NULL OR a.closed_on >= %(at)s::date)
  AND NOT EXISTS (SELECT FROM accounts_cashmovement m
                  WHERE m.source = %(source)s AND m.external_reference = 'funding:' || a.code || %(suffix)s)
ORDER BY a.id
"""


def _held(perpetual: Instrument, at: datetime) -> Iterator[tuple[int, str, Decimal]]:
    """(account, its code, quantity) of who held it at the instant and has not paid or been paid for it yet."""
    suffix = _suffix(perpetual, at)
    parameters: dict[str, Any] = {"perpetual": perpetual.pk, "at": at, "source": SOURCE, "suffix": suffix}
    with connection.cursor() as cursor:
        cursor.execute(HOLDERS, parameters)
        yield from cursor
