"""What must I do now? A few set-based queries; every tile is a link to the list it counts."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Position
from backoffice import approvals, queue
from margin import warnings, workflow
from margin.models import Alarm, Assessment, Event, MarginCall, Measure, Sweep, Warning
from market import figures
from market.models import HeldQuote

SHOWN = 8
FAR = 2  # a cover nobody needs to watch


@dataclass(frozen=True)
class Tile:
    """A number that asks for something. Zero is quiet."""

    label: str
    count: int
    url: str
    look: str
    detail: str = ""


def open_calls(request: HttpRequest) -> int:
    return MarginCall.objects.open().count()


def approvals_waiting(request: HttpRequest) -> int:
    return len(approvals.waiting(at=timezone.now()))


def gather(user: Any, *, at: datetime) -> dict[str, Any]:
    """Everything the first page shows, at one instant. Empty for those who may not see calls."""
    if not user.has_perm("margin.view_margincall"):
        return {"sees_calls": False, "at": at}
    sweeps = latest_sweeps()
    finished = [sweep.pk for sweep in latest_sweeps(finished=True)]
    calls = MarginCall.objects.open().select_related("account__client").order_by("due_at", "id")
    return {
        "sees_calls": True,
        "at": at,
        "tiles": [*call_tiles(at), *other_tiles(finished, at)],
        "deadlines": list(calls[:SHOWN]),
        "sweeps": [{"sweep": sweep, **progress(sweep)} for sweep in sweeps],
        "closest": closest(finished),
        "events": list(Event.objects.select_related("account", "call").order_by("-id")[:SHOWN]),
        "alarms": list(Alarm.objects.filter(cleared_at=None)[:SHOWN]),
    }


def queue_url(view: str) -> str:
    return f"{reverse('admin:margin_margincall_changelist')}?{urlencode({'work': view})}"


def call_tiles(at: datetime) -> list[Tile]:
    """One query, grouped by currency: amounts of different currencies are never added."""
    views = {name: condition for name, condition in queue.conditions(at).items() if name != "open"}
    wanted: dict[str, Any] = {}
    for view, condition in views.items():
        wanted[f"{view}_count"] = Count("pk", filter=condition)
        wanted[f"{view}_sum"] = Sum("amount_outstanding", filter=condition)
    by_currency: list[Any] = list(MarginCall.objects.open().order_by().values("currency").annotate(**wanted))
    return [
        Tile(
            label=queue.LABELS[view],
            count=sum(row[f"{view}_count"] for row in by_currency),
            url=queue_url(view),
            look=view,
            detail=figures.total((row["currency"], row[f"{view}_sum"]) for row in by_currency if row[f"{view}_sum"]),
        )
        for view in views
    ]


def other_tiles(finished: list[int], at: datetime) -> list[Tile]:
    inbox = approvals.waiting(at=at)
    oldest = min((item.asked_at for item in inbox), default=None)
    held = HeldQuote.objects.filter(state=HeldQuote.State.HELD)
    touched = Position.objects.filter(instrument__in=held.values("instrument")).exclude(quantity=0)
    quarantined = held.count()
    unpriced = Assessment.objects.filter(sweep__in=finished, status=Assessment.Status.UNPRICED).count()
    undelivered = queue.undelivered(MarginCall.objects.open()).count()
    accounts = touched.aggregate(n=Count("account", distinct=True))["n"] if quarantined else 0
    return [
        Tile(
            "Approvals waiting",
            len(inbox),
            reverse("admin:approvals"),
            "approvals",
            f"oldest {figures.lapse((at - oldest).total_seconds())}" if oldest else "",
        ),
        Tile("Undelivered notices", undelivered, queue_url("undelivered"), "undelivered", "phone the client"),
        Tile(
            "Quarantine",
            quarantined,
            f"{reverse('admin:market_heldquote_changelist')}?state__exact=held",
            "quarantine",
            f"{accounts} account{'' if accounts == 1 else 's'} affected",
        ),
        Tile("Unpriced accounts", unpriced, unpriced_url(finished), "unpriced", "no call, no clearing"),
        warned_tile(at),
    ]


def warned_tile(at: datetime) -> Tile:
    """Open warnings, and how many of the accounts warned in the last seven days came back without a call."""
    rate = warnings.prevention(at - timedelta(days=7), at).rate
    return Tile(
        "Warnings",
        Warning.objects.filter(cleared_at=None).count(),
        f"{reverse('admin:margin_warning_changelist')}?cleared_at__isempty=1",
        "warnings",
        "" if rate is None else f"{rate:.0%} prevented in 7 days",
    )


def unpriced_url(sweeps: Iterable[int]) -> str:
    query = {"status__exact": "unpriced", "sweep__id__in": ",".join(str(sweep) for sweep in sweeps) or "0"}
    return f"{reverse('admin:margin_assessment_changelist')}?{urlencode(query)}"


def latest_sweeps(*, finished: bool = False) -> list[Sweep]:
    """The newest sweep of each kind."""
    sweeps = Sweep.objects.order_by("kind", "-slot_at", "-id").distinct("kind")
    return list(sweeps.filter(finished_at__isnull=False) if finished else sweeps)


def progress(sweep: Sweep) -> dict[str, Any]:
    """How much of a sweep is done, and how long it took or has been taking."""
    seen = sweep.evaluated + sweep.unpriced + sweep.failed
    share = Decimal(100) * seen / sweep.eligible if sweep.eligible else None
    seconds = (sweep.finished_at - sweep.started_at).total_seconds() if sweep.finished_at else None
    return {"seen": seen, "percent": share, "seconds": seconds}


def closest(finished: list[int]) -> list[Measure]:
    """Accounts without a deficit with the lowest cover, each by its tightest regime, by the newest sweeps."""
    near = Measure.objects.filter(assessment__sweep__in=finished, deficit=0, requirement__gt=0, cover__lt=FAR)
    found = near.select_related("assessment__account__client").order_by("cover")[: SHOWN * len(workflow.Regime)]
    tightest: dict[int, Measure] = {}
    for measure in found:
        tightest.setdefault(measure.assessment.account_id, measure)
    return list(tightest.values())[:SHOWN]
