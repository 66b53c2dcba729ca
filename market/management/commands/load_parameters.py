from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from market import parameters, strict
from market.management import loading
from market.models import ParameterSet


class Command(BaseCommand):
    help = "Record a published document of margin parameters from JSON under a name (docs/formats.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="what the terms of a policy call it")
        parser.add_argument("file", type=Path)
        parser.add_argument("--kind", required=True, choices=ParameterSet.Kind.values)
        parser.add_argument("--effective-on", required=True, help="the first day it is in force, such as 2026-11-20")
        parser.add_argument("--source", required=True, help="who published it")

    def handle(self, *args: Any, name: str, file: Path, **options: Any) -> None:
        with loading.loading(file):
            done = parameters.load(
                file.read_bytes(),
                name=name,
                kind=options["kind"],
                effective_on=strict.date(options["effective_on"], field="--effective-on"),
                source=options["source"],
            )
        said = "recorded" if done.is_new else "known already"
        self.stdout.write(f"{done.stored}: {said}, sha256 {done.stored.digest}")
