"""`manage.py feed`: a price feed as a process of its own. SIGTERM and Ctrl-C end it after the tick in hand."""

import gc
import signal
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from market import quotes, strict
from market.feeds import demo, playback
from market.management import loading

REPORT_EVERY = 12


class Command(BaseCommand):
    help = "Run a price feed: `demo` (made-up, labelled prices) or `playback` (recorded prices from CSV)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        feeds = parser.add_subparsers(dest="feed", required=True)
        made_up = feeds.add_parser("demo", help="a seeded simulator for demonstrations; every quote says source demo")
        made_up.add_argument("--seed", type=int, default=7)
        made_up.add_argument("--interval", type=float, default=5.0, help="seconds between ticks")
        made_up.add_argument("--ticks", type=int, help="stop after so many")
        recorded = feeds.add_parser("playback", help="daily bars, minute bars or quotes from CSV (docs/formats.md)")
        recorded.add_argument("file", type=Path)
        recorded.add_argument("--speed", type=float, default=60.0, help="recorded seconds per second; 0: do not wait")
        recorded.add_argument("--live", action="store_true", help="date the quotes now instead of then")
        recorded.add_argument("--source", default=playback.SOURCE)
        recorded.add_argument("--first", help="first day, such as 2008-09-02")
        recorded.add_argument("--last", help="last day")

    def handle(self, *args: Any, **options: Any) -> None:
        # What was loaded by now stays: the collector need not walk it again at every few thousand quotes.
        gc.freeze()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        if options["feed"] == "demo":
            self.demo(stop, options)
        else:
            self.playback(stop, options)

    def demo(self, stop: threading.Event, options: dict[str, Any]) -> None:
        if options["interval"] < 0.05:
            raise CommandError("--interval must be at least 0.05 seconds")

        def said(beat: demo.Beat) -> None:
            if beat.fell:
                self.stdout.write(f"tick {beat.tick}: the made-up market falls")
            if beat.tick % REPORT_EVERY == 0 or beat.recorded.held or beat.recorded.refused:
                self.report(f"tick {beat.tick}", beat.recorded)

        self.stdout.write(f"demo feed, seed {options['seed']}: MADE-UP PRICES every {options['interval']:g} s")
        self.stdout.flush()
        ticked = demo.run(
            seed=options["seed"],
            interval_seconds=options["interval"],
            stop=stop,
            ticks=options["ticks"],
            said=said,
        )
        self.stdout.write(f"demo feed stopped after {ticked} ticks")

    def playback(self, stop: threading.Event, options: dict[str, Any]) -> None:
        if options["speed"] < 0:
            raise CommandError("--speed must not be negative")
        with loading.loading(options["file"]):
            first, last = (
                strict.date(options[name], field=f"--{name}") if options[name] else None for name in ("first", "last")
            )
            source = strict.code(options["source"], field="--source", length=32)
            recording = playback.read(options["file"], first=first, last=last, source=source)
        for symbol, count in sorted(recording.unknown.items()):
            self.stdout.write(f"{symbol}: {count} rows left out, no instrument had that ticker then")

        def said(tick: playback.Tick, recorded: quotes.Recorded) -> None:
            self.report(f"{tick.as_of:%Y-%m-%d %H:%M:%S}", recorded)

        played = playback.play(recording.ticks, speed=options["speed"], stop=stop, live=options["live"], said=said)
        self.stdout.write(f"played {played} of {len(recording.ticks)} instants")

    def report(self, when: str, recorded: quotes.Recorded) -> None:
        self.stdout.write(
            f"{when}: {recorded.accepted} accepted, {len(recorded.held)} held, {len(recorded.refused)} refused"
        )
        for problem in (*recorded.held, *recorded.refused)[:5]:
            self.stdout.write(f"  {problem}")
        self.stdout.flush()
