"""A venue reached by files: orders are dropped in `outbox/`, answers found in `inbox/` (docs/venues.md).

Files appear by renaming and so whole. What was read goes to `done/`, what cannot be read to `refused/` with the reason
beside it, and a person is alarmed.
"""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from margin.venues import file_formats
from margin.venues.checks import refuse_odd
from margin.venues.interface import NotSent, Order, Report, Told, Unknown
from margin.venues.journal import Contradiction, Journal
from market import strict

MAX_BYTES = 16 * 1024 * 1024
MAX_FILES = 1000  # read in one go
PATIENCE_SECONDS = 60.0  # a file that is not whole by then was cut off
FOLDERS = ("outbox", "inbox", "done", "refused")
Alarm = Callable[[str, str], None]  # (what it is about, what happened and what to do)


@dataclass
class FileDrop:
    """A `Venue`. The folder and everything in it belongs to this adapter and to the venue's copying program."""

    code: str
    folder: Path
    form: str  # of the files we write: csv or json; we read both
    now: Callable[[], datetime]
    alarm: Alarm

    def __post_init__(self) -> None:
        for name in FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.journal = Journal(journal_of(self.folder))
        for draft in (self.folder / "outbox").glob(".*.tmp"):  # begun by a process that died: no venue reads it
            draft.unlink(missing_ok=True)

    def close(self) -> None:
        self.journal.close()

    def send(self, order: Order) -> None:
        refuse_odd(order)
        at = self.now()
        self.journal.begin(order.client_order_id, at=at)
        try:
            self._drop("new", order.client_order_id, order, at)
        except NotSent:
            self.journal.withdraw(order.client_order_id)
            raise

    def cancel(self, order: Order) -> None:
        refuse_odd(order)
        message_id = f"{order.client_order_id}.c{self.journal.next_number('cancel')}"
        self._drop("cancel", message_id, order, self.now())

    def ask(self, order: Order) -> None:
        refuse_odd(order)
        self._drop("ask", self.journal.question(order.client_order_id), order, self.now())

    def reports(self) -> Iterator[Report]:
        for path in self._waiting():
            self._read(path)
        yield from self.journal.not_kept()

    def keep(self, reports: Iterable[Report]) -> None:
        self.journal.keep(reports)

    def try_out(self) -> float:
        """Write a file that no venue reads and take it away; how many seconds that took. OSError if it cannot be."""
        began = time.monotonic()
        for name in FOLDERS:
            probe = self.folder / name / ".probe.tmp"
            _write(probe, b"\n")
            probe.unlink()
        return time.monotonic() - began

    # --- out ------------------------------------------------------------------------------------------------

    def _drop(self, kind: str, message_id: str, order: Order, at: datetime) -> None:
        """Write a file under a name that sorts by the order of sending; NotSent if it surely is not there."""
        name = f"{self.journal.next_number('file'):010d}-{kind}-{order.client_order_id}.{self.form}"
        outbox = self.folder / "outbox"
        draft = outbox / f".{name}.tmp"
        try:
            _write(draft, file_formats.message(kind, message_id, order, at=at, form=self.form))
            draft.rename(outbox / name)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise NotSent(f"order {order.client_order_id}: {outbox / name} could not be written: {error}") from error
        try:
            _sync(outbox)
        except OSError as error:
            raise Unknown(f"order {order.client_order_id}: {outbox / name} may not be on disk: {error}") from error

    # --- in -------------------------------------------------------------------------------------------------

    def _waiting(self) -> list[Path]:
        """What may be read now, by name. Names that begin with a point or end otherwise are not finished."""
        forms = tuple(f".{form}" for form in file_formats.FORMATS)
        with os.scandir(self.folder / "inbox") as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(forms) and entry.name[0] != ".")
        return [self.folder / "inbox" / name for name in names[:MAX_FILES]]

    def _read(self, path: Path) -> None:
        """Take a file's reports and put it away; a file that is not whole yet stays."""
        form = path.suffix[1:]
        try:
            content = _content(path)
            if not file_formats.is_whole(content, form=form) and self._is_young(path):
                return
            self._take(file_formats.reports(content, form=form, venue=self.code))
        except FileNotFoundError:
            return
        except (strict.Refused, Contradiction) as refusal:
            self._refuse(path, str(refusal))
        except OSError as error:
            self.alarm(f"{self.code}: {path.name}", f"Venue {self.code}: {path} cannot be read: {error}. Repair it.")
        else:
            _move(path, self.folder / "done" / f"{hashlib.sha256(content).hexdigest()[:12]}-{path.name}")

    def _is_young(self, path: Path) -> bool:
        return abs(self.now().timestamp() - path.stat().st_mtime) < PATIENCE_SECONDS

    def _take(self, reports: list[Report]) -> None:
        with self.journal.change():
            for report in reports:
                if report.told is Told.NEVER_HEARD and not self._holds(report):
                    continue
                self.journal.hear([report])

    def _holds(self, report: Report) -> bool:
        """Whether an order that never arrived may be believed lost: not if it was handed over after the question."""
        _, is_current = self.journal.answered(report.client_order_id, report.refers_to)
        if is_current:
            self._take_back(report.client_order_id)
        return is_current

    def _take_back(self, client_order_id: str) -> None:
        """An order that lies in the outbox unread must not arrive after all."""
        for path in (self.folder / "outbox").glob(f"*-new-{client_order_id}.*"):
            _move(path, self.folder / "refused" / f"taken-back-{path.name}")

    def _refuse(self, path: Path, reason: str) -> None:
        stamp = self.now().strftime("%Y%m%dT%H%M%S%f")
        kept = self.folder / "refused" / f"{stamp}-{path.name}"
        _write(kept.with_name(kept.name + ".reason.txt"), f"{reason}\n".encode("utf-8", "replace"))
        _move(path, kept)
        self.alarm(
            f"{self.code}: {path.name}",
            f"Venue {self.code}: nothing of the file {path.name} was taken. {reason}. It lies in {kept}: have the venue"
            " send it again, corrected, under a new name.",
        )


def journal_of(folder: Path) -> Path:
    return folder / "journal"


def _content(path: Path) -> bytes:
    """A file's bytes; refuses what is no plain file, or too large to be honest."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise strict.refuse("", "is no plain file")
    if status.st_size > MAX_BYTES:
        raise strict.refuse("", f"is larger than {MAX_BYTES} bytes")
    return path.read_bytes()


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _move(path: Path, to: Path) -> None:
    """Rename, and have both folders on disk; a file that is gone already was moved by an earlier try."""
    try:
        path.rename(to)
    except FileNotFoundError:
        return
    _sync(path.parent)
    _sync(to.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
