"""What calls come to together: no euro of an account is counted twice.

The regimes of an account measure the same equity, so money clears all of them at once: the greatest counts, not the
sum. Calls of one regime are different: each deposit counts once in a regime, so those add up.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from margin.models import MarginCall


def to_clear(calls: Iterable[MarginCall]) -> Decimal:
    """The cash that clears the open ones of these calls, in their one currency; calls of several accounts add up.

    Raises ValueError where they are in several currencies: `to_clear_by_currency` tells those apart.
    """
    found = to_clear_by_currency(calls)
    if len(found) > 1:
        raise ValueError(f"these calls are in {', '.join(sorted(found))}; add them up by currency")
    return next(iter(found.values()), Decimal(0))


def to_clear_by_currency(calls: Iterable[MarginCall]) -> dict[str, Decimal]:
    """As `to_clear`, by currency; nothing where no call is open."""
    regimes: dict[tuple[str, int, str], Decimal] = defaultdict(Decimal)
    for call in calls:
        if call.is_open:
            regimes[call.currency, call.account_id, call.regime] += call.amount_outstanding
    accounts: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for (currency, account, _), amount in regimes.items():
        accounts[currency, account] = max(accounts[currency, account], amount)
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for (currency, _), amount in accounts.items():
        totals[currency] += amount
    return dict(totals)
