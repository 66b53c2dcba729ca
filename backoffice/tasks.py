"""What the hall does by the clock: thin, safe to run twice."""

from celery import shared_task

from backoffice import idempotency
from market import clock


@shared_task
def prune_replies() -> int:
    """Forget replies to POSTs older than 72 hours."""
    return idempotency.prune(at=clock.now())
