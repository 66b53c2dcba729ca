"""Interest on borrowed cash: what stands negative at the end of a day is charged for that day, once.

charge = balance × rate ÷ 360 or 365, half-even to the smallest unit, as one cash movement per account, currency and
day named `interest:ACCOUNT:USD:2026-11-20`. The rate is the house's lending rate of the currency in force that day
(`market.Rate`, kind lending, or borrow where there is none; no venue, no instrument). Without a rate nothing is
charged, and the day stays open: nothing is guessed. A day ends at midnight of the desk's time zone.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection
from django.db.models import Max, Min

from accounts import cash, holdings
from accounts.models import CashMovement, PositionFact
from market import strict
from market.models import Instrument, Kind, Rate

SOURCE = "interest"
KINDS = (Rate.Kind.LENDING, Rate.Kind.BORROW)  # the first that has a rate counts
CATCH_UP_DAYS = 31  # a longer gap is closed by naming `since`
BATCH = 5_000

# Days in a year by currency: actual/365 for these, actual/360 for all others. Source: UK Money Markets Code (Bank of
# England, 2017), day count conventions: GBP, HKD, INR, PLN, SGD, ZAR, and domestically AUD, CAD, NZD.
YEAR_OF_365 = frozenset({"AUD", "CAD", "GBP", "HKD", "INR", "NZD", "PLN", "SGD", "ZAR"})


class Unpriced(NamedTuple):
    """A day of a currency on which nothing could be charged, and why."""

    currency: str
    on: date
    reason: str


class Accrued(NamedTuple):
    """How many charges were posted, and which days of which currencies could not be charged."""

    posted: int
    refused: list[Unpriced]


class Balance(NamedTuple):
    """A negative balance at the end of a day."""

    account_id: int
    account: str
    amount: Decimal


def accrue(*, through: date, at: datetime, since: date | None = None) -> Accrued:
    """Charge every day not charged yet up to `through` (included), in order, since charges bear interest themselves.

    Starts at `since`, or at the last day on which the currency was charged, or at its first balance, but never more
    than 31 days back unless `since` says so. May run at any time and any number of times. Refused if `through` is not
    over at `at`. An account is charged for the days before the one on which it closes.
    """
    if end_of(through) > at:
        raise strict.refuse("through", f"{through} is not over at {at.isoformat()}; charge it when it is")
    posted, refused = 0, []
    for currency in Instrument.objects.filter(kind=Kind.CASH).order_by("code"):
        for on in _days(currency, through, since):
            balances = _balances(currency, on)
            rate = rate_on(currency.currency, on) if balances else None
            if balances and rate is None:
                reason = f"no lending rate of {currency.currency} is in force; record one, and accrue again"
                refused.append(Unpriced(currency.currency, on, f"{reason} ({len(balances)} balances wait)"))
                break  # later days would bear interest on a charge that is missing
            if rate is not None:
                posted += _charge(currency, on, balances, rate, at=at)
    return Accrued(posted, refused)


def interest(balance: Decimal, *, rate: Decimal, currency: str, step: Decimal) -> Decimal:
    """One day's simple interest, with the sign of the balance, half-even to `step`.

    >>> interest(Decimal(-36000), rate=Decimal("0.05"), currency="USD", step=Decimal("0.01"))
    Decimal('-5.00')
    """
    with localcontext(holdings.ARITHMETIC):
        days = 365 if currency in YEAR_OF_365 else 360
        return (balance * rate / days).quantize(step, rounding=ROUND_HALF_EVEN)


def end_of(on: date) -> datetime:
    """The instant at which a day ends: midnight of the desk's time zone."""
    return datetime.combine(on + timedelta(days=1), time(), ZoneInfo(settings.TIME_ZONE)).astimezone(UTC)


def day_before(at: datetime) -> date:
    """The last day that is over at an instant."""
    return at.astimezone(ZoneInfo(settings.TIME_ZONE)).date() - timedelta(days=1)


def rate_on(currency: str, on: date) -> Decimal | None:
    """The lending rate of a currency in force at the end of a day, as a fraction per year; None: there is none."""
    for kind in KINDS:
        rates = Rate.objects.filter(kind=kind, currency=currency, venue="", instrument=None)
        if newest := rates.filter(effective_at__lt=end_of(on)).order_by("-effective_at", "-id").first():
            return newest.value
    return None


def _days(currency: Instrument, through: date, since: date | None) -> Iterator[date]:
    first = since or _first_day(currency, through)
    if first is None:
        return
    for number in range((through - first).days + 1):
        yield first + timedelta(days=number)


def _first_day(currency: Instrument, through: date) -> date | None:
    charges = CashMovement.objects.filter(source=SOURCE, currency=currency)
    charged_until = charges.aggregate(last=Max("effective_at"))["last"]
    if charged_until is not None:
        first = day_before(charged_until)
    else:
        began_at = PositionFact.objects.filter(instrument=currency).aggregate(first=Min("effective_at"))["first"]
        if began_at is None:
            return None
        first = day_before(began_at) + timedelta(days=1)
    return max(first, through - timedelta(days=CATCH_UP_DAYS - 1))


def _balances(currency: Instrument, on: date) -> list[Balance]:
    """Balances below zero at the end of the day that were not charged for it yet, in account order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.id, a.code, held.amount FROM accounts_account a JOIN ("
            "    SELECT account_id, sum(change) AS amount FROM accounts_positionfact"
            "    WHERE instrument_id = %(cash)s AND effective_at < %(end)s"
            "    GROUP BY account_id HAVING sum(change) < 0) held ON held.account_id = a.id"
            " WHERE (a.closed_on IS NULL OR a.closed_on > %(on)s) AND NOT EXISTS ("
            "    SELECT FROM accounts_cashmovement m WHERE m.source = %(source)s"
            "    AND m.external_reference = 'interest:' || a.code || %(suffix)s)"
            " ORDER BY a.id",
            {"cash": currency.pk, "end": end_of(on), "on": on, "source": SOURCE, "suffix": _suffix(currency, on)},
        )
        return [Balance(*row) for row in cursor]


def _suffix(currency: Instrument, on: date) -> str:
    return f":{currency.currency}:{on.isoformat()}"


def _charge(currency: Instrument, on: date, balances: Sequence[Balance], rate: Decimal, *, at: datetime) -> int:
    charges = [
        CashMovement(
            account_id=balance.account_id,
            currency=currency,
            kind=CashMovement.Kind.INTEREST,
            amount=amount,
            source=SOURCE,
            external_reference=f"interest:{balance.account}{_suffix(currency, on)}",
            effective_at=end_of(on),
            note=f"{rate.normalize():f} a year on {balance.amount:f}",
        )
        for balance in balances
        if (amount := interest(balance.amount, rate=rate, currency=currency.currency, step=cash.minor(currency)))
    ]
    for start in range(0, len(charges), BATCH):
        cash.post(charges[start : start + BATCH], at=at)
    return len(charges)
