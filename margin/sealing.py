"""What the clock does for the history: seal, mark, anchor. Each may run twice, late, or be killed half-way."""

import smtplib
from datetime import datetime

from margin import anchors, epochs, history_keys, seals, watch
from margin.models import Seal

UNSEALED, UNANCHORED = "history_unsealed", "history_unanchored"
SUBJECT = "history"


def seal(*, at: datetime) -> Seal | None:
    """Seal what no seal covers, and mark it beside the keys. Without the key nothing is sealed: an alarm says so."""
    return _kept(lambda: seals.seal(at=at), at)


def rotate(*, at: datetime) -> Seal | None:
    """Seal once more with the key in use and name a new one for the seals after it; None: another process seals now."""
    return _kept(lambda: seals.rotate(at=at), at)


def _kept(work: seals.Work, at: datetime) -> Seal | None:
    try:
        made = work()
        if made is not None:
            anchors.mark(made)
    except (history_keys.KeysMissing, OSError) as error:
        watch.raise_alarm(UNSEALED, SUBJECT, f"the history is not sealed: {error}", at=at)
        return None
    watch.clear_alarm(UNSEALED, SUBJECT, at=at)
    return made


def anchor(*, at: datetime) -> str | None:
    """Write the newest seal down outside and mail it; its line, or None if it is there or the epoch is held."""
    if not epochs.is_open(at=at):
        return None
    try:
        line = anchors.write()
        if line:
            anchors.mail(line)
    except (OSError, smtplib.SMTPException) as error:
        watch.raise_alarm(UNANCHORED, SUBJECT, f"the newest seal is not known outside: {error}", at=at)
        return None
    watch.clear_alarm(UNANCHORED, SUBJECT, at=at)
    return line
