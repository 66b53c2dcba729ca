"""A real SMTP server on loopback whose answers a test writes beforehand."""

import asyncio
import email
import email.policy
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP


@dataclass
class Received:
    sender: str
    recipients: list[str]
    message: EmailMessage

    @property
    def message_id(self) -> str:
        return str(self.message["Message-ID"])


@dataclass
class MailServer:
    """Answers in order, then `250`. An answer is a text, or one of the words `late` and `drop` after DATA."""

    at_recipient: deque[str] = field(default_factory=deque)
    after_data: deque[str] = field(default_factory=deque)
    received: list[Received] = field(default_factory=list)
    on_message: Callable[[Received], None] | None = None
    lateness: float = 1.0
    port: int = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        answer = self.at_recipient.popleft() if self.at_recipient else "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        answer = self.after_data.popleft() if self.after_data else "250 taken"
        if answer[0] in "2ld":
            message = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
            self.received.append(Received(envelope.mail_from, list(envelope.rcpt_tos), message))
            if self.on_message:
                self.on_message(self.received[-1])
        if answer == "late":
            await asyncio.sleep(self.lateness)
            return "250 taken late"
        if answer == "drop":
            server.transport.abort()
            return "250 nobody hears this"
        return answer


class Loopback(Controller):
    def factory(self) -> SMTP:
        return SMTP(self.handler, enable_SMTPUTF8=True, hostname="mail.example")

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # 0 asked for a free one
        super()._trigger_server()


@pytest.fixture
def mail_server(settings: Any) -> Iterator[MailServer]:
    """Django's mail goes to this server."""
    handler = MailServer()
    controller = Loopback(handler, hostname="127.0.0.1", port=0)
    controller.start()
    handler.port = controller.port
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", handler.port, 0.5
    yield handler
    controller.stop(no_assert=True)
