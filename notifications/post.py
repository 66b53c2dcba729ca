"""Handing one notice to the mail server, and reading what its answer means.

Before the message's text has gone out a failure means "not sent": try again. After it, silence means "unknown": the
server may have taken it, so it is sent again later under the same Message-ID (fault M2). A permanent refusal of the
recipient or of the message is final; a refusal of ourselves (login, sender rights) is our fault and is tried again.
"""

import smtplib
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from anymail.exceptions import AnymailAPIError, AnymailError, AnymailRecipientsRefused
from django.conf import settings
from django.core import mail
from django.core.mail.backends.smtp import EmailBackend

from notifications.models import Attempt, Notice

OURSELVES = frozenset({421, 454, 530, 534, 535, 538})  # RFC 4954 and service shutdown: not about this message
BUSY = frozenset({401, 403, 408, 409, 425, 429})  # HTTP answers of a provider that another time may change


@dataclass(frozen=True)
class Answer:
    """What became of one try.

    `is_server_down`: nothing else needs to be tried on this server now. `is_ours`: we refused it ourselves.
    """

    outcome: Attempt.Outcome
    text: str
    is_server_down: bool = False
    is_ours: bool = False


class Post:
    """One connection to the mail server, opened when first needed and kept while it works."""

    def __init__(self) -> None:
        self._connection: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._hang_up()

    def hand_over(self, notice: Notice) -> Answer:
        """Send the notice to its address. Never raises for what a mail server can do."""
        try:
            connection = self._connected()
        except (OSError, smtplib.SMTPException, AnymailError) as error:
            self._hang_up()
            return Answer(Attempt.Outcome.DEFERRED, f"no connection: {_said(error)}", is_server_down=True)
        message = _message(notice, connection)
        try:
            message.send()
        except (OSError, smtplib.SMTPException, AnymailError) as error:
            self._hang_up()
            return answer(error)
        return Answer(Attempt.Outcome.SENT, _accepted(message))

    def _connected(self) -> Any:
        """An open connection; one that the server closed meanwhile is replaced before a message is risked on it."""
        if self._connection is not None and not _is_alive(self._connection):
            self._hang_up()
        if self._connection is None:
            connection = mail.get_connection()
            connection.open()
            self._connection = connection
        return self._connection

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except (OSError, smtplib.SMTPException, AnymailError):
                return  # it is gone either way


def answer(error: Exception) -> Answer:
    """What an error during sending means."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            code, said = next(iter(error.recipients.values()))
            found = _by_code(code, _said(error, code, said))
        case smtplib.SMTPResponseException():
            found = _by_code(error.smtp_code, _said(error, error.smtp_code, error.smtp_error))
        case smtplib.SMTPNotSupportedError() | AnymailRecipientsRefused():
            found = Answer(Attempt.Outcome.REFUSED, _said(error))
        case AnymailAPIError(status_code=int(status)):
            is_final = 400 <= status < 500 and status not in BUSY
            found = Answer(Attempt.Outcome.REFUSED if is_final else Attempt.Outcome.DEFERRED, _said(error))
        case AnymailAPIError() | OSError() | smtplib.SMTPException():
            found = Answer(Attempt.Outcome.UNKNOWN, f"no answer: {_said(error)}")
        case _:
            found = Answer(Attempt.Outcome.REFUSED, _said(error))  # this provider cannot carry such a message
    return found


def _by_code(code: int, said: str) -> Answer:
    if code in OURSELVES:
        return Answer(Attempt.Outcome.DEFERRED, said, is_server_down=True)
    return Answer(Attempt.Outcome.REFUSED if code >= 500 else Attempt.Outcome.DEFERRED, said)


def _said(error: Exception, code: int | None = None, said: bytes | str = "") -> str:
    if code is None:
        return f"{type(error).__name__}: {error}"[:1000].replace("\x00", "")
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return f"{code} {text}"[:1000].replace("\x00", "")


def _message(notice: Notice, connection: Any) -> mail.EmailMultiAlternatives:
    message = mail.EmailMultiAlternatives(
        subject=notice.subject,
        body=notice.text,
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[notice.to_address],
        reply_to=[settings.FIRM_EMAIL],
        headers={"Message-ID": notice.message_id, "Auto-Submitted": "auto-generated"},
        connection=connection,
    )
    message.attach_alternative(notice.html, "text/html")
    # Anymail hands it back in reports. Not the row's number: after a restore another notice may get that.
    message.metadata = {"notice": notice.message_id.strip("<>")}  # type: ignore[attr-defined]
    return message


def _is_alive(connection: Any) -> bool:
    """SMTP servers hang up on idle or long sessions; a NOOP tells before a message is at stake."""
    if not isinstance(connection, EmailBackend):
        return True
    try:
        return connection.connection is not None and connection.connection.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False


def _accepted(message: Any) -> str:
    """The provider's own id of the message, where it gives one."""
    status = getattr(message, "anymail_status", None)
    return f"accepted as {status.message_id}" if status is not None and status.message_id else "accepted"
