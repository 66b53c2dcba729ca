"""`manage.py trial`: the books of 2008 and of the bitcoin lender on recorded prices, in databases of their own."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from backoffice.trial import bars, place, sales, trials
from backoffice.trial.house import TrialError

BOOKS = {
    "2008": ("2008",),
    "btc": ("btc_days", "btc_minutes"),
    "all": tuple(trials.TRIALS),
}


class Command(BaseCommand):
    help = "Play the trial books (docs/trial_2008.md), print their calls by the day and verify the history."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--book", choices=tuple(BOOKS), default="all", help="which book (default: all)")
        parser.add_argument("--data", default="", help="folder of the recorded prices; also MARGIN_TRIAL_DATA")

        parser.add_argument("--charts", help="draw the plans of 2008 into this folder (docs/liquidation.md)")

    def handle(self, *args: Any, book: str, data: str, charts: str | None, **options: Any) -> None:
        settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"  # clients of a trial are nobody
        faults: list[str] = []
        try:
            folder = bars.folder(data)
            with place.template() as template:
                for name in BOOKS[book]:
                    faults += self._carry_out(name, place.clone(template, name), folder, charts)
        except TrialError as error:
            raise CommandError(str(error)) from None
        if faults:
            raise CommandError("\n".join(faults))

    def _carry_out(self, name: str, database: str, folder: Path, charts: str | None) -> tuple[str, ...]:
        with place.inside(database):
            found = trials.carry_out(trials.TRIALS[name], folder)
            drawn = sales.see() if charts and name == "2008" else None
        if drawn and charts:
            for chart, text in drawn.charts.items():
                (Path(charts) / f"{chart}.svg").write_text(text, encoding="utf-8")
            self.stdout.write(drawn.text)
        self.stdout.write(found.text)
        self.stdout.write(f"It stays in the database {database} until the next trial.\n")
        return found.faults
