"""Clients, accounts, positions, fills and cash movements on the wire. `positions` and `cash` alone write."""

from django_filters import rest_framework as filters
from rest_framework import viewsets

from accounts import models
from market import wire
from market.models import Kind


class ContactRows(wire.Rows):
    class Meta:
        model = models.Contact
        fields = ("name", "email", "phone", "language", "receives_notices")


class ClientRows(wire.Rows):
    contacts = ContactRows(many=True, read_only=True)

    class Meta:
        model = models.Client
        fields = ("code", "name", "language", "time_zone", "created_at", "contacts")


class ClientFilters(filters.FilterSet):
    name = filters.CharFilter("name", "icontains")
    language = filters.CharFilter("language")
    account = filters.CharFilter("accounts__code")


class Clients(viewsets.ReadOnlyModelViewSet[models.Client]):
    """Persons and firms with accounts, and who is told about their calls."""

    queryset = models.Client.objects.prefetch_related("contacts")
    serializer_class = ClientRows
    filterset_class = ClientFilters
    lookup_field = "code"
    lookup_value_regex = ".+"
    ordering = ("code",)
    ordering_fields = ("code", "name", "created_at")


class AccountRows(wire.Rows):
    client = wire.code("client.code")

    class Meta:
        model = models.Account
        fields = ("code", "client", "name", "base_currency", "agreement", "opened_on", "closed_on")


class AccountFilters(filters.FilterSet):
    client = filters.CharFilter("client__code")
    agreement = filters.CharFilter("agreement")
    base_currency = filters.CharFilter("base_currency")
    closed = filters.BooleanFilter("closed_on", "isnull", exclude=True)


class Accounts(viewsets.ReadOnlyModelViewSet[models.Account]):
    """Where positions are held and margin is measured."""

    queryset = models.Account.objects.select_related("client")
    serializer_class = AccountRows
    filterset_class = AccountFilters
    lookup_field = "code"
    lookup_value_regex = ".+"
    ordering = ("code",)
    ordering_fields = ("code", "opened_on")


class PositionRows(wire.Rows):
    account = wire.code("account.code")
    instrument = wire.code("instrument.code")
    currency = wire.code("instrument.currency")

    class Meta:
        model = models.Position
        fields = ("id", "account", "instrument", "currency", "quantity", "cost")


class PositionFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")
    client = filters.CharFilter("account__client__code")
    instrument = filters.CharFilter("instrument__code")
    kind = wire.one_of("instrument__kind", Kind.choices)


class Positions(viewsets.ReadOnlyModelViewSet[models.Position]):
    """What each account holds now; negative is short, or borrowed cash."""

    queryset = models.Position.objects.select_related("account", "instrument")
    serializer_class = PositionRows
    filterset_class = PositionFilters
    lookup_value_regex = "[0-9]+"
    ordering = ("account", "instrument")
    ordering_fields = ("account", "instrument", "quantity")


class FillRows(wire.Rows):
    account = wire.code("account.code")
    instrument = wire.code("instrument.code")

    class Meta:
        model = models.Fill
        fields = (
            *("id", "account", "instrument", "source", "external_reference", "quantity", "price", "fee"),
            *("traded_at", "settles_on", "reverses", "recorded_at"),
        )


class FillFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")
    instrument = filters.CharFilter("instrument__code")
    source = filters.CharFilter("source")
    external_reference = filters.CharFilter("external_reference")
    traded_from = wire.since("traded_at")
    traded_before = wire.before("traded_at")


class Fills(viewsets.ReadOnlyModelViewSet[models.Fill]):
    """Executed trades; a bust is a fill that reverses another."""

    queryset = models.Fill.objects.select_related("account", "instrument")
    serializer_class = FillRows
    filterset_class = FillFilters
    lookup_value_regex = "[0-9]+"
    ordering = ("-traded_at", "-pk")
    ordering_fields = ("traded_at", "recorded_at")


class CashMovementRows(wire.Rows):
    account = wire.code("account.code")
    currency = wire.code("currency.currency")

    class Meta:
        model = models.CashMovement
        fields = (
            *("id", "account", "currency", "kind", "amount", "source", "external_reference", "effective_at"),
            *("reverses", "note", "recorded_at"),
        )


class CashMovementFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")
    currency = filters.CharFilter("currency__currency")
    kind = wire.one_of("kind", models.CashMovement.Kind.choices)
    source = filters.CharFilter("source")
    external_reference = filters.CharFilter("external_reference")
    effective_from = wire.since("effective_at")
    effective_before = wire.before("effective_at")


class CashMovements(viewsets.ReadOnlyModelViewSet[models.CashMovement]):
    """Money in and out of accounts; into the account is positive."""

    queryset = models.CashMovement.objects.select_related("account", "currency")
    serializer_class = CashMovementRows
    filterset_class = CashMovementFilters
    lookup_value_regex = "[0-9]+"
    ordering = ("-effective_at", "-pk")
    ordering_fields = ("effective_at", "recorded_at")
