"""How long trades take to settle, by market and trade date: rows, so that an announced change needs no release."""

from datetime import date

from market.models import SettlementCycle
from market.strict import refuse


def known(code: str) -> tuple[tuple[date, int], ...]:
    """(first trade date, business days to settlement), ascending; empty for a market nobody recorded."""
    rows = SettlementCycle.objects.filter(code=code).order_by("effective_on", "id")
    return tuple(dict(rows.values_list("effective_on", "days")).items())


def record(code: str, *, effective_on: date, days: int, source: str) -> SettlementCycle:
    """Add or correct a cycle from a trade date on. Raises strict.Refused for one that cannot be."""
    if not code or len(code) > 16:
        raise refuse("code", f"{code!r} must be a market's code, such as US")
    if not 0 <= days <= 5:
        raise refuse("days", f"{days} must be from 0 to 5 business days")
    if not source.strip() or len(source) > 200:
        raise refuse("source", "must say in at most 200 characters who announced it")
    return SettlementCycle.objects.create(code=code, effective_on=effective_on, days=days, source=source)
