from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from margin.engine.methodologies.span.parameters import of_history
from market import parameters, strict
from market.management import loading
from market.models import ParameterSet
from market.strict import Column, column

AMOUNT: dict[str, Any] = {"digits": 28, "places": 8}
COLUMNS: dict[str, Column] = {
    "exchange": column(strict.code, length=32),
    "product": column(strict.code, length=48),
    "date": column(strict.date),
    "initial": column(strict.decimal, **AMOUNT),
    "maintenance": column(strict.decimal, **AMOUNT),
}


class Command(BaseCommand):
    help = "Record margins per contract from a history of changes in CSV as one document (docs/formats.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="what the terms of a policy call it")
        loading.add_arguments(parser)
        parser.add_argument("--exchange", default="", help="take the rows of this exchange alone")
        parser.add_argument("--currency", default="USD", help="of the amounts")
        parser.add_argument("--effective-on", required=True, help="the first day it is in force; later rows wait")
        parser.add_argument("--source", required=True, help="who published it")

    def handle(self, *args: Any, name: str, file: Path, **options: Any) -> None:
        with loading.loading(file):
            on = strict.date(options["effective_on"], field="--effective-on")
            table = strict.table(file, COLUMNS, key=("exchange", "product", "date"), control=loading.control(options))
            chosen = [
                {key: value.isoformat() if key == "date" else f"{value}" for key, value in row.values.items()}
                for row in table
                if options["exchange"] in ("", row.values["exchange"]) and row.values["date"] <= on
            ]
            if not chosen:
                raise strict.refuse("file", "holds no row for that exchange and day")
            document = of_history(chosen, on=on.isoformat(), source=options["source"], currency=options["currency"])
            done = parameters.record(
                name, document, kind=ParameterSet.Kind.SPAN, effective_on=on, source=options["source"]
            )
        said = "recorded" if done.is_new else "known already"
        self.stdout.write(f"{done.stored}: {len(document['commodities'])} products, {said}")
