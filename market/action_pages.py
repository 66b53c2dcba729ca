"""Corporate actions on the desk: entered by one person, approved or rejected by another."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from market import figures
from market.faces import Button, ReadOnlyAdmin, act, at_column, column, may, require, sentence
from market.models import CorporateAction, Instrument


class ActionForm(forms.Form):
    """What the world announced. Which fields an action of its kind needs is said by the domain."""

    kind = forms.ChoiceField(choices=CorporateAction.Kind.choices)
    instrument = forms.CharField(max_length=48, help_text="our code of it")
    effective_at = forms.DateTimeField(help_text="desk time, such as 2026-11-23 09:30")
    new_per_old = forms.DecimalField(
        required=False, max_digits=24, decimal_places=12, min_value=Decimal("1e-12"), help_text="split: 7:1 is 7"
    )
    new_symbol = forms.CharField(required=False, max_length=64, help_text="symbol change")
    settlement_price = forms.DecimalField(
        required=False, max_digits=32, decimal_places=12, help_text="expiry: cash paid per unit, may be negative"
    )
    reason = forms.CharField(max_length=200, help_text="the announcement, and where it stands")

    def clean_instrument(self) -> Instrument:
        found = Instrument.objects.filter(code=self.cleaned_data["instrument"].strip()).first()
        if found is None:
            raise forms.ValidationError(f"There is no instrument {self.cleaned_data['instrument']!r}.")
        return found


def standing(action: CorporateAction) -> Any:
    if action.rejected_at:
        return figures.badge("rejected", look="cancelled")
    if action.approved_at is None:
        return figures.badge("waits for approval", look="warn", icon="how_to_reg")
    return figures.badge("applied" if action.applied_at else "approved", look="good" if action.applied_at else "issued")


def terms(action: CorporateAction) -> str:
    if action.new_per_old:
        return f"{figures.separated(action.new_per_old)} new for 1 old"
    if action.settlement_price is not None:
        return f"settled at {figures.separated(action.settlement_price)}"
    return f"becomes {action.new_symbol}" if action.new_symbol else ""


@admin.register(CorporateAction)
class CorporateActionAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("effective_at", "effective"),
        "kind",
        column("instrument", lambda row: row.instrument.code, ordering="instrument__code"),
        column("terms", terms),
        column("standing", standing),
        column("entered_by", lambda row: row.proposed_by or "system"),
        "approved_by",
        at_column("applied_at", "applied"),
        "reason",
    )
    list_filter = ("kind", ("approved_at", admin.EmptyFieldListFilter), ("applied_at", admin.EmptyFieldListFilter))
    search_fields = ("instrument__code", "reason", "new_symbol")
    list_select_related = ("instrument", "proposed_by", "approved_by")
    list_before_template = "desk/action_enter_link.html"

    def get_urls(self) -> list[URLPattern]:
        guard = self.admin_site.admin_view
        return [
            path("enter/", guard(enter), name="market_corporateaction_enter"),
            path("<int:action_id>/approve/", guard(approve), name="market_corporateaction_approve"),
            path("<int:action_id>/reject/", guard(reject), name="market_corporateaction_reject"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {"may_enter": may(request, "market.add_corporateaction"), **(extra_context or {})}
        return super().changelist_view(request, context)

    def buttons(self, request: HttpRequest, obj: CorporateAction) -> list[Button]:
        if obj.approved_at or obj.rejected_at:
            return []
        rejecting = reverse("admin:market_corporateaction_reject", args=(obj.pk,))
        if obj.proposed_by_id == request.user.pk:
            return [Button("Withdraw", rejecting, field="reason")]
        if not may(request, "market.change_corporateaction"):
            return []
        return [
            Button(
                "Approve",
                reverse("admin:market_corporateaction_approve", args=(obj.pk,)),
                look="danger",
                hint="positions are adjusted once it is effective",
            ),
            Button("Reject", rejecting, field="reason"),
        ]


def enter(request: HttpRequest) -> HttpResponse:
    """The form; what the domain refuses is said in it and nothing typed is lost."""
    from market import actions

    require(request, "market.add_corporateaction")
    form = ActionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            action = actions.propose(at=timezone.now(), person=request.user, **stated(form.cleaned_data))
        except (actions.ActionError, ValueError) as refusal:
            form.add_error(None, sentence(refusal))
        else:
            return HttpResponseRedirect(reverse("admin:market_corporateaction_change", args=(action.pk,)))
    context = {
        **admin.site.each_context(request),
        "title": "Enter a corporate action",
        "opts": CorporateAction._meta,
        "form": form,
    }
    return TemplateResponse(request, "desk/action_enter.html", context)


def stated(typed: dict[str, Any]) -> dict[str, Any]:
    """Without the fields left empty."""
    return {name: value for name, value in typed.items() if value not in (None, "")}


def find(action_id: int) -> CorporateAction:
    action = CorporateAction.objects.select_related("instrument").filter(pk=action_id).first()
    if action is None:
        raise Http404(f"There is no corporate action {action_id}.")
    return action


def approve(request: HttpRequest, action_id: int) -> HttpResponse:
    from market import actions

    require(request, "market.change_corporateaction")
    action = find(action_id)
    return act(
        request,
        back=reverse("admin:market_corporateaction_change", args=(action.pk,)),
        done=f"The {action.get_kind_display()} of {action.instrument.code} is approved.",
        deed=lambda: actions.approve(action, at=timezone.now(), person=request.user),
        refusals=(actions.ActionError,),
    )


def reject(request: HttpRequest, action_id: int) -> HttpResponse:
    from market import actions

    action = find(action_id)
    if action.proposed_by_id != request.user.pk:
        require(request, "market.change_corporateaction")
    return act(
        request,
        back=reverse("admin:market_corporateaction_change", args=(action.pk,)),
        done=f"The {action.get_kind_display()} of {action.instrument.code} is put aside.",
        deed=lambda: actions.reject(
            action, at=timezone.now(), person=request.user, reason=request.POST.get("reason", "")
        ),
        refusals=(actions.ActionError,),
    )
