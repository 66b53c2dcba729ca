"""The clock's side of notices: beat calls this every 15 seconds. Safe to run twice, late, or to be killed."""

from celery import shared_task

from market import clock
from notifications import deliveries, notices, unreached


@shared_task(name="notifications.tasks.prepare_and_send", ignore_result=True)
def prepare_and_send() -> None:
    """Write what must be told, tell it, match reports that came early, and see to clients whom nothing reached."""
    notices.prepare(at=clock.now())
    notices.send(at=clock.now())
    deliveries.match(at=clock.now())
    unreached.carry_out(at=clock.now())
