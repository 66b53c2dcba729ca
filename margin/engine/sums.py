"""From a book to totals per account: unit tables, exact lanes per segment, and the two ways to read them.

`approximate` gives float64 totals with a known error, to see at once which accounts are far from every level.
`exact` gives Decimals for the accounts that matter. Both read the same exact 128-bit lanes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from margin.engine import build, kernels, parts
from margin.engine.columns import Array, Book, Instruments, Market, Policy
from margin.engine.exact import ZERO, exactly
from margin.engine.lanes import Lanes, Rates, rule_rates, segment_rates, sum_costs, sum_lanes
from margin.engine.measures import PROFIT, VALUE, Lane, Totals, Units
from margin.engine.methodologies import by_code, check
from margin.engine.parts import Part
from margin.engine.tables import Table, after_boxes, governed_units, held_of, reasons_of, table_of

_ENTRY = "entry"  # what margined positions cost


@dataclass(frozen=True)
class PolicySums:
    """Everything that the accounts of one policy add up to. Segments are numbered 0 … within the policy."""

    policy: Policy
    rows: Array  # accounts of the book
    book: Book
    held: Instruments  # the instruments the book holds, and again what parts claim or boxes hold of them
    instrument: Array  # int32[p] row of `held`
    units: tuple[Units, ...]  # per regime, on `held`
    lane_of: tuple[Mapping[str, int], ...]  # per regime: lane name → column
    table: Table
    segments: Array  # into the book's segments
    first: Array  # int64[len(rows) + 1] CSR over segments
    lanes: Lanes
    costs: Mapping[int, tuple[Lanes, Array]]  # per regime that counts cost: sums and "unknown" per segment
    entries: Mapping[int, tuple[Lanes, Array]]  # the same of what margined positions cost, per regime that has any
    fx: Rates  # per segment, to the account's base currency
    rule_fx: tuple[Rates, ...]  # per regime, per account: the methodology's own currency in the base currency
    parts: tuple[tuple[Part, ...], ...]  # per regime
    reasons: Lane  # str per held instrument: why holding it makes an account unpriced
    unpriced: Array  # bool per account

    def approximate(self, regime: int) -> tuple[Totals, Array, Array]:
        """(float64 totals, magnitude of what was added, whether a sum did not fit) per account."""
        rates = self.fx.floats()
        owner = np.repeat(np.arange(len(self.rows)), np.diff(self.first))
        columns, magnitude = {}, np.zeros(len(self.rows))
        values = self.lanes.floats()
        wide = (self.lanes.marks & kernels.WIDE) > 0
        picked = {name: values[:, lane] for name, lane in self.lane_of[regime].items()}
        unknown = np.zeros(len(self.rows), bool)
        if regime in self.costs:
            cost, segment_unknown = self.costs[regime]
            picked["cost"] = cost.floats()[:, 0]
            wide |= (cost.marks & kernels.WIDE) > 0
            unknown[owner[segment_unknown]] = True
        if regime in self.entries:
            entry, _ = self.entries[regime]
            picked[_ENTRY] = entry.floats()[:, 0]
            wide |= (entry.marks & kernels.WIDE) > 0
        for name, column in picked.items():
            columns[name] = np.bincount(owner, weights=column * rates, minlength=len(self.rows))
            magnitude += np.bincount(owner, weights=np.abs(column * rates), minlength=len(self.rows))
        columns = _with_profit(columns)
        if self.parts[regime]:
            columns = parts.completed(self.parts[regime], columns, np.arange(len(self.rows)))
            magnitude += parts.magnitude(self.parts[regime], len(self.rows))
        too_wide = np.zeros(len(self.rows), bool)
        too_wide[owner[wide]] = True
        columns |= {name: stated.astype(np.float64) for name, stated in self._stated(np.arange(len(self.rows)))}
        return Totals(columns, float, self.rule_fx[regime].floats(), unknown), magnitude, too_wide

    def exact(self, regime: int, chosen: Array) -> Totals:
        """Exact Decimal totals of the chosen accounts (indices into `rows`). Call inside `exact.exactly()`."""
        segments = build.runs(self.first, chosen)
        owner = np.repeat(np.arange(len(chosen)), (self.first[1:] - self.first[:-1])[chosen])
        columns = {
            name: _by_owner(self._segment_sums(segments, lane) * self.fx.exact(segments), owner, len(chosen))
            for name, lane in self.lane_of[regime].items()
        }
        if regime in self.entries:
            paid = self._costs(self.entries[regime][0], self.units[regime].is_margined, segments, shorts=True)
            columns[_ENTRY] = _by_owner(paid * self.fx.exact(segments), owner, len(chosen))
        columns = _with_profit(columns)
        if self.parts[regime]:
            columns = parts.completed(self.parts[regime], columns, chosen)
        unknown = np.zeros(len(chosen), bool)
        if regime in self.costs:
            cost, segment_unknown = self.costs[regime]
            paid = self._costs(cost, self.units[regime].counts_cost, segments, shorts=False)
            columns["cost"] = _by_owner(paid * self.fx.exact(segments), owner, len(chosen))
            unknown[owner[segment_unknown[segments]]] = True
        columns |= dict(self._stated(chosen))
        return Totals(columns, Decimal, self.rule_fx[regime].exact(chosen), unknown)

    def _stated(self, chosen: Array) -> Iterable[tuple[str, Array]]:
        """Amounts that the book states per account, not per position; nothing for those it does not state."""
        for name, column in (("in_transit", self.book.in_transit), ("disputed", self.book.disputed)):
            if column is not None:
                yield name, column[self.rows[chosen]]

    def _segment_sums(self, segments: Array, lane: int) -> Array:
        sums = self.lanes.decimals(segments, lane)
        for k in np.flatnonzero(self.lanes.marks[segments] & kernels.WIDE):
            sums[k] = sum(self.terms_of(int(segments[k]), self.table.lanes[lane]), ZERO)
        return sums

    def terms_of(self, segment: int, lane: Lane) -> Iterable[Decimal]:
        """|quantity| × unit amount for each position of a segment, with numbers of any size."""
        for p in self.positions(segment):
            quantity, i = self.quantity(p), self.instrument[p]
            yield abs(quantity) * (lane.short[i] if quantity < 0 else lane.long[i])

    def positions(self, segment: int) -> range:
        """Rows of the book's positions in a segment of this policy."""
        offsets, at = self.book.segment_offsets, self.segments[segment]
        return range(int(offsets[at]), int(offsets[at + 1]))

    def quantity(self, position: int) -> Decimal:
        return Decimal(int(self.book.quantity[position])).scaleb(-int(self.book.decimals[position]))

    def cost(self, position: int) -> Decimal | None:
        """What a position cost, in its instrument's currency; None where nobody knows."""
        decimals = int(self.book.cost_decimals[position])
        return None if decimals < 0 else Decimal(int(self.book.cost[position])).scaleb(-decimals)

    def _costs(self, cost: Lanes, counts: Array | None, segments: Array, *, shorts: bool) -> Array:
        sums = cost.decimals(segments, 0)
        for k in np.flatnonzero(cost.marks[segments] & kernels.WIDE):
            sums[k] = sum(
                (
                    self.cost(p) or ZERO
                    for p in self.positions(int(segments[k]))
                    if (shorts or self.book.quantity[p] > 0) and counts is not None and counts[self.instrument[p]]
                ),
                ZERO,
            )
        return sums

    def why_unpriced(self, chosen: Array) -> list[tuple[str, ...]]:
        """Every reason why each chosen account has no number in any regime; an empty tuple when it has one."""
        refused: dict[int, list[str]] = {}
        for row, reason in self.book.refused:
            refused.setdefault(row, []).append(reason)
        refusals: dict[int, list[str]] = {}
        for part in (part for regime in self.parts for part in regime):
            for account, reason in part.refusals():
                refusals.setdefault(account, []).append(reason)
        return [tuple(dict.fromkeys(self._reasons(int(k), refused, refusals))) for k in chosen]

    def unknown_costs(self, regime: int, chosen: int) -> tuple[str, ...]:
        """The securities of one account whose missing cost leaves the regime in doubt."""
        counts = self.units[regime].counts_cost
        return tuple(
            f"{self.held.codes[self.instrument[p]]}: cost unknown"
            for segment in range(int(self.first[chosen]), int(self.first[chosen + 1]))
            for p in self.positions(segment)
            if counts is not None and counts[self.instrument[p]]
            if self.book.quantity[p] > 0 and self.book.cost_decimals[p] < 0
        )

    def _is_margined(self, position: int) -> bool:
        i = self.instrument[position]
        return any(units.is_margined is not None and units.is_margined[i] for units in self.units)

    def _reasons(self, k: int, refused: Mapping[int, list[str]], refusals: Mapping[int, list[str]]) -> Iterable[str]:
        """`refused` is by row of the book, the parts' `refusals` by account."""
        yield from refused.get(int(self.rows[k]), ())
        base = self.held.currencies[self.book.base[self.rows[k]]]
        for segment in range(int(self.first[k]), int(self.first[k + 1])):
            for p in self.positions(segment):
                side = self.reasons.short if self.book.quantity[p] < 0 else self.reasons.long
                if side[self.instrument[p]]:
                    yield side[self.instrument[p]]
                elif self.book.cost_decimals[p] < 0 and self._is_margined(p):
                    yield f"{self.held.codes[self.instrument[p]]}: its entry price is unknown, so its profit is"
            if self.fx.exact(segment) == 0:
                quoted = self.held.currencies[self.book.segment_currency[self.segments[segment]]]
                yield f"no rate {quoted}/{base}"
        yield from refusals.get(k, ())
        for rule, rates in zip(self.policy.regimes, self.rule_fx, strict=True):
            if rates.exact(k) == 0:
                stated = by_code(rule.methodology).currency(rule.measure, rule.terms)
                yield f"no rate {stated}/{base}"


def of_policy(
    book: Book,
    instruments: Instruments,
    market: Market,
    policy: Policy,
    rows: Array,
    *,
    known: dict[bytes, tuple[Units, ...]] | None = None,
) -> PolicySums:
    """Sum the accounts `rows`, all governed by `policy`. ValueError if a rule cannot be computed.

    `known` keeps the instruments' units from one call to the next, for callers that sum much the same book many times
    under the same instruments, market and policy.
    """
    for rule in policy.regimes:
        check(rule)
    held, local = held_of(book, instruments)
    with exactly():
        units = _units_of(held, market, policy, {} if known is None else known)
        measured = parts.measure(held, policy, book, local, rows, units, market)
        held, local, units, is_claimed = after_boxes(book, *_after_claims(held, policy, book, local, rows, units))
        table, lane_of = table_of(units, len(held))
    reasons = reasons_of(held, policy, units, is_claimed)
    segments = build.runs(book.account_segments, rows)
    first = build.runs_offsets(book.account_segments, rows)
    lanes = sum_lanes(book, local, table, reasons, segments)
    fx = segment_rates(book, instruments, market, rows, segments, first)
    rule_fx = tuple(rule_rates(book, instruments, market, rule, rows) for rule in policy.regimes)
    entries = {
        k: sum_costs(book, local, regime.is_margined, segments, shorts=True)
        for k, regime in enumerate(units)
        if regime.is_margined is not None
    }
    sums = PolicySums(
        policy=policy,
        rows=rows,
        book=book,
        held=held,
        instrument=local,
        units=units,
        lane_of=lane_of,
        table=table,
        segments=segments,
        first=first,
        lanes=lanes,
        costs={
            k: sum_costs(book, local, regime.counts_cost, segments, shorts=False)
            for k, regime in enumerate(units)
            if regime.counts_cost is not None
        },
        entries=entries,
        fx=fx,
        rule_fx=rule_fx,
        parts=measured,
        reasons=reasons,
        unpriced=_unpriced(book, rows, first, lanes, fx, rule_fx, entries),
    )
    for part in (part for regime in measured for part in regime):
        sums.unpriced[[account for account, _ in part.refusals()]] = True
    return sums


def _units_of(
    held: Instruments, market: Market, policy: Policy, known: dict[bytes, tuple[Units, ...]]
) -> tuple[Units, ...]:
    key = held.ids.tobytes()
    if key not in known:
        known[key] = tuple(governed_units(held, market, rule) for rule in policy.regimes)
    return known[key]


def _after_claims(
    held: Instruments, policy: Policy, book: Book, local: Array, rows: Array, units: Sequence[Units]
) -> tuple[Instruments, Array, tuple[Units, ...], Array]:
    """Instruments, positions' rows and units once the parts' claims are taken out, and which rows some part claims."""
    if not any(rule.parts for rule in policy.regimes):
        return held, local, tuple(units), np.zeros(len(held), bool)
    claims = parts.claim(held, policy, book, local, rows)
    taken = tuple(one.take(claims.origin, claims.claimed[:, k]) for k, one in enumerate(units))
    return held.take(claims.origin), claims.local, taken, np.asarray(claims.claimed.any(axis=1))


def _with_profit(columns: dict[str, Array]) -> dict[str, Array]:
    """The value of margined positions less what they cost, as part of the value of everything."""
    if PROFIT in columns:
        columns[VALUE] = columns[VALUE] + columns.pop(PROFIT) - columns.pop(_ENTRY)
    return columns


def _unpriced(
    book: Book,
    rows: Array,
    first: Array,
    lanes: Lanes,
    fx: Rates,
    rule_fx: Sequence[Rates],
    entries: Mapping[int, tuple[Lanes, Array]],
) -> Array:
    owner = np.repeat(np.arange(len(rows)), np.diff(first))
    unpriced = np.isin(rows, [row for row, _ in book.refused])
    unpriced[owner[(lanes.marks & kernels.UNPRICED) > 0]] = True
    unpriced[owner[fx.is_missing()]] = True
    for rates in rule_fx:
        unpriced |= rates.is_missing()
    for _, unknown in entries.values():
        unpriced[owner[unknown]] = True
    return unpriced


def _by_owner(values: Array, owner: Array, count: int) -> Array:
    sums = np.full(count, ZERO, object)
    np.add.at(sums, owner, values)
    return sums
