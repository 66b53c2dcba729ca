"""Rules of orders at a venue that loses answers and changes its mind: one order a line, every execution booked once."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from django.db.models import Sum
from hypothesis import strategies as st
from hypothesis.stateful import rule

from margin import approvals, booking, calls, liquidation, sending
from margin.models import Alarm, KillSwitch, MarginCall, Order, Plan, PlanFill
from margin.order_models import OVER
from margin.venues import interface
from margin.workflow import Verb
from tests.machine import world
from tests.machine.core import PICK, Broken
from tests.machine.floor import CODE
from tests.machine.order_rules import Orders
from tests.machine.world import FLOOR, D

ANSWERS = st.lists(st.sampled_from(["not sent", "lost before it arrived", "lost after it arrived"]), max_size=3)


class Venues(Orders):
    """The sender and a venue, which calls under the policy `strict` are sold at."""

    @rule(answers=ANSWERS, minutes=st.sampled_from([0, 1, 6]), dies_after=st.sampled_from([0, 0, 0, 8, 15, 25, 40]))
    def send_orders(self, answers: Sequence[str], minutes: int, dies_after: int) -> None:
        """A round of the sender, which may die in it, and one that does not."""
        FLOOR.answers.extend(answers)
        self.advance(self.now + timedelta(minutes=minutes))
        if dies_after:
            with world.killed_after(dies_after):
                self.round()
            self.advance(self.now + sending.LEASE + timedelta(seconds=1))
        self.round()
        self.all_is_right()

    def round(self) -> None:
        FLOOR.now = self.now
        before = FLOOR.arrived.copy()
        is_pulled = KillSwitch.objects.filter(is_pulled=True).exists()
        try:
            sending.run({CODE: FLOOR}, clock=lambda: self.now)
        finally:
            left = list(FLOOR.arrived - before)
            self.reach.cells["order left"] += len(left)
            if is_pulled and left:
                raise Broken(f"I33 left while the kill switch was pulled: {left}")

    def all_is_right(self) -> None:
        """I30 once each; I31 what was executed is booked; I32 nothing is out for a call that is over."""
        twice = [name for name, times in FLOOR.arrived.items() if times > 1]
        if twice:
            raise Broken(f"I30 arrived more than once: {twice}")
        over = Order.objects.filter(release__plan__call__closed_at__isnull=False, cancel_wanted_at=None)
        out = list(over.exclude(state__in=OVER).values_list("client_order_id", flat=True))
        if out:
            raise Broken(f"I32 orders are out for calls that are over: {out}")
        booking.reconcile(at=self.now)
        for name, executions in FLOOR.executed.items():
            self.is_booked(name, sum(executions.values(), D(0)))

    def is_booked(self, name: str, executed: Decimal) -> None:
        """What the venue executed is what is booked, or staff are told that it is not."""
        standing = PlanFill.objects.filter(line__order__client_order_id=name, fill__reversed_by=None)
        booked = abs(standing.aggregate(all=Sum("fill__quantity"))["all"] or D(0))
        is_told = Alarm.objects.filter(kind="order_differs", subject=name, cleared_at=None).exists()
        if (booked != executed) != is_told:
            raise Broken(f"I31 {name}: {executed} executed, {booked} booked, staff told: {is_told}")
        self.reach.cells["order booked" if booked == executed else "order not booked"] += 1

    # --- what happens at the venue -------------------------------------------------------------------------------

    @rule(pick=PICK, part=st.sampled_from([D(1), D("0.5")]), times=st.integers(1, 2))
    def floor_executes(self, pick: int, part: Decimal, times: int) -> None:
        name = next(iter(FLOOR.open_orders()[pick % 3 : pick % 3 + 1]), None)
        if name is not None:
            quantity = (FLOOR.left(name) * part).quantize(D("0.001")) or FLOOR.left(name)
            FLOOR.now = self.now
            FLOOR.execute(name, quantity, self.mark(FLOOR.orders[name].instrument), times=times)

    @rule(pick=PICK, part=st.sampled_from([D(0), D("0.5")]))
    def floor_changes_its_mind(self, pick: int, part: Decimal) -> None:
        """An execution never was, or was the half."""
        known = [(name, one) for name, made in FLOOR.executed.items() for one, quantity in made.items() if quantity]
        if not known:
            return
        name, execution = known[pick % len(known)]
        quantity = (FLOOR.executed[name][execution] * part).quantize(D("0.001"))
        FLOOR.now = self.now
        FLOOR.change(name, execution, quantity, self.mark(FLOOR.orders[name].instrument))

    @rule(pick=PICK, told=st.sampled_from([interface.Told.REJECTED, interface.Told.CANCELLED]))
    def floor_gives_back(self, pick: int, told: interface.Told) -> None:
        name = next(iter(FLOOR.open_orders()[pick % 3 : pick % 3 + 1]), None)
        if name is not None and (told == interface.Told.CANCELLED or not any(FLOOR.executed[name].values())):
            FLOOR.now = self.now
            FLOOR.over.add(name)
            FLOOR.say(name, told)

    @rule(pick=PICK, ends=st.sampled_from(["filled", "half", "lost", "cured", "asked back"]))
    def see_sent(self, pick: int, ends: str) -> None:
        """A plan of a call that the venue works leaves, and comes to an end."""
        call = self.at_floor(pick)
        if call is None:
            return
        if ends == "lost":
            FLOOR.answers.extend(["lost after it arrived"] * 2)
        self.round()
        orders = Order.objects.filter(release__plan__call=call, venue=CODE).exclude(state__in=OVER)
        for order in list(orders.order_by("line")):
            name = order.client_order_id
            if name in FLOOR.open_orders() and ends in ("filled", "half"):
                quantity = (FLOOR.left(name) * (D(1) if ends == "filled" else D("0.5"))).quantize(D("0.001"))
                FLOOR.execute(name, quantity or FLOOR.left(name), self.mark(FLOOR.orders[name].instrument))
        if ends == "cured":
            self.pay(call, D(1))
        elif ends == "asked back":
            self.stopped(self.round, asks_back=True)
        self.advance(self.now + timedelta(minutes=1))
        self.round()
        self.all_is_right()

    def at_floor(self, pick: int) -> MarginCall | None:
        """A call with a released plan at the venue; where there is none one is brought about, if it can be."""
        escalated = MarginCall.objects.filter(state="escalated", account__agreement="strict")
        escalated = escalated.select_related("account", "policy_version").order_by("pk")
        if not escalated.exists():
            self.fall_due()
        call = next(iter(escalated[pick % 3 : pick % 3 + 1]), escalated.first())
        if call is None or Plan.objects.filter(call=call, state__in=("proposed", "approved")).exists():
            return call
        try:
            plan = liquidation.propose(call, at=self.now, actor=self.house.people["ops"], reason="overdue")
        except calls.CallError:  # no price, nothing to sell, or held
            self.count(Verb.PROPOSE, "impossible")
            return None
        approvals.approve(plan, at=self.now, actor=self.house.people["sue"])
        return call
