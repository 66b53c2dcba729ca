"""Money on its way and money that must stay: what is in an account and yet not free to leave it."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from accounts import cash, fills
from accounts.models import Account, Fill
from margin import policies
from margin.models import Cure
from market import calendars

LOOKED_BACK = timedelta(days=60)  # longer than any cheque takes to clear
ZERO = Decimal(0)


def unsettled(account: Account, currency: str, *, on: date) -> Decimal:
    """What sales in a currency bring after `on`. A sale that states no settlement day has settled."""
    coming = Fill.objects.filter(
        account=account,
        instrument__currency=currency,
        settles_on__gt=on,
        quantity__lt=0,
        reverses=None,
        reversed_by=None,
    )
    money = cash.instrument(currency)
    brought = (fills.cash_effect(fill, fill.instrument, money) for fill in coming.select_related("instrument"))
    return sum((amount for amount in brought if amount > 0), ZERO)


def staying(account: Account, *, at: datetime) -> Decimal:
    """What money that met calls of the account must stay at `at`, in the calls' currency.

    A regime's `restrictions.stays` says for how many business days after the day it came: two for a day-trade call
    (FINRA 4210(f)(8)(B), funds stay two business days following the close of the day of deposit).
    """
    paid = Cure.objects.filter(
        call__account=account,
        call__policy_version__terms__regimes__contains=[{"restrictions": {"stays": {}}}],
        state=Cure.State.SETTLED,
        movement__isnull=False,
        movement__effective_at__gte=at - LOOKED_BACK,
    )
    return sum((cure.release for cure in paid.select_related("call__policy_version__policy", "movement")
                if _is_staying(cure, at)), ZERO)  # fmt: skip


def _is_staying(cure: Cure, at: datetime) -> bool:
    reading = policies.read(cure.call.policy_version)
    terms = reading.terms.regime(cure.call.regime).restrictions
    days = terms.days_to_stay(cure.method) if terms else 0
    if not days or cure.movement is None:
        return False
    clock = reading.clocks[cure.call.regime]
    zone = ZoneInfo(clock.zone)
    came_on = cure.movement.effective_at.astimezone(zone).date()
    return at.astimezone(zone).date() <= _later(came_on, days, clock.calendar)


def _later(day: date, count: int, calendar: str) -> date:
    """The last day that counts: the `count`-th business day after `day`; without a calendar every day is one."""
    if not calendar:
        return day + timedelta(days=count)
    later = [one for one in calendars.business_days(calendar).dates if one > day]
    if len(later) < count:
        raise calendars.CalendarUnknown(
            f"calendar {calendar} is not known {count} business days after {day}; load more"
        )
    return later[count - 1]
