"""The queue: the list of margin calls as a margin officer works it. Overdue first, then time left."""

import re
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import (
    Case,
    Count,
    DateTimeField,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice import dossier
from backoffice.badges import UNDELIVERED, delivery_badge, state_badge
from margin import workflow
from margin.models import MarginCall, Measure, Plan, Request
from market import figures
from market.faces import ReadOnlyAdmin
from notifications.models import Notice


def undelivered(calls: QuerySet[MarginCall]) -> QuerySet[MarginCall]:
    """Calls one of whose notices did not reach its reader, or had none."""
    return calls.filter(Exists(Notice.objects.filter(event__call=OuterRef("pk"), state__in=UNDELIVERED)))


def end_of_day(at: datetime) -> datetime:
    """The last instant of the desk's day."""
    return (timezone.localtime(at) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def conditions(at: datetime) -> dict[str, Q]:
    """The saved views of the queue, by name, as conditions on open calls."""
    return {
        "open": Q(),
        "overdue": Q(due_at__lte=at),
        "hour": Q(due_at__gt=at, due_at__lt=at + timedelta(hours=1)),
        "today": Q(due_at__gt=at, due_at__lt=end_of_day(at)),
        "escalated": Q(state=workflow.State.ESCALATED),
    }


LABELS = {
    "open": "Open",
    "overdue": "Overdue",
    "hour": "Due in less than 1 h",
    "today": "Due today",
    "escalated": "Escalated",
    "undelivered": "Undelivered",
    "closed": "Closed",
}
OPEN_VIEWS = LABELS.keys() - {"closed"}


class WorkFilter(SimpleListFilter):
    title = "work"
    parameter_name = "work"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(LABELS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[MarginCall]) -> QuerySet[MarginCall]:
        view = self.value()
        if view == "undelivered":
            return undelivered(queryset.filter(state__in=workflow.OPEN_STATES))
        if view == "closed":
            return queryset.exclude(state__in=workflow.OPEN_STATES)
        wanted = conditions(timezone.now()).get(str(view))
        return queryset if wanted is None else queryset.filter(wanted, state__in=workflow.OPEN_STATES)


class AgreementFilter(SimpleListFilter):
    title = "agreement"
    parameter_name = "agreement"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        codes = MarginCall.objects.order_by().values_list("policy_version__policy__code", flat=True).distinct()
        return [(code, code) for code in sorted(codes)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[MarginCall]) -> QuerySet[MarginCall]:
        return queryset.filter(policy_version__policy__code=self.value()) if self.value() else queryset


def views(at: datetime) -> list[dict[str, Any]]:
    """The saved views with their counts, in one query (and one for undelivered)."""
    counts = MarginCall.objects.open().aggregate(
        **{name: Count("pk", filter=condition) for name, condition in conditions(at).items() if condition},
        open=Count("pk"),
    )
    counts["undelivered"] = undelivered(MarginCall.objects.open()).count()
    return [{"name": name, "label": LABELS[name], "count": count} for name, count in counts.items()]


@admin.register(MarginCall)
class QueueAdmin(ReadOnlyAdmin):
    list_display = (
        "countdown",
        "number",
        "client",
        "regime_name",
        "figure_called",
        "figure_outstanding",
        "figure_cover",
        "state_badge",
        "delivery",
        "next_action",
    )
    list_display_links = ("number",)
    list_filter = (WorkFilter, "state", "regime", AgreementFilter)
    search_fields = ("account__code", "account__name", "account__client__name", "account__client__code")
    search_help_text = "Call number (MC-1042), account or client"
    list_select_related = ("account__client",)
    list_before_template = "desk/queue_views.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[MarginCall]:
        """With all that a row shows, so that a page takes the same few queries however long it is."""
        measures = Measure.objects.filter(assessment__account=OuterRef("account"), regime=OuterRef("regime"))
        notices = Notice.objects.filter(event__call=OuterRef("pk")).order_by("-id")
        undecided = Q(state=Plan.State.PROPOSED, expires_at__gte=timezone.now())
        open_plans = Plan.objects.filter(undecided | Q(state=Plan.State.APPROVED))
        asked = Request.objects.filter(call=OuterRef("pk"), kind="retraction", state="open")
        is_closed = Case(When(state__in=workflow.OPEN_STATES, then=Value(0)), default=1, output_field=IntegerField())
        return MarginCall.objects.annotate(
            is_closed=is_closed,
            due_while_open=Case(When(is_closed=0, then=F("due_at")), output_field=DateTimeField()),
            latest_cover=Subquery(measures.order_by("-assessment_id").values("cover")[:1]),
            delivery_state=Subquery(notices.values("state")[:1]),
            is_retraction_asked=Exists(asked),
        ).prefetch_related(Prefetch("plans", queryset=open_plans, to_attr="open_plans"))

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Open calls first, the longest overdue on top; then closed ones, the latest first.

        Views of open calls alone come through the index of the queue, however many calls there are.
        """
        if request.GET.get("work") in OPEN_VIEWS:
            return ("due_at", "id")
        return ("is_closed", "due_while_open", "-closed_at", "-id")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[MarginCall], search_term: str
    ) -> tuple[QuerySet[MarginCall], bool]:
        number = re.fullmatch(r"\s*mc-?(\d{1,15})\s*", search_term, re.IGNORECASE)
        if number:
            return queryset.filter(pk=int(number[1]) - 1000), False
        return super().get_search_results(request, queryset, search_term)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        at = timezone.now()
        context = {"views": views(at), "view": request.GET.get("work", ""), **(extra_context or {})}
        return super().changelist_view(request, context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return dossier.page(request, object_id, admin=self)

    def get_urls(self) -> list[Any]:
        return [*dossier.urls(self), *super().get_urls()]

    @admin.display(description="due", ordering="due_at")
    def countdown(self, call: MarginCall) -> SafeString:
        if not call.is_open:
            return format_html("closed {}", figures.instant(call.closed_at))
        return figures.countdown(call.due_at, timezone.now(), client_zone=call.account.client.time_zone)

    @admin.display(description="call", ordering="pk")
    def number(self, call: MarginCall) -> str:
        return call.number

    @admin.display(description="client", ordering="account__client__name")
    def client(self, call: MarginCall) -> SafeString:
        return format_html(
            '<span class="clip" title="{0}">{0}</span> <span class="quiet">{1}</span>',
            call.account.client.name,
            call.account.code,
        )

    @admin.display(description="regime", ordering="regime")
    def regime_name(self, call: MarginCall) -> str:
        return call.get_regime_display()

    @admin.display(description="called", ordering="amount_called")
    def figure_called(self, call: MarginCall) -> SafeString:
        return figures.amount(call.amount_called, "")

    @admin.display(description="outstanding", ordering="amount_outstanding")
    def figure_outstanding(self, call: MarginCall) -> SafeString:
        return figures.amount(call.amount_outstanding, call.currency)

    @admin.display(description="cover")
    def figure_cover(self, call: Any) -> SafeString:
        return figures.ratio(call.latest_cover, why="no assessment with a requirement yet")

    @admin.display(description="state", ordering="state")
    def state_badge(self, call: MarginCall) -> SafeString:
        return state_badge(call)

    @admin.display(description="notice")
    def delivery(self, call: Any) -> SafeString:
        return delivery_badge(call.delivery_state)

    @admin.display(description="next action")
    def next_action(self, call: Any) -> str:
        return next_action(
            call, plan=call.open_plans[0] if call.open_plans else None, delivery_state=call.delivery_state or ""
        )


def next_action(call: Any, *, plan: Plan | None, delivery_state: str) -> str:
    """What a margin officer would do next with this call, in a few words: the first that applies."""
    is_proposed = plan is not None and plan.state == Plan.State.PROPOSED
    steps = (
        (not call.is_open, ""),
        (call.is_retraction_asked, "decide the retraction"),
        (is_proposed, "approve or reject the plan"),
        (plan is not None, "record the fills"),
        (delivery_state in UNDELIVERED, "phone the client"),
        (call.state == workflow.State.ESCALATED, "propose liquidation"),
        (bool(call.provisionally_met_at), "wait: recovery must hold"),
    )
    return next((step for applies, step in steps if applies), "await payment")
