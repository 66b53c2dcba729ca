"""Does the history still prove itself? Chains, rows, seals, sweeps and anchors, recomputed byte by byte.

The arithmetic is `verifier/verify.py`, which stands alone; here it is fed from the database, in one instant's state
and without models, so that a million events take less than a minute.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from accounts.models import Account
from margin import anchors, seals
from margin.beside import CURE
from margin.chain import text
from margin.models import Seal
from margin.rows import IDENTITY, MUTABLE, OPTIONAL
from verifier import verify as arithmetic
from verifier.verify import Fault, link

__all__ = ["Fault", "Verdict", "link", "verify", "verify_all"]
CHUNK = 5000
CALL = ("seq", *MUTABLE, *OPTIONAL, *IDENTITY)
EVENTS = """
SELECT id, account_id, seq, call_id, kind, at, recorded_at, transaction_id, body, previous_hash, hash
FROM margin_event WHERE account_id BETWEEN %s AND %s ORDER BY account_id, seq
"""
CALLS = f"""
SELECT account_id, id, {", ".join(CALL)} FROM margin_margincall
WHERE account_id BETWEEN %s AND %s ORDER BY account_id, id
"""  # noqa: S608 - names of ours
CURES = f"""
SELECT c.account_id, k.id, {", ".join(f"k.{column}" for column in ("seq", *CURE))}
FROM margin_cure k JOIN margin_margincall c ON c.id = k.call_id
WHERE c.account_id BETWEEN %s AND %s ORDER BY c.account_id, k.id
"""  # noqa: S608 - names of ours
HEADS = "SELECT account_id, seq, head FROM margin_chain WHERE account_id BETWEEN %s AND %s ORDER BY account_id"
SEALED = "SELECT id, hash, recorded_at FROM margin_event ORDER BY id"
SWEEPS = "SELECT sweep_id, digest, margin_sweep_digest(sweep_id) FROM margin_sweepdigest ORDER BY sweep_id"
EVERYBODY = (0, 2**63 - 1)


@dataclass(frozen=True)
class Verdict:
    """All chains: the faults found, how much was read, and one digest over all heads, to be kept elsewhere."""

    faults: list[Fault]
    chains: int
    events: int
    digest: str
    seals: int = 0
    unproved: tuple[str, ...] = ()
    """What could not be looked at from here, and why."""

    @property
    def is_intact(self) -> bool:
        return not self.faults


def verify(account: Account) -> list[Fault]:
    """The faults of one account's chain and rows; empty when it is intact."""
    with one_instant():
        return list(_Reading((account.pk, account.pk)).faults())


def verify_all() -> Verdict:
    """Read everything, as it stands at one instant. Memory stays flat."""
    with one_instant():
        reading = _Reading(EVERYBODY)
        faults = list(reading.faults())
        digest = hashlib.sha256()
        for account, (seq, head) in reading.heads.items():
            digest.update(f"{account} {seq} {head}\n".encode())
        made = [seals.stated(row) for row in Seal.objects.order_by("number").iterator()]
        keys, unproved = _keys(faults) if made else (None, ())
        sweeps = dict(_sweeps(faults))
        faults += arithmetic.seal_faults(made, keys=keys, events=stream(SEALED), sweeps=sweeps)
        faults += arithmetic.anchor_faults(anchors.lines(), made, keys)
        return Verdict(faults, len(reading.heads), reading.events, digest.hexdigest(), len(made), unproved)


def _keys(faults: list[Fault]) -> tuple[Mapping[str, bytes] | None, tuple[str, ...]]:
    """The keys of the seals where this process may read them."""
    place = Path(settings.HISTORY_KEYS)
    if not settings.HISTORY_KEYS or not place.is_dir():
        return None, ("the seals' codes were not computed: their keys are not here",)
    keys, replaced = arithmetic.read_keys(place)
    faults += replaced
    return keys, ()


def _sweeps(faults: list[Fault]) -> Iterator[tuple[int, str]]:
    """(id, digest) of every sealed sweep; a snapshot that is not what was digested is a fault."""
    for sweep, digest, now in stream(SWEEPS):
        if digest != now:
            what = "changed snapshot: its prices or assessments are not those that were sealed"
            faults.append(Fault(0, 0, what, f"sweep {sweep}"))
        yield sweep, digest


class _Reading:
    """One pass over the chains of a span of accounts, with the rows of their calls and cures beside them."""

    def __init__(self, span: tuple[int, int]) -> None:
        self.span = span
        self.events = 0
        self.heads = {account: (seq, head) for account, seq, head in stream(HEADS, span)}

    def faults(self) -> Iterator[Fault]:
        calls, cures = _Beside(calls_of(self.span)), _Beside(cures_of(self.span))
        left = dict.fromkeys(self.heads)
        for account, events in groupby(stream(EVENTS, self.span), key=itemgetter(1)):
            left.pop(account, None)
            replay = arithmetic.Replay()
            yield from arithmetic.chain_faults(account, self._counted(events), self.heads.get(account), replay)
            yield from arithmetic.row_faults(account, "call", replay.calls, calls.of(account))
            yield from arithmetic.row_faults(account, "cure", replay.cures, cures.of(account))
        for account in left:
            yield from arithmetic.chain_faults(account, [], self.heads[account])
        for what, beside in (("call", calls), ("cure", cures)):
            for account, rows in beside.strangers():
                yield from arithmetic.row_faults(account, what, {}, rows)

    def _counted(self, events: Iterable[tuple[Any, ...]]) -> Iterator[arithmetic.Event]:
        for row in events:
            self.events += 1
            yield arithmetic.Event._make(row)


Rows = dict[int, dict[str, Any]]


class _Beside:
    """Rows by account, in the order of the accounts, taken as the events of the account are."""

    def __init__(self, rows: Iterable[tuple[int, int, dict[str, Any]]]) -> None:
        self.groups = groupby(rows, key=itemgetter(0))
        self.next: tuple[int, Rows] | None = None
        self.without_events: list[tuple[int, Rows]] = []
        self._advance()

    def _advance(self) -> None:
        account, rows = next(self.groups, (None, ()))
        self.next = None if account is None else (account, {number: row for _, number, row in rows})

    def of(self, account: int) -> Rows:
        while self.next is not None and self.next[0] < account:
            self.without_events.append(self.next)
            self._advance()
        if self.next is None or self.next[0] != account:
            return {}
        rows = self.next[1]
        self._advance()
        return rows

    def strangers(self) -> list[tuple[int, Rows]]:
        """Rows of accounts that have no events at all."""
        self.of(EVERYBODY[1])
        return self.without_events


def calls_of(span: tuple[int, int]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    for account, number, *columns in stream(CALLS, span):
        yield account, number, dict(zip(CALL, map(text, columns), strict=True))


def cures_of(span: tuple[int, int]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    for account, number, seq, *columns in stream(CURES, span):
        said = zip(CURE, map(text, columns), strict=True)
        yield account, number, {"seq": seq, **{name: value for name, value in said if value not in (None, "", "0")}}


def stream(query: str, parameters: Iterable[Any] = ()) -> Iterator[tuple[Any, ...]]:
    """Rows as plain tuples, a chunk at a time, from a cursor of the server; inside a transaction."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(query, list(parameters))
        while rows := cursor.fetchmany(CHUNK):
            yield from rows


@contextmanager
def one_instant() -> Iterator[None]:
    """A transaction that sees the database as it is when it begins; a caller's own is taken as it is."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
