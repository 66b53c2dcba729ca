"""The auditor's room: are all chains as they were written, and what happened to this account? Reads only."""

import csv
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Max, OuterRef, Q, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.models import Account
from backoffice import dossier
from backoffice.register_files import inert
from margin import history, rows
from margin.models import Chain, Event, MarginCall, Plan, Sweep

PAGE = 50


def readers_only(request: HttpRequest) -> None:
    if not request.user.has_perm("margin.view_event"):
        raise PermissionDenied("Your role does not read the history.")


@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    """Find a chain by account, client or call; see how complete the sweeps and how double the decisions were."""
    readers_only(request)
    question = request.GET.get("q", "").strip()
    chains = Chain.objects.select_related("account__client").annotate(events=Count("account__events"))
    if question:
        chains = chains.filter(asked(question))
    latest = Event.objects.filter(account=OuterRef("pk")).order_by("-seq")
    found = chains.annotate(latest_kind=Subquery(latest.values("kind")[:1])).order_by("-at", "account__code")
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    return TemplateResponse(
        request,
        "audit/overview.html",
        {
            **admin.site.each_context(request),
            "title": "Audit",
            "question": question,
            "page": page,
            "at": timezone.now(),
            "figures": evidence(),
        },
    )


def asked(question: str) -> Q:
    """What an auditor types: an account, a client, or a call's number."""
    digits = question.upper().removeprefix("MC").lstrip("-")
    by_call = MarginCall.objects.filter(pk=int(digits) - 1000) if digits.isdecimal() and len(digits) < 16 else None
    names = Q(account__code__icontains=question) | Q(account__client__name__icontains=question)
    codes = Q(account__client__code__iexact=question)
    return names | codes | Q(account__in=by_call.values("account")) if by_call is not None else names | codes


def evidence() -> dict[str, Any]:
    """Counts an auditor starts from."""
    return {
        "chains": Chain.objects.count(),
        "events": Event.objects.count(),
        "calls": MarginCall.objects.count(),
        "sweeps": Sweep.objects.filter(state=Sweep.State.COMPLETE).count(),
        "incomplete": Sweep.objects.filter(state=Sweep.State.INCOMPLETE).count(),
        "plans": Plan.objects.count(),
        "last_at": Event.objects.aggregate(last=Max("recorded_at"))["last"],
    }


@require_GET
def verify(request: HttpRequest) -> HttpResponse:
    """Recompute every chain now and say what was found. It reads all events, so it is asked for, never automatic."""
    readers_only(request)
    started = timezone.now()
    verdict = history.verify_all()
    codes = dict(
        Account.objects.filter(pk__in={fault.account_id for fault in verdict.faults}).values_list("pk", "code")
    )
    return TemplateResponse(
        request,
        "audit/verdict.html",
        {
            **admin.site.each_context(request),
            "title": "All chains, recomputed",
            "verdict": verdict,
            "faults": [(codes.get(fault.account_id, ""), fault) for fault in verdict.faults[:200]],
            "at": started,
            "seconds": (timezone.now() - started).total_seconds(),
        },
    )


def find(code: str) -> Account:
    account = Account.objects.select_related("client").filter(code=code).first()
    if account is None:
        raise Http404(f"There is no account {code}.")
    return account


@require_GET
def account(request: HttpRequest, code: str) -> HttpResponse:
    """One account's chain: every event with its hash, the hash before it, and the verdict beside it."""
    readers_only(request)
    owner = find(code)
    faults = history.verify(owner)
    events = Event.objects.filter(account=owner).select_related("call").order_by("seq")
    page = Paginator(events, PAGE).get_page(request.GET.get("page"))
    head = Chain.objects.filter(account=owner).first()
    broken: dict[int, list[str]] = {}
    for fault in faults:
        broken.setdefault(fault.seq, []).append(fault.what)
    return TemplateResponse(
        request,
        "audit/account.html",
        {
            **admin.site.each_context(request),
            "title": f"History of {owner.code} · {owner.client.name}",
            "account": owner,
            "faults": faults,
            "head": head,
            "head_seq": str(head.seq if head else 0),
            "page": page,
            "lines": [{**dossier.told(event), "faults": broken.get(event.seq, [])} for event in page],
            "calls": MarginCall.objects.filter(account=owner).order_by("id"),
            "at": timezone.now(),
        },
    )


EXPORTED = (
    "seq",
    "id",
    "at",
    "recorded_at",
    "kind",
    "call",
    "actor",
    "role",
    "reason",
    "body",
    "previous_hash",
    "hash",
)


@require_GET
def export(request: HttpRequest, code: str) -> HttpResponse:
    """The whole chain as CSV. `body`, `previous_hash` and `hash` are enough to verify it elsewhere."""
    readers_only(request)
    owner = find(code)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="events-{owner.pk}.csv"'
    sheet = csv.writer(response)
    sheet.writerow(EXPORTED)
    for event in Event.objects.filter(account=owner).order_by("seq").iterator():
        body = rows.read(event)
        sheet.writerow(
            [
                event.seq,
                event.pk,
                event.at.isoformat(),
                event.recorded_at.isoformat(),
                event.kind,
                event.call_id or "",
                inert(body["actor"]),
                body.get("role", ""),
                inert(body.get("reason", "")),
                event.body,
                event.previous_hash,
                event.hash,
            ]
        )
    return response
