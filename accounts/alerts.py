"""A client's own warning level: an earlier word than the policy's, never a later one.

The level is equity ÷ requirement; who changed it and why stays in the account's history.
"""

from decimal import Decimal

import pghistory
from django.db import transaction

from accounts.models import Account

ROLES = ("Operations", "Supervisor", "Risk")
"""Who may state a client's level."""
LARGEST = Decimal(100)
PLACES = Decimal("0.0001")


class BadLevel(ValueError):
    """The level cannot be one; the message says why."""


def state(account: Account, level: Decimal | None, *, reason: str, by: str) -> Account:
    """Warn this account below `level` in every regime that warns; None leaves it to the policy alone.

    Raises BadLevel: a level lies above 1 (where the call is) and at most at 100, and a reason is needed.
    """
    if not reason.strip():
        raise BadLevel(f"account {account.code}: say why its warning level changes")
    if level is not None and not (level.is_finite() and 1 < level <= LARGEST and level == level.quantize(PLACES)):
        raise BadLevel(
            f"account {account.code}: {level} is no warning level; state equity ÷ requirement above 1 and at most"
            f" {LARGEST}, with up to four decimals"
        )
    with transaction.atomic(), pghistory.context(reason=reason.strip(), by=by):
        locked = Account.objects.select_for_update().get(pk=account.pk)
        locked.alert_rate = level
        locked.save(update_fields=["alert_rate"])
    return locked
