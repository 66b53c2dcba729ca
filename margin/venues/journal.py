"""What we handed to one venue and what it told us, on this machine's disk, whatever becomes of our database.

A sequence number is spent and an order is gone even if the transaction that sent it is rolled back, and a restored
database must hear again what its lost hours had kept. So the journal lies beside the database, in SQLite with a full
sync at every commit: one file, all or nothing, safe against `kill -9` and loss of power.

Three promises: an order is handed over at most once until the venue said that it never heard of it; a report is told
until it is kept; one process at a time holds a journal.
"""

import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from margin.venues.interface import NotSent, Report, Told, Unknown

MAX_TOLD = 10_000
TABLES = """
CREATE TABLE IF NOT EXISTS orders (
    client_order_id TEXT PRIMARY KEY, try INTEGER NOT NULL, is_withdrawn INTEGER NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS questions (
    question TEXT PRIMARY KEY, client_order_id TEXT NOT NULL, try INTEGER NOT NULL, is_open INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS heard (
    place INTEGER PRIMARY KEY AUTOINCREMENT, report_id TEXT NOT NULL UNIQUE, client_order_id TEXT NOT NULL,
    told TEXT NOT NULL, at TEXT NOT NULL, body TEXT NOT NULL, is_kept INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS heard_not_kept ON heard (place) WHERE NOT is_kept;
CREATE INDEX IF NOT EXISTS heard_of_order ON heard (client_order_id);
CREATE TABLE IF NOT EXISTS numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sent (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, client_order_id TEXT NOT NULL, at TEXT NOT NULL, body BLOB NOT NULL,
    is_withdrawn INTEGER NOT NULL DEFAULT 0);
"""


class Contradiction(ValueError):
    """A report came again under its id, but says something else: a person must ask the venue which is true."""


@dataclass(frozen=True)
class Sent:
    """A message of ours that left under a number. `body` is what it takes to send it again."""

    number: int
    kind: str
    client_order_id: str
    at: datetime
    body: bytes
    is_withdrawn: bool


class Journal:
    """One venue's journal. Threads may share it; a second process is refused."""

    def __init__(self, folder: Path) -> None:
        """Open or begin the journal in `folder`; raises NotSent while another process holds it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._guard = threading.RLock()
        self._held = _hold(folder / "journal.lock")
        self._base = sqlite3.connect(folder / "journal.sqlite3", isolation_level=None, check_same_thread=False)
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = FULL")
        self._base.executescript(TABLES)

    def close(self) -> None:
        with self._guard:
            self._base.close()
            os.close(self._held)

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on disk when the block is left; inside another change, a part of it.

        Raises NotSent if the disk refuses it: nothing leaves that is not written down.
        """
        with self._guard:
            if self._base.in_transaction:
                yield self._base
                return
            try:
                self._base.execute("BEGIN IMMEDIATE")
                yield self._base
                self._base.execute("COMMIT")
            except BaseException as error:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise NotSent(f"the journal in {self.folder} cannot be written: {error}") from error
                raise

    # --- orders and questions -------------------------------------------------------------------------------

    def begin(self, client_order_id: str, *, at: datetime) -> int:
        """Note that an order is handed over now; which try it is. Unknown if an earlier try may have arrived."""
        with self.change() as base:
            row = base.execute("SELECT try, is_withdrawn, at FROM orders WHERE client_order_id = ?", [client_order_id])
            found = row.fetchone()
            if found and not found[1]:
                raise Unknown(f"order {client_order_id} was handed over at {found[2]}: ask the venue what became of it")
            attempt = found[0] + 1 if found else 1
            base.execute(
                "INSERT INTO orders VALUES (?, ?, 0, ?) ON CONFLICT (client_order_id)"
                " DO UPDATE SET try = excluded.try, is_withdrawn = 0, at = excluded.at",
                [client_order_id, attempt, _text(at)],
            )
            # An answer that it never arrived was about an earlier try; told now, it would send the order twice.
            base.execute(
                "UPDATE heard SET is_kept = 1 WHERE client_order_id = ? AND told = ?",
                [client_order_id, Told.NEVER_HEARD],
            )
            return int(attempt)

    def withdraw(self, client_order_id: str) -> None:
        """It surely is not with the venue and must not get there: it may be handed over anew."""
        with self.change() as base:
            base.execute("UPDATE orders SET is_withdrawn = 1 WHERE client_order_id = ?", [client_order_id])
            base.execute("UPDATE sent SET is_withdrawn = 1 WHERE client_order_id = ?", [client_order_id])

    def knows(self, client_order_id: str) -> bool:
        return bool(self._all("SELECT 1 FROM orders WHERE client_order_id = ?", client_order_id))

    def question(self, client_order_id: str) -> str:
        """A name for a question about this order as it stands now, and all its reports told again but NEVER_HEARD."""
        with self.change() as base:
            name = f"{client_order_id}.q{self.next_number('question')}"
            base.execute(
                "INSERT INTO questions"
                " SELECT ?1, ?2, coalesce((SELECT try FROM orders WHERE client_order_id = ?2), 0), 1",
                [name, client_order_id],
            )
            base.execute(
                "UPDATE heard SET is_kept = 0 WHERE client_order_id = ? AND told <> ?",
                [client_order_id, Told.NEVER_HEARD],
            )
            return name

    def answered(self, client_order_id: str, question: str = "") -> tuple[str, bool]:
        """The question this answers, closed, and whether it was put after the order last left.

        A venue that does not say which question it answers is taken at its word only when no other is open.
        """
        with self.change() as base:
            still_open = base.execute(
                "SELECT question, try FROM questions WHERE client_order_id = ? AND is_open ORDER BY rowid",
                [client_order_id],
            ).fetchall()
            meant = [row for row in still_open if row[0] == question] if question else still_open[:1]
            if not meant:
                return question, False
            name, attempt = meant[0]
            base.execute("UPDATE questions SET is_open = 0 WHERE question = ?", [name])
            row = base.execute("SELECT try FROM orders WHERE client_order_id = ?", [client_order_id]).fetchone()
            is_current = attempt == (row[0] if row else 0)
            return name, is_current and (bool(question) or len(still_open) == 1)

    # --- reports --------------------------------------------------------------------------------------------

    def hear(self, reports: Iterable[Report]) -> None:
        """Store reports; one heard before changes nothing, unless it says something else: Contradiction."""
        with self.change() as base:
            for report in reports:
                earlier = self._all("SELECT body FROM heard WHERE report_id = ?", report.report_id)
                if earlier and _meaning(_report(earlier[0][0])) != _meaning(report):
                    raise Contradiction(
                        f"report {report.report_id} of order {report.client_order_id} was heard before with other"
                        " contents; nothing of it was taken: ask the venue which one holds"
                    )
                body = json.dumps({name: _text(value) for name, value in asdict(report).items()}, ensure_ascii=False)
                base.execute(
                    "INSERT INTO heard (report_id, client_order_id, told, at, body) VALUES (?, ?, ?, ?, ?)"
                    " ON CONFLICT DO NOTHING",
                    [report.report_id, report.client_order_id, report.told, _text(report.at), body],
                )
                if report.told is Told.NEVER_HEARD and not earlier:
                    self.withdraw(report.client_order_id)

    def not_kept(self) -> list[Report]:
        """In the order heard, at most MAX_TOLD at once: what is kept makes room for the next."""
        found = self._all("SELECT body FROM heard WHERE NOT is_kept ORDER BY place LIMIT ?", MAX_TOLD)
        return [_report(body) for (body,) in found]

    def keep(self, reports: Iterable[Report]) -> None:
        with self.change() as base:
            base.executemany("UPDATE heard SET is_kept = 1 WHERE report_id = ?", [[r.report_id] for r in reports])

    def tell_again(self, *, since: datetime) -> int:
        """After a restore: what was said since then is told once more; how many reports. NEVER_HEARD stays told."""
        with self.change() as base:
            return base.execute(
                "UPDATE heard SET is_kept = 0 WHERE at >= ? AND told <> ?", [_text(since), Told.NEVER_HEARD]
            ).rowcount

    def executed(self, client_order_id: str) -> Decimal:
        """The quantity executed, by all that was heard: fills as corrected, without those busted."""
        fills: dict[str, Decimal] = {}
        later: list[Report] = []
        for (body,) in self._all("SELECT body FROM heard WHERE client_order_id = ? ORDER BY place", client_order_id):
            report = _report(body)
            if report.told is Told.FILLED:
                fills[report.report_id] = report.quantity
            elif report.told in (Told.BUSTED, Told.CORRECTED):
                later.append(report)
        first: dict[str, str] = {}  # a correction may name the execution itself or an earlier correction of it
        for report in later:
            execution = first.setdefault(report.report_id, first.get(report.refers_to, report.refers_to))
            fills[execution] = Decimal(0) if report.told is Told.BUSTED else report.quantity
        return sum(fills.values(), Decimal(0))

    # --- numbered messages ----------------------------------------------------------------------------------

    def add_sent(self, number: int, *, kind: str, client_order_id: str, at: datetime, body: bytes) -> None:
        with self.change() as base:
            base.execute("INSERT INTO sent VALUES (?, ?, ?, ?, ?, 0)", [number, kind, client_order_id, _text(at), body])

    def sent(self, number: int) -> Sent | None:
        return next(iter(self.sent_between(number, number)), None)

    def sent_between(self, first: int, last: int) -> list[Sent]:
        found = self._all("SELECT * FROM sent WHERE number BETWEEN ? AND ? ORDER BY number", first, last)
        return [
            Sent(n, kind, own, datetime.fromisoformat(at), body, bool(gone)) for n, kind, own, at, body, gone in found
        ]

    def forget_sent(self) -> None:
        """The numbers begin anew: nothing sent under the old ones may be sent again, no old question be answered."""
        with self.change() as base:
            base.execute("DELETE FROM sent")
            base.execute("UPDATE questions SET is_open = 0")

    # --- numbers --------------------------------------------------------------------------------------------

    def next_number(self, name: str) -> int:
        """Count up: 1, 2, 3, … without gap or repetition."""
        with self.change():
            value = self.number(name, 0) + 1
            self.set_number(name, value)
            return value

    def number(self, name: str, default: int) -> int:
        found = self._all("SELECT value FROM numbers WHERE name = ?", name)
        return int(found[0][0]) if found else default

    def set_number(self, name: str, value: int) -> None:
        with self.change() as base:
            base.execute("INSERT OR REPLACE INTO numbers VALUES (?, ?)", [name, value])

    def _all(self, query: str, *values: Any) -> list[Any]:
        with self._guard:
            return self._base.execute(query, values).fetchall()


def _hold(path: Path) -> int:
    held = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(held, 20).decode("ascii", "replace").strip()
        os.close(held)
        raise NotSent(f"process {holder or '?'} holds {path.parent}: one process at a time speaks to a venue") from None
    os.truncate(held, 0)
    os.write(held, str(os.getpid()).encode())
    return held


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return str(value)


def _report(body: str) -> Report:
    values = json.loads(body)
    for name in ("quantity", "price", "fee"):
        values[name] = Decimal(values[name])
    return Report(**{**values, "told": Told(values["told"]), "at": datetime.fromisoformat(values["at"])})


def _meaning(report: Report) -> tuple[Any, ...]:
    """What decides a booking. Words, fees announced later and the time of telling may differ between two tellings."""
    return report.client_order_id, report.told, report.quantity, report.price, report.refers_to
