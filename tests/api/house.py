"""One row behind every address of the API, and the keys of those who ask."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts import adjustments, cash, documents, fills, positions
from accounts import models as parties
from accounts.models import Account, CashMovement, Document, DocumentReceipt, Fill
from backoffice import keys
from backoffice.models import ApiKey
from margin import (
    calls,
    claims,
    control_switches,
    disputes,
    models,
    reconciling,
    requests,
    restrictions,
    retention,
    sma,
    strikes,
)
from margin.engine.sma import Kind
from margin.models import (
    Approval,
    Assessment,
    Event,
    MarginCall,
    Measure,
    Plan,
    PlanLine,
    PolicyVersion,
    StormGate,
)
from margin.restriction_terms import Effect, StrikeKind
from margin.workflow import Cause, Resolution, Verb
from market import actions, parameters, quotes
from market.guard import Incoming
from market.models import HeldQuote
from notifications.models import Notice
from tests.margin import liquidating, rows, world

AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
LISTS = (
    *("clients", "accounts", "positions", "fills", "cash-movements", "instruments", "quotes", "parameters", "policies"),
    *("sweeps", "assessments", "calls", "events", "plans", "sma-entries", "notices"),
    *("requests", "disputes", "tasks", "cures"),
    *("warnings", "restrictions", "strikes", "waivers", "cash-reversals", "fill-busts", "deliveries"),
    *("legal-holds", "erasures"),
    *("gates", "reconciliations", "held-quotes", "corporate-actions"),
    *("documents", "document-receipts"),
    *("orders", "order-reports", "kill-switches", "liquidation-caps", "standing-approvals"),
)
SCOPE_OF = {
    "quotes": "quotes:write",
    "positions": "positions:write",
    "fills": "fills:write",
    "cash-movements": "cash:write",
    "cash-reversals": "cash:write",
    "fill-busts": "fills:write",
    "deliveries": "positions:write",
    "documents": "documents:write",
    "document-receipts": "documents:write",
}


def url(name: str, key: object = "") -> str:
    return f"/api/v1/{name}/{key}/" if key != "" else f"/api/v1/{name}/"


def member(role: str, *, staff: bool = True) -> User:
    user = User.objects.create_user(f"api.{role.lower()}", is_staff=staff)
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


def key(*scopes: str, at: datetime | None = None, days: int = 30) -> tuple[ApiKey, str]:
    """A key that was issued now, or `at`."""
    administrator, _ = User.objects.get_or_create(username="administrator", is_staff=True)
    at = at or timezone.now()
    return keys.issue(name="test", scopes=scopes, created_by=administrator, at=at, expires_at=at + timedelta(days=days))


def bearer(text: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {text}"})


def post(client: Client, name: str, body: Any, *, once: str | None = "k-1", **options: Any) -> Any:
    """POST a body (text, bytes or JSON) as application/json with an Idempotency-Key."""
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    headers = {"Idempotency-Key": once} if once is not None else {}
    return client.post(
        url(name), content, content_type=options.pop("content_type", "application/json"), headers=headers
    )


def furnish() -> dict[str, object]:
    """Rows in every list; the key of one row of each, as its address has it."""
    owner = rows.account("A-1001")
    usd, aig = rows.cash(), rows.equity("AIG")
    at = timezone.now()
    positions.apply_fills([fill_of(owner, aig, "T-1")], at=at)
    deposit(owner, usd, "FT-1")
    quotes.record([Incoming("AIG", "venue-a", at - timedelta(minutes=1), mark=Decimal("4.76"))], at=at)
    version = rows.policy()
    found = rows.assessment(owner, version, at=AT)
    measure = Measure.objects.create(
        **{"assessment": found, "regime": "house", "equity": 100, "requirement": 150},
        **{"restore_requirement": 150, "deficit": 50, "cover": Decimal("0.66666667")},
    )
    rows.charge(measure, aig, code="long_stock", amount="150", explanation={"rate": "0.3"})
    outcome = calls.carry_out([rows.issue(owner, version, assessment_id=found.pk)], at=AT, actor=rows.SWEEPER)[0]
    assert outcome.error is None
    call = MarginCall.objects.get(pk=outcome.call_id)
    event = Event.objects.get(call=call)
    return {
        **{"clients": "C-A-1001", "accounts": "A-1001", "instruments": "AIG", "quotes": "AIG", "policies": "us_margin"},
        "parameters": parameters.record("p", {"a": "1"}, kind="span", effective_on=AT.date(), source="x").stored.pk,
        "positions": owner.positions.get(instrument=aig).pk,
        "fills": Fill.objects.get(external_reference="T-1").pk,
        "cash-movements": CashMovement.objects.get(external_reference="FT-1").pk,
        "sweeps": found.sweep_id,
        "assessments": found.pk,
        "calls": call.pk,
        "events": event.pk,
        "plans": plan(call, aig).pk,
        "sma-entries": sma.post(owner, kind=Kind.DEPOSIT, amount=Decimal(250), at=AT, reference="before").pk,
        "notices": notice(event).pk,
        "warnings": warned(found),
        **restricted(version),
        **held_back(found),
        **ordered(version, aig),
        **of_the_world(at),
        **asked(),
        **corrected(owner, usd, aig, at),
        **told_of(owner),
        **kept_or_erased(),
    }


def held_back(found: Assessment) -> dict[str, object]:
    """A storm gate that stands open, and a book that somebody confirmed as whole."""
    opened = StormGate.objects.create(
        policy=found.policy_version.policy, sweep=found.sweep, calls=30, accounts=100, opened_at=AT,
        until=AT + timedelta(minutes=15),
    )  # fmt: skip
    olga = rows.staff("olga", "Operations")
    whole = reconciling.confirm(found.account, reason="compared with the custodian", at=AT, actor=olga)
    return {"gates": opened.pk, "reconciliations": whole.pk}


def ordered(version: PolicyVersion, instrument: Any) -> dict[str, object]:
    """A plan that was sold by hand, caps and a standing approval that wait, and a switch that was pulled and let go."""
    outcome = calls.carry_out(
        [rows.issue(rows.account("A-1055"), version, due_in=timedelta(days=9))], at=AT, actor=rows.SWEEPER
    )[0]
    call = calls.escalate(MarginCall.objects.get(pk=outcome.call_id), cause=Cause.SEVERITY, at=AT, actor=rows.SWEEPER)
    made = plan(call, instrument)
    sue, rita = rows.staff("sue.cap", "Supervisor"), rows.staff("rita.cap", "Risk")
    Approval.objects.create(
        plan=made, content_hash=made.content_hash, creator=0, approver_id=sue.user_id, approved_at=AT
    )
    Plan.objects.filter(pk=made.pk).update(state="approved")
    filled = liquidating.sold(made, at=AT)
    amounts = {"per_order": Decimal(1000), "per_account": Decimal(2000), "per_day": Decimal(3000)}
    cap = control_switches.propose_cap("USD", **amounts, reason="limits", at=AT, actor=sue)
    standing = models.StandingApproval.objects.create(
        policy_version=version, regime="loan", currency="USD", **amounts, reason="nights", proposed_by_id=sue.user_id,
        proposed_at=AT, expires_at=AT + timedelta(days=30),
    )  # fmt: skip
    switch = control_switches.pull(reason="a feed went wild", at=AT, actor=sue)
    control_switches.ask_release(switch, reason="it is mended", at=AT + timedelta(minutes=1), actor=sue)
    control_switches.let_go(switch, at=AT + timedelta(minutes=2), actor=rita)
    return {
        **{"orders": filled.line_id, "order-reports": filled.report_id, "kill-switches": switch.pk},
        **{"liquidation-caps": cap.pk, "standing-approvals": standing.pk},
    }


def of_the_world(at: datetime) -> dict[str, object]:
    """A quote that moved too far, and a split that somebody entered."""
    gold = rows.equity("GOLD")
    for minutes, mark in ((3, "100"), (1, "10")):
        quotes.record([Incoming("GOLD", "venue-a", at - timedelta(minutes=minutes), mark=Decimal(mark))], at=at)
    split = actions.propose(
        kind="split", instrument=gold, effective_at=at, at=at, person=None, reason="announced", new_per_old=Decimal(7)
    )
    return {"held-quotes": HeldQuote.objects.get().pk, "corporate-actions": split.pk}


def warned(found: models.Assessment) -> int:
    """A warning in an account of its own, as a sweep would raise it."""
    distances = [["AIG", "4.76", "4.5"], ["GOLD", "10", ""]]
    made = calls.Move(
        verb=Verb.WARN,
        account_id=rows.account("A-1010").pk,
        regime="house",
        changes={"assessment_id": found.pk, "cover": Decimal("1.02"), "rung": "final"},
        details={"rung": "final", "chance": "0.3100", "distances": distances},
    )
    assert calls.carry_out([made], at=AT, actor=rows.SWEEPER)[0].error is None
    return models.Warning.objects.get().pk


def told_of(owner: Account) -> dict[str, object]:
    """A disclosure statement, and that the client was given it."""
    kept = documents.publish(
        Document(
            kind="margin_disclosure", version="2026-01", effective_at=AT, sha256="a" * 64, location="2026-01.pdf",
            is_yearly=True, entered_by="test",
        )
    )  # fmt: skip
    receipt = DocumentReceipt(
        client=owner.client, document=kept, act="given", channel="post", at=AT, source="test", external_reference="G-1"
    )
    return {"documents": kept.pk, "document-receipts": documents.record([receipt], at=AT)[0].pk}


def kept_or_erased() -> dict[str, object]:
    """A client whose records a court wants, and one who was never a client of an account and wants to be erased."""
    cora = rows.staff("cora", "Compliance")
    held = retention.place_hold(rows.account("A-1011").client, reason="subpoena", at=AT, actor=cora)
    cleo = parties.Client.objects.create(code="C-0", name="Cleo")
    asked = models.Erasure.objects.create(client=cleo, reason="asked", asked_by_id=cora.user_id, asked_at=AT)
    return {"legal-holds": held.pk, "erasures": asked.pk}


def corrected(owner: Account, usd: Any, aig: Any, at: datetime) -> dict[str, object]:
    """Money taken back, a fill that was bust, and shares brought in: in an account of its own."""
    other = rows.account("A-1077")
    (fill,) = positions.apply_fills([fill_of(other, aig, "T-9")], at=at)
    deposit(other, usd, "FT-9")
    movement = CashMovement.objects.get(external_reference="FT-9")
    delivered = adjustments.adjust(
        other, instrument=aig, change=Decimal(5), reason="from another firm", external_reference="D-1", at=at,
        is_delivery=True,
    )  # fmt: skip
    return {
        "cash-reversals": cash.reverse(movement, source="bank", external_reference="R-9", at=at).pk,
        "fill-busts": fills.bust(fill, source="oms", external_reference="X-9", at=at).pk,
        "deliveries": delivered.pk,
    }


def restricted(version: PolicyVersion) -> dict[str, object]:
    """A strike for a call that is over, and a restriction of 90 days that somebody proposes to waive: elsewhere."""
    owner = rows.account("A-1008")
    made = calls.carry_out([rows.issue(owner, version, regime="exchange")], at=AT, actor=rows.SWEEPER)[0]
    over = calls.meet(
        MarginCall.objects.get(pk=made.call_id), how=Resolution.CASH, at=AT + timedelta(days=3), actor=rows.SWEEPER
    )
    with transaction.atomic():
        strike = strikes.record(over, kind=StrikeKind.LATE, schedules=(), at=AT + timedelta(days=3), actor=rows.SWEEPER)
    at = timezone.now()
    sue = rows.staff("sue", "Supervisor")
    placed = restrictions.place(
        owner, effect=Effect.CLOSING_ONLY, reason="late", ends_at=at + timedelta(days=90), at=at, actor=sue
    )
    waiver = strikes.waive(placed, reason="paid since", at=at, actor=sue)
    return {"restrictions": placed.pk, "strikes": strike.pk, "waivers": waiver.pk}


def asked() -> dict[str, object]:
    """What people asked, disputed, took on and announced about a call of another account."""
    version = rows.policy("asked", terms=world.securities())
    move = rows.issue(rows.account("A-1007"), version, due_in=timedelta(days=9))
    call = MarginCall.objects.get(pk=calls.carry_out([move], at=AT, actor=rows.SWEEPER)[0].call_id)
    who: dict[str, Any] = {"at": AT, "actor": rows.staff("olga", "Operations")}
    paid = {"amount": Decimal(40), "currency": "USD", "method": "wire", "reference": "FT 77"}
    cure = claims.claim(call, **paid, **who)
    (request,) = requests.ask_retraction([call], reason_code="other", reason="asked twice", **who)
    dispute = disputes.dispute(call, amount=Decimal(30), reason_code="position", reason="", **who)
    return {"requests": request.pk, "disputes": dispute.pk, "tasks": call.tasks.get().pk, "cures": cure.pk}


def fill_of(owner: Account, instrument: Any, reference: str) -> Fill:
    return Fill(
        account=owner,
        instrument=instrument,
        source="oms",
        external_reference=reference,
        quantity=Decimal(100),
        price=Decimal("5.25"),
        fee=Decimal(0),
        traded_at=AT,
    )


def deposit(owner: Account, currency: Any, reference: str) -> None:
    movement = {"currency": "USD", "amount": Decimal("250.00"), "source": "bank", "external_reference": reference}
    cash.deposit(owner, **movement, at=AT)


def plan(call: MarginCall, instrument: Any) -> Plan:
    line = {"instrument": instrument.pk, "code": instrument.code, "quantity": "-10", "price": "4.76", "fee": "0"}
    content = json.dumps({"lines": [{**line, "proceeds": "47.60"}]})
    made = Plan.objects.create(
        call=call,
        content=content,
        proposed_at=AT,
        expires_at=AT + timedelta(hours=1),
    )
    PlanLine.objects.create(plan=made, instrument=instrument, quantity=-10, price=Decimal("4.76"))
    approver = rows.staff("risk.two", "Risk").user_id
    Approval.objects.create(plan=made, content_hash=made.content_hash, creator=0, approver_id=approver, approved_at=AT)
    return made


def notice(event: Event) -> Notice:
    return Notice.objects.create(
        event=event,
        contact=event.account.client.contacts.get(),
        kind=event.kind,
        locale="en",
        to_address="desk@clients.example",
        subject="Margin call",
        text="You owe.",
        html="<p>You owe.</p>",
        template_version="1",
        content_hash="0" * 64,
        message_id=f"<{event.pk}@margin-desk.example>",
        prepared_at=AT,
        send_after=AT,
    )


def quote(**fields: Any) -> dict[str, Any]:
    at = timezone.now().isoformat().replace("+00:00", "Z")
    return {"instrument": "AIG", "source": "venue-b", "as_of": at, "mark": "4.80", **fields}


def fill(**fields: Any) -> dict[str, Any]:
    sale = {"account": "A-1001", "instrument": "AIG", "source": "oms", "external_reference": "T-2"}
    return {**sale, "quantity": "-10", "price": "4.80", "traded_at": "2026-03-02T15:00:00Z", **fields}


def movement(**fields: Any) -> dict[str, Any]:
    wire = {"account": "A-1001", "currency": "USD", "kind": "deposit", "amount": "10.00", "source": "bank"}
    return {**wire, "external_reference": "FT-2", "effective_at": "2026-03-02T15:00:00Z", **fields}


def position(**fields: Any) -> dict[str, Any]:
    return {"account": "A-1001", "instrument": "AIG", "quantity": "75", **fields}


def reversal(**fields: Any) -> dict[str, Any]:
    taken_back = CashMovement.objects.get(external_reference="FT-1").pk
    return {"reverses": taken_back, "source": "bank", "external_reference": "R-2", **fields}


def bust(**fields: Any) -> dict[str, Any]:
    taken_back = Fill.objects.get(external_reference="T-1").pk
    return {"reverses": taken_back, "source": "oms", "external_reference": "B-2", **fields}


def delivery(**fields: Any) -> dict[str, Any]:
    brought = {"account": "A-1001", "instrument": "AIG", "change": "5", "reason": "from another firm"}
    return {**brought, "external_reference": "D-2", "effective_at": "2026-03-02T15:00:00Z", **fields}


def document(**fields: Any) -> dict[str, Any]:
    text = {"kind": "margin_agreement", "version": "7", "sha256": "b" * 64, "location": "agreement-7.pdf"}
    return {**text, "effective_at": "2026-03-02T15:00:00Z", "needs_acceptance": True, **fields}


def receipt(**fields: Any) -> dict[str, Any]:
    of = {"client": "C-A-1001", "kind": "margin_disclosure", "version": "2026-01"}
    told = {"act": "given", "channel": "email", "at": "2026-03-02T15:00:00Z"}
    return {**of, **told, "source": "mailing", "external_reference": "G-2", **fields}


GOOD = {
    "quotes": quote,
    "positions": position,
    "fills": fill,
    "cash-movements": movement,
    "cash-reversals": reversal,
    "fill-busts": bust,
    "deliveries": delivery,
    "documents": document,
    "document-receipts": receipt,
}
