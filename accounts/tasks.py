"""What the clock asks of this room. Each may run late, twice or be killed half-way, with the same end."""

import structlog
from celery import shared_task

from accounts import funding, interest, positions, settlement
from market import clock

log = structlog.get_logger(__name__)


@shared_task(soft_time_limit=540, time_limit=600)
def accrue_interest() -> int:
    """Charge interest for every day that is over; returns how many charges were posted."""
    at = clock.now()
    accrued = interest.accrue(through=interest.day_before(at), at=at)
    for currency, on, reason in accrued.refused:
        log.error("interest_not_charged", currency=currency, on=on.isoformat(), reason=reason)
    return accrued.posted


@shared_task(soft_time_limit=540, time_limit=600)
def settle_futures() -> int:
    """Pay variation margin for every trading day that is over; returns how many positions were settled."""
    at = clock.now()
    settled = settlement.settle(on=settlement.latest_day(at), at=at)
    for future, on, reason in settled.refused:
        log.error("future_not_settled", instrument=future, on=on.isoformat(), reason=reason)
    return settled.posted


@shared_task(soft_time_limit=540, time_limit=600)
def pay_funding() -> int:
    """Post the funding of perpetuals for every instant that has passed; returns how many movements were posted."""
    paid = funding.pay(at=clock.now())
    for perpetual, effective_at, reason in paid.refused:
        log.error("funding_not_paid", instrument=perpetual, effective_at=effective_at.isoformat(), reason=reason)
    return paid.posted


@shared_task(soft_time_limit=540, time_limit=600)
def apply_corporate_actions() -> int:
    """Apply the approved corporate actions that have taken effect; returns how many were applied."""
    done = positions.apply_approved_actions(at=clock.now())
    for action, reason in done.refused:
        log.error("corporate_action_not_applied", action=action.pk, kind=action.kind, reason=reason)
    return done.applied
