"""Calls that come from trades: Regulation T per trade date, day trading, intraday margin. No sweep measures them.

    trades.review(sweep, at=at)

Looks at the accounts that traded on the day of a complete sweep, or have such a call open, and decides what the door
should do. A Regulation T call is provisional while its day lasts: what is sold and bought until the close is netted
(12 CFR 220.4(c)(1)); at the close it becomes final, or it is met by the day itself. Day trades and intraday deficits
are called once, when their day is over. Reviewing twice is reviewing once.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from accounts.models import Adjustment, Fill
from margin import calls, closing, cures, decisions, due, policies, trade_asks, trade_days, workflow
from margin import sweep as sweeps
from margin.actors import Actor, system
from margin.calls import Move
from margin.clocks import Clockwork
from margin.cures import Found, Progress
from margin.engine import trade_calls
from margin.engine.exact import ZERO, exactly, round_down
from margin.models import Assessment, Cure, MarginCall, Restriction, Sweep
from margin.restriction_terms import Effect
from margin.trade_asks import Ask, Day
from margin.workflow import Decision, OpenCall, Regime, Resolution, Standing, Verb
from market import calendars

REVIEWER = system("trade calls")
REGIMES = (Regime.REG_T.value, Regime.DAY_TRADE.value, Regime.INTRADAY.value)
CHUNK = 100  # accounts reviewed at once
SEEN = timedelta(days=60)  # trade dates further back are history


@dataclass
class Reviewed:
    """Counts by verb, and the accounts of which something could not be told, by id, with the reason."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    waiting: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What the day says about one call. `deficiency`: what its own day asks beyond what cured it, while provisional;
    `grown`: by how much a trade told late raised it; `tentative`: what today's sales would release if the day ended
    now; `lacking`: what a rise of the margin level leaves, where such a rise counts."""

    is_over: bool = True
    deficiency: Decimal = ZERO
    grown: Decimal = ZERO
    tentative: Decimal = ZERO
    lacking: Decimal | None = None


# --- deciding: pure ---------------------------------------------------------------------------------------


def decide(
    call: OpenCall, facts: Facts, *, is_provisional: bool, rule: workflow.Rule, at: datetime
) -> tuple[Decision, ...]:
    """What the door should do now about a call that came from trades. Pure."""
    if is_provisional:
        return _provisional(call, facts, rule)
    left = call.left + facts.grown if facts.lacking is None else min(call.left, facts.lacking)
    if call.tolerance < left <= call.tolerance + facts.tentative:
        return () if call.provisionally_met_at else (Decision(Verb.PROVISIONALLY_MEET, amount_outstanding=left),)
    grown: tuple[Decision, ...] = ()
    if facts.grown > 0:
        amount = call.amount_called + facts.grown
        grown = (Decision(Verb.CHANGE, amount_called=amount, amount_outstanding=left, reason="a trade told late"),)
        call = replace(call, amount_called=amount, amount_outstanding=left)
    short = left if left > call.tolerance else ZERO
    standing = Standing(deficit=short, is_severe=False, is_warned=False, is_recovered=False)
    decided = workflow.decide(standing, call, is_warned_already=False, rule=replace(rule, proposes=False), at=at)
    return (*grown, *decided)


def _provisional(call: OpenCall, facts: Facts, rule: workflow.Rule) -> tuple[Decision, ...]:
    """A call whose day lasts, or has just ended."""
    is_short = facts.deficiency > max(rule.de_minimis, call.tolerance)
    if not is_short and not facts.is_over:
        left = max(facts.deficiency, ZERO)
        return () if call.provisionally_met_at else (Decision(Verb.PROVISIONALLY_MEET, amount_outstanding=left),)
    if not is_short:
        how = next(iter(call.cured_by), Resolution.SALE) if len(call.cured_by) < 2 else Resolution.MIXED
        return (Decision(Verb.MEET, resolution=how, reason="the day ended without a deficiency"),)
    found = []
    if call.provisionally_met_at is not None:
        found.append(Decision(Verb.BREACH_AGAIN, amount_outstanding=facts.deficiency))
    amount = call.cured + facts.deficiency
    if (amount, facts.deficiency) != (call.amount_called, call.amount_outstanding):
        found.append(Decision(Verb.CHANGE, amount_called=amount, amount_outstanding=facts.deficiency))
    if facts.is_over:
        found.append(Decision(Verb.FINALISE))
    return tuple(found)


# --- reviewing --------------------------------------------------------------------------------------------


def review(sweep: Sweep, *, at: datetime, actor: Actor = REVIEWER) -> Reviewed:
    """Review the day of a complete sweep: provisionally while it lasts, finally once the sweep came after its close.

    What is new is called at the sweep's instant, for the money that came after it counts as a cure; deadlines are
    those of `at`. ValueError unless the sweep is complete.
    """
    if sweep.state != Sweep.State.COMPLETE:
        raise ValueError(f"{sweep} is {sweep.state}; review on a complete one")
    day = closing.day_of(sweep.at)
    stated = sweeps.policies_of(closing.KIND, sweep.at)
    governed = {code for code, version in stated.items() if policies.read(version).of_trades}
    active = trade_days.active(day, sweep.at, agreements=governed) if governed else set()
    listed = MarginCall.objects.open().filter(regime__in=REGIMES, account__agreement__in=list(stated))
    ids = sorted(active | set(listed.values_list("account_id", flat=True)))
    done = Reviewed()
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        snap = trade_days.frozen(sweep, stated, chunk)
        _review(Day(sweep, snap, stated, day, closing.is_over(day, sweep.at)), active, done, at=at, actor=actor)
    return done


def latest(at: datetime) -> Sweep | None:
    """The sweep to review on: the first after the close where the day is over, else the last of the day."""
    day = closing.day_of(at)
    if closing.is_over(day, at):
        return closing.sweep_of(day)
    done = Sweep.objects.filter(kind=closing.KIND, state=Sweep.State.COMPLETE, at__lte=at)
    return done.filter(at__gte=trade_days.begin_of(day)).order_by("-at", "-pk").first()


def to_liquidate(call: MarginCall, *, margin_deficiency: Decimal) -> Decimal:
    """What an unmet Regulation T call must release: the lesser of what is outstanding and the margin deficiency
    existing on that day (12 CFR 220.4(d)); selling twice as much stock at 50 % does so."""
    return trade_calls.to_liquidate(call.amount_outstanding, margin_deficiency)


def _review(day: Day, active: set[int], done: Reviewed, *, at: datetime, actor: Actor) -> None:
    """Gather and decide about the accounts of one snapshot, then through the door: new calls first, then the others."""
    ids = [int(pk) for pk in day.snap.book.accounts]
    listed = MarginCall.objects.open().filter(account__in=ids, regime__in=REGIMES)
    in_order = listed.select_related("policy_version").order_by("due_at", "pk")
    open_calls = [call for call in in_order if trade_asks.day_of(call) <= day.on]  # a day gone by knows no later one
    progress = cures.progress(open_calls, at=at, fx=day.snap.market.fx, exponents=_exponents(day))
    asks, facts = _regulation_t(day, open_calls, progress, done)
    if day.is_over:
        asks += trade_asks.day_trade(day, active, open_calls, done.waiting)
        asks += trade_asks.intraday(day, active, done.waiting)
    facts |= _intraday_facts(day, open_calls, at)
    _through_the_door(_issues(day, asks, done), done, at=day.sweep.at, actor=actor)
    moves: list[Move] = []
    for call in open_calls:
        moves += decisions.cure_moves(call, progress[call.pk])
        if call.is_provisional and call.pk not in facts:
            continue  # what its day came to cannot be told now: it waits
        rule = policies.read(call.policy_version).terms.regime(call.regime).rule
        seen = decisions.open_call(call, progress[call.pk])
        decided = decide(seen, facts.get(call.pk, Facts()), is_provisional=call.is_provisional, rule=rule, at=at)
        moves += [_move(one, call, day) for one in decided]
    _through_the_door(moves, done, at=at, actor=actor)


def _exponents(day: Day) -> dict[str, int]:
    stated = zip(day.snap.instruments.currencies, day.snap.instruments.minor_exponents, strict=True)
    return {currency: exponent for currency, exponent in stated if exponent is not None}


def _regulation_t(
    day: Day, open_calls: Sequence[MarginCall], progress: dict[int, Progress], done: Reviewed
) -> tuple[list[Ask], dict[int, Facts]]:
    """New calls and what the days say about open ones; what sales and deliveries release is added to `progress`."""
    ids = day.governed(Regime.REG_T)
    mine = [call for call in open_calls if call.regime == Regime.REG_T and call.account_id in ids]
    if not ids:
        return [], {}
    since = max(min([day.on - timedelta(days=7), *(trade_asks.day_of(call) for call in mine)]), day.on - SEEN)
    told = trade_days.reg_t(day.sweep, _only(day, Regime.REG_T), ids, since=since)
    done.waiting |= told.waiting
    asks, grown = trade_asks.reg_t(day, told.days, since=since)
    facts: dict[int, Facts] = {}
    for pk, days in told.days.items():
        of_account = [call for call in mine if call.account_id == pk]
        final = [call for call in of_account if not call.is_provisional]
        _deliver(day, final, progress)
        tentative = _release(day, days, final, progress)
        deficiencies = {one.on: one.deficiency for one in days}
        for call in of_account:
            on = trade_asks.day_of(call)
            facts[call.pk] = Facts(
                is_over=day.is_over or on < day.on,
                deficiency=deficiencies.get(on, ZERO),
                grown=grown.get(call.pk, ZERO),
                tentative=tentative.get(call.pk, ZERO),
            )
    return asks, facts


def _only(day: Day, regime: str) -> dict[str, Any]:
    """The policies that have the regime."""
    return {code: version for code, version in day.in_force.items() if regime in policies.read(version).of_trades}


def _release(
    day: Day, days: Sequence[trade_calls.Day], final: Sequence[MarginCall], progress: dict[int, Progress]
) -> dict[int, Decimal]:
    """Give what closed days released to older calls, first due first; what today would give comes back by call."""
    if not final:
        return {}
    used = _used(final[0].account_id, [fill for one in days for fill, _ in one.sources])
    tentative: dict[int, Decimal] = defaultdict(Decimal)
    for one in days:
        sources = [(fill, amount - used.get(fill, ZERO)) for fill, amount in one.sources]
        older = [call for call in final if trade_asks.day_of(call) < one.on]
        wanted = [(call.pk, call.amount_called - progress[call.pk].cured_with_new) for call in older]
        for pk, fill_id, amount in trade_calls.shared(sources, wanted):
            if one.on < day.on or day.is_over:
                _add(progress, pk, _sold(fill_id, amount, dict(one.sources)[fill_id]))
            else:
                tentative[pk] += amount
    return tentative


def _used(account_id: int, fills: Sequence[int]) -> dict[int, Decimal]:
    """What each of these fills has released for Regulation T calls already."""
    settled = Cure.objects.filter(
        call__account=account_id, call__regime=Regime.REG_T, state=Cure.State.SETTLED, fill__in=fills
    )
    used: dict[int, Decimal] = defaultdict(Decimal)
    for fill_id, release in settled.values_list("fill_id", "release"):
        used[int(fill_id or 0)] += release
    return used


def _sold(fill_id: int, amount: Decimal, whole: Decimal) -> Found:
    fill = Fill.objects.get(pk=fill_id)
    kind = Cure.Kind.SALE if fill.quantity < 0 else Cure.Kind.PURCHASE
    return Found(kind, amount, _share(abs(fill.quantity), amount, whole), fill_id=fill_id, effective_at=fill.traded_at)


def _share(quantity: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return (quantity * part / whole).quantize(Decimal("1e-8")) if whole else ZERO


def _add(progress: dict[int, Progress], pk: int, found: Found) -> None:
    progress[pk] = replace(progress[pk], new=(*progress[pk].new, found))


def _deliver(day: Day, final: Sequence[MarginCall], progress: dict[int, Progress]) -> None:
    """Margin securities brought in release their loan value, first due first; what has none releases nothing."""
    if not final:
        return
    pk, since = final[0].account_id, min(call.issued_at for call in final)
    brought = Adjustment.objects.filter(
        account=pk, is_delivery=True, change__gt=0, effective_at__gte=since, effective_at__lte=day.sweep.at
    ).exclude(pk__in=Cure.objects.filter(call__account=pk, call__regime=Regime.REG_T).values("adjustment"))
    for delivery in brought.order_by("effective_at", "pk"):
        value = _loan_value(day, pk, delivery)
        in_time = [call for call in final if call.issued_at <= delivery.effective_at]
        wanted = [(call.pk, call.amount_called - progress[call.pk].cured_with_new) for call in in_time]
        for call, _, amount in trade_calls.shared([(delivery.pk, value)], wanted):
            used = _share(delivery.change, amount, value)
            _add(progress, call, Found(Cure.Kind.SECURITIES, amount, used, adjustment_id=delivery.pk,
                                       effective_at=delivery.effective_at))  # fmt: skip


def _loan_value(day: Day, pk: int, delivery: Adjustment) -> Decimal:
    """Market value × (1 − the initial rate) in the account's currency, 12 CFR 220.4(c)(2); nothing if it is unpriced or
    may not be margined."""
    columns = day.snap.instruments
    row = int((columns.ids == delivery.instrument_id).argmax())
    rate = day.snap.market.rate(columns.currencies[int(columns.currency[row])], day.currency(pk))
    if not columns.priced[row] or not columns.margin_eligible[row] or rate is None:
        return ZERO
    terms = trade_days.regulation.rule_of(day.reading(pk).policy).terms
    with exactly():
        value = delivery.change * columns.price[row] * columns.multiplier[row] * rate * (1 - terms.initial_long_rate)
    return round_down(value, day.exponent(pk))


def _intraday_facts(day: Day, open_calls: Sequence[MarginCall], at: datetime) -> dict[int, Facts]:
    """A rise of the level counts from close to close; between closes and looking back, the last answer stands."""
    mine = [call for call in open_calls if call.regime == Regime.INTRADAY and call.market_cures]
    is_latest = day.is_over and closing.day_of(at) == day.on
    lacking = trade_asks.unsatisfied(day, mine) if is_latest else {}
    return {call.pk: Facts(lacking=lacking.get(call.pk, call.amount_outstanding)) for call in mine}


# --- moving -----------------------------------------------------------------------------------------------


def _issues(day: Day, asks: Iterable[Ask], done: Reviewed) -> list[Move]:
    """The moves for new calls; without a due date none is issued, and the account waits."""
    moves, asks = [], list(asks)
    hurried = _due_next_day({ask.account_id for ask in asks}, at=day.sweep.at)
    for ask in asks:
        reading = day.reading(ask.account_id)
        terms, clock = reading.terms.regime(ask.regime), reading.clocks[ask.regime]
        shorter = reading.of_trades[ask.regime].past_due_clock
        if ask.is_past_due and shorter:
            clock = due.Rule.from_json(shorter)
        if ask.account_id in hurried and clock.unit == due.BUSINESS_DAYS:
            clock = replace(clock, count=1, base=due.ISSUE, settlement="")
        try:
            deadline = deadline_of(clock, on=ask.on, at=day.sweep.at)
        except (due.CalendarUnknown, calendars.CalendarUnknown) as error:
            done.waiting[ask.account_id] = str(error)
            continue
        known = Assessment.objects.filter(sweep=day.sweep, account=ask.account_id).values_list("pk", flat=True).first()
        moves.append(trade_asks.issue(ask, reading.version_id, terms, deadline, known))
    return moves


def _due_next_day(account_ids: Iterable[int], *, at: datetime) -> set[int]:
    """Accounts whose strikes leave them until the next business day (one query)."""
    bound = Restriction.objects.in_force(at).filter(account__in=account_ids, effect=Effect.DUE_NEXT_DAY)
    return set(bound.values_list("account_id", flat=True))


def deadline_of(rule: due.Rule, *, on: date, at: datetime) -> due.Due:
    """When a call for a trade date, issued at `at`, is due: the earliest of its terms. Raises CalendarUnknown."""
    return Clockwork().due(rule, at=at, bases={due.TRADE_DATE: on})


def _move(decision: Decision, call: MarginCall, day: Day) -> Move:
    stated = {
        "amount_called": decision.amount_called,
        "amount_outstanding": decision.amount_outstanding,
        "escalation_cause": decision.cause,
        "escalation_level": decision.level,
        "resolution": decision.resolution,
    }
    return Move(
        decision.verb,
        call.account_id,
        call_id=call.pk,
        changes={column: value for column, value in stated.items() if value is not None},
        reason=decision.reason or (decision.cause.value if decision.cause else ""),
        details={"sweep": day.sweep.pk},
    )


def _through_the_door(moves: Sequence[Move], done: Reviewed, *, at: datetime, actor: Actor) -> None:
    for start in range(0, len(moves), calls.LARGEST_BATCH):
        for outcome in calls.carry_out(moves[start : start + calls.LARGEST_BATCH], at=at, actor=actor):
            done.counts[outcome.move.verb.value if outcome.is_done else "refused"] += 1
