"""Is anybody still sweeping? Looked at from outside Celery: by the watchdog process and by `/healthz/sweeps`."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Max, QuerySet

from margin import call_numbers, policies
from margin.models import Alarm, Plan, Shard, Sweep
from margin.workflow import State
from market import calendars
from market.models import Calendar

INTERVALS = {"securities": timedelta(minutes=15), "crypto": timedelta(minutes=1)}
INTERVALS_ALLOWED = 2
CALENDAR_NOTICE = timedelta(days=60)
NO_PLAN = "no_plan"
OPEN_PLANS = (Plan.State.PROPOSED, Plan.State.APPROVED)


@dataclass(frozen=True)
class Age:
    """How long ago the last complete sweep of a kind was, in time during which it should have run.

    Before the first sweep it counts from when the first policy of the kind was in force.
    """

    kind: str
    last_complete_at: datetime | None
    age_seconds: float | None
    limit_seconds: float
    is_expected: bool

    @property
    def is_ok(self) -> bool:
        late = self.age_seconds is None or self.age_seconds > self.limit_seconds
        return not (self.is_expected and late)


def ages(at: datetime) -> dict[str, Age]:
    """The age of each kind's last complete sweep at `at`, counted while any of its policies' venues was open."""
    completed = dict(
        Sweep.objects.filter(state=Sweep.State.COMPLETE, slot_at__lte=at)
        .values_list("kind")
        .annotate(latest=Max("slot_at"))
    )
    return {kind: _age(kind, completed.get(kind), at) for kind in INTERVALS}


def _age(kind: str, last: datetime | None, at: datetime) -> Age:
    limit = INTERVALS[kind].total_seconds() * INTERVALS_ALLOWED
    codes = session_calendars(kind, at)
    since = last or _governed_since(kind, at)
    age = None if since is None else max((_open_seconds(code, since, at) for code in codes), default=0.0)
    return Age(kind, last, age, limit, is_expected=any(is_in_session(code, at) for code in codes))


def _governed_since(kind: str, at: datetime) -> datetime | None:
    stated = [version for version in policies.in_force(at).values() if policies.read(version).terms.sweep == kind]
    return min((max(one.effective_at, one.approved_at or at) for one in stated), default=None)


def session_calendars(kind: str, at: datetime) -> set[str]:
    """The calendars of the policies swept by this kind; "" is the clock that never stops."""
    stated = (policies.read(version).terms for version in policies.in_force(at).values())
    return {terms.calendar for terms in stated if terms.sweep == kind}


def is_in_session(code: str, at: datetime) -> bool:
    """An unknown calendar counts as open: a sweep too many is harmless, a missing one is not."""
    try:
        return code == "" or calendars.is_open(code, at)
    except calendars.CalendarUnknown:
        return True


def _open_seconds(code: str, since: datetime, at: datetime) -> float:
    try:
        clock = calendars.clock(code) if code else calendars.ALWAYS
        return float(clock.elapsed_seconds(calendars.microseconds(since), calendars.microseconds(at)))
    except calendars.CalendarUnknown:
        return (at - since).total_seconds()


# --- alarms -----------------------------------------------------------------------------------------------


def check(at: datetime) -> list[Alarm]:
    """Raise and clear alarms: late sweeps, shards that nobody finishes, calendars that end soon. Returns new ones."""
    _clear_planned(at)
    wrong = [("sweep_late", age.kind, _lateness(age)) for age in ages(at).values() if not age.is_ok]
    stuck = Shard.objects.filter(done_at=None, attempts__gte=1, sweep__state=Sweep.State.INCOMPLETE)
    recent = stuck.filter(sweep__at__gte=at - timedelta(days=1)).select_related("sweep")
    wrong += [("shard_failed", str(shard), f"{shard} failed: {shard.last_error[:200]}") for shard in recent]
    wrong += [("calendar_ends", calendar.code, _ending(calendar)) for calendar in _ending_soon(at)]
    return raise_and_clear(wrong, kinds=("sweep_late", "shard_failed", "calendar_ends"), at=at)


def _clear_planned(at: datetime) -> None:
    """A call that is over, or has a plan by now, misses none."""
    for number in Alarm.objects.filter(kind=NO_PLAN, cleared_at=None).values_list("subject", flat=True):
        call = call_numbers.find(number)
        if call is None or call.state != State.ESCALATED or call.plans.filter(state__in=OPEN_PLANS).exists():
            clear_alarm(NO_PLAN, number, at=at)


def _ending_soon(at: datetime) -> QuerySet[Calendar]:
    return Calendar.objects.filter(known_until__lt=(at + CALENDAR_NOTICE).date())


def _ending(calendar: Calendar) -> str:
    return (
        f"calendar {calendar.code} is known until {calendar.known_until} only; beyond it no due date is set and its"
        f" instruments are unpriced: run manage.py load_calendars {calendar.code}"
    )


def _lateness(age: Age) -> str:
    if age.last_complete_at is None:
        return f"no {age.kind} sweep has ever completed; are the worker and beat running?"
    return (
        f"the last complete {age.kind} sweep was at {age.last_complete_at:%Y-%m-%d %H:%M} UTC,"
        f" more than {age.limit_seconds / 60:.0f} minutes of session ago; are the worker and beat running?"
    )


def raise_and_clear(wrong: Iterable[tuple[str, str, str]], *, kinds: Iterable[str], at: datetime) -> list[Alarm]:
    """Make the open alarms of these kinds equal to what is wrong now: (kind, subject, message)."""
    stated = {(kind, subject): message for kind, subject, message in wrong}
    raised = []
    for (kind, subject), message in stated.items():
        alarm = raise_alarm(kind, subject, message, at=at)
        if alarm:
            raised.append(alarm)
    for alarm in Alarm.objects.filter(kind__in=list(kinds), cleared_at=None):
        if (alarm.kind, alarm.subject) not in stated:
            Alarm.objects.filter(pk=alarm.pk, cleared_at=None).update(cleared_at=at)
    return raised


def raise_alarm(kind: str, subject: str, message: str, *, at: datetime) -> Alarm | None:
    """Raise one alarm; None if the same is open already."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO margin_alarm (kind, subject, message, raised_at) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (kind, subject) WHERE cleared_at IS NULL DO NOTHING RETURNING id",
            [kind, subject[:80], message[:400], at],
        )
        row = cursor.fetchone()
    return Alarm.objects.get(pk=row[0]) if row else None


def clear_alarm(kind: str, subject: str, *, at: datetime) -> None:
    """What it was about is over."""
    Alarm.objects.filter(kind=kind, subject=subject[:80], cleared_at=None).update(cleared_at=at)


def unmailed() -> QuerySet[Alarm]:
    """Open alarms, whoever raised them, that operations were not told of yet."""
    return Alarm.objects.filter(cleared_at=None, mailed_at=None).order_by("id")


def mailed(alarm: Alarm, *, at: datetime) -> None:
    """Note that operations were told."""
    Alarm.objects.filter(pk=alarm.pk).update(mailed_at=at)
