"""What holds records of clients, and which clients are to be or were erased, on the wire."""

from django_filters import rest_framework as filters
from rest_framework import viewsets

from margin import models
from market import wire

WHOLE = "[0-9]+"


class LegalHoldRows(wire.Rows):
    client = wire.code("client.code")
    placed_by = wire.code("placed_by.username")
    lifted_by = wire.code("lifted_by.username", allow_null=True)

    class Meta:
        model = models.LegalHold
        fields = ("id", "client", "reason", "placed_by", "placed_at", "lifted_by", "lifted_at", "lift_reason")


class LegalHoldFilters(filters.FilterSet):
    client = filters.CharFilter("client__code")
    open = wire.YesNoFilter("lifted_at", "isnull")


class LegalHolds(viewsets.ReadOnlyModelViewSet[models.LegalHold]):
    """While one stands nothing of its client is erased."""

    queryset = models.LegalHold.objects.select_related("client", "placed_by", "lifted_by")
    serializer_class = LegalHoldRows
    filterset_class = LegalHoldFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("placed_at", "lifted_at")


class ErasureRows(wire.Rows):
    client = wire.code("client.code")
    asked_by = wire.code("asked_by.username")
    approved_by = wire.code("approved_by.username", allow_null=True)

    class Meta:
        model = models.Erasure
        fields = ("id", "client", "reason", "retained_until", "asked_by", "asked_at", "approved_by", "done_at")


class ErasureFilters(filters.FilterSet):
    client = filters.CharFilter("client__code")
    done = wire.YesNoFilter("done_at", "isnull", exclude=True)


class Erasures(viewsets.ReadOnlyModelViewSet[models.Erasure]):
    """Clients whose names and words one person asked to erase, and another did or did not yet."""

    queryset = models.Erasure.objects.select_related("client", "asked_by", "approved_by")
    serializer_class = ErasureRows
    filterset_class = ErasureFilters
    lookup_value_regex = WHOLE
    ordering = ("-pk",)
    ordering_fields = ("asked_at", "done_at")
