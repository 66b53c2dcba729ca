"""An account's calls and cures as they stood at any past instant, rebuilt from its events and nothing else.

The rows of today are not looked at: `history.verify` holds them against the same arithmetic.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Model

from margin.models import Cure, Event, MarginCall
from margin.rows import read
from verifier.verify import Replay

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Rebuilt:
    """What the events of an account leave, up to the one of that `seq` (0: none yet); rows by id, not for saving."""

    account_id: int
    seq: int
    head: str
    """The hash of that event: who has written it down can tell that nothing before it has changed since."""
    calls: tuple[MarginCall, ...]
    cures: tuple[Cure, ...]


def instant(account_id: int, *, at: datetime) -> Rebuilt:
    """The rows as they were when all that happened up to `at`, inclusive, was written."""
    return from_events(account_id, _events(account_id).filter(at__lte=at))


def event(account_id: int, *, seq: int) -> Rebuilt:
    """The rows as the event of that seq left them."""
    return from_events(account_id, _events(account_id).filter(seq__lte=seq))


def from_events(account_id: int, events: Iterable[Event]) -> Rebuilt:
    """The rows that these events leave: the first ones of the account's chain, in their order."""
    replay, seq, head = Replay(), 0, ""
    call_of: dict[int, int] = {}
    for each in events:
        told = read(each)
        replay.take(each.seq, told)
        if told.get("cure"):
            call_of[told["cure"]["id"]] = told["call"]
        seq, head = each.seq, each.hash
    calls = ((pk, {"account_id": account_id, "seq": at, **row}) for pk, (at, row) in replay.calls.items())
    cures = ((pk, {"call_id": call_of[pk], "seq": at, **row}) for pk, (at, row) in replay.cures.items())
    return Rebuilt(account_id, seq, head, _rows(MarginCall, calls), _rows(Cure, cures))


def _events(account_id: int) -> Any:
    return Event.objects.filter(account_id=account_id).order_by("seq")


def _rows(model: type[Row], found: Iterable[tuple[int, Mapping[str, Any]]]) -> tuple[Row, ...]:
    """Rows of what events say as text; what they leave out is what it is before anything is said of it."""
    fields = model._meta.concrete_fields
    return tuple(
        model.from_db(
            None,
            [field.attname for field in fields],
            [field.to_python(said.get(field.attname, field.get_default())) for field in fields],
        )
        for said in ({"id": pk, **row} for pk, row in sorted(found))
    )
