"""Orders and what holds them on the wire: releases, orders, reports, caps, standing approvals, the kill switch."""

from django_filters import rest_framework as filters
from rest_framework import serializers, viewsets

from margin import models
from margin.venues.interface import Told
from market import wire

WHOLE = "[0-9]+"
DECIDED = (
    *("id", "currency", "per_order", "per_account", "per_day", "reason"),
    *("proposed_by", "proposed_at", "approved_by", "approved_at"),
)
"""What caps and standing approvals both say."""


class OrderRows(wire.Rows):
    id = serializers.IntegerField(source="line_id", read_only=True)
    plan = serializers.IntegerField(source="release_id", read_only=True)
    instrument = wire.code("line.instrument.code")
    account = wire.code("line.plan.call.account.code")

    class Meta:
        model = models.Order
        fields = (
            *("id", "plan", "account", "instrument", "client_order_id", "venue", "quantity", "limit_price"),
            *("reference_price", "reference_at", "currency", "state", "attempts", "asks", "cancel_wanted_at"),
            *("cancel_reason", "last_error", "created_at", "moved_at"),
        )


class OrderFilters(filters.FilterSet):
    account = filters.CharFilter("line__plan__call__account__code")
    plan = wire.IdFilter("release")
    call = wire.IdFilter("line__plan__call")
    state = wire.one_of("state", models.Order.State.choices)
    venue = filters.CharFilter("venue")


class Orders(viewsets.ReadOnlyModelViewSet[models.Order]):
    """Lines of released plans on their way."""

    queryset = models.Order.objects.select_related("line__instrument", "line__plan__call__account")
    serializer_class = OrderRows
    filterset_class = OrderFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("created_at", "moved_at")


class ReportRows(wire.Rows):
    class Meta:
        model = models.OrderReport
        fields = (
            *("id", "venue", "report_id", "client_order_id", "told", "at", "quantity", "price", "fee", "refers_to"),
            *("venue_order_id", "text"),
        )


class ReportFilters(filters.FilterSet):
    venue = filters.CharFilter("venue")
    client_order_id = filters.CharFilter("client_order_id")
    told = wire.one_of("told", [(one.value, one.value) for one in Told])


class Reports(viewsets.ReadOnlyModelViewSet[models.OrderReport]):
    """What venues, and for the desk people, said of orders."""

    queryset = models.OrderReport.objects.all()
    serializer_class = ReportRows
    filterset_class = ReportFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("at",)


class KillSwitchRows(wire.Rows):
    pulled_by = wire.code("pulled_by.username")
    release_asked_by = wire.code("release_asked_by.username", allow_null=True)
    released_by = wire.code("released_by.username", allow_null=True)

    class Meta:
        model = models.KillSwitch
        fields = (
            *("id", "is_pulled", "reason", "pulled_by", "pulled_at", "cancels_working", "release_reason"),
            *("release_asked_by", "release_asked_at", "released_by", "released_at"),
        )


class KillSwitchFilters(filters.FilterSet):
    is_pulled = wire.YesNoFilter("is_pulled")


class KillSwitches(viewsets.ReadOnlyModelViewSet[models.KillSwitch]):
    """When orders were stopped, by whom, and who let them go again."""

    queryset = models.KillSwitch.objects.select_related("pulled_by", "release_asked_by", "released_by")
    serializer_class = KillSwitchRows
    filterset_class = KillSwitchFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("pulled_at",)


class CapRows(wire.Rows):
    proposed_by = wire.code("proposed_by.username")
    approved_by = wire.code("approved_by.username", allow_null=True)

    class Meta:
        model = models.LiquidationCap
        fields = (*DECIDED, "per_minute")


class CapFilters(filters.FilterSet):
    currency = filters.CharFilter("currency")


class Caps(viewsets.ReadOnlyModelViewSet[models.LiquidationCap]):
    """The most that liquidations may order; of a currency the latest approved counts."""

    queryset = models.LiquidationCap.objects.select_related("proposed_by", "approved_by")
    serializer_class = CapRows
    filterset_class = CapFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("approved_at",)


class StandingRows(wire.Rows):
    proposed_by = wire.code("proposed_by.username")
    approved_by = wire.code("approved_by.username", allow_null=True)
    policy = wire.code("policy_version.policy.code")
    number = serializers.IntegerField(source="policy_version.number", read_only=True)

    class Meta:
        model = models.StandingApproval
        fields = (*DECIDED, "policy", "number", "regime", "expires_at", "revoked_at")


class StandingFilters(filters.FilterSet):
    policy = filters.CharFilter("policy_version__policy__code")


class StandingApprovals(viewsets.ReadOnlyModelViewSet[models.StandingApproval]):
    """What two people approved beforehand, round the clock and within caps."""

    queryset = models.StandingApproval.objects.select_related("policy_version__policy", "proposed_by", "approved_by")
    serializer_class = StandingRows
    filterset_class = StandingFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("expires_at",)
