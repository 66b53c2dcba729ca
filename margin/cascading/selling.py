"""What each called account sells, and its book afterwards. Sized by `margin.engine.sizing`, booked as a plan is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from margin.cascading.markets import Depths
from margin.cascading.question import PRO_RATA
from margin.engine import alternatives, assess, build, sizing
from margin.engine.columns import CASH, Array, Book, Figures, Instruments, Policy, Status
from margin.engine.exact import ZERO, exactly, round_quotient_up
from margin.engine.measures import governed, worth
from margin.hypothetical.books import Case

IMPACT = "impact"  # the one sale that restores with the least harm to all holders, where there is one


@dataclass(frozen=True)
class Line:
    """A forced sale: quantity is negative when sold, positive when bought to cover. `score` ranks: high first."""

    account: int  # row of the book
    instrument: int  # row of Instruments
    quantity: Decimal
    score: float = 0.0


@dataclass(frozen=True)
class Called:
    """An account in deficit, by its largest call."""

    account: int  # row of the book
    figures: Figures


def called(case: Case) -> list[Called]:
    """Accounts that a sweep would call now, in their order."""
    found = assess.assess(*case.arguments)
    short = np.flatnonzero((found.status == Status.DEFICIT) | (found.status == Status.SEVERE))
    worst: dict[int, Figures] = {}
    for row, figures in zip(found.account[short].tolist(), found.figures(short), strict=True):
        if row not in worst or (figures.amount or ZERO) > (worst[row].amount or ZERO):
            worst[row] = figures
    return [Called(row, figures) for row, figures in sorted(worst.items())]


def figures_of(case: Case) -> dict[int, Figures]:
    """Every account's figures in the first regime of its policy, by account row."""
    found = assess.assess(*case.arguments)
    firsts = np.flatnonzero(found.regime == 0)
    return dict(zip(found.account[firsts].tolist(), found.figures(firsts), strict=True))


@dataclass(frozen=True)
class Seller:
    """How called accounts choose what to sell, in one world of prices."""

    case: Case
    depths: Depths
    how: str  # smallest, pro_rata or IMPACT
    units: Array  # Decimal: value of one unit of each instrument, as `unit_values` says
    rows: Mapping[int, int]  # instrument id → row of Instruments

    def lines(self, one: Called) -> list[Line]:
        """The account's forced sales; empty where no sale helps. Raises sizing.NotSizable."""
        if self.how == PRO_RATA:
            return self._pro_rata(one)
        own = alone(self.case, one.account)
        fee_rate = own.readings[int(own.book.policy[0])].terms.fee_rate
        if self.how == IMPACT:
            cures = sizing.cures(*own.arguments, regime=one.figures.regime, fee_rate=fee_rate)
            best = self._least_harm(one, cures.sales)
            if best:
                return [best]
        plan = sizing.plan(*own.arguments, regime=one.figures.regime, fee_rate=fee_rate)
        return [Line(one.account, self.rows[trade.instrument_id], trade.quantity) for trade in plan.trades]

    def _least_harm(self, one: Called, sales: Iterable[sizing.Amount]) -> Line | None:
        """Margin released per unit of impact: the deficit ÷ what all holders lose by the sale that cures it."""
        best: Line | None = None
        smallest = ZERO
        release = float(one.figures.amount or ZERO)
        for sale in sales:
            row = self.rows[sale.instrument_id]
            harm = self.harm(row, float(sale.quantity))
            line = Line(one.account, row, sale.quantity, score=release / harm if harm else np.inf)
            # where two harm equally, or not at all, the smaller turnover
            if best is None or (line.score, -sale.value) > (best.score, -smallest):
                best, smallest = line, sale.value
        return best

    def harm(self, row: int, quantity: float) -> float:
        """What all long holders lose (short ones, when it is bought) by trading so much, in the instrument's currency.

        Sales within one account are compared by it, in the currencies as they stand.
        """
        unit = float(self.units[row])
        impact = self.depths.impact(row, -quantity * unit, float(self.case.instruments.price[row]))
        return abs(impact) * unit * self._held(row, quantity < 0)

    def _held(self, row: int, is_long: bool) -> float:
        book = self.case.book
        at = np.flatnonzero(book.instrument == row)
        held = book.quantity[at] / 10.0 ** book.decimals[at]
        return float(abs(held[held > 0].sum() if is_long else held[held < 0].sum()))

    def _pro_rata(self, one: Called) -> list[Line]:
        """Holdings worth the whole shortfall, the same share of each, in whole lots."""
        instruments, market = self.case.instruments, self.case.market
        codes, base = instruments.currencies, int(self.case.book.base[one.account])
        rule = next(r for r in self._policy(one).regimes if r.regime == one.figures.regime)
        may_be_sold = governed(instruments, rule.governs) & (instruments.kind != CASH)
        held = {
            row: quantity
            for row, (quantity, _) in alternatives.positions_of(self.case.book, one.account).items()
            if may_be_sold[row]
        }
        with exactly():
            total = ZERO
            for row, quantity in held.items():
                rate = market.rate(codes[instruments.currency[row]], codes[base]) or ZERO
                total += abs(quantity) * self.units[row] * rate
        if not total:
            return []
        share = min(Decimal(1), round_quotient_up(one.figures.amount or ZERO, total, 12))
        return [Line(one.account, row, _part(quantity, share, instruments.lot[row])) for row, quantity in held.items()]

    def _policy(self, one: Called) -> Policy:
        return self.case.rules.policies[int(self.case.book.policy[one.account])]


def seller(case: Case, depths: Depths, how: str) -> Seller:
    """Whoever sells in this world."""
    rows = {int(id): row for row, id in enumerate(case.instruments.ids)}
    return Seller(case, depths, how, unit_values(case.instruments), rows)


def alone(case: Case, account: int) -> Case:
    """One account with only the instruments that its figures can depend on, so that sizing does not carry the others:
    what it holds, all cash, and what those are written on, deliver or follow."""
    instruments, book = case.instruments, build.take(case.book, np.array([account]))
    rows = {int(id): row for row, id in enumerate(instruments.ids)}
    needed = set(np.flatnonzero(instruments.kind == CASH).tolist())
    waiting = set(book.instrument.tolist())
    while waiting:
        needed |= waiting
        waiting = {rows[id] for row in waiting for id in _behind(instruments, row) if id in rows} - needed
    kept = np.array(sorted(needed), np.int64)
    return replace(
        case,
        book=replace(book, instrument=np.searchsorted(kept, book.instrument).astype(np.int32)),
        instruments=instruments.take(kept),
    )


def _behind(instruments: Instruments, row: int) -> Iterable[int]:
    """Ids of the instruments that this one is written on, delivers or follows."""
    yield int(instruments.index[row])
    contract = instruments.contract[row]
    if contract is not None:
        yield from (contract.underlying, contract.index, *(id for id, _, _ in contract.deliverable))


def _part(quantity: Decimal, share: Decimal, lot: Decimal) -> Decimal:
    """The trade that closes the share of a holding, rounded up to whole lots but never beyond it."""
    with exactly():
        size = min(round_quotient_up(abs(quantity) * share, lot, 0) * lot, abs(quantity))
        return -size if quantity > 0 else size


def unit_values(instruments: Instruments) -> Array:
    """What trading one unit moves, in the instrument's currency: Decimal per row, never negative."""
    with exactly():
        values: Array = np.abs(worth(instruments))
    return values


def net(lines: Iterable[Line]) -> dict[int, Decimal]:
    """Net quantity sold by row of Instruments; bought is negative."""
    sold: dict[int, Decimal] = {}
    with exactly():
        for line in lines:
            sold[line.instrument] = sold.get(line.instrument, ZERO) - line.quantity
    return sold


def booked(case: Case, lines: Sequence[Line], fetched: Array) -> Book:
    """The book after the trades at the prices `fetched` (Decimal per row of Instruments), fees paid."""
    instruments = replace(case.instruments, price=fetched)
    changes: dict[int, dict[int, Decimal]] = {}
    for account in dict.fromkeys(line.account for line in lines):
        of_account = {line.instrument: line.quantity for line in lines if line.account == account}
        policy = int(case.book.policy[account])
        regime = case.rules.policies[policy].regimes[0].regime
        fee_rate = case.readings[policy].terms.fee_rate
        trader = sizing.Account(case.book, account, instruments, case.market, case.rules, regime, fee_rate)
        changes[account] = trader.traded(of_account)
    return changed(case.book, case.instruments, changes)


def changed(book: Book, instruments: Instruments, changes: Mapping[int, Mapping[int, Decimal]]) -> Book:
    """The book with other holdings in some accounts: rows of Instruments → what is added. Others are not touched."""
    if not changes:
        return book
    owner = np.repeat(np.arange(len(book)), np.diff(book.offsets))
    kept = ~np.isin(owner, list(changes))
    parts = [(owner[kept], *(getattr(book, name)[kept] for name in _POSITION))]
    for account, change in changes.items():
        alone = alternatives.books(instruments, book, account, [change])
        rows = np.full(len(alone.instrument), account)
        parts.append((rows, *(getattr(alone, name) for name in _POSITION)))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    account, instrument = book.accounts[columns[0]], instruments.ids[columns[1]]
    quantity, decimals, cost, cost_decimals = columns[2:]
    positions = build.Columns(account, instrument, quantity, decimals, cost, cost_decimals)
    made = build.book_from_columns(
        instruments,
        accounts=book.accounts,
        base=book.base,
        policy=book.policy,
        revision=book.revision,
        positions=positions,
    )
    return replace(made, refused=book.refused, in_transit=book.in_transit, disputed=book.disputed)


_POSITION = ("instrument", "quantity", "decimals", "cost", "cost_decimals")
