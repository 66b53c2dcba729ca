"""From figures to moves: what the pure workflow decides about each account that matters, as the door takes it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Max

from margin import cures, due, reconciling, releases, warnings, workflow
from margin.calls import Move
from margin.clocks import Clockwork
from margin.engine.columns import Figures, Status
from margin.models import Cure, MarginCall, Warning
from margin.policies import Reading
from margin.snapshot import Snapshot
from margin.workflow import Cause, Decision, OpenCall, Stacking, Standing, State, Verb
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

    calls: Mapping[tuple[int, str], tuple[MarginCall, ...]]
    """Open calls by account and regime, the oldest first."""
    progress: Mapping[int, cures.Progress]
    warned: Mapping[tuple[int, str], frozenset[str]]
    """Rungs that have an open warning, by account and regime."""
    closed: Mapping[tuple[int, str], int] = field(default_factory=dict)  # last call, where a new one is issued
    unreconciled: frozenset[int] = frozenset()
    """Accounts whose book seems to lack positions: what looks better there is not believed."""
    taken_back: frozenset[int] = frozenset()
    """Of those last calls, the ones whose payment was taken back after they were met."""
    alerts: Mapping[int, Decimal] = field(default_factory=dict)
    """Clients' own warning levels by account."""
    chances: Mapping[tuple[int, str], Decimal] = field(default_factory=dict)
    """How likely a call is, where the policy estimates it."""
    distances: Mapping[tuple[int, str], list[list[str]]] = field(default_factory=dict)
    """What is told of the main holdings where a warning is raised."""


@dataclass
class Moves:
    """The moves decided on, most urgent first, and what could not be decided."""

    moves: list[Move] = field(default_factory=list)
    proposals: list[MarginCall] = field(default_factory=list)
    undated: list[str] = field(default_factory=list)


def accounts_in_play() -> set[int]:
    """Accounts that matter whatever they look like: with an open call, an open warning, or a warning level of their
    client's (two queries)."""
    calls = MarginCall.objects.open().order_by().values_list("account_id")
    warned = Warning.objects.filter(cleared_at=None).order_by().values_list("account_id")
    return {account for (account,) in calls.union(warned)} | warnings.alerts().keys()


def situation(account_ids: Iterable[int], snap: Snapshot) -> Situation:
    """Read open calls, their progress and open warnings of the accounts (a fixed number of queries)."""
    stated = zip(snap.instruments.currencies, snap.instruments.minor_exponents, strict=True)
    exponents = {currency: exponent for currency, exponent in stated if exponent is not None}
    ids = list(account_ids)
    found = list(MarginCall.objects.open().filter(account__in=ids).order_by("issued_at", "pk"))
    calls: dict[tuple[int, str], tuple[MarginCall, ...]] = {}
    for call in found:
        calls[call.account_id, call.regime] = (*calls.get((call.account_id, call.regime), ()), call)
    warned: dict[tuple[int, str], frozenset[str]] = {}
    opened = Warning.objects.filter(account__in=ids, cleared_at=None)
    for account, regime, rung in opened.values_list("account_id", "regime", "rung"):
        warned[account, regime] = warned.get((account, regime), frozenset()) | {rung}
    return Situation(
        calls=calls,
        progress=cures.progress(
            found, at=snap.at, fx=snap.market.fx, exponents=exponents, traded=releases.of(snap, found)
        ),
        warned=warned,
        unreconciled=frozenset(reconciling.unreconciled(snap, {account for account, _ in [*calls, *warned]})),
    )


def cover(figures: Figures) -> Decimal:
    """equity ÷ requirement, to eight decimals, within what the column holds."""
    if not figures.requirement or figures.equity is None:
        return NEVER
    ratio = (figures.equity / figures.requirement).quantize(Decimal("1e-8"))
    return max(-NEVER, min(NEVER, ratio))


def standing(
    figures: Figures,
    reading: Reading,
    calls: Sequence[MarginCall],
    *,
    is_reconciled: bool = True,
    alert: Decimal | None = None,
    chance: Decimal | None = None,
) -> Standing:
    """The workflow's view of one regime. An open call is short until the restore level is reached again.

    The policy's level warns, and so do the client's own cover (`alert`) and the chance of a call, whichever is first; a
    warning is over once none of them does any more, each with the policy's `clear_rate`.
    """
    short = figures.shortfall if calls else figures.amount
    if short is None or figures.equity is None:
        raise ValueError(f"account {figures.account_id} is unpriced: nothing may be decided about it")
    warning = figures.warning_requirement
    regime = reading.terms.regime(figures.regime)
    level, likely = regime.clear_rate, regime.warning_probability
    is_near = alert is not None and cover(figures) < alert
    is_left = alert is None or cover(figures) >= alert * level
    is_likely = likely is not None and chance is not None and chance >= likely
    is_unlikely = likely is None or chance is None or chance * level < likely
    return Standing(
        deficit=short,
        is_severe=figures.status == Status.SEVERE,
        is_warned=figures.status >= Status.WARNING or is_near or is_likely,
        is_recovered=figures.status < Status.WARNING
        and (warning is None or figures.equity >= warning * level)
        and (is_left and is_unlikely),
        is_reconciled=is_reconciled,
        is_under_new_terms=any(call.policy_version_id != reading.version_id for call in calls),
        below=frozenset(rung for rung, rate in regime.warning_rates.items() if cover(figures) < rate),
        near=frozenset(rung for rung, rate in regime.warning_rates.items() if cover(figures) < rate * level),
    )


Ruling = tuple[MarginCall | None, tuple[Decision, ...]]
"""What to do about one call, or, where there is none, about its regime."""
Decided = tuple[Figures, Reading, list[Ruling]]


def decide(figures: Figures, reading: Reading, facts: Situation, *, at: datetime) -> list[Ruling]:
    """What to do about one priced account in one regime, call by call."""
    key = (figures.account_id, figures.regime)
    calls, warned = facts.calls.get(key, ()), facts.warned.get(key, frozenset())
    ruled = workflow.decide_each(
        standing(
            figures,
            reading,
            calls,
            is_reconciled=figures.account_id not in facts.unreconciled,
            alert=facts.alerts.get(figures.account_id),
            chance=facts.chances.get(key),
        ),
        [open_call(call, facts.progress[call.pk]) for call in calls],
        is_warned_already=workflow.RUNG in warned,
        rule=reading.terms.regime(figures.regime).rule,
        at=at,
        rungs=warned - {workflow.RUNG},
    )
    return [(None if place is None else calls[place], decisions) for place, decisions in ruled]


def open_call(call: MarginCall, progress: cures.Progress) -> OpenCall:
    """The call as the pure workflow sees it, what came in since included."""
    return OpenCall(
        state=State(call.state),
        amount_called=call.amount_called,
        amount_outstanding=_outstanding_after(call, progress.cured_with_new),
        cured=progress.cured_with_new,
        tolerance=call.tolerance,
        market_cures=call.market_cures,
        due_at=call.due_at,
        notified_at=call.notified_at,
        provisionally_met_at=call.provisionally_met_at,
        has_open_plan=progress.has_open_plan,
        has_plan_fills=progress.has_plan_fills,
        is_paid_after_fills=progress.is_paid_after_fills,
        cured_by=progress.cured_by,
        issued_at=call.issued_at,
        escalated_at=call.escalated_at,
        level=call.escalation_level,
        held_until=call.held_until,
        paused_until=call.paused_until,
        reminded_at=call.reminded_at,
        disputed=call.disputed,
        clock_stopped_at=call.clock_stopped_at,
    )


def _outstanding_after(call: MarginCall, cured: Decimal) -> Decimal:
    """What the call's own cures leave of what it last said was outstanding."""
    return min(call.amount_outstanding, max(Decimal(0), call.amount_called - cured))


def about(snap: Snapshot, matter: Mapping[int, Found]) -> tuple[list[Decided], Situation]:
    """Decide about every priced account that matters, regime by regime; nothing is written."""
    facts = situation(matter, snap)
    free = [one.row for one in matter.values() if not (one.figures[0].reasons or _is_called(one, facts))]
    facts = replace(facts, alerts=warnings.alerts(), chances=warnings.call_chances(snap, free))
    decided = []
    for account in matter.values():
        reading = snap.reading(account.row)
        for figures in account.figures:
            if not figures.reasons:
                decided.append((figures, reading, decide(figures, reading, facts, at=snap.at)))
    closed = _last_calls(_deciding(decided, Verb.ISSUE))
    warned = [(matter[account].row, regime) for account, regime in _warned(decided)]
    facts = replace(facts, distances=warnings.distances(snap, warned))
    return decided, replace(facts, closed=closed, taken_back=_taken_back(closed.values()))


def _is_called(found: Found, facts: Situation) -> bool:
    """Every regime of the account has an open call: there is nothing left to warn of."""
    return all((figures.account_id, figures.regime) in facts.calls for figures in found.figures)


def _warned(decided: Iterable[Decided]) -> list[tuple[int, str]]:
    """The accounts and regimes of which a warning is raised."""
    return [
        (figures.account_id, figures.regime)
        for figures, _, rulings in decided
        if any(decision.verb == Verb.WARN for _, decisions in rulings for decision in decisions)
    ]


def _last_calls(account_ids: Collection[int]) -> dict[tuple[int, str], int]:
    """The last call of each account and regime: what a new one follows."""
    if not account_ids:
        return {}
    calls = MarginCall.objects.filter(account__in=account_ids)
    latest = calls.values_list("account_id", "regime").annotate(latest=Max("id"))
    return {(account, regime): last for account, regime, last in latest}


def _taken_back(call_ids: Collection[int]) -> frozenset[int]:
    """Which of these met calls had a payment that was reversed and that no later call has answered for."""
    if not call_ids:
        return frozenset()
    bounced = MarginCall.objects.filter(
        pk__in=call_ids, state=State.MET, cures__state=Cure.State.REVERSED, successors=None
    )
    return frozenset(bounced.values_list("pk", flat=True))


def to_explain(decided: Iterable[Decided]) -> set[int]:
    """Accounts whose charges are stored line by line: those whose amount called comes into being or changes."""
    return _deciding(decided, Verb.ISSUE, Verb.CHANGE)


def _deciding(decided: Iterable[Decided], *verbs: Verb) -> set[int]:
    """Accounts about which any of these verbs was decided."""
    return {
        figures.account_id
        for figures, _, rulings in decided
        for _, decisions in rulings
        if any(decision.verb in verbs for decision in decisions)
    }


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
    for figures, reading, rulings in decided:
        mine = by_account[figures.account_id]
        for call, decisions in rulings:
            if call:
                mine += cure_moves(call, facts.progress[call.pk])
            if call and any(decision.verb == Verb.PROPOSE for decision in decisions):
                out.proposals.append(call)
            ruled = [decision for decision in decisions if decision.verb != Verb.PROPOSE]
            try:
                mine += [_move(one, figures, reading, call, facts, assessments, clockwork, at) for one in ruled]
            except (due.CalendarUnknown, calendars.CalendarUnknown) as error:
                out.undated.append(f"account {figures.account_id}, {figures.regime}: {error}")
        urgency[figures.account_id] = min(urgency.get(figures.account_id, NEVER), cover(figures))
    for account_id in sorted(by_account, key=lambda account: (urgency[account], account)):
        out.moves += by_account[account_id]
    return out


def cure_moves(call: MarginCall, progress: cures.Progress) -> list[Move]:
    """The moves that keep what came in: one event a cure, the outstanding amount going down with each."""
    made, cured = [], progress.cured
    for found in progress.new:
        cured += found.release
        made.append(
            Move(
                verb=Verb.MOVE_CURE if found.cure_id else Verb.CURE,
                account_id=call.account_id,
                call_id=call.pk,
                changes={"amount_outstanding": _outstanding_after(call, cured)},
                cure=found.columns,
            )
        )
    return made


def _move(
    decision: Decision,
    figures: Figures,
    reading: Reading,
    call: MarginCall | None,
    facts: Situation,
    assessments: Mapping[int, int],
    clockwork: Clockwork,
    at: datetime,
) -> Move:
    changes: dict[str, Any] = {}
    details: dict[str, Any] = {"assessment": assessments.get(figures.account_id)}
    key = call.deficiency_key if call else ""
    if decision.verb == Verb.ISSUE:
        key = _key(figures, reading, facts, at)
        last = facts.closed.get((figures.account_id, figures.regime))
        changes = _issue(decision, figures, reading, assessments, clockwork, last, facts.taken_back, at)
    elif decision.verb == Verb.WARN:
        changes = {"assessment_id": assessments[figures.account_id], "cover": cover(figures), "rung": decision.rung}
        about, stated = (figures.account_id, figures.regime), reading.terms.chances
        details |= warnings.details(
            decision,
            cover=cover(figures),
            distances=facts.distances.get(about, []),
            alert=facts.alerts.get(figures.account_id),
            chance=facts.chances.get(about),
            horizon_days=stated.horizon_days if stated else None,
        )
    elif decision.verb == Verb.CLEAR:
        changes = {"rung": decision.rung}
        details |= changes
    else:
        asked = {
            "amount_called": decision.amount_called,
            "amount_outstanding": decision.amount_outstanding,
            "escalation_cause": decision.cause,
            "escalation_level": decision.level,
            "resolution": decision.resolution,
        }
        changes = {column: value for column, value in asked.items() if value is not None}
    return Move(
        verb=decision.verb,
        account_id=figures.account_id,
        regime=figures.regime,
        deficiency_key=key,
        call_id=call.pk if call and decision.verb not in (Verb.ISSUE, Verb.WARN, Verb.CLEAR) else None,
        revision=figures.revision,
        changes=changes,
        reason=decision.reason or (f"{decision.cause.value}" if isinstance(decision.cause, Cause) else ""),
        details=details,
    )


def _key(figures: Figures, reading: Reading, facts: Situation, at: datetime) -> str:
    """Empty where a growing deficit is one call; else what tells an increase from the calls before it: its instant."""
    rule = reading.terms.regime(figures.regime).rule
    is_further = bool(facts.calls.get((figures.account_id, figures.regime)))
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if rule.stacking == Stacking.INCREMENTAL and is_further else ""


def _issue(
    decision: Decision,
    figures: Figures,
    reading: Reading,
    assessments: Mapping[int, int],
    clockwork: Clockwork,
    predecessor: int | None,
    taken_back: Collection[int],
    at: datetime,
) -> dict[str, Any]:
    """The columns of a new call. It is linked to the last closed one of its regime (workflow.md T12), and due sooner
    where the payment that met that one was taken back (T11)."""
    regime = reading.terms.regime(figures.regime)
    clock = reading.clocks[figures.regime]
    if predecessor in taken_back:
        clock = due.Rule("minutes", regime.reversal_minutes, zone=clock.zone)
    deadline = clockwork.due(clock, at=at, cover=cover(figures))
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
