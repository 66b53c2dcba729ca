"""What a venue's messages come to, written into the journal."""

from collections.abc import Callable
from dataclasses import dataclass

from margin.venues.fix import messages
from margin.venues.fix.wire import Message, unpack
from margin.venues.interface import Report, Told
from margin.venues.journal import Contradiction, Journal

SESSION_REJECT = "3"
UNKNOWN_ID = "1"  # BusinessRejectReason (380)
KINDS = (messages.EXECUTION, messages.CANCEL_REJECT, messages.BUSINESS_REJECT, SESSION_REJECT)


@dataclass
class Hearing:
    """Takes messages in their right order, inside the transaction that moves the incoming number on."""

    venue: str
    journal: Journal
    alarm: Callable[[str, str], None]

    def hear(self, message: Message) -> None:
        """Store what a message of one of KINDS says. Raises Unreadable, and then nothing was stored."""
        try:
            if message.kind == messages.EXECUTION and messages.is_status(message):
                self._standing(message)
            elif message.kind == messages.EXECUTION:
                report = messages.execution(message, venue=self.venue)
                self.journal.hear([report] if report else [])
                if report and messages.has_odd_fee(message):
                    self._alarm_fee(message, report)
            elif message.kind == messages.CANCEL_REJECT:
                own = messages.order_of(message)
                self._tell(message, own, Told.CANCEL_REFUSED, f"cancel-refused-{message.need(11)}")
            else:
                self._refused(message)
        except Contradiction as contradiction:
            self.alarm(f"{self.venue}: contradiction", f"Venue {self.venue}: {contradiction}. It said: {message}")

    def _tell(self, message: Message, own: str, told: Told, said: str) -> None:
        report = Report(
            venue=self.venue,
            report_id=messages.report_id(own, said),
            client_order_id=own,
            told=told,
            at=messages.said_at(message),
            venue_order_id=message.get(37),
            text=messages.words(message),
        )
        self.journal.hear([report])

    def _standing(self, message: Message) -> None:
        """The answer to a question: how the order stands, or that it never arrived."""
        own = messages.order_of(message)
        if message.get(39) == "8" and message.get(103) == messages.UNKNOWN_ORDER:
            self._never_heard(message, own, message.get(790))
            return
        self.journal.answered(own, message.get(790))
        told = messages.STANDING.get(message.need(39), Told.ACCEPTED)
        self._tell(message, own, told, f"status-{told}")
        executed = self.journal.executed(own)
        if message.get(14) and message.amount(14) != executed:
            self.alarm(
                f"{self.venue}: {own}",
                f"Venue {self.venue} says that {message.get(14)} of order {own} were executed, its reports say"
                f" {executed}. Compare with the venue's statement and have what is missing sent again.",
            )

    def _never_heard(self, message: Message, own: str, question: str) -> None:
        name, is_current = self.journal.answered(own, question)
        if is_current:
            self._tell(message, own, Told.NEVER_HEARD, f"never-{name.rpartition('.')[2]}")

    def _refused(self, message: Message) -> None:
        """A whole message of ours was refused, by the session (3) or by the business behind it (j)."""
        number = message.whole(45)
        sent = self.journal.sent(number)
        if sent is None or not sent.client_order_id:
            self._alarm_refusal(message, f"our message {number}")
        elif sent.kind == messages.NEW_ORDER:
            self._tell(message, sent.client_order_id, Told.REJECTED, f"refused-{number}")
        elif sent.kind == messages.CANCEL:
            self._tell(message, sent.client_order_id, Told.CANCEL_REFUSED, f"refused-{number}")
        elif message.kind == messages.BUSINESS_REJECT and message.get(380) == UNKNOWN_ID:
            self._never_heard(message, sent.client_order_id, dict(unpack(sent.body))[790])
        else:
            self._alarm_refusal(message, f"the question about order {sent.client_order_id}")

    def _alarm_fee(self, message: Message, report: Report) -> None:
        self.alarm(
            f"{self.venue}: {report.client_order_id}",
            f"Venue {self.venue} told a fee {message.get(12)} of kind {message.get(13)} for {report.report_id},"
            " which is neither absolute nor per unit. The execution is told without it: book the fee by hand.",
        )

    def _alarm_refusal(self, message: Message, what: str) -> None:
        self.alarm(
            f"{self.venue}: refusal",
            f"Venue {self.venue} refused {what}: {messages.words(message) or 'no reason'}. Nothing is sent again by"
            f" itself; clear it with the venue. It said: {message}",
        )
