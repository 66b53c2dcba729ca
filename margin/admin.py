"""The desk's pages of what we computed and decided: policies, sweeps, assessments, warnings, events, alarms."""

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from margin import (  # noqa: F401 - register pages
    actors,
    gate_admin,
    order_admin,
    restriction_admin,
    retention_admin,
    rows,
    seal_admin,
)
from margin.models import (
    Alarm,
    Assessment,
    Event,
    Measure,
    Policy,
    PolicyVersion,
    Receivable,
    Shard,
    SmaEntry,
    Sweep,
    Warning,
)
from market import figures
from market.faces import ReadOnlyAdmin, Table, at_column, column, link
from market.models import Instrument

account = column("account", lambda row: row.account.code, ordering="account__code")
SWEEP_LOOKS = {"running": "issued", "complete": "good", "incomplete": "bad", "superseded": "quiet"}
STATUS_LOOKS = {"priced": "good", "unpriced": "warn", "failed": "bad"}


def completeness(sweep: Sweep) -> Any:
    """Which share of the eligible accounts was seen, unpriced ones included."""
    if not sweep.eligible:
        return figures.missing("no account is eligible")
    seen = sweep.evaluated + sweep.unpriced + sweep.failed
    return figures.badge(f"{100 * seen // sweep.eligible} % of {sweep.eligible:,}", look=SWEEP_LOOKS[sweep.state])


def duration(sweep: Sweep) -> Any:
    if sweep.finished_at is None:
        return figures.missing("still running")
    return f"{(sweep.finished_at - sweep.started_at).total_seconds():,.1f} s"


def counted(counts: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Counts by name, as rows; counts within counts as "a: b"."""
    found: list[tuple[Any, ...]] = []
    for name, count in sorted(counts.items()):
        words = str(name).replace(".", " ").replace("_", " ")
        if isinstance(count, dict):
            found += [(f"{words}: {inner}", number) for inner, number in counted(count)]
        else:
            found.append((words, figures.quantity(Decimal(count)) if isinstance(count, int) else str(count)))
    return found


@admin.register(Sweep)
class SweepAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("slot_at", "slot"),
        "kind",
        column("state", lambda row: figures.badge(row.state, look=SWEEP_LOOKS[row.state]), ordering="state"),
        column("completeness", completeness),
        column("figure_evaluated", lambda row: figures.quantity(row.evaluated), ordering="evaluated"),
        column("figure_unpriced", lambda row: figures.quantity(row.unpriced), ordering="unpriced"),
        column("figure_failed", lambda row: figures.quantity(row.failed), ordering="failed"),
        column("took", duration),
        column("age", lambda row: figures.age(row.finished_at or row.started_at, timezone.now())),
    )
    list_filter = ("kind", "state")
    search_fields = ("=id",)
    date_hierarchy = "slot_at"
    left_out = ("counts", "visible", "lease_until", "epoch", "fx")

    def tables(self, request: HttpRequest, obj: Sweep) -> list[Table]:
        shards = Shard.objects.filter(sweep=obj).order_by("number")[:200]
        statuses = Assessment.objects.filter(sweep=obj).order_by().values("status").annotate(n=Count("pk"))
        return [
            Table(
                "Outcomes and decisions",
                ("what", "how many"),
                counted(obj.counts),
                empty="The sweep has not counted anything yet.",
            ),
            Table(
                "Assessments kept",
                ("status", "how many"),
                [(row["status"], figures.quantity(row["n"])) for row in statuses],
                empty="None: no account was in deficit, warned, called or unpriced.",
                note="Only accounts that matter are kept; all others were evaluated and found quiet.",
            ),
            Table(
                "Shards",
                ("shard", "accounts", "done", "attempts", "counts", "last error"),
                [
                    (
                        shard.number,
                        f"{shard.first_account} … {shard.last_account}",
                        figures.instant(shard.done_at, seconds=True, why="not done; taken again when its lease lapses"),
                        shard.attempts,
                        ", ".join(f"{name} {count}" for name, count in sorted(shard.counts.items())),
                        shard.last_error or figures.missing("no error"),
                    )
                    for shard in shards
                ],
                empty="The sweep was not divided.",
            ),
        ]


def worst(assessment: Any) -> Any:
    covers = [measure for measure in assessment.measures.all() if measure.cover is not None]
    if not covers:
        return figures.missing("no requirement, or no price")
    least = min(covers, key=lambda measure: measure.cover)
    return f"{least.get_regime_display()}: cover {figures.separated(least.cover, 3, rounding='ROUND_DOWN')}"


@admin.register(Assessment)
class AssessmentAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("at", "assessed"),
        column("account_of", lambda row: row.account.code, description="account", ordering="account__code"),
        column("status", lambda row: figures.badge(row.status, look=STATUS_LOOKS[row.status]), ordering="status"),
        column("why", lambda row: "; ".join(row.reasons[:3]) or figures.missing("it was priced")),
        column("worst", worst, description="regime with the least cover"),
        "policy_version",
    )
    list_filter = ("status", "sweep__kind", "policy_version__policy__code")
    search_fields = ("account__code", "account__client__name")
    list_select_related = ("account", "policy_version__policy")
    left_out = ("holdings",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Assessment]:
        return super().get_queryset(request).prefetch_related("measures")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "sweep__id__in" or super().lookup_allowed(lookup, value, request)

    def tables(self, request: HttpRequest, obj: Assessment) -> list[Table]:
        measures = list(obj.measures.all())
        tables = [measured(obj, measures)]
        for measure in measures:
            charges = measure.charges.select_related("instrument")
            tables.append(
                Table(
                    f"Charges of the {measure.get_regime_display()} requirement",
                    ("on", "why", "amount"),
                    [
                        (
                            link(request, charge.instrument) if charge.instrument else "the account",
                            charge.explanation.get("sentence") or charge.code.replace("_", " "),
                            figures.amount(charge.amount, obj.currency),
                        )
                        for charge in charges
                    ],
                    empty="Nothing is charged in this regime.",
                )
            )
        return [*tables, held(request, obj)]


def measured(assessment: Assessment, measures: list[Measure]) -> Table:
    return Table(
        "Regimes",
        ("regime", "equity", "requirement", "deficit to the target", "cover"),
        [
            (
                measure.get_regime_display(),
                figures.amount(measure.equity, assessment.currency),
                figures.amount(measure.requirement, assessment.currency),
                figures.amount(measure.deficit, assessment.currency),
                figures.ratio(measure.cover),
            )
            for measure in measures
        ],
        empty="No figures: an account without a usable price is never given any.",
    )


def held_figure(text: str | None) -> Any:
    return figures.quantity(None if text is None else Decimal(text), why="not known")


def held(request: HttpRequest, assessment: Assessment) -> Table:
    """The inputs that the assessment keeps: [instrument, quantity, cost, mark], amounts as text."""
    instruments = Instrument.objects.in_bulk([int(row[0]) for row in assessment.holdings])
    return Table(
        "What it rests on",
        ("instrument", "quantity", "cost", "mark"),
        [
            (link(request, instruments.get(int(instrument))), *(held_figure(part) for part in parts))
            for instrument, *parts in assessment.holdings
        ],
        empty="The account held nothing.",
    )


@admin.register(Warning)
class WarningAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("raised_at", "raised"),
        account,
        column("client", lambda row: row.account.client.name, ordering="account__client__name"),
        "regime",
        "rung",
        column("figure_cover", lambda row: figures.ratio(row.cover), ordering="cover"),
        at_column("cleared_at", "cleared"),
        "cleared_by",
    )
    list_filter = (("cleared_at", admin.EmptyFieldListFilter), "regime", "rung")
    search_fields = ("account__code", "account__client__name")
    list_select_related = ("account__client",)


def actor(event: Event) -> str:
    body = rows.read(event)
    return f"{body['actor']} ({body['role']})" if body.get("role") != actors.SYSTEM else str(body["actor"])


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("at"),
        column("link", lambda row: f"{row.account.code} / {row.seq}", description="account / seq"),
        column("event", lambda row: row.kind.replace(".", " ").replace("_", " "), ordering="kind"),
        column("call", lambda row: row.call.number if row.call else figures.missing("not about a call")),
        column("actor", actor),
        column("reason", lambda row: rows.read(row).get("reason", "")),
        column("hash", lambda row: f"{row.hash[:12]}…"),
    )
    list_filter = ("kind",)
    search_fields = ("account__code", "account__client__name", "=hash")
    list_select_related = ("account", "call")
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(Receivable)
class ReceivableAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("booked_at", "booked"),
        account,
        "call",
        column("figure_amount", lambda row: figures.amount(row.amount, row.currency), ordering="amount"),
    )
    search_fields = ("account__code", "account__client__name")
    list_select_related = ("account", "call")


def posted_amount(name: str) -> Any:
    """A column of an SMA figure, in the base currency of the account."""
    return column(
        f"figure_{name}",
        lambda row: figures.amount(getattr(row, name), row.account.base_currency, why="not known"),
        description=name,
        ordering=name,
    )


@admin.register(SmaEntry)
class SmaEntryAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("at", "posted"),
        account,
        "number",
        "kind",
        posted_amount("amount"),
        posted_amount("excess"),
        posted_amount("balance"),
        posted_amount("called"),
        "reference",
    )
    list_filter = ("kind",)
    search_fields = ("account__code", "account__client__name", "=reference")
    list_select_related = ("account",)
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("raised_at", "raised"),
        "kind",
        "subject",
        "message",
        at_column("cleared_at", "cleared"),
        at_column("mailed_at", "mailed"),
    )
    list_filter = (("cleared_at", admin.EmptyFieldListFilter), "kind")
    search_fields = ("subject", "message")


def in_force(policy: Any) -> Any:
    """The version in force now, from the prefetched ones: approved, effective, the latest."""
    at = timezone.now()
    binding = [v for v in policy.versions.all() if v.approved_at and v.approved_at <= at and v.effective_at <= at]
    if not binding:
        return figures.badge("none: its accounts are unpriced", look="bad")
    version = max(binding, key=lambda v: (v.effective_at, v.number))
    return f"v{version.number} since {figures.wall(version.effective_at)}"


@admin.register(Policy)
class PolicyAdmin(ReadOnlyAdmin):
    list_display = ("code", "name", column("in_force", in_force))
    search_fields = ("code", "name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Policy]:
        return super().get_queryset(request).prefetch_related("versions")

    def tables(self, request: HttpRequest, obj: Policy) -> list[Table]:
        versions = PolicyVersion.objects.filter(policy=obj).select_related("policy", "published_by", "approved_by")
        return [
            Table(
                "Versions",
                ("version", "effective", "published by", "approved by", "note"),
                [
                    (
                        link(request, version),
                        figures.instant(version.effective_at),
                        f"{version.published_by}",
                        version.approved_by or figures.missing("waits for another person"),
                        version.note,
                    )
                    for version in versions
                ],
                empty="No version was published.",
            )
        ]
