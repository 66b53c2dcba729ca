"""The reconciliation gate: a short file must not make a call look met (fault P10).

Positions that go by a book load, without a trade, may be a truncated file. Until a person has looked, or a later load
brings them back, what looks better in such an account is not believed: its calls stay open, its warnings too.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal

from django.db import connection

from accounts.models import Account
from margin import watch
from margin.actors import Actor
from margin.calls import Refused
from margin.engine.exact import exactly
from margin.models import Alarm, Reconciliation
from margin.snapshot import Snapshot

ALARM = "unreconciled"
MAY_CONFIRM = ("Operations", "Supervisor")
# What book loads changed, in all, since the first open call or warning of an account and since a person last looked:
# (account, instrument, change, held now).
CHANGED = """
SELECT f.account_id, f.instrument_id, sum(f.change),
       coalesce((SELECT p.quantity FROM accounts_position p
                 WHERE p.account_id = f.account_id AND p.instrument_id = f.instrument_id), 0)
FROM accounts_positionfact f
JOIN (
    SELECT account_id, min(since) AS since FROM (
        SELECT account_id, issued_at AS since FROM margin_margincall
        WHERE state IN ('issued', 'escalated') AND account_id = ANY (%(accounts)s)
        UNION ALL
        SELECT account_id, raised_at FROM margin_warning WHERE cleared_at IS NULL AND account_id = ANY (%(accounts)s)
    ) opened GROUP BY account_id
) o ON o.account_id = f.account_id
LEFT JOIN (
    SELECT account_id, max(confirmed_at) AS confirmed_at FROM margin_reconciliation GROUP BY account_id
) r ON r.account_id = f.account_id
WHERE f.cause = 'book' AND f.effective_at > o.since AND (r.confirmed_at IS NULL OR f.effective_at > r.confirmed_at)
GROUP BY f.account_id, f.instrument_id HAVING sum(f.change) <> 0
"""


def unreconciled(snap: Snapshot, account_ids: Iterable[int]) -> set[int]:
    """Which of these accounts lost more than their policy's share of what they held by book loads; alarms follow."""
    listed = list(account_ids)
    with connection.cursor() as cursor:
        cursor.execute(CHANGED, {"accounts": listed})
        changed = cursor.fetchall()
    gone: dict[int, Decimal] = defaultdict(Decimal)
    for account_id, instrument_id, change, now in changed:
        lost = max(Decimal(0), abs(now - change) - abs(now))
        gone[account_id] += lost * _worth(snap, instrument_id)
    found = {account for account, lost in gone.items() if lost > 0 and _share(snap, account, lost)}
    _alarm(found, listed, snap.at)
    return found


def confirm(account: Account, *, reason: str, at: datetime, actor: Actor) -> Reconciliation:
    """A person has looked: the book is whole, and what the account shows may be believed again."""
    if actor.role not in MAY_CONFIRM or actor.user_id is None:
        raise Refused(f"{actor.name} ({actor.role or 'no role'}) may not confirm a book; it takes Operations")
    if not reason.strip():
        raise Refused("a reason is needed: say what was compared")
    watch.clear_alarm(ALARM, account.code, at=at)
    return Reconciliation.objects.create(
        account=account, confirmed_by_id=actor.user_id, confirmed_at=at, reason=reason[:400]
    )


def _worth(snap: Snapshot, instrument_id: int) -> Decimal:
    """What one unit counts for here: its price in its own currency; cash at one. Enough to compare shares."""
    price = snap.prices.prices.get(instrument_id)
    return abs(price.mark) if price and price.mark is not None else Decimal(1)


def _share(snap: Snapshot, account_id: int, lost: Decimal) -> bool:
    (row,) = (snap.book.accounts == account_id).nonzero()[0]
    held = slice(int(snap.book.offsets[row]), int(snap.book.offsets[row + 1]))
    with exactly():
        exposure = lost
        for position in range(held.start, held.stop):
            quantity = Decimal(int(snap.book.quantity[position])).scaleb(-int(snap.book.decimals[position]))
            exposure += abs(quantity) * _worth(snap, int(snap.instruments.ids[snap.book.instrument[position]]))
        return lost > snap.reading(int(row)).terms.reconcile_rate * exposure


def _alarm(found: Collection[int], looked_at: Collection[int], at: datetime) -> None:
    """One open alarm for each account in doubt, and none for those that are whole again."""
    for code in Account.objects.filter(pk__in=found).values_list("code", flat=True):
        message = (
            f"account {code}: positions went by a book load without a trade; its calls and warnings stay open until the"
            " book is loaded whole or confirmed"
        )
        watch.raise_alarm(ALARM, code, message, at=at)
    alarmed = Alarm.objects.filter(kind=ALARM, cleared_at=None).values_list("subject", flat=True)
    whole = Account.objects.filter(pk__in=looked_at, code__in=list(alarmed)).exclude(pk__in=found)
    for code in whole.values_list("code", flat=True):
        watch.clear_alarm(ALARM, code, at=at)
