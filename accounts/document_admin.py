"""Pages of agreements and disclosures: versions, and who was given them. Entered by forms of the desk."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.models import Document, DocumentReceipt
from market import figures
from market.faces import ReadOnlyAdmin, Table, at_column, column, link

MOST = 50

client = column("client", lambda row: row.client.code, ordering="client__code")


@admin.register(Document)
class DocumentAdmin(ReadOnlyAdmin):
    list_display = ("kind", "agreement", "version", at_column("effective_at"), "needs_acceptance", "is_yearly")
    list_filter = ("kind", "agreement")
    search_fields = ("version", "location", "sha256")
    change_form_template = "desk/document.html"

    def tables(self, request: HttpRequest, obj: Document) -> list[Table]:
        told = DocumentReceipt.objects.filter(document=obj).select_related("client")[:MOST]
        return [
            Table(
                f"Latest {MOST} receipts",
                ("when", "client", "what", "by"),
                [
                    (figures.instant(one.at), link(request, one.client, one.client.code), one.get_act_display(),
                     one.get_channel_display())
                    for one in told
                ],
                empty="No client was given it.",
            )
        ]  # fmt: skip


@admin.register(DocumentReceipt)
class DocumentReceiptAdmin(ReadOnlyAdmin):
    list_display = (at_column("at"), client, "document", "act", "channel", "source", "external_reference")
    list_filter = ("act", "channel", "document__kind")
    list_select_related = ("client", "document")
    search_fields = ("client__code", "client__name", "external_reference")


def of_client(request: HttpRequest, obj: Any) -> Table:
    """What a client was given, on its page."""
    told = DocumentReceipt.objects.filter(client=obj).select_related("document")[:MOST]
    return Table(
        "Agreements and disclosures",
        ("when", "document", "what", "by"),
        [
            (figures.instant(one.at), link(request, one.document, str(one.document)), one.get_act_display(),
             one.get_channel_display())
            for one in told
        ],
        empty="It was given none; the register of documents says which it is owed.",
    )  # fmt: skip
