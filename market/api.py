"""Instruments and quotes on the wire. `quotes.record` alone writes."""

from typing import Any

from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from rest_framework import serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from market import guard, models, quotes, strict, wire


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
    index = wire.code("index.code", allow_null=True)
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
            *("margin_class", "index", "index_scale", "daily_volume", "terms", "listed_on", "ended_at"),
        )


class InstrumentFilters(filters.FilterSet):
    kind = wire.one_of("kind", models.Kind.choices)
    currency = filters.CharFilter("currency")
    sector = filters.CharFilter("sector")
    underlying = filters.CharFilter("underlying__code")
    symbol = filters.CharFilter("aliases__symbol", distinct=True, label="any name it ever had")
    ended = wire.YesNoFilter("ended_at", "isnull", exclude=True)


class Instruments(viewsets.ReadOnlyModelViewSet[models.Instrument]):
    """Things that can be held, with the terms that margin rules read."""

    queryset = models.Instrument.objects.select_related("calendar", "underlying", "index").prefetch_related(
        Prefetch("aliases", models.Alias.objects.order_by("valid"))
    )
    serializer_class = InstrumentRows
    filterset_class = InstrumentFilters
    lookup_field = "code"
    lookup_value_regex = ".+"
    ordering = ("code",)
    ordering_fields = ("code", "name", "kind", "expires_at")


class ParameterRows(wire.Rows):
    class Meta:
        model = models.ParameterSet
        fields: tuple[str, ...] = ("id", "name", "kind", "effective_on", "digest", "source", "recorded_at")


class WholeParameterRows(ParameterRows):
    document = serializers.DictField(read_only=True, help_text="Numbers are text")

    class Meta(ParameterRows.Meta):
        fields = (*ParameterRows.Meta.fields, "document")


class ParameterFilters(filters.FilterSet):
    name = filters.CharFilter("name")
    kind = wire.one_of("kind", models.ParameterSet.Kind.choices)
    source = filters.CharFilter("source")
    effective_from = filters.DateFilter("effective_on", "gte")
    effective_before = filters.DateFilter("effective_on", "lt")


class Parameters(viewsets.ReadOnlyModelViewSet[models.ParameterSet]):
    """Published documents of margin parameters: the newest `effective_on` of a name, then the newest row, counts."""

    queryset = models.ParameterSet.objects.all()
    serializer_class = ParameterRows
    filterset_class = ParameterFilters
    ordering = ("name", "-effective_on", "-id")
    ordering_fields = ("name", "effective_on")

    def get_serializer_class(self) -> type[wire.Rows]:
        return WholeParameterRows if self.action == "retrieve" else ParameterRows

    def get_queryset(self) -> QuerySet[models.ParameterSet]:
        rows = super().get_queryset()
        return rows if self.action == "retrieve" else rows.defer("document")


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


QUOTE_COLUMNS = {
    "instrument": strict.column(strict.code, length=48),
    "source": strict.column(strict.code, length=guard.SOURCE_LENGTH),
    "as_of": strict.column(strict.instant),
    "mark": wire.price(optional=True),
    "bid": wire.price(optional=True),
    "ask": wire.price(optional=True),
    "implied_volatility": wire.rate(optional=True),
}


class HeldLine(serializers.Serializer[Any]):
    row = serializers.IntegerField()
    field = serializers.CharField()
    reason = serializers.CharField()


class RecordedQuotes(serializers.Serializer[Any]):
    """What became of a batch of quotes."""

    accepted = serializers.IntegerField()
    repeated = serializers.IntegerField(help_text="We hold them already; nothing changed")
    released = serializers.IntegerField(help_text="Quotes in quarantine that this batch confirmed")
    held = HeldLine(many=True, help_text="In quarantine until a second source or a person confirms them")


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
    write_scope = "quotes:write"

    @wire.documented(
        QUOTE_COLUMNS,
        answer=RecordedQuotes,
        sent={
            "rows": [
                {
                    "instrument": "AIG",
                    "source": "venue-a",
                    "as_of": "2008-09-15T20:00:00Z",
                    "bid": "4.75",
                    "ask": "4.77",
                },
                {
                    "instrument": "WTI-2020-05",
                    "source": "venue-b",
                    "as_of": "2020-04-20T18:30:00Z",
                    "mark": "-37.63",
                },
            ]
        },
        answered={
            "accepted": 1,
            "repeated": 0,
            "released": 0,
            "held": [{"row": 1, "field": "mark", "reason": "jump: 4.76 is -60.8 % from 12.14, limit 25 %"}],
        },
        instrument="Our code of the instrument",
        as_of="When the source says it was so",
        mark="May be left out where bid and ask are both there",
        implied_volatility="A fraction: 0.25 is 25 %",
    )
    def create(self, request: Request) -> Response:
        """Record quotes, all or nothing. A quote that moved too far is taken into quarantine and listed in `held`."""
        rows, _ = wire.batch(request.data, QUOTE_COLUMNS)
        with transaction.atomic():
            recorded = quotes.record([guard.Incoming(**row.values) for row in rows], at=timezone.now())
            if recorded.refused:
                raise strict.Refused(recorded.refused)
        body = {
            "accepted": recorded.accepted,
            "repeated": recorded.repeated,
            "released": recorded.released,
            "held": [problem._asdict() for problem in recorded.held],
        }
        return Response(body, status=status.HTTP_201_CREATED)


# --- what people decide about the world ---------------------------------------------------------------


class HeldQuoteRows(wire.Rows):
    instrument = wire.code("instrument.code")
    decided_by = wire.code("decided_by.username", allow_null=True)

    class Meta:
        model = models.HeldQuote
        fields = (
            *("id", "instrument", "source", "as_of", "bid", "ask", "mark", "previous_mark", "reason", "state"),
            *("decided_by", "decided_source", "decided_reason", "decided_at", "recorded_at"),
        )


class HeldQuoteFilters(filters.FilterSet):
    instrument = filters.CharFilter("instrument__code")
    state = wire.one_of("state", models.HeldQuote.State.choices)


class HeldQuotes(viewsets.ReadOnlyModelViewSet[models.HeldQuote]):
    """Quotes that moved too far, and what was decided about them."""

    queryset = models.HeldQuote.objects.select_related("instrument", "decided_by")
    serializer_class = HeldQuoteRows
    filterset_class = HeldQuoteFilters
    lookup_value_regex = "[0-9]+"
    ordering = ("-pk",)
    ordering_fields = ("as_of", "decided_at")


class CorporateActionRows(wire.Rows):
    instrument = wire.code("instrument.code")
    proposed_by = wire.code("proposed_by.username", allow_null=True, help_text="null: the system")
    approved_by = wire.code("approved_by.username", allow_null=True)
    rejected_by = wire.code("rejected_by.username", allow_null=True)

    class Meta:
        model = models.CorporateAction
        fields = (
            *("id", "kind", "instrument", "effective_at", "new_per_old", "new_symbol", "settlement_price", "reason"),
            *("proposed_by", "approved_by", "approved_at", "rejected_by", "rejected_at", "rejected_reason"),
            *("applied_at", "recorded_at"),
        )


class CorporateActionFilters(filters.FilterSet):
    instrument = filters.CharFilter("instrument__code")
    kind = wire.one_of("kind", models.CorporateAction.Kind.choices)


class CorporateActions(viewsets.ReadOnlyModelViewSet[models.CorporateAction]):
    """Splits, symbol changes, ends and expiries, entered by one person and approved by another."""

    queryset = models.CorporateAction.objects.select_related("instrument", "proposed_by", "approved_by", "rejected_by")
    serializer_class = CorporateActionRows
    filterset_class = CorporateActionFilters
    lookup_value_regex = "[0-9]+"
    ordering = ("-pk",)
    ordering_fields = ("effective_at", "applied_at")
