"""The desk's pages of clients and their books: read here, changed by fills, cash movements and book loads alone."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.document_admin import of_client
from accounts.models import Account, Adjustment, BookLoad, CashMovement, Client, Contact, Fill, Position, PositionFact
from market import figures
from market.faces import ReadOnlyAdmin, Table, at_column, column, link

RECENT = 20

account = column("account", lambda row: row.account.code, ordering="account__code")
instrument = column("instrument", lambda row: row.instrument.code, ordering="instrument__code")


def quote_of(row: Any) -> Any:
    return getattr(row.instrument, "quote", None)


def value(position: Any) -> Any:
    """Quantity × mark × multiplier in the instrument's currency; cash is worth itself. For reading, not for margin."""
    held = position.instrument
    if held.kind == "cash":
        return figures.amount(position.quantity, held.currency)
    quote = quote_of(position)
    if quote is None:
        return figures.missing("no quote was ever accepted: the account is unpriced")
    worth = position.quantity * quote.mark * held.multiplier / held.price_divisor
    return figures.amount(worth, held.currency)


def mark(position: Any) -> Any:
    if position.instrument.kind == "cash":
        return figures.missing("cash is worth itself")
    quote = quote_of(position)
    return figures.price(quote.mark if quote else None, position.instrument.currency)


@admin.register(Client)
class ClientAdmin(ReadOnlyAdmin):
    list_display = ("code", "name", "language", "time_zone", "is_counterparty", at_column("created_at"))
    list_filter = ("language", "is_counterparty")
    search_fields = ("code", "name", "contacts__email")
    change_form_template = "desk/client.html"

    def tables(self, request: HttpRequest, obj: Client) -> list[Table]:
        contacts = Contact.objects.filter(client=obj)
        accounts = Account.objects.filter(client=obj)
        return [
            Table(
                "Accounts",
                ("account", "agreement", "base currency", "opened"),
                [(link(request, a, a.code), a.agreement, a.base_currency, a.opened_on) for a in accounts],
                empty="This client has no account.",
            ),
            Table(
                "Contacts",
                ("name", "e-mail", "phone", "language", "receives notices"),
                [
                    (
                        c.name,
                        c.email,
                        c.phone or figures.missing("no phone"),
                        c.language or obj.language,
                        "yes" if c.receives_notices else "no",
                    )
                    for c in contacts
                ],
                empty="Nobody is told: notices of this client's calls will be marked failed. Load a contact.",
            ),
            of_client(request, obj),
        ]


@admin.register(Contact)
class ContactAdmin(ReadOnlyAdmin):
    list_display = ("name", "client", "email", "phone", "receives_notices")
    list_filter = ("receives_notices",)
    search_fields = ("name", "email", "client__name", "client__code")
    list_select_related = ("client",)


@admin.register(Position)
class PositionAdmin(ReadOnlyAdmin):
    list_display = (
        column("position", lambda row: f"{row.account.code} · {row.instrument.code}", ordering="account__code"),
        column("figure_quantity", lambda row: figures.quantity(row.quantity), ordering="quantity"),
        column("figure_mark", mark),
        column("figure_value", value),
        column(
            "figure_cost",
            lambda row: figures.amount(row.cost, row.instrument.currency, why="what was paid is not known"),
        ),
    )
    list_filter = ("instrument__kind", "account__agreement")
    search_fields = ("account__code", "account__client__name", "instrument__code")
    list_select_related = ("account", "instrument__quote")


@admin.register(Fill)
class FillAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("traded_at"),
        account,
        instrument,
        column("figure_quantity", lambda row: figures.quantity(row.quantity), ordering="quantity"),
        column("figure_price", lambda row: figures.price(row.price, row.instrument.currency), ordering="price"),
        column("figure_fee", lambda row: figures.amount(row.fee, row.instrument.currency), ordering="fee"),
        "source",
        "external_reference",
    )
    list_filter = ("source",)
    search_fields = ("account__code", "instrument__code", "external_reference")
    list_select_related = ("account", "instrument")


@admin.register(CashMovement)
class CashMovementAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("effective_at"),
        account,
        "kind",
        column("figure_amount", lambda row: figures.amount(row.amount, row.currency.currency), ordering="amount"),
        "source",
        "external_reference",
        "note",
    )
    list_filter = ("kind", "source")
    search_fields = ("account__code", "external_reference", "note")
    list_select_related = ("account", "currency")


@admin.register(Adjustment)
class AdjustmentAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("effective_at"),
        account,
        instrument,
        column("figure_change", lambda row: figures.quantity(row.change), ordering="change"),
        "reason",
        "entered_by",
    )
    search_fields = ("account__code", "instrument__code", "reason")
    list_select_related = ("account", "instrument", "entered_by")


@admin.register(BookLoad)
class BookLoadAdmin(ReadOnlyAdmin):
    list_display = (
        "file_name",
        at_column("effective_at"),
        column("figure_rows", lambda row: figures.quantity(row.row_count), ordering="row_count"),
        column("figure_quantity_total", lambda row: figures.quantity(row.quantity_total)),
        column("sha256", lambda row: f"{row.sha256[:12]}…"),
        "loaded_by",
    )
    search_fields = ("file_name", "sha256")
    list_select_related = ("loaded_by",)


@admin.register(PositionFact)
class PositionFactAdmin(ReadOnlyAdmin):
    list_display = (
        at_column("effective_at"),
        account,
        instrument,
        column("figure_change", lambda row: figures.quantity(row.change), ordering="change"),
        column("figure_quantity", lambda row: figures.quantity(row.quantity), ordering="quantity"),
        "cause",
        "reference",
        at_column("recorded_at"),
    )
    list_filter = ("cause",)
    show_full_result_count = False
    search_fields = ("account__code", "instrument__code", "reference")
    list_select_related = ("account", "instrument")


def holdings(request: HttpRequest, obj: Account) -> Table:
    held = Position.objects.filter(account=obj).exclude(quantity=0).select_related("instrument__quote")
    return Table(
        "Positions",
        ("instrument", "kind", "quantity", "mark", "value", "cost"),
        [
            (
                link(request, row.instrument, row.instrument.code),
                row.instrument.get_kind_display(),
                figures.quantity(row.quantity),
                mark(row),
                value(row),
                figures.amount(row.cost, row.instrument.currency, why="what was paid is not known"),
            )
            for row in held.order_by("instrument__code")
        ],
        empty="The account holds nothing.",
    )


def movements(obj: Account) -> list[Table]:
    fills = Fill.objects.filter(account=obj).select_related("instrument").order_by("-traded_at", "-id")[:RECENT]
    cash = CashMovement.objects.filter(account=obj).select_related("currency").order_by("-effective_at", "-id")[:RECENT]
    return [
        Table(
            f"Latest {RECENT} cash movements",
            ("effective", "kind", "amount", "source", "reference", "note"),
            [
                (
                    figures.instant(row.effective_at),
                    row.get_kind_display(),
                    figures.amount(row.amount, row.currency.currency),
                    row.source,
                    row.external_reference,
                    row.note,
                )
                for row in cash
            ],
            empty="No money has moved.",
        ),
        Table(
            f"Latest {RECENT} fills",
            ("traded", "instrument", "quantity", "price", "fee", "source", "reference"),
            [
                (
                    figures.instant(row.traded_at),
                    row.instrument.code,
                    figures.quantity(row.quantity),
                    figures.price(row.price, row.instrument.currency),
                    figures.amount(row.fee, row.instrument.currency),
                    row.source,
                    row.external_reference,
                )
                for row in fills
            ],
            empty="No trade has been filled.",
        ),
    ]
