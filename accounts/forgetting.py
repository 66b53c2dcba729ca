"""A client's names and addresses taken out of this room, with the changes that show what they were.

The caller has recorded, in this transaction, an erasure that two people decided (`margin.retention`).
"""

import pgtrigger
from django.apps import apps
from django.db import connection

from accounts.models import Account, Client, Contact

CHANGES = ("ClientChange", "AccountChange", "ContactChange")
CONTEXTS = """
UPDATE pghistory_context SET metadata = '{}' WHERE id IN (
    SELECT pgh_context_id FROM accounts_clientchange WHERE pgh_obj_id = %(client)s
    UNION SELECT pgh_context_id FROM accounts_contactchange WHERE client_id = %(client)s
    UNION SELECT pgh_context_id FROM accounts_accountchange WHERE client_id = %(client)s
)
"""


def forget(client: Client, said: str) -> None:
    """Put `said` ("erased on …") in the place of names, and an address that is nobody's in that of addresses."""
    Client.objects.filter(pk=client.pk).update(name=said)
    Account.objects.filter(client=client).exclude(name="").update(name=said)
    for contact in Contact.objects.filter(client=client):
        contact.name, contact.email, contact.phone = said, address(contact.pk), ""
        contact.receives_notices = False
        contact.save()
    change, account_change, contact_change = (apps.get_model("accounts", name) for name in CHANGES)
    with pgtrigger.ignore(*(f"accounts.{name}:append_only" for name in CHANGES)):
        change.objects.filter(pgh_obj_id=client.pk).update(name=said)
        account_change.objects.filter(client_id=client.pk).exclude(name="").update(name=said)
        contact_change.objects.filter(client_id=client.pk).update(name=said, email=address(0), phone="")
    with connection.cursor() as cursor:
        cursor.execute(CONTEXTS, {"client": client.pk})
        cursor.execute("SELECT accounts_forget_notes(%s, %s)", [client.pk, said])


def address(contact_id: int) -> str:
    """An address to which no mail can go (RFC 2606), one for each contact."""
    return f"erased-{contact_id}@erased.invalid"
