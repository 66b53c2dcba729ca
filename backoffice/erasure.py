"""A client is forgotten in every room at once, or in none."""

from datetime import datetime

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType

import accounts.forgetting
import notifications.forgetting
from accounts.models import Account, Client, Contact
from margin import retention
from margin.actors import Actor
from margin.models import Erasure


def carry_out(client: Client, *, at: datetime, actor: Actor) -> Erasure:
    """Erase the client as another person asked; it cannot be undone. Raises calls.CallError."""
    return retention.erase(client, forget=forget, at=at, actor=actor)


def forget(client: Client, said: str) -> None:
    """Take names, addresses and letters out of the rooms, and out of the log of what people did in the admin."""
    accounts.forgetting.forget(client, said)
    notifications.forgetting.forget(client, said)
    for rows in (
        Client.objects.filter(pk=client.pk),
        Contact.objects.filter(client=client),
        Account.objects.filter(client=client),
    ):
        logged = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(rows.model))
        logged.filter(object_id__in=[str(row.pk) for row in rows]).update(object_repr=said, change_message="")
