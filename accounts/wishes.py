"""What a client wants sold last when a call is not met: instruments, or whole kinds of them, in an order.

A wish binds nobody: the account's policy says whether it is honoured. Who stated it, and why, stays in the account's
history.
"""

from collections.abc import Sequence
from datetime import datetime

import pghistory
from django.db import transaction

from accounts.models import Account
from market.models import Instrument, Kind

ROLES = ("Operations", "Supervisor")
"""Who may write down a client's wish."""
MOST = 20


class BadWish(ValueError):
    """The wish cannot be so; the message says why."""


def state(account: Account, keep: Sequence[str], *, reason: str, by: str, at: datetime) -> Account:
    """Keep these the longest, the first of them longest of all: codes of instruments, or kinds such as "etf".

    An empty list takes the wish back. What is named again keeps its day. Raises BadWish: for a name that is neither,
    for one named twice, for cash, which is never sold, and without a reason.
    """
    if not reason.strip():
        raise BadWish(f"account {account.code}: say why its wish changes")
    _check(account, keep)
    with transaction.atomic(), pghistory.context(reason=reason.strip(), by=by):
        locked = Account.objects.select_for_update().get(pk=account.pk)
        known = {entry["keep"]: entry for entry in locked.liquidate_last}
        new = {"since": at.isoformat(), "by": by}
        locked.liquidate_last = [known.get(name, {"keep": name, **new}) for name in keep]
        locked.save(update_fields=["liquidate_last"])
    return locked


def kept(account: Account) -> list[str]:
    """What the account's client wants kept, the first the longest."""
    return [entry["keep"] for entry in account.liquidate_last]


def _check(account: Account, keep: Sequence[str]) -> None:
    if len(keep) > MOST:
        raise BadWish(f"account {account.code}: at most {MOST} may be named")
    if len(set(keep)) != len(keep):
        raise BadWish(f"account {account.code}: each may be named once")
    kinds = set(Kind.values)
    codes = [name for name in keep if name not in kinds]
    stated = dict(Instrument.objects.filter(code__in=codes).values_list("code", "kind"))
    for name in keep:
        if name not in kinds and name not in stated:
            raise BadWish(f"account {account.code}: {name} is neither an instrument nor a kind of instruments")
        if stated.get(name, name) == Kind.CASH:
            raise BadWish(f"account {account.code}: {name} is cash, which is not sold")
