"""A liquidation plan on one page: what would be sold and what it restores; approved by another person; its fills."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from margin import actors, calls, offers
from margin.models import Order, Plan, PlanFill, PlanLine
from margin.workflow import Verb
from market import clock, figures
from market.faces import Button, ReadOnlyAdmin, Table, act, at_column, column, link, may

LOOKS = {"proposed": "issued", "approved": "warn", "done": "good", "rejected": "cancelled", "expired": "cancelled"}
REFUSALS = (calls.CallError, clock.SkewedClock)


class FillForm(forms.Form):
    """What the broker reported for one line. The sign comes from the line."""

    quantity = forms.DecimalField(max_digits=32, decimal_places=12, min_value=Decimal("1e-12"))
    price = forms.DecimalField(max_digits=32, decimal_places=12)
    fee = forms.DecimalField(max_digits=28, decimal_places=8, min_value=Decimal(0))
    external_reference = forms.CharField(max_length=80)


@admin.register(Plan)
class PlanAdmin(ReadOnlyAdmin):
    list_display = (
        column("plan", lambda row: f"plan {row.pk}", ordering="pk"),
        column("call", lambda row: row.call.number),
        column("client", lambda row: f"{row.call.account.client.name} {row.call.account.code}"),
        column("state", lambda row: figures.badge(row.state, look=LOOKS[row.state]), ordering="state"),
        at_column("proposed_at", "proposed"),
        column("by", lambda row: row.proposed_by or "system"),
        column("approved_by", lambda row: ", ".join(str(one.approver) for one in row.approvals.all()) or "nobody yet"),
        at_column("expires_at", "expires"),
    )
    list_filter = ("state",)
    search_fields = ("call__account__code", "call__account__client__name")
    list_select_related = ("call__account__client", "proposed_by")
    change_form_template = "desk/plan.html"
    left_out = ("content", "content_hash")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("approvals__approver")

    def get_urls(self) -> list[URLPattern]:
        guard = self.admin_site.admin_view
        return [
            path("<int:plan_id>/approve/", guard(approve), name="margin_plan_approve"),
            path("<int:plan_id>/release/", guard(release), name="margin_plan_release"),
            path("<int:plan_id>/reject/", guard(reject), name="margin_plan_reject"),
            path("<int:plan_id>/call-off/", guard(call_off), name="margin_plan_call_off"),
            path("lines/<int:line_id>/fill/", guard(self.fill), name="margin_plan_fill"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        plan = self.get_object(request, object_id)
        more = {} if plan is None else {**gather(plan), "form_rows": fill_rows(request, plan)}
        return super().change_view(request, object_id, form_url, {**more, **(extra_context or {})})

    def buttons(self, request: HttpRequest, obj: Plan) -> list[Button]:
        actor = actors.person(request.user)
        if actor.role in calls.MAY[Verb.CALL_OFF] and offers.may_call_off(obj, actor, timezone.now()):
            hint = "what has not left is cancelled, what is at a venue is asked back; what is filled stands"
            where = reverse("admin:margin_plan_call_off", args=(obj.pk,))
            return [Button("Call off", where, field="reason", look="danger", hint=hint)]
        if not may(request, "margin.change_plan"):
            return []
        if offers.may_release(obj, actor, timezone.now()):
            hint = "it was approved and could not leave then; the alarms say why"
            return [
                Button("Release", reverse("admin:margin_plan_release", args=(obj.pk,)), look="danger", hint=hint),
                Button("Reject", reverse("admin:margin_plan_reject", args=(obj.pk,)), field="reason"),
            ]
        if obj.state != Plan.State.PROPOSED:
            return []
        own = obj.proposed_by_id == request.user.pk
        given = obj.approvals.filter(approver=request.user.pk).exists()
        late = timezone.now() > obj.expires_at
        why_not = "another person must decide" if own or given else "it expired; propose a new one" if late else ""
        return [
            Button("Approve", reverse("admin:margin_plan_approve", args=(obj.pk,)), look="danger", why_not=why_not),
            Button("Reject", reverse("admin:margin_plan_reject", args=(obj.pk,)), field="reason"),
        ]

    def tables(self, request: HttpRequest, obj: Plan) -> list[Table]:
        return [approvals_table(obj), orders_table(request, obj), fills_table(request, obj)]

    def fill(self, request: HttpRequest, line_id: int) -> HttpResponse:
        """Record one fill; what does not fit is said beside the form, with what was typed still in it."""
        from margin import booking  # the engine: not needed to start

        line = PlanLine.objects.select_related("plan__call", "instrument").filter(pk=line_id).first()
        if line is None:
            raise Http404(f"There is no line {line_id}.")
        form = FillForm(request.POST)
        if request.method == "POST" and not form.is_valid():
            return self.change_view(request, str(line.plan_id), extra_context={"bad_line": line.pk, "bad_form": form})
        sign = 1 if line.quantity > 0 else -1
        return act(
            request,
            back=reverse("admin:margin_plan_change", args=(line.plan_id,)),
            done="The fill is booked.",
            deed=lambda: booking.record_fill(
                line,
                **{**form.cleaned_data, "quantity": sign * form.cleaned_data["quantity"]},
                source="desk",
                at=clock.now(),
                actor=actors.person(request.user),
            ),
            refusals=REFUSALS,
        )


def find(plan_id: int) -> Plan:
    plan = Plan.objects.select_related("call").filter(pk=plan_id).first()
    if plan is None:
        raise Http404(f"There is no plan {plan_id}.")
    return plan


def approve(request: HttpRequest, plan_id: int) -> HttpResponse:
    from margin import approvals

    return decide(request, plan_id, "Your approval of plan {} is recorded.", approvals.approve)


def release(request: HttpRequest, plan_id: int) -> HttpResponse:
    from margin import approvals

    return decide(request, plan_id, "Plan {} is released.", approvals.release)


def reject(request: HttpRequest, plan_id: int) -> HttpResponse:
    from margin import approvals

    reason = request.POST.get("reason", "")
    return decide(
        request, plan_id, "Plan {} is rejected.", lambda plan, **by: approvals.reject(plan, reason=reason, **by)
    )


def call_off(request: HttpRequest, plan_id: int) -> HttpResponse:
    from margin import approvals

    reason = request.POST.get("reason", "")
    return decide(
        request, plan_id, "Plan {} is called off.", lambda plan, **by: approvals.call_off(plan, reason=reason, **by)
    )


def decide(request: HttpRequest, plan_id: int, done: str, verb: Callable[..., Any]) -> HttpResponse:
    plan = find(plan_id)
    return act(
        request,
        back=reverse("admin:margin_plan_change", args=(plan.pk,)),
        done=done.format(plan.pk),
        deed=lambda: verb(plan, at=clock.now(), actor=actors.person(request.user)),
        refusals=REFUSALS,
    )


def gather(plan: Plan) -> dict[str, Any]:
    """The content that is approved, word for word, in the desk's figures."""
    from margin import liquidation

    body = liquidation.content(plan)
    currency = body["currency"]
    lines = [
        (
            line["code"],
            "sell" if Decimal(line["quantity"]) < 0 else "buy back",
            figures.quantity(abs(Decimal(line["quantity"]))),
            figures.price(Decimal(line["price"])),
            figures.amount(line["proceeds"], currency),
            figures.amount(line["fee"], currency),
            figures.amount(line.get("spread", "0"), currency),
            line.get("slice", 1),
        )
        for line in body["lines"]
    ]
    return {
        "plan": plan,
        "call": plan.call,
        "body": body,
        "at": timezone.now(),
        "has_expired": plan.state == Plan.State.PROPOSED and timezone.now() > plan.expires_at,
        "sized_at": datetime.fromisoformat(body["at"]),
        "lines_table": Table(
            "What would be closed",
            ("instrument", "", "units", "price", "proceeds", "fee", "half spread", "step"),
            lines,
            note=lines_note(body),
        ),
        "weighed_table": weighed(body),
    }


NAMES = {
    "as_held": "in the order held",
    "largest_loser": "the largest loser first",
    "by_release": "by release per value",
}
AIMS = {
    "smallest": "the least value traded, fees and half spreads included",
    "cheapest": "the least fees and half spreads",
}


def lines_note(body: dict[str, Any]) -> str:
    """What must be known before approving the lines."""
    left_out = "; ".join(f"{one['code']}: {one['reason']}" for one in body.get("left_out", ()))
    said = [
        f"Best at: {AIMS[body['objective']]}." if body.get("objective") else "",
        "Steps are done one after another; after each the account is no worse off." if len(body["lines"]) > 1 else "",
        "This is the first stage; after it another plan is made." if body.get("is_staged") else "",
        f"Newly below its requirement afterwards: {', '.join(body['breaches'])}." if body.get("breaches") else "",
        f"Left out: {left_out}." if left_out else "",
    ]
    return " ".join(filter(None, said))


def weighed(body: dict[str, Any]) -> Table | None:
    """The plan beside the other ways it was weighed against; None for plans of the time before that was kept."""
    if "total" not in body:
        return None
    rows = [("this plan", body["total"]), *((NAMES[one["name"]], one) for one in body["alternatives"])]
    rows.append(("everything that may be sold", body["everything"]))
    currency = body["currency"]
    return Table(
        "Weighed against",
        ("way", "value", "fees", "half spreads", "orders", "left beyond the requirement", ""),
        [
            (
                name,
                *(figures.amount(one[column], currency) for column in ("value", "fee", "spread")),
                one["orders"],
                figures.amount(one["excess"], currency),
                "enough" if one["is_enough"] else "not enough",
            )
            for name, one in rows
        ],
        note="No combination of whole lots is cheaper." if body["is_proven"] else "",
    )


def fill_rows(request: HttpRequest, plan: Plan) -> list[dict[str, Any]]:
    """Lines that still have something to fill, for who may record it."""
    is_worked = offers.may_fill(plan, actors.person(request.user), timezone.now())
    if not is_worked or not may(request, "margin.add_planfill"):
        return []
    lines = plan.lines.select_related("instrument").annotate(filled=Sum("fills__fill__quantity"))
    open_lines = [(line, line.quantity - (line.filled or 0)) for line in lines]
    return [{"line": line, "left": abs(left), "sells": line.quantity < 0} for line, left in open_lines if left]


def approvals_table(plan: Plan) -> Table:
    needed = 1 if plan.proposed_by_id else 2
    return Table(
        "Approvals",
        ("who", "when", "content"),
        [
            (str(one.approver), figures.instant(one.approved_at, seconds=True), f"{one.content_hash[:16]}…")
            for one in plan.approvals.select_related("approver")
        ],
        empty="Nobody has approved it yet.",
        note=f"Proposed by {plan.proposed_by or 'the system'}: {needed} other "
        f"{'person' if needed == 1 else 'people'} must approve exactly this content, {plan.content_hash[:16]}….",
    )


def orders_table(request: HttpRequest, plan: Plan) -> Table:
    out = Order.objects.filter(release=plan.pk).select_related("line__instrument").order_by("line")
    return Table(
        "Orders",
        ("order", "instrument", "quantity", "limit", "venue", "state", "since"),
        [
            (
                link(request, one, one.client_order_id),
                one.line.instrument.code,
                figures.quantity(one.quantity),
                figures.price(one.limit_price, one.currency) if one.limit_price is not None else "at the market",
                one.venue,
                one.get_state_display(),
                figures.instant(one.moved_at, seconds=True),
            )
            for one in out
        ],
        empty="Nothing is ordered yet.",
    )


def fills_table(request: HttpRequest, plan: Plan) -> Table:
    done = PlanFill.objects.filter(line__plan=plan).select_related("fill__instrument").order_by("id")
    return Table(
        "Fills",
        ("traded", "instrument", "quantity", "price", "fee", "reference"),
        [
            (
                figures.instant(one.fill.traded_at, seconds=True),
                link(request, one.fill.instrument, one.fill.instrument.code),
                figures.quantity(one.fill.quantity),
                figures.price(one.fill.price, one.fill.instrument.currency),
                figures.amount(one.fill.fee, one.fill.instrument.currency),
                one.fill.external_reference,
            )
            for one in done
        ],
        empty="Nothing was sold yet.",
    )
