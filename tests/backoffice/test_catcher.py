"""The local SMTP catcher: a real server on a real port, mails as whole files."""

import email
import email.policy
import smtplib
import socket
import sys
import time
from email.message import EmailMessage
from pathlib import Path

import pytest

from backoffice import children

ROOT = Path(__file__).parents[2]


@pytest.fixture
def catcher(tmp_path):
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(16)
    (tmp_path / "mail").mkdir()

    def begin():
        command = (sys.executable, "-m", "backoffice.catcher", str(listening.fileno()), str(tmp_path / "mail"))
        return children.spawn(command, log=tmp_path / "log", directory=ROOT, sockets=(listening.fileno(),))

    process = begin()
    yield listening.getsockname()[1], tmp_path / "mail", lambda: (process.kill(), process.wait(), begin())
    listening.close()
    for child in [process]:
        children.stop(child)


def notice(subject: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "margin@desk.example", "client@home.example"
    message["Message-ID"] = "<one-and-only@desk.example>"
    message.set_content("Dear client,\n\n.a line that begins with a dot\nЗдравствуйте, 株式会社\n")
    return message


def send(port: int, message: EmailMessage) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as server:
        server.send_message(message)


def test_a_mail_is_kept_whole_with_its_envelope(catcher):
    port, folder, _ = catcher
    message = notice("Margin call MC-1001")
    send(port, message)
    (file,) = folder.glob("*.eml")
    kept = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert kept["Message-ID"] == "<one-and-only@desk.example>"
    assert kept["X-Envelope-To"] == "client@home.example"
    assert kept.get_content().replace("\r\n", "\n") == message.get_content()


def test_the_port_outlives_a_catcher_that_is_killed(catcher):
    port, folder, kill_and_begin_again = catcher
    send(port, notice("before"))
    _, _, process = kill_and_begin_again()
    try:
        send(port, notice("after"))
        deadline = time.monotonic() + 10
        while len(list(folder.glob("*.eml"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(list(folder.glob("*.eml"))) == 2
    finally:
        children.stop(process)
