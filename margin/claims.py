"""Money and securities announced but not here yet: the client's word, a payment under way, and what became of it.

A claim puts off the automatic escalation for a bounded time, once per call, and is a task for a person: a broker that
sells while the client's transfer lies in its own bank account loses the case. Nothing announced ever counts as paid.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from accounts.models import CashMovement
from margin import calls, casework, chain, cures, policies, prices, reasons, rows
from margin.actors import Actor
from margin.calls import IllegalMove, Move, Refused
from margin.models import Cure, MarginCall
from margin.workflow import Verb
from market.models import Instrument

State, Kind = Cure.State, Cure.Kind
TO_VERIFY = timedelta(minutes=30)
VERIFY = "verify_payment"
SWEEP = "sweep"


def claim(
    call: MarginCall,
    *,
    amount: Decimal,
    currency: str,
    method: str,
    reference: str,
    at: datetime,
    actor: Actor,
    expected_at: datetime | None = None,
    seq: int | None = None,
) -> Cure:
    """ "I have paid", by the client or written down for it. Pauses the automatic escalation, and asks staff to look."""
    calls.require(actor, Verb.CLAIM)
    cure = _announced(Kind.CASH, amount, currency, None, method, reference, expected_at, is_in_transit=False)
    is_first = not call.events.filter(kind=Verb.CLAIM).exists()
    pause = timedelta(minutes=policies.read(call.policy_version).terms.regime(call.regime).claim_minutes)
    changes = {"paused_until": at + pause} if is_first else {}
    move = Move(Verb.CLAIM, call.account_id, call_id=call.pk, seq=seq, changes=changes, cure=cure)

    def work() -> Cure:
        told = calls.make(move, at=at, actor=actor)
        casework.open_for(
            MarginCall.objects.get(pk=call.pk), kind=VERIFY, due_at=at + min(pause, TO_VERIFY), at=at, actor=actor,
            title=f"{call}: look for {chain.text(amount)} {currency} by {method}, reference {reference}:"
            " the client says it paid",
        )  # fmt: skip
        return Cure.objects.get(call=call, seq=told)

    return chain.in_transaction(work)


def pledge(
    call: MarginCall,
    *,
    kind: str,
    method: str,
    reference: str,
    at: datetime,
    actor: Actor,
    amount: Decimal | None = None,
    currency: str = "",
    instrument: Instrument | None = None,
    expected_at: datetime | None = None,
    is_in_transit: bool = False,
    seq: int | None = None,
) -> Cure:
    """What staff know to be coming: cash, securities or collateral. It counts when it has settled."""
    calls.require(actor, Verb.PLEDGE)
    if kind not in (Kind.CASH, Kind.REPAYMENT, Kind.SECURITIES, Kind.COLLATERAL):
        raise Refused(f"{kind!r} cannot be announced: cash, repayment, securities and collateral can")
    if kind in (Kind.SECURITIES, Kind.COLLATERAL) and instrument is None:
        raise Refused(f"say which instrument: {kind} of what?")
    cure = _announced(Kind(kind), amount, currency, instrument, method, reference, expected_at, is_in_transit)
    told = calls.make(Move(Verb.PLEDGE, call.account_id, call_id=call.pk, seq=seq, cure=cure), at=at, actor=actor)
    return Cure.objects.get(call=call, seq=told)


def auto_cover(call: MarginCall) -> Decimal:
    """What swept cash is expected to bring for the call before it is due: a "phantom call" where that is all of it.

    It promises nothing: the call stays as it is until the money has settled.
    """
    return sum(
        (
            cure.amount
            for cure in call.cures.all()
            if cure.is_expected
            and cure.method == SWEEP
            and cure.currency == call.currency
            and cure.amount
            and cure.expected_at is not None
            and cure.expected_at <= call.due_at
        ),
        Decimal(0),
    )


def is_auto_cover_expected(call: MarginCall) -> bool:
    """Swept cash is expected to meet all that the open call still asks, in time."""
    return call.is_open and auto_cover(call) >= call.amount_outstanding > 0


def check(
    cure: Cure,
    *,
    finding: str,
    reason: str,
    at: datetime,
    actor: Actor,
    movement: CashMovement | None = None,
) -> Cure:
    """What looking for it found: `in_transit`, `arrived` as that movement, or `not_found`, which ends the pause.

    Above the policy's limit, who announced it cannot also confirm that it arrived.
    """
    calls.require_reason(actor, Verb.CHECK, reason)
    found = {"in_transit": State.IN_TRANSIT, "arrived": State.SETTLED, "not_found": State.REJECTED}
    if finding not in found:
        raise Refused(f"{finding!r} is not one of {', '.join(found)}")
    if finding == "arrived" and movement is None:
        raise Refused("name the movement by which it arrived; without one nothing has settled")

    def work() -> Cure:
        call = cure.call
        chain.lock([call.account_id])
        current = Cure.objects.select_related("call").get(pk=cure.pk)
        if not current.is_expected:
            raise IllegalMove(f"{current.get_state_display()} already: {current}")
        columns: dict[str, Any] = {"id": current.pk, "state": found[finding].value}
        changes: dict[str, Any] = {}
        if movement is not None and finding == "arrived":
            _check_second_person(current, movement, actor)
            settled = cures.of_movement(current, movement, prices.gather(at=at).fx)
            columns = settled.columns
            left = max(Decimal(0), current.call.amount_outstanding - settled.release)
            changes = {"amount_outstanding": left}
        if finding != "in_transit":
            changes["paused_until"] = None
        told = Move(Verb.CHECK, call.account_id, call_id=call.pk, changes=changes, cure=columns, reason=reason)
        calls.make(told, at=at, actor=actor)
        casework.close_for(call, kind=VERIFY, outcome=f"{finding}: {reason}", at=at, actor=actor)
        return Cure.objects.get(pk=current.pk)

    return chain.in_transaction(work)


def _announced(
    kind: Cure.Kind,
    amount: Decimal | None,
    currency: str,
    instrument: Instrument | None,
    method: str,
    reference: str,
    expected_at: datetime | None,
    is_in_transit: bool,
) -> dict[str, Any]:
    """The columns of a cure that somebody announces."""
    if method not in reasons.METHODS:
        raise Refused(f"{method!r} is not one of {', '.join(reasons.METHODS)}")
    if amount is None or amount <= 0:
        raise Refused("say how much: an amount above zero")
    if instrument is None and not currency:
        raise Refused("say in which currency")
    return {
        "kind": kind.value,
        "state": (State.IN_TRANSIT if is_in_transit else State.CLAIMED).value,
        "amount": amount,
        "currency": currency,
        "instrument_id": instrument.pk if instrument else None,
        "method": method,
        "reference": reference[:80],
        "expected_at": expected_at,
    }


def _check_second_person(cure: Cure, movement: CashMovement, actor: Actor) -> None:
    limit = policies.read(cure.call.policy_version).terms.regime(cure.call.regime).second_approval_above
    announced = cure.call.events.filter(kind__in=(Verb.CLAIM, Verb.PLEDGE))
    bodies = [rows.read(event) for event in announced]
    announced_by = next((body["actor"] for body in bodies if body["cure"]["id"] == cure.pk), "")
    if movement.amount > limit and announced_by == actor.name:
        raise Refused(f"{actor.name} announced this payment; above {limit} another person confirms that it arrived")
