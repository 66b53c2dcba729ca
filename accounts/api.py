"""Clients, accounts, positions, fills and cash movements on the wire. `positions` and `cash` alone write."""

import hashlib
from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import books, cash, fills, models, positions
from market import strict, wire
from market.models import Instrument, Kind


class ContactRows(wire.Rows):
    class Meta:
        model = models.Contact
        fields = ("name", "email", "phone", "language", "receives_notices")


class ClientRows(wire.Rows):
    contacts = ContactRows(many=True, read_only=True)

    class Meta:
        model = models.Client
        fields = ("code", "name", "language", "time_zone", "is_counterparty", "created_at", "contacts")


class ClientFilters(filters.FilterSet):
    name = filters.CharFilter("name", "icontains")
    language = filters.CharFilter("language")
    is_counterparty = filters.BooleanFilter("is_counterparty")
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
    margined_with = wire.code("margined_with.code", allow_null=True)
    liquidate_last = serializers.SerializerMethodField(
        help_text="What the client wants sold last, the first the longest: keep, since, by"
    )

    class Meta:
        model = models.Account
        fields = (
            *("code", "client", "name", "base_currency", "agreement", "margined_with", "opened_on", "closed_on"),
            "liquidate_last",
        )

    @extend_schema_field(serializers.ListField(child=serializers.DictField(child=serializers.CharField())))
    def get_liquidate_last(self, row: models.Account) -> list[dict[str, str]]:
        return list(row.liquidate_last)


class AccountFilters(filters.FilterSet):
    client = filters.CharFilter("client__code")
    agreement = filters.CharFilter("agreement")
    base_currency = filters.CharFilter("base_currency")
    closed = wire.YesNoFilter("closed_on", "isnull", exclude=True)


class Accounts(viewsets.ReadOnlyModelViewSet[models.Account]):
    """Where positions are held and margin is measured."""

    queryset = models.Account.objects.select_related("client", "margined_with")
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


POSITION_COLUMNS = {
    "account": strict.column(strict.code, length=24),
    "instrument": strict.column(strict.code, length=48),
    "quantity": wire.quantity(),
    "cost": wire.amount(optional=True),
}
POSITIONS_ABOUT = {"effective_at": strict.column(strict.instant, optional=True)}


class LoadedPositions(serializers.Serializer[Any]):
    """A statement of positions that was taken."""

    book_load = serializers.IntegerField()
    rows = serializers.IntegerField()
    effective_at = wire.Instant()


class Positions(viewsets.ReadOnlyModelViewSet[models.Position]):
    """What each account holds now; negative is short, or borrowed cash."""

    queryset = models.Position.objects.select_related("account", "instrument")
    serializer_class = PositionRows
    filterset_class = PositionFilters
    lookup_value_regex = "[0-9]+"
    ordering = ("account", "instrument")
    ordering_fields = ("account", "instrument", "quantity")
    write_scope = "positions:write"

    @wire.documented(
        POSITION_COLUMNS,
        about=POSITIONS_ABOUT,
        answer=LoadedPositions,
        sent={
            "effective_at": "2008-09-02T20:00:00Z",
            "rows": [
                {"account": "A-1001", "instrument": "AIG", "quantity": "12000", "cost": "258000.00"},
                {"account": "A-1001", "instrument": "IWM", "quantity": "-4000"},
            ],
        },
        answered={"book_load": 7, "rows": 2, "effective_at": "2008-09-02T20:00:00Z"},
        quantity="What is held from then on, not a change; negative is short, or borrowed cash",
        cost="What was paid for all of it, with the sign of the quantity; left out: unknown",
        effective_at="When it was so; left out: now",
    )
    def create(self, request: Request) -> Response:
        """State what accounts hold, all or nothing. Positions that the batch does not name stay as they are."""
        rows, said = wire.batch(request.data, POSITION_COLUMNS, POSITIONS_ABOUT)
        at = timezone.now()
        effective_at = said["effective_at"] or at
        empty = {**dict.fromkeys(books.COLUMNS), "record": "position"}
        loaded = positions.load_rows(
            [strict.Row(row.number, {**empty, **row.values}) for row in rows],
            at=at,
            effective_at=effective_at,
            sha256=digest(effective_at, rows),
            file_name=f"API, {request.user}",
        )
        taken = LoadedPositions({"book_load": loaded.pk, "rows": loaded.row_count, "effective_at": loaded.effective_at})
        return Response(taken.data, status=status.HTTP_201_CREATED)


def digest(effective_at: datetime, rows: Collection[strict.Row]) -> str:
    """Of what is stated and for when: the same statement is taken once, however often it is sent."""
    lines = [f"{name}={value}" for row in rows for name, value in row.values.items()]
    return hashlib.sha256("\n".join([effective_at.isoformat(), *lines]).encode()).hexdigest()


class FillRows(wire.Rows):
    account = wire.code("account.code")
    instrument = wire.code("instrument.code")

    class Meta:
        model = models.Fill
        fields = (
            *("id", "account", "instrument", "source", "external_reference", "quantity", "price", "fee"),
            *("traded_at", "settles_on", "reverses", "recorded_at"),
        )


class StoredRows(serializers.Serializer[Any]):
    """The stored rows, in the order sent. A row that was there already has the id it had."""

    ids = serializers.ListField(child=serializers.IntegerField())


def stored(rows: Iterable[Any]) -> Response:
    return Response({"ids": [row.pk for row in rows]}, status=status.HTTP_201_CREATED)


def known(model: Any, rows: Collection[strict.Row], field: str) -> dict[str, int]:
    """The ids of the codes that the rows name in `field`; Refused with every row whose code is unknown."""
    codes = {row.values[field] for row in rows}
    ids: dict[str, int] = dict(model.objects.filter(code__in=codes).values_list("code", "pk"))
    problems = strict.Problems()
    for row in rows:
        if row.values[field] not in ids:
            problems.add(row.number, field, f"there is no {field} {strict.shown(row.values[field])}")
    problems.check()
    return ids


FILL_COLUMNS = {
    "account": strict.column(strict.code, length=24),
    "instrument": strict.column(strict.code, length=48),
    "source": strict.column(strict.code, length=32),
    "external_reference": strict.column(strict.code, length=80),
    "quantity": wire.quantity(),
    "price": wire.price(),
    "fee": wire.amount(optional=True, default=Decimal(0)),
    "traded_at": strict.column(strict.instant),
    "settles_on": strict.column(strict.date, optional=True),
}


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
    write_scope = "fills:write"

    @wire.documented(
        FILL_COLUMNS,
        answer=StoredRows,
        sent={
            "rows": [
                {
                    "account": "A-1001",
                    "instrument": "AIG",
                    "source": "oms",
                    "external_reference": "T-2008-000417",
                    "quantity": "-500",
                    "price": "4.76",
                    "fee": "2.50",
                    "traded_at": "2008-09-15T19:58:03Z",
                    "settles_on": "2008-09-18",
                }
            ]
        },
        answered={"ids": [417]},
        external_reference="Unique within its source; the same fill again is harmless",
        quantity="Bought is positive, sold is negative",
        price="As quoted, in the instrument's currency",
        fee="In the instrument's currency; nothing where left out",
    )
    def create(self, request: Request) -> Response:
        """Book executed trades, all or nothing: each moves its instrument and its cash once."""
        rows, _ = wire.batch(request.data, FILL_COLUMNS)
        accounts, instruments = known(models.Account, rows, "account"), known(Instrument, rows, "instrument")
        given = [
            models.Fill(
                **{name: value for name, value in row.values.items() if name not in ("account", "instrument")},
                account_id=accounts[row.values["account"]],
                instrument_id=instruments[row.values["instrument"]],
            )
            for row in rows
        ]
        return stored(fills.apply_fills(given, at=timezone.now()))


class CashMovementRows(wire.Rows):
    account = wire.code("account.code")
    currency = wire.code("currency.currency")

    class Meta:
        model = models.CashMovement
        fields = (
            *("id", "account", "currency", "kind", "amount", "source", "external_reference", "effective_at"),
            *("reverses", "note", "recorded_at"),
        )


MOVEMENT_COLUMNS = {
    "account": strict.column(strict.code, length=24),
    "currency": strict.column(strict.code, length=12),
    "kind": strict.column(strict.choice, of=models.CashMovement.Kind.values),
    "amount": wire.amount(),
    "source": strict.column(strict.code, length=32),
    "external_reference": strict.column(strict.code, length=80),
    "effective_at": strict.column(strict.instant),
    "note": strict.column(strict.words, length=200, optional=True, default=""),
}


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
    write_scope = "cash:write"

    @wire.documented(
        MOVEMENT_COLUMNS,
        answer=StoredRows,
        sent={
            "rows": [
                {
                    "account": "A-1001",
                    "currency": "USD",
                    "kind": "deposit",
                    "amount": "25000.00",
                    "source": "bank",
                    "external_reference": "FT-8841",
                    "effective_at": "2008-09-16T14:00:00Z",
                    "note": "Wire for MC-1042",
                },
                {
                    "account": "A-1002",
                    "currency": "JPY",
                    "kind": "withdrawal",
                    "amount": "-150000",
                    "source": "bank",
                    "external_reference": "FT-8842",
                    "effective_at": "2008-09-16T14:00:00Z",
                },
            ]
        },
        answered={"ids": [981, 982]},
        currency="One that has a cash instrument",
        amount="Into the account is positive, so a withdrawal is negative; whole smallest units",
        external_reference="Unique within its source; the same movement again is harmless",
    )
    def create(self, request: Request) -> Response:
        """Record money that moved, all or nothing; each external reference counts once."""
        rows, _ = wire.batch(request.data, MOVEMENT_COLUMNS)
        accounts, currencies = known(models.Account, rows, "account"), currencies_of(rows)
        given = [
            models.CashMovement(
                **{name: value for name, value in row.values.items() if name not in ("account", "currency")},
                account_id=accounts[row.values["account"]],
                currency=currencies[row.values["currency"]],
            )
            for row in rows
        ]
        return stored(cash.post(given, at=timezone.now()))


def currencies_of(rows: Collection[strict.Row]) -> dict[str, Instrument]:
    """The cash instruments of the currencies the rows name; Refused with every row whose currency has none."""
    wanted = {row.values["currency"] for row in rows}
    there = set(Instrument.objects.filter(kind=Kind.CASH, currency__in=wanted).values_list("currency", flat=True))
    problems = strict.Problems()
    for row in rows:
        if row.values["currency"] not in there:
            problems.add(row.number, "currency", f"there is no cash in {strict.shown(row.values['currency'])}")
    problems.check()
    return cash.instruments(wanted)
