"""The life of a margin call: states, legal transitions, what to do next. Pure: no Django, no clock."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from margin.vocabulary import RUNG, Cause, Resolution, Words
from margin.vocabulary import Regime as Regime  # noqa: PLC0414  said as workflow.Regime everywhere


class State(Words):
    ISSUED = "issued"
    MET = "met"
    ESCALATED = "escalated"
    LIQUIDATED = "liquidated"
    CANCELLED = "cancelled"


TRANSITIONS: dict[State | None, frozenset[State]] = {
    None: frozenset({State.ISSUED}),
    State.ISSUED: frozenset({State.MET, State.ESCALATED, State.CANCELLED}),
    State.ESCALATED: frozenset({State.MET, State.LIQUIDATED, State.CANCELLED}),
    State.MET: frozenset(),
    State.LIQUIDATED: frozenset(),
    State.CANCELLED: frozenset(),
}
OPEN_STATES: tuple[State, ...] = (State.ISSUED, State.ESCALATED)


# --- what to do about one regime of one account ----------------------------------------------------------


class Verb(Words):
    """What the door can do; also the kind of the event it leaves."""

    WARN = "warning.raised"
    CLEAR = "warning.cleared"
    ISSUE = "call.issued"
    NOTIFIED = "call.notified"
    REMIND = "call.reminded"
    CHANGE = "call.amount_changed"
    FINALISE = "call.finalised"
    PROVISIONALLY_MEET = "call.provisionally_met"
    BREACH_AGAIN = "call.breached_again"
    MEET = "call.met"
    ESCALATE = "call.escalated"
    LEVEL = "call.level_changed"
    LIQUIDATE = "call.liquidated"
    NOTE = "call.note"
    CONTACT = "contact.logged"
    OPEN_TASK = "task.opened"
    CLOSE_TASK = "task.closed"

    CURE = "cure.applied"
    PLEDGE = "cure.pledged"
    MOVE_CURE = "cure.moved"
    REVERSE_CURE = "cure.reversed"
    CLAIM = "claim.made"
    CHECK = "claim.checked"

    REQUEST_EXTENSION = "extension.requested"
    EXTEND = "call.extended"
    DENY_EXTENSION = "extension.denied"
    WITHDRAW_EXTENSION = "extension.withdrawn"
    PROPOSE_ACCELERATION = "acceleration.proposed"
    DENY_ACCELERATION = "acceleration.denied"
    ACCELERATE = "call.accelerated"
    RESCHEDULE = "call.rescheduled"
    REQUEST_HOLD = "hold.requested"
    DENY_HOLD = "hold.denied"
    HOLD = "call.held"
    RELEASE = "call.released"
    DISPUTE = "dispute.opened"
    DECIDE = "dispute.decided"

    PROPOSE_CANCEL = "retraction.proposed"
    DROP_CANCEL = "retraction.dropped"
    CANCEL = "call.cancelled"

    PROPOSE = "plan.proposed"
    APPROVE = "plan.approved"
    REJECT = "plan.rejected"
    RELEASE_PLAN = "plan.released"
    CALL_OFF = "plan.called_off"
    EXPIRE_PLAN = "plan.expired"
    ORDER = "order.moved"
    FILL = "plan.filled"

    PROPOSE_ISSUE = "issue.proposed"
    DENY_ISSUE = "issue.denied"
    RESTRICT = "restriction.placed"
    LIFT = "restriction.lifted"
    STRIKE = "strike.recorded"
    PROPOSE_WAIVER = "waiver.proposed"
    DENY_WAIVER = "waiver.denied"
    WAIVE = "strike.waived"
    PLACE_LEGAL_HOLD = "legal_hold.placed"
    LIFT_LEGAL_HOLD = "legal_hold.lifted"
    ERASE = "client.erased"


WITHOUT_CALL = frozenset(
    {Verb.WARN, Verb.CLEAR, Verb.PROPOSE_ISSUE, Verb.DENY_ISSUE, Verb.RESTRICT, Verb.LIFT, Verb.STRIKE}
    | {Verb.PROPOSE_WAIVER, Verb.DENY_WAIVER, Verb.WAIVE}
    | {Verb.PLACE_LEGAL_HOLD, Verb.LIFT_LEGAL_HOLD, Verb.ERASE}
)
"""Verbs about an account rather than one of its calls."""
AFTER_THE_END = frozenset(
    {Verb.NOTE, Verb.CONTACT, Verb.CLOSE_TASK, Verb.OPEN_TASK, Verb.REVERSE_CURE, Verb.FILL, Verb.ORDER}
    | {Verb.EXPIRE_PLAN}
)
"""Verbs that a closed call still takes: they add to its history and leave its row as it was."""


@dataclass(frozen=True)
class Standing:
    """What an assessment says of one regime. Only a priced account has one: law 3."""

    deficit: Decimal
    """What restores the target, rounded up; zero where the requirement holds."""
    is_severe: bool
    is_warned: bool
    """Cover is below the warning level (also true in deficit)."""
    is_recovered: bool
    """Cover is above the level at which an open warning clears: hysteresis."""
    is_reconciled: bool = True
    """The book is whole: what looks better may be believed. Nothing is met or cleared on a short file."""
    is_under_new_terms: bool = False
    """Another policy version governs than the one the call was issued under."""
    below: frozenset[str] = frozenset()
    """Further rungs of warnings that cover is below."""
    near: frozenset[str] = frozenset()
    """Those and the ones that it has not recovered from: their open warnings stay."""


@dataclass(frozen=True)
class OpenCall:
    """An open call as the door last wrote it, with what settled cures have released so far."""

    state: State
    amount_called: Decimal
    amount_outstanding: Decimal
    cured: Decimal
    tolerance: Decimal
    market_cures: bool
    due_at: datetime
    notified_at: datetime | None
    provisionally_met_at: datetime | None
    has_open_plan: bool
    has_plan_fills: bool = False
    """A liquidation plan of this call was filled, at least in part."""
    is_paid_after_fills: bool = False
    """The client's own cure came after the plan's last fill."""
    cured_by: frozenset[Resolution] = frozenset()
    """How it was cured so far: money, securities, sales."""
    issued_at: datetime | None = None
    escalated_at: datetime | None = None
    level: int = 0
    held_until: datetime | None = None
    paused_until: datetime | None = None
    reminded_at: datetime | None = None
    disputed: Decimal = Decimal(0)
    clock_stopped_at: datetime | None = None

    @property
    def left(self) -> Decimal:
        """What settled cures have left of the amount called."""
        return max(Decimal(0), self.amount_called - self.cured)

    def is_held(self, at: datetime) -> bool:
        return self.held_until is not None and at < self.held_until

    def is_paused(self, at: datetime) -> bool:
        return self.paused_until is not None and at < self.paused_until


class Stacking(Words):
    """What becomes of a deficit that grows while a call is open."""

    CUMULATIVE = "cumulative"
    INCREMENTAL = "incremental"


@dataclass(frozen=True)
class Rule:
    """The part of a policy's regime rule that decides (settled.md 32)."""

    de_minimis: Decimal = Decimal(0)
    tolerance: Decimal = Decimal(0)
    increase_rate: Decimal = Decimal("0.05")
    """A growing deficit changes the amount called once it exceeds it by this share."""
    change_rate: Decimal = Decimal("0.01")
    """What is outstanding is written again once it moved by this share of the amount called."""
    stacking: Stacking = Stacking.CUMULATIVE
    dwell: timedelta = timedelta(0)
    """How long a market cure must hold before it counts (settled.md 25)."""
    warns: bool = True
    rungs: tuple[str, ...] = (RUNG,)
    """Of warnings, the highest first."""
    proposes: bool = False
    """The system proposes a liquidation plan for an escalated call; two people then approve it."""
    reminders: tuple[timedelta, ...] = ()
    """How long before the deadline the client is reminded; zero: when it passes."""
    remind_every: timedelta = timedelta(0)
    """And how often besides, counted from the issue; zero: never."""
    ladder: tuple[timedelta, ...] = ()
    """How long after the escalation the levels above the first are reached."""


@dataclass(frozen=True)
class Decision:
    verb: Verb
    amount_called: Decimal | None = None
    amount_outstanding: Decimal | None = None
    cause: Cause | None = None
    resolution: Resolution | None = None
    reason: str = ""
    level: int | None = None
    rung: str = ""
    is_quiet: bool = False
    """A deeper rung is warned of at the same instant: that one alone is told."""


Decided = tuple[Decision, ...]


def decide(
    standing: Standing,
    call: OpenCall | None,
    *,
    is_warned_already: bool,
    rule: Rule,
    at: datetime,
    rungs: Collection[str] = (),
) -> Decided:
    """What the door should do now about one regime of a priced account: nothing, one step, or a few in order.

    It never liquidates: it proposes (settled.md 28). The same input twice gives the same answer. `rungs` are the
    further ones that have an open warning.
    """
    if call is None:
        opened = {RUNG, *rungs} if is_warned_already else set(rungs)
        return _without_call(standing, opened=opened, rule=rule)
    outstanding = _outstanding(standing, call)
    if standing.deficit > call.tolerance or (not call.market_cures and outstanding > call.tolerance):
        return _still_short(standing, call, outstanding, rule, at)
    if not standing.is_reconciled:
        return ()
    return _looks_met(standing, call, outstanding, rule, at)


def decide_each(
    standing: Standing,
    calls: Sequence[OpenCall],
    *,
    is_warned_already: bool,
    rule: Rule,
    at: datetime,
    rungs: Collection[str] = (),
) -> list[tuple[int | None, Decided]]:
    """As `decide`, where an increase gets a call of its own: decisions by the place of the call, None for a new one.

    The deficit is that of the older calls first, so a recovery cures the youngest first. `calls` are the oldest first;
    each keeps its own clock, and no part of the deficit is in two of them.
    """
    if not calls or rule.stacking == Stacking.CUMULATIVE:
        place = 0 if calls else None
        call = calls[0] if calls else None
        warned = is_warned_already
        return [(place, decide(standing, call, is_warned_already=warned, rule=rule, at=at, rungs=rungs))]
    decided: list[tuple[int | None, Decided]] = []
    rest = standing.deficit
    for place, call in enumerate(calls):
        share = min(rest, call.left)
        rest -= share
        own = replace(standing, deficit=share)
        decided.append((place, decide(own, call, is_warned_already=is_warned_already, rule=rule, at=at)))
    if rest > max(rule.de_minimis, rule.increase_rate * sum((call.left for call in calls), Decimal(0))):
        decided.append((None, (Decision(Verb.ISSUE, amount_called=rest, amount_outstanding=rest),)))
    return decided


def _without_call(standing: Standing, *, opened: Collection[str], rule: Rule) -> Decided:
    if standing.deficit > rule.de_minimis:
        severe = Decision(Verb.ESCALATE, cause=Cause.SEVERITY)
        return (
            Decision(Verb.ISSUE, amount_called=standing.deficit, amount_outstanding=standing.deficit),
            *(Decision(Verb.CLEAR, reason="call", rung=rung) for rung in sorted(opened)),
            *((severe,) if standing.is_severe else ()),
        )
    below = standing.below | ({RUNG} if standing.is_warned else frozenset())
    near = below | standing.near | (frozenset() if standing.is_recovered else {RUNG})
    raised = [rung for rung in rule.rungs if rung in below and rung not in opened and rule.warns]
    over = sorted(set(opened) - near) if standing.is_reconciled else []
    return (
        *(Decision(Verb.CLEAR, reason="recovery", rung=rung) for rung in over),
        *(Decision(Verb.WARN, rung=rung, is_quiet=rung != raised[-1]) for rung in raised),
    )


def _outstanding(standing: Standing, call: OpenCall) -> Decimal:
    """settled.md 26: called − settled cures, and no more than today's deficit where the market cures."""
    return min(call.left, standing.deficit) if call.market_cures else call.left


def _still_short(standing: Standing, call: OpenCall, outstanding: Decimal, rule: Rule, at: datetime) -> Decided:
    decisions: list[Decision] = []
    if call.provisionally_met_at is not None and standing.deficit > call.tolerance:
        decisions.append(Decision(Verb.BREACH_AGAIN, amount_outstanding=outstanding))
    change = _change(standing, call, outstanding, rule)
    if change and not (decisions and change.amount_called == call.amount_called):
        decisions.append(change)
    if call.state == State.ISSUED:
        cause = _cause_to_escalate(standing, call, outstanding, at)
        if cause:
            decisions.append(Decision(Verb.ESCALATE, cause=cause))
        elif _is_to_be_reminded(call, rule, at):
            decisions.append(Decision(Verb.REMIND))
        return tuple(decisions)
    level = _level(standing, call, rule, at)
    if level > call.level:
        decisions.append(Decision(Verb.LEVEL, level=level))
    is_free = not (call.has_open_plan or call.is_held(at) or call.is_paused(at))
    if rule.proposes and is_free and standing.deficit > call.tolerance:
        decisions.append(Decision(Verb.PROPOSE))
    return tuple(decisions)


def _change(standing: Standing, call: OpenCall, outstanding: Decimal, rule: Rule) -> Decision | None:
    """The new amounts of a call that grew, or whose outstanding amount moved enough to be written again."""
    growth = standing.deficit - call.left
    is_paid_yet_short = call.left <= call.tolerance < standing.deficit
    is_growing = rule.stacking == Stacking.CUMULATIVE
    if is_growing and (growth > call.amount_called * rule.increase_rate or (is_paid_yet_short and growth > 0)):
        amount = call.cured + standing.deficit
        return Decision(Verb.CHANGE, amount_called=amount, amount_outstanding=standing.deficit)
    moved = outstanding - call.amount_outstanding
    if abs(moved) <= call.amount_called * rule.change_rate or (moved < 0 and not standing.is_reconciled):
        return None
    return Decision(Verb.CHANGE, amount_called=call.amount_called, amount_outstanding=outstanding)


def _cause_to_escalate(standing: Standing, call: OpenCall, outstanding: Decimal, at: datetime) -> Cause | None:
    """Severity does not wait; a deadline counts once an attempt to tell the client is provable (settled.md 27).

    A hold stops both. A payment being checked and a dispute that stops the clock put off the deadline alone: what is
    severe may be gone before either is decided.
    """
    if call.is_held(at):
        return None
    if standing.is_severe:
        return Cause.SEVERITY
    is_undisputed = call.clock_stopped_at is None or outstanding - call.disputed > call.tolerance
    if at >= call.due_at and call.notified_at is not None and not call.is_paused(at) and is_undisputed:
        return Cause.DEADLINE
    return None


def _is_to_be_reminded(call: OpenCall, rule: Rule, at: datetime) -> bool:
    """Whether a moment of reminding passed since the client last heard of the call: several passed ones count once."""
    if call.issued_at is None or call.notified_at is None:
        return False
    passed = [moment for before in rule.reminders if (moment := call.due_at - before) <= at]
    if rule.remind_every > timedelta(0):
        passed.append(at - (at - call.issued_at) % rule.remind_every)
    return any(moment > max(call.issued_at, call.reminded_at or call.issued_at) for moment in passed)


def _level(standing: Standing, call: OpenCall, rule: Rule, at: datetime) -> int:
    """How far up the ladder an escalated call belongs: by time, or at once to the top where it is severe."""
    if standing.is_severe and rule.ladder:
        return 1 + len(rule.ladder)
    since = call.escalated_at
    return 1 + sum(1 for step in rule.ladder if since is not None and at - since >= step)


def _looks_met(standing: Standing, call: OpenCall, outstanding: Decimal, rule: Rule, at: datetime) -> Decided:
    if call.has_plan_fills and call.state == State.ESCALATED:
        if not call.is_paid_after_fills:
            return (Decision(Verb.LIQUIDATE, amount_outstanding=Decimal(0)),)
        return (Decision(Verb.MEET, amount_outstanding=Decimal(0), resolution=Resolution.MIXED),)
    if call.left <= call.tolerance:
        return (Decision(Verb.MEET, amount_outstanding=Decimal(0), resolution=_joint(call.cured_by)),)
    held_since = call.provisionally_met_at
    if held_since is None and rule.dwell > timedelta(0):
        return (Decision(Verb.PROVISIONALLY_MEET, amount_outstanding=outstanding),)
    if held_since is not None and at - held_since < rule.dwell:
        return ()
    by_itself = Resolution.REQUIREMENT_CHANGE if standing.is_under_new_terms else Resolution.MARKET
    resolution = Resolution.MIXED if call.cured > 0 else by_itself
    return (Decision(Verb.MEET, amount_outstanding=Decimal(0), resolution=resolution),)


def _joint(kinds: frozenset[Resolution]) -> Resolution:
    """One way of curing is named; several are mixed."""
    return next(iter(kinds), Resolution.CASH) if len(kinds) <= 1 else Resolution.MIXED
