"""What meets a call: settled money that came in after it was issued, each movement once per call.

A deposit never calls the margin room; a sweep finds the movements without a cure (settled.md 31).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Decimal

from django.db import connection

from accounts.models import CashMovement
from margin.models import MarginCall

CURING = (CashMovement.Kind.DEPOSIT.value,)
# In the order of Progress: released so far, client sold since, plan open, plan filled.
SO_FAR = """
SELECT c.id,
       coalesce((SELECT sum(k.release) FROM margin_cure k WHERE k.call_id = c.id), 0),
       EXISTS (SELECT FROM accounts_fill f JOIN accounts_account a ON a.id = f.account_id
               WHERE (a.id = c.account_id OR a.margined_with_id = c.account_id) AND f.traded_at >= c.issued_at),
       EXISTS (SELECT FROM margin_plan p WHERE p.call_id = c.id
               AND (p.state = 'approved' OR p.state = 'proposed' AND p.expires_at >= %s)),
       EXISTS (SELECT FROM margin_planfill f JOIN margin_planline l ON l.id = f.line_id
               JOIN margin_plan p ON p.id = l.plan_id WHERE p.call_id = c.id)
FROM margin_margincall c WHERE c.id = ANY (%s)
"""
# Money of a call's account since it was issued that neither was reversed nor has cured the call.
CAME_IN = """
SELECT c.id, m.id, m.amount, i.currency
FROM margin_margincall c
JOIN accounts_account a ON a.id = c.account_id OR a.margined_with_id = c.account_id
JOIN accounts_cashmovement m ON m.account_id = a.id AND m.effective_at >= c.issued_at
JOIN market_instrument i ON i.id = m.currency_id
WHERE m.kind = ANY (%s) AND m.amount > 0 AND m.reverses_id IS NULL AND c.id = ANY (%s)
  AND NOT EXISTS (SELECT FROM accounts_cashmovement r WHERE r.reverses_id = m.id)
  AND NOT EXISTS (SELECT FROM margin_cure k WHERE k.call_id = c.id AND k.movement_id = m.id)
ORDER BY m.id
"""


@dataclass(frozen=True)
class Found:
    """A movement that may cure a call, and what it releases in the call's currency."""

    movement_id: int
    release: Decimal


@dataclass(frozen=True)
class Progress:
    """What has happened to a call so far."""

    cured: Decimal = Decimal(0)
    new: tuple[Found, ...] = ()
    has_sold: bool = False
    has_open_plan: bool = False
    has_plan_fills: bool = False

    @property
    def cured_with_new(self) -> Decimal:
        return self.cured + sum((found.release for found in self.new), Decimal(0))


def progress(
    calls: Iterable[MarginCall],
    *,
    at: datetime,
    fx: Mapping[tuple[str, str], Decimal],
    exponents: Mapping[str, int],
) -> dict[int, Progress]:
    """Per call: what was applied, what came in since, whether the client sold, and how far a plan is at `at`.

    Money in another currency counts at the sweep's rate, rounded down to the call's minor unit; without a rate it
    does not count yet.
    """
    listed = list(calls)
    if not listed:
        return {}
    new = _came_in(listed, fx, exponents)
    with connection.cursor() as cursor:
        cursor.execute(SO_FAR, [at, [call.pk for call in listed]])
        return {pk: Progress(cured, tuple(new.get(pk, ())), *facts) for pk, cured, *facts in cursor.fetchall()}


def _came_in(
    calls: Iterable[MarginCall], fx: Mapping[tuple[str, str], Decimal], exponents: Mapping[str, int]
) -> dict[int, list[Found]]:
    """Per call: the movements that have not cured it yet, oldest first. Cash releases its whole amount in every
    regime (workflow.md §5)."""
    currencies = {call.pk: call.currency for call in calls}
    found: dict[int, list[Found]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(CAME_IN, [list(CURING), list(currencies)])
        for pk, movement_id, amount, currency in cursor.fetchall():
            rate, exponent = fx_rate(fx, currency, currencies[pk]), exponents.get(currencies[pk])
            if rate is None or exponent is None:
                continue
            release = (amount * rate).quantize(Decimal(1).scaleb(-exponent), ROUND_DOWN)
            if release > 0:
                found[pk].append(Found(movement_id, release))
    return found


def fx_rate(fx: Mapping[tuple[str, str], Decimal], base: str, quoted: str) -> Decimal | None:
    if base == quoted:
        return Decimal(1)
    if (base, quoted) in fx:
        return fx[base, quoted]
    opposite = fx.get((quoted, base))
    return None if opposite is None else 1 / opposite
