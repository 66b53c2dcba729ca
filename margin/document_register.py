"""The register of agreements and disclosures: which clients have which version, and who lacks the one in force."""

from collections.abc import Sequence
from datetime import timedelta

from accounts import documents
from accounts.models import Account, Client
from margin.register_sheets import Cell, Sheet, Span

DOCUMENTS = (
    *("client", "accounts", "document", "agreement", "lacking", "version_in_force", "version_held", "due_again_on"),
    *("given_at", "accepted_at", "in_force_since"),
)


def documents_held(span: Span) -> Sheet:
    """Each document that each client with an open account is owed at the end of the span, and what it lacks."""
    at = span.end - timedelta(microseconds=1)
    found = list(documents.owed(None, at=at, zone=span.zone))
    names = dict(Client.objects.filter(pk__in={one.client_id for one in found}).values_list("pk", "code"))
    accounts = _accounts(list(names))
    rows: list[tuple[Cell, ...]] = [
        (
            *(names[one.client_id], accounts[one.client_id], one.current.get_kind_display(), one.current.agreement),
            *(one.lack, one.current.version, one.held.version if one.held else "", one.due_on),
            *(one.given_at, one.accepted_at, one.current.effective_at),
        )
        for one in found
    ]
    lacking = len({one.client_id for one in found if one.lack})
    note = f"{len(names)} clients with an open account at the end of {span}; {lacking} lack something or are due again."
    return Sheet("documents", f"Agreements and disclosures, {span}", DOCUMENTS, tuple(rows), note)


def _accounts(clients: Sequence[int]) -> dict[int, str]:
    """Client → the codes of its accounts."""
    found: dict[int, list[str]] = {client: [] for client in clients}
    accounts = Account.objects.filter(client__in=clients).order_by("code")
    for client, code in accounts.values_list("client", "code"):
        found[client].append(code)
    return {client: ", ".join(codes) for client, codes in found.items()}
