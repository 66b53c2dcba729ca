"""What every venue that executes our orders offers: send, cancel, ask, and reports told at least once.

An adapter keeps no opinion about calls or plans. Whether an order may leave is decided before it gets here; what a
report means for a position is decided after it has left here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class Told(StrEnum):
    """What a venue can say of an order."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FILLED = "filled"  # one execution, of a part or of the whole
    BUSTED = "busted"  # the execution it refers to never was
    CORRECTED = "corrected"  # the execution it refers to had this quantity and price
    CANCELLED = "cancelled"
    CANCEL_REFUSED = "cancel_refused"
    NEVER_HEARD = "never_heard"  # the answer to a question about an order that did not arrive


@dataclass(frozen=True)
class Order:
    """One order as it leaves. `client_order_id` follows from the plan line alone: a venue takes each at most once."""

    client_order_id: str  # ASCII, at most 32 characters
    account: str
    instrument: str
    side: Side
    quantity: Decimal  # positive
    limit: Decimal | None  # the worst price that is acceptable, in `currency`; None at the market
    currency: str


@dataclass(frozen=True)
class Report:
    """One thing a venue said. Told twice, it has the same `report_id` and is booked once."""

    venue: str
    report_id: str
    client_order_id: str
    told: Told
    at: datetime
    quantity: Decimal = Decimal(0)  # of this execution, positive
    price: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)
    refers_to: str = ""  # report_id of the execution that is busted or corrected
    venue_order_id: str = ""
    text: str = ""  # the venue's own words, for a person


class NotSent(Exception):
    """The order surely did not leave; it may be tried again."""


class Unknown(Exception):
    """The order may have arrived: ask the venue, never send it again blindly."""


class Venue(Protocol):
    """A way to the market. Every method may raise NotSent; `send` and `cancel` may raise Unknown."""

    code: str

    def send(self, order: Order) -> None:
        """Hand over an order. Returns once it has left; that it was accepted is a report."""

    def cancel(self, order: Order) -> None:
        """Ask to take back what of the order is not executed yet; the answer is a report."""

    def ask(self, order: Order) -> None:
        """Ask what became of an order; the answer is its reports told again, or NEVER_HEARD."""

    def reports(self) -> Iterator[Report]:
        """What was said and not yet kept, in the order heard. A report is told again until it is kept."""

    def keep(self, reports: Iterable[Report]) -> None:
        """These are stored with us: the venue's side need not tell them again."""
