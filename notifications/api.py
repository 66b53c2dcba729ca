"""Notices on the wire: what clients were told, and what became of it."""

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework import serializers, viewsets

from market import wire
from notifications import models


class AttemptRows(wire.Rows):
    class Meta:
        model = models.Attempt
        fields = ("outcome", "answer", "at")


class DeliveryRows(wire.Rows):
    class Meta:
        model = models.Delivery
        fields = ("provider", "state", "at", "recorded_at")


class NoticeRows(wire.Rows):
    account = wire.code("event.account.code")
    call = serializers.IntegerField(source="event.call_id", read_only=True, allow_null=True)
    contact = wire.code("contact.name", allow_null=True, help_text="null: the client has no contact to tell")

    class Meta:
        model = models.Notice
        fields: tuple[str, ...] = (
            *("id", "event", "account", "call", "contact", "kind", "locale", "to_address", "subject"),
            *("template_version", "content_hash", "message_id", "state", "prepared_at", "send_after", "urgent_by"),
            *("attempts", "sent_at", "last_error"),
        )


class WholeNoticeRows(NoticeRows):
    tries = AttemptRows(many=True, read_only=True)
    deliveries = DeliveryRows(many=True, read_only=True)

    class Meta(NoticeRows.Meta):
        fields = (*NoticeRows.Meta.fields, "text", "html", "tries", "deliveries")


class NoticeFilters(filters.FilterSet):
    account = filters.CharFilter("event__account__code")
    call = wire.IdFilter("event__call")
    event = wire.IdFilter("event")
    state = wire.one_of("state", models.Notice.State.choices)
    kind = filters.CharFilter("kind")
    prepared_from = wire.since("prepared_at")
    prepared_before = wire.before("prepared_at")


class Notices(viewsets.ReadOnlyModelViewSet[models.Notice]):
    """One message to one recipient about one event; one alone also shows its text, tries and delivery reports."""

    queryset = models.Notice.objects.select_related("event__account", "contact")
    serializer_class = NoticeRows
    filterset_class = NoticeFilters
    lookup_value_regex = "[0-9]+"
    ordering = ("-pk",)
    ordering_fields = ("prepared_at", "sent_at", "urgent_by")

    def get_serializer_class(self) -> type[wire.Rows]:
        return WholeNoticeRows if self.action == "retrieve" else NoticeRows

    def get_queryset(self) -> QuerySet[models.Notice]:
        rows = super().get_queryset()
        return rows.prefetch_related("tries", "deliveries") if self.action == "retrieve" else rows
