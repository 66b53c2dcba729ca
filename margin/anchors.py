"""Anchors: the newest seal's number, instant and code, written down where the database's owner cannot rewrite them.

One line a seal, appended to a file that should be on another machine or on paper-like storage, and mailed to the
auditors. Beside the keys lies a mark of the newest seal: a history that was put back to an earlier state does not know
the seal of its own mark (`margin.epochs`).
"""

import fcntl
import os
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage

from margin import history_keys, seals
from margin.models import Seal, SystemEpoch

MARK = "newest-seal"


def line_of(seal: Seal) -> str:
    """A seal as it is written down: number, instant, code, and the system that it is of."""
    return f"{seal.number} {seals.instant(seal.sealed_at)} {seal.mac} {seal.system}"


def write() -> str | None:
    """Append the newest seal's line; the line, or None if it is there already. Never ahead of the table.

    The seal is read as committed, and the line is on the disk when this returns.
    """
    newest = Seal.objects.first()
    if newest is None or not settings.HISTORY_ANCHOR_FILE:
        return None
    line = line_of(newest)
    return line if append(line) else None


def append(line: str) -> bool:
    """Append a line to the anchor file, once; False if its last line is the same."""
    file = Path(settings.HISTORY_ANCHOR_FILE)
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        known = stream.read().splitlines()
        if known and known[-1] == line:
            return False
        stream.write(line + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    return True


def lines() -> list[str]:
    """The anchors of this history: of the system we are in and of those that its seals and epochs know.

    Other databases of the house, such as a trial's, may share the file.
    """
    file = Path(settings.HISTORY_ANCHOR_FILE)
    if not settings.HISTORY_ANCHOR_FILE or not file.is_file():
        return []
    ours = {seals.system()[0], *Seal.objects.values_list("system", flat=True).distinct()}
    ours |= {f"{epoch.system_identifier}/{epoch.database_oid}" for epoch in SystemEpoch.objects.all()}
    told = (line for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    return [line for line in told if line.split()[-1] in ours]


def mail(line: str) -> None:
    """Tell the auditors; their mailbox is the second place. Raises what the mail server does."""
    number, at, *_ = line.split()
    EmailMessage(
        subject=f"Margin Desk: history sealed up to seal {number} at {at}",
        body=f"{line}\n\nKeep this mail. Appended to the others it proves what the history was at that instant:\n"
        "python3 verify.py EXPORT --keys FOLDER --anchors FILE\n",
        to=settings.AUDITORS_EMAIL,
    ).send()


# --- the mark beside the keys -----------------------------------------------------------------------------


def mark(seal: Seal) -> None:
    """Note the newest seal beside the keys, after it is committed."""
    file = history_keys.folder() / MARK
    fresh = file.with_suffix(f".{os.getpid()}")
    with fresh.open("w", encoding="utf-8") as stream:
        stream.write(line_of(seal) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)


def unknown() -> str:
    """The mark, if it is of a seal of this system that the table does not hold; "" if all is as it should be."""
    file = Path(settings.HISTORY_KEYS) / MARK
    line = file.read_text(encoding="utf-8").strip() if settings.HISTORY_KEYS and file.is_file() else ""
    if not line:
        return ""
    number, _, code, system = line.split()
    if system != seals.system()[0] or Seal.objects.filter(number=int(number), mac=code).exists():
        return ""
    return line
