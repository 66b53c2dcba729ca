"""A sender as a desk has one: sends, waits, asks what is unknown, keeps what it hears. It never sends on a guess."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from margin.venues.fix.terms import Terms
from margin.venues.fix.venue import FixVenue
from margin.venues.interface import NotSent, Order, Report, Told, Unknown
from tests.venues.acceptor import THEM, US, Acceptor, text
from tests.venues.papers import Alarms


def terms(folder: Path, port: int, **changed: Any) -> Terms:
    values: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "sender": THEM,
        "target": US,
        "folder": folder,
        "wait_seconds": 3.0,
        "first_pause_seconds": 0.02,
        "longest_pause_seconds": 0.1,
    }
    return Terms(**{**values, **changed})


def open_venue(folder: Path, acceptor: Acceptor, **changed: Any) -> FixVenue:
    return FixVenue("fix", terms(folder, acceptor.port, **changed), now=lambda: datetime.now(UTC), alarm=Alarms())


def until(true: Callable[[], Any], *, seconds: float = 5.0) -> Any:
    """Wait for something to become true, and give it back; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)
    return found


@dataclass
class Desk:
    venue: FixVenue
    heard: dict[str, Report] = field(default_factory=dict)
    never: set[str] = field(default_factory=set)

    def listen(self) -> None:
        found = list(self.venue.reports())
        for report in found:
            if report.told is Told.NEVER_HEARD:
                self.never.add(report.client_order_id)
            else:
                self.heard.setdefault(report.report_id, report)
        self.venue.keep(found)

    def told(self, order: Order) -> set[Told]:
        return {report.told for report in self.heard.values() if report.client_order_id == order.client_order_id}

    def carry(self, order: Order, *, seconds: float = 20.0) -> None:
        """Bring one order to the venue, whatever happens on the way."""
        deadline = time.monotonic() + seconds
        self._send(order)
        asked = time.monotonic()
        while not self.told(order):
            assert time.monotonic() < deadline, f"{order.client_order_id} never arrived"
            self.listen()
            if order.client_order_id in self.never:
                self.never.discard(order.client_order_id)
                self._send(order)
            elif time.monotonic() - asked > 0.3:
                asked = time.monotonic()
                self._ask(order)
            time.sleep(0.005)

    def _send(self, order: Order) -> None:
        try:
            self.venue.send(order)
        except Unknown:
            self._ask(order)
        except NotSent:
            self.never.add(order.client_order_id)

    def _ask(self, order: Order) -> None:
        with suppress(NotSent, Unknown):  # asked again soon
            self.venue.ask(order)


def reports(venue: FixVenue, number: int) -> list[Report]:
    return until(lambda: len(found := list(venue.reports())) >= number and found)


def kinds(acceptor: Acceptor) -> str:
    return "".join(text(message, 35) for message in acceptor.seen)


def alarms(venue: FixVenue) -> str:
    return venue.line.alarm.text
