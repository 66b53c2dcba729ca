"""Bytes to messages and back. Whatever arrives cut, joined or damaged, only whole and honest messages come out.

FIX 4.4, volume 1: a message whose BeginString, BodyLength or CheckSum is wrong is garbled and is ignored; the gap it
leaves in the numbers brings it back.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from simplefix import FixMessage, FixParser
from simplefix.errors import ParsingError

VERSION = "FIX.4.4"
START = f"8={VERSION}\x019=".encode()
TRAILER = re.compile(rb"10=([0-9]{3})\x01")
MAX_BODY = 64 * 1024
INSTANT = re.compile(r"[0-9]{8}-[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?")
Fields = tuple[tuple[int, str], ...]


class Unreadable(ValueError):
    """A whole message holds a field that is missing or wrong: `tag`, with the reason and FIX's number for it."""

    def __init__(self, tag: int, reason: str, *, code: int) -> None:
        super().__init__(f"tag {tag} {reason}")
        self.tag = tag
        self.code = code  # SessionRejectReason (373): 1 required tag missing, 5 value incorrect, 6 format incorrect


@dataclass(frozen=True)
class Message:
    """One message as received: its fields in order, values as text."""

    fields: Fields

    def get(self, tag: int, default: str = "") -> str:
        return next((value for name, value in self.fields if name == tag), default)

    def every(self, tag: int) -> list[str]:
        return [value for name, value in self.fields if name == tag]

    @property
    def kind(self) -> str:
        return self.get(35)

    @property
    def is_repeated(self) -> bool:
        """PossDupFlag: sent before under the same number."""
        return self.get(43) == "Y"

    def need(self, tag: int) -> str:
        value = self.get(tag)
        if not value:
            raise Unreadable(tag, "is missing", code=1)
        return value

    def whole(self, tag: int) -> int:
        text = self.need(tag)
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise Unreadable(tag, f"is no whole number: {text[:20]!r}", code=6)
        return int(text)

    def amount(self, tag: int) -> Decimal:
        text = self.need(tag)
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise Unreadable(tag, f"is no number: {text[:20]!r}", code=6) from None
        if not re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{0,18})?", text):
            raise Unreadable(tag, f"is no plain number: {text[:20]!r}", code=6)
        return value

    def instant(self, tag: int) -> datetime:
        """A UTCTimestamp; aware, in UTC."""
        text = self.need(tag)
        if not INSTANT.fullmatch(text):
            raise Unreadable(tag, f"is no UTC instant: {text[:30]!r}", code=6)
        whole, _, part = text.partition(".")
        try:
            at = datetime.strptime(whole, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
        except ValueError:
            raise Unreadable(tag, f"does not exist: {text[:30]!r}", code=5) from None
        return at.replace(microsecond=int(part[:6].ljust(6, "0")) if part else 0)

    def __str__(self) -> str:
        return "|".join(f"{tag}={value}" for tag, value in self.fields)


@dataclass
class Frames:
    """Gathers received bytes until messages are whole; counts what was garbled."""

    garbled: int = 0
    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, received: bytes) -> list[Message]:
        self._rest += received
        found = []
        while (frame := self._next()) is not None:
            try:
                found.append(decode(frame))
            except ValueError:
                self.garbled += 1
        return found

    def _next(self) -> bytes | None:
        """The next frame whose length and checksum hold; None until more bytes come."""
        while self._find_start():
            end = self._rest.find(b"\x01", len(START))
            length = bytes(self._rest[len(START) : end if end >= 0 else None])
            if len(length) > 5 or (end >= 0 and not (length.isdigit() and int(length) <= MAX_BODY)):
                self._skip()
                continue
            whole = end + 1 + int(length) + 7 if end >= 0 else 0
            if end < 0 or len(self._rest) < whole:
                if self._rest.find(START, 1) < 0:
                    return None
                self._skip()  # the next message has begun: the length of this one is wrong
                continue
            frame = bytes(self._rest[:whole])
            trailer = TRAILER.fullmatch(frame[-7:])
            if trailer and frame[-8:-7] == b"\x01" and sum(frame[:-7]) % 256 == int(trailer[1]):
                del self._rest[:whole]
                return frame
            self._skip()
        return None

    def _find_start(self) -> bool:
        """Drop what comes before the next start; what may be the beginning of one stays."""
        start = self._rest.find(START)
        if start < 0:
            keep = max((n for n in range(1, len(START)) if self._rest.endswith(START[:n])), default=0)
            del self._rest[: len(self._rest) - keep]
            return False
        del self._rest[:start]
        return True

    def _skip(self) -> None:
        """This start leads nowhere; a later one may."""
        self.garbled += 1
        del self._rest[:1]


def decode(frame: bytes) -> Message:
    """One whole frame; ValueError if it is no FIX message."""
    parser = FixParser()
    try:
        parser.append_buffer(frame)
        message = parser.get_message()
    except ParsingError as error:
        raise ValueError(f"no FIX message: {error}") from None
    if message is None or len(message.pairs) < 4 or parser.get_buffer():
        raise ValueError("no FIX message")
    found = Message(tuple((int(tag), value.decode("utf-8", "replace")) for tag, value in message.pairs))
    if [tag for tag, _ in found.fields[:3]] != [8, 9, 35]:
        raise ValueError("BeginString, BodyLength and MsgType do not come first")
    return found


def encode(kind: str, head: Iterable[tuple[int, str]], fields: Iterable[tuple[int, str]]) -> bytes:
    """The bytes of one message, with its length and checksum."""
    message = FixMessage()
    message.append_pair(8, VERSION)
    message.append_pair(35, kind)
    for tag, value in (*head, *fields):
        message.append_pair(tag, value)
    return bytes(message.encode())


def stamp(at: datetime) -> str:
    """A UTCTimestamp with milliseconds."""
    return at.astimezone(UTC).strftime("%Y%m%d-%H:%M:%S.%f")[:-3]


def pack(fields: Fields) -> bytes:
    """A message's own fields as they are kept for a resend."""
    return "\x01".join(f"{tag}={value}" for tag, value in fields).encode()


def unpack(body: bytes) -> Fields:
    pairs = (part.partition("=") for part in body.decode().split("\x01"))
    return tuple((int(tag), value) for tag, _, value in pairs)
