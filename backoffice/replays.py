"""Auditors' pages that do it again: what a call or a sweep rested on beside the same recomputed now. Reads only."""

from collections.abc import Mapping

from django.contrib import admin
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from backoffice import audit, dossier
from margin.models import Assessment, MarginCall, Sweep

MOST = 10  # assessments of one call on one page
MOST_ACCOUNTS = 20_000  # of a sweep that a page may do again


@require_GET
def call(request: HttpRequest, call_id: int) -> HttpResponse:
    """Each assessment that a call rests on, when it was issued and whenever it changed, beside its replay."""
    from margin import side_by_side

    audit.readers_only(request)
    found = dossier.find(call_id)
    compared, missing = [], []
    for assessment in _assessments(found)[:MOST]:
        try:
            compared.append(side_by_side.of(assessment))
        except side_by_side.NotRecomputable as reason:
            missing.append(str(reason))
    context = {"call": found, "compared": compared, "missing": missing}
    return _page(request, f"Replay of {found} · {found.account.client.name}", "audit/replay_call.html", context)


def _assessments(found: MarginCall) -> list[Assessment]:
    moments = found.events.values("at")
    rests_on = Q(pk=found.assessment_id) | Q(account=found.account_id, at__in=moments)
    return list(Assessment.objects.filter(rests_on).select_related("sweep", "account").order_by("pk"))


@require_GET
def sweep(request: HttpRequest, sweep_id: int) -> HttpResponse:
    """A whole sweep done again: what differs, account by account."""
    from margin import replay

    audit.readers_only(request)
    past = Sweep.objects.filter(pk=sweep_id).exclude(finished_at=None).first()
    if past is None:
        raise Http404(f"There is no finished sweep {sweep_id}.")
    is_too_large = past.eligible > MOST_ACCOUNTS
    result = None if is_too_large else replay.run(past)
    context = {"past": past, "result": result, "is_too_large": is_too_large, "most": MOST_ACCOUNTS}
    return _page(request, f"Replay of {past}", "audit/replay_sweep.html", context)


def _page(request: HttpRequest, title: str, template: str, context: Mapping[str, object]) -> HttpResponse:
    whole = {**admin.site.each_context(request), "title": title, "at": timezone.now(), **context}
    return TemplateResponse(request, template, whole)
