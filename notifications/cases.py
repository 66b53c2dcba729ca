"""What a notice about one event rests on: gathered once, immutable, of one account alone.

`gather` reads the event's body, its call, the assessment it names and the firm's settings, for many events in a fixed
number of queries; only sizing cure options asks for more, a few times (`cure_options.MOST_SIZED`). Everything said to a
client comes from a `Case`; nothing else is in reach when a notice is written (fault M11).
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from margin.models import Assessment, Cure, Event, PlanFill, Receivable
from market.models import Instrument, Kind
from notifications import cure_options, figures
from notifications.addresses import visible
from notifications.cure_options import CureOptions
from notifications.figures import Figures

ZERO = Decimal(0)
NONE_NAMED = CureOptions(unsized=cure_options.MOVED_ON)


@dataclass(frozen=True)
class Firm:
    name: str
    address: str
    email: str
    phone: str
    hours: str
    zone: str


@dataclass(frozen=True)
class Demand:
    """The call as its event left it."""

    number: str
    state: str
    called: Decimal
    outstanding: Decimal
    called_before: Decimal | None
    received: Decimal
    """Sum of what settled cures released up to this event."""
    released: Decimal | None
    """What this event's own cure released."""
    issued_at: datetime
    due_at: datetime
    market_cures: bool
    cause: str
    resolution: str


@dataclass(frozen=True)
class Sale:
    """A fill of the liquidation; negative quantity was sold."""

    name: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    currency: str


@dataclass(frozen=True)
class Case:
    """Everything a notice about one event may say."""

    event_id: int
    event_hash: str
    kind: str
    at: datetime
    regime: str
    account: str
    """Masked: the last four characters."""
    agreement: str
    policy: str
    currency: str
    minor: int
    client: str
    zone: str
    firm: Firm
    demand: Demand | None
    figures: Figures | None
    sales: tuple[Sale, ...]
    residual: Decimal | None
    options: CureOptions
    """The ways to meet the call beside cash, or why none is named."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the event says beside its call: why, how much, until when."""
    cure: Mapping[str, Any] = field(default_factory=dict)
    """What the event says of a cure."""

    @property
    def reference(self) -> str:
        return self.demand.number if self.demand else f"MW-{self.event_id}"


@dataclass(frozen=True)
class Gathered:
    """What the queries found, by the keys that events name; `case` puts one event's together."""

    events: Mapping[int, Event]
    bodies: Mapping[int, dict[str, Any]]
    assessments: Mapping[int, Assessment]
    instruments: Mapping[int, Instrument]
    cures: Mapping[int, list[Cure]]
    called_before: Mapping[int, Decimal]
    sales: Mapping[int, tuple[Sale, ...]]
    residuals: Mapping[int, Decimal]
    options: Mapping[int, CureOptions]
    minor: Mapping[str, int]

    def case(self, event_id: int) -> Case:
        """The case of one event. Raises LookupError or ValueError if its rows do not fit together."""
        return _case(self.events[event_id], self.bodies[event_id], self)


def gather(event_ids: Iterable[int]) -> Gathered:
    """All that notices about these events rest on."""
    events = list(
        Event.objects.filter(pk__in=list(event_ids)).select_related("account__client", "call__policy_version__policy")
    )
    bodies = {event.pk: json.loads(event.body) for event in events}
    return _gathered(events, bodies)


def masked(code: str) -> str:
    """An account's code as mails show it: `•••1008`."""
    return f"•••{code[-4:]}" if len(code) > 4 else f"•••{code[-2:]}"


def zone_or(name: str, otherwise: str) -> str:
    """The zone, if the time zone database knows it."""
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        return otherwise


# --- queries ----------------------------------------------------------------------------------------------


def _gathered(events: list[Event], bodies: Mapping[int, dict[str, Any]]) -> Gathered:
    calls = [event.call_id for event in events if event.call_id]
    closed = [event.call_id for event in events if event.kind == "call.liquidated"]
    assessments = _assessments(events, bodies)
    currencies = {event.account.base_currency for event in events}
    cures: dict[int, list[Cure]] = defaultdict(list)
    for cure in Cure.objects.filter(call__in=calls):
        cures[cure.call_id].append(cure)
    cash = Instrument.objects.filter(kind=Kind.CASH, currency__in=currencies, minor_exponent__isnull=False)
    return Gathered(
        events={event.pk: event for event in events},
        bodies=bodies,
        assessments=assessments,
        instruments=_instruments(assessments.values()),
        cures=cures,
        called_before=_called_before(events),
        sales=_sales(closed),
        options=cure_options.of_events(events, bodies),
        residuals=dict(Receivable.objects.filter(call__in=closed).values_list("call_id", "amount")),
        minor={found.currency: found.minor_exponent or 0 for found in cash},
    )


def _assessments(events: list[Event], bodies: Mapping[int, dict[str, Any]]) -> dict[int, Assessment]:
    """By event: the assessment it names, else the one its call was issued on."""
    named = {event.pk: _assessment_id(event, bodies[event.pk]) for event in events}
    found = (
        Assessment.objects.filter(pk__in={pk for pk in named.values() if pk})
        .select_related("policy_version__policy")
        .prefetch_related("measures__charges")
        .in_bulk()
    )
    # An assessment of another account is never shown, whoever named it.
    return {
        event.pk: found[pk]
        for event in events
        if (pk := named[event.pk]) in found and found[pk].account_id == event.account_id
    }


def _assessment_id(event: Event, body: dict[str, Any]) -> int | None:
    named = (body.get("details") or {}).get("assessment") or (body.get("row") or {}).get("assessment_id")
    if named:
        return int(named)
    return event.call.assessment_id if event.call else None


def _instruments(assessments: Iterable[Assessment]) -> dict[int, Instrument]:
    return Instrument.objects.in_bulk({int(row[0]) for one in assessments for row in one.holdings})


def _called_before(events: list[Event]) -> dict[int, Decimal]:
    """By event of a changed amount: what was called until then."""
    changed = [event for event in events if event.kind == "call.amount_changed"]
    if not changed:
        return {}
    history: dict[int | None, list[Event]] = defaultdict(list)
    for event in Event.objects.filter(call__in={event.call_id for event in changed}).order_by("seq"):
        history[event.call_id].append(event)
    before: dict[int, Decimal] = {}
    for event in changed:
        earlier = [json.loads(one.body).get("row") for one in history[event.call_id] if one.seq < event.seq]
        amounts = [row["amount_called"] for row in earlier if row]
        if amounts:
            before[event.pk] = Decimal(amounts[-1])
    return before


def _sales(calls: list[int | None]) -> dict[int, tuple[Sale, ...]]:
    sales: dict[int, list[Sale]] = defaultdict(list)
    fills = PlanFill.objects.filter(line__plan__call__in=calls).select_related("fill__instrument", "line__plan")
    for filled in fills.order_by("fill_id"):
        fill = filled.fill
        sales[filled.line.plan.call_id].append(
            Sale(visible(fill.instrument.name), fill.quantity, fill.price, fill.fee, fill.instrument.currency)
        )
    return {call: tuple(rows) for call, rows in sales.items()}


# --- one case ---------------------------------------------------------------------------------------------


def _case(event: Event, body: dict[str, Any], rows: Gathered) -> Case:
    account, assessment = event.account, rows.assessments.get(event.pk)
    regime = event.call.regime if event.call else body.get("regime", "")
    version = event.call.policy_version if event.call else assessment.policy_version if assessment else None
    return Case(
        event_id=event.pk,
        event_hash=event.hash,
        kind=event.kind,
        at=event.at,
        regime=regime,
        account=masked(visible(account.code)),
        agreement=visible(version.policy.name if version else account.agreement),
        policy=str(version) if version else "",
        currency=event.call.currency if event.call else account.base_currency,
        minor=rows.minor.get(account.base_currency, 2),
        client=visible(account.client.name),
        zone=zone_or(account.client.time_zone, settings.TIME_ZONE),
        firm=_firm(),
        demand=_demand(event, body, rows),
        figures=figures.of(assessment, regime, rows.instruments),
        sales=rows.sales.get(event.call_id or 0, ()),
        residual=rows.residuals.get(event.call_id or 0),
        options=rows.options.get(event.pk, NONE_NAMED),
        details=body.get("details") or {},
        cure=body.get("cure") or {},
    )


def _firm() -> Firm:
    return Firm(
        name=settings.FIRM_NAME,
        address=settings.FIRM_ADDRESS,
        email=settings.FIRM_EMAIL,
        phone=settings.FIRM_PHONE,
        hours=settings.FIRM_HOURS,
        zone=settings.TIME_ZONE,
    )


def _demand(event: Event, body: dict[str, Any], rows: Gathered) -> Demand | None:
    call, row = event.call, body.get("row")
    if call is None or not row:
        return None
    released = (
        (body.get("cure") or {}).get("release")
        if event.kind in ("cure.applied", "cure.moved", "claim.checked")
        else None
    )
    return Demand(
        number=call.number,
        state=row["state"],
        called=Decimal(row["amount_called"]),
        outstanding=Decimal(row["amount_outstanding"]),
        called_before=rows.called_before.get(event.pk),
        received=sum(
            (cure.release for cure in rows.cures.get(call.pk, []) if cure.seq <= event.seq and cure.is_settled), ZERO
        ),
        released=Decimal(released) if released else None,
        issued_at=call.issued_at,
        due_at=datetime.fromisoformat(row["due_at"]),
        market_cures=call.market_cures,
        cause=row["escalation_cause"],
        resolution=row["resolution"],
    )
