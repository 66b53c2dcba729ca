"""Warnings before calls: who is warned, how likely a call is, how far it is away, and how many were prevented.

Chances follow from the closes we have, else from the volatility that the policy states; an account with a holding that
has neither gets none (law 3). Reads; never writes. docs/warnings.md.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

import numpy as np
from django.db import connection

from accounts.models import Account
from margin import watch
from margin.engine import build, call_prices, chances, sums
from margin.engine.columns import KINDS, Array
from margin.engine.exact import plain
from margin.hypothetical import repricing
from margin.models import Alarm
from margin.policy_terms import ChanceTerms
from margin.snapshot import Snapshot
from margin.workflow import Decision
from market import closes
from market.models import Instrument

MOVED = ("equity", "etf", "bond", "crypto", "index", "future", "perpetual")
UNMOVED = ("cash",)
TRADING_DAYS = 252
SHOWN = 3  # holdings whose distance is told with a warning
MOST_TOLD = 500  # warnings of one shard that are told with distances
_PLACES = Decimal("0.0001")
_ROUNDING = Context(prec=15)

Key = tuple[int, str]  # account id, regime


# --- who asked to be warned earlier ---------------------------------------------------------------------


def alerts() -> dict[int, Decimal]:
    """Account id → its client's own warning level, for open accounts that have one (one query)."""
    found = Account.objects.filter(alert_rate__isnull=False, closed_on=None)
    return dict(found.values_list("pk", "alert_rate"))


# --- chances --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Worlds:
    """The snapshot's instruments under joint shocks; each world is made when it is looked at."""

    snap: Snapshot
    rows: Array  # of the instruments that move
    shocks: Array  # float64[worlds, rows]
    options: repricing.Options

    def __len__(self) -> int:
        return len(self.shocks)

    def __iter__(self) -> Iterator[chances.World]:
        instruments, market = self.snap.instruments, self.snap.market
        is_moved = np.zeros(len(instruments), bool)
        is_moved[self.rows] = True
        still = np.zeros(len(instruments))
        for shock in self.shocks:
            prices = instruments.price.copy()
            for row, change in zip(self.rows.tolist(), shock.tolist(), strict=True):
                prices[row] = _ROUNDING.multiply(instruments.price[row], 1 + Decimal(change))
            moved = repricing.moved(
                instruments, self.options, prices=prices, is_moved=is_moved, volatility_shifts=still
            )
            yield moved, repricing.with_rates(market, instruments, moved)


def call_chances(snap: Snapshot, rows: Iterable[int]) -> dict[Key, Decimal]:
    """(account, regime) → the chance of a call at the end of the policy's horizon, for these rows of the book.

    Left out: policies that state no `chances`, accounts that are unpriced in any world, and accounts that hold what has
    neither a history nor a stated volatility.
    """
    chosen = np.array(sorted(set(rows)), np.int64)
    found: dict[Key, Decimal] = {}
    for place, reading in enumerate(snap.readings):
        stated = reading.terms.chances
        mine = chosen[snap.book.policy[chosen] == place]
        if stated is None or not len(mine):
            continue
        worlds, known = worlds_of(snap, mine, stated)
        mine = mine[known]
        if not len(mine):
            continue
        shares = chances.call_chances(build.take(snap.book, mine), snap.rules, worlds=worlds)
        regimes = [rule.regime for rule in reading.policy.regimes]
        table = shares.reshape(len(mine), len(regimes))
        for account, line in zip(snap.book.accounts[mine].tolist(), table.tolist(), strict=True):
            told = zip(regimes, line, strict=True)
            found |= {
                (account, regime): Decimal(share).quantize(_PLACES) for regime, share in told if math.isfinite(share)
            }
    return found


def cushions(snap: Snapshot, account_row: int, *, until: datetime) -> list[chances.Cushion]:
    """The cash with which an account stays clear until a deadline with 80 and 95 per cent probability, by regime; empty
    where its policy states no `chances` or too little is known of what it holds."""
    stated = snap.reading(account_row).terms.chances
    if stated is None or until <= snap.at:
        return []
    years = (until - snap.at) / timedelta(days=365)
    worlds, known = worlds_of(snap, np.array([account_row]), stated, years=years)
    if not known.all():
        return []
    return chances.cushions(snap.book, snap.instruments, snap.rules, account_row=account_row, worlds=worlds)


def worlds_of(snap: Snapshot, rows: Array, stated: ChanceTerms, *, years: float | None = None) -> tuple[Worlds, Array]:
    """Joint worlds at the horizon for what these accounts hold, and which of them (bool) everything is known of.

    `years` replaces the policy's horizon, as for a deadline; it is then counted in whole trading days, one at least.
    """
    days = stated.horizon_days if years is None else max(1, round(years * TRADING_DAYS))
    roots = [_roots(snap, int(row)) for row in rows]
    listed = np.array(sorted({root for of_one in roots for root in of_one}), np.int64)
    drawn, shocks = _drawn(snap, listed, stated, days)
    lawful = set(drawn.tolist())
    known = np.array([of_one <= lawful for of_one in roots], bool)
    held = np.unique(snap.book.instrument)
    return Worlds(snap, drawn, shocks, repricing.options_of(snap.instruments, snap.market, held)), known


def _roots(snap: Snapshot, account_row: int) -> set[int]:
    """Rows of the instruments whose prices move what an account holds; -1 where one is not among the instruments."""
    start, end = snap.book.offsets[account_row : account_row + 2]
    found = set()
    for row in snap.book.instrument[start:end].tolist():
        kind, contract = KINDS[snap.instruments.kind[row]], snap.instruments.contract[row]
        if kind in MOVED:
            found.add(row)
        elif kind not in UNMOVED:
            places = np.flatnonzero(snap.instruments.ids == (contract.underlying if contract else 0))
            found.add(int(places[0]) if len(places) else -1)
    return found


def _drawn(snap: Snapshot, rows: Array, stated: ChanceTerms, days: int) -> tuple[Array, Array]:
    """(rows that have a law, float64[worlds, rows]): of the past where there is enough of it, else as is stated."""
    instruments = snap.instruments
    rows = rows[rows >= 0]
    rows = rows[instruments.priced[rows]]
    paths = _joint([int(instruments.ids[row]) for row in rows], stated, until=snap.at.date() - timedelta(days=1))
    past = np.array([row for row in rows if int(instruments.ids[row]) in paths], np.int64)
    rest = np.array(
        [row for row in rows if row not in past and KINDS[instruments.kind[row]] in stated.volatilities], np.int64
    )
    if len(past):
        joint = np.array([paths[int(instruments.ids[row])] for row in past]).T
        before = chances.historical(joint, days=days)
        factor = chances.factor_of(before)
    else:
        before = np.zeros((stated.worlds, 0))
        factor = chances.midpoints(stated.worlds)
    annual = [
        float(stated.volatilities[KINDS[instruments.kind[row]]] * instruments.leverage[row]) for row in rest.tolist()
    ]
    after = chances.normal(
        instruments.ids[rest],
        np.array(annual),
        years=days / TRADING_DAYS,
        correlation=float(stated.correlation),
        factor=factor,
    )
    return np.concatenate([past, rest]).astype(np.int64), np.hstack([before, after])


def _joint(ids: Collection[int], stated: ChanceTerms, *, until: date) -> dict[int, list[float]]:
    """Closes on days that all of them share, by instrument: those with the longest histories first, as long as
    `least_days` returns are left."""
    since = until - timedelta(days=stated.history_days)
    found = closes.dated_history(Instrument.objects.filter(pk__in=ids), until=until)
    recent = {id: {on: price for on, price in path.items() if on > since and price > 0} for id, path in found.items()}
    common: set[date] = set()
    kept: list[int] = []
    for id in sorted(recent, key=lambda one: (-len(recent[one]), one)):
        shared = common & recent[id].keys() if kept else set(recent[id])
        if len(shared) > stated.least_days:
            common = shared
            kept.append(id)
    return {id: [recent[id][on] for on in sorted(common)] for id in kept}


# --- what a warning says --------------------------------------------------------------------------------


def details(
    decision: Decision,
    *,
    cover: Decimal,
    distances: list[list[str]],
    alert: Decimal | None,
    chance: Decimal | None,
    horizon_days: int | None,
) -> dict[str, Any]:
    """What its event keeps: the rung, the cover, how far the main holdings are from the call, and how likely it is."""
    told: dict[str, Any] = {"rung": decision.rung, "cover": format(cover, "f"), "distances": distances}
    if decision.is_quiet:
        told["is_quiet"] = True
    if alert is not None:
        told["alert"] = format(alert.normalize(), "f")
    if chance is not None:
        told |= {"chance": format(chance, "f"), "horizon_days": horizon_days}
    return told


def distances(snap: Snapshot, warned: Collection[tuple[int, str]]) -> dict[Key, list[list[str]]]:
    """(account, regime) → [code, mark, last price at which the regime is still covered, or ''] of the main holdings.

    `warned` are (row of the book, regime); beyond MOST_TOLD of them nothing is told.
    """
    found: dict[Key, list[list[str]]] = {}
    for row, regime in list(warned)[:MOST_TOLD]:
        part = build.take(snap.book, np.array([row]))
        policy = snap.rules.policies[int(part.policy[0])]
        of_policy = sums.of_policy(part, snap.instruments, snap.market, policy, np.array([0]))
        index = next(k for k, rule in enumerate(policy.regimes) if rule.regime == regime)
        prices = call_prices.call_prices(of_policy, snap.market, index)
        ranked = sorted(prices, key=lambda one: (-_size(of_policy, one.position), one.position))
        found[int(part.accounts[0]), regime] = [_distance(of_policy, one) for one in ranked[:SHOWN]]
    return found


def _size(of_policy: sums.PolicySums, position: int) -> Decimal:
    row = of_policy.instrument[position]
    worth: Decimal = of_policy.quantity(position) * of_policy.held.price[row] * of_policy.held.multiplier[row]
    return abs(worth)


def _distance(of_policy: sums.PolicySums, one: call_prices.CallPrice) -> list[str]:
    row = of_policy.instrument[one.position]
    last = "" if one.covered_to is None else plain(one.covered_to)
    return [str(of_policy.held.codes[row]), plain(of_policy.held.price[row]), last]


# --- prevention -----------------------------------------------------------------------------------------

REPORT = "prevention"
PREVENTION = """
SELECT count(*), count(*) FILTER (WHERE is_called), count(*) FILTER (WHERE is_open AND NOT is_called)
FROM (
    SELECT bool_or(cleared_by = 'call') AS is_called, bool_or(cleared_at IS NULL) AS is_open
    FROM margin_warning WHERE raised_at >= %s AND raised_at < %s GROUP BY account_id
) warned
"""


@dataclass(frozen=True)
class Prevention:
    """What became of the accounts that were warned in a time: each counts once."""

    first: datetime
    last: datetime
    warned: int
    called: int
    undecided: int
    """Still warned, and not called in this time's warnings: neither prevented nor not."""

    @property
    def prevented(self) -> int:
        return self.warned - self.called - self.undecided

    @property
    def rate(self) -> Decimal | None:
        """Prevented ÷ decided, a fraction to four decimals; None before any is decided."""
        decided = self.prevented + self.called
        return (Decimal(self.prevented) / decided).quantize(_PLACES) if decided else None

    @property
    def sentence(self) -> str:
        share = "no rate yet" if self.rate is None else f"prevention rate {self.rate:.2%}"
        return (
            f"{self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}: {self.warned:,} accounts warned, {self.prevented:,} came"
            f" back without a call, {self.called:,} were called, {self.undecided:,} undecided; {share}"
        )

    @property
    def tree(self) -> dict[str, Any]:
        return {
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            **{name: getattr(self, name) for name in ("warned", "prevented", "called", "undecided")},
            "rate": None if self.rate is None else str(self.rate),
        }


def prevention(first: datetime, last: datetime) -> Prevention:
    """Of the accounts warned from `first` to before `last`: called if any of those warnings ended in a call, undecided
    if one is still open, else prevented."""
    with connection.cursor() as cursor:
        cursor.execute(PREVENTION, [first, last])
        warned, called, undecided = cursor.fetchone()
    return Prevention(first, last, warned, called, undecided)


def report(at: datetime) -> Prevention:
    """Tell operations how the seven days before `at` went, once a week: as an alarm, for alarms are kept and mailed.

    The week before's is cleared. Twice in the same week changes nothing.
    """
    year, week, _ = at.isocalendar()
    subject = f"{year}-W{week:02}"
    found = prevention(at - timedelta(days=7), at)
    Alarm.objects.filter(kind=REPORT, cleared_at=None).exclude(subject=subject).update(cleared_at=at)
    watch.raise_alarm(REPORT, subject, found.sentence, at=at)
    return found
