"""All that people do with calls and what belongs to them, as one table: API, its description and buttons read it.

The domain function is the judge; what is offered is what it would take as things stand.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import prefetch_related_objects

from accounts.models import CashMovement
from margin import acts, calls, casework, claims, disputes, offers, reasons, requests
from margin.actors import Actor
from margin.acts import Act, Field
from margin.calls import IllegalMove, Refused, StaleCall
from margin.models import Cure, Dispute, MarginCall, Plan, PlanLine, Request, Task
from margin.workflow import Cause, Resolution, State, Verb
from market import wire
from market.models import Instrument

Kind = Request.Kind
BY_PEOPLE = tuple(
    word.value for word in Resolution if word not in (Resolution.RETRACTION, Resolution.LIQUIDATION, Resolution.MARKET)
)
ASKED = {
    Kind.EXTENSION: Verb.REQUEST_EXTENSION,
    Kind.HOLD: Verb.REQUEST_HOLD,
    Kind.ACCELERATION: Verb.PROPOSE_ACCELERATION,
    Kind.RETRACTION: Verb.PROPOSE_CANCEL,
    Kind.ISSUE: Verb.PROPOSE_ISSUE,
}
GRANTED = {
    Kind.EXTENSION: Verb.EXTEND,
    Kind.HOLD: Verb.HOLD,
    Kind.ACCELERATION: Verb.ACCELERATE,
    Kind.RETRACTION: Verb.CANCEL,
    Kind.ISSUE: Verb.ISSUE,
}


def find(on: str, name: str) -> Act | None:
    """The act of that name on that kind of row."""
    return BY_NAME.get((on, name))


def offered(on: str, row: Any, actor: Actor, *, at: datetime) -> list[Act]:
    """What this person may do with this row now, in the order of the table; a bounded number of queries."""
    if isinstance(row, MarginCall):
        prefetch_related_objects([row], "requests", "disputes", "plans")
    of_kind = (act for act in ACTS if act.on == on)
    return [act for act in of_kind if actor.role in act.roles(row) and act.is_offered(row, actor, at)]


def carry_out(act: Act, row: Any, said: Mapping[str, Any], *, at: datetime, actor: Actor) -> Any:
    """Do it: one domain call. What was not said is left to its default.

    Raises calls.CallError; StaleCall where the row moved on since the `seq` that the person saw.
    """
    words = {name: value for name, value in said.items() if value is not None}
    seq = words.pop("seq", None)
    if seq is not None and seq != getattr(row, "seq", seq):
        raise StaleCall(f"{row} moved on (seq {row.seq}); reload and decide again")
    return act.deed(row, at=at, actor=actor, **words, **({"seq": seq} if act.takes_seq else {}))


# --- from what is said to the domain ------------------------------------------------------------------


def _note(call: MarginCall, *, reason: str, at: datetime, actor: Actor) -> MarginCall:
    return calls.note(call, text=reason, at=at, actor=actor)


def _meet(call: MarginCall, *, how: str, **said: Any) -> MarginCall:
    return calls.meet(call, how=Resolution(how), **said)


def _escalate(call: MarginCall, **said: Any) -> MarginCall:
    return calls.escalate(call, cause=Cause.PERSON, **said)


def _ask_retraction(call: MarginCall, **said: Any) -> Request:
    return requests.ask_retraction([call], **said)[0]


def _cancel(call: MarginCall, *, reason: str, at: datetime, actor: Actor) -> Request:
    asked = call.requests.filter(kind=Kind.RETRACTION, state=Request.State.OPEN).first()
    if asked is None:
        raise IllegalMove(f"nobody asks that {call} be retracted; ask first, and another person decides")
    return requests.grant(asked, at=at, actor=actor, reason=reason)


def _propose(call: MarginCall, *, reason: str, at: datetime, actor: Actor) -> Plan:
    from margin import liquidation  # the engine: not needed to start

    return liquidation.propose(call, at=at, actor=actor, reason=reason)


def _approve(plan: Plan, *, at: datetime, actor: Actor) -> Plan:
    from margin import approvals

    return approvals.approve(plan, at=at, actor=actor)


def _reject(plan: Plan, *, reason: str, at: datetime, actor: Actor) -> Plan:
    from margin import approvals

    return approvals.reject(plan, reason=reason, at=at, actor=actor)


def _release(plan: Plan, *, at: datetime, actor: Actor) -> Plan:
    from margin import approvals

    return approvals.release(plan, at=at, actor=actor)


def _call_off(plan: Plan, *, reason: str, at: datetime, actor: Actor) -> Plan:
    from margin import approvals

    return approvals.call_off(plan, reason=reason, at=at, actor=actor)


def _fill(plan: Plan, *, line: int, **said: Any) -> Plan:
    from margin import booking

    found = PlanLine.objects.filter(plan=plan, pk=line).select_related("instrument").first()
    if found is None:
        raise Refused(f"{plan} has no line {line}")
    booking.record_fill(found, **said)
    return plan


def _pledge(call: MarginCall, *, instrument: str = "", **said: Any) -> Cure:
    found = Instrument.objects.filter(code=instrument).first() if instrument else None
    if instrument and found is None:
        raise Refused(f"there is no instrument {instrument}")
    return claims.pledge(call, instrument=found, **said)


def _check(cure: Cure, *, movement: int | None = None, **said: Any) -> Cure:
    found = CashMovement.objects.filter(pk=movement).first() if movement else None
    if movement and found is None:
        raise Refused(f"there is no cash movement {movement}")
    return claims.check(cure, movement=found, **said)


def _open_task(call: MarginCall, *, owner: str = "", **said: Any) -> Task:
    return casework.open_task(call, owner_id=_colleague(owner), **said)


def _take(task: Task, *, owner: str = "", **said: Any) -> Task:
    return casework.take_task(task, owner_id=_colleague(owner), **said)


def _colleague(login: str) -> int | None:
    if not login:
        return None
    found = get_user_model().objects.filter(username=login, is_active=True, is_staff=True).first()
    if found is None:
        raise Refused(f"there is no active member of staff with the login {login!r}")
    return int(found.pk)


def _grant(request: Request, *, whole_batch: bool = False, **said: Any) -> Request:
    """One request, or with it all that are open of the proposal it belongs to."""
    if not (whole_batch and request.batch):
        return requests.grant(request, **said)
    said.pop("external_reference", None)
    requests.grant_batch(request.batch, **said)
    return Request.objects.get(pk=request.pk)


REASON = acts.reason()
METHOD = acts.choice("method", "By", reasons.METHODS)
REFERENCE = acts.words("reference", "Reference", length=80, hint="as the payer states it")
CURRENCY = acts.code("currency", "Currency", length=12)
EXPECTED = acts.instant("expected_at", "Expected", optional=True)
LINE = (
    acts.number("line", "Line", hint="its number in the plan"),
    Field("quantity", "Quantity", wire.quantity(), "sold is negative"),
    Field("price", "Price", wire.price()),
    acts.amount("fee", "Fee"),
    acts.code("source", "Source", length=32),
    acts.code("external_reference", "Reference", length=80),
)


# --- the table ----------------------------------------------------------------------------------------

ACTS: tuple[Act, ...] = (
    Act(
        "calls", "claim", "Client says it paid", Verb.CLAIM, claims.claim,
        "It is written down; somebody looks for the payment now.", offers.is_open, takes_seq=True,
        fields=(acts.amount("amount", "Amount"), CURRENCY, METHOD, REFERENCE, EXPECTED),
    ),
    Act(
        "calls", "pledge", "Announce a cure", Verb.PLEDGE, _pledge,
        "The cure is announced; it counts once it has settled.", offers.is_open, takes_seq=True,
        fields=(
            acts.choice("kind", "Of what", acts.plain(("cash", "repayment", "securities", "collateral"))),
            acts.amount("amount", "Amount", hint="or how many units"),
            acts.code("currency", "Currency", optional=True, length=12),
            acts.code("instrument", "Instrument", optional=True, hint="of securities and collateral"),
            METHOD, REFERENCE, EXPECTED,
            acts.flag("is_in_transit", "Under way", "proof was seen"),
        ),
    ),
    Act(
        "calls", "contact", "Log a contact", Verb.CONTACT, casework.contact, "The contact is in the history.",
        offers.always,
        fields=(
            acts.choice("channel", "By", reasons.CHANNELS),
            acts.choice("direction", "Direction", {"out": "we called", "in": "the client called"}),
            acts.choice("outcome", "Outcome", reasons.OUTCOMES),
            acts.words("who", "Spoken with", optional=True, length=80),
            acts.amount("amount_quoted", "Amount quoted", optional=True),
            acts.instant("deadline_quoted", "Deadline quoted", optional=True),
            acts.words("text", "What was said"),
        ),
    ),
    Act(
        "calls", "note", "Add note", Verb.NOTE, _note, "The note is in the history of {row}.", offers.always,
        fields=(REASON,),
    ),
    Act(
        "calls", "open_task", "Open a task", Verb.OPEN_TASK, _open_task, "The task is open.", offers.always,
        fields=(
            acts.code("kind", "Kind", length=32, hint="one of a kind is open at a time"),
            acts.words("title", "What is to be done", length=200),
            acts.instant("due_at", "Due"),
            acts.words("owner", "Whose", optional=True, length=150, hint="a login; empty: nobody's yet"),
        ),
    ),
    Act(
        "calls", "dispute", "Record a dispute", Verb.DISPUTE, disputes.dispute,
        "The dispute is open; what is not disputed stays due.", offers.may_be_disputed, takes_seq=True,
        fields=(
            acts.amount("amount", "Amount disputed"),
            acts.choice("reason_code", "Why", reasons.DISPUTE),
            acts.words("reason", "In the client's words", optional=True),
            acts.words("opened_by", "By whom", optional=True, length=150, hint="the client's contact"),
        ),
    ),
    Act(
        "calls", "ask_extension", "Ask for more time", Verb.REQUEST_EXTENSION, requests.ask_extension,
        "The extension of {row} is asked for; another person decides.", offers.may_be_extended, takes_seq=True,
        fields=(
            acts.instant("until", "New deadline"),
            acts.choice("reason_code", "Why", reasons.EXTENSION),
            REASON,
            acts.words("external_reference", "Reference of the examining authority", optional=True, length=80),
        ),
    ),
    Act(
        "calls", "ask_hold", "Ask for a hold", Verb.REQUEST_HOLD, requests.ask_hold,
        "The hold of {row} is asked for; another person decides.", offers.may_be_held, takes_seq=True,
        fields=(
            acts.instant("until", "Until"),
            acts.choice("reason_code", "Why", reasons.HOLD, default="other"),
            REASON,
        ),
    ),
    Act(
        "calls", "release", "End the hold", Verb.RELEASE, requests.release, "{row} is no longer held.",
        lambda call, actor, at: call.is_open and call.held_until is not None and at < call.held_until,
        fields=(REASON,), takes_seq=True,
    ),
    Act(
        "calls", "ask_acceleration", "Ask for less time", Verb.PROPOSE_ACCELERATION, requests.ask_acceleration,
        "An earlier deadline of {row} is asked for; another person decides.", offers.may_be_brought_forward,
        takes_seq=True, is_grave=True,
        fields=(
            acts.instant("due_at", "New deadline"),
            acts.choice("reason_code", "Why", reasons.ACCELERATION, default="other"),
            acts.flag("is_emergency", "Emergency", "it counts before the client was told"),
            REASON,
        ),
    ),
    Act(
        "calls", "meet", "Confirm as met", Verb.MEET, _meet, "{row} is met.",
        lambda call, actor, at: call.is_open and call.amount_outstanding <= call.tolerance,
        fields=(acts.choice("how", "By", acts.plain(BY_PEOPLE)), acts.reason(optional=True)), takes_seq=True,
    ),
    Act(
        "calls", "escalate", "Escalate", Verb.ESCALATE, _escalate, "{row} is escalated.",
        lambda call, actor, at: call.state == State.ISSUED, fields=(REASON,), takes_seq=True, is_grave=True,
    ),
    Act(
        "calls", "propose", "Propose liquidation", Verb.PROPOSE, _propose,
        "A liquidation plan for {row} is proposed; another person must approve it.", offers.may_be_sold,
        fields=(REASON,), is_grave=True,
    ),
    Act(
        "calls", "propose_cancel", "Ask to retract", Verb.PROPOSE_CANCEL, _ask_retraction,
        "The retraction of {row} is asked for; another person must decide.", offers.may_be_retracted, takes_seq=True,
        fields=(acts.choice("reason_code", "Why", reasons.RETRACTION, default="other"), REASON), is_grave=True,
    ),
    Act(
        "calls", "cancel", "Retract", Verb.CANCEL, _cancel, "{row} is retracted; the client is told.",
        offers.may_decide_retraction, fields=(REASON,), is_grave=True,
    ),
    Act(
        "requests", "grant", "Grant", GRANTED, _grant, "It is granted and carried out.", offers.may_decide,
        fields=(
            acts.reason(optional=True),
            acts.words("external_reference", "Reference of the examining authority", optional=True, length=80),
            acts.flag("whole_batch", "Whole proposal", "all calls that were asked for together"),
        ),
        is_grave=True,
    ),
    Act(
        "requests", "deny", "Deny", requests.DENIED, requests.deny, "It is denied.", offers.may_decide, fields=(REASON,)
    ),
    Act(
        "requests", "withdraw", "Withdraw", ASKED, requests.withdraw, "It is withdrawn.", offers.may_withdraw
    ),
    Act(
        "cures", "check", "Say what was found", Verb.CHECK, _check, "What was found is in the history.",
        lambda cure, actor, at: cure.is_expected,
        fields=(
            acts.choice("finding", "Found", acts.plain(("in_transit", "arrived", "not_found"))),
            acts.number("movement", "Cash movement", optional=True, hint="its number, where it arrived"),
            REASON,
        ),
    ),
    Act(
        "disputes", "decide", "Decide", Verb.DECIDE, disputes.decide, "The dispute is decided; the client is told.",
        lambda dispute, actor, at: dispute.state == Dispute.State.OPEN,
        fields=(
            acts.choice("finding", "Decision", acts.plain(("upheld", "partly", "rejected"))),
            acts.amount("granted", "Of which granted", optional=True, hint="where it is upheld in part"),
            REASON,
        ),
    ),
    Act(
        "tasks", "take", "Take on", Verb.OPEN_TASK, _take, "The task is taken on.",
        lambda task, actor, at: task.closed_at is None,
        fields=(acts.words("owner", "Whose", optional=True, length=150, hint="a login; empty: mine"),),
    ),
    Act(
        "tasks", "close", "Close", Verb.CLOSE_TASK, casework.close_task, "The task is closed.",
        lambda task, actor, at: task.closed_at is None, fields=(acts.words("outcome", "What became of it"),),
    ),
    Act(
        "plans", "approve", "Approve", Verb.APPROVE, _approve, "{row} is approved.", offers.may_approve, is_grave=True
    ),
    Act(
        "plans", "reject", "Reject", Verb.REJECT, _reject, "{row} is rejected.",
        offers.may_reject, fields=(REASON,),
    ),
    Act(
        "plans", "release", "Release", Verb.RELEASE_PLAN, _release, "{row} is released.", offers.may_release,
        is_grave=True,
    ),
    Act(
        "plans", "call_off", "Call off", Verb.CALL_OFF, _call_off,
        "{row} is called off: what has not left is cancelled, what is at a venue is asked back.", offers.may_call_off,
        fields=(REASON,), is_grave=True,
    ),
    Act(
        "plans", "fill", "Record a fill", Verb.FILL, _fill, "The fill of {row} is booked.",
        offers.may_fill, fields=LINE, is_grave=True,
    ),
)  # fmt: skip
BY_NAME = {(act.on, act.name): act for act in ACTS}
ROWS: dict[str, type[Any]] = {
    "calls": MarginCall, "requests": Request, "cures": Cure, "disputes": Dispute, "tasks": Task, "plans": Plan,
}  # fmt: skip
NAMES = {model: name for name, model in ROWS.items()}
