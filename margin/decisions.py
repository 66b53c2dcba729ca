"""From figures to moves: what the pure workflow decides about each account that matters, as the door takes it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Max

from margin import cures, due, workflow
from margin.calls import Move
from margin.engine.columns import Figures, Status
from margin.models import MarginCall, Warning
from margin.policies import Reading, RegimeTerms
from margin.snapshot import Snapshot
from margin.workflow import Cause, Decision, OpenCall, Standing, State, Verb
from market import calendars

NEVER = Decimal("99999999")  # cover of an account that needs no margin at all


@dataclass(frozen=True)
class Found:
    """One account that matters: its row in the book and its figures, one per regime."""

    row: int
    figures: tuple[Figures, ...]


@dataclass(frozen=True)
class Situation:
    """What the rows say about the accounts at hand."""

    calls: Mapping[tuple[int, str], MarginCall]
    progress: Mapping[int, cures.Progress]
    warned: frozenset[tuple[int, str]]
    closed: Mapping[tuple[int, str], int] = field(default_factory=dict)  # last call, where a new one is issued


@dataclass
class Moves:
    """The moves decided on, most urgent first, and what could not be decided."""

    moves: list[Move] = field(default_factory=list)
    proposals: list[MarginCall] = field(default_factory=list)
    undated: list[str] = field(default_factory=list)


def accounts_in_play() -> set[int]:
    """Accounts that matter whatever they look like: with an open call or an open warning (one query)."""
    calls = MarginCall.objects.open().order_by().values_list("account_id")
    warnings = Warning.objects.filter(cleared_at=None).order_by().values_list("account_id")
    return {account for (account,) in calls.union(warnings)}


def situation(
    account_ids: Iterable[int],
    *,
    at: datetime,
    fx: Mapping[tuple[str, str], Decimal],
    exponents: Mapping[str, int],
) -> Situation:
    """Read open calls, their progress and open warnings of the accounts (a fixed number of queries)."""
    ids = list(account_ids)
    calls = {(call.account_id, call.regime): call for call in MarginCall.objects.open().filter(account__in=ids)}
    warnings = Warning.objects.filter(account__in=ids, cleared_at=None).values_list("account_id", "regime")
    return Situation(
        calls=calls,
        progress=cures.progress(calls.values(), at=at, fx=fx, exponents=exponents),
        warned=frozenset((account, regime) for account, regime in warnings),
    )


def cover(figures: Figures) -> Decimal:
    """equity ÷ requirement, to eight decimals, within what the column holds."""
    if not figures.requirement or figures.equity is None:
        return NEVER
    ratio = (figures.equity / figures.requirement).quantize(Decimal("1e-8"))
    return max(-NEVER, min(NEVER, ratio))


def standing(figures: Figures, regime: RegimeTerms, call: MarginCall | None) -> Standing:
    """The workflow's view of one regime. An open call is short until the restore level is reached again."""
    short = figures.shortfall if call else figures.amount
    if short is None or figures.equity is None:
        raise ValueError(f"account {figures.account_id} is unpriced: nothing may be decided about it")
    warning = figures.warning_requirement
    return Standing(
        deficit=short,
        is_severe=figures.status == Status.SEVERE,
        is_warned=figures.status >= Status.WARNING,
        is_recovered=figures.status < Status.WARNING
        and (warning is None or figures.equity >= warning * regime.clear_rate),
    )


def decide(figures: Figures, regime: RegimeTerms, facts: Situation, *, at: datetime) -> tuple[Decision, ...]:
    """What to do about one priced account in one regime."""
    key = (figures.account_id, figures.regime)
    call = facts.calls.get(key)
    opened = _open_call(call, facts.progress[call.pk]) if call else None
    return workflow.decide(
        standing(figures, regime, call), opened, is_warned_already=key in facts.warned, rule=regime.rule, at=at
    )


def _open_call(call: MarginCall, progress: cures.Progress) -> OpenCall:
    return OpenCall(
        state=State(call.state),
        amount_called=call.amount_called,
        amount_outstanding=call.amount_outstanding,
        cured=progress.cured_with_new,
        tolerance=call.tolerance,
        market_cures=call.market_cures,
        due_at=call.due_at,
        notified_at=call.notified_at,
        provisionally_met_at=call.provisionally_met_at,
        has_open_plan=progress.has_open_plan,
        has_sold=progress.has_sold,
        has_plan_fills=progress.has_plan_fills,
    )


Decided = tuple[Figures, Reading, tuple[Decision, ...]]


def about(snap: Snapshot, matter: Mapping[int, Found]) -> tuple[list[Decided], Situation]:
    """Decide about every priced account that matters, regime by regime; nothing is written."""
    stated = zip(snap.instruments.currencies, snap.instruments.minor_exponents, strict=True)
    exponents = {currency: exponent for currency, exponent in stated if exponent is not None}
    facts = situation(matter, at=snap.at, fx=snap.market.fx, exponents=exponents)
    decided = []
    for account in matter.values():
        reading = snap.reading(account.row)
        for figures in account.figures:
            if not figures.reasons:
                regime = reading.terms.regime(figures.regime)
                decided.append((figures, reading, decide(figures, regime, facts, at=snap.at)))
    return decided, replace(facts, closed=_last_calls(_deciding(decided, Verb.ISSUE)))


def _last_calls(account_ids: Collection[int]) -> dict[tuple[int, str], int]:
    """The last call of each account and regime: what a new one follows."""
    if not account_ids:
        return {}
    calls = MarginCall.objects.filter(account__in=account_ids)
    latest = calls.values_list("account_id", "regime").annotate(latest=Max("id"))
    return {(account, regime): last for account, regime, last in latest}


def to_explain(decided: Iterable[Decided]) -> set[int]:
    """Accounts whose charges are stored line by line: those whose amount called comes into being or changes."""
    return _deciding(decided, Verb.ISSUE, Verb.CHANGE)


def _deciding(decided: Iterable[Decided], *verbs: Verb) -> set[int]:
    """Accounts about which any of these verbs was decided."""
    return {
        figures.account_id for figures, _, decisions in decided if any(decision.verb in verbs for decision in decisions)
    }


class Clockwork:
    """Due instants by rule: the business days of each calendar are read once."""

    def __init__(self) -> None:
        self._days: dict[str, calendars.Days] = {}

    def due(self, rule: due.Rule, *, at: datetime) -> due.Due:
        """When a call issued at `at` is due. Raises CalendarUnknown: a due date is never guessed."""
        days = None
        if rule.calendar:
            if rule.calendar not in self._days:
                self._days[rule.calendar] = calendars.business_days(rule.calendar)
            days = self._days[rule.calendar]
        return due.due(
            rule,
            base_at=at,
            business_days=days.dates if days else (),
            known_until=days.known_until if days else None,
        )


def moves(
    decided: Iterable[Decided],
    facts: Situation,
    *,
    assessments: Mapping[int, int],
    at: datetime,
) -> Moves:
    """The door's moves for what was decided, cures first, the most urgent account first."""
    clockwork, out = Clockwork(), Moves()
    by_account: dict[int, list[Move]] = defaultdict(list)
    urgency: dict[int, Decimal] = {}
    for figures, reading, decisions in decided:
        call = facts.calls.get((figures.account_id, figures.regime))
        mine = by_account[figures.account_id]
        if call:
            mine += _cure_moves(call, facts.progress[call.pk])
        for decision in decisions:
            if decision.verb == Verb.PROPOSE and call:
                out.proposals.append(call)
                continue
            try:
                mine.append(_move(decision, figures, reading, facts, assessments, clockwork, at))
            except (due.CalendarUnknown, calendars.CalendarUnknown) as error:
                out.undated.append(f"account {figures.account_id}, {figures.regime}: {error}")
        urgency[figures.account_id] = min(urgency.get(figures.account_id, NEVER), cover(figures))
    for account_id in sorted(by_account, key=lambda account: (urgency[account], account)):
        out.moves += by_account[account_id]
    return out


def _cure_moves(call: MarginCall, progress: cures.Progress) -> list[Move]:
    made, cured = [], progress.cured
    for found in progress.new:
        cured += found.release
        outstanding = min(call.amount_outstanding, max(Decimal(0), call.amount_called - cured))
        made.append(
            Move(
                verb=Verb.CURE,
                account_id=call.account_id,
                call_id=call.pk,
                changes={"amount_outstanding": outstanding},
                details={"source": "cash", "movement": found.movement_id, "release": format(found.release, "f")},
            )
        )
    return made


def _move(
    decision: Decision,
    figures: Figures,
    reading: Reading,
    facts: Situation,
    assessments: Mapping[int, int],
    clockwork: Clockwork,
    at: datetime,
) -> Move:
    key = (figures.account_id, figures.regime)
    call = facts.calls.get(key)
    changes: dict[str, Any] = {}
    details: dict[str, Any] = {"assessment": assessments.get(figures.account_id)}
    if decision.verb == Verb.ISSUE:
        changes = _issue(decision, figures, reading, assessments, clockwork, facts.closed.get(key), at)
    elif decision.verb == Verb.WARN:
        changes = {"assessment_id": assessments[figures.account_id], "cover": cover(figures)}
        details["cover"] = format(cover(figures), "f")
    else:
        stated = {
            "amount_called": decision.amount_called,
            "amount_outstanding": decision.amount_outstanding,
            "escalation_cause": decision.cause,
            "resolution": decision.resolution,
        }
        changes = {column: value for column, value in stated.items() if value is not None}
    return Move(
        verb=decision.verb,
        account_id=figures.account_id,
        regime=figures.regime,
        call_id=call.pk if call and decision.verb not in (Verb.ISSUE, Verb.WARN, Verb.CLEAR) else None,
        revision=figures.revision,
        changes=changes,
        reason=decision.reason or (f"{decision.cause.value}" if isinstance(decision.cause, Cause) else ""),
        details=details,
    )


def _issue(
    decision: Decision,
    figures: Figures,
    reading: Reading,
    assessments: Mapping[int, int],
    clockwork: Clockwork,
    predecessor: int | None,
    at: datetime,
) -> dict[str, Any]:
    """The columns of a new call. It is linked to the last closed one of its regime (workflow.md T12)."""
    regime = reading.terms.regime(figures.regime)
    deadline = clockwork.due(reading.clocks[figures.regime], at=at)
    return {
        "policy_version_id": reading.version_id,
        "assessment_id": assessments[figures.account_id],
        "currency": figures.currency,
        "amount_called": decision.amount_called,
        "amount_outstanding": decision.amount_outstanding,
        "tolerance": regime.tolerance,
        "market_cures": regime.market_cures,
        "due_at": deadline.at,
        "original_due_at": deadline.at,
        "due_basis": deadline.basis[:200],
        "predecessor_id": predecessor,
    }
