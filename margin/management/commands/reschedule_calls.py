from typing import Any

from django.core.management.base import BaseCommand

from margin import reschedules
from margin.actors import system
from market import clock


class Command(BaseCommand):
    help = "Move the deadlines that a day closed or opened out of turn changed; beat does it every minute."

    def handle(self, *args: Any, **options: Any) -> None:
        outcomes = reschedules.reschedule(at=clock.now(), actor=system("calendars"))
        for outcome in outcomes:
            move = outcome.move
            said = str(outcome.error) if outcome.error else f"due {move.changes['due_at']:%Y-%m-%d %H:%M} UTC"
            self.stdout.write(f"call {move.call_id}: {said}; {move.reason}")
        self.stdout.write(f"{sum(outcome.is_done for outcome in outcomes)} deadlines moved")
