"""Agreements and disclosures on the wire: versions, and who was given them or agreed to them."""

from django.utils import timezone
from django_filters import rest_framework as filters
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import documents, models
from accounts.api import StoredRows, known, stored
from accounts.models import Client, Document, DocumentReceipt
from market import strict, wire

OF = {
    "kind": strict.column(strict.choice, of=tuple(Document.Kind.values)),
    "agreement": strict.column(strict.code, length=48, optional=True, default=""),
    "version": strict.column(strict.code, length=40),
}
DOCUMENT_COLUMNS = {
    **OF,
    "effective_at": strict.column(strict.instant),
    "sha256": strict.column(documents.sha256),
    "location": strict.column(strict.words, length=300),
    "needs_acceptance": strict.column(strict.boolean, optional=True, default=False),
    "is_yearly": strict.column(strict.boolean, optional=True, default=False),
}
RECEIPT_COLUMNS = {
    "client": strict.column(strict.code, length=24),
    **OF,
    "act": strict.column(strict.choice, of=tuple(DocumentReceipt.Act.values)),
    "channel": strict.column(strict.choice, of=tuple(DocumentReceipt.Channel.values)),
    "at": strict.column(strict.instant),
    "source": strict.column(strict.code, length=32),
    "external_reference": strict.column(strict.code, length=80),
}


class DocumentRows(wire.Rows):
    class Meta:
        model = models.Document
        fields = (
            *("id", "kind", "agreement", "version", "effective_at", "sha256", "location", "needs_acceptance"),
            *("is_yearly", "entered_by", "recorded_at"),
        )


class DocumentFilters(filters.FilterSet):
    kind = wire.one_of("kind", Document.Kind.choices)
    agreement = filters.CharFilter("agreement")
    version = filters.CharFilter("version")


class Documents(viewsets.ReadOnlyModelViewSet[Document]):
    """Versions of agreements and disclosures that clients are given."""

    queryset = Document.objects.all()
    serializer_class = DocumentRows
    filterset_class = DocumentFilters
    lookup_value_regex = "[0-9]+"
    ordering = ("-effective_at", "-pk")
    ordering_fields = ("effective_at", "recorded_at")
    write_scope = "documents:write"

    @wire.documented(
        DOCUMENT_COLUMNS,
        answer=StoredRows,
        sent={
            "rows": [
                {
                    "kind": "margin_disclosure", "version": "2026-01", "effective_at": "2026-01-05T14:00:00Z",
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "location": "https://documents.example/margin-disclosure-2026-01.pdf", "is_yearly": True,
                }
            ]
        },
        answered={"ids": [4]},
        agreement="Owed to clients with an account of this agreement; left out: to every client",
        sha256="Of the text, in lower-case hexadecimal",
        needs_acceptance="Being given it is not enough, the client agrees to it",
        is_yearly="Given again in each calendar year",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        """Enter versions, all or nothing; the same version again is harmless."""
        rows, _ = wire.batch(request.data, DOCUMENT_COLUMNS)
        return stored([documents.publish(Document(**row.values, entered_by=str(request.user))) for row in rows])


class ReceiptRows(wire.Rows):
    client = wire.code("client.code")
    kind = wire.code("document.kind")
    agreement = wire.code("document.agreement")
    version = wire.code("document.version")
    entered_by = wire.code("entered_by.username", allow_null=True)

    class Meta:
        model = models.DocumentReceipt
        fields = (
            *("id", "client", "document", "kind", "agreement", "version", "act", "channel", "at", "source"),
            *("external_reference", "entered_by", "recorded_at"),
        )


class ReceiptFilters(filters.FilterSet):
    client = filters.CharFilter("client__code")
    document = wire.IdFilter("document")
    kind = wire.one_of("document__kind", Document.Kind.choices)
    external_reference = filters.CharFilter("external_reference")
    at_from = wire.since("at")
    at_before = wire.before("at")


class DocumentReceipts(viewsets.ReadOnlyModelViewSet[DocumentReceipt]):
    """What clients were given, agreed to or took back."""

    queryset = DocumentReceipt.objects.select_related("client", "document", "entered_by")
    serializer_class = ReceiptRows
    filterset_class = ReceiptFilters
    lookup_value_regex = "[0-9]+"
    ordering = ("-at", "-pk")
    ordering_fields = ("at", "recorded_at")
    write_scope = "documents:write"

    @wire.documented(
        RECEIPT_COLUMNS,
        answer=StoredRows,
        sent={
            "rows": [
                {
                    "client": "C-1001", "kind": "margin_disclosure", "version": "2026-01", "act": "given",
                    "channel": "email", "at": "2026-01-12T15:00:00Z", "source": "mailing",
                    "external_reference": "MDS-2026-C-1001",
                }
            ]
        },
        answered={"ids": [118]},
        act="given, accepted, or revoked: taken back",
        external_reference="Unique within its source; the same receipt again is harmless",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        """Keep receipts, all or nothing."""
        rows, _ = wire.batch(request.data, RECEIPT_COLUMNS)
        clients = known(Client, rows, "client")
        named = {(one.kind, one.agreement, one.version): one for one in Document.objects.all()}
        problems, given = strict.Problems(), []
        for row in rows:
            values = dict(row.values)
            key = values.pop("kind"), values.pop("agreement"), values.pop("version")
            if key not in named:
                problems.add(
                    row.number, "version", f"there is no version {key[2]} of {' '.join(filter(None, key[:2]))}"
                )
                continue
            given.append(DocumentReceipt(client_id=clients[values.pop("client")], document=named[key], **values))
        problems.check()
        return stored(documents.record(given, at=timezone.now()))
