"""Clients whom no notice of their call reached: somebody phones, and in time the call is escalated.

A notice that failed, was rejected or bounced is delivery evidence; one that merely waits is not (the mail server may be
down for everybody). Whoever speaks with the client and logs it has reached them (workflow.md T2c, fault M13).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from margin import calls, casework, policies
from margin.actors import system
from margin.models import MarginCall
from margin.workflow import Cause

REACHER = system("notices")
PHONE = "phone_client"
TO_PHONE = timedelta(minutes=15)
# Issued calls of which no notice was handed over, and nobody was spoken with: whether all notices failed, since when.
UNREACHED = """
SELECT c.id, bool_and(n.state IN ('failed', 'rejected', 'bounced')), min(n.prepared_at)
FROM margin_margincall c
JOIN margin_event e ON e.call_id = c.id
     AND e.kind IN ('call.issued', 'call.finalised', 'call.accelerated', 'call.rescheduled')
JOIN notifications_notice n ON n.event_id = e.id
WHERE c.state = 'issued'
  AND NOT EXISTS (SELECT FROM margin_event t WHERE t.call_id = c.id AND t.kind = 'contact.logged'
                  AND t.body::jsonb #>> '{details,outcome}' = 'reached')
GROUP BY c.id
HAVING bool_and(n.state NOT IN ('sent', 'delivered', 'opened', 'complained'))
"""


@dataclass(frozen=True)
class Unreached:
    """An issued call whose client was not reached by any notice of it."""

    call: MarginCall
    is_proven: bool
    since: datetime

    def is_overdue(self, at: datetime) -> bool:
        """Whether the policy's time for delivering notices has passed."""
        terms = policies.read(self.call.policy_version).terms.regime(self.call.regime)
        return at - self.since >= timedelta(minutes=terms.delivery_minutes)


def found() -> list[Unreached]:
    """The calls concerned, the first due first."""
    with connection.cursor() as cursor:
        cursor.execute(UNREACHED)
        listed = {pk: (is_proven, since) for pk, is_proven, since in cursor.fetchall()}
    issued = MarginCall.objects.filter(pk__in=listed).select_related("policy_version__policy", "account")
    return [Unreached(call, *listed[call.pk]) for call in issued.order_by("due_at", "pk")]


def carry_out(*, at: datetime) -> int:
    """Ask staff to phone, and escalate what was not delivered in time; how many calls escalated. Safe to repeat."""
    escalated = 0
    for one in found():
        call = one.call
        if not (one.is_proven or one.is_overdue(at)):
            continue
        casework.open_for(
            call, kind=PHONE, title=f"{call}: no notice reached the client; phone and log what was said",
            due_at=at + TO_PHONE, at=at, actor=REACHER,
        )  # fmt: skip
        if one.is_proven and one.is_overdue(at) and _is_free(call, at):
            escalated += _escalate(call, at)
    return escalated


def _is_free(call: MarginCall, at: datetime) -> bool:
    return not any(until and at < until for until in (call.held_until, call.paused_until))


def _escalate(call: MarginCall, at: datetime) -> bool:
    try:
        calls.escalate(call, cause=Cause.UNDELIVERABLE, at=at, actor=REACHER)
    except calls.CallError:  # met or escalated meanwhile
        return False
    return True
