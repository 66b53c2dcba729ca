"""What a client was written, and what providers said of its addresses, taken out of this room.

That a notice was sent, when, of which template and with what outcome stays; so does the hash of what it said.
"""

from django.db import connection
from django.db.models import Q

from accounts import forgetting
from accounts.models import Client
from notifications.models import Delivery, Notice


def forget(client: Client, said: str) -> None:
    """Put `said` in the place of every letter to the client."""
    mine = Notice.objects.filter(Q(event__account__client=client) | Q(contact__client=client))
    ids = list(mine.values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute("SELECT notifications_forget_answers(%s, %s)", [ids, said])
    Delivery.objects.filter(notice__in=ids).update(report={"erased": said})
    mine = Notice.objects.filter(pk__in=ids)
    mine.update(subject=said, text=said, html=said, last_error="")
    for notice in mine.exclude(to_address=""):
        Notice.objects.filter(pk=notice.pk).update(to_address=forgetting.address(notice.contact_id or 0))
