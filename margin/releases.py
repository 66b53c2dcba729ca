"""What a client's own trades and deliveries release for its open calls, measured by the engine on the account itself.

A release is what the excess at today's prices gained by one trade: the account is assessed once as it stands and once
for each trade undone, the latest first. So the legs of a spread, an add-on or a tier count as they are charged, and the
releases of several trades add up to what they gained together. What cannot be measured releases nothing: the re-test
of the whole account still decides (workflow.md §5).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from itertools import pairwise

from django.db import connection

from margin.cures import Found
from margin.engine import sizing
from margin.models import Cure, MarginCall
from margin.snapshot import Snapshot
from margin.workflow import Regime
from market.models import Kind

# Every change of position by a fill, or by a delivery, of a call's accounts since it was issued, that neither was
# reversed nor is a cure of the call: (call, fill, delivery, its kind of instrument, quantity, price × quantity, at,
# changed instrument, change), in the order in which they were recorded.
TRADES = """
SELECT c.id, f.id, NULL::bigint, i.kind, f.quantity, f.traded_at, p.instrument_id, p.change
FROM margin_margincall c
JOIN accounts_account a ON a.id = c.account_id OR a.margined_with_id = c.account_id
JOIN accounts_fill f ON f.account_id = a.id AND f.traded_at >= c.issued_at AND f.reverses_id IS NULL
JOIN market_instrument i ON i.id = f.instrument_id
JOIN accounts_positionfact p ON p.account_id = a.id AND p.cause IN ('fill', 'cash')
     AND p.reference = 'fill:' || f.source || ':' || f.external_reference
WHERE c.id = ANY (%(calls)s)
  AND NOT EXISTS (SELECT FROM accounts_fill r WHERE r.reverses_id = f.id)
  AND NOT EXISTS (SELECT FROM margin_cure k WHERE k.call_id = c.id AND k.fill_id = f.id)
UNION ALL
SELECT c.id, NULL, d.id, i.kind, d.change, d.effective_at, p.instrument_id, p.change
FROM margin_margincall c
JOIN accounts_account a ON a.id = c.account_id OR a.margined_with_id = c.account_id
JOIN accounts_adjustment d ON d.account_id = a.id AND d.effective_at >= c.issued_at AND d.is_delivery AND d.change > 0
JOIN market_instrument i ON i.id = d.instrument_id
JOIN accounts_positionfact p ON p.account_id = a.id AND p.cause = 'adjustment'
     AND p.reference = 'adjustment:' || d.external_reference
WHERE c.id = ANY (%(calls)s)
  AND NOT EXISTS (SELECT FROM margin_cure k WHERE k.call_id = c.id AND k.adjustment_id = d.id)
ORDER BY 1, 6, 2, 3
"""


@dataclass
class _Trade:
    """One fill or delivery, and what it changed: instrument id → quantity."""

    fill_id: int | None
    adjustment_id: int | None
    kind: str
    quantity: Decimal
    at: datetime
    changes: dict[int, Decimal]


def of(snap: Snapshot, calls: Iterable[MarginCall]) -> dict[int, list[Found]]:
    """Per call: the cures by trades and deliveries since it was issued that no cure keeps yet."""
    listed = {call.pk: call for call in calls}
    trades = _trades(listed)
    if not trades:
        return {}
    rows = {int(account): row for row, account in enumerate(snap.book.accounts)}
    return {
        pk: _found(snap, listed[pk], rows[listed[pk].account_id], found)
        for pk, found in trades.items()
        if listed[pk].account_id in rows
    }


def _trades(calls: Mapping[int, MarginCall]) -> dict[int, list[_Trade]]:
    if not calls:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(TRADES, {"calls": list(calls)})
        listed = cursor.fetchall()
    found: dict[int, dict[tuple[int | None, int | None], _Trade]] = defaultdict(dict)
    for pk, fill_id, adjustment_id, kind, quantity, at, instrument_id, change in listed:
        trade = found[pk].setdefault(
            (fill_id, adjustment_id), _Trade(fill_id, adjustment_id, kind, quantity, at, defaultdict(Decimal))
        )
        trade.changes[instrument_id] += change
    return {pk: list(trades.values()) for pk, trades in found.items()}


def _found(snap: Snapshot, call: MarginCall, row: int, trades: Sequence[_Trade]) -> list[Found]:
    account = sizing.Account(
        snap.book, row, snap.instruments, snap.market, snap.rules, call.regime, snap.reading(row).terms.fee_rate
    )
    place = {int(instrument): index for index, instrument in enumerate(snap.instruments.ids)}
    undone: list[dict[int, Decimal]] = [{}]
    for trade in reversed(trades):
        before = dict(undone[-1])
        for instrument, change in trade.changes.items():
            before[place[instrument]] = before.get(place[instrument], Decimal(0)) - change
        undone.append(before)
    try:
        excess = account.excess(undone)
    except (sizing.NotSizable, KeyError):
        return []
    exponent = snap.instruments.minor_exponents[snap.book.base[row]] or 0
    gained = [after - before for after, before in pairwise(excess)]
    found = []
    for trade, gain in zip(reversed(trades), gained, strict=True):
        release = gain.quantize(Decimal(1).scaleb(-exponent), ROUND_DOWN)
        if release > 0:
            found.append(
                Found(
                    _kind(trade, call.regime), release, abs(trade.quantity), fill_id=trade.fill_id,
                    adjustment_id=trade.adjustment_id, effective_at=trade.at,
                )
            )  # fmt: skip
    return list(reversed(found))


def _kind(trade: _Trade, regime: str) -> Cure.Kind:
    is_loan = regime == Regime.LOAN
    if trade.adjustment_id is not None:
        return Cure.Kind.COLLATERAL if is_loan else Cure.Kind.SECURITIES
    if is_loan:
        return Cure.Kind.COLLATERAL_SALE
    if trade.kind == Kind.OPTION:
        return Cure.Kind.OPTION_CLOSE
    return Cure.Kind.SALE if trade.quantity < 0 else Cure.Kind.PURCHASE
