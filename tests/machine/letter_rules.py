"""Rules of letters: prepared, sent over a bad line, reported on twice, late and in any order."""

import json
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import rule

from margin.models import Event
from margin.workflow import Verb
from notifications import deliveries, notices, writers
from notifications.models import Notice
from tests.machine import world
from tests.machine.core import PICK
from tests.machine.world import EDGE
from tests.machine.world_rules import World


class Letters(World):
    """What clients are told, and what the provider says became of it."""

    @rule()
    def prepare(self) -> None:
        notices.prepare(at=self.now)
        self.every_event_is_told()

    @rule(answers=st.lists(st.sampled_from(["250", "250", "452", "550", "drop"]), max_size=4), down=st.booleans())
    def send(self, answers: list[str], down: bool) -> None:
        EDGE.answers.extend(answers)
        EDGE.is_down = down and len(answers) == 4
        notices.send(at=self.now)
        EDGE.answers.clear()
        EDGE.is_down = False
        self.every_mail_is_in_order()

    @rule(statements=st.integers(1, 40))
    def die_while_sending(self, statements: int) -> None:
        before = len(EDGE.taken)
        with world.killed_after(statements):
            notices.prepare(at=self.now)
            notices.send(at=self.now)
        EDGE.doubtful.update(mail.message_id for mail in EDGE.taken[before:])

    @rule(pick=PICK, state=st.sampled_from(["queued", "delivered", "opened", "bounced", "deferred", "what"]),
          copies=st.integers(1, 3), known=st.integers(0, 9))  # fmt: skip
    def report(self, pick: int, state: str, copies: int, known: int) -> None:
        """The provider reports: twice, late, in any order, about messages we do not know."""
        sent = list(Notice.objects.exclude(sent_at=None).order_by("-pk")[:12])
        if not sent:
            return
        notice = sent[pick % len(sent)]
        message_id = notice.message_id if known else "<somebody@else.example>"
        report = deliveries.Report(
            provider="mailer", state=state, raw={"n": self.numbers}, event_id=self.reference("report"),
            message_id=message_id, recipient=notice.to_address, at=self.now,
        )  # fmt: skip
        for _ in range(copies):
            deliveries.record(report, at=self.now)

    def every_event_is_told(self) -> None:
        """I14: after a run of the preparer each event that asks for a letter has one.

        Not a warning of a rung whose deeper one is told at the same instant, nor a call that is provisional.
        """
        untold = (
            Event.objects.filter(kind__in=writers.KINDS, notices=None)
            .exclude(kind__in=(Verb.CHANGE, Verb.MOVE_CURE, Verb.CHECK))  # told only in part
            .values_list("pk", "kind", "body")
        )
        told = [(pk, kind, json.loads(body)) for pk, kind, body in untold]
        never = [
            (pk, kind)
            for pk, kind, body in told
            if not body.get("details", {}).get("is_quiet") and not body.get("row", {}).get("is_provisional")
        ]
        assert not never, f"never told: {never}"

    def every_mail_is_in_order(self) -> None:
        """I16, I17: each notice under one Message-ID, sent once unless its answer was lost, to its own recipient."""
        count: dict[str, int] = {}
        for mail in EDGE.taken:
            count[mail.message_id] = count.get(mail.message_id, 0) + 1
        known = {
            message_id: (address, code, state)
            for message_id, address, code, state in Notice.objects.filter(message_id__in=list(count)).values_list(
                "message_id", "to_address", "event__account__code", "state"
            )
        }
        for mail in EDGE.taken:
            address, code, _ = known[mail.message_id]
            assert mail.to == address
            assert code in mail.text
            assert count[mail.message_id] == 1 or mail.message_id in EDGE.doubtful, f"{mail.message_id} went twice"
        lost = Notice.objects.filter(state="sent", sent_at__gte=self.house.opened).exclude(message_id__in=list(count))
        assert not lost.filter(prepared_at__gte=self.house.opened + timedelta(seconds=1)).exists()
