"""One FIX session: who counts to what, what was missed, what is sent again. No sockets, no threads.

FIX 4.4, volume 2, and FIX session layer test cases: each message of a direction has the next number. One too high means
that some were missed: they are asked for, and nothing is taken out of turn. One too low that is not marked as
repeated means that one side lost count: the session ends, because to guess could lose an execution.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from margin.venues.fix import messages, wire
from margin.venues.fix.hearing import KINDS, SESSION_REJECT, Hearing
from margin.venues.fix.terms import Terms
from margin.venues.fix.wire import Fields, Message, Unreadable, stamp
from margin.venues.journal import Journal, Sent

HEARTBEAT, TEST, RESEND, RESET, LOGOUT, LOGON = "0", "1", "2", "4", "5", "A"
NEXT_IN, NEXT_OUT, RESET_ASKED, HALTED = "next_in", "next_out", "reset_asked", "halted"
NUMBER = re.compile(r"[0-9]{1,9}")
LOGON_SECONDS = 10.0
ASK_AGAIN_SECONDS = 5.0
UNSUPPORTED = "3"  # BusinessRejectReason (380): unsupported message type


class Broken(Exception):
    """The line must be cut; what is in `out` goes first. With `alarms`, a person has to clear it."""

    def __init__(self, reason: str, *, alarms: bool = False) -> None:
        super().__init__(reason)
        self.alarms = alarms


@dataclass
class Session:
    """Both directions of one session over one connection after another; the counts live in the journal."""

    venue: str
    terms: Terms
    journal: Journal
    hearing: Hearing
    now: Callable[[], datetime]
    out: list[bytes] = field(default_factory=list)  # to be written, in this order
    is_on: bool = False
    heartbeat: float = 30.0
    tests_answered: int = 0
    _leaving: bool = False
    _began: float = 0.0
    _heard: float = 0.0  # of the monotonic clock
    _spoke: float = 0.0
    _tested: float = 0.0  # when a TestRequest was sent that nothing answered yet; 0: none is open
    _asked_from: int = 0  # the number from which a resend was asked; 0: none
    _asked_until: int = 0  # what is missed lies below this number
    _asked: float = 0.0

    # --- our side -------------------------------------------------------------------------------------------

    def begin(self, *, tick: float) -> None:
        """A new connection: say who we are."""
        self.out.clear()
        self.is_on = self._leaving = False
        self._began = self._heard = self._spoke = tick
        self._tested = self._asked = 0.0
        self._asked_from = self._asked_until = 0
        self.heartbeat = float(self.terms.heartbeat_seconds)
        fields: list[tuple[int, str]] = [(98, "0"), (108, str(self.terms.heartbeat_seconds))]
        if self._begins_anew():
            self._reset_numbers()
            fields.append((141, "Y"))
        if self.terms.username:
            fields.append((553, self.terms.username))
        if self.terms.password:
            fields.append((554, self.terms.password))
        self._say(LOGON, tuple(fields), tick=tick)

    @property
    def is_halted(self) -> bool:
        """The venue lost count: nothing is tried until a person said how to go on."""
        return bool(self.journal.number(HALTED, 0))

    def say(self, kind: str, fields: Fields, *, client_order_id: str, tick: float) -> None:
        """Number and keep a message about an order; it is on disk when the journal's transaction ends."""
        at = self.now()
        body = wire.pack(fields)
        number = self._say(kind, fields, tick=tick, at=at)
        self.journal.add_sent(number, kind=kind, client_order_id=client_order_id, at=at, body=body)

    def leave(self, *, tick: float) -> None:
        if self.is_on and not self._leaving:
            self._leaving = True
            self._say(LOGOUT, (), tick=tick)

    def test(self, *, tick: float) -> None:
        self._tested = tick
        self._say(TEST, ((112, stamp(self.now())),), tick=tick)

    def pulse(self, *, tick: float) -> None:
        """Called several times a second: heartbeats, questions after silence, and the end of patience."""
        if not self.is_on:
            if tick - self._began > LOGON_SECONDS:
                raise Broken(f"{self.terms.target} did not answer the logon for {LOGON_SECONDS:.0f} s")
            return
        if tick - self._spoke >= self.heartbeat:
            self._say(HEARTBEAT, (), tick=tick)
        silent = tick - self._heard
        if silent > 2.4 * self.heartbeat:
            raise Broken(f"{self.terms.target} was silent for {silent:.0f} s")
        if silent > 1.2 * self.heartbeat and not self._tested:
            self.test(tick=tick)
        if self._asked_from and tick - self._asked > ASK_AGAIN_SECONDS:
            self._ask_for(self.journal.number(NEXT_IN, 1), tick=tick)

    def _begins_anew(self) -> bool:
        return self.terms.resets_each_logon or bool(self.journal.number(RESET_ASKED, 0))

    def _reset_numbers(self) -> None:
        with self.journal.change():
            self.journal.set_number(NEXT_IN, 1)
            self.journal.set_number(NEXT_OUT, 1)
            self.journal.forget_sent()

    def _say(self, kind: str, fields: Fields, *, tick: float, at: datetime | None = None) -> int:
        """Spend the next number, durably, before the message can leave."""
        with self.journal.change():
            number = self.journal.number(NEXT_OUT, 1)
            self.journal.set_number(NEXT_OUT, number + 1)
        self.out.append(wire.encode(kind, self._head(number, at or self.now()), fields))
        self._spoke = tick
        return number

    def _head(self, number: int, at: datetime, *, first_at: datetime | None = None) -> Fields:
        head = ((49, self.terms.sender), (56, self.terms.target), (34, str(number)), (52, stamp(at)))
        return head if first_at is None else (*head, (43, "Y"), (122, stamp(first_at)))

    # --- their side -----------------------------------------------------------------------------------------

    def receive(self, message: Message, *, tick: float) -> None:
        """Take one message: answers go to `out`, reports and the count to the journal, in one transaction."""
        self._heard, self._tested = tick, 0.0
        ending: Broken | None = None
        with self.journal.change():
            try:
                self._heed(message, tick=tick)
            except Broken as broken:  # the numbers spent on the way out stay spent
                ending = broken
        if ending is not None:
            raise ending

    def _heed(self, message: Message, *, tick: float) -> None:
        if (message.get(49), message.get(56)) != (self.terms.target, self.terms.sender):
            self._end(f"message from {message.get(49)!r} to {message.get(56)!r} is not of this session", tick=tick)
        if not NUMBER.fullmatch(message.get(34)):
            self._end("a message has no MsgSeqNum", tick=tick)
        if not self.is_on and message.kind not in (LOGON, LOGOUT):
            raise Broken(f"{self.terms.target} spoke before it answered the logon: {message.kind}")
        if message.kind == LOGON and message.get(141) == "Y" and not self._begins_anew():
            self._end("began its numbers anew unasked: reports may be missing; agree on a reset", tick=tick)
        if message.kind == RESET and message.get(123) != "Y":
            self._reset_in(message, tick=tick)
        else:
            self._in_turn(message, tick=tick)

    def _in_turn(self, message: Message, *, tick: float) -> None:
        number, expected = int(message.get(34)), self.journal.number(NEXT_IN, 1)
        if number < expected:
            if not message.is_repeated:
                if message.kind == LOGOUT:  # says why it refuses us; the text is for a person
                    self._logout(message, tick=tick)
                if message.kind == LOGON:  # tried on, its numbers would climb to ours and hide what is missing
                    self.journal.set_number(HALTED, 1)
                self._end(f"MsgSeqNum too low, expecting {expected} but received {number}", tick=tick)
            return
        if number > expected:
            self._out_of_turn(message, expected, tick=tick)
            return
        self.journal.set_number(NEXT_IN, number + 1)
        try:
            self._take(message, tick=tick)
        except Unreadable as fault:
            self._refuse(message, fault, tick=tick)
        if self._asked_from and self.journal.number(NEXT_IN, 1) > self._asked_until:
            self._asked_from = 0

    def _out_of_turn(self, message: Message, expected: int, *, tick: float) -> None:
        """Some were missed. Only what keeps the session alive is heeded now; the rest comes again in its turn."""
        if message.kind == LOGON:
            self._logon(message, tick=tick)
        elif message.kind == LOGOUT:
            self._logout(message, tick=tick)
        elif message.kind == RESEND:  # answered at once, or two sides that both missed something would wait for ever
            self._resend(message, tick=tick)
        self._asked_until = max(self._asked_until, int(message.get(34)))
        if self._asked_from != expected:
            self._ask_for(expected, tick=tick)

    def _ask_for(self, first: int, *, tick: float) -> None:
        self._asked_from, self._asked = first, tick
        self._say(RESEND, ((7, str(first)), (16, "0")), tick=tick)

    def _take(self, message: Message, *, tick: float) -> None:
        kind = message.kind
        if kind == LOGON:
            self._logon(message, tick=tick)
        elif kind == LOGOUT:
            self._logout(message, tick=tick)
        elif kind == HEARTBEAT:
            self.tests_answered += bool(message.get(112))
        elif kind == TEST:
            self._say(HEARTBEAT, ((112, message.need(112)),), tick=tick)
        elif kind == RESEND:
            self._resend(message, tick=tick)
        elif kind == RESET:
            self._fill_gap(message)
        elif kind in KINDS:
            self.hearing.hear(message)
        else:
            fields = ((45, message.get(34)), (372, kind), (380, UNSUPPORTED), (58, "not used in this session"))
            self._say(messages.BUSINESS_REJECT, fields, tick=tick)

    def _logon(self, message: Message, *, tick: float) -> None:
        if self.is_on:
            return
        if message.get(108) and message.whole(108):  # 0: they do not beat, but our tests are answered
            self.heartbeat = float(message.whole(108))
        self.journal.set_number(RESET_ASKED, 0)
        self.is_on = True

    def _logout(self, message: Message, *, tick: float) -> None:
        if not self._leaving and self.is_on:
            self._say(LOGOUT, (), tick=tick)
        was_on, self.is_on = self.is_on, False
        said = messages.words(message)
        needs_person = not self._leaving and (bool(said) or not was_on)
        raise Closed(f"{self.terms.target} logged out: {said or 'no reason'}", alarms=needs_person)

    def _fill_gap(self, message: Message) -> None:
        following = message.whole(36)
        if following <= int(message.get(34)):
            raise Unreadable(36, "does not lead forward", code=5)
        self.journal.set_number(NEXT_IN, following)

    def _reset_in(self, message: Message, *, tick: float) -> None:
        """SequenceReset without GapFill: what lies between is lost for good, so a person must compare."""
        expected, following = self.journal.number(NEXT_IN, 1), message.whole(36)
        if following < expected:
            self._refuse(message, Unreadable(36, "does not lead forward", code=5), tick=tick)
            return
        self.journal.set_number(NEXT_IN, following)
        if following > expected:
            self.hearing.alarm(
                f"{self.venue}: reset",
                f"Venue {self.venue} skipped its messages {expected} to {following - 1}: reports may be missing. Ask"
                " about every order that works, and compare with the venue's statement.",
            )

    def _refuse(self, message: Message, fault: Unreadable, *, tick: float) -> None:
        """Reject (3): the message was whole but cannot be read. Its number is spent, so a person must know."""
        if message.kind == SESSION_REJECT:  # a Reject is never rejected: two sides would go on for ever
            self._alarm_unread(message, fault)
            return
        fields = ((45, message.get(34)), (371, str(fault.tag)), (372, message.kind), (373, str(fault.code)))
        self._say(SESSION_REJECT, (*fields, (58, str(fault))), tick=tick)
        self._alarm_unread(message, fault)

    def _alarm_unread(self, message: Message, fault: Unreadable) -> None:
        self.hearing.alarm(
            f"{self.venue}: unreadable",
            f"Venue {self.venue} sent what cannot be read: {fault}. It is not told as a report; clear it with the venue"
            f" and book it by hand. It said: {message}",
        )

    def _end(self, reason: str, *, tick: float) -> None:
        self._say(LOGOUT, ((58, reason),), tick=tick)
        self.is_on = False
        raise Broken(f"venue {self.venue}: {reason}", alarms=True)

    # --- sending again --------------------------------------------------------------------------------------

    def _resend(self, message: Message, *, tick: float) -> None:
        """What they missed, under the old numbers. Orders too old are skipped and asked about instead."""
        first, last = message.whole(7), message.whole(16)
        following = self.journal.number(NEXT_OUT, 1)
        last = following - 1 if last == 0 else min(last, following - 1)
        if first < 1:
            raise Unreadable(7, "is no number of a message", code=5)
        skipped_from, stale = first, []
        for sent in self.journal.sent_between(first, last):
            if not self._may_go_again(sent):
                stale += [sent] if sent.kind == messages.NEW_ORDER and not sent.is_withdrawn else []
                continue
            self._skip(skipped_from, sent.number, tick=tick)
            head = self._head(sent.number, self.now(), first_at=sent.at)
            self.out.append(wire.encode(sent.kind, head, wire.unpack(sent.body)))
            skipped_from = sent.number + 1
        self._skip(skipped_from, last + 1, tick=tick)
        for sent in stale:
            question = self.journal.question(sent.client_order_id)
            fields = messages.status_of(wire.unpack(sent.body), question)
            self.say(messages.STATUS, fields, client_order_id=sent.client_order_id, tick=tick)

    def _may_go_again(self, sent: Sent) -> bool:
        """A price moves on: an order late by more than the agreed seconds is a new decision, not a repetition."""
        is_fresh = self.now() - sent.at <= timedelta(seconds=self.terms.resend_seconds)
        return not sent.is_withdrawn and (is_fresh or sent.kind != messages.NEW_ORDER)

    def _skip(self, first: int, following: int, *, tick: float) -> None:
        """SequenceReset-GapFill over our numbers from `first` up to, not with, `following`."""
        if first < following:
            at = self.now()
            fields = ((123, "Y"), (36, str(following)))
            self.out.append(wire.encode(RESET, self._head(first, at, first_at=at), fields))
            self._spoke = tick


class Closed(Broken):
    """They said goodbye, and so did we."""


# --- what a person decides ----------------------------------------------------------------------------------


def go_on(journal: Journal) -> None:
    """The venue has repaired its numbers: try again after a halt."""
    journal.set_number(HALTED, 0)


def begin_anew(journal: Journal) -> None:
    """At the next logon both sides count from 1. What the venue said and we did not hear is then lost to us."""
    with journal.change():
        journal.set_number(RESET_ASKED, 1)
        journal.set_number(HALTED, 0)
