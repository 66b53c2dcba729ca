"""Who of a client is told, and at which address: brought up to date by people, with the reason in the change log.

Notices written before a change keep the address they were written to; a failed one may be sent again from its page.
"""

from typing import Any

import pghistory
from django.db import transaction

from accounts import books
from accounts.models import Client, Contact
from market import strict

ROLES = ("Operations", "Supervisor")
"""Who may say where a client is reached."""


class BadContact(ValueError):
    """The contact cannot be so; the message says why and what to do."""


def state(
    client: Client,
    *,
    email: str,
    reason: str,
    by: str,
    new_email: str = "",
    name: str = "",
    phone: str | None = None,
    language: str | None = None,
    receives_notices: bool | None = None,
) -> Contact:
    """Bring the client's contact of the address `email` up to date, or add it; what is not said stays as it is.

    `new_email` takes the place of its address. Raises BadContact: without a reason, for an address that is not one
    plain mailbox or is another contact's, for a new contact without a name.
    """
    if not reason.strip():
        raise BadContact(f"client {client.code}: say why its contact changes")
    said = {"phone": phone, "language": language, "receives_notices": receives_notices, "name": name or None}
    values: dict[str, Any] = {column: value for column, value in said.items() if value is not None}
    if new_email:
        values["email"] = _address(new_email)
    with transaction.atomic(), pghistory.context(reason=reason.strip(), by=by):
        Client.objects.select_for_update().get(pk=client.pk)
        found = Contact.objects.filter(client=client, email=email).first()
        if found is None:
            return _added(client, email, values)
        if new_email and Contact.objects.filter(client=client, email=new_email).exclude(pk=found.pk).exists():
            raise BadContact(f"client {client.code} has another contact at {new_email}; change that one")
        for column, value in values.items():
            setattr(found, column, value)
        found.save()
    return found


def _added(client: Client, email: str, values: dict[str, Any]) -> Contact:
    if "email" in values:
        raise BadContact(f"client {client.code} has no contact at {email}; look at the client's contacts")
    if "name" not in values:
        raise BadContact(f"client {client.code} has no contact at {email}; to add one, say its name")
    return Contact.objects.create(client=client, **{**values, "email": _address(email)})


def _address(email: str) -> str:
    try:
        return books.email(email, field="email")
    except strict.Refused as refusal:
        raise BadContact(str(refusal)) from None
