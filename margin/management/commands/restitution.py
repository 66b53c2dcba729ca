"""`manage.py restitution`: who was wrongly called or sold out in a time, and by how much."""

import csv
import re
from argparse import ArgumentParser, ArgumentTypeError
from collections import defaultdict
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from margin import restitution
from margin.hindsight import Corrected, Otherwise
from margin.models import PolicyVersion
from market import clock
from market.models import Instrument

PRICE = re.compile(r"(?P<code>[^=]+)=(?P<mark>[^@]+)@(?P<since>[^/]+)/(?P<until>.+)")


def instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not an instant such as 2026-03-02T15:00Z") from None
    if found.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} has no zone; write 2026-03-02T15:00Z")
    return found


class Command(BaseCommand):
    help = (
        "Go through the sweeps of a time again, under corrected prices or other policies, and say which calls were"
        " wrong, what was sold beyond the need, and what is owed to whom. Nothing is changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=instant, required=True, help="first instant")
        parser.add_argument("--until", type=instant, required=True, help="the instant after the last")
        parser.add_argument(
            "--price", action="append", default=[], metavar="CODE=MARK@SINCE/UNTIL", help="what it was truly quoted at"
        )
        parser.add_argument("--policy", action="append", default=[], metavar="CODE=NUMBER", help="version in its place")
        parser.add_argument("--valued-at", type=instant, help="value what was sold at these prices; left out: now")
        parser.add_argument("--csv", type=Path, help="write every call and sale to this file")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["since"] >= options["until"]:
            raise CommandError("--since must lie before --until")
        otherwise = Otherwise(
            tuple(_price(text) for text in options["price"]), dict(_policy(text) for text in options["policy"])
        )
        report = restitution.run(
            since=options["since"],
            until=options["until"],
            otherwise=otherwise,
            valued_at=options["valued_at"] or clock.now(),
        )
        if options["csv"]:
            with options["csv"].open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(restitution.table(report))
        for case in report.victims:
            call = case.call
            told = f"{case.verdict.value}, called {case.called:,} {call.currency}, due {case.due:,}"
            self.stdout.write(f"{call} of {call.account}: {told}")
        for missed in report.missed:
            told = f"{missed.amount:,} {missed.currency} from {missed.first_at:%Y-%m-%d %H:%M} UTC"
            self.stdout.write(f"missed: account {missed.account_id}, {missed.regime}, {told}")
        self.stdout.write(_summary(report))


def _summary(report: restitution.Report) -> str:
    too_much: dict[str, Decimal] = defaultdict(Decimal)
    owed: dict[str, Decimal] = defaultdict(Decimal)
    for case in report.victims:
        too_much[case.call.currency] += case.too_much
        for sale in case.sales:
            owed[sale.fill.instrument.currency] += sale.restitution or 0
    return (
        f"{report.sweeps} sweeps again; {len(report.victims)} of {len(report.cases)} calls wronged somebody:"
        f" {_money(too_much)} called too much, {_money(owed)} of restitution; {len(report.missed)} missed"
    )


def _money(amounts: dict[str, Decimal]) -> str:
    return " and ".join(f"{amount:,.2f} {currency}" for currency, amount in sorted(amounts.items())) or "nothing"


def _price(text: str) -> Corrected:
    found = PRICE.fullmatch(text)
    if found is None:
        raise CommandError(f"--price {text!r} is not CODE=MARK@SINCE/UNTIL")
    instrument = Instrument.objects.filter(code=found["code"]).first()
    if instrument is None:
        raise CommandError(f"--price: there is no instrument {found['code']!r}")
    try:
        since, until = instant(found["since"]), instant(found["until"])
        mark = Decimal(found["mark"])
    except (ArgumentTypeError, InvalidOperation) as error:
        raise CommandError(f"--price {text!r}: {error or 'the mark is not a number'}") from None
    if not mark.is_finite() or since >= until:
        raise CommandError(f"--price {text!r}: the mark must be a number, and the first instant before the last")
    return Corrected(instrument.pk, mark, since, until)


def _policy(text: str) -> tuple[str, PolicyVersion]:
    code, _, number = text.partition("=")
    version = PolicyVersion.objects.filter(policy__code=code, number=int(number) if number.isdecimal() else 0).first()
    if version is None:
        raise CommandError(f"--policy {text!r}: there is no such version; write CODE=NUMBER")
    return code, version
