"""Policies, sweeps, assessments, calls, events and plans on the wire: read only. Calls move through the door."""

import json
from typing import Any

from django.db.models import Prefetch, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers, viewsets

from margin import claims, models, rows, workflow
from margin.engine.sma import Kind
from margin.hypothetical.examples import AMOUNT, TEXT, TEXTS, many, record
from market import wire

WHOLE = "[0-9]+"


class PolicyVersionRows(wire.Rows):
    terms = serializers.DictField(read_only=True, help_text="docs/policy.schema.json")
    published_by = wire.code("published_by.username")
    approved_by = wire.code("approved_by.username", allow_null=True)

    class Meta:
        model = models.PolicyVersion
        fields = (
            *("number", "terms", "note", "effective_at", "published_by", "published_at"),
            *("approved_by", "approved_at"),
        )


class PolicyRows(wire.Rows):
    versions = PolicyVersionRows(many=True, read_only=True)

    class Meta:
        model = models.Policy
        fields = ("code", "name", "versions")


class Policies(viewsets.ReadOnlyModelViewSet[models.Policy]):
    """The margin rules of each agreement, with every version ever published."""

    queryset = models.Policy.objects.prefetch_related(
        Prefetch("versions", models.PolicyVersion.objects.select_related("published_by", "approved_by"))
    )
    serializer_class = PolicyRows
    lookup_field = "code"
    lookup_value_regex = ".+"
    ordering = ("code",)
    ordering_fields = ("code", "name")


class SweepRows(wire.Rows):
    counts = serializers.DictField(read_only=True)

    class Meta:
        model = models.Sweep
        fields = (
            *("id", "kind", "slot_at", "at", "state", "previous", "eligible", "evaluated", "unpriced", "failed"),
            *("counts", "started_at", "finished_at"),
        )


class SweepFilters(filters.FilterSet):
    kind = filters.CharFilter("kind")
    state = wire.one_of("state", models.Sweep.State.choices)
    at_from = wire.since("at")
    at_before = wire.before("at")


class Sweeps(viewsets.ReadOnlyModelViewSet[models.Sweep]):
    """Runs over all accounts of a kind: what they saw and what they did not."""

    queryset = models.Sweep.objects.all()
    serializer_class = SweepRows
    filterset_class = SweepFilters
    lookup_value_regex = WHOLE
    ordering = ("-slot_at", "-pk")
    ordering_fields = ("slot_at", "at", "started_at", "finished_at")


class MeasureRows(wire.Rows):
    class Meta:
        model = models.Measure
        fields: tuple[str, ...] = (
            "regime",
            "equity",
            "requirement",
            "restore_requirement",
            "severe_requirement",
            "deficit",
            "cover",
        )


class ChargeRows(wire.Rows):
    instrument = wire.code("instrument.code", allow_null=True)
    explanation = serializers.DictField(read_only=True)

    class Meta:
        model = models.Charge
        fields = ("instrument", "code", "amount", "explanation")


class ChargedMeasureRows(MeasureRows):
    charges = ChargeRows(many=True, read_only=True)

    class Meta(MeasureRows.Meta):
        fields = (*MeasureRows.Meta.fields, "charges")


class AssessmentRows(wire.Rows):
    account = wire.code("account.code")
    policy = wire.code("policy_version.policy.code", allow_null=True)
    policy_version = serializers.IntegerField(source="policy_version.number", read_only=True, allow_null=True)
    reasons = serializers.ListField(read_only=True, help_text="Why it is unpriced or failed")
    measures = MeasureRows(many=True, read_only=True)

    class Meta:
        model = models.Assessment
        fields: tuple[str, ...] = (
            *("id", "sweep", "account", "policy", "policy_version", "at", "status", "reasons", "currency"),
            *("revision", "digest", "measures"),
        )


class ExplainedAssessmentRows(AssessmentRows):
    holdings = serializers.ListField(read_only=True, help_text="[instrument, quantity, cost, mark] as text: the inputs")
    measures = ChargedMeasureRows(many=True, read_only=True)

    class Meta(AssessmentRows.Meta):
        fields = (*AssessmentRows.Meta.fields, "holdings")


class AssessmentFilters(filters.FilterSet):
    sweep = wire.IdFilter("sweep")
    account = filters.CharFilter("account__code")
    status = wire.one_of("status", models.Assessment.Status.choices)
    at_from = wire.since("at")
    at_before = wire.before("at")


class Assessments(viewsets.ReadOnlyModelViewSet[models.Assessment]):
    """What sweeps found for the accounts that matter; one alone also shows its inputs and every charge."""

    queryset = models.Assessment.objects.select_related("account", "policy_version__policy").prefetch_related(
        "measures"
    )
    serializer_class = AssessmentRows
    filterset_class = AssessmentFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("at",)

    def get_serializer_class(self) -> type[wire.Rows]:
        return ExplainedAssessmentRows if self.action == "retrieve" else AssessmentRows

    def get_queryset(self) -> QuerySet[models.Assessment]:
        rows = super().get_queryset()
        return rows.prefetch_related("measures__charges__instrument") if self.action == "retrieve" else rows


class CureRows(wire.Rows):
    class Meta:
        model = models.Cure
        fields: tuple[str, ...] = (
            *("id", "kind", "state", "movement", "fill", "adjustment", "instrument", "used", "release", "currency"),
            *("amount", "method", "reference", "expected_at", "settled_at", "seq"),
        )


class CallRows(wire.Rows):
    number = serializers.CharField(read_only=True, help_text="As staff and clients know it: MC-1042")
    account = wire.code("account.code")
    client = wire.code("account.client.code")
    policy = wire.code("policy_version.policy.code")
    policy_version = serializers.IntegerField(source="policy_version.number", read_only=True)
    auto_cover_expected = serializers.SerializerMethodField(
        help_text="Swept cash is expected to meet all of it before it is due; it counts once it has settled"
    )
    cures = CureRows(many=True, read_only=True)

    class Meta:
        model = models.MarginCall
        fields = (
            *("id", "number", "account", "client", "regime", "deficiency_key", "state", "seq"),
            *("policy", "policy_version", "assessment", "currency", "amount_called", "amount_outstanding"),
            *("tolerance", "market_cures", "issued_at", "due_at", "original_due_at", "due_basis", "notified_at"),
            *("provisionally_met_at", "escalated_at", "escalation_cause", "escalation_level", "closed_at"),
            *("held_until", "paused_until", "disputed", "clock_stopped_at", "is_provisional", "reminded_at"),
            *("resolution", "predecessor", "auto_cover_expected", "cures"),
        )

    def get_auto_cover_expected(self, call: models.MarginCall) -> bool:
        return claims.is_auto_cover_expected(call)


class CallFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")
    client = filters.CharFilter("account__client__code")
    agreement = filters.CharFilter("account__agreement")
    regime = wire.one_of("regime", workflow.Regime.choices())
    state = wire.one_of("state", workflow.State.choices())
    open = wire.YesNoFilter(method="where_open", label="issued or escalated")
    due_from = wire.since("due_at")
    due_before = wire.before("due_at")
    issued_from = wire.since("issued_at")
    issued_before = wire.before("issued_at")

    def where_open(self, rows: models.MarginCallQuerySet, name: str, value: bool) -> models.MarginCallQuerySet:
        return rows.open() if value else rows.exclude(state__in=workflow.OPEN_STATES)


class Calls(viewsets.ReadOnlyModelViewSet[models.MarginCall]):
    """Margin calls, those due first first."""

    queryset = models.MarginCall.objects.select_related("account__client", "policy_version__policy").prefetch_related(
        "cures"
    )
    serializer_class = CallRows
    filterset_class = CallFilters
    lookup_value_regex = WHOLE
    ordering = ("due_at", "pk")
    ordering_fields = ("due_at", "issued_at", "closed_at", "amount_called", "amount_outstanding")


class EventRows(wire.Rows):
    account = wire.code("account.code")
    reason = serializers.SerializerMethodField(
        help_text="Why, readable: what people said of a client stands encrypted in the body, until it is erased"
    )
    body = serializers.CharField(read_only=True, help_text="Canonical JSON, byte for byte as it was hashed")
    hash = serializers.CharField(read_only=True, help_text='sha256(previous_hash + "\\n" + body)')

    class Meta:
        model = models.Event
        fields = (
            *("id", "account", "seq", "call", "kind", "at"),
            "reason",
            "recorded_at",
            "body",
            "previous_hash",
            "hash",
        )

    def get_reason(self, event: models.Event) -> str:
        return str(rows.read(event).get("reason", ""))


class EventFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")
    call = wire.IdFilter("call")
    kind = wire.one_of("kind", workflow.Verb.choices())
    at_from = wire.since("at")
    at_before = wire.before("at")


class Events(viewsets.ReadOnlyModelViewSet[models.Event]):
    """The history of every account: one hash chain each, checked without us by `hash`."""

    queryset = models.Event.objects.select_related("account")
    serializer_class = EventRows
    filterset_class = EventFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("seq", "at", "recorded_at")


class PlanLineRows(wire.Rows):
    instrument = wire.code("instrument.code")
    fills: serializers.Field[Any, Any, Any, Any] = serializers.SlugRelatedField("fill_id", many=True, read_only=True)

    class Meta:
        model = models.PlanLine
        fields = ("id", "instrument", "quantity", "price", "fee", "fills")


class ApprovalRows(wire.Rows):
    approver = wire.code("approver.username")

    class Meta:
        model = models.Approval
        fields = ("approver", "approved_at", "content_hash")


TOTAL = record(
    value=AMOUNT, fee=AMOUNT, spread=AMOUNT, orders={"type": "integer"}, excess=AMOUNT, is_enough={"type": "boolean"}
)
WEIGHED = record(
    objective=TEXT,
    total=TOTAL,
    stage=TOTAL,
    everything=TOTAL,
    alternatives=many(record(name=TEXT, trades=many(record(code=TEXT, quantity=AMOUNT)), **TOTAL["properties"])),
    left_out=many(record(code=TEXT, reason=TEXT)),
    breaches=TEXTS,
    residual=AMOUNT,
    is_enough={"type": "boolean"},
    is_proven={"type": "boolean"},
    is_staged={"type": "boolean"},
)


class PlanRows(wire.Rows):
    account = wire.code("call.account.code")
    weighed = serializers.SerializerMethodField(
        help_text="Of the content: what the plan is best at, what it comes to, what else could have been done, and what"
        " selling everything would leave"
    )
    content = serializers.CharField(read_only=True, help_text="Canonical JSON: what approvals bind to by its hash")
    proposed_by = wire.code("proposed_by.username", allow_null=True, help_text="null: the system")
    lines = PlanLineRows(many=True, read_only=True)
    approvals = ApprovalRows(many=True, read_only=True)

    class Meta:
        model = models.Plan
        fields = (
            *("id", "call", "account", "state", "content", "content_hash", "proposed_by", "proposed_at"),
            *("expires_at", "reason", "closed_at", "lines", "approvals", "weighed"),
        )

    @extend_schema_field({**WEIGHED, "type": ["object", "null"]})
    def get_weighed(self, row: models.Plan) -> dict[str, Any] | None:
        """None for a plan of the time before this was kept."""
        body = json.loads(row.content)
        return {name: body[name] for name in WEIGHED["properties"]} if "total" in body else None


class PlanFilters(filters.FilterSet):
    call = wire.IdFilter("call")
    account = filters.CharFilter("call__account__code")
    state = wire.one_of("state", models.Plan.State.choices)


class Plans(viewsets.ReadOnlyModelViewSet[models.Plan]):
    """Proposed liquidations, who approved them and what was filled."""

    queryset = models.Plan.objects.select_related("call__account", "proposed_by").prefetch_related(
        Prefetch("lines", models.PlanLine.objects.select_related("instrument").prefetch_related("fills")),
        Prefetch("approvals", models.Approval.objects.select_related("approver")),
    )
    serializer_class = PlanRows
    filterset_class = PlanFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("proposed_at", "expires_at")


class SmaEntryRows(wire.Rows):
    account = wire.code("account.code")
    currency = wire.code("account.base_currency")

    class Meta:
        model = models.SmaEntry
        fields = (
            *("id", "account", "number", "kind", "currency", "amount", "excess", "balance", "called", "reference"),
            *("movement", "fill", "sweep", "at", "recorded_at"),
        )


class SmaEntryFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")
    kind = wire.one_of("kind", [(kind.value, kind.value) for kind in Kind])
    at_from = wire.since("at")
    at_before = wire.before("at")


class SmaEntries(viewsets.ReadOnlyModelViewSet[models.SmaEntry]):
    """The special memorandum account of Regulation T, posting by posting; an account's last says what is called."""

    queryset = models.SmaEntry.objects.select_related("account")
    serializer_class = SmaEntryRows
    filterset_class = SmaEntryFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("number", "at", "recorded_at")
