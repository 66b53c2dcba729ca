"""Agreements and disclosures of the demonstration: most clients have what they are owed, some lack a version."""

import hashlib
from datetime import datetime, timedelta

from accounts import documents
from accounts.models import Client, Document, DocumentReceipt

Act, Channel = DocumentReceipt.Act, DocumentReceipt.Channel
SOURCE = "demo-mailing"
WRITTEN = (  # kind, agreement, version, days before today from which it is in force, needs acceptance, is yearly
    (Document.Kind.MARGIN_AGREEMENT, "us_margin", "2019-04", 2000, True, False),
    (Document.Kind.MARGIN_AGREEMENT, "us_margin", "2026-02", 90, True, False),
    (Document.Kind.MARGIN_DISCLOSURE, "us_margin", "2264-3", 2000, False, True),
    (Document.Kind.EMAIL_CONSENT, "", "1", 2000, True, False),
)


def hand_out(*, at: datetime) -> None:
    """Publish the texts and give them to the clients: every fourth has the old agreement only, every fifth a
    disclosure of the year before last, every seventh did not agree to notices by e-mail."""
    known = [_text(*one, at=at) for one in WRITTEN]
    given = [
        _receipt(client, document, at=at - timedelta(days=days))
        for place, client in enumerate(_clients(), start=1)
        for document, days in zip(known, (1500, 60, 800 if place % 5 == 0 else 40, 1500), strict=True)
        if not (document is known[1] and place % 4 == 0) and not (document is known[3] and place % 7 == 0)
        if not document.agreement or client.accounts.filter(agreement=document.agreement).exists()
    ]
    documents.record(given, at=at)


def _clients() -> list[Client]:
    return list(Client.objects.filter(is_counterparty=False).order_by("code"))


def _text(
    kind: Document.Kind,
    agreement: str,
    version: str,
    days: int,
    needs_acceptance: bool,
    is_yearly: bool,
    *,
    at: datetime,
) -> Document:
    location = f"{kind}-{version}.pdf"
    text = Document(
        kind=kind, agreement=agreement, version=version, effective_at=at - timedelta(days=days),
        sha256=hashlib.sha256(location.encode()).hexdigest(), location=location, needs_acceptance=needs_acceptance,
        is_yearly=is_yearly, entered_by="compliance",
    )  # fmt: skip
    return documents.publish(text)


def _receipt(client: Client, document: Document, *, at: datetime) -> DocumentReceipt:
    return DocumentReceipt(
        client=client, document=document, act=Act.ACCEPTED if document.needs_acceptance else Act.GIVEN,
        channel=Channel.ONLINE, at=at, source=SOURCE, external_reference=f"{document.pk}-{client.code}",
    )  # fmt: skip
