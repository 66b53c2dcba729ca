"""Restrictions, strikes and waivers on the desk: placed and lifted by people with a reason, waived by two."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from accounts.models import Account
from margin import actors, calls, restrictions, strikes
from margin.models import Restriction, Strike, Waiver
from margin.restriction_terms import Effect
from market import clock, figures
from market.faces import Button, ReadOnlyAdmin, Table, act, at_column, column, link, may, require, sentence

REFUSALS = (calls.CallError, clock.SkewedClock)
WAIVER_LOOKS = {"open": "warn", "granted": "good", "denied": "cancelled"}


class PlaceForm(forms.Form):
    """What a person takes away, from now on."""

    account = forms.CharField(max_length=24, help_text="its code")
    effect = forms.ChoiceField(choices=Effect.choices())
    days = forms.IntegerField(required=False, min_value=1, max_value=3660, help_text="empty: until it is lifted")
    reason = forms.CharField(max_length=restrictions.LONGEST_REASON, help_text="kept in the history")

    def clean_account(self) -> Account:
        found = Account.objects.filter(code=self.cleaned_data["account"].strip()).first()
        if found is None:
            raise forms.ValidationError(f"There is no account {self.cleaned_data['account']!r}.")
        return found


def standing(row: Restriction) -> Any:
    if row.lifted_at is not None:
        return figures.badge("expired" if row.lift_reason == "expired" else "lifted", look="cancelled")
    if row.ends_at is not None and row.ends_at <= timezone.now():
        return figures.badge("expired", look="cancelled")
    return figures.badge("in force", look="warn", icon="lock")


account = column("account_of", lambda row: row.account.code, description="account", ordering="account__code")


@admin.register(Restriction)
class RestrictionAdmin(ReadOnlyAdmin):
    list_display = (
        account,
        column("client", lambda row: row.account.client.name, ordering="account__client__name"),
        "effect",
        column("standing", standing),
        at_column("starts_at", "since"),
        column(
            "until", lambda row: figures.instant(row.ends_at, why="until what caused it is over"), ordering="ends_at"
        ),
        "origin",
        "reason",
        "placed_by",
    )
    list_filter = (("lifted_at", admin.EmptyFieldListFilter), "effect", "origin")
    search_fields = ("account__code", "account__client__name", "=source")
    list_select_related = ("account__client",)
    list_before_template = "desk/restriction_place_link.html"

    def get_urls(self) -> list[URLPattern]:
        guard = self.admin_site.admin_view
        return [
            path("place/", guard(place), name="margin_restriction_place"),
            path("<int:restriction_id>/lift/", guard(lift), name="margin_restriction_lift"),
            path("<int:restriction_id>/waive/", guard(waive), name="margin_restriction_waive"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {"may_place": may(request, "margin.add_restriction"), **(extra_context or {})}
        return super().changelist_view(request, context)

    def buttons(self, request: HttpRequest, obj: Restriction) -> list[Button]:
        if obj.lifted_at is not None or obj.source.startswith("cover:"):
            return []
        if not obj.takes_two_to_lift:
            lifting = reverse("admin:margin_restriction_lift", args=(obj.pk,))
            return [Button("Lift", lifting, field="reason")] if may(request, "margin.change_restriction") else []
        if not may(request, "margin.add_waiver"):
            return []
        is_asked = obj.waivers.filter(state=Waiver.State.OPEN).exists()
        return [
            Button(
                "Propose a waiver",
                reverse("admin:margin_restriction_waive", args=(obj.pk,)),
                field="reason",
                hint="another person of Compliance or Supervisor decides",
                why_not="a waiver is proposed already" if is_asked else "",
            )
        ]

    def tables(self, request: HttpRequest, obj: Restriction) -> list[Table]:
        waivers = obj.waivers.select_related("proposed_by", "decided_by")
        return [
            Table(
                "Waivers",
                ("waiver", "state", "proposed by", "why", "decided by", "decision"),
                [
                    (
                        link(request, one, f"waiver {one.pk}"),
                        figures.badge(one.state, look=WAIVER_LOOKS[one.state]),
                        f"{one.proposed_by}",
                        one.reason,
                        one.decided_by or figures.missing("nobody yet"),
                        one.decision or figures.missing("not decided"),
                    )
                    for one in waivers
                ],
                empty="Nobody proposed to waive it.",
            )
        ]


@admin.register(Strike)
class StrikeAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("at", "call closed"),
        account,
        column("client", lambda row: row.account.client.name, ordering="account__client__name"),
        "kind",
        "regime",
        column("call", lambda row: row.call.number),
        "reason",
    )
    list_filter = ("kind", "regime")
    search_fields = ("account__code", "account__client__name")
    list_select_related = ("account__client", "call")


@admin.register(Waiver)
class WaiverAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("proposed_at", "proposed"),
        account,
        column("restriction", lambda row: row.restriction.get_effect_display()),
        column("state", lambda row: figures.badge(row.state, look=WAIVER_LOOKS[row.state]), ordering="state"),
        "reason",
        "proposed_by",
        column("decided_by", lambda row: row.decided_by or figures.missing("nobody yet")),
        "decision",
    )
    list_filter = ("state",)
    search_fields = ("account__code", "account__client__name")
    list_select_related = ("account", "restriction__account", "proposed_by", "decided_by")

    def get_urls(self) -> list[URLPattern]:
        guard = self.admin_site.admin_view
        return [
            path("<int:waiver_id>/grant/", guard(grant), name="margin_waiver_grant"),
            path("<int:waiver_id>/deny/", guard(deny), name="margin_waiver_deny"),
            *super().get_urls(),
        ]

    def buttons(self, request: HttpRequest, obj: Waiver) -> list[Button]:
        if not obj.is_open or not may(request, "margin.change_waiver"):
            return []
        why_not = "another person must decide" if obj.proposed_by_id == request.user.pk else ""
        granting, denying = (reverse(f"admin:margin_waiver_{verb}", args=(obj.pk,)) for verb in ("grant", "deny"))
        return [
            Button("Grant", granting, look="danger", field="reason", why_not=why_not),
            Button("Deny", denying, field="reason", why_not=why_not),
        ]


# --- deeds ------------------------------------------------------------------------------------------


def place(request: HttpRequest) -> HttpResponse:
    """The form; what the domain refuses is said in it and nothing typed is lost."""
    require(request, "margin.add_restriction")
    form = PlaceForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = _placed(form.cleaned_data, request)
        except (*REFUSALS, ValueError) as refusal:
            form.add_error(None, sentence(refusal))
        else:
            return HttpResponseRedirect(reverse("admin:margin_restriction_change", args=(made.pk,)))
    context = {
        **admin.site.each_context(request),
        "title": "Place a restriction",
        "opts": Restriction._meta,
        "form": form,
    }
    return TemplateResponse(request, "desk/restriction_place.html", context)


def _placed(typed: dict[str, Any], request: HttpRequest) -> Restriction:
    at = clock.now()
    return restrictions.place(
        typed["account"],
        effect=Effect(typed["effect"]),
        reason=typed["reason"],
        ends_at=at + timedelta(days=typed["days"]) if typed["days"] else None,
        at=at,
        actor=actors.person(request.user),
    )


def lift(request: HttpRequest, restriction_id: int) -> HttpResponse:
    require(request, "margin.change_restriction")
    row = _find(restriction_id)
    return _done(request, row, f"{row} is lifted.", restrictions.lift, row)


def waive(request: HttpRequest, restriction_id: int) -> HttpResponse:
    require(request, "margin.add_waiver")
    row = _find(restriction_id)
    return _done(request, row, f"A waiver of {row} is proposed; another person decides.", strikes.waive, row)


def grant(request: HttpRequest, waiver_id: int) -> HttpResponse:
    return _decide(request, waiver_id, is_granted=True)


def deny(request: HttpRequest, waiver_id: int) -> HttpResponse:
    return _decide(request, waiver_id, is_granted=False)


def _decide(request: HttpRequest, waiver_id: int, *, is_granted: bool) -> HttpResponse:
    require(request, "margin.change_waiver")
    waiver = Waiver.objects.select_related("restriction__account").filter(pk=waiver_id).first()
    if waiver is None:
        raise Http404(f"There is no waiver {waiver_id}.")
    done = f"The {waiver} is {'granted' if is_granted else 'denied'}."
    return _done(request, waiver, done, strikes.decide, waiver, is_granted=is_granted)


def _find(restriction_id: int) -> Restriction:
    row = Restriction.objects.select_related("account").filter(pk=restriction_id).first()
    if row is None:
        raise Http404(f"There is no restriction {restriction_id}.")
    return row


def _done(
    request: HttpRequest, row: Restriction | Waiver, done: str, deed: Callable[..., Any], *what: Any, **more: Any
) -> HttpResponse:
    """One domain call with the reason that was typed, and back to the row."""
    reason = request.POST.get("reason", "")
    return act(
        request,
        back=reverse(f"admin:margin_{row._meta.model_name}_change", args=(row.pk,)),
        done=done,
        deed=lambda: deed(*what, reason=reason, at=clock.now(), actor=actors.person(request.user), **more),
        refusals=REFUSALS,
    )
