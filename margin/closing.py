"""The close of a day for SMA (12 CFR 220.5): what happened is posted, and what the market gave is kept."""

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from accounts.models import Account
from margin import policies, prices, sma, sma_feed, snapshot, sweep
from margin.engine import regulation
from margin.models import PolicyVersion, Shard, Sweep
from margin.sma_sources import Close
from market import calendars

KIND = "securities"  # the sweep that covers the policies of Regulation T
CALENDAR = "XNYS"
ZONE = ZoneInfo("America/New_York")


@dataclass
class Closing:
    """Accounts opened, sources posted, accounts raised; and those that wait, by code, with the reason."""

    opened: int = 0
    posted: int = 0
    raised: int = 0
    waiting: dict[str, str] = field(default_factory=dict)


def close(closed: Sweep, *, day: date) -> Closing:
    """Post what waits, then raise SMA to the excess, at the sweep's instant and prices, shard by shard; may run again.

    Accounts without a usable price keep the SMA they have, and what they did waits. ValueError unless the sweep is
    complete.
    """
    if closed.state != Sweep.State.COMPLETE:
        raise ValueError(f"{closed} is {closed.state}; close on a complete one")
    governed = {
        code: version
        for code, version in sweep.policies_of(closed.kind, closed.at).items()
        if regulation.is_governed(policies.read(version).policy)
    }
    done = Closing()
    for shard in closed.shards.all() if governed else ():
        seen = _seen(closed, shard, governed)
        fed = sma_feed.feed(seen)
        rising = {
            pk: standing.excess
            for pk, standing in seen.found.standing.items()
            if pk not in fed.waiting and standing.excess is not None
        }
        raised = sma.close_of_day(rising, day=day, at=closed.at, sweep=closed)
        waiting = {**fed.waiting, **dict.fromkeys(raised.overtaken, sma_feed.OVERTAKEN)}
        codes = Account.objects.filter(pk__in=waiting).values_list("pk", "code")
        done.opened += fed.opened
        done.posted += fed.posted
        done.raised += raised.raised
        done.waiting |= {code: waiting[pk] for pk, code in codes}
    return done


def _seen(closed: Sweep, shard: Shard, governed: dict[str, PolicyVersion]) -> Close:
    """A shard's accounts, measured. Their last entries are read first: one posted since is noticed, not overlooked."""
    accounts = snapshot.Accounts(shard.first_account, shard.last_account, shard.account_ids)
    numbers = sma.numbers(accounts.ids, first=accounts.first, last=accounts.last)
    snap = snapshot.take(
        prices=prices.of(closed), in_force=governed, accounts=accounts, past=snapshot.Past(at=closed.at)
    )
    found = regulation.measured(snap.book, snap.instruments, snap.market, snap.rules)
    return Close(closed, snap, found, numbers)


# --- which day, which sweep -------------------------------------------------------------------------


def day_of(at: datetime) -> date:
    """The day in New York."""
    return at.astimezone(ZONE).date()


def closes_at(day: date) -> datetime | None:
    """When New York closes on a day; None if it does not trade. Raises CalendarUnknown beyond what is loaded."""
    return calendars.closing_instants(CALENDAR, [day]).get(day)


def is_over(day: date, at: datetime) -> bool:
    """Whether New York traded on that day and had closed at that instant."""
    shut_at = closes_at(day)
    return shut_at is not None and shut_at <= at


def sweep_of(day: date) -> Sweep | None:
    """The first complete sweep after the close, of the same day in New York: its prices are the day's last."""
    shut_at = closes_at(day)
    midnight = datetime.combine(day + timedelta(days=1), time(), ZONE)
    if shut_at is None:
        return None
    complete = Sweep.objects.filter(kind=KIND, state=Sweep.State.COMPLETE, at__gte=shut_at, at__lt=midnight)
    return complete.order_by("at", "pk").first()
