"""What a day's trades ask: new calls per account, regime and trade date, as the policy in force on that day states.

Reads and reckons; nothing is written. Amounts are rounded up to the smallest unit of the account's currency.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from margin import closing, rows, trade_days
from margin.calls import Move
from margin.due import Due
from margin.engine import trade_calls
from margin.engine.exact import ZERO, plain
from margin.engine.trade_calls import DayTradeTerms, IntradayTerms, Waiting
from margin.models import Cure, Event, MarginCall, PolicyVersion, Sweep
from margin.policies import Reading
from margin.policy_terms import RegimeTerms
from margin.sma_sources import NotKnown
from margin.snapshot import Snapshot
from margin.workflow import Regime, State, Verb

MINIMUM = "minimum:"  # the key of a call for the minimum equity of day traders, before its day


@dataclass(frozen=True)
class Ask:
    """A call to be issued."""

    account_id: int
    regime: str
    key: str
    on: date
    amount: Decimal
    currency: str
    is_provisional: bool = False
    is_past_due: bool = False
    """Another day-trading call is past due: the shorter clock counts."""
    predecessor: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Day:
    """A day under review: its sweep, the frozen book, and whether it is over."""

    sweep: Sweep
    snap: Snapshot
    in_force: Mapping[str, PolicyVersion]
    on: date
    is_over: bool

    def reading(self, account_id: int) -> Reading:
        return self.snap.reading(trade_days.row_of(self.snap, account_id))

    def currency(self, account_id: int) -> str:
        return self.snap.instruments.currencies[int(self.snap.book.base[trade_days.row_of(self.snap, account_id)])]

    def exponent(self, account_id: int) -> int:
        return self.snap.instruments.minor_exponent(int(self.snap.book.base[trade_days.row_of(self.snap, account_id)]))

    def governed(self, regime: str) -> list[int]:
        """The accounts of the book whose policy has this regime."""
        accounts = (int(pk) for pk in self.snap.book.accounts)
        return [pk for pk in accounts if regime in self.reading(pk).of_trades]


def day_of(call: MarginCall) -> date:
    """The trade date a call is for: its key, or, of a call by hand, the day it was issued."""
    text = call.deficiency_key.removeprefix(MINIMUM)
    try:
        return date.fromisoformat(text)
    except ValueError:
        return closing.day_of(call.issued_at)


def former(ids: Iterable[int], regime: str, since: date) -> dict[tuple[int, date], list[MarginCall]]:
    """All calls of a regime by account and trade date, the oldest first; those by hand and minimum equity left out."""
    found: dict[tuple[int, date], list[MarginCall]] = defaultdict(list)
    listed = MarginCall.objects.filter(account__in=list(ids), regime=regime, deficiency_key__gte=since.isoformat())
    for call in listed.exclude(deficiency_key__startswith=MINIMUM).order_by("pk"):
        found[call.account_id, day_of(call)].append(call)
    return found


# --- Regulation T -----------------------------------------------------------------------------------------


def answered(mine: Sequence[MarginCall], on: date) -> Decimal:
    """What the calls of one trade date have asked of what the day came to, beyond the money of that day itself."""
    total = ZERO
    for call in mine:
        settled = call.cures.filter(state=Cure.State.SETTLED)
        is_whole = call.is_open or call.state == State.LIQUIDATED
        released = settled.aggregate(total=Sum("release"))["total"] or ZERO
        total += call.amount_called if is_whole else min(call.amount_called, released)
        total -= sum(
            (one.release for one in settled.select_related("movement")
             if one.movement is not None and closing.day_of(one.movement.effective_at) == on), ZERO,
        )  # fmt: skip
    return total


def reg_t(
    day: Day, days: Mapping[int, Sequence[trade_calls.Day]], *, since: date
) -> tuple[list[Ask], dict[int, Decimal]]:
    """New calls of Regulation T, and by how much trades told late raised final ones, by call."""
    known = former(days, Regime.REG_T, since)
    asks, grown = [], {}
    for pk, found in days.items():
        terms = day.reading(pk).terms.regime(Regime.REG_T)
        for one in (one for one in found if one.on >= since):
            mine = known.get((pk, one.on), [])
            last = mine[-1] if mine else None
            if any(call.state == State.CANCELLED or (call.is_provisional and call.is_open) for call in mine):
                continue
            beyond = one.deficiency - answered(mine, one.on)
            if last is not None and last.is_open:
                grown[last.pk] = max(beyond, ZERO)
            elif beyond > max(terms.de_minimis, terms.tolerance):
                is_lasting = one.on == day.on and not day.is_over
                asks.append(
                    Ask(pk, Regime.REG_T, one.on.isoformat(), one.on, beyond, day.currency(pk), is_lasting,
                        predecessor=last.pk if last else None, details={"trade_date": one.on.isoformat()})
                )  # fmt: skip
    return asks, grown


# --- day trading ------------------------------------------------------------------------------------------


def day_trade(
    day: Day, traded: Collection[int], open_calls: Sequence[MarginCall], waiting: dict[int, str]
) -> list[Ask]:
    """Day-trading calls and calls for the minimum equity of a day that is over."""
    chosen = [pk for pk in day.governed(Regime.DAY_TRADE) if pk in traded]
    before = _levels_before(day, Regime.DAY_TRADE, chosen, waiting)
    known = former(chosen, Regime.DAY_TRADE, day.on)
    asks: list[Ask] = []
    for pk in before:
        mine = [call for call in open_calls if call.account_id == pk and call.regime == Regime.DAY_TRADE]
        try:
            asks += _day_trade(day, pk, before[pk], mine, is_called=(pk, day.on) in known)
        except NotKnown as unknown:
            waiting[pk] = str(unknown)
    return asks


def _day_trade(
    day: Day, pk: int, before: tuple[Decimal, Decimal], mine: Sequence[MarginCall], *, is_called: bool
) -> list[Ask]:
    reading = day.reading(pk)
    regime, terms = reading.terms.regime(Regime.DAY_TRADE), reading.of_trades[Regime.DAY_TRADE]
    assert isinstance(terms, DayTradeTerms)  # noqa: S101  policies.parse read them so
    found = trade_days.day_trades(day.snap, pk, regime.kinds, terms, day=day.on)
    today = found.get(day.on, trade_calls.DayTrades())
    if not today.count:
        return []
    equity, excess = before
    open_trades = [call for call in mine if not call.deficiency_key.startswith(MINIMUM)]
    open_minimum = [call for call in mine if call.deficiency_key.startswith(MINIMUM)]
    is_past_due = any(call.due_at <= day.sweep.at for call in mine)
    is_pattern = trade_calls.has_pattern(found, trade_days.business_days(min(found), day.on), terms)
    multiple = trade_calls.multiple(terms, is_pattern=is_pattern, equity=equity, has_open_call=bool(open_trades))
    exposed = trade_calls.exposure(today.round_trips, terms)
    amount = trade_calls.day_trade_call(exposed, excess, multiple, day.exponent(pk))
    currency, key = day.currency(pk), day.on.isoformat()
    told = {"day_trades": today.count, "exposure": plain(exposed), "excess": plain(excess), "multiple": plain(multiple)}
    asks = []
    if amount > max(regime.de_minimis, regime.tolerance) and not is_called:
        asks.append(Ask(pk, Regime.DAY_TRADE, key, day.on, amount, currency, is_past_due=is_past_due, details=told))
    lacking = terms.minimum_equity - equity
    if is_pattern and lacking > 0 and not open_minimum and not _was_called(pk, MINIMUM + key):
        told = {"minimum_equity": plain(terms.minimum_equity), "equity": plain(equity)}
        asks.append(Ask(pk, Regime.DAY_TRADE, MINIMUM + key, day.on, lacking, currency, details=told))
    return asks


def _was_called(pk: int, key: str) -> bool:
    return MarginCall.objects.filter(account=pk, regime=Regime.DAY_TRADE, deficiency_key=key).exists()


# --- intraday margin --------------------------------------------------------------------------------------


def intraday(day: Day, traded: Collection[int], waiting: dict[int, str]) -> list[Ask]:
    """Intraday deficits of a day that is over, less what the day itself brought from close to close."""
    known = former(day.governed(Regime.INTRADAY), Regime.INTRADAY, day.on)
    chosen = [pk for pk in day.governed(Regime.INTRADAY) if pk in traded and (pk, day.on) not in known]
    before = _levels_before(day, Regime.INTRADAY, chosen, waiting)
    of = {pk: day.reading(pk).of_trades[Regime.INTRADAY].of for pk in before}
    at_close = trade_days.levels(day.snap, of)
    asks = []
    for pk, found in trade_days.intraday(day.in_force, of, day=day.on, until=day.sweep.at).items():
        if isinstance(found, str) or pk not in at_close:
            waiting[pk] = found if isinstance(found, str) else "it is unpriced at the close"
            continue
        lowest = trade_calls.intraday_deficit(found)
        if lowest is not None:
            asks += _intraday(day, pk, lowest, before[pk][1], at_close[pk])
    return asks


def _intraday(
    day: Day, pk: int, lowest: trade_calls.Level, before: Decimal, at_close: tuple[Decimal, Decimal]
) -> list[Ask]:
    reading = day.reading(pk)
    terms = reading.of_trades[Regime.INTRADAY]
    assert isinstance(terms, IntradayTerms)  # noqa: S101  policies.parse read them so
    equity, level = at_close
    left = -lowest.margin - max(level - before, ZERO)
    limit = trade_calls.disregarded(equity, reading.terms.regime(Regime.INTRADAY).de_minimis, terms)
    if left <= limit:
        return []
    details = {
        "lowest": plain(lowest.margin),
        "lowest_at": lowest.at.isoformat(),
        "after": lowest.source,
        "level_at_close": plain(level),
    }
    return [Ask(pk, Regime.INTRADAY, day.on.isoformat(), day.on, left, day.currency(pk), details=details)]


def unsatisfied(day: Day, open_calls: Sequence[MarginCall]) -> dict[int, Decimal]:
    """What a rise of the level leaves of each open intraday deficit at this close, by call; the money that came in is
    part of the rise. Nothing is said of accounts that are unpriced.
    """
    mine = [call for call in open_calls if call.regime == Regime.INTRADAY]
    governed = set(day.governed(Regime.INTRADAY))
    of = {call.account_id: day.reading(call.account_id).of_trades[Regime.INTRADAY].of
          for call in mine if call.account_id in governed}  # fmt: skip
    levels = trade_days.levels(day.snap, of) if of else {}
    everyone = [*mine, *_met_since(mine)]
    closes = _levels_at_issue(everyone)
    lacking: dict[int, Decimal] = {}
    for pk, (_, level) in levels.items():
        listed = sorted((call for call in everyone if call.account_id == pk and call.pk in closes), key=day_of)
        waiting = [Waiting(closes[call.pk], call.amount_called) for call in listed]
        lacking |= zip((call.pk for call in listed), trade_calls.unsatisfied(waiting, level), strict=True)
    return lacking


def _met_since(mine: Sequence[MarginCall]) -> list[MarginCall]:
    """Deficits met since the oldest open one began: what met them satisfies no other."""
    if not mine:
        return []
    since = trade_days.begin_of(min(day_of(call) for call in mine))
    accounts = {call.account_id for call in mine}
    met = MarginCall.objects.filter(account__in=accounts, regime=Regime.INTRADAY, state=State.MET, closed_at__gte=since)
    return list(met)


def _levels_at_issue(mine: Sequence[MarginCall]) -> dict[int, Decimal]:
    """The level at the close of each deficit's own day, as the event that issued the call says it."""
    events = Event.objects.filter(call__in=[call.pk for call in mine], kind=Verb.ISSUE)
    told = {event.call_id: rows.read(event).get("details", {}).get("level_at_close") for event in events}
    return {call: Decimal(level) for call, level in told.items() if call is not None and level is not None}


def _levels_before(
    day: Day, regime: str, ids: Sequence[int], waiting: dict[int, str]
) -> Mapping[int, tuple[Decimal, Decimal]]:
    """(equity, level) of these accounts at the close before; those of which it cannot be told wait."""
    if not ids:
        return {}
    earlier = [one for one in trade_days.business_days(day.on - trade_days.WEEK, day.on) if one < day.on]
    sweep = closing.sweep_of(earlier[-1]) if earlier else None
    found: Mapping[int, tuple[Decimal, Decimal]] = {}
    if sweep is not None:
        of = {pk: day.reading(pk).of_trades[regime].of for pk in ids}
        found = trade_days.levels(trade_days.frozen(sweep, day.in_force, ids), of)
    missing = "it was unpriced at the close before" if sweep else "no sweep was complete after the close before"
    waiting |= {pk: missing for pk in ids if pk not in found}
    return found


# --- issuing ----------------------------------------------------------------------------------------------


def issue(ask: Ask, version_id: int, terms: RegimeTerms, deadline: Due, assessment_id: int | None) -> Move:
    """The door's move for a new call."""
    return Move(
        Verb.ISSUE,
        ask.account_id,
        regime=ask.regime,
        deficiency_key=ask.key,
        changes={
            "policy_version_id": version_id,
            "assessment_id": assessment_id,
            "currency": ask.currency,
            "amount_called": ask.amount,
            "amount_outstanding": ask.amount,
            "tolerance": terms.tolerance,
            "market_cures": terms.market_cures,
            "due_at": deadline.at,
            "original_due_at": deadline.at,
            "due_basis": deadline.basis[:200],
            "is_provisional": ask.is_provisional,
            "predecessor_id": ask.predecessor,
        },
        details=dict(ask.details),
    )
