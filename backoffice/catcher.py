"""A local SMTP server that keeps every mail as a file and sends none: `python -m backoffice.catcher FD FOLDER`.

FD is a listening socket inherited from the supervisor, so the port is known, and stays open, before this process runs.
Each mail becomes `<UTC time>-<random>.eml`: the message byte for byte below two headers with the envelope.
"""

import asyncio
import os
import secrets
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LARGEST_MAIL = 25 * 1024 * 1024  # bytes


class Folder:
    """Where mails land. A mail is there whole or not at all: it is written aside and renamed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        recipients = ", ".join(envelope.rcpt_tos)
        head = f"X-Envelope-From: {envelope.mail_from}\r\nX-Envelope-To: {recipients}\r\n"
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(3)}"
        unfinished = self.path / f".{name}"
        with unfinished.open("wb") as file:
            file.write(head.encode("utf-8", "replace") + envelope.original_content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self.path / f"{name}.eml")
        return "250 kept"


async def listen(listening: socket.socket, folder: Path) -> None:
    from aiosmtpd.smtp import SMTP

    def conversation() -> SMTP:
        return SMTP(Folder(folder), data_size_limit=LARGEST_MAIL, enable_SMTPUTF8=True, hostname="localhost")

    server = await asyncio.get_running_loop().create_server(conversation, sock=listening)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    descriptor, place = sys.argv[1:]
    asyncio.run(listen(socket.socket(fileno=int(descriptor)), Path(place)))
