"""Instruments and quotes on the wire. `quotes.record` alone writes."""

from django.db.models import Prefetch
from django_filters import rest_framework as filters
from rest_framework import serializers, viewsets

from market import models, wire


class AliasRows(wire.Rows):
    valid_from = serializers.DateField(source="valid.lower", read_only=True, allow_null=True)
    valid_until = serializers.DateField(
        source="valid.upper", read_only=True, allow_null=True, help_text="Excluded; null: still valid"
    )

    class Meta:
        model = models.Alias
        fields = ("scheme", "symbol", "valid_from", "valid_until")


class InstrumentRows(wire.Rows):
    calendar = wire.code("calendar.code", allow_null=True)
    underlying = wire.code("underlying.code", allow_null=True)
    aliases = AliasRows(many=True, read_only=True)
    deliverable = serializers.DictField(read_only=True)
    terms = serializers.DictField(read_only=True)

    class Meta:
        model = models.Instrument
        fields = (
            *("code", "name", "kind", "currency", "aliases", "price_divisor", "multiplier", "minor_exponent"),
            *("lot_size", "tick_size", "calendar", "may_be_negative", "jump_limit_rate", "max_age_seconds"),
            *("margin_eligible", "leverage", "sector", "issuer", "underlying", "right", "strike", "style"),
            *("expires_at", "cash_settled", "inverse", "deliverable", "debt_class", "matures_on", "coupon_rate"),
            *("terms", "listed_on", "ended_at"),
        )


class InstrumentFilters(filters.FilterSet):
    kind = wire.one_of("kind", models.Kind.choices)
    currency = filters.CharFilter("currency")
    sector = filters.CharFilter("sector")
    underlying = filters.CharFilter("underlying__code")
    symbol = filters.CharFilter("aliases__symbol", distinct=True, label="any name it ever had")
    ended = filters.BooleanFilter("ended_at", "isnull", exclude=True)


class Instruments(viewsets.ReadOnlyModelViewSet[models.Instrument]):
    """Things that can be held, with the terms that margin rules read."""

    queryset = models.Instrument.objects.select_related("calendar", "underlying").prefetch_related(
        Prefetch("aliases", models.Alias.objects.order_by("valid"))
    )
    serializer_class = InstrumentRows
    filterset_class = InstrumentFilters
    lookup_field = "code"
    lookup_value_regex = ".+"
    ordering = ("code",)
    ordering_fields = ("code", "name", "kind", "expires_at")


class QuoteRows(wire.Rows):
    instrument = wire.code("instrument.code")
    currency = wire.code("instrument.currency")
    recorded_at = wire.Instant(source="fact.recorded_at", read_only=True)

    class Meta:
        model = models.Quote
        fields = (
            *("instrument", "currency", "source", "as_of", "bid", "ask", "mark", "implied_volatility"),
            "recorded_at",
        )


class QuoteFilters(filters.FilterSet):
    instrument = filters.CharFilter("instrument__code")
    kind = wire.one_of("instrument__kind", models.Kind.choices)
    source = filters.CharFilter("source")
    as_of_from = wire.since("as_of")
    as_of_before = wire.before("as_of")


class Quotes(viewsets.ReadOnlyModelViewSet[models.Quote]):
    """The latest accepted quote of each instrument."""

    queryset = models.Quote.objects.select_related("instrument", "fact")
    serializer_class = QuoteRows
    filterset_class = QuoteFilters
    lookup_field = "instrument__code"
    lookup_url_kwarg = "instrument"
    lookup_value_regex = ".+"
    ordering = ("instrument",)
    ordering_fields = ("instrument", "as_of")
