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
from margin.models import Cure, MarginCall

CURING = (CashMovement.Kind.DEPOSIT,)
# In the order of Progress: released so far, client sold since, plan open, plan filled.
SO_FAR = """
SELECT c.id,
       coalesce((SELECT sum(k.release) FROM margin_cure k WHERE k.call_id = c.id), 0),
       EXISTS (SELECT FROM accounts_fill f WHERE f.account_id = c.account_id AND f.traded_at >= c.issued_at),
       EXISTS (SELECT FROM margin_plan p WHERE p.call_id = c.id
               AND (p.state = 'approved' OR p.state = 'proposed' AND p.expires_at >= %s)),
       EXISTS (SELECT FROM margin_planfill f JOIN margin_planline l ON l.id = f.line_id
               JOIN margin_plan p ON p.id = l.plan_id WHERE p.call_id = c.id)
FROM margin_margincall c WHERE c.id = ANY (%s)
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
    new = _new_movements(listed, fx, exponents)
    with connection.cursor() as cursor:
        cursor.execute(SO_FAR, [at, [call.pk for call in listed]])
        return {pk: Progress(cured, tuple(new.get(pk, ())), *facts) for pk, cured, *facts in cursor.fetchall()}


def _new_movements(
    calls: list[MarginCall], fx: Mapping[tuple[str, str], Decimal], exponents: Mapping[str, int]
) -> dict[int, list[Found]]:
    by_account = defaultdict(list)
    for call in calls:
        by_account[call.account_id].append(call)
    movements = (
        CashMovement.objects.filter(account__in=by_account, kind__in=CURING, amount__gt=0, reverses=None)
        .filter(reversed_by=None)
        .select_related("currency")
        .order_by("id")
    )
    came_in = list(movements)
    if not came_in:
        return {}
    used = set(Cure.objects.filter(call__in=[call.pk for call in calls]).values_list("call_id", "movement_id"))
    found: dict[int, list[Found]] = defaultdict(list)
    for movement in came_in:
        for call in by_account[movement.account_id]:
            if movement.effective_at < call.issued_at or (call.pk, movement.pk) in used:
                continue
            release = _release(movement, call, fx, exponents)
            if release is not None and release > 0:
                found[call.pk].append(Found(movement.pk, release))
    return found


def _release(
    movement: CashMovement, call: MarginCall, fx: Mapping[tuple[str, str], Decimal], exponents: Mapping[str, int]
) -> Decimal | None:
    """Cash releases its whole amount in every regime (workflow.md §5)."""
    rate = fx_rate(fx, movement.currency.currency, call.currency)
    if rate is None or call.currency not in exponents:
        return None
    return (movement.amount * rate).quantize(Decimal(1).scaleb(-exponents[call.currency]), ROUND_DOWN)


def fx_rate(fx: Mapping[tuple[str, str], Decimal], base: str, quoted: str) -> Decimal | None:
    if base == quoted:
        return Decimal(1)
    if (base, quoted) in fx:
        return fx[base, quoted]
    opposite = fx.get((quoted, base))
    return None if opposite is None else 1 / opposite
