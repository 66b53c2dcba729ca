"""The connection under a FIX session: one thread that connects, listens, beats and connects again."""

import logging
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from margin.venues.fix.session import Broken, Session
from margin.venues.fix.terms import Terms
from margin.venues.fix.wire import Frames
from margin.venues.interface import NotSent, Unknown

log = logging.getLogger(__name__)
CONNECT_SECONDS = 10.0
WRITE_SECONDS = 5.0
GOODBYE_SECONDS = 2.0
PULSE_SECONDS = 0.2
ALARM_AFTER_FAILURES = 3
CHUNK = 64 * 1024


class Line:
    """Keeps a session connected until it is closed. One lock guards session and socket; threads may share a line."""

    def __init__(self, session: Session, terms: Terms, *, alarm: Callable[[str, str], None]) -> None:
        self.session = session
        self.terms = terms
        self.alarm = alarm
        self.last_fault = "no attempt yet"
        self._guard = threading.Condition(threading.RLock())
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None
        self._stood_since = 0.0  # since when the present connection stands; 0: it never did
        self._goodbye_until = 0.0
        self._thread = threading.Thread(target=self._run, name=f"fix-{session.venue}", daemon=True)
        self._thread.start()

    @contextmanager
    def speaking(self) -> Iterator[Session]:
        """The session, logged on and ours alone; what was said leaves with the block.

        Raises NotSent if no session stands within `wait_seconds`, Unknown if the bytes may not all have left.
        """
        with self._guard:
            if not self._guard.wait_for(lambda: self.session.is_on, timeout=self.terms.wait_seconds):
                raise NotSent(f"venue {self.session.venue} is not logged on: {self.last_fault}")
            said_before = len(self.session.out)
            try:
                yield self.session
            except BaseException:
                del self.session.out[said_before:]  # its numbers were rolled back with the journal's transaction
                raise
            try:
                self._flush()
            except OSError as error:
                self._hang_up()
                raise Unknown(f"venue {self.session.venue}: the line broke while we spoke: {error}") from error

    def close(self) -> None:
        """Say goodbye, wait a little for the answer, hang up. Does nothing the second time."""
        with self._guard:
            if self.session.is_on and not self._stopping.is_set():
                self.session.leave(tick=time.monotonic())
                with suppress(OSError):
                    self._flush()
                self._goodbye_until = time.monotonic() + GOODBYE_SECONDS
            self._stopping.set()
        self._thread.join(timeout=CONNECT_SECONDS)

    # --- the thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause, failures = self.terms.first_pause_seconds, 0
        while not self._stopping.is_set():
            self._stood_since = 0.0
            if self.session.is_halted:
                self._stopping.wait(self.terms.first_pause_seconds)
                continue
            try:
                self._talk()
            except (OSError, Broken) as fault:
                failures = 0 if self._lasted() else failures + 1
                self._note(fault, alarms=getattr(fault, "alarms", False) or failures == ALARM_AFTER_FAILURES)
            except Exception as fault:
                # Whatever it was, its transaction was rolled back: the venue is asked for the message again.
                log.exception("venue %s: a message could not be taken", self.session.venue)
                self._note(fault, alarms=False)
            if self._lasted():
                pause = self.terms.first_pause_seconds
            with self._guard:
                self._cut()
            self._stopping.wait(pause)
            pause = min(pause * 2, self.terms.longest_pause_seconds)

    def _talk(self) -> None:
        """One connection, from the logon to its end; ends by OSError or Broken, or silently when we are closing."""
        frames = Frames()
        connected = _connect(self.terms)
        with self._guard:
            self._socket = connected
            self.session.begin(tick=time.monotonic())
            self._flush()
        while not self._stopping.is_set() or (self.session.is_on and time.monotonic() < self._goodbye_until):
            if not (isinstance(connected, ssl.SSLSocket) and connected.pending()):
                select.select([connected], [], [], PULSE_SECONDS)
            with self._guard:
                try:
                    self._listen(connected, frames)
                    self.session.pulse(tick=time.monotonic())
                except Broken:
                    with suppress(OSError):
                        self._flush()
                    raise
                self._flush()

    def _listen(self, connected: socket.socket, frames: Frames) -> None:
        for message in frames.feed(_receive(connected)):
            self.session.receive(message, tick=time.monotonic())
            if self.session.is_on:
                self._stood_since = self._stood_since or time.monotonic()
                self._guard.notify_all()

    def _lasted(self) -> bool:
        """A line that breaks again and again soon after the logon has not recovered: pauses grow and a person hears."""
        return bool(self._stood_since) and time.monotonic() - self._stood_since > self.terms.longest_pause_seconds

    def _flush(self) -> None:
        if self._socket is None:
            raise ConnectionAbortedError("no line")
        self._socket.settimeout(WRITE_SECONDS)
        while self.session.out:
            self._socket.sendall(self.session.out[0])
            self.session.out.pop(0)

    def _hang_up(self) -> None:
        """The line is broken for the one who spoke; the thread that listens finds out and cuts it."""
        self.session.is_on = False
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _cut(self) -> None:
        self.session.is_on = False
        self.session.out.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._guard.notify_all()

    def _note(self, fault: Exception, *, alarms: bool) -> None:
        self.last_fault = str(fault) or type(fault).__name__
        log.warning("venue %s: %s", self.session.venue, self.last_fault)
        if alarms:
            text = (
                f"Venue {self.session.venue}: {self.last_fault}. No order leaves until the session stands again; it is"
                " tried on. If the numbers differ, agree with the venue before you reset them."
            )
            try:
                self.alarm(f"{self.session.venue}: session", text)
            except Exception:
                log.exception("venue %s: nobody could be alarmed: %s", self.session.venue, text)


def _connect(terms: Terms) -> socket.socket:
    plain = socket.create_connection((terms.host, terms.port), timeout=CONNECT_SECONDS)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not terms.tls:
        return plain
    context = ssl.create_default_context(cafile=terms.ca_file or None)
    if terms.certificate_file:
        context.load_cert_chain(terms.certificate_file)
    try:
        return context.wrap_socket(plain, server_hostname=terms.server_name or terms.host)
    except BaseException:
        plain.close()
        raise


def _receive(connected: socket.socket) -> bytes:
    """What has arrived, possibly nothing; ConnectionResetError when they hung up."""
    connected.settimeout(0)
    try:
        received = connected.recv(CHUNK)
    except (BlockingIOError, ssl.SSLWantReadError):
        return b""
    if not received:
        raise ConnectionResetError("they hung up")
    return received
