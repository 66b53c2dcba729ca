"""Deadlines that a changed calendar moves: a day closed or opened after the call was issued (reliability T3)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from margin import calls, chain, due, policies
from margin.actors import Actor
from margin.calls import Move
from margin.clocks import Clockwork
from margin.models import Event, MarginCall, Measure
from margin.workflow import Verb
from market import calendars, closures

MOVED_BY_PEOPLE = (Verb.EXTEND, Verb.ACCELERATE)


@dataclass(frozen=True)
class Change:
    """A call whose rule gives another deadline by the calendar as it is known now, and why."""

    call: MarginCall
    due: due.Due
    reason: str


def reschedule(*, at: datetime, actor: Actor) -> list[calls.Outcome]:
    """Move the deadlines of open calls that a calendar changed under; an event each, from which the notice follows.

    Running it again changes nothing. A call that moved on meanwhile is refused and looked at again by the next run.
    """
    moves = [_move(change) for change in rescheduled(_affected(at), at=at)]
    outcomes: list[calls.Outcome] = []
    for first in range(0, len(moves), calls.LARGEST_BATCH):
        outcomes += calls.carry_out(moves[first : first + calls.LARGEST_BATCH], at=at, actor=actor)
    return outcomes


def rescheduled(found: Iterable[MarginCall], *, at: datetime) -> list[Change]:
    """The open calls among these that are due at another instant by their rule and the calendar as known now.

    Left alone are calls extended or accelerated by people; those that their rule did not date, so that nobody can
    tell what a calendar has to do with them; and deadlines that passed, or would by the change: what the client was
    told holds then.
    """
    given = [call for call in found if call.is_open and call.due_at > at]
    by_people = set(Event.objects.filter(call__in=given, kind__in=MOVED_BY_PEOPLE).values_list("call_id", flat=True))
    open_calls = [call for call in given if call.pk not in by_people]
    covers = _covers(open_calls)
    now, then = Clockwork(), {call.issued_at: Clockwork(as_of=call.issued_at) for call in open_calls}
    changes = []
    for call in open_calls:
        rule = policies.read(call.policy_version).clocks.get(call.regime)
        cover = covers.get((call.assessment_id, call.regime))
        if rule is None or _dated(call, rule, cover, then[call.issued_at], call.original_due_at) is None:
            continue
        found_due = _dated(call, rule, cover, now)
        if found_due is not None and found_due.at != call.due_at and found_due.at > at:
            changes.append(Change(call, found_due, _reason(call, rule)))
    return changes


def _affected(at: datetime) -> Iterable[MarginCall]:
    """Open calls older than the latest change of a calendar and not due yet; none where nothing ever changed."""
    latest = closures.latest()
    if not latest:
        return ()
    older = MarginCall.objects.open().filter(issued_at__lt=max(latest.values()), due_at__gt=at)
    return older.select_related("policy_version__policy").order_by("pk")


def _dated(
    call: MarginCall, rule: due.Rule, cover: Decimal | None, clockwork: Clockwork, expected: datetime | None = None
) -> due.Due | None:
    """What the rule says of the call; None where it says nothing, or something else than expected."""
    try:
        found = clockwork.due(rule, at=call.issued_at, bases=_bases(call), cover=cover)
    except (due.CalendarUnknown, calendars.CalendarUnknown):
        return None
    return found if expected in (None, found.at) else None


def _bases(call: MarginCall) -> Mapping[str, date]:
    """A call of a trade date is keyed by it."""
    try:
        return {due.TRADE_DATE: date.fromisoformat(call.deficiency_key)}
    except ValueError:
        return {}


def _covers(found: Sequence[MarginCall]) -> dict[tuple[int | None, str], Decimal | None]:
    """The cover that each call was issued at, by its assessment and regime (one query)."""
    measures = Measure.objects.filter(assessment__in={call.assessment_id for call in found if call.assessment_id})
    return {(row, regime): cover for row, regime, cover in measures.values_list("assessment_id", "regime", "cover")}


def _reason(call: MarginCall, rule: due.Rule) -> str:
    """The changes of its calendars since the issue, in words."""
    codes = sorted({term.calendar for term in rule.every_term if term.calendar})
    made = [change for code in codes for change in closures.changes(code, since=call.issued_at)]
    return "; ".join(f"{change}: {change.reason}" for change in made)[:300]


def _move(change: Change) -> Move:
    """Brought forward, the deadline counts once the client was told of it, as after an acceleration."""
    call = change.call
    changes: dict[str, object] = {"due_at": change.due.at, "due_basis": change.due.basis[:200]}
    if change.due.at < call.due_at:
        changes["notified_at"] = None
    return Move(
        Verb.RESCHEDULE,
        call.account_id,
        call_id=call.pk,
        seq=call.seq,
        changes=changes,
        reason=change.reason,
        details={"was": chain.text(call.due_at)},
    )
