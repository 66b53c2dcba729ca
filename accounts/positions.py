"""Every way a position changes, under one roof.

    positions.load(path, at=at)                 a whole book, all or nothing                    (accounts.books)
    positions.apply_fill(account, ...)          an executed trade; `apply_fills` takes a list   (accounts.fills)
    positions.bust(fill, ...)                   a trade taken back
    positions.adjust(account, ...)              a correction by hand                            (accounts.adjustments)
    positions.apply_action(action, at=at)       a split, write-off or expiry; `apply_approved_actions` takes all
    positions.write(rows, ...)                  bare changes in bulk, for imports and generated books

Refused (with `problems`: row, field, reason) or its subclass Conflict is raised when nothing was changed.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from accounts import holdings
from accounts.adjustments import adjust, apply_action, apply_approved_actions
from accounts.books import load, load_rows
from accounts.fills import apply_fill, apply_fills, bust
from accounts.ledgers import Conflict
from accounts.models import Cause
from market.strict import Refused

__all__ = [
    "Conflict",
    "Refused",
    "adjust",
    "apply_action",
    "apply_approved_actions",
    "apply_fill",
    "apply_fills",
    "bust",
    "load",
    "load_rows",
    "write",
]


def write(
    rows: Iterable[tuple[int, int, Decimal, Decimal | None]], *, cause: Cause, reference: str, effective_at: datetime
) -> int:
    """Apply (account id, instrument id, change, cost paid or None) rows under one reference; how many facts came of it.

    A million rows go in by COPY. The rows are trusted: they come from our own code, checked where they came in.
    """
    changes = [
        holdings.Change(account, instrument, change, reference, effective_at, cost=cost)
        for account, instrument, change, cost in rows
    ]
    return holdings.write(changes, cause=cause)
