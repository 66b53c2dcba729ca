"""What meets a call: what came in after it was issued, each source once per regime, and what was announced before.

A deposit never calls the margin room; a sweep finds the movements without a cure (settled.md 31). Only what has settled
counts; what is claimed or in transit is shown, and a movement that bears its reference settles it. Money that is taken
back is found the same way: its cure is reversed, and a call it met is followed by a new one (`reversals`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_DOWN, Decimal
from typing import Any

from django.db import connection
from django.db.models import Q, Sum

from accounts import cash
from accounts.models import Account, CashMovement
from margin.calls import Refused
from margin.models import Cure, MarginCall
from margin.workflow import Regime, Resolution

CURING = (CashMovement.Kind.DEPOSIT.value,)
MANNER = {
    Cure.Kind.CASH: Resolution.CASH,
    Cure.Kind.REPAYMENT: Resolution.CASH,
    Cure.Kind.SECURITIES: Resolution.SECURITIES,
    Cure.Kind.COLLATERAL: Resolution.SECURITIES,
    Cure.Kind.SALE: Resolution.SALE,
    Cure.Kind.PURCHASE: Resolution.SALE,
    Cure.Kind.OPTION_CLOSE: Resolution.SALE,
    Cure.Kind.COLLATERAL_SALE: Resolution.SALE,
}
# In the order of _SoFar: released, kinds that released, last payment, plan open, last fill of a plan.
SO_FAR = """
SELECT c.id,
       coalesce((SELECT sum(k.release) FROM margin_cure k WHERE k.call_id = c.id AND k.state = 'settled'), 0),
       ARRAY(SELECT DISTINCT k.kind FROM margin_cure k
             WHERE k.call_id = c.id AND k.state = 'settled' AND k.release > 0),
       (SELECT max(m.effective_at) FROM margin_cure k JOIN accounts_cashmovement m ON m.id = k.movement_id
        WHERE k.call_id = c.id AND k.state = 'settled'),
       EXISTS (SELECT FROM margin_plan p WHERE p.call_id = c.id
               AND (p.state = 'approved' OR p.state = 'proposed' AND p.expires_at >= %s)),
       (SELECT max(t.traded_at) FROM margin_planfill f JOIN accounts_fill t ON t.id = f.fill_id
        JOIN margin_planline l ON l.id = f.line_id JOIN margin_plan p ON p.id = l.plan_id WHERE p.call_id = c.id)
FROM margin_margincall c WHERE c.id = ANY (%s)
"""
# Money of a call's account since it was issued that was not reversed and has not cured the call, with what no call of
# the same regime has used of it, and the cure that announced it.
CAME_IN = """
SELECT c.id, m.id,
       m.amount - coalesce((SELECT sum(k.used) FROM margin_cure k JOIN margin_margincall o ON o.id = k.call_id
                            WHERE k.movement_id = m.id AND k.state = 'settled' AND o.regime = c.regime), 0),
       i.currency, m.effective_at,
       (SELECT min(k.id) FROM margin_cure k WHERE k.call_id = c.id AND k.state IN ('claimed', 'in_transit')
        AND k.reference <> '' AND k.reference = m.external_reference)
FROM margin_margincall c
JOIN accounts_account a ON a.id = c.account_id OR a.margined_with_id = c.account_id
JOIN accounts_cashmovement m ON m.account_id = a.id AND m.effective_at >= c.issued_at
JOIN market_instrument i ON i.id = m.currency_id
WHERE m.kind = ANY (%s) AND m.amount > 0 AND m.reverses_id IS NULL AND c.id = ANY (%s)
  AND NOT EXISTS (SELECT FROM accounts_cashmovement r WHERE r.reverses_id = m.id)
  AND NOT EXISTS (SELECT FROM margin_cure k WHERE k.call_id = c.id AND k.movement_id = m.id)
ORDER BY m.id, c.due_at, c.id
"""


# Accounts with money that an open call could use and no sweep has given it yet.
WAITING = """
SELECT DISTINCT c.account_id
FROM margin_margincall c
JOIN accounts_account a ON a.id = c.account_id OR a.margined_with_id = c.account_id
JOIN accounts_cashmovement m ON m.account_id = a.id AND m.effective_at >= c.issued_at
WHERE c.state IN ('issued', 'escalated') AND m.kind = ANY (%s) AND m.amount > 0 AND m.reverses_id IS NULL
  AND NOT EXISTS (SELECT FROM accounts_cashmovement r WHERE r.reverses_id = m.id)
  AND NOT EXISTS (SELECT FROM margin_cure k WHERE k.call_id = c.id AND k.movement_id = m.id)
  AND m.amount > coalesce((SELECT sum(k.used) FROM margin_cure k JOIN margin_margincall o ON o.id = k.call_id
                           WHERE k.movement_id = m.id AND k.state = 'settled' AND o.regime = c.regime), 0)
"""


def waiting() -> set[int]:
    """Accounts with money that came in for an open call and that no cure has taken yet."""
    with connection.cursor() as cursor:
        cursor.execute(WAITING, [list(CURING)])
        return {row[0] for row in cursor.fetchall()}


@dataclass(frozen=True)
class Found:
    """A source that cures a call: what it releases in the call's currency, and how much of the source that takes."""

    kind: Cure.Kind
    release: Decimal
    used: Decimal
    movement_id: int | None = None
    fill_id: int | None = None
    adjustment_id: int | None = None
    cure_id: int | None = None
    """The cure that announced it, which it settles."""
    effective_at: datetime | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of the settled cure."""
        source = {"movement_id": self.movement_id, "fill_id": self.fill_id, "adjustment_id": self.adjustment_id}
        settled = {"state": Cure.State.SETTLED.value, "release": self.release, "used": self.used, **source}
        return settled | ({"id": self.cure_id} if self.cure_id else {"kind": self.kind.value})


@dataclass(frozen=True)
class Progress:
    """What has happened to a call so far."""

    cured: Decimal = Decimal(0)
    kinds: frozenset[str] = frozenset()
    new: tuple[Found, ...] = ()
    has_open_plan: bool = False
    paid_at: datetime | None = None
    filled_at: datetime | None = None

    @property
    def cured_with_new(self) -> Decimal:
        return self.cured + sum((found.release for found in self.new), Decimal(0))

    @property
    def cured_by(self) -> frozenset[Resolution]:
        return frozenset(MANNER[Cure.Kind(kind)] for kind in {*self.kinds, *(found.kind for found in self.new)})

    @property
    def has_plan_fills(self) -> bool:
        return self.filled_at is not None

    @property
    def is_paid_after_fills(self) -> bool:
        """Whether the client's own money came after the plan's last fill (settled.md 28)."""
        paid = [at for at in (self.paid_at, *(found.effective_at for found in self.new if found.movement_id)) if at]
        return self.filled_at is not None and any(at > self.filled_at for at in paid)


@dataclass
class _Money:
    """What is left of a movement for the calls of one regime."""

    left: Decimal
    takers: list[int] = field(default_factory=list)


def progress(
    calls: Iterable[MarginCall],
    *,
    at: datetime,
    fx: Mapping[tuple[str, str], Decimal],
    exponents: Mapping[str, int],
    traded: Mapping[int, Sequence[Found]] | None = None,
) -> dict[int, Progress]:
    """Per call: what was applied, what came in since, and how far a plan is at `at`.

    Money in another currency counts at the sweep's rate, rounded down to the call's minor unit; without a rate it
    does not count yet. `traded` are the cures by trades and deliveries since, which the engine measures (`releases`).
    """
    listed = list(calls)
    if not listed:
        return {}
    so_far = _so_far(listed, at)
    new = _came_in(listed, so_far, fx, exponents)
    for pk, found in (traded or {}).items():
        new[pk] += found
    return {
        pk: Progress(cured, frozenset(kinds), tuple(new.get(pk, ())), has_plan, paid_at, filled_at)
        for pk, (cured, kinds, paid_at, has_plan, filled_at) in so_far.items()
    }


def _so_far(calls: Sequence[MarginCall], at: datetime) -> dict[int, tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(SO_FAR, [at, [call.pk for call in calls]])
        return {pk: tuple(columns) for pk, *columns in cursor.fetchall()}


def _came_in(
    calls: Sequence[MarginCall],
    so_far: Mapping[int, tuple[Any, ...]],
    fx: Mapping[tuple[str, str], Decimal],
    exponents: Mapping[str, int],
) -> dict[int, list[Found]]:
    """Per call: the movements that cure it, oldest first. Cash releases its whole amount in every regime; within one
    regime the call that is due first takes what it needs, the last one the rest."""
    known = {call.pk: call for call in calls}
    with connection.cursor() as cursor:
        cursor.execute(CAME_IN, [list(CURING), list(known)])
        listed = cursor.fetchall()
    money: dict[tuple[str, int], _Money] = {}
    for pk, movement_id, left, *_ in listed:
        money.setdefault((known[pk].regime, movement_id), _Money(left)).takers.append(pk)
    needs = {pk: max(Decimal(0), known[pk].amount_called - so_far[pk][0]) for pk in known}
    found: dict[int, list[Found]] = defaultdict(list)
    for pk, movement_id, _, currency, effective_at, cure_id in listed:
        call, source = known[pk], money[known[pk].regime, movement_id]
        rate, exponent = fx_rate(fx, currency, call.currency), exponents.get(call.currency)
        if rate is None or exponent is None or source.left <= 0:
            continue
        is_last = source.takers[-1] == pk
        used = source.left if is_last else min(source.left, _rounded_up(needs[pk] / rate, exponents.get(currency)))
        release = (used * rate).quantize(Decimal(1).scaleb(-exponent), ROUND_DOWN)
        if release > 0:
            source.left -= used
            needs[pk] = max(Decimal(0), needs[pk] - release)
            kind = Cure.Kind.REPAYMENT if call.regime == Regime.LOAN else Cure.Kind.CASH
            found[pk].append(Found(kind, release, used, movement_id, cure_id=cure_id, effective_at=effective_at))
    return found


def of_movement(cure: Cure, movement: CashMovement, fx: Mapping[tuple[str, str], Decimal]) -> Found:
    """An announced cure as settled by this movement, which a person names. Raises Refused where it does not fit."""
    call = cure.call
    if not Account.objects.filter(
        Q(pk=call.account_id) | Q(margined_with=call.account_id), pk=movement.account_id
    ).exists():
        raise Refused(f"movement {movement.pk} is not of account {call.account}")
    if movement.kind not in CURING or movement.reverses_id is not None or hasattr(movement, "reversed_by"):
        raise Refused(f"movement {movement.pk} is a {movement.kind}, or was reversed: it meets no call")
    same = Cure.objects.filter(movement=movement, call__regime=call.regime, state=Cure.State.SETTLED)
    left = movement.amount - (same.aggregate(total=Sum("used"))["total"] or 0)
    rate = fx_rate(fx, movement.currency.currency, call.currency)
    if left <= 0 or rate is None:
        raise Refused(f"nothing of movement {movement.pk} is left for a {call.get_regime_display()} call")
    exponent = cash.instrument(call.currency).minor_exponent or 0
    release = (left * rate).quantize(Decimal(1).scaleb(-exponent), ROUND_DOWN)
    return Found(Cure.Kind(cure.kind), release, left, movement.pk, cure_id=cure.pk, effective_at=movement.effective_at)


def _rounded_up(amount: Decimal, exponent: int | None) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-(exponent if exponent is not None else 8)), ROUND_CEILING)


def fx_rate(fx: Mapping[tuple[str, str], Decimal], base: str, quoted: str) -> Decimal | None:
    if base == quoted:
        return Decimal(1)
    if (base, quoted) in fx:
        return fx[base, quoted]
    opposite = fx.get((quoted, base))
    return None if opposite is None else 1 / opposite
