"""Requests, disputes, tasks and cures as lists and pages, with the forms of what each person may do about them."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from backoffice import deeds
from margin import verbs
from margin.models import Cure, Dispute, Request, Task
from market import figures
from market.faces import ReadOnlyAdmin, at_column, column, link

LOOKS = {
    "open": "warn", "granted": "good", "upheld": "good", "partly": "good", "denied": "cancelled",
    "rejected": "cancelled", "withdrawn": "quiet", "claimed": "warn", "in_transit": "issued", "settled": "good",
    "reversed": "bad",
}  # fmt: skip
account = column("account_of", lambda row: row.account.code, description="account", ordering="account__code")
client = column("client", lambda row: row.account.client.name, ordering="account__client__name")
call = column("call_of", lambda row: row.call.number if row.call else figures.missing("none yet"), description="call")
state = column(
    "state_of", lambda row: figures.badge(row.get_state_display(), look=LOOKS[row.state]), description="state"
)


class CaseAdmin(ReadOnlyAdmin):
    """A page of facts, with forms above them. `on` names its rows in `margin.verbs`."""

    on = ""
    change_form_template = "desk/case.html"
    search_fields: tuple[str, ...] = ("account__code", "account__client__name")
    list_select_related: tuple[str, ...] = ("account__client", "call")

    def get_urls(self) -> list[URLPattern]:
        do = path("<int:row_id>/do/<str:verb>/", self.admin_site.admin_view(self.do), name=f"cases_{self.on}_do")
        return [do, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        mine = {} if row is None else {
            "forms": deeds.forms_of(self.on, row, request),
            "about": link(request, row.call) if row.call else "",
        }  # fmt: skip
        return super().change_view(request, object_id, form_url, {**mine, **(extra_context or {})})

    def do(self, request: HttpRequest, row_id: int, verb: str) -> HttpResponse:
        """One act on one row; back to where the button was."""
        act = verbs.find(self.on, verb)
        row = self.model._default_manager.filter(pk=row_id).first()
        if act is None or row is None:
            raise Http404(f"There is no action {verb} on row {row_id}.")
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        page = reverse(f"admin:margin_{self.opts.model_name}_change", args=(row.pk,))
        of_call = reverse("admin:margin_margincall_change", args=(row.call_id,)) if row.call_id else page
        return deeds.carry_out(request, act, row, back=of_call if request.POST.get("back") == "call" else page)


def due_of(task: Task) -> Any:
    return figures.instant(task.due_at) if task.closed_at else figures.countdown(task.due_at, timezone.now())


def announced(cure: Cure) -> Any:
    if cure.amount is None:
        return figures.missing("not announced")
    return figures.amount(cure.amount, cure.currency) if cure.currency else figures.quantity(cure.amount)


@admin.register(Request)
class RequestAdmin(CaseAdmin):
    on = "requests"
    list_display = (
        column("what", lambda row: row.get_kind_display()), call, account, client, state, at_column("until"),
        "reason", column("by", lambda row: row.asked_by or "system"), at_column("asked_at", "asked"),
        column("decided_by", lambda row: row.decided_by or figures.missing("nobody yet")),
    )  # fmt: skip
    list_filter = ("state", "kind")
    list_select_related = ("account__client", "call", "asked_by", "decided_by")


@admin.register(Dispute)
class DisputeAdmin(CaseAdmin):
    on = "disputes"
    list_display = (
        column("what", lambda row: row.reason_code.replace("_", " ")), call, account, client, state,
        column("figure_amount", lambda row: figures.amount(row.amount, row.call.currency), ordering="amount"),
        column("clock", lambda row: "stands" if row.stops_clock else "runs"), "opened_by",
        at_column("opened_at", "opened"), at_column("decided_at", "decided"),
    )  # fmt: skip
    list_filter = ("state", "reason_code")


@admin.register(Task)
class TaskAdmin(CaseAdmin):
    on = "tasks"
    list_display = (
        "title", call, account, client,
        column("due", due_of, ordering="due_at"),
        column("whose", lambda row: row.owner or figures.missing("nobody took it on"), ordering="owner"),
        column("outcome_of", lambda row: row.outcome or figures.missing("open"), description="outcome"),
    )  # fmt: skip
    list_filter = (("closed_at", admin.EmptyFieldListFilter), "kind")
    list_select_related = ("account__client", "call", "owner")


@admin.register(Cure)
class CureAdmin(CaseAdmin):
    on = "cures"
    search_fields = ("call__account__code", "call__account__client__name", "reference")
    list_display = (
        column("what", lambda row: row.get_kind_display()), call,
        column("account_of", lambda row: row.call.account.code, description="account"), state,
        column("figure_amount", announced),
        column("figure_release", lambda row: figures.amount(row.release, row.call.currency), ordering="release"),
        "method", "reference", at_column("expected_at", "expected"), at_column("settled_at", "settled"),
    )  # fmt: skip
    list_filter = ("state", "kind")
    list_select_related = ("call__account",)
