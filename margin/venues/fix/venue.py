"""A venue reached by FIX 4.4 (docs/venues.md)."""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from margin.venues.checks import refuse_odd
from margin.venues.fix import messages
from margin.venues.fix.hearing import Hearing
from margin.venues.fix.line import Line
from margin.venues.fix.session import Session
from margin.venues.fix.terms import Terms
from margin.venues.fix.wire import Fields
from margin.venues.interface import NotSent, Order, Report
from margin.venues.journal import Journal


class FixVenue:
    """A `Venue`. It logs on at once and stays on until it is closed."""

    def __init__(
        self, code: str, terms: Terms, *, now: Callable[[], datetime], alarm: Callable[[str, str], None]
    ) -> None:
        """Raises NotSent while another process holds the session."""
        self.code = code
        self.terms = terms
        self.now = now
        self.journal = Journal(terms.folder)
        hearing = Hearing(venue=code, journal=self.journal, alarm=alarm)
        self.session = Session(venue=code, terms=terms, journal=self.journal, hearing=hearing, now=now)
        self.line = Line(self.session, terms, alarm=alarm)

    def close(self) -> None:
        self.line.close()
        self.journal.close()

    def send(self, order: Order) -> None:
        refuse_odd(order)
        at = self.now()
        fields = messages.new_order(order, at=at, extra=self.terms.order_fields)
        with self.line.speaking() as session, self.journal.change():
            self.journal.begin(order.client_order_id, at=at)
            self._say(session, messages.NEW_ORDER, fields, order)

    def cancel(self, order: Order) -> None:
        refuse_odd(order)
        with self.line.speaking() as session, self.journal.change():
            cancel_id = f"{order.client_order_id}.c{self.journal.next_number('cancel')}"
            self._say(session, messages.CANCEL, messages.cancel(order, cancel_id, at=self.now()), order)

    def ask(self, order: Order) -> None:
        refuse_odd(order)
        with self.line.speaking() as session, self.journal.change():
            question = self.journal.question(order.client_order_id)
            self._say(session, messages.STATUS, messages.status(order, question), order)

    def reports(self) -> Iterator[Report]:
        yield from self.journal.not_kept()

    def keep(self, reports: Iterable[Report]) -> None:
        self.journal.keep(reports)

    def _say(self, session: Session, kind: str, fields: Fields, order: Order) -> None:
        session.say(kind, fields, client_order_id=order.client_order_id, tick=time.monotonic())

    # --- for the people who run it ----------------------------------------------------------------------------

    def try_out(self) -> float:
        """Log on and have one test answered; how many seconds that took. NotSent if it is not to be had."""
        began = time.monotonic()
        with self.line.speaking() as session:
            answered = session.tests_answered
            session.test(tick=time.monotonic())
        deadline = time.monotonic() + self.terms.wait_seconds
        while self.session.tests_answered == answered:
            if time.monotonic() > deadline:
                raise NotSent(f"venue {self.code} logged us on, but answered no test: {self.line.last_fault}")
            time.sleep(0.02)
        return time.monotonic() - began
