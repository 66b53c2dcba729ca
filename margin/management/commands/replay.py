"""`manage.py replay SWEEP`: do a past sweep again and compare it to the cent."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from margin import replay
from margin.models import Sweep


class Command(BaseCommand):
    help = "Recompute a finished sweep from the prices, positions and policies it saw; exit 1 if anything differs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "sweep", type=int, nargs="?", help="number of the sweep; the latest complete one by default"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        finished = Sweep.objects.exclude(finished_at=None)
        number = options["sweep"]
        past = finished.filter(pk=number).first() if number else finished.order_by("-id").first()
        if past is None:
            raise CommandError(f"there is no finished sweep {number}" if number else "no sweep has finished yet")
        result = replay.run(past)
        for difference in result.differences:
            self.stderr.write(str(difference))
        if result.differences:
            raise CommandError(f"{past}: {len(result.differences)} differences")
        models = result.models
        if models.beyond:
            raise CommandError(
                f"{past}: {models.beyond} model values of then do not hold now; the worst is off by {models.worst:.1e}"
            )
        if models.recalled:
            self.stdout.write(f"{models.recalled:,} answers of models recalled, the same now within {models.worst:.1e}")
        self.stdout.write(
            f"{past}: {result.evaluated:,} accounts evaluated again, {result.compared:,} assessments equal to the cent"
        )
