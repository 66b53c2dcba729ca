"""`manage.py trial_cascade`: the trial's books under the cascade radar, on recorded prices, as text and as charts."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from backoffice.trial import bars, cascades
from backoffice.trial.house import TrialError


class Command(BaseCommand):
    help = "Put the trial's books under the radar (docs/cascade.md) and print what happens; no database is read."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", default="", help="folder of the recorded prices; also MARGIN_TRIAL_DATA")
        parser.add_argument("--charts", help="write cascade_2008.svg and cascade_btc.svg to this folder")

    def handle(self, *args: Any, data: str, charts: str | None, **options: Any) -> None:
        try:
            folder = bars.folder(data)
        except TrialError as error:
            raise CommandError(str(error)) from None
        for name, radar in cascades.RADARS.items():
            seen = cascades.see(radar, folder)
            self.stdout.write(seen.text)
            if charts:
                (Path(charts) / f"cascade_{name}.svg").write_text(seen.chart, encoding="utf-8")
