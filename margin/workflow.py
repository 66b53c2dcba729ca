"""The life of a margin call: states, legal transitions, what to do next. Pure: no Django, no clock."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum


class Words(StrEnum):
    """A closed vocabulary, stored as text."""

    @classmethod
    def choices(cls) -> list[tuple[str, str]]:
        return [(word.value, word.value.replace("_", " ")) for word in cls]


class Regime(Words):
    HOUSE = "house"
    EXCHANGE = "exchange"
    REG_T = "reg_t"
    MINIMUM_EQUITY = "minimum_equity"
    INTRADAY = "intraday"
    PORTFOLIO = "portfolio"
    FUTURES = "futures"
    CSA = "csa"
    LOAN = "loan"


class State(Words):
    ISSUED = "issued"
    MET = "met"
    ESCALATED = "escalated"
    LIQUIDATED = "liquidated"
    CANCELLED = "cancelled"


class Cause(Words):
    """Why a call escalated (settled.md 27)."""

    DEADLINE = "deadline"
    SEVERITY = "severity"
    UNDELIVERABLE = "undeliverable"
    PERSON = "person"


class Resolution(Words):
    """How a call closed: the "manner satisfied" of FINRA 4220."""

    CASH = "cash"
    SALE = "sale"
    MARKET = "market"
    MIXED = "mixed"
    REQUIREMENT_CHANGE = "requirement_change"
    RETRACTION = "retraction"
    LIQUIDATION = "liquidation"


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
    CHANGE = "call.amount_changed"
    PROVISIONALLY_MEET = "call.provisionally_met"
    BREACH_AGAIN = "call.breached_again"
    CURE = "cure.applied"
    MEET = "call.met"
    ESCALATE = "call.escalated"
    LIQUIDATE = "call.liquidated"
    PROPOSE_CANCEL = "retraction.proposed"
    CANCEL = "call.cancelled"
    NOTE = "call.note"
    PROPOSE = "plan.proposed"
    APPROVE = "plan.approved"
    REJECT = "plan.rejected"
    FILL = "plan.filled"


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
    has_sold: bool = False
    """The client traded since the call was issued."""
    has_plan_fills: bool = False
    """A liquidation plan of this call was filled, at least in part."""


@dataclass(frozen=True)
class Rule:
    """The part of a policy's regime rule that decides (settled.md 32)."""

    de_minimis: Decimal = Decimal(0)
    tolerance: Decimal = Decimal(0)
    increase_rate: Decimal = Decimal("0.05")
    """A growing deficit changes the amount called once it exceeds it by this share."""
    dwell: timedelta = timedelta(0)
    """How long a market cure must hold before it counts (settled.md 25)."""
    warns: bool = True
    proposes: bool = False
    """The system proposes a liquidation plan for an escalated call; two people then approve it."""


@dataclass(frozen=True)
class Decision:
    verb: Verb
    amount_called: Decimal | None = None
    amount_outstanding: Decimal | None = None
    cause: Cause | None = None
    resolution: Resolution | None = None
    reason: str = ""


def decide(
    standing: Standing, call: OpenCall | None, *, is_warned_already: bool, rule: Rule, at: datetime
) -> tuple[Decision, ...]:
    """What the door should do now about one regime of a priced account: nothing, one step, or a few in order.

    It never liquidates: it proposes (settled.md 28). The same input twice gives the same answer.
    """
    if call is None:
        return _without_call(standing, is_warned_already=is_warned_already, rule=rule)
    outstanding = _outstanding(standing, call)
    if standing.deficit > call.tolerance or (not call.market_cures and outstanding > call.tolerance):
        return _still_short(standing, call, outstanding, rule, at)
    return _looks_met(call, outstanding, rule, at)


def _without_call(standing: Standing, *, is_warned_already: bool, rule: Rule) -> tuple[Decision, ...]:
    if standing.deficit > rule.de_minimis:
        return (
            Decision(Verb.ISSUE, amount_called=standing.deficit, amount_outstanding=standing.deficit),
            *((Decision(Verb.CLEAR, reason="call"),) if is_warned_already else ()),
        )
    if standing.is_warned and not is_warned_already and rule.warns:
        return (Decision(Verb.WARN),)
    if is_warned_already and standing.is_recovered:
        return (Decision(Verb.CLEAR, reason="recovery"),)
    return ()


def _outstanding(standing: Standing, call: OpenCall) -> Decimal:
    """settled.md 26: called − settled cures, and no more than today's deficit where the market cures."""
    left = max(Decimal(0), call.amount_called - call.cured)
    return min(left, standing.deficit) if call.market_cures else left


def _still_short(
    standing: Standing, call: OpenCall, outstanding: Decimal, rule: Rule, at: datetime
) -> tuple[Decision, ...]:
    decisions: list[Decision] = []
    if call.provisionally_met_at is not None and standing.deficit > call.tolerance:
        decisions.append(Decision(Verb.BREACH_AGAIN, amount_outstanding=outstanding))
    growth = standing.deficit - max(Decimal(0), call.amount_called - call.cured)
    paid_yet_short = call.amount_called - call.cured <= call.tolerance < standing.deficit
    if growth > call.amount_called * rule.increase_rate or (paid_yet_short and growth > 0):
        decisions.append(
            Decision(Verb.CHANGE, amount_called=call.cured + standing.deficit, amount_outstanding=standing.deficit)
        )
    elif outstanding != call.amount_outstanding and not decisions:
        decisions.append(Decision(Verb.CHANGE, amount_called=call.amount_called, amount_outstanding=outstanding))
    if call.state == State.ISSUED:
        cause = _cause_to_escalate(standing, call, at)
        if cause:
            decisions.append(Decision(Verb.ESCALATE, cause=cause))
    elif rule.proposes and not call.has_open_plan and standing.deficit > call.tolerance:
        decisions.append(Decision(Verb.PROPOSE))
    return tuple(decisions)


def _cause_to_escalate(standing: Standing, call: OpenCall, at: datetime) -> Cause | None:
    """Severity does not wait; a deadline counts once an attempt to tell the client is provable (settled.md 27)."""
    if standing.is_severe:
        return Cause.SEVERITY
    if at >= call.due_at and call.notified_at is not None:
        return Cause.DEADLINE
    return None


def _looks_met(call: OpenCall, outstanding: Decimal, rule: Rule, at: datetime) -> tuple[Decision, ...]:
    if call.has_plan_fills and call.cured == 0 and call.state == State.ESCALATED:
        return (Decision(Verb.LIQUIDATE, amount_outstanding=Decimal(0)),)
    if call.has_plan_fills:
        return (Decision(Verb.MEET, amount_outstanding=Decimal(0), resolution=Resolution.MIXED),)
    if call.amount_called - call.cured <= call.tolerance:
        return (Decision(Verb.MEET, amount_outstanding=Decimal(0), resolution=Resolution.CASH),)
    held_since = call.provisionally_met_at
    if held_since is None and rule.dwell > timedelta(0):
        return (Decision(Verb.PROVISIONALLY_MEET, amount_outstanding=outstanding),)
    if held_since is not None and at - held_since < rule.dwell:
        return ()
    by_itself = Resolution.SALE if call.has_sold else Resolution.MARKET
    resolution = Resolution.MIXED if call.cured > 0 else by_itself
    return (Decision(Verb.MEET, amount_outstanding=Decimal(0), resolution=resolution),)
