"""One inbox for all that waits for another person: plans, requests, policy versions, corporate actions."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from margin.models import Plan, PolicyVersion, Request
from market.models import CorporateAction

LONGEST = 200


@dataclass(frozen=True)
class Item:
    """Something one person asked for and another decides."""

    kind: str
    title: str
    change: str
    url: str
    asked_by: str
    asked_at: datetime
    duty: str
    reason: str = ""
    expires_at: datetime | None = None


def waiting(*, at: datetime) -> list[Item]:
    """All that waits at `at`, the oldest first; at most 200 of each kind. An expired plan can no longer be approved."""
    found = [*_plans(at), *_requests(), *_policies(), *_actions()]
    return sorted(found, key=lambda item: item.asked_at)


def _plans(at: datetime) -> Iterator[Item]:
    plans = Plan.objects.filter(state=Plan.State.PROPOSED, expires_at__gte=at).select_related(
        "call__account__client", "proposed_by"
    )
    for plan in plans.prefetch_related("approvals")[:LONGEST]:
        yield Item(
            kind="Liquidation plan",
            title=f"Plan {plan.pk} for {plan.call} · {plan.call.account.client.name}",
            change=f"closes positions of account {plan.call.account.code}; {len(plan.approvals.all())} approved so far",
            url=reverse("admin:margin_plan_change", args=(plan.pk,)),
            asked_by=plan.proposed_by.get_username() if plan.proposed_by else "system",
            asked_at=plan.proposed_at,
            duty="margin.change_plan",
            reason=plan.reason,
            expires_at=plan.expires_at,
        )


def _requests() -> Iterator[Item]:
    """One item for each request, and one for all that were asked for together."""
    asked = Request.objects.filter(state=Request.State.OPEN).select_related("account__client", "call", "asked_by")
    seen: set[Any] = set()
    for request in asked.order_by("id")[:LONGEST]:
        if request.batch in seen:
            continue
        seen.update({request.batch} - {None})
        about = request.call or request.account
        yield Item(
            kind=request.get_kind_display().capitalize(),
            title=f"{about} · {request.account.client.name}{' and others' if request.batch else ''}",
            change=_change(request),
            url=reverse("admin:margin_request_change", args=(request.pk,)),
            asked_by=request.asked_by.get_username() if request.asked_by else "system",
            asked_at=request.asked_at,
            duty="",
            reason=request.reason,
        )


def _change(request: Request) -> str:
    """What a yes would do."""
    until = f"{request.until:%Y-%m-%d %H:%M} UTC" if request.until else ""
    return {
        Request.Kind.EXTENSION: f"due {until}; the deadline moves",
        Request.Kind.HOLD: f"nothing happens by itself until {until}",
        Request.Kind.ACCELERATION: f"due {until} already; the client is told",
        Request.Kind.RETRACTION: "the call is cancelled; the client is told",
        Request.Kind.ISSUE: f"{request.terms.get('amount')} is called for {request.terms.get('regime')}",
    }[Request.Kind(request.kind)]


def _policies() -> Iterator[Item]:
    for version in PolicyVersion.objects.filter(approved_by=None).select_related("policy", "published_by")[:LONGEST]:
        yield Item(
            kind="Policy",
            title=str(version),
            change="in force from its effective instant once approved",
            url=reverse("admin:margin_policyversion_change", args=(version.pk,)),
            asked_by=version.published_by.get_username(),
            asked_at=version.published_at,
            duty="margin.change_policyversion",
            reason=version.note,
        )


def _actions() -> Iterator[Item]:
    actions = CorporateAction.objects.filter(approved_by=None, rejected_by=None).select_related(
        "instrument", "proposed_by"
    )
    for action in actions[:LONGEST]:
        yield Item(
            kind="Corporate action",
            title=f"{action.get_kind_display()} of {action.instrument.code}",
            change="adjusts every position in it once approved and effective",
            url=reverse("admin:market_corporateaction_change", args=(action.pk,)),
            asked_by=action.proposed_by.get_username() if action.proposed_by else "system",
            asked_at=action.recorded_at,
            duty="market.change_corporateaction",
            reason=action.reason,
        )


def inbox(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm("margin.view_plan"):
        raise PermissionDenied("Your role does not see approvals.")
    at = timezone.now()
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Approvals",
        "at": at,
        "items": [(item, item.asked_by == request.user.get_username()) for item in waiting(at=at)],
    }
    return TemplateResponse(request, "desk/approvals.html", context)
