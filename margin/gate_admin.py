"""Storm gates and confirmed books on the desk; Supervisor or Risk lets held calls go out."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse

from margin import actors, calls, gate
from margin.models import Reconciliation, StormGate
from market import clock, figures
from market.faces import Button, ReadOnlyAdmin, act, at_column, column

LOOKS = {"open": "warn", "released": "good", "lapsed": "cancelled", "passed": "cancelled"}


@admin.register(StormGate)
class StormGateAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("opened_at", "since"),
        column("policy", lambda row: row.policy.code, ordering="policy__code"),
        column("state", lambda row: figures.badge(row.get_state_display(), look=LOOKS[row.state]), ordering="state"),
        "calls",
        "accounts",
        column("instrument", lambda row: row.instrument or figures.missing("no instrument explains it")),
        "explained",
        at_column("until", "goes out by itself"),
        column("closed_by", lambda row: row.closed_by or figures.missing("nobody")),
        "reason",
    )
    list_filter = ("state",)
    search_fields = ("policy__code", "instrument__code")
    list_select_related = ("policy", "instrument", "closed_by")

    def get_urls(self) -> list[URLPattern]:
        guard = self.admin_site.admin_view
        return [path("<int:gate_id>/release/", guard(release), name="margin_stormgate_release"), *super().get_urls()]

    def buttons(self, request: HttpRequest, obj: StormGate) -> list[Button]:
        if obj.state != StormGate.State.OPEN or actors.person(request.user).role not in gate.MAY_RELEASE:
            return []
        address = reverse("admin:margin_stormgate_release", args=(obj.pk,))
        hint = "the next sweep calls these clients"
        return [Button("Let the calls go out", address, look="danger", field="reason", hint=hint)]


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("confirmed_at", "confirmed"),
        column("account", lambda row: row.account.code, ordering="account__code"),
        "confirmed_by",
        "reason",
    )
    search_fields = ("account__code", "account__client__name")
    list_select_related = ("account", "confirmed_by")


def release(request: HttpRequest, gate_id: int) -> HttpResponse:
    """A person says that the storm is real; the domain judges the role and asks for the reason."""
    row = StormGate.objects.select_related("policy").filter(pk=gate_id).first()
    if row is None:
        raise Http404(f"There is no storm gate {gate_id}.")
    said: dict[str, Any] = {"reason": request.POST.get("reason", ""), "actor": actors.person(request.user)}
    return act(
        request,
        back=reverse("admin:margin_stormgate_change", args=(row.pk,)),
        done=f"{row}: the next sweep issues the calls.",
        deed=lambda: gate.release(row, at=clock.now(), **said),
        refusals=(calls.CallError, clock.SkewedClock),
    )
