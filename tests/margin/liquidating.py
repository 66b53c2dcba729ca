"""A call that can be liquidated, people of every role, plans that are ready to go: what tests of orders start from."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from accounts import positions
from accounts.models import Fill
from margin import approvals, calls, liquidation, sweep
from margin.actors import Actor
from margin.models import MarginCall, Order, OrderReport, Plan, PlanFill, PlanLine, Release
from margin.order_models import client_order_id
from margin.venues import interface
from margin.workflow import Cause
from market.models import Instrument
from tests.margin import rows, world
from tests.margin.rows import SWEEPER
from tests.margin.world import MONDAY, minutes, quote

LATER = MONDAY + minutes(2)
VENUE = "counting"


def called(
    count: int, *, venue: str = "desk", held: Iterable[str] = ("XYZ",), release: dict[str, Any] | None = None,
    regimes: Iterable[dict[str, Any]] = ({},),
) -> list[MarginCall]:  # fmt: skip
    """Accounts long 100 of each at 50.00, 3,600 borrowed against each: 100.00 short of 30 % apiece in each regime, and
    each call escalated."""
    terms = world.securities(*({**world.HOUSE, **one} for one in regimes))
    rows.policy("us_margin", {**terms, "release": {"venue": venue, **(release or {})}})
    instruments = [rows.equity(code) for code in held]
    for one in instruments:
        quote(one, "50", MONDAY)
    for _ in range(count):
        account, dollars = rows.account(), rows.cash()
        book = [(account.pk, one.pk, Decimal(100), Decimal(5000)) for one in instruments]
        book.append((account.pk, dollars.pk, Decimal(-3600 * len(book)), None))
        positions.write(book, cause="book", reference=account.code, effective_at=MONDAY)
    sweep.run("securities", at=MONDAY)
    found = MarginCall.objects.order_by("pk")
    return [calls.escalate(one, cause=Cause.SEVERITY, at=MONDAY + minutes(1), actor=SWEEPER) for one in found]


def escalated(**options: Any) -> MarginCall:
    """One of them."""
    (call,) = called(1, **options)
    return call


def people() -> dict[str, Actor]:
    roles = {"ops": "Operations", "sue": "Supervisor", "rita": "Risk", "adam": "Administrator", "cora": "Compliance"}
    return {name: rows.staff(name, role) for name, role in roles.items()}


def released(call: MarginCall, *, at: datetime = LATER) -> Plan:
    """Proposed by Operations, approved by a Supervisor, and so released."""
    plan = liquidation.propose(call, at=at, actor=rows.staff("ops", "Operations"))
    return approvals.approve(plan, at=at, actor=rows.staff("sue", "Supervisor"))


def plan_of(
    call: MarginCall, instruments: Iterable[Instrument], *, by: int | None, quantity: int = -1, in_slices: bool = False,
    at: datetime = LATER,
) -> Plan:  # fmt: skip
    """A plan as `liquidation.propose` would store it, one line for each instrument, valued at 50.00 a unit; all at once
    or each in a slice of its own."""
    lines = [
        {"instrument": one.pk, "code": one.code, "quantity": str(quantity), "price": "50",
         "proceeds": str(abs(quantity) * 50), "fee": "0", "slice": number if in_slices else 0}
        for number, one in enumerate(instruments)
    ]  # fmt: skip
    content = json.dumps({"call": call.pk, "currency": "USD", "lines": lines})
    plan = Plan.objects.create(
        call=call, content=content, proposed_by_id=by, proposed_at=at, expires_at=at + minutes(15)
    )
    PlanLine.objects.bulk_create(
        PlanLine(plan=plan, instrument_id=line["instrument"], quantity=quantity, price=50) for line in lines
    )
    return plan


def sold(plan: Plan, *, at: datetime) -> PlanFill:
    """The rows of an approved plan of the system whose only line was sold by hand, written without our code."""
    first, second = plan.approvals.order_by("id")
    release = Release.objects.create(
        plan=plan, content_hash=plan.content_hash, creator=0, first=first, second=second, venue="desk",
        currency=plan.call.currency, notional=0, largest=0, released_at=plan.proposed_at,
    )  # fmt: skip
    line = plan.lines.get()
    order = Order.objects.create(
        line=line, release=release, client_order_id=client_order_id(line.pk, plan.content_hash), venue="desk",
        quantity=line.quantity, currency=plan.call.currency, created_at=at, moved_at=at,
    )  # fmt: skip
    report = OrderReport.objects.create(
        venue="desk", report_id=f"L:{line.pk}", client_order_id=order.client_order_id, order=order, told="filled",
        at=at, quantity=abs(line.quantity), price=line.price,
    )  # fmt: skip
    fill = Fill.objects.create(
        account=plan.call.account, instrument=line.instrument, source="L", external_reference=str(line.pk),
        quantity=line.quantity, price=line.price, traded_at=at,
    )  # fmt: skip
    return PlanFill.objects.create(line=line, fill=fill, report=report)


@dataclass
class CountingVenue:
    """A venue whose memory is a file: what it was sent, in lines, outlives whoever sent it."""

    folder: Path
    code: str = VENUE
    told: list[interface.Report] = field(default_factory=list)

    def _file(self, name: str) -> Path:
        return self.folder / name

    def lines(self, name: str = "orders") -> list[str]:
        return self._file(name).read_text().split() if self._file(name).exists() else []

    def _write(self, name: str, line: str) -> None:
        with self._file(name).open("a") as file:
            file.write(f"{line}\n")

    def send(self, order: interface.Order) -> None:
        self._write("orders", order.client_order_id)

    def cancel(self, order: interface.Order) -> None:
        self._write("cancels", order.client_order_id)

    def ask(self, order: interface.Order) -> None:
        self._write("asks", order.client_order_id)
        known = order.client_order_id in self.lines()
        told = interface.Told.ACCEPTED if known else interface.Told.NEVER_HEARD
        self.say(order.client_order_id, told, name=f"answer-{len(self.lines('asks'))}")

    def say(self, order: str, told: interface.Told, *, name: str, at: datetime = LATER, **columns: object) -> None:
        made = interface.Report(self.code, f"{order}:{name}", order, told, at, **columns)  # type: ignore[arg-type]
        self.told.append(made)

    def reports(self) -> Iterable[interface.Report]:
        return iter(list(self.told))

    def keep(self, reports: Iterable[interface.Report]) -> None:
        kept = {report.report_id for report in reports}
        self.told = [report for report in self.told if report.report_id not in kept]
