"""What accounts did on a day of New York, as the rules about trades read it: postings to SMA, round trips, levels.

Reads only. Each answer is on the prices and the book of one complete sweep. What cannot be told is named with the
reason, never guessed (law 3).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
from django.db.models import Q, Sum

from accounts import fills
from accounts.holdings import notional
from accounts.models import CashMovement, Cause, Fill, PositionFact
from margin import closing, prices, sma, sma_feed, sma_sources, snapshot
from margin.engine import alternatives, assess, regulation, sma_day, trade_calls
from margin.engine.account import Rules
from margin.engine.columns import Status
from margin.engine.exact import ZERO, exactly, round_down
from margin.engine.sma import Entry, Kind, State, effect
from margin.engine.trade_calls import DayTrades, DayTradeTerms, Level, Posted, Trade
from margin.models import PolicyVersion, SmaEntry, Sweep
from margin.sma_sources import Close, NotKnown
from margin.snapshot import Snapshot
from market import calendars

WEEK = timedelta(days=10)  # holds a trading day, whatever the holidays
EVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class Told:
    """What is known by account id, and of whom it cannot be told, with the reason."""

    days: dict[int, tuple[trade_calls.Day, ...]] = field(default_factory=dict)
    waiting: dict[int, str] = field(default_factory=dict)


def begin_of(day: date) -> datetime:
    """Midnight in New York."""
    return datetime.combine(day, time(), closing.ZONE)


def frozen(sweep: Sweep, in_force: Mapping[str, PolicyVersion], ids: Sequence[int]) -> Snapshot:
    """These accounts under these policies, on the sweep's prices and as they were at its instant."""
    return snapshot.take(
        prices=prices.of(sweep),
        in_force=in_force,
        accounts=snapshot.Accounts(ids=ids),
        past=snapshot.Past(at=sweep.at),
    )


# --- Regulation T -----------------------------------------------------------------------------------------


def reg_t(sweep: Sweep, in_force: Mapping[str, PolicyVersion], ids: Sequence[int], *, since: date) -> Told:
    """The trade dates from `since` of these accounts; an account whose SMA only begins has none yet."""
    numbers = sma.numbers(ids, first=0, last=0)
    snap = frozen(sweep, in_force, ids)
    found = regulation.measured(snap.book, snap.instruments, snap.market, snap.rules)
    close = Close(sweep, snap, found, numbers)
    told = Told(waiting={pk: "; ".join(reasons) for pk, reasons in found.unpriced.items()})
    stored, called = _stored(close, begin_of(since))
    last = sma.latest(ids)
    unposted = sma_sources.unposted(ids, until=sweep.at)
    beginning = sma_feed.opening([pk for pk in ids if pk not in last], sweep.at)
    for pk in sorted(found.standing.keys() - beginning):
        try:
            entry = last.get(pk)
            state = State(entry.balance, entry.called) if entry else State()
            postings = [*stored.get(pk, ()), *_planned(pk, state, unposted.get(pk, []), close)]
        except NotKnown as unknown:
            told.waiting[pk] = str(unknown)
            continue
        told.days[pk] = trade_calls.days(called.get(pk, ZERO), postings)
    return told


def _stored(close: Close, since: datetime) -> tuple[dict[int, list[Posted]], dict[int, Decimal]]:
    """What was posted to SMA since, and what was called and not paid before that, by account."""
    ids = list(close.found.standing)
    before = SmaEntry.objects.filter(account__in=ids, at__lt=since).order_by("account_id", "-number")
    called = dict(before.distinct("account_id").values_list("account_id", "called"))
    running = dict(called)
    found: dict[int, list[Posted]] = defaultdict(list)
    entries = SmaEntry.objects.filter(account__in=ids, at__gte=since).order_by("account_id", "number")
    for entry in entries.select_related("fill", "movement"):
        change = entry.called - running.get(entry.account_id, ZERO)
        running[entry.account_id] = entry.called
        credit = _credit(Kind(entry.kind), entry.amount, close.rules(entry.account_id))
        found[entry.account_id].append(Posted(_day_of(entry), credit, change, entry.fill_id))
    return found, called


def _day_of(entry: SmaEntry) -> date:
    source = entry.fill.traded_at if entry.fill else entry.movement.effective_at if entry.movement else entry.at
    return closing.day_of(source)


def _credit(kind: Kind, amount: Decimal, rules: Rules) -> Decimal:
    """What a posting credits or debits; SMA given for a call pays it as money would, a close by itself nothing."""
    if kind is Kind.CLOSE:
        return ZERO
    return amount if kind is Kind.CALL else effect(Entry(kind, amount), rules)


def _planned(pk: int, state: State, sources: Sequence[sma_sources.Source], close: Close) -> list[Posted]:
    """What is not posted yet, as the close would post it."""
    if not sources:
        return []
    exponent, rules = close.exponent(pk), close.rules(pk)
    plan = sma_day.plan(state, sma_sources.entries(sources, close), close.found.standing[pk], exponent, rules)
    if plan.raised_to is not None:
        state = replace(state, balance=max(round_down(plan.raised_to, exponent), state.balance))
    found = []
    states = trade_calls.fold(state, plan.entries, exponent, rules)
    for source, entry, after in zip(sources, plan.entries, states, strict=True):
        credit = round_down(effect(entry, rules), exponent)
        fill_id = source.fill.pk if source.fill else None
        found.append(Posted(closing.day_of(source.at), credit, after.called - state.called, fill_id))
        state = after
    return found


# --- day trades -------------------------------------------------------------------------------------------


def day_trades(
    snap: Snapshot, pk: int, kinds: Sequence[str], terms: DayTradeTerms, *, day: date
) -> dict[date, DayTrades]:
    """The round trips of each of the remembered days on which the account traded, in base currency."""
    first = day - timedelta(days=terms.remembered_days)
    traded = Fill.objects.filter(
        account=pk, traded_at__gte=begin_of(first), traded_at__lt=begin_of(day + timedelta(days=1)),
        traded_at__lte=snap.at, instrument__kind__in=kinds, reverses=None, reversed_by=None,
    ).select_related("instrument").order_by("traded_at", "pk")  # fmt: skip
    by_day: dict[date, list[Fill]] = defaultdict(list)
    for fill in traded:
        by_day[closing.day_of(fill.traded_at)].append(fill)
    return {
        on: trade_calls.day_trades([_trade(fill, snap, pk) for fill in mine], _held_before(pk, mine, on))
        for on, mine in by_day.items()
    }


def _trade(fill: Fill, snap: Snapshot, pk: int) -> Trade:
    base = snap.instruments.currencies[int(snap.book.base[row_of(snap, pk)])]
    rate = snap.market.rate(fill.instrument.currency, base)
    if rate is None:
        raise NotKnown(f"no exchange rate of {fill.instrument.currency} in {base}")
    with exactly():
        value = abs(notional(Decimal(1), fill.price, fill.instrument)) * rate
    return Trade(fill.instrument_id, fill.quantity, value, fill.traded_at)


def _held_before(pk: int, traded: Iterable[Fill], on: date) -> dict[int, Decimal]:
    facts = PositionFact.objects.filter(
        account=pk, instrument__in={fill.instrument_id for fill in traded}, effective_at__lt=begin_of(on)
    )
    return dict(facts.values_list("instrument").order_by().annotate(Sum("change")))


def business_days(first: date, last: date) -> list[date]:
    """The trading days of New York from one to the other."""
    return [day for day in calendars.business_days(closing.CALENDAR).dates if first <= day <= last]


# --- levels -----------------------------------------------------------------------------------------------


def levels(snap: Snapshot, of: Mapping[int, str]) -> Mapping[int, tuple[Decimal, Decimal]]:
    """(equity, equity − requirement) of each priced account in the regime that `of` names for it."""
    found = assess.assess(snap.book, snap.instruments, snap.market, snap.rules)
    wanted = {}
    for figures in found.figures(np.arange(len(found))):
        is_asked = of.get(figures.account_id) == figures.regime and figures.status != Status.UNPRICED
        if is_asked and figures.equity is not None and figures.requirement is not None:
            wanted[figures.account_id] = figures.equity, figures.equity - figures.requirement
    return wanted


@dataclass(frozen=True)
class Happened:
    """A trade or movement of money: what it changed, by instrument id."""

    source: str
    changes: Mapping[int, Decimal]


def intraday(
    in_force: Mapping[str, PolicyVersion], of: Mapping[int, str], *, day: date, until: datetime
) -> dict[int, list[Level] | str]:
    """The margin levels of a day, one per instant at which something happened; or why they cannot be told.

    At each instant the account stands at the marks then known. Of what happened at one instant the order is not known:
    what lowers the level is taken first (SR-FINRA-2025-017).
    """
    happened = _happened(sorted(of), begin_of(day), until)
    found: dict[int, list[Level] | str] = {pk: [] for pk in of}
    for at in sorted({at for _, at in happened}):
        mine = [pk for pk, when in happened if when == at and not isinstance(found[pk], str)]
        snap = snapshot.take(
            prices=prices.gather(at=at, known_at=EVER),
            in_force=in_force,
            accounts=snapshot.Accounts(ids=mine),
            past=snapshot.Past(at=at),
        )
        for pk in mine:
            level = _level(snap, pk, happened[pk, at], of[pk])
            known = found[pk]
            if isinstance(level, str):
                found[pk] = level
            elif isinstance(known, list):
                known.append(level)
    return found


def _happened(ids: Sequence[int], since: datetime, until: datetime) -> dict[tuple[int, datetime], list[Happened]]:
    """(account, instant) → what happened then. What was taken back did not, nor did what only brought money."""
    facts = PositionFact.objects.filter(
        account__in=ids, effective_at__gte=since, effective_at__lte=until, cause__in=(Cause.FILL, Cause.CASH)
    )
    gone = _taken_back(ids, since)
    found: dict[tuple[int, datetime], dict[str, dict[int, Decimal]]] = defaultdict(lambda: defaultdict(dict))
    brought = set()
    for fact in facts.select_related("instrument").order_by("pk"):
        if fact.reference in gone:
            continue
        changes = found[fact.account_id, fact.effective_at][fact.reference]
        changes[fact.instrument_id] = changes.get(fact.instrument_id, ZERO) + fact.change
        if fact.cause == Cause.CASH and fact.change > 0:
            brought.add(fact.reference)
    return {
        place: listed
        for place, named in found.items()
        if (listed := [Happened(name, changes) for name, changes in named.items() if name not in brought])
    }


def _taken_back(ids: Sequence[int], since: datetime) -> set[str]:
    """The references of fills that were busted, and of their busts."""
    pairs = Fill.objects.filter(Q(reverses__isnull=False) | Q(reversed_by__isnull=False))
    return {fills.reference(fill) for fill in pairs.filter(account__in=ids, traded_at__gte=since)}


def _level(snap: Snapshot, pk: int, happened: Sequence[Happened], of: str) -> Level | str:
    """The lowest level of an instant: after all that lowered it, or after one alone, where two would cancel out. The
    reason where the account is unpriced then."""
    places = {int(instrument): row for row, instrument in enumerate(snap.instruments.ids)}
    single = [{places[one]: change for one, change in event.changes.items()} for event in happened]
    undone = _added([{row: -change for row, change in changes.items()} for changes in single])
    tried = _levels_of(snap, pk, [undone, *(_added([undone, changes]) for changes in single)], of)
    if isinstance(tried, str):
        return tried
    lowering = [place for place, (_, margin) in enumerate(tried[1:]) if margin < tried[0][1]]
    together = _levels_of(snap, pk, [_added([undone, *(single[place] for place in lowering)])], of)
    if isinstance(together, str):
        return together
    equity, margin = min([*together, *(tried[place + 1] for place in lowering)], key=lambda level: level[1])
    names = ", ".join(happened[place].source for place in lowering)
    return Level(snap.at, margin, equity, bool(lowering), names[:200])


def _levels_of(
    snap: Snapshot, pk: int, changes: Sequence[Mapping[int, Decimal]], of: str
) -> list[tuple[Decimal, Decimal]] | str:
    books = alternatives.books(snap.instruments, snap.book, row_of(snap, pk), changes)
    found = levels(replace(snap, book=books), dict.fromkeys(range(len(changes)), of))
    if len(found) < len(changes):
        return f"account {pk} cannot be measured at {snap.at:%Y-%m-%d %H:%M} UTC"
    return [found[copy] for copy in range(len(changes))]


def _added(changes: Sequence[Mapping[int, Decimal]]) -> dict[int, Decimal]:
    whole: dict[int, Decimal] = {}
    for one in changes:
        for row, change in one.items():
            whole[row] = whole.get(row, ZERO) + change
    return whole


def row_of(snap: Snapshot, pk: int) -> int:
    return int(snap.book.accounts.searchsorted(pk))


def active(day: date, until: datetime, *, agreements: Collection[str]) -> set[int]:
    """Accounts under these agreements that traded or took money out on the day, or of which that was told on it."""
    since = begin_of(day)
    mine = Q(account__agreement__in=list(agreements), account__margined_with=None)
    traded = Fill.objects.filter(mine, Q(traded_at__gte=since) | Q(recorded_at__gte=since), traded_at__lte=until)
    moved = CashMovement.objects.filter(mine, amount__lt=0, effective_at__gte=since, effective_at__lte=until)
    return set(traded.values_list("account_id", flat=True)) | set(moved.values_list("account_id", flat=True))
