"""Strikes: calls that were not met in time by the client's own means, what a number of them brings, and waivers.

A strike is judged once its call is closed (`judge`), recorded with what it brings in one transaction (`record`), and
counted over rolling months by the policy's schedules. Two people of Compliance or Supervisor may waive, in writing,
what a call, a strike or a rule brought (FINRA's portfolio margin questions: two officers); every waiver is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from margin import calls, chain, restrictions
from margin.actors import Actor
from margin.calls import Refused
from margin.models import MarginCall, Restriction, Strike, Waiver
from margin.restriction_terms import StrikeKind, StrikeSchedule
from margin.restrictions import Lift, Placement
from margin.workflow import State, Verb

WAIVERS = ("Compliance", "Supervisor")


@dataclass(frozen=True)
class Paid:
    """A settled cure as a strike sees it: when its source came, what it released, and whether the client traded."""

    at: datetime
    release: Decimal
    is_trade: bool


@dataclass(frozen=True)
class Circumstances:
    """What is known of a closed call besides its row."""

    paid: tuple[Paid, ...] = ()
    has_plan_fills: bool = False
    assigned_on: frozenset[date] = frozenset()
    """Days on which options of the account were assigned."""
    business_days: tuple[date, ...] = ()
    """Ascending; empty: every day counts."""
    zone: str = "UTC"


def judge(call: MarginCall, known: Circumstances) -> StrikeKind | None:
    """How a closed call failed to be met in time by the client's means; None where it earns no strike.

    A plan that was filled counts as a liquidation, also where a deposit met the rest (settled.md 28). A call is late
    only if the client was told and what came in by the deadline was not enough. Trades on the day of the call reduce
    risk and sales on the business day after an assignment follow from it: neither earns one.
    """
    if call.state == State.LIQUIDATED or (call.state == State.MET and known.has_plan_fills):
        return StrikeKind.LIQUIDATED
    if call.state != State.MET:
        return None
    trades = [one for one in known.paid if one.is_trade]
    counting = [one for one in trades if not _is_excused(one.at, call, known)]
    by_excused_trades = bool(known.paid) and len(trades) == len(known.paid) and not counting
    if _is_late(call, known.paid) and not by_excused_trades:
        return StrikeKind.LATE
    return StrikeKind.SOLD if counting else None


def _is_late(call: MarginCall, paid: Sequence[Paid]) -> bool:
    if call.escalated_at is None or call.notified_at is None or call.closed_at is None:
        return False
    in_time = sum((one.release for one in paid if one.at <= call.due_at), Decimal(0))
    return call.closed_at > call.due_at and in_time < call.amount_called - call.tolerance


def _is_excused(traded_at: datetime, call: MarginCall, known: Circumstances) -> bool:
    zone = ZoneInfo(known.zone)
    day = traded_at.astimezone(zone).date()
    if day == call.issued_at.astimezone(zone).date():
        return True
    return any(_next_day(assigned, known.business_days) == day for assigned in known.assigned_on)


def _next_day(day: date, business_days: Sequence[date]) -> date:
    if not business_days:
        return day + timedelta(days=1)
    return next((later for later in business_days if later > day), day + timedelta(days=1))


# --- recording --------------------------------------------------------------------------------------


def record(
    call: MarginCall, *, kind: StrikeKind, schedules: Sequence[StrikeSchedule], at: datetime, actor: Actor
) -> Strike:
    """Record a strike and place what it brings, in the caller's transaction. The account's chain is locked."""
    reason = _sentence(call, kind)
    details = {"call": call.pk, "kind": kind.value, "regime": call.regime}
    outcome = calls.tell(call.account_id, verb=Verb.STRIKE, details=details, reason=reason, at=at, actor=actor)
    strike = Strike.objects.create(
        account_id=call.account_id,
        call=call,
        kind=kind.value,
        regime=call.regime,
        at=call.closed_at or at,
        reason=reason,
        seq=outcome.seq or 0,
    )
    brought = [one for schedule in schedules for one in _brings(strike, schedule, at)]
    restrictions.write(brought, [], at=at, actor=actor)
    return strike


def count(account_id: int, schedule: StrikeSchedule, *, at: datetime) -> int:
    """How many strikes of the account the schedule counts in the rolling months up to `at`."""
    counted = Strike.objects.filter(
        account=account_id, kind__in=schedule.kinds, at__gt=months_before(at, schedule.months), at__lte=at
    )
    return (counted.filter(regime__in=schedule.regimes) if schedule.regimes else counted).count()


def months_before(at: datetime, months: int) -> datetime:
    """The same moment so many calendar months earlier; the last day of a shorter month."""
    month = at.year * 12 + at.month - 1 - months
    year, place = divmod(month, 12)
    last = (datetime(year + (place == 11), (place + 1) % 12 + 1, 1, tzinfo=at.tzinfo) - timedelta(days=1)).day
    return at.replace(year=year, month=place + 1, day=min(at.day, last))


def _brings(strike: Strike, schedule: StrikeSchedule, at: datetime) -> list[Placement]:
    if not schedule.counts(kind=strike.kind, regime=strike.regime):
        return []
    number = count(strike.account_id, schedule, at=strike.at)
    step = schedule.step(number)
    ends_at = strike.at + timedelta(days=step.days) if step else at
    if step is None or ends_at <= at:
        return []
    reason = f"strike {number} within {schedule.months} months ({schedule.name}): {step.days} days"
    return [
        Placement(
            strike.account_id,
            effect,
            Restriction.Origin.STRIKE.value,
            f"strike:{strike.pk}:{schedule.name}",
            reason,
            ends_at,
            strike.call_id,
        )
        for effect in step.effects
    ]


def _sentence(call: MarginCall, kind: StrikeKind) -> str:
    words = {
        StrikeKind.LATE: "was met after its deadline",
        StrikeKind.LIQUIDATED: "was met by closing positions for the client",
        StrikeKind.SOLD: "was met by the client's own sales",
    }
    return f"{call.get_regime_display()} call {call} {words[kind]}"


# --- waivers ----------------------------------------------------------------------------------------


def waive(restriction: Restriction, *, reason: str, at: datetime, actor: Actor) -> Waiver:
    """Propose in writing that a restriction end before its time; another of the two roles decides. Raises Refused."""
    proposer = _officer(actor, reason)
    if restriction.source.startswith("cover:"):
        raise Refused(f"{restriction} follows the account's cover and would be placed again; change the policy instead")
    return chain.in_transaction(lambda: _propose(restriction, reason, proposer, at, actor))


def _propose(restriction: Restriction, reason: str, proposer: int, at: datetime, actor: Actor) -> Waiver:
    current = restrictions.locked(restriction)
    if current.waivers.filter(state=Waiver.State.OPEN).exists():
        raise Refused(f"a waiver of {current} is proposed already; another person decides it")
    details = {"restriction": current.placed_seq, "effect": current.effect}
    outcome = calls.tell(
        current.account_id, verb=Verb.PROPOSE_WAIVER, details=details, reason=reason, at=at, actor=actor
    )
    proposed = Waiver.objects.create(
        account_id=current.account_id,
        restriction=current,
        reason=_kept(reason, current, actor),
        proposed_by_id=proposer,
        proposed_at=at,
        seq=outcome.seq or 0,
    )
    return Waiver.objects.get(pk=proposed.pk)


def decide(waiver: Waiver, *, is_granted: bool, reason: str, at: datetime, actor: Actor) -> Waiver:
    """Grant or deny a proposed waiver; granted, the restriction ends now. Raises Refused for the proposer."""
    decider = _officer(actor, reason)
    return chain.in_transaction(lambda: _decide(waiver, is_granted, reason, decider, at, actor))


def _decide(waiver: Waiver, is_granted: bool, reason: str, decider: int, at: datetime, actor: Actor) -> Waiver:
    chain.lock([waiver.account_id])
    current = Waiver.objects.select_related("restriction__account", "proposed_by").get(pk=waiver.pk)
    if not current.is_open:
        raise calls.StaleCall(f"the {current} is {current.state} already; nothing is left to decide")
    if current.proposed_by_id == decider:
        raise Refused(f"{actor.name} proposed the {current}; another person must decide")
    details = {
        "restriction": current.restriction.placed_seq,
        "effect": current.restriction.effect,
        "proposed_by": current.proposed_by.get_username(),
    }
    verb = Verb.WAIVE if is_granted else Verb.DENY_WAIVER
    outcome = calls.tell(current.account_id, verb=verb, details=details, reason=reason, at=at, actor=actor)
    current.state = Waiver.State.GRANTED if is_granted else Waiver.State.DENIED
    current.decided_by_id, current.decided_at = decider, at
    current.decision, current.seq = _kept(reason, current.restriction, actor), outcome.seq or 0
    current.save(update_fields=["state", "decided_by", "decided_at", "decision", "seq"])
    if is_granted and current.restriction.lifted_at is None:
        restrictions.write(
            [], [Lift(current.restriction, f"waived: {reason}"[: restrictions.LONGEST_REASON])], at=at, actor=actor
        )
    return Waiver.objects.get(pk=current.pk)


def _kept(reason: str, restriction: Restriction, actor: Actor) -> str:
    return calls.to_keep(reason, client_id=restriction.account.client_id, actor=actor)


def _officer(actor: Actor, reason: str) -> int:
    """The user id of a person who may waive; Refused for anybody else, and without a reason."""
    if actor.role not in WAIVERS or actor.user_id is None:
        raise Refused(f"{actor.name} ({actor.role or 'no role'}) may not waive; it takes {' or '.join(WAIVERS)}")
    restrictions.check_reason(reason)
    return actor.user_id
