"""Calls that come from trades: Regulation T per trade date, day trading, intraday margin. Pure: Decimals and days.

A deficiency of this kind is made by what an account did on a day, not by what it is worth: it is fixed when the day
closes, and the market does not meet it (12 CFR 220.4(c)). Three rules:

* `reg_t`: what a day's commitments ask beyond SMA and what came in, trades of one day netted (220.4(c)(1)).
* `day_trade`: FINRA 4210(f)(8)(B), to 3 June 2026: round trips of a day against a multiple of yesterday's excess.
* `intraday`: FINRA 4210(d)(2) since then: the lowest level of margin after a trade or withdrawal that lowered it.

Amounts are exact and in the account's base currency; who asks rounds them up, who releases rounds them down.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

from margin.engine import sma
from margin.engine import terms as reading
from margin.engine.account import RULE_BOOK, Rules
from margin.engine.exact import ZERO, exactly, round_down, round_up

METHODOLOGY = "trades"


# --- terms ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RegTTerms:
    """Regulation T has no numbers of its own here: the rates are those of the policy's regime of `reg_t`."""

    of: ClassVar[str] = ""
    past_due_clock: ClassVar[Mapping[str, Any]] = {}


@dataclass(frozen=True)
class DayTradeTerms:
    """4210(f)(8)(B). `of` names the regime of the policy whose requirement is the maintenance margin."""

    of: str
    pattern: int = 4  # day trades …
    window: int = 5  # … within so many business days make a pattern,
    least_share: Decimal = Decimal("0.06")  # unless they are no more than this share of all trades
    remembered_days: int = 90  # calendar days for which a pattern once shown holds
    multiple: Decimal = Decimal(4)
    reduced_multiple: Decimal = Decimal(2)  # without a pattern, or with an open day-trading call
    minimum_equity: Decimal = Decimal(25000)
    is_time_and_tick: bool = True  # the highest open position counts; else the sum of all round trips
    past_due_clock: Mapping[str, Any] = field(default_factory=dict)  # where another day-trading call is past due

    def __post_init__(self) -> None:
        if min(self.pattern, self.window, self.remembered_days) < 1:
            raise ValueError("pattern, window and remembered_days must be at least 1")
        if not 1 <= self.reduced_multiple <= self.multiple:
            raise ValueError("reduced_multiple must be at least 1 and not above multiple")
        if self.minimum_equity < 0 or not 0 <= self.least_share < 1:
            raise ValueError("minimum_equity must not be negative, least_share from 0 to below 1")


@dataclass(frozen=True)
class IntradayTerms:
    """4210(d)(2). A deficit up to the lesser of `de_minimis` (of the regime) and this share of equity is not called."""

    of: str
    least_equity_rate: Decimal = Decimal("0.05")
    past_due_clock: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        if not 0 <= self.least_equity_rate < 1:
            raise ValueError("least_equity_rate must be from 0 to below 1")


Terms = RegTTerms | DayTradeTerms | IntradayTerms
RULES: Mapping[str, type[Terms]] = {"reg_t": RegTTerms, "day_trade": DayTradeTerms, "intraday": IntradayTerms}


def terms(rule: str, document: Any) -> Terms:
    """The terms of a rule from a policy's JSON; ValueError naming the key, or the known rules."""
    if rule not in RULES:
        raise ValueError(f"{METHODOLOGY} measures {', '.join(RULES)}, not {rule!r}")
    found: Terms = reading.read(RULES[rule], document)
    return found


# --- Regulation T -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Posted:
    """One posting to SMA by the day it belongs to: what it credits (positive) or debits, and how the part that is
    called and not yet paid changed with it."""

    on: date
    effect: Decimal
    called_change: Decimal
    fill_id: int | None = None  # None: money, or a raise of SMA

    @property
    def is_trade(self) -> bool:
        return self.fill_id is not None


@dataclass(frozen=True)
class Day:
    """What a trade date came to. `deficiency`: asked for that day; `released`: what its net sales give to older calls,
    `sources` of it by fill, in order."""

    on: date
    deficiency: Decimal
    released: Decimal
    sources: tuple[tuple[int, Decimal], ...] = ()


def fold(state: sma.State, entries: Sequence[sma.Entry], exponent: int, rules: Rules = RULE_BOOK) -> list[sma.State]:
    """The state after each of these planned entries, rounded as SMA is stored."""
    states = []
    for entry in entries:
        after = sma.post(state, entry, rules)
        state = sma.State(round_down(after.balance, exponent), round_up(after.called, exponent))
        states.append(state)
    return states


def days(called: Decimal, postings: Iterable[Posted]) -> tuple[Day, ...]:
    """The trade dates of these postings, ascending; `called` is what was called and not paid before the first.

    Trades of a day are netted, in whatever order they were done: selling 20,000 and buying 11,000 releases 4,500. What
    money came in goes to the oldest deficiency first, then to the day's own.
    """
    by_day: dict[date, list[Posted]] = {}
    for posting in postings:
        by_day.setdefault(posting.on, []).append(posting)
    found = []
    with exactly():
        for on in sorted(by_day):
            mine = by_day[on]
            found.append(_day(on, mine, called))
            called += sum((one.called_change for one in mine), ZERO)
    return tuple(found)


def _day(on: date, postings: Sequence[Posted], called_before: Decimal) -> Day:
    trades = sum((one.effect for one in postings if one.is_trade), ZERO)
    money = sum((one.effect for one in postings if not one.is_trade), ZERO)
    change = sum((one.called_change for one in postings), ZERO)
    freed = max(money, ZERO) if trades < 0 else max(money + trades, ZERO)
    paid = min(called_before, freed)
    released = max(trades + min(money, ZERO), ZERO)
    return Day(on, max(change + paid, ZERO), released, _sources(postings, released))


def _sources(postings: Sequence[Posted], released: Decimal) -> tuple[tuple[int, Decimal], ...]:
    """Which sales gave what the day released, the first ones first."""
    found = []
    for one in postings:
        given = min(max(one.effect, ZERO), released)
        if one.fill_id is not None and given > 0:
            found.append((one.fill_id, given))
            released -= given
    return tuple(found)


def shared(
    released: Iterable[tuple[int, Decimal]], wanted: Iterable[tuple[int, Decimal]]
) -> list[tuple[int, int, Decimal]]:
    """(call, source, amount): each source given to the calls in their order, no part of it to two of them."""
    sources = dict(released)
    given = []
    for call, lacking in wanted:
        left = lacking
        for source, amount in sources.items():
            taken = min(left, amount)
            if taken > 0:
                given.append((call, source, taken))
                sources[source] -= taken
                left -= taken
    return given


def to_liquidate(outstanding: Decimal, margin_deficiency: Decimal) -> Decimal:
    """What an unmet call must be liquidated for: the lesser of it and the deficiency existing that day (220.4(d))."""
    return max(min(outstanding, margin_deficiency), ZERO)


# --- day trading, to 3 June 2026 --------------------------------------------------------------------------


@dataclass(frozen=True)
class Trade:
    """An executed trade: bought positive; `value` is what one unit came to, in base currency."""

    security: int
    quantity: Decimal
    value: Decimal
    at: datetime


@dataclass(frozen=True)
class RoundTrip:
    """A quantity opened and closed on one day, the position it was opened at, and when it was open."""

    security: int
    cost: Decimal
    opened_at: datetime
    closed_at: datetime


@dataclass(frozen=True)
class DayTrades:
    """A day's round trips; `count` of them as the rule counts; `trades`: all trades of the day."""

    round_trips: tuple[RoundTrip, ...] = ()
    count: int = 0
    trades: int = 0


def day_trades(trades: Sequence[Trade], held_before: Mapping[int, Decimal]) -> DayTrades:
    """Find a day's round trips: opening and closing the same security the same day (4210(f)(8)(B)).

    Trades in the order they were done. What was held overnight and is closed before anything new was opened is no day
    trade; after that, what was opened last is closed first. Several openings closed by several trades in one go are one
    day trade; every return from opening to closing counts again.
    """
    position = dict(held_before)
    lots: dict[int, list[tuple[Decimal, Trade]]] = {}
    is_closing: dict[int, bool] = {}
    trips: list[RoundTrip] = []
    count = 0
    with exactly():
        for trade in trades:
            held = position.get(trade.security, ZERO)
            position[trade.security] = held + trade.quantity
            closing = ZERO if held * trade.quantity >= 0 else min(abs(held), abs(trade.quantity))
            mine = lots.setdefault(trade.security, [])
            closed = _closed(mine, closing, trade)
            count += bool(closed) and not is_closing.get(trade.security, False)
            is_closing[trade.security] = bool(closing)
            trips += closed
            opened = abs(trade.quantity) - closing
            if opened:
                mine.append((opened, trade))
                is_closing[trade.security] = False
    return DayTrades(tuple(trips), count, len(trades))


def _closed(lots: list[tuple[Decimal, Trade]], quantity: Decimal, trade: Trade) -> list[RoundTrip]:
    """Take this quantity from today's lots, the last opened first; what remains was held overnight."""
    found = []
    while quantity and lots:
        size, opening = lots.pop()
        taken = min(size, quantity)
        found.append(RoundTrip(trade.security, taken * opening.value, opening.at, trade.at))
        quantity -= taken
        if size > taken:
            lots.append((size - taken, opening))
    return found


def has_pattern(found: Mapping[date, DayTrades], business_days: Sequence[date], terms: DayTradeTerms) -> bool:
    """Whether any `window` successive business days hold `pattern` day trades, and more than their least share."""
    for start in range(max(len(business_days) - terms.window + 1, 1)):
        mine = [found[day] for day in business_days[start : start + terms.window] if day in found]
        count, trades = sum(one.count for one in mine), sum(one.trades for one in mine)
        if count >= terms.pattern and count > terms.least_share * trades:
            return True
    return False


def exposure(trips: Sequence[RoundTrip], terms: DayTradeTerms) -> Decimal:
    """The cost that counts: of all round trips, or, by time and tick, the most that was open at once."""
    with exactly():
        if not terms.is_time_and_tick:
            return sum((trip.cost for trip in trips), ZERO)
        return max((_open_at(trips, trip.opened_at) for trip in trips), default=ZERO)


def _open_at(trips: Sequence[RoundTrip], at: datetime) -> Decimal:
    """What was open just after this instant; what closed at the very instant counts, for its order is not known."""
    return sum((trip.cost for trip in trips if trip.opened_at <= at <= trip.closed_at), ZERO)


def day_trade_call(exposed: Decimal, excess: Decimal, multiple: Decimal, exponent: int) -> Decimal:
    """What a day's exposure asks beyond buying power: (exposure − multiple × excess) ÷ multiple, rounded up."""
    with exactly():
        beyond = exposed - multiple * max(excess, ZERO)
    if beyond <= 0:
        return ZERO
    share = Fraction(beyond) / Fraction(multiple) * 10**exponent
    return Decimal(-(-share.numerator // share.denominator)).scaleb(-exponent)


def multiple(terms: DayTradeTerms, *, is_pattern: bool, equity: Decimal, has_open_call: bool) -> Decimal:
    """4 for a pattern day trader of 25,000 without an open call; 2 for everybody else."""
    is_full = is_pattern and not has_open_call and equity >= terms.minimum_equity
    return terms.multiple if is_full else terms.reduced_multiple


# --- intraday margin, from 4 June 2026 --------------------------------------------------------------------


@dataclass(frozen=True)
class Level:
    """The intraday margin level just after something happened: equity − maintenance; what could be withdrawn."""

    at: datetime
    margin: Decimal
    equity: Decimal
    is_reducing: bool
    """Whether it was a trade or withdrawal that lowered the level; a fall of the market is not."""
    source: str = ""


def intraday_deficit(levels: Iterable[Level]) -> Level | None:
    """The lowest level of the day after what lowered it; None where none of those is below zero."""
    below = [level for level in levels if level.is_reducing and level.margin < 0]
    return min(below, key=lambda level: (level.margin, level.at), default=None)


def disregarded(equity: Decimal, de_minimis: Decimal, terms: IntradayTerms) -> Decimal:
    """The lesser of 1,000 and 5 % of equity: a deficit up to it is not called; nothing where equity is gone."""
    with exactly():
        return max(min(de_minimis, terms.least_equity_rate * equity), ZERO)


@dataclass(frozen=True)
class Waiting:
    """An open deficit: the level at the close of its day, and its whole amount, for money raises the level too."""

    closed_at_level: Decimal
    amount: Decimal


def unsatisfied(waiting: Sequence[Waiting], level: Decimal) -> list[Decimal]:
    """What each deficit still lacks at a later close, the oldest first: a rise of the level from one end of day to
    another satisfies, and no part of a rise satisfies two."""
    found = []
    for place, mine in enumerate(waiting):
        rise = level - mine.closed_at_level
        for older in waiting[:place]:
            whole = min(older.amount, max(level - older.closed_at_level, ZERO))
            before = min(older.amount, max(mine.closed_at_level - older.closed_at_level, ZERO))
            rise -= whole - before
        found.append(max(mine.amount - max(rise, ZERO), ZERO))
    return found
