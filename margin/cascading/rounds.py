"""Rounds: whoever is called sells, prices move by depth, everybody is measured again, until it ends. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import numpy as np

from margin.cascading import markets, selling
from margin.cascading.markets import Depths
from margin.cascading.question import CascadeQuestion
from margin.cascading.selling import Called, Line
from margin.engine.columns import CASH, KINDS, Array, Figures, Instruments, Market
from margin.engine.exact import ZERO, exactly
from margin.engine.sizing import NotSizable
from margin.hypothetical import repricing, supposing
from margin.hypothetical.books import Case
from margin.hypothetical.forms import Wrong
from margin.hypothetical.repricing import Options

SHOCKED = ("equity", "etf", "crypto", "index", "future", "perpetual")
FOLLOWING = ("future", "perpetual")
NO_CALLS, NOTHING_LEFT = "nobody is called", "nothing is left that a sale would help"
SETTLED, BOUNDED = "prices have settled", "the most rounds were played"
Ranker = Callable[["State", Sequence[Line], int], list[Line]]


@dataclass(frozen=True)
class Around:
    """What all rounds share: the case as it stands, the options on it, and the question."""

    case: Case
    options: Options
    asked: CascadeQuestion
    ours: frozenset[int]  # rows of accounts that are ours at counterparties
    most_called: int | None = None  # at once, where an answer must come soon

    def instruments(self, prices: Array) -> Instruments:
        """The instruments at these prices, options repriced on what moved."""
        base = self.case.instruments
        is_moved = np.array([new != old for new, old in zip(prices, base.price, strict=True)], bool) & base.priced
        still = np.zeros(len(base))
        return repricing.moved(base, self.options, prices=prices, is_moved=is_moved, volatility_shifts=still)

    def market(self, moved: Instruments) -> Market:
        """The market with the exchange rates of the coins that moved."""
        return repricing.with_rates(self.case.market, self.case.instruments, moved)


@dataclass(frozen=True)
class State:
    """Between two rounds: prices of their own (before futures follow), the case at the prices that count, the rest."""

    case: Case
    own: Array  # Decimal per row of Instruments
    shocked: Array  # the same right after the shock
    liquidity: Mapping[str, Decimal]  # what is left of ours, by currency
    stuck: Mapping[int, str] = field(default_factory=dict)  # account row → why nothing more is sold


@dataclass(frozen=True)
class Calls:
    """Who is called at the start of a round."""

    called: tuple[Called, ...]
    new: frozenset[int]  # account rows that had not been called before
    paid: Mapping[int, Decimal]  # account row → what we paid in answer to a call on us, in its currency


@dataclass(frozen=True)
class Step:
    """One round: the calls at its start, what was sold, and where prices ended."""

    calls: Calls
    lines: tuple[Line, ...]
    sold: Mapping[int, Decimal]  # net quantity by row of Instruments
    traded: Mapping[int, Decimal]  # gross value by row, in the instrument's currency, at the prices before
    before: Array  # Decimal prices per row of Instruments
    after: Array
    largest_move: float  # of a price, as a fraction


@dataclass(frozen=True)
class Cascade:
    """All rounds, why they ended, and the world afterwards."""

    steps: tuple[Step, ...]
    ended: str
    start: State  # after the shock, before anything is sold
    end: State
    still_called: tuple[Called, ...]
    equity: Mapping[int, Figures]  # by account row, at the end


def shocked(around: Around) -> State:
    """The world after the shock. Raises Wrong for an unknown instrument or a shock of all or more."""
    base, asked = around.case.instruments, around.asked
    rows = {str(code): row for row, code in enumerate(base.codes)}
    for code, shock in {"": asked.shock, **asked.price_shocks}.items():
        path = f"price_shocks.{code}" if code else "shock"
        if code and code not in rows:
            raise Wrong(path, f"{code} is not among the instruments")
        if not -1 < shock <= 10:
            raise Wrong(path, f"{shock} is not above -1 and at most 10")
    own = base.price.copy()
    for row in np.flatnonzero(base.priced & (base.kind != CASH)).tolist():
        shock = _shock(base, row, asked)
        if shock:
            own[row] = supposing.following(base.price[row], shock, base.leverage[row])
    moved = around.instruments(own)
    case = replace(around.case, instruments=moved, market=around.market(moved))
    return State(case, own, own, dict(asked.liquidity))


def _shock(base: Instruments, row: int, asked: CascadeQuestion) -> Decimal:
    code, kind, contract = str(base.codes[row]), KINDS[base.kind[row]], base.contract[row]
    if code in asked.price_shocks:
        return asked.price_shocks[code]
    if kind in FOLLOWING and contract is not None and contract.underlying_code in asked.price_shocks:
        return asked.price_shocks[contract.underlying_code]
    return asked.shock if kind in SHOCKED else ZERO


def play(
    around: Around, start: State, depths: Depths, *, how: str, ranked: Ranker | None = None, stages: int = 0
) -> Cascade:
    """Rounds from `start`. `ranked` chooses what of all sales is done now, in stages; rounds after those do all.

    Raises Wrong where more accounts are called at once than may be.
    """
    state, steps, seen, ended = start, list[Step](), set[int](), BOUNDED
    found = selling.called(state.case)
    for number in range(around.asked.max_rounds + stages):
        if not found:
            break
        if around.most_called is not None and len(found) > around.most_called:
            raise Wrong(
                "shock", f"calls {len(found):,} accounts, more than {around.most_called}: use manage.py cascade"
            )
        state, paid = _answered(around, state, found)
        lines, state = _lines(state, selling.called(state.case) if paid else found, depths, how)
        lines = ranked(state, lines, number) if ranked else lines
        if not lines and not paid:
            ended = NOTHING_LEFT
            break
        step, state = _traded(around, state, depths, lines, Calls(tuple(found), _rows(found) - seen, paid))
        seen |= _rows(found)
        steps.append(step)
        found = selling.called(state.case)
        is_settled = 0 < step.largest_move < float(around.asked.settled_rate)
        if number >= stages and is_settled and found and not _rows(found) - seen:
            ended = SETTLED
            break
    ended = ended if found else NO_CALLS
    return Cascade(tuple(steps), ended, start, state, tuple(found), selling.figures_of(state.case))


def _rows(found: Iterable[Called]) -> frozenset[int]:
    return frozenset(one.account for one in found)


def _answered(around: Around, state: State, found: Sequence[Called]) -> tuple[State, dict[int, Decimal]]:
    """Pay the calls on us out of our liquidity, whole calls only, the smallest first."""
    paid: dict[int, Decimal] = {}
    left = dict(state.liquidity)
    for one in sorted(found, key=lambda c: c.figures.amount or ZERO):
        amount, currency = one.figures.amount or ZERO, one.figures.currency
        if one.account in around.ours and 0 < amount <= left.get(currency, ZERO):
            left[currency] -= amount
            paid[one.account] = amount
    if not paid:
        return state, {}
    base, case = state.case.instruments, state.case
    cash = {int(base.currency[row]): int(row) for row in np.flatnonzero(base.kind == CASH)}
    changes = {row: {cash[int(case.book.base[row])]: amount} for row, amount in paid.items()}
    book = selling.changed(case.book, base, changes)
    return replace(state, case=replace(case, book=book), liquidity=left), paid


def _lines(state: State, found: Sequence[Called], depths: Depths, how: str) -> tuple[list[Line], State]:
    """What the called sell; who can sell nothing more is stuck, with the reason."""
    seller = selling.seller(state.case, depths, how)
    lines: list[Line] = []
    stuck = dict(state.stuck)
    for one in found:
        if one.account in stuck:
            continue
        try:
            wanted = seller.lines(one)
        except NotSizable as error:
            wanted, stuck[one.account] = [], str(error)
        else:
            if not wanted:
                stuck[one.account] = NOTHING_LEFT
        lines += wanted
    return lines, replace(state, stuck=stuck)


def _traded(around: Around, state: State, depths: Depths, lines: Sequence[Line], calls: Calls) -> tuple[Step, State]:
    """Book the sales, part of them at the new prices, and move prices by the depth of each market."""
    case, before = state.case, state.case.instruments
    units, sold = selling.unit_values(before), selling.net(lines)
    own = markets.after_sales(state.own, units, depths, sold)
    after = around.instruments(markets.followed(before, state.shocked, own))
    late = np.where(after.priced, after.price, before.price)
    fetched = markets.executed(before.price, late, around.asked.late_rate)
    step = Step(
        calls=calls,
        lines=tuple(lines),
        sold=sold,
        traded=_gross(lines, units),
        before=before.price,
        after=after.price,
        largest_move=_largest(before.price, after.price),
    )
    book = selling.booked(case, lines, fetched)
    then = replace(case, book=book, instruments=after, market=around.market(after))
    return step, replace(state, case=then, own=own)


def _gross(lines: Iterable[Line], units: Array) -> dict[int, Decimal]:
    """What is traded of each instrument, at the prices before, bought or sold. Exact."""
    found: dict[int, Decimal] = {}
    with exactly():
        for line in lines:
            found[line.instrument] = found.get(line.instrument, ZERO) + abs(line.quantity) * units[line.instrument]
    return found


def _largest(before: Array, after: Array) -> float:
    moves = (abs(float(new / old) - 1) for old, new in zip(before, after, strict=True) if old != new and old)
    return max(moves, default=0.0)
