"""`manage.py coverage`: would margin rates that follow volatility have covered the losses of past days?"""

import json
from argparse import ArgumentParser
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from margin import charts, coverage_report
from margin.coverage_report import History, Report, Split, Tested
from margin.engine.adaptive import KINDS, Model
from margin.engine.exact import plain
from market import clock, strict
from market.models import Instrument

COLUMNS = ("days", "breaches", "Kupiec", "first", "clusters", "both", "zone", "mean rate", "peak ÷ trough")
RISES = ("rise in 1 day", "in 5", "in 30")


class Command(BaseCommand):
    help = "Test rates of ewma, garch or fhs, with each option of EMIR article 28, on past closes (docs/coverage.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", help="CSV of closes; left out: the recorded closes")
        parser.add_argument("--instruments", help="codes with commas; left out: all")
        parser.add_argument("--model", choices=KINDS, default="fhs")
        parser.add_argument("--confidence", default="0.99")
        parser.add_argument("--days", type=int, default=1, help="the holding period")
        parser.add_argument("--window", type=int, default=1250, help="most returns a rate looks back on")
        parser.add_argument("--least", type=int, default=250, help="fewest returns it needs")
        parser.add_argument("--from", dest="first", required=True, help="first day that is tested")
        parser.add_argument("--to", dest="last", help="last day; left out: the last there is")
        parser.add_argument("--split", action="append", default=[], help="in a file, as AAPL:2014-06-09:7; may repeat")
        parser.add_argument("--short", action="store_true", help="losses of short positions")
        parser.add_argument("--chart", type=Path, help="draw one instrument's rates and losses as SVG")
        parser.add_argument("--chart-of", help="which one; left out: the first")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = _found(options)
            if options["chart"]:
                options["chart"].write_text(chart(found, options["chart_of"]), encoding="utf-8")
        except (ValueError, strict.Refused, OSError) as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(coverage_report.tree(found), indent=2, ensure_ascii=False))
            return
        Console(file=cast(IO[str], self.stdout), width=160).print(table(found))
        for name, reason in sorted(found.skipped.items()):
            self.stdout.write(f"{name} is not tested: {reason}")


def _found(options: dict[str, Any]) -> Report:
    try:
        confidence = Decimal(options["confidence"])
    except InvalidOperation:
        raise ValueError(f"--confidence: {options['confidence']!r} is not a number") from None
    model = Model(
        options["model"],
        confidence=confidence,
        days=options["days"],
        window=options["window"],
        least=options["least"],
        option="none",
    )
    first = strict.date(options["first"], field="--from")
    latest = date.max if options["file"] else clock.now().date()
    last = strict.date(options["last"], field="--to") if options["last"] else latest
    histories = _histories(options, last)
    return coverage_report.report(histories, model, first=first, last=last, is_short=options["short"])


def _histories(options: dict[str, Any], last: date) -> list[History]:
    names = [name for name in (options["instruments"] or "").split(",") if name]
    if options["file"]:
        splits = [_split(text) for text in options["split"]]
        return coverage_report.read(options["file"], names=names, splits=splits)
    listed = Instrument.objects.order_by("code")
    chosen = list(listed.filter(code__in=names) if names else listed.exclude(kind="cash"))
    unknown = sorted(set(names) - {row.code for row in chosen})
    if unknown:
        raise ValueError(f"--instruments: {', '.join(unknown)} is not an instrument of ours")
    return coverage_report.stored(chosen, until=last)


def _split(text: str) -> Split:
    name, on, ratio = (*text.split(":"), "", "")[:3]
    try:
        found = Split(name, date.fromisoformat(on), Decimal(ratio))
    except (ValueError, InvalidOperation):
        raise ValueError(f"--split: {text!r} is not written like AAPL:2014-06-09:7") from None
    if found.new_per_old <= 0:
        raise ValueError(f"--split: {text!r} has a ratio that is not positive")
    return found


def table(found: Report) -> Table:
    """A line per instrument and option. Of tests the probabilities are shown: a small one speaks against the rate."""
    made = Table(title=f"{found.model.name}: probability of as much, were the rate right", pad_edge=False)
    for name in ("instrument", "option"):
        made.add_column(name)
    for name in (*COLUMNS, *RISES):
        made.add_column(name, justify="right")
    for line in found.lines:
        verdicts = (line.proportion, line.first_failure, line.independence, line.conditional)
        made.add_row(
            line.name,
            line.option,
            f"{line.days:,}",
            str(line.breaches),
            *("" if verdict is None else f"{verdict.probability:.3f}" for verdict in verdicts),
            line.zone.name,
            f"{line.mean_rate:.2%}",
            f"{line.peak_to_trough:.1f}",
            *(f"{rise:.0%}" for rise in line.largest_increases.values()),
        )
    return made


def chart(found: Report, name: str | None) -> str:
    """One instrument's losses beside its rates without and with a buffer. ValueError if it was not tested."""
    shown = name or found.tested[0].name
    by_option = {one.option: one for one in found.tested if one.name == shown}
    if not by_option:
        raise ValueError(f"--chart-of: {shown} was not tested")
    bare, buffered = by_option["none"], by_option["buffer"]
    series = {
        "loss of the day": _losses(bare),
        "rate": [100 * rate for rate in bare.held.tolist()],
        "rate with a buffer": [100 * rate for rate in buffered.held.tolist()],
    }
    labels = [day.isoformat() for day in bare.days]
    model = found.model
    period = "one day" if model.days == 1 else f"{model.days} days"
    title = f"{shown}: {model.kind} at {plain(100 * model.confidence)} %, {period}"
    return charts.line_chart(title, labels, series, unit="per cent of value")


def _losses(one: Tested) -> list[float]:
    """Losses in per cent; gains are drawn as no loss."""
    return [max(100 * loss, 0.0) for loss in one.losses.tolist()]
