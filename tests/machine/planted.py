"""Bugs that are planted to prove that the machine finds bugs: each breaks the house in one place, as a slip would.

Where the database would refuse the slip by itself, its bolt is drawn as well: then the invariants or the oracle must
see it.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import patch

from margin import (
    approvals,
    assessments,
    calls,
    claims,
    cures,
    decisions,
    grants,
    liquidation,
    prices,
    reversals,
    rows,
    shards,
    workflow,
)
from margin.models import Approval, MarginCall, MarginCallQuerySet, Plan
from margin.workflow import Cause, OpenCall, Rule
from notifications import deliveries, notices

Slip = tuple[Any, str, Any]


@dataclass(frozen=True)
class Bug:
    """What is replaced in our code, and the SQL that draws the bolts and puts them back."""

    slips: tuple[Slip, ...] = ()
    draw: tuple[str, ...] = ()
    put_back: tuple[str, ...] = ()

    @contextmanager
    def planted(self, execute: Callable[[str], None]) -> Iterator[None]:
        with ExitStack() as stack:
            for statement in self.draw:
                execute(statement)
            try:
                for where, name, slip in self.slips:
                    stack.enter_context(patch.object(where, name, slip))
                yield
            finally:
                for statement in self.put_back:
                    execute(statement)


def without_trigger(table: str, *names: str) -> dict[str, tuple[str, ...]]:
    return {
        "draw": tuple(f"ALTER TABLE {table} DISABLE TRIGGER {name}" for name in names),
        "put_back": tuple(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}" for name in names),
    }


# --- the slips ------------------------------------------------------------------------------------------------

_standing, _issue, _open_call = decisions.standing, decisions._issue, decisions.open_call
_that_matter, _came_in = assessments.that_matter, cures._came_in
_apply, _looks_met = deliveries._apply, workflow._looks_met


def escalate_at_once(standing: Any, call: OpenCall, outstanding: Decimal, at: Any) -> Cause | None:
    return Cause.DEADLINE if call.notified_at is not None else None


def escalate_the_untold(standing: Any, call: OpenCall, outstanding: Decimal, at: Any) -> Cause | None:
    return Cause.DEADLINE if at >= call.due_at and not call.is_held(at) else None


def rosier(*given: Any, **named: Any) -> Any:
    standing = _standing(*given, **named)
    return replace(standing, deficit=max(Decimal(0), standing.deficit - 200), is_severe=False)


def the_market_cures_all(*given: Any) -> OpenCall:
    return replace(_open_call(*given), market_cures=True)


def twice_the_amount(*given: Any) -> dict[str, Any]:
    columns = _issue(*given)
    return {**columns, "amount_called": columns["amount_called"] * 2}


def one_is_forgotten(found: Any, also: Any) -> Any:
    kept = _that_matter(found, also)
    return {account: one for account, one in kept.items() if len(kept) == 1 or account != max(kept)}


def twice_the_release(*given: Any) -> Any:
    found = _came_in(*given)
    for listed in found.values():
        listed[:] = [replace(one, release=one.release * 2) for one in listed]
    return found


def met_at_once(standing: Any, call: OpenCall, outstanding: Decimal, rule: Rule, at: Any) -> Any:
    return _looks_met(standing, call, outstanding, replace(rule, dwell=timedelta(0)), at)


def most_of_both(standing: Any, call: OpenCall) -> Decimal:
    return max(call.left, standing.deficit)


def anybody_approves(plan: Plan, *, at: Any, actor: Any) -> Plan:
    calls.require(actor, workflow.Verb.APPROVE)
    plan = Plan.objects.select_related("call").get(pk=plan.pk)
    approvals.check_open(plan, at=at)
    told = {"content_hash": plan.content_hash, "creator": plan.creator, "approved_at": at}
    Approval.objects.get_or_create(plan=plan, approver_id=actor.user_id, defaults=told)
    Plan.objects.filter(pk=plan.pk).update(state="approved")
    liquidation.record(plan, workflow.Verb.APPROVE, at=at, actor=actor)
    return plan


def told_past_the_door(*, at: Any) -> int:
    told = MarginCall.objects.filter(notified_at=None, events__notices__sent_at__isnull=False)
    return MarginCall.objects.filter(pk__in=list(told.values_list("pk", flat=True))).update(notified_at=at)


def the_last_report_counts(delivery: Any) -> bool:
    done = _apply(delivery)
    if done and delivery.state in deliveries.RANK:
        notice = deliveries._notice_of(delivery)
        deliveries.Notice.objects.filter(pk=notice.pk).update(state=delivery.state)
    return done


APPROVAL = without_trigger("margin_approval", "margin_approval_is_by_another")
PLAN = without_trigger("margin_plan", "margin_plan_is_kept")
OF_APPROVALS, NOT_THE_CREATOR = "ALTER TABLE margin_approval", "approver_is_not_the_creator"
CALL_BOLTS = ("margin_margincall_moves_legally", "margin_margincall_has_its_event")
ONE_OPEN = "call_is_open_once_per_account_regime_key"
BUGS: dict[str, Bug] = {
    "an open call is forgotten once it is escalated": Bug(
        (
            (MarginCallQuerySet, "open", lambda self: self.filter(state="issued")),
            (calls, "_current_calls", lambda moves: {c.pk: c for c in MarginCall.objects.exclude(state="escalated")}),
            (rows, "ONE_OPEN", ""),
        ),
        (f"DROP INDEX {ONE_OPEN}",),
        (
            f"CREATE UNIQUE INDEX {ONE_OPEN} ON margin_margincall (account_id, regime, deficiency_key)"
            " WHERE state IN ('issued', 'escalated')",
        ),
    ),
    "a call is escalated before it is due": Bug(((workflow, "_cause_to_escalate", escalate_at_once),)),
    "a call is escalated though its client was never told": Bug(
        ((workflow, "_cause_to_escalate", escalate_the_untold),)
    ),
    "a hold is ignored": Bug(((OpenCall, "is_held", lambda self, at: False),)),
    "a payment being checked is ignored": Bug(((OpenCall, "is_paused", lambda self, at: False),)),
    "a client's word puts off the deadline for ever": Bug(
        ((claims, "timedelta", lambda **given: timedelta(days=365) if "minutes" in given else timedelta(**given)),)
    ),
    "a call is met while it is short": Bug(((decisions, "standing", rosier),)),
    "the market cures what it must not cure": Bug(((decisions, "open_call", the_market_cures_all),)),
    "a market cure need not hold": Bug(((workflow, "_looks_met", met_at_once),)),
    "twice the deficit is called": Bug(((decisions, "_issue", twice_the_amount),)),
    "the greater of two is outstanding": Bug(((workflow, "_outstanding", most_of_both),)),
    "a payment releases twice what it is": Bug(((cures, "_came_in", twice_the_release),)),
    "a reversed payment goes on counting": Bug(((reversals, "found", lambda: []),)),
    "an account is left out of what matters": Bug(((assessments, "that_matter", one_is_forgotten),)),
    "a shard taken again acts on old prices": Bug(((shards, "_not_seen_since", lambda matter, snap, shard: matter),)),
    "stale prices are used": Bug(
        ((prices, "_refusals", lambda found, at: ["no price" if r[3] is None else "" for r in found]),)
    ),
    "prices in quarantine are used": Bug(((prices, "_held", lambda at, known_at: {}),)),
    "who proposed a plan approves it": Bug(
        ((approvals, "approve", anybody_approves),),
        (*APPROVAL["draw"], *PLAN["draw"], f"{OF_APPROVALS} DROP CONSTRAINT {NOT_THE_CREATOR}"),
        (
            *APPROVAL["put_back"],
            *PLAN["put_back"],
            f"{OF_APPROVALS} ADD CONSTRAINT {NOT_THE_CREATOR} CHECK (approver_id <> creator) NOT VALID",
        ),
    ),
    "what was sold is retracted": Bug(((grants, "check_unsold", lambda call: None),)),
    "a call's row changes past the door": Bug(
        ((notices, "tell_margin", told_past_the_door),), **without_trigger("margin_margincall", *CALL_BOLTS)
    ),
    "nobody is told": Bug(((notices, "_waiting_events", lambda horizon: (horizon, [])),)),
    "a letter goes out again": Bug(((notices, "_mark", lambda notice, answer, at: None),)),
    "the last report counts, not the highest": Bug(((deliveries, "_apply", the_last_report_counts),)),
    "more is filled than was asked for": Bug(
        (), **without_trigger("margin_planfill", "margin_planfill_needs_approval")
    ),
}
