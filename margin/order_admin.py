"""Orders and what holds them on the desk: releases, orders, reports, caps, standing approvals, the kill switch."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse

from margin import actors, calls, control_switches
from margin.models import KillSwitch, LiquidationCap, Order, OrderReport, Release, RightsChange, StandingApproval
from market import clock, figures
from market.faces import Button, ReadOnlyAdmin, act, at_column, column

REFUSALS = (calls.CallError, clock.SkewedClock)
LOOKS = {
    "new": "cancelled", "sending": "issued", "sent": "issued", "unknown": "warn", "working": "issued",
    "filled": "good", "cancelled": "cancelled", "rejected": "warn",
}  # fmt: skip
ACTS: dict[str, Callable[..., Any]] = {
    "ask": control_switches.ask_release,
    "let-go": control_switches.let_go,
    "approve": control_switches.approve,
    "revoke": control_switches.revoke,
}


def caps(row: Any) -> str:
    per = ((row.per_order, "order"), (row.per_account, "account"), (row.per_day, "day"))
    said = [f"{figures.amount(amount, row.currency)} {'a' if name == 'day' else 'an'} {name}" for amount, name in per]
    per_minute = getattr(row, "per_minute", None)  # a standing approval has none
    return ", ".join([*said, f"{per_minute} orders a minute"] if per_minute else said)


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = (
        column("order", lambda row: row.client_order_id, ordering="client_order_id"),
        column("plan", lambda row: f"plan {row.release_id}", ordering="release"),
        column("instrument", lambda row: row.line.instrument.code),
        "quantity",
        "limit_price",
        "venue",
        column("state", lambda row: figures.badge(row.state, look=LOOKS[row.state]), ordering="state"),
        at_column("moved_at", "since"),
        "last_error",
    )
    list_filter = ("state", "venue")
    search_fields = ("client_order_id", "line__instrument__code")
    list_select_related = ("line__instrument",)


@admin.register(OrderReport)
class OrderReportAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("at", "at"), "venue", "client_order_id", "told", "quantity", "price", "fee", "refers_to", "text",
    )  # fmt: skip
    list_filter = ("venue", "told")
    search_fields = ("client_order_id", "report_id")


@admin.register(Release)
class ReleaseAdmin(ReadOnlyAdmin):
    list_display = (
        column("plan", lambda row: f"plan {row.plan_id}", ordering="plan"),
        at_column("released_at", "released"),
        column("rests_on", lambda row: row.standing or ", ".join(
            str(one.approver) for one in (row.first, row.second) if one)),
        "venue",
        column("notional", lambda row: figures.amount(row.notional, row.currency)),
    )  # fmt: skip
    list_select_related = ("standing", "first__approver", "second__approver")


class DecidedAdmin(ReadOnlyAdmin):
    """Rows that one person proposes and another decides about."""

    acts: tuple[str, ...] = ()

    def get_urls(self) -> list[URLPattern]:
        guard, name = self.admin_site.admin_view, f"margin_{self.model._meta.model_name}"
        mine = [path(f"<int:row_id>/{one}/", guard(self.decide), {"deed": one}, f"{name}_{one}") for one in self.acts]
        return [*mine, *super().get_urls()]

    def decide(self, request: HttpRequest, row_id: int, deed: str) -> HttpResponse:
        """One domain call; the domain judges the role and the person."""
        row = self.model._default_manager.filter(pk=row_id).first()
        if row is None:
            raise Http404(f"There is no {self.model._meta.verbose_name} {row_id}.")
        return act(
            request,
            back=reverse(f"admin:margin_{self.model._meta.model_name}_change", args=(row.pk,)),
            done=f"{row}: done.",
            deed=lambda: ACTS[deed](
                row, reason=request.POST.get("reason", ""), at=clock.now(), actor=actors.person(request.user)
            ),
            refusals=REFUSALS,
        )

    def button(self, row: Any, deed: str, label: str, *, field: str = "") -> Button:
        address = reverse(f"admin:margin_{self.model._meta.model_name}_{deed}", args=(row.pk,))
        return Button(label, address, look="danger", field=field)


@admin.register(KillSwitch)
class KillSwitchAdmin(DecidedAdmin):
    acts = ("ask", "let-go")
    list_before_template = "desk/kill_switch.html"
    list_display = (
        at_column("pulled_at", "pulled"), "pulled_by", "reason", "cancels_working",
        column("state", lambda row: figures.badge("pulled" if row.is_pulled else "released",
                                                  look="warn" if row.is_pulled else "good")),
        "release_asked_by", "released_by", at_column("released_at", "released"),
    )  # fmt: skip
    list_select_related = ("pulled_by", "release_asked_by", "released_by")

    def get_urls(self) -> list[URLPattern]:
        return [path("pull/", self.admin_site.admin_view(pull), name="margin_killswitch_pull"), *super().get_urls()]

    def buttons(self, request: HttpRequest, obj: KillSwitch) -> list[Button]:
        if not obj.is_pulled or actors.person(request.user).role not in control_switches.DECIDERS:
            return []
        if obj.release_asked_by_id is None:
            return [self.button(obj, "ask", "Ask to let orders go", field="reason")]
        return [self.button(obj, "let-go", "Let orders go again")]


def pull(request: HttpRequest) -> HttpResponse:
    """Stop every order, with a reason."""
    return act(
        request,
        back=reverse("admin:margin_killswitch_changelist"),
        done="The kill switch is pulled: no order leaves.",
        deed=lambda: control_switches.pull(
            reason=request.POST.get("reason", ""), cancels_working="cancels_working" in request.POST, at=clock.now(),
            actor=actors.person(request.user),
        ),
        refusals=REFUSALS,
    )  # fmt: skip


@admin.register(LiquidationCap)
class LiquidationCapAdmin(DecidedAdmin):
    acts = ("approve",)
    list_display = (
        "currency", column("caps", caps), "reason", "proposed_by", "approved_by", at_column("approved_at", "in force")
    )  # fmt: skip
    list_select_related = ("proposed_by", "approved_by")

    def buttons(self, request: HttpRequest, obj: LiquidationCap) -> list[Button]:
        may = actors.person(request.user).role in control_switches.DECIDERS
        is_due = may and obj.approved_by_id is None and obj.proposed_by_id != request.user.pk
        return [self.button(obj, "approve", "Approve")] if is_due else []


@admin.register(StandingApproval)
class StandingApprovalAdmin(DecidedAdmin):
    acts = ("approve", "revoke")
    list_display = (
        column("policy", lambda row: str(row.policy_version)), "regime", column("caps", caps), "proposed_by",
        "approved_by", at_column("expires_at", "expires"), at_column("revoked_at", "revoked"),
    )  # fmt: skip
    list_select_related = ("policy_version__policy", "proposed_by", "approved_by")

    def buttons(self, request: HttpRequest, obj: StandingApproval) -> list[Button]:
        if actors.person(request.user).role not in control_switches.DECIDERS or obj.revoked_at is not None:
            return []
        revoke = self.button(obj, "revoke", "Revoke")
        if obj.approved_by_id is None and obj.proposed_by_id != request.user.pk:
            return [self.button(obj, "approve", "Approve"), revoke]
        return [revoke]


@admin.register(RightsChange)
class RightsChangeAdmin(ReadOnlyAdmin):
    list_display = (at_column("recorded_at", "recorded"), "subject", "change", "relation", "act", "role")
    search_fields = ("subject", "change")
