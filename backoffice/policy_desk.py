"""Policies: a version is published by one person as JSON and approved by another; what binds is never edited."""

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from margin import actors, calls
from margin.models import Policy, PolicyVersion
from market import clock, figures
from market.faces import Button, ReadOnlyAdmin, act, at_column, column, may, require, sentence


class PublishForm(forms.Form):
    """A new version. The terms are checked against docs/policy.schema.json by the domain, key by key."""

    code = forms.SlugField(max_length=48, help_text="the agreement it governs; a new code begins a new policy")
    effective_at = forms.DateTimeField(help_text="desk time; in force from this instant, once approved")
    note = forms.CharField(max_length=200, help_text="what changes and why")
    terms = forms.CharField(widget=forms.Textarea, max_length=200_000, help_text="JSON as in docs/policy.schema.json")


def standing(version: PolicyVersion) -> Any:
    if version.approved_at is None:
        return figures.badge("waits for approval", look="warn", icon="how_to_reg")
    coming = version.effective_at > timezone.now()
    return figures.badge("approved, not yet in force" if coming else "approved", look="issued" if coming else "good")


@admin.register(PolicyVersion)
class PolicyVersionAdmin(ReadOnlyAdmin):
    list_display = (
        column("version", str, ordering="policy__code"),
        column("standing", standing),
        at_column("effective_at", "effective"),
        "published_by",
        "approved_by",
        "note",
    )
    list_filter = ("policy__code", ("approved_at", admin.EmptyFieldListFilter))
    search_fields = ("policy__code", "note")
    list_select_related = ("policy", "published_by", "approved_by")
    list_before_template = "desk/policy_publish_link.html"

    def get_urls(self) -> list[URLPattern]:
        guard = self.admin_site.admin_view
        return [
            path("publish/", guard(publish), name="margin_policyversion_publish"),
            path("<int:version_id>/approve/", guard(approve), name="margin_policyversion_approve"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {"may_publish": may(request, "margin.add_policyversion"), **(extra_context or {})}
        return super().changelist_view(request, context)

    def buttons(self, request: HttpRequest, obj: PolicyVersion) -> list[Button]:
        if obj.approved_at or not may(request, "margin.change_policyversion"):
            return []
        own = obj.published_by_id == request.user.pk
        url = reverse("admin:margin_policyversion_approve", args=(obj.pk,))
        return [Button("Approve", url, look="primary", why_not="another person must decide" if own else "")]


def approve(request: HttpRequest, version_id: int) -> HttpResponse:
    from margin import policies  # the engine: not needed to start

    require(request, "margin.change_policyversion")
    version = PolicyVersion.objects.select_related("policy").filter(pk=version_id).first()
    if version is None:
        raise Http404(f"There is no policy version {version_id}.")
    return act(
        request,
        back=reverse("admin:margin_policyversion_change", args=(version.pk,)),
        done=f"{version} is approved; it is in force from its effective instant.",
        deed=lambda: policies.approve(version, at=clock.now(), actor=actors.person(request.user)),
        refusals=(calls.CallError, clock.SkewedClock),
    )


def publish(request: HttpRequest) -> HttpResponse:
    """The form, and what is wrong with what was typed; nothing typed is lost."""
    require(request, "margin.add_policyversion")
    form = PublishForm(request.POST or None, initial=opening(request.GET.get("after", "")))
    if request.method == "POST" and form.is_valid():
        version, problem = try_to_publish(request, form.cleaned_data)
        if version is not None:
            return HttpResponseRedirect(reverse("admin:margin_policyversion_change", args=(version.pk,)))
        form.add_error("terms", problem)
    context = {
        **admin.site.each_context(request),
        "title": "Publish a policy version",
        "opts": PolicyVersion._meta,
        "form": form,
        "codes": list(Policy.objects.values_list("code", flat=True)),
    }
    return TemplateResponse(request, "desk/policy_publish.html", context)


def opening(after: str) -> dict[str, Any]:
    """What the form starts from: the latest version of the policy that is to be changed."""
    latest = PolicyVersion.objects.filter(policy__code=after).order_by("-number").first()
    if latest is None:
        return {}
    return {"code": after, "terms": json.dumps(latest.terms, indent=2, ensure_ascii=False)}


def try_to_publish(request: HttpRequest, typed: dict[str, Any]) -> tuple[PolicyVersion | None, str]:
    from margin import policies

    try:
        terms = json.loads(typed["terms"], object_pairs_hook=once)
        version = policies.publish(
            typed["code"],
            terms=terms,
            effective_at=typed["effective_at"],
            at=clock.now(),
            actor=actors.person(request.user),
            note=typed["note"],
        )
    except json.JSONDecodeError as error:
        return None, f"Not JSON: {error.msg}, line {error.lineno}, column {error.colno}."
    except RecursionError:
        return None, "Nested too deeply to be a policy."
    except (ValueError, calls.CallError, clock.SkewedClock) as error:
        return None, sentence(error)
    return version, ""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that is stated twice: JSON readers differ on which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, _ in pairs if [name for name, _ in pairs].count(key) > 1)
        raise ValueError(f"the key {twice!r} is stated twice")
    return found
