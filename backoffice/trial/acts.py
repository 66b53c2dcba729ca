"""What happens in a trial, as plain data: prices come, sweeps run, clients pay and trade, staff decide.

Every act has the simulated instant `at` at which it happens; `run.play` carries them out in that order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from market.guard import Incoming

NEW_YORK = ZoneInfo("America/New_York")


def new_york(wall: str) -> datetime:
    """An instant by New York's clocks, written as 2008-09-15 09:00."""
    return datetime.fromisoformat(wall).replace(tzinfo=NEW_YORK)


class Quotes(NamedTuple):
    """Prices come in."""

    at: datetime
    batch: Sequence[Incoming]


class Sweep(NamedTuple):
    """All accounts are assessed."""

    at: datetime
    kind: str


class Tell(NamedTuple):
    """Clients are told what happened since they were told last."""

    at: datetime


class Confirm(NamedTuple):
    """Operations confirms the instrument's quote in quarantine."""

    at: datetime
    instrument: str


class Deposit(NamedTuple):
    """Money of the client arrives."""

    at: datetime
    account: str
    amount: Decimal


class Trade(NamedTuple):
    """The client trades at the day's opening price; sold is negative. It settles by the calendar of the time."""

    at: datetime
    account: str
    instrument: str
    quantity: Decimal


class EnterWriteOff(NamedTuple):
    """Operations enters that an instrument is worth nothing any more."""

    at: datetime
    instrument: str
    effective_at: datetime
    reason: str


class ApproveActions(NamedTuple):
    """Risk approves the corporate actions that wait; positions follow those in effect."""

    at: datetime


class Escalate(NamedTuple):
    """The supervisor escalates an issued call."""

    at: datetime
    account: str
    regime: str
    reason: str


class Propose(NamedTuple):
    """Operations proposes to liquidate for an escalated call."""

    at: datetime
    account: str
    regime: str


class Approve(NamedTuple):
    """The supervisor, and Risk where the system proposed, approve every plan that waits."""

    at: datetime


class Execute(NamedTuple):
    """Approved plans are filled in full: at the day's opening price, or at the latest quote where there is no open."""

    at: datetime


Act = (
    Quotes | Sweep | Tell | Confirm | Deposit | Trade | EnterWriteOff | ApproveActions
    | Escalate | Propose | Approve | Execute
)  # fmt: skip


Opens = Mapping[tuple[str, date], Decimal]  # opening prices by instrument and day


class Holder(NamedTuple):
    """An account of the trial, its client, what it shows, and what it holds when the book is loaded."""

    account: str
    client: str
    shows: str
    holdings: Mapping[str, Decimal]


class Span(NamedTuple):
    """Days of a calendar that are loaded."""

    calendar: str
    first: date
    last: date


@dataclass(frozen=True)
class Book:
    """A trial's house before the first price: `instruments` is CSV (docs/formats.md), `terms` the policy's."""

    name: str
    agreement: str
    instruments: str
    holders: Sequence[Holder]
    terms: Mapping[str, Any]
    published_at: datetime
    loaded_at: datetime
    calendars: Sequence[Span] = field(default_factory=tuple)
    time_zone: str = "America/New_York"
