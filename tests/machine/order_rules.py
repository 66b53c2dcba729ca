"""Rules of what lets orders leave: approvals that something comes before, releases, the kill switch; and of seals."""

from collections.abc import Callable
from datetime import timedelta

from django.db import connection
from django.db.models import Sum
from hypothesis import strategies as st
from hypothesis.stateful import rule

from margin import approvals, control_switches, liquidation, seals
from margin.actors import Actor
from margin.calls import CallError, Refused
from margin.models import Event, KillSwitch, MarginCall, Order, Plan, Release, Seal
from margin.order_models import OVER
from margin.workflow import Verb
from tests.machine.core import PICK, Broken
from tests.machine.ending_rules import Endings
from tests.machine.people_rules import WHY, reasons
from tests.workflow import table

UNSEALED = """
SELECT e.id FROM margin_event e
WHERE NOT EXISTS (SELECT FROM margin_seal s WHERE margin_ids(s.events) @> e.id) ORDER BY e.id
"""
PULLERS = ("Operations", "Supervisor", "Risk", "Compliance")
DECIDERS = ("Supervisor", "Risk")


def another_commits() -> None:
    """Seals look up to what was committed last; a schedule never commits, so another transaction has to."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()")
    finally:
        other.close()


class Orders(Endings):
    """What people do about plans that wait or were approved, and what seals do about all of it."""

    @rule(pick=PICK, who=PICK)
    def release_plan(self, pick: int, who: int, plan: Plan | None = None) -> None:
        """Once, by somebody who may, while the plan stands; a price, a cap or a book may still be against it."""
        plan, actor = plan or self.plan(pick, "approved"), self.person(who, Verb.RELEASE_PLAN)
        if plan is None:
            return
        is_held = plan.call.held_until is not None and self.now < plan.call.held_until
        is_stopped = KillSwitch.objects.filter(is_pulled=True).exists()
        is_out = Release.objects.filter(plan=plan).exists()
        self.attempt(
            Verb.RELEASE_PLAN, plan.call, actor,
            also=reasons(
                illegal=plan.state != "approved" or is_out, refused=is_held or is_stopped or self.now > plan.expires_at
            ),
            perhaps=Refused,
            deed=lambda: approvals.release(plan, at=self.now, actor=actor),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK)
    def call_off_plan(self, pick: int, who: int) -> None:
        """By anybody who may stop orders, while something of it is out that nobody asked back."""
        plan, actor = self.plan(pick, "approved"), self.person(who, Verb.CALL_OFF)
        if plan is None or pick % 2:
            return
        out = Order.objects.filter(release=plan.pk, cancel_wanted_at=None).exclude(state__in=OVER)
        self.attempt(
            Verb.CALL_OFF, plan.call, actor, also=reasons(illegal=not out.exists()),
            deed=lambda: approvals.call_off(plan, at=self.now, actor=actor, reason=WHY),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK, between=st.sampled_from(["hold", "time", "price", "switch", "answer"]))
    def see_doubted(self, pick: int, who: int, between: str) -> None:
        """A plan waits, something comes between, and only then somebody looks at it."""
        plan = self.waiting(pick)
        if plan is None:
            return
        if between == "hold":
            self.hold(plan.call)
        elif between == "time":
            self.advance(plan.expires_at + timedelta(minutes=1))
        elif between == "price":
            self.tick("BTC" if plan.call.account.agreement == "loan" else "XYZ", -1 if pick % 2 else 1)
        elif between == "answer":
            self.approve(pick=1, who=who + 1, plan=self.anew(plan))
        else:
            self.stopped(lambda: self.approve_and_release(plan, who))
        self.approve_and_release(plan, who)

    def approve_and_release(self, plan: Plan, who: int) -> None:
        """The last yes releases it by itself, where nothing is against it; otherwise somebody may later."""
        self.approve(pick=1, who=who, plan=self.anew(plan))
        if Plan.objects.filter(pk=plan.pk, state="approved").exists():
            self.release_plan(pick=1, who=who, plan=self.anew(plan))

    def waiting(self, pick: int) -> Plan | None:
        """A plan that nobody decided; where there is none one is proposed, if it can be."""
        found = Plan.objects.filter(state="proposed", expires_at__gt=self.now).order_by("-pk")
        if not found.exists():
            call = self.standing(pick, "escalated")
            if call is not None:
                self.propose_by(self.outsider(pick), call)
                self.propose_by(self.house.people["ops"], call)
        return next(iter(found.select_related("call__account")[pick % 3 : pick % 3 + 1]), found.first())

    def propose_by(self, actor: Actor, call: MarginCall) -> None:
        """By whom it may be; still refused without a price, with nothing to sell, a plan that is out, or a hold."""
        self.attempt(
            Verb.PROPOSE, call, actor, perhaps=CallError,
            deed=lambda: liquidation.propose(call, at=self.now, actor=actor, reason="overdue"),
        )  # fmt: skip

    def outsider(self, who: int) -> Actor:
        """Somebody who may not propose a plan."""
        others = [actor for actor in self.house.people.values() if not table.may(Verb.PROPOSE, actor.role)]
        return others[who % len(others)]

    def anew(self, plan: Plan) -> Plan:
        return Plan.objects.select_related("call__account", "call__policy_version").get(pk=plan.pk)

    def stopped(self, deed: Callable[[], None], *, asks_back: bool = False) -> None:
        """What is done while the switch is pulled for a moment; nothing where somebody pulled it before."""
        if KillSwitch.objects.filter(is_pulled=True).exists():
            return
        sue, rita = self.house.people["sue"], self.house.people["rita"]
        switch = control_switches.pull(reason=WHY, at=self.now, actor=sue, cancels_working=asks_back)
        self.advance(self.now + timedelta(seconds=1))
        deed()
        self.advance(self.now + timedelta(seconds=1))
        control_switches.ask_release(switch, reason=WHY, at=self.now, actor=sue)
        control_switches.let_go(switch, at=self.now, actor=rita)

    @rule(pick=PICK, who=PICK, asks_back=st.booleans())
    def pull_the_switch(self, pick: int, who: int, asks_back: bool) -> None:
        if pick % 3:  # seldom: while it is pulled nothing else can be tried
            return
        actor = self.anybody(who)
        self.try_it(
            "pull the switch", also=reasons(refused=actor.role not in PULLERS),
            deed=lambda: control_switches.pull(reason=WHY, at=self.now, actor=actor, cancels_working=asks_back),
        )  # fmt: skip

    @rule(who=PICK, other=PICK)
    def let_orders_go(self, who: int, other: int) -> None:
        """One asks, another agrees."""
        switch = KillSwitch.objects.order_by("-pk").first()
        if switch is None:
            return
        asking, agreeing = self.anybody(who), self.anybody(other)
        is_asked = switch.release_asked_by_id is not None
        self.try_it(
            "ask to let orders go",
            also=reasons(refused=asking.role not in DECIDERS, illegal=not switch.is_pulled or is_asked),
            deed=lambda: control_switches.ask_release(switch, reason=WHY, at=self.now, actor=asking),
        )
        switch.refresh_from_db()
        also = reasons(
            refused=agreeing.role not in DECIDERS or switch.release_asked_by_id == agreeing.user_id,
            illegal=not switch.is_pulled or switch.release_asked_by_id is None,
        )
        self.try_it(
            "let orders go", also=also, deed=lambda: control_switches.let_go(switch, at=self.now, actor=agreeing)
        )

    @rule()
    def seal(self) -> None:
        """I20: each event is under a seal once one was made after it, and under one only."""
        another_commits()
        seals.seal(at=self.now)
        uncovered = [row.pk for row in Event.objects.raw(UNSEALED)]
        if uncovered:
            raise Broken(f"I20 events that no seal covers: {uncovered[:10]}")
        total = Seal.objects.aggregate(all=Sum("size"))["all"] or 0
        if total != Event.objects.count():
            raise Broken(f"I20 {total} events under seals, {Event.objects.count()} there are")

    def anybody(self, who: int) -> Actor:
        people = list(self.house.people.values())
        return people[who % len(people)]
