"""What comes after the trade on the wire: securities brought in or taken out, money taken back, fills that are bust."""

from collections.abc import Collection
from typing import Any

from django.utils import timezone
from django_filters import rest_framework as filters
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import adjustments, cash, fills, models
from accounts.api import CashMovementRows, FillRows, StoredRows, known, stored
from market import strict, wire
from market.models import Instrument

REVERSAL_COLUMNS = {
    "reverses": strict.column(strict.integer, lowest=1, highest=2**63 - 1),
    "source": strict.column(strict.code, length=32),
    "external_reference": strict.column(strict.code, length=80),
    "note": strict.column(strict.words, length=200, optional=True, default=""),
}
BUST_COLUMNS = {name: column for name, column in REVERSAL_COLUMNS.items() if name != "note"}
DELIVERY_COLUMNS = {
    "account": strict.column(strict.code, length=24),
    "instrument": strict.column(strict.code, length=48),
    "change": wire.quantity(),
    "cost": wire.amount(optional=True),
    "reason": strict.column(strict.words, length=200),
    "external_reference": strict.column(strict.code, length=80),
    "effective_at": strict.column(strict.instant),
}


class CashReversals(viewsets.ReadOnlyModelViewSet[models.CashMovement]):
    """Movements that took another back: a payment that bounced, a cheque that was returned."""

    queryset = models.CashMovement.objects.filter(reverses__isnull=False).select_related("account", "currency")
    serializer_class = CashMovementRows
    lookup_value_regex = "[0-9]+"
    ordering = ("-effective_at", "-pk")
    ordering_fields = ("effective_at", "recorded_at")
    write_scope = "cash:write"

    @wire.documented(
        REVERSAL_COLUMNS,
        answer=StoredRows,
        sent={"rows": [{"reverses": 981, "source": "bank", "external_reference": "R-8841", "note": "returned unpaid"}]},
        answered={"ids": [990]},
        reverses="The id of the movement",
        external_reference="Unique within its source; the same reversal again is harmless",
    )
    def create(self, request: Request) -> Response:
        """Take movements back, all or nothing, each once: what they met is owed again."""
        rows, _ = wire.batch(request.data, REVERSAL_COLUMNS)
        movements, at = _named(models.CashMovement, rows), timezone.now()
        return stored([cash.reverse(movements[row.values.pop("reverses")], at=at, **row.values) for row in rows])


class FillBusts(viewsets.ReadOnlyModelViewSet[models.Fill]):
    """Fills that took another back: the venue cancelled the trade."""

    queryset = models.Fill.objects.filter(reverses__isnull=False).select_related("account", "instrument")
    serializer_class = FillRows
    lookup_value_regex = "[0-9]+"
    ordering = ("-traded_at", "-pk")
    ordering_fields = ("traded_at", "recorded_at")
    write_scope = "fills:write"

    @wire.documented(
        BUST_COLUMNS,
        answer=StoredRows,
        sent={"rows": [{"reverses": 417, "source": "oms", "external_reference": "B-2008-000417"}]},
        answered={"ids": [433]},
        reverses="The id of the fill",
        external_reference="Unique within its source; the same bust again is harmless",
    )
    def create(self, request: Request) -> Response:
        """Take fills back, all or nothing, each once."""
        rows, _ = wire.batch(request.data, BUST_COLUMNS)
        named, at = _named(models.Fill, rows), timezone.now()
        return stored([fills.bust(named[row.values.pop("reverses")], at=at, **row.values) for row in rows])


class BroughtInRows(wire.Rows):
    account = wire.code("account.code")
    instrument = wire.code("instrument.code")

    class Meta:
        model = models.Adjustment
        fields = (
            *("id", "account", "instrument", "change", "reason", "external_reference", "effective_at", "recorded_at"),
        )


class DeliveryFilters(filters.FilterSet):
    account = filters.CharFilter("account__code")
    instrument = filters.CharFilter("instrument__code")
    external_reference = filters.CharFilter("external_reference")


class Deliveries(viewsets.ReadOnlyModelViewSet[models.Adjustment]):
    """Securities and coins that clients brought in, or took out, free of payment; brought in is positive."""

    queryset = models.Adjustment.objects.filter(is_delivery=True).select_related("account", "instrument")
    serializer_class = BroughtInRows
    filterset_class = DeliveryFilters
    lookup_value_regex = "[0-9]+"
    ordering = ("-effective_at", "-pk")
    ordering_fields = ("effective_at", "recorded_at")
    write_scope = "positions:write"

    @wire.documented(
        DELIVERY_COLUMNS,
        answer=StoredRows,
        sent={
            "rows": [
                {
                    "account": "A-1001",
                    "instrument": "AIG",
                    "change": "500",
                    "reason": "Transfer from another firm",
                    "external_reference": "ACATS-20081",
                    "effective_at": "2008-09-16T14:00:00Z",
                }
            ]
        },
        answered={"ids": [61]},
        change="Brought in is positive, taken out negative",
        cost="What was paid for them, in the instrument's currency; left out: unknown",
        external_reference="Unique; the same delivery again is harmless",
    )
    def create(self, request: Request) -> Response:
        """Book deliveries, all or nothing: what comes in after a call was issued counts towards it."""
        rows, _ = wire.batch(request.data, DELIVERY_COLUMNS)
        accounts = models.Account.objects.in_bulk(known(models.Account, rows, "account").values())
        instruments = Instrument.objects.in_bulk(known(Instrument, rows, "instrument").values())
        by_code = {account.code: account for account in accounts.values()}
        named = {instrument.code: instrument for instrument in instruments.values()}
        at = timezone.now()
        given = []
        for row in rows:
            values = dict(row.values)
            account, instrument = by_code[values.pop("account")], named[values.pop("instrument")]
            given.append(adjustments.adjust(account, instrument=instrument, at=at, is_delivery=True, **values))
        return stored(given)


def _named(model: Any, rows: Collection[strict.Row]) -> dict[int, Any]:
    """The rows to be taken back, by id; Refused with every row whose id is unknown."""
    found: dict[int, Any] = model.objects.in_bulk({row.values["reverses"] for row in rows})
    problems = strict.Problems()
    for row in rows:
        if row.values["reverses"] not in found:
            problems.add(row.number, "reverses", f"there is nothing with the id {row.values['reverses']}")
    problems.check()
    return found
