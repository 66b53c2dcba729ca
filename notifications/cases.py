"""What a notice about one event rests on: gathered once, immutable, of one account alone.

`gather` reads the event's body, its call, the assessment it names and the firm's settings, for many events in a fixed
number of queries. Everything said to a client comes from a `Case`; nothing else is in reach when a notice is written
(fault M11).
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Prefetch

from margin.models import Assessment, Charge, Cure, Event, Measure, PlanFill, Receivable
from market.models import Instrument, Kind
from notifications.addresses import visible

ZERO = Decimal(0)
# Methodologies that charge each unit held by itself: closing a unit releases its own charge (notifications.ways).
CHARGED_BY_UNIT = ("reg_t", "loan")


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
class Holding:
    """One holding at the prices of the assessment; value and requirement in the account's currency, None if unknown."""

    name: str
    code: str
    is_cash: bool
    currency: str
    quantity: Decimal
    price: Decimal | None
    value: Decimal | None
    requirement: Decimal | None
    haircut: Decimal | None = ZERO
    """What a loan's collateral does not count of its value; zero for margin securities, None if unknown."""
    lot_size: Decimal = Decimal(1)


@dataclass(frozen=True)
class Together:
    """Holdings that are charged together, such as shares and the call written on them, in the account's currency."""

    names: tuple[str, ...]
    requirement: Decimal


@dataclass(frozen=True)
class Figures:
    """What the assessment found for the regime of this event."""

    at: datetime
    equity: Decimal
    requirement: Decimal
    restore_requirement: Decimal
    cover: Decimal | None
    holdings: tuple[Holding, ...]
    fee_rate: Decimal
    is_charged_by_unit: bool
    """Every charge belongs to units of one holding, so that closing some releases their share."""
    together: tuple[Together, ...] = ()


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
    minor: Mapping[str, int]

    def case(self, event_id: int) -> Case:
        """The case of one event. Raises LookupError or ValueError if its rows do not fit together."""
        return _case(self.events[event_id], self.bodies[event_id], self)


def gather(event_ids: Iterable[int]) -> Gathered:
    """All that notices about these events rest on; a fixed number of queries however many events."""
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
        residuals=dict(Receivable.objects.filter(call__in=closed).values_list("call_id", "amount")),
        minor={found.currency: found.minor_exponent or 0 for found in cash},
    )


def _assessments(events: list[Event], bodies: Mapping[int, dict[str, Any]]) -> dict[int, Assessment]:
    """By event: the assessment it names, else the one its call was issued on."""
    named = {event.pk: _assessment_id(event, bodies[event.pk]) for event in events}
    charges = Prefetch("charges", Charge.objects.select_related("instrument"))
    found = (
        Assessment.objects.filter(pk__in={pk for pk in named.values() if pk})
        .select_related("policy_version__policy")
        .prefetch_related(Prefetch("measures", Measure.objects.prefetch_related(charges)))
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
        figures=_figures(assessment, regime, rows),
        sales=rows.sales.get(event.call_id or 0, ()),
        residual=rows.residuals.get(event.call_id or 0),
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
    released = (body.get("details") or {}).get("release") if event.kind == "cure.applied" else None
    return Demand(
        number=call.number,
        state=row["state"],
        called=Decimal(row["amount_called"]),
        outstanding=Decimal(row["amount_outstanding"]),
        called_before=rows.called_before.get(event.pk),
        received=sum((cure.release for cure in rows.cures.get(call.pk, []) if cure.seq <= event.seq), ZERO),
        released=Decimal(released) if released else None,
        issued_at=call.issued_at,
        due_at=datetime.fromisoformat(row["due_at"]),
        market_cures=call.market_cures,
        cause=row["escalation_cause"],
        resolution=row["resolution"],
    )


def _figures(assessment: Assessment | None, regime: str, rows: Gathered) -> Figures | None:
    measures = assessment.measures.all() if assessment else ()
    measure = next((measure for measure in measures if measure.regime == regime), None)
    if assessment is None or measure is None:
        return None
    charges = list(measure.charges.all())
    terms = assessment.policy_version.terms if assessment.policy_version else {}
    stated: dict[str, Any] = next((one for one in terms.get("regimes", []) if one.get("regime") == regime), {})
    return Figures(
        at=assessment.at,
        equity=measure.equity,
        requirement=measure.requirement,
        restore_requirement=measure.restore_requirement,
        cover=measure.cover,
        holdings=_holdings(assessment, charges, stated.get("methodology", ""), rows),
        fee_rate=Decimal(terms.get("fee_rate", "0")),
        is_charged_by_unit=stated.get("methodology") in CHARGED_BY_UNIT
        and not stated.get("parts")
        and bool(charges)
        and all(charge.instrument_id for charge in charges if charge.amount),
        together=tuple(_together(charge, rows) for charge in charges if charge.amount and _legs(charge)),
    )


def _legs(charge: Charge) -> list[Mapping[str, Any]]:
    """The positions that a charge on several of them is for, as it was explained."""
    return list(charge.explanation.get("legs", ()))


def _together(charge: Charge, rows: Gathered) -> Together:
    instruments = [rows.instruments[int(leg["instrument"])] for leg in _legs(charge)]
    return Together(tuple(visible(instrument.name) for instrument in instruments), charge.amount)


def _holdings(assessment: Assessment, charges: list[Charge], methodology: str, rows: Gathered) -> tuple[Holding, ...]:
    by_instrument: dict[int, list[Charge]] = defaultdict(list)
    told: dict[int, Mapping[str, Any]] = {}
    for charge in charges:
        if charge.instrument_id:
            by_instrument[charge.instrument_id].append(charge)
        for leg in (charge.explanation, *_legs(charge)):
            if leg.get("instrument"):
                told.setdefault(int(leg["instrument"]), {**leg, "fx": charge.explanation.get("fx")})
    return tuple(
        _holding(
            instrument := rows.instruments[int(row[0])],
            Decimal(row[1]),
            by_instrument.get(instrument.pk, []),
            told.get(instrument.pk) or _marked(instrument, row[3], assessment.currency),
            assessment.currency,
            methodology,
        )
        for row in assessment.holdings
    )


def _marked(instrument: Instrument, mark: str | None, base: str) -> Mapping[str, Any]:
    """What a holding that nothing is charged for was valued at, where no exchange rate is needed to tell."""
    if mark is None or instrument.currency != base:
        return {}
    price = Decimal(mark) / instrument.price_divisor
    return {"price": price, "multiplier": instrument.multiplier, "fx": 1}


def _holding(
    instrument: Instrument,
    quantity: Decimal,
    charges: list[Charge],
    told: Mapping[str, Any],
    base: str,
    methodology: str,
) -> Holding:
    """Price and exchange rate are those of a charge it is in, which states what it was computed from."""
    price, value = None, None
    if instrument.kind == Kind.CASH:
        value = quantity if instrument.currency == base else None
    elif "price" in told and told.get("fx"):
        price = Decimal(told["price"])
        value = quantity * price * Decimal(told["multiplier"]) * Decimal(told["fx"])
    return Holding(
        name=visible(instrument.name),
        code=visible(instrument.code),
        is_cash=instrument.kind == Kind.CASH,
        currency=instrument.currency,
        quantity=quantity,
        price=price,
        value=value,
        requirement=sum((charge.amount for charge in charges), ZERO) if charges else None,
        haircut=_haircut(told, methodology),
        lot_size=instrument.lot_size,
    )


def _haircut(told: Mapping[str, Any], methodology: str) -> Decimal | None:
    if methodology != "loan":
        return ZERO
    stated = told.get("inputs", {}).get("haircut_rate")
    return None if stated is None else Decimal(stated)
