"""One call on one page, in the order a person asks: what is owed and by when, why, what was done, what may be done.

Every button is a POST with a reason and makes one domain call; the door decides whether it is legal.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Max, Q, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.models import CashMovement
from backoffice import deeds, event_words, passport
from backoffice.book import subject
from margin import actors, claims, history, history_keys, rows, verbs
from margin.models import Assessment, Cure, Event, MarginCall, Measure, Plan
from market import figures
from market.faces import ReadOnlyAdmin
from notifications.models import Notice

ICONS = {
    "warning.raised": "warning",
    "warning.cleared": "check",
    "call.issued": "mail",
    "call.notified": "mark_email_read",
    "call.amount_changed": "edit",
    "call.provisionally_met": "hourglass_top",
    "call.breached_again": "undo",
    "cure.applied": "payments",
    "call.met": "check_circle",
    "call.escalated": "priority_high",
    "call.cancelled": "block",
    "call.liquidated": "sell",
    "call.note": "sticky_note_2",
    "retraction.proposed": "rule",
    "plan.proposed": "request_quote",
    "plan.approved": "how_to_reg",
    "plan.rejected": "thumb_down",
    "plan.called_off": "cancel",
    "plan.filled": "swap_horiz",
    "call.reminded": "alarm",
    "call.extended": "more_time",
    "call.accelerated": "fast_forward",
    "call.rescheduled": "edit_calendar",
    "call.held": "pause",
    "call.released": "play_arrow",
    "call.level_changed": "stairs",
    "extension.requested": "more_time",
    "acceleration.proposed": "fast_forward",
    "hold.requested": "pause",
    "dispute.opened": "gavel",
    "dispute.decided": "gavel",
    "claim.made": "record_voice_over",
    "claim.checked": "search",
    "cure.pledged": "schedule_send",
    "cure.reversed": "undo",
    "contact.logged": "call",
    "task.opened": "task",
    "task.closed": "task_alt",
}
MOST_CASES = 50
GROUPS = (
    ("Money and securities", ("claim", "pledge", "meet")),
    ("Client", ("contact", "note", "open_task", "dispute")),
    ("Time", ("ask_extension", "ask_hold", "release", "ask_acceleration")),
    ("End", ("escalate", "propose", "propose_cancel", "cancel")),
)


def urls(model_admin: ReadOnlyAdmin) -> list[URLPattern]:
    view = model_admin.admin_site.admin_view(carry_out)
    return [
        path("<int:call_id>/do/<str:verb>/", view, name="margin_margincall_do"),
        path(
            "<int:call_id>/passport.zip",
            model_admin.admin_site.admin_view(its_passport),
            name="margin_margincall_passport",
        ),
    ]


def find(call_id: str | int) -> MarginCall:
    wanted = MarginCall.objects.select_related(
        "account__client", "policy_version__policy", "assessment__sweep", "predecessor"
    )
    try:
        return wanted.get(pk=call_id)
    except (MarginCall.DoesNotExist, ValueError, OverflowError):
        raise Http404(f"There is no margin call {call_id}.") from None


def page(request: HttpRequest, call_id: str, *, admin: ReadOnlyAdmin) -> HttpResponse:
    call = find(call_id)
    if not admin.has_view_permission(request, call):
        raise PermissionDenied
    context = {
        **admin.admin_site.each_context(request),
        **gather(call, at=timezone.now()),
        **cases(call, request),
        "auto_cover": claims.auto_cover(call) if claims.is_auto_cover_expected(call) else None,
        "opts": admin.opts,
        "original": call,
        "title": f"{call} · {call.account.client.name}",
        "groups": grouped(deeds.forms_of("calls", call, request)),
        "may_see_account": request.user.has_perm("accounts.view_account"),
    }
    return TemplateResponse(request, "desk/call.html", context)


def carry_out(request: HttpRequest, *, call_id: int, verb: str) -> HttpResponse:
    """A button was pressed. `seq` is what the person saw: if the call moved on meanwhile, the door says so."""
    act = verbs.find("calls", verb)
    if act is None:
        raise Http404(f"There is no action {verb}.")
    if not request.user.has_perm("margin.view_margincall"):
        raise PermissionDenied
    call = find(call_id)
    back = reverse("admin:margin_margincall_change", args=(call.pk,))
    return deeds.carry_out(request, act, call, back=back)


@require_GET
def its_passport(request: HttpRequest, *, call_id: int) -> HttpResponse:
    """All that explains and proves the call, for who reads the history."""
    if not request.user.has_perm("margin.view_event"):
        raise PermissionDenied
    call = find(call_id)
    try:
        made = passport.make(call, at=timezone.now(), by=request.user.get_username())
    except history_keys.KeysMissing as missing:
        return HttpResponse(str(missing), status=503, content_type="text/plain; charset=utf-8")
    answer = HttpResponse(made, content_type="application/zip")
    answer["Content-Disposition"] = f'attachment; filename="{call.number}.zip"'
    return answer


def gather(call: MarginCall, *, at: datetime) -> dict[str, Any]:
    """All that the page shows, in a bounded number of queries."""
    faults = history.verify(call.account)
    last = Event.objects.filter(account=call.account).aggregate(last=Max("seq"))["last"] or 0
    events = list(Event.objects.filter(call=call).select_related("call").order_by("seq"))
    cures = Cure.objects.filter(call=call).exclude(state__in=(Cure.State.CLAIMED, Cure.State.IN_TRANSIT))
    sources = ("movement__currency", "fill__instrument", "adjustment__instrument")
    return {
        "call": call,
        "at": at,
        "countdown": figures.countdown(call.due_at, at, client_zone=call.account.client.time_zone),
        "client_due": figures.wall(call.due_at, call.account.client.time_zone),
        "received": call.cures.aggregate(total=Sum("release", filter=Q(state="settled")))["total"],
        "why": why(call),
        "now": latest(call),
        "cures": list(cures.select_related(*sources)),
        "movements": unapplied(call),
        "timeline": [told(event) for event in events],
        "chain": {"faults": faults, "seq_text": str(last)},
        "notices": list(Notice.objects.filter(event__call=call).select_related("contact", "event").order_by("id")),
        "plans": plans(call),
        "successors": list(call.successors.order_by("id")),
    }


def grouped(forms: list[deeds.Form]) -> list[tuple[str, list[deeds.Form]]]:
    """The buttons of a call by what they are about."""
    by_name = {form.act.name: form for form in forms}
    found = [(title, [by_name[name] for name in names if name in by_name]) for title, names in GROUPS]
    return [(title, members) for title, members in found if members]


def cases(call: MarginCall, request: HttpRequest) -> dict[str, Any]:
    """What was asked, disputed and taken on, each with what this person may do about it."""
    asked = list(call.requests.select_related("asked_by", "decided_by"))[:MOST_CASES]
    tasks = list(call.tasks.select_related("owner"))[:MOST_CASES]
    disputed = list(call.disputes.select_related("decided_by"))[:MOST_CASES]
    announced = list(Cure.objects.filter(call=call, state__in=(Cure.State.CLAIMED, Cure.State.IN_TRANSIT))[:MOST_CASES])
    tables: dict[str, list[Any]] = {"requests": asked, "tasks": tasks, "disputes": disputed, "announced": announced}
    on = {"announced": "cures"}
    actor = actors.person(request.user)
    return {
        name: [(row, deeds.forms(on.get(name, name), row, actor, timezone.now())) for row in listed]
        for name, listed in tables.items()
    }


def why(call: MarginCall) -> dict[str, Any] | None:
    """The figures the call was made on, each charge as a sentence."""
    if call.assessment is None:
        return None
    measure = call.assessment.measures.filter(regime=call.regime).first()
    if measure is None:
        return None
    return {"assessment": call.assessment, "measure": measure, "charges": charges(measure)}


def charges(measure: Measure) -> list[dict[str, Any]]:
    return [
        {
            "charge": charge,
            "subject": subject(charge.explanation, charge.instrument.code if charge.instrument else "account"),
            "sentence": charge.explanation.get("sentence") or charge.code.replace("_", " "),
            "rule": charge.explanation.get("rule", ""),
            "source": charge.explanation.get("law") or charge.explanation.get("source", ""),
            "branch": charge.explanation.get("binding") or charge.explanation.get("branch", ""),
            "inputs": charge.explanation.get("inputs") or {},
        }
        for charge in measure.charges.select_related("instrument")
    ]


def latest(call: MarginCall) -> dict[str, Any] | None:
    """Where the account stands by its newest assessment, which may be a later one than the call's."""
    found = Assessment.objects.filter(account=call.account).select_related("sweep").order_by("-id").first()
    if found is None:
        return None
    return {"assessment": found, "measure": found.measures.filter(regime=call.regime).first()}


def unapplied(call: MarginCall) -> list[CashMovement]:
    """Deposits since the call was issued that no cure has used yet: the next sweep finds them."""
    if not call.is_open:
        return []
    deposits = CashMovement.objects.filter(account=call.account, kind="deposit", effective_at__gte=call.issued_at)
    used = Cure.objects.filter(call=call, movement__isnull=False).values("movement")
    return list(deposits.filter(reverses=None, reversed_by=None).exclude(pk__in=used).select_related("currency")[:20])


def _details(body: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    return (body.get("details") or {}).items()


def told(event: Event) -> dict[str, Any]:
    """An event as a line of the timeline: who, what, why, and what changed."""
    body = rows.read(event)
    row = body.get("row") or {}
    facts = [(key.replace("_", " "), event_words.shown(event.kind, key, value)) for key, value in _details(body)]
    return {
        "event": event,
        "icon": ICONS.get(event.kind, "circle"),
        "name": event.kind.replace(".", " ").replace("_", " "),
        "actor": body["actor"],
        "role": body.get("role", ""),
        "reason": body.get("reason", ""),
        "from": body.get("from"),
        "to": row.get("state"),
        "outstanding": row.get("amount_outstanding"),
        "currency": event.call.currency if event.call else "",
        "facts": facts,
    }


def plans(call: MarginCall) -> list[Plan]:
    found = Plan.objects.filter(call=call).select_related("proposed_by").order_by("-id")
    return list(found.prefetch_related("approvals__approver", "lines"))
