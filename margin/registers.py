"""Registers for the regulator: what happened in a time, each thing once, as sheets that a person reads.

The daily record is rebuilt from events, so that a day printed years later says what it said then.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Q

from accounts.models import Fill
from margin import chain, document_register
from margin.case_models import Request
from margin.models import Approval, Cure, MarginCall, PlanFill
from margin.register_sheets import Cell, Sheet, Span
from margin.restriction_models import Restriction, Waiver
from margin.workflow import OPEN_STATES

# --- the daily record ---------------------------------------------------------------------------------

AT_THE_END = """
SELECT DISTINCT ON (e.call_id) e.call_id, e.body FROM margin_event e
WHERE e.call_id = ANY (%s) AND e.at < %s AND e.body::jsonb -> 'row' IS NOT NULL
ORDER BY e.call_id, e.seq DESC
"""
CURES_AT_THE_END = """
SELECT DISTINCT ON ((e.body::jsonb #>> '{cure,id}')::bigint) e.call_id, e.body FROM margin_event e
WHERE e.call_id = ANY (%s) AND e.at < %s AND e.body::jsonb -> 'cure' IS NOT NULL
ORDER BY (e.body::jsonb #>> '{cure,id}')::bigint, e.seq DESC
"""
DAILY = (
    *("day", "account", "client", "regime", "call", "trade_date", "required", "outstanding", "currency", "issued_at"),
    *("due_at", "state", "satisfied_at", "manner", "received", "remarks"),
)


def daily(span: Span) -> Sheet:
    """Every account that needed margin, how much, and when and how it was met (FINRA 4220): each call that was open at
    any time of a day is there once that day, as it stood when the day ended."""
    found: list[tuple[Cell, ...]] = []
    for day in span.days():
        found += _of_day(day)
    note = "A call is listed on every day on which it was open, once; amounts and states are those of the day's end."
    return Sheet("daily", f"Daily record of margin calls, {span}", DAILY, tuple(found), note)


def _of_day(day: Span) -> list[tuple[Cell, ...]]:
    was_open = Q(issued_at__lt=day.end) & (Q(closed_at=None) | Q(closed_at__gte=day.start))
    calls = (
        MarginCall.objects.filter(was_open)
        .select_related("account__client", "predecessor")
        .order_by("account__code", "pk")
    )
    stood = _stood([call.pk for call in calls], day.end)
    received = _received([call.pk for call in calls], day.end)
    return [_line(day, call, stood[call.pk], received[call.pk]) for call in calls]


def _stood(call_ids: Sequence[int], end: datetime) -> dict[int, Mapping[str, Any]]:
    """Call → its row as the last event before `end` wrote it."""
    with connection.cursor() as cursor:
        cursor.execute(AT_THE_END, [list(call_ids), end])
        return {call: json.loads(body)["row"] for call, body in cursor.fetchall()}


def _received(call_ids: Sequence[int], end: datetime) -> dict[int, list[Mapping[str, Any]]]:
    """Call → the cures that were settled for it and stood at an instant, as their last events before it wrote them."""
    with connection.cursor() as cursor:
        cursor.execute(CURES_AT_THE_END, [list(call_ids), end])
        last = [(call, json.loads(body)["cure"]) for call, body in cursor.fetchall()]
    found: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for call, cure in sorted(last, key=lambda one: (one[1].get("settled_at") or "", one[1]["id"])):
        if cure["state"] == Cure.State.SETTLED:
            found[call].append(cure)
    return found


def _line(day: Span, call: MarginCall, row: Mapping[str, Any], cures: Sequence[Mapping[str, Any]]) -> tuple[Cell, ...]:
    closed = row.get("closed_at")
    due_at = datetime.fromisoformat(row["due_at"])
    remarks = [
        *(["provisional"] if row.get("is_provisional") else []),
        *([f"disputed {row['disputed']}"] if Decimal(row.get("disputed") or 0) else []),
        *([f"was due {chain.text(call.original_due_at)}"] if due_at != call.original_due_at else []),
        *([f"held until {row['held_until']}"] if row.get("held_until") else []),
        *([f"follows {call.predecessor}"] if call.predecessor else []),
    ]
    return (
        *(day.first, call.account.code, call.account.client.code, call.regime, call.number, call.deficiency_key),
        *(Decimal(row["amount_called"]), Decimal(row["amount_outstanding"]), call.currency, call.issued_at),
        *(due_at, row["state"]),
        datetime.fromisoformat(closed) if closed else None,
        (row.get("resolution") or "").replace("_", " "),
        "; ".join(f"{Cure.Kind(cure['kind']).label} {cure.get('release', '0')}" for cure in cures),
        "; ".join(remarks),
    )


# --- extensions, restrictions, waivers ----------------------------------------------------------------

EXTENSIONS = (
    *("account", "client", "call", "regime", "deficiency", "amount", "currency", "reason_code", "reason", "number"),
    *("asked_at", "asked_by", "due_at", "until", "decision", "decided_at", "decided_by", "reference"),
)


def extensions(span: Span) -> Sheet:
    """The extension file: each extension asked for in the time, with its code, its number for the call and what became
    of it, as it is filed with the examining authority."""
    asked = Request.objects.filter(kind=Request.Kind.EXTENSION, asked_at__gte=span.start, asked_at__lt=span.end)
    earlier: dict[int | None, int] = defaultdict(int)
    before = Request.objects.filter(kind=Request.Kind.EXTENSION, asked_at__lt=span.start, call__in=asked.values("call"))
    for call in before.values_list("call", flat=True):
        earlier[call] += 1
    found: list[tuple[Cell, ...]] = []
    related = ("account__client", "call", "asked_by", "decided_by")
    for request in asked.select_related(*related).order_by("asked_at", "pk"):
        earlier[request.call_id] += 1
        found.append(_extension(request, earlier[request.call_id]))
    return Sheet("extensions", f"Extensions of time, {span}", EXTENSIONS, tuple(found))


def _extension(request: Request, number: int) -> tuple[Cell, ...]:
    call = request.call
    head: tuple[Cell, ...] = ("", "", "", Decimal(0), "")
    if call is not None:
        head = (call.number, call.regime, call.deficiency_key, call.amount_called, call.currency)
    return (
        *(request.account.code, request.account.client.code, *head, request.reason_code, request.reason, number),
        *(request.asked_at, _name(request.asked_by), request.before, request.until, request.state),
        *(request.decided_at, _name(request.decided_by), request.external_reference),
    )


RESTRICTIONS = (
    *("account", "client", "effect", "origin", "source", "starts_at", "ends_at", "reason", "placed_by"),
    *("lifted_at", "lifted_by", "lift_reason"),
)


def restrictions(span: Span) -> Sheet:
    """Every restriction in force at some time of the span."""
    in_force = Restriction.objects.filter(starts_at__lt=span.end).filter(
        (Q(ends_at=None) | Q(ends_at__gt=span.start)) & (Q(lifted_at=None) | Q(lifted_at__gt=span.start))
    )
    found = [
        (
            *(
                row.account.code,
                row.account.client.code,
                row.effect,
                row.origin,
                row.source,
                row.starts_at,
                row.ends_at,
            ),
            *(row.reason, row.placed_by, row.lifted_at, row.lifted_by, row.lift_reason),
        )
        for row in in_force.select_related("account__client").order_by("starts_at", "pk")
    ]
    return Sheet("restrictions", f"Restrictions in force, {span}", RESTRICTIONS, tuple(found))


WAIVERS = (
    *("account", "client", "restriction", "state", "reason", "proposed_at", "proposed_by", "decided_at", "decided_by"),
    "decision",
)


def waivers(span: Span) -> Sheet:
    """Waivers asked for in the time, with both officers."""
    asked = Waiver.objects.filter(proposed_at__gte=span.start, proposed_at__lt=span.end)
    related = ("account__client", "restriction", "proposed_by", "decided_by")
    found = [
        (
            *(row.account.code, row.account.client.code, row.restriction.effect, row.state, row.reason),
            *(row.proposed_at, _name(row.proposed_by), row.decided_at, _name(row.decided_by), row.decision),
        )
        for row in asked.select_related(*related).order_by("proposed_at", "pk")
    ]
    return Sheet("waivers", f"Waivers of restrictions, {span}", WAIVERS, tuple(found))


# --- liquidations -------------------------------------------------------------------------------------

LIQUIDATIONS = (
    *("account", "client", "call", "plan", "instrument", "quantity", "price", "fee", "currency", "sold_at"),
    *("taken_back_at", "proposed_by", "approved_by", "content_hash", "in_twelve_months"),
)


def liquidations(span: Span) -> Sheet:
    """Each fill of a plan in the time, when its venue took it back if it did, who proposed and approved it, and how
    many of the account's calls were liquidated in the twelve months until then."""
    filled = PlanFill.objects.filter(fill__traded_at__gte=span.start, fill__traded_at__lt=span.end)
    related = (
        "fill__reversed_by",
        "fill__instrument",
        "fill__account__client",
        "line__plan__call",
        "line__plan__proposed_by",
    )
    fills = list(filled.select_related(*related).order_by("fill__traded_at", "fill"))
    approved: dict[int, list[str]] = defaultdict(list)
    approvals = Approval.objects.filter(plan__in={row.line.plan_id for row in fills}).select_related("approver")
    for approval in approvals.order_by("approved_at", "pk"):
        approved[approval.plan_id].append(_name(approval.approver))
    found: list[tuple[Cell, ...]] = []
    for row in fills:
        fill, plan = row.fill, row.line.plan
        by = _name(plan.proposed_by) or "the system"
        found.append(
            (
                *(fill.account.code, fill.account.client.code, plan.call.number, plan.pk, fill.instrument.code),
                *(fill.quantity, fill.price, fill.fee, fill.instrument.currency, fill.traded_at),
                *(_taken_back_at(fill), by),
                *(", ".join(approved[plan.pk]), plan.content_hash, _in_twelve_months(plan.call, fill.traded_at)),
            )
        )
    return Sheet("liquidations", f"Liquidations, {span}", LIQUIDATIONS, tuple(found))


def _taken_back_at(fill: Fill) -> datetime | None:
    taken = getattr(fill, "reversed_by", None)
    return None if taken is None else taken.recorded_at


def _in_twelve_months(call: MarginCall, at: datetime) -> int:
    """Calls of the account with sales by a plan in the year before and including this one."""
    fills = PlanFill.objects.filter(
        line__plan__call__account=call.account_id, fill__traded_at__gt=at - timedelta(days=365),
        fill__traded_at__lte=at, fill__reversed_by=None,
    )  # fmt: skip
    return fills.values("line__plan__call").distinct().count()


# --- aging --------------------------------------------------------------------------------------------

AGES = ((timedelta(0), "not due"), (timedelta(days=1), "up to 1 day"), (timedelta(days=3), "1 to 3 days"),
        (timedelta(days=5), "3 to 5 days"), (timedelta(days=15), "5 to 15 days"))  # fmt: skip
OLDEST = "over 15 days"
AGING = ("past_due", "regime", "currency", "calls", "outstanding")


def aging(span: Span) -> Sheet:
    """Open calls at the end of the span by how long they are past due."""
    calls = MarginCall.objects.filter(issued_at__lt=span.end).filter(Q(closed_at=None) | Q(closed_at__gte=span.end))
    stood = _stood(list(calls.values_list("pk", flat=True)), span.end)
    groups: dict[tuple[int, str, str], list[Decimal]] = defaultdict(list)
    for call in calls:
        row = stood[call.pk]
        if row["state"] in OPEN_STATES:
            late = span.end - datetime.fromisoformat(row["due_at"])
            group = next((place for place, (limit, _) in enumerate(AGES) if late <= limit), len(AGES))
            groups[group, call.regime, call.currency].append(Decimal(row["amount_outstanding"]))
    names = [*(name for _, name in AGES), OLDEST]
    found = [
        (names[group], regime, currency, len(amounts), sum(amounts, Decimal(0)))
        for (group, regime, currency), amounts in sorted(groups.items())
    ]
    return Sheet("aging", f"Aging of open calls at the end of {span}", AGING, tuple(found))


REGISTERS: Mapping[str, Callable[[Span], Sheet]] = {
    "daily": daily,
    "extensions": extensions,
    "restrictions": restrictions,
    "waivers": waivers,
    "liquidations": liquidations,
    "aging": aging,
    "documents": document_register.documents_held,
}
"""Name → the register of a span of days."""


def _name(person: Any) -> str:
    return "" if person is None else str(person.get_username())
