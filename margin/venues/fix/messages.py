"""Our orders as FIX 4.4 messages, and its ExecutionReports as what a venue can say of an order."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from margin.venues.checks import plain
from margin.venues.fix.wire import Fields, Message, Unreadable, stamp
from margin.venues.interface import Order, Report, Side, Told

NEW_ORDER, CANCEL, STATUS = "D", "F", "H"
EXECUTION, CANCEL_REJECT, BUSINESS_REJECT = "8", "9", "j"
SIDES = {Side.BUY: "1", Side.SELL: "2"}
CANCEL_SUFFIX = re.compile(r"\.c[0-9]+$")
# ExecType (150). 1 and 2 are FIX 4.2's fills, which some venues keep on sending.
TOLD = {
    "0": Told.ACCEPTED,
    "1": Told.FILLED,
    "2": Told.FILLED,
    "3": Told.CANCELLED,  # done for the day: nothing more will be executed
    "4": Told.CANCELLED,
    "8": Told.REJECTED,
    "C": Told.CANCELLED,  # expired
    "F": Told.FILLED,
    "G": Told.CORRECTED,
    "H": Told.BUSTED,
}
# OrdStatus (39) of an answer to a question.
STANDING = {"3": Told.CANCELLED, "4": Told.CANCELLED, "8": Told.REJECTED, "C": Told.CANCELLED}
ON_ITS_WAY = frozenset("6AE579BD")  # pending, replaced, suspended, restated: nothing that we book
STATUS_ANSWER = "I"
UNKNOWN_ORDER = "5"  # OrdRejReason (103)
PER_UNIT, ABSOLUTE = "1", "3"  # CommType (13)
MAX_REPORT_ID = 64


# --- out ------------------------------------------------------------------------------------------------------


def new_order(order: Order, *, at: datetime, extra: Mapping[int, str]) -> Fields:
    """NewOrderSingle: a limit order for the day, or one at the market. `extra` are the venue's own tags."""
    kind = (("40", "1"),) if order.limit is None else (("40", "2"), ("44", plain(order.limit)))
    return (
        (11, order.client_order_id),
        (1, order.account),
        (21, "1"),
        *_what(order),
        (60, stamp(at)),
        (38, plain(order.quantity)),
        *((int(tag), value) for tag, value in kind),
        (15, order.currency),
        *(((59, "0"),) if 59 not in extra else ()),
        *extra.items(),
    )


def cancel(order: Order, cancel_id: str, *, at: datetime) -> Fields:
    """OrderCancelRequest. It has an id of its own, as FIX asks; the order's is OrigClOrdID."""
    return (
        (41, order.client_order_id),
        (11, cancel_id),
        (1, order.account),
        *_what(order),
        (60, stamp(at)),
        (38, plain(order.quantity)),
    )


def status(order: Order, question: str) -> Fields:
    """OrderStatusRequest."""
    return (11, order.client_order_id), (790, question), (1, order.account), *_what(order)


def status_of(sent: Fields, question: str) -> Fields:
    """The question about an order, from the fields it was sent with."""
    kept = [(tag, value) for tag, value in sent if tag in (1, 54, 55)]
    return (11, dict(sent)[11]), (790, question), *kept


def _what(order: Order) -> Fields:
    return (55, order.instrument), (54, SIDES[order.side])


# --- in -------------------------------------------------------------------------------------------------------


def order_of(message: Message) -> str:
    """The client order id that a report is about: a cancel's own id leads to the order's."""
    return CANCEL_SUFFIX.sub("", message.get(41) or message.need(11))


def report_id(client_order_id: str, said: str) -> str:
    """A report's id. A venue's ExecID is unique for an order, and often only for a day beyond that."""
    if len(said) > MAX_REPORT_ID - len(client_order_id) - 1:
        said = hashlib.sha256(said.encode()).hexdigest()[: MAX_REPORT_ID - len(client_order_id) - 1]
    return f"{client_order_id}/{said}"


def said_at(message: Message) -> datetime:
    return message.instant(60) if message.get(60) else message.instant(52)


def is_status(message: Message) -> bool:
    """Whether an ExecutionReport answers a question: by its type, or because it knows no such order."""
    return message.get(150) == STATUS_ANSWER or (message.get(39) == "8" and message.get(103) == UNKNOWN_ORDER)


def execution(message: Message, *, venue: str) -> Report | None:
    """An ExecutionReport that is no answer to a question; None for what is only on its way."""
    said = message.need(150)
    if said in ON_ITS_WAY:
        return None
    if said not in TOLD:
        raise Unreadable(150, f"is unknown: {said!r}", code=5)
    told, own = TOLD[said], order_of(message)
    executes = told in (Told.FILLED, Told.CORRECTED)
    quantity = message.amount(32) if executes else Decimal(0)
    if executes and quantity <= 0:
        raise Unreadable(32, f"must be positive: {quantity}", code=5)
    return Report(
        venue=venue,
        report_id=report_id(own, message.need(17)),
        client_order_id=own,
        told=told,
        at=said_at(message),
        quantity=quantity,
        price=message.amount(31) if executes else Decimal(0),
        fee=fee(message, quantity) if executes else Decimal(0),
        refers_to=report_id(own, message.need(19)) if told in (Told.BUSTED, Told.CORRECTED) else "",
        venue_order_id=message.get(37),
        text=words(message),
    )


def fee(message: Message, quantity: Decimal) -> Decimal:
    """Commission and MiscFees of one execution, as far as `has_odd_fee` is false."""
    found = sum((Message(((137, each),)).amount(137) for each in message.every(137)), Decimal(0))
    if not message.get(12) or has_odd_fee(message):
        return found
    return found + message.amount(12) * (quantity if message.get(13) == PER_UNIT else 1)


def has_odd_fee(message: Message) -> bool:
    """A commission in percent, for one: venues disagree on what 1 means. The execution is booked, the fee by hand."""
    return bool(message.get(12)) and message.get(13, ABSOLUTE) not in (PER_UNIT, ABSOLUTE)


def words(message: Message) -> str:
    """The venue's own words, for a person; bounded and without control characters."""
    return "".join(letter for letter in message.get(58) if letter.isprintable())[:500].strip()
