"""A FIX 4.4 venue on loopback that behaves as badly as it is told to, and counts what it was asked to do.

Written against the specification with simplefix alone, so that a mistake of ours is not made on both sides. It does
not recognise a client order id that it has seen: every NewOrderSingle that comes in its turn is one more order.
"""

import socket
import ssl
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from simplefix import FixMessage, FixParser

Fields = list[tuple[int, str]]
US, THEM = "VENUE", "MARGIN"


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%d-%H:%M:%S.%f")[:-3]


@dataclass
class Said:
    """One message of the venue's: its number is spent whether or not its bytes ever left."""

    number: int
    kind: str
    fields: Fields
    at: str = field(default_factory=stamp)

    def bytes(self, *, repeated: bool = False) -> bytes:
        head = [(49, US), (56, THEM), (34, str(self.number)), (52, stamp())]
        if repeated:
            head += [(43, "Y"), (122, self.at)]
        return encode(self.kind, [*head, *self.fields])


def encode(kind: str, fields: Fields) -> bytes:
    message = FixMessage()
    message.append_pair(8, "FIX.4.4")
    message.append_pair(35, kind)
    for tag, value in fields:
        message.append_pair(tag, value)
    return bytes(message.encode())


@dataclass
class Taken:
    """An order as the venue sees it."""

    quantity: Decimal
    executed: Decimal = Decimal(0)
    standing: str = "0"


@dataclass
class Acceptor:
    """`faults` says what happens to each NewOrderSingle in turn, `fills` how the order is answered.

    Faults: lose (cut before it is read), cut_after (taken, the answer is lost with the line), drip (bytes one by one),
    join (all in one write), twice (each report again under a new number), same_twice (again under the same), swap,
    withhold (a number is spent and its bytes never sent), garble, none.
    """

    faults: list[str] = field(default_factory=list)
    fills: list[str] = field(default_factory=list)
    echoes: bool = True  # OrdStatusReqID (790) in answers
    answers_logon: bool = True
    answers_tests: bool = True
    heartbeat: int = 30
    tls: ssl.SSLContext | None = None
    orders: Counter[str] = field(default_factory=Counter)
    questions: Counter[str] = field(default_factory=Counter)
    taken: dict[str, Taken] = field(default_factory=dict)
    told: dict[str, set[str]] = field(default_factory=dict)  # ExecIDs per order
    seen: list[FixMessage] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    next_in: int = 1
    asked_from: int = 0
    logons: int = 0
    executions: int = 0

    def __enter__(self) -> "Acceptor":
        self.guard = threading.RLock()
        self.line: socket.socket | None = None
        self.stopping = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stopping = True
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()
        self.thread.join(5)

    # --- lines ----------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self.stopping:
            try:
                line, _ = self.listener.accept()
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.tls:
                    line = self.tls.wrap_socket(line, server_side=True)
                self.line = line
                self._listen(line)
            except OSError:
                pass
            finally:
                self.cut()

    def _listen(self, line: socket.socket) -> None:
        parser = FixParser()
        self.is_on = False
        while received := line.recv(65536):
            parser.append_buffer(received)
            while (message := parser.get_message()) is not None:
                with self.guard:
                    self._take(message)

    def cut(self) -> None:
        line, self.line = self.line, None
        if line is not None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def write(self, data: bytes) -> None:
        if self.line is not None:
            self.line.sendall(data)

    # --- session --------------------------------------------------------------------------------------------

    def number(self, kind: str, fields: Fields) -> Said:
        said = Said(len(self.said) + 1, kind, fields)
        self.said.append(said)
        return said

    def say(self, kind: str, fields: Fields) -> Said:
        with self.guard:
            said = self.number(kind, fields)
            self.write(said.bytes())
            return said

    def _take(self, message: FixMessage) -> None:
        self.seen.append(message)
        kind, number = text(message, 35), int(text(message, 34))
        if kind == "A" and text(message, 141) == "Y":
            self.next_in, self.said = 1, []
        if not self.is_on and kind != "A":
            raise ConnectionAbortedError("no logon")
        if number < self.next_in:
            if text(message, 43) != "Y":
                self.say("5", [(58, f"MsgSeqNum too low, expecting {self.next_in} but received {number}")])
                raise ConnectionAbortedError("too low")
            return
        if kind == "D" and number == self.next_in and self._fault() == "lose":
            self.faults.pop(0)
            raise ConnectionAbortedError("lost before it was read")
        if kind == "A":
            self._logon(message)
        if kind == "2" and number >= self.next_in:
            self._resend(int(text(message, 7)), int(text(message, 16)))
        if number > self.next_in:
            if self.asked_from != self.next_in:  # it asks once, as a venue may
                self.asked_from = self.next_in
                self.say("2", [(7, str(self.next_in)), (16, "0")])
            return
        self.next_in = number + 1
        if kind == "4":
            self.next_in = int(text(message, 36))
        elif kind == "5":
            self.say("5", [])
            raise ConnectionAbortedError("logged out")
        elif kind == "1" and self.answers_tests:
            self.say("0", [(112, text(message, 112))])
        elif kind in "DFH":
            {"D": self._order, "F": self._cancel, "H": self._question}[kind](message)

    def _logon(self, message: FixMessage) -> None:
        if not self.answers_logon:
            return
        self.logons += 1
        self.asked_from = 0
        self.is_on = True
        reset = [(141, "Y")] if text(message, 141) == "Y" else []
        self.say("A", [(98, "0"), (108, str(self.heartbeat)), *reset])

    def _resend(self, first: int, last: int) -> None:
        last = last or len(self.said)
        for said in self.said[first - 1 : last]:
            if said.kind in "8 9 j B":
                self.write(said.bytes(repeated=True))
            else:
                self.write(Said(said.number, "4", [(123, "Y"), (36, str(said.number + 1))]).bytes(repeated=True))

    # --- orders ---------------------------------------------------------------------------------------------

    def _fault(self) -> str:
        return self.faults[0] if self.faults else "none"

    def _order(self, message: FixMessage) -> None:
        own = text(message, 11)
        self.orders[own] += 1
        self.taken[own] = Taken(Decimal(text(message, 38)))
        fault = self.faults.pop(0) if self.faults else "none"
        said = [
            self.number("8", fields) for fields in self._answers(own, self.fills.pop(0) if self.fills else "accept")
        ]
        if fault == "cut_after":
            raise ConnectionAbortedError("taken, and not said so")
        self._transmit(said, fault)

    def _transmit(self, said: list[Said], fault: str) -> None:
        if fault == "swap":
            said = said[::-1]
        if fault == "withhold":
            said = said[1:] or []
        if fault == "twice":
            again = [self.number("8", [*each.fields, (97, "Y")]) for each in said]
            said = [*said, *again]
        if fault == "same_twice":
            said = [*said, *said]
        data = [each.bytes() for each in said]
        if fault == "garble":
            data[0] = data[0].replace(b"\x0137=", b"\x0137=?", 1)
        if fault == "drip":
            for each in data:
                for place in range(len(each)):
                    self.write(each[place : place + 1])
        elif fault == "join":
            self.write(b"".join(data))
        else:
            for each in data:
                self.write(each)

    def _answers(self, own: str, how: str) -> list[Fields]:
        """accept · fill · parts · reject · bust (fill in two, one busted) · correct (fill, then another price)."""
        taken = self.taken[own]
        half = taken.quantity / 2
        if how == "reject":
            taken.standing = "8"
            return [self._execution(own, "8", (58, "no such instrument"))]
        found = [self._execution(own, "0")]
        if how == "fill":
            found.append(self._fill(own, taken.quantity, "24.50"))
        if how in ("parts", "bust"):
            found += [self._fill(own, half, "24.55"), self._fill(own, taken.quantity - half, "24.50")]
        if how == "bust":
            first = dict(found[1])[17]
            taken.executed -= half
            taken.standing = "1"
            found.append(self._execution(own, "H", (19, first), (32, f"{half:f}"), (31, "24.55")))
        if how == "correct":
            found.append(self._fill(own, taken.quantity, "24.50"))
            found.append(
                self._execution(own, "G", (19, dict(found[1])[17]), (32, f"{taken.quantity:f}"), (31, "24.45"))
            )
        return found

    def _fill(self, own: str, quantity: Decimal, price: str) -> Fields:
        taken = self.taken[own]
        taken.executed += quantity
        taken.standing = "2" if taken.executed >= taken.quantity else "1"
        return self._execution(own, "F", (32, f"{quantity:f}"), (31, price), (12, "0.25"), (13, "3"))

    def _execution(self, own: str, kind: str, *more: tuple[int, str]) -> Fields:
        self.executions += 1
        taken, name = self.taken[own], f"E{self.executions}"
        self.told.setdefault(own, set()).add(name)
        fixed = [(37, f"V-{own}"), (11, own), (17, name), (150, kind), (39, taken.standing), (55, "ACME"), (54, "2")]
        left = taken.quantity - taken.executed
        return [*fixed, (151, f"{left:f}"), (14, f"{taken.executed:f}"), (6, "24.5"), (60, stamp()), *more]

    def execute(self, own: str, *, quantity: int, price: str = "24.50") -> None:
        """A later execution, out of the blue."""
        with self.guard:
            self.say("8", self._fill(own, Decimal(quantity), price))

    def _cancel(self, message: FixMessage) -> None:
        own, cancel_id = text(message, 41), text(message, 11)
        taken = self.taken.get(own)
        if taken is None or taken.standing in "248":
            self.say(
                "9", [(37, "NONE"), (11, cancel_id), (41, own), (39, "8"), (434, "1"), (102, "0"), (58, "too late")]
            )
            return
        taken.standing = "4"
        answer = [pair for pair in self._execution(own, "4") if pair[0] != 11]
        self.say("8", [*answer, (11, cancel_id), (41, own)])

    def _question(self, message: FixMessage) -> None:
        own = text(message, 11)
        self.questions[own] += 1
        echo = [(790, text(message, 790))] if self.echoes else []
        taken = self.taken.get(own)
        if taken is None:
            fixed = [(37, "NONE"), (11, own), (17, "0"), (150, "I"), (39, "8"), (103, "5"), (55, "ACME"), (54, "2")]
            self.say("8", [*fixed, (151, "0"), (14, "0"), (6, "0"), (60, stamp()), *echo])
            return
        fixed = [(37, f"V-{own}"), (11, own), (17, "0"), (150, "I"), (39, taken.standing), (55, "ACME"), (54, "2")]
        self.say("8", [*fixed, (151, "0"), (14, f"{taken.executed:f}"), (6, "24.5"), (60, stamp()), *echo])


def text(message: FixMessage, tag: int) -> str:
    value = message.get(tag)
    return "" if value is None else value.decode()
