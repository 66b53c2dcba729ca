"""Money that was taken back after it met a call, or part of one (workflow.md T11).

The cure is reversed in the history of its call. An open call is short of it again. A closed call stays as it was: where
the market could not have met it, a new call for what was taken back follows at once; where it could, the next sweep
decides on the account as it is, and links and dates the call it may issue.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q

from margin import calls, policies
from margin.actors import Actor, system
from margin.calls import Move
from margin.models import Cure, MarginCall
from margin.workflow import State, Verb

REVERSER = system("reversals")


def found() -> list[Cure]:
    """Settled cures whose movement or fill was reversed since."""
    is_reversed = Q(movement__reversed_by__isnull=False) | Q(fill__reversed_by__isnull=False)
    settled = Cure.objects.filter(is_reversed, state=Cure.State.SETTLED)
    return list(settled.select_related("call", "movement", "fill").order_by("id"))


def carry_out(*, at: datetime, actor: Actor = REVERSER) -> list[int]:
    """Reverse the cures that are found and issue the calls that follow; the accounts concerned. Safe to repeat."""
    reversed_ = found()
    for start in range(0, len(reversed_), calls.LARGEST_BATCH // 2):
        batch = reversed_[start : start + calls.LARGEST_BATCH // 2]
        calls.carry_out(_moves(batch, at), at=at, actor=actor)
    return sorted({cure.call.account_id for cure in reversed_})


def _moves(cures: Sequence[Cure], at: datetime) -> list[Move]:
    moves = []
    owed: dict[int, Decimal] = {}  # what open calls are short of by the moves before
    for cure in cures:
        call = cure.call
        changes: dict[str, Any] = {}
        if call.is_open:
            owed[call.pk] = owed.get(call.pk, call.amount_outstanding) + cure.release
            changes = {"amount_outstanding": min(call.amount_called, owed[call.pk])}
        told = {"id": cure.pk, "state": Cure.State.REVERSED.value}
        moves.append(
            Move(
                Verb.REVERSE_CURE, call.account_id, call_id=call.pk, changes=changes, cure=told,
                reason="taken back", details={"by": _by(cure)},
            )
        )  # fmt: skip
        if call.state == State.MET and not call.market_cures and cure.release > call.tolerance:
            moves.append(_again(call, cure, at))
    return moves


def _again(call: MarginCall, cure: Cure, at: datetime) -> Move:
    """The call that follows one which reversed money had met: for what was taken back, due by the policy's clock."""
    amount = min(cure.release, call.amount_called)
    minutes = policies.read(call.policy_version).terms.regime(call.regime).reversal_minutes
    due_at = at + timedelta(minutes=minutes)
    return Move(
        Verb.ISSUE,
        call.account_id,
        regime=call.regime,
        deficiency_key=call.deficiency_key,
        changes={
            "policy_version_id": call.policy_version_id,
            "currency": call.currency,
            "amount_called": amount,
            "amount_outstanding": amount,
            "tolerance": call.tolerance,
            "market_cures": call.market_cures,
            "due_at": due_at,
            "original_due_at": due_at,
            "due_basis": f"{minutes} minutes after the payment for {call} was taken back",
            "predecessor_id": call.pk,
        },
        reason=f"the payment that met {call} was taken back",
        details={"after_reversal": cure.pk},
    )


def _by(cure: Cure) -> str:
    if cure.movement is not None:
        return f"movement {cure.movement.reversed_by.pk}"
    return f"fill {cure.fill.reversed_by.pk}" if cure.fill is not None else ""
