"""Rules that see a call through to one of its ends in one step: the rare ends become common, whatever came before."""

from datetime import timedelta
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import rule

from accounts import cash
from margin import actors, approvals, calls, disputes, liquidation, requests
from margin.models import Dispute, MarginCall, Plan, Request
from margin.order_models import DESK
from margin.workflow import State, Verb
from tests.machine import world
from tests.machine.core import PICK
from tests.machine.people_rules import HOURS, WHY, Kind
from tests.machine.right_rules import Rights
from tests.machine.world import D


class Endings(Rights):
    """Two people and a client finish what they began."""

    @rule(pick=PICK, state=st.sampled_from(["issued", "escalated"]))
    def see_retracted(self, pick: int, state: str) -> None:
        call = self.standing(pick, state)
        if call is None or self.is_sold(call) or self.is_asked(call, "retraction"):
            return
        ops, sue = self.house.people["ops"], self.house.people["sue"]
        asked = requests.ask_retraction([call], reason_code="bad_price", reason="bad", at=self.now, actor=ops)
        requests.grant(asked[0], at=self.now, actor=sue, reason="looked at")
        call.refresh_from_db()
        assert call.state == State.CANCELLED

    @rule(pick=PICK, hours=HOURS, passes=st.booleans())
    def see_extended(self, pick: int, hours: int, passes: bool) -> None:
        """One asks for a later deadline in time, another grants it; perhaps that one passes too."""
        call = self.standing(pick, "issued")
        if call is None or self.is_asked(call, Kind.EXTENSION) or self.now >= call.due_at:
            return
        if call.requests.filter(kind=Kind.EXTENSION, state="granted").exists():
            return
        until = call.due_at + timedelta(hours=hours)
        self.see_granted(requests.ask_extension(
            call, until=until, reason_code="bank_transfer", reason=WHY, at=self.now, actor=self.house.people["ops"]
        ))  # fmt: skip
        call.refresh_from_db()
        assert call.due_at == until
        if passes:
            self.fall_due()

    @rule(pick=PICK, state=st.sampled_from(["issued", "escalated"]), emergency=st.booleans())
    def see_accelerated(self, pick: int, state: str, emergency: bool) -> None:
        """The deadline comes earlier: the client is told anew, and what was due later is not due before that."""
        call = self.standing(pick, state)
        if call is None or self.is_asked(call, Kind.ACCELERATION) or call.due_at - self.now < timedelta(minutes=4):
            return
        due_at = self.now + (call.due_at - self.now) / 2
        self.see_granted(requests.ask_acceleration(
            call, due_at=due_at, reason=WHY, at=self.now, actor=self.house.people["sue"], is_emergency=emergency
        ))  # fmt: skip
        call.refresh_from_db()
        assert call.due_at == due_at
        assert emergency or call.notified_at is None

    def see_granted(self, asked: Request) -> None:
        """By a person who may and did not ask."""
        other = next(name for name in ("sam", "rita") if self.house.people[name].user_id != asked.asked_by_id)
        requests.grant(asked, at=self.now, actor=self.house.people[other], reason="looked at")

    @rule(pick=PICK, state=st.sampled_from(["issued", "escalated"]), released=st.booleans())
    def see_held(self, pick: int, state: str, released: bool) -> None:
        """Nothing happens to a call by itself for a while, or only until somebody lets go."""
        call = self.standing(pick, state)
        if call is None or call.held_until is not None:
            return
        self.hold(call)
        if released:
            call.refresh_from_db()
            if call.held_until is not None:
                requests.release(call, reason="checked", at=self.now, actor=self.house.people["sue"])

    @rule(pick=PICK, state=st.sampled_from(["issued", "escalated"]), finding=st.sampled_from(["upheld", "rejected"]))
    def see_disputed(self, pick: int, state: str, finding: str) -> None:
        """The client disputes half and is answered."""
        call = self.standing(pick, state)
        if call is None or Dispute.objects.filter(call=call, state="open").exists() or call.amount_outstanding < 1:
            return
        half = (call.amount_outstanding / 2).quantize(D("0.01"))
        opened = disputes.dispute(
            call, amount=half, reason_code="mark_to_market", reason="wrong", at=self.now, actor=actors.client(1)
        )
        disputes.decide(
            opened, finding=finding, granted=half, reason="looked at", at=self.now, actor=self.house.people["sue"]
        )

    @rule(pick=PICK)
    def see_bounced(self, pick: int) -> None:
        """A call that only money meets is met by a deposit, which the bank then takes back."""
        if not MarginCall.objects.open().filter(market_cures=False).exists():
            self.fall()
        strict = MarginCall.objects.open().filter(market_cures=False).select_related("account", "policy_version")
        call = next(iter(strict.order_by("pk")[pick % 4 : pick % 4 + 1]), None)
        if call is None or not call.amount_outstanding:
            return
        paid = world.deposit(call.account, call.amount_outstanding, self.reference("in"), self.now)
        self.sweep_of(call)
        cash.reverse(paid, source="bank", external_reference=self.reference("back"), at=self.now)
        self.sweep_of(call)

    @rule(pick=PICK, share=st.sampled_from([D(1), D("0.5")]))
    def see_sold(self, pick: int, share: Decimal) -> None:
        """A plan is proposed, approved by another and filled; the client may pay the other half."""
        call = self.standing(pick, "escalated")
        if call is None or Plan.objects.filter(call=call, state__in=("proposed", "approved")).exists():
            return
        ops, sue = self.house.people["ops"], self.house.people["sue"]
        try:
            plan = liquidation.propose(call, at=self.now, actor=ops, reason="overdue")
        except calls.CallError:  # no price, nothing to sell, or held
            self.count(Verb.PROPOSE, "impossible")
            return
        approvals.approve(plan, at=self.now, actor=sue)
        for line in plan.lines.select_related("instrument", "plan"):
            if Plan.objects.filter(pk=plan.pk, state="approved", release__venue=DESK).exists():
                quantity = (line.quantity * share).quantize(D("0.001"))
                world.fill(line, quantity, self.mark(line.instrument.code), self.reference("fill"), self.now, ops)
        call.refresh_from_db()
        if call.is_open and share < 1:
            self.pay(call, D(1))

    @rule(pick=PICK, state=st.sampled_from(["issued", "escalated"]), share=st.sampled_from([D(1), D("0.5")]))
    def see_paid(self, pick: int, state: str, share: Decimal) -> None:
        """The client pays; where it is the half, the market may bring the rest."""
        call = self.standing(pick, state)
        if call is None:
            return
        self.pay(call, share)
        if share < 1:
            self.tick("BTC" if call.account.agreement == "loan" else "XYZ", 1)
            self.wait(timedelta(minutes=61))
            self.sweep_of(call)

    def pay(self, call: MarginCall, share: Decimal) -> None:
        amount = (call.amount_outstanding * share).quantize(D("0.01"))
        if amount:
            world.deposit(call.account, amount, self.reference("in"), self.now)
        self.sweep_of(call)

    def sweep_of(self, call: MarginCall) -> None:
        self.sweep_all("crypto" if call.account.agreement == "loan" else "securities", twice=False)

    def standing(self, pick: int, state: str) -> MarginCall | None:
        """A call in this state; where there is none the market or the clock brings one about, if it can."""
        found = MarginCall.objects.filter(state=state).select_related("account", "policy_version").order_by("pk")
        if not found.exists():
            self.fall() if state == "issued" else self.fall_due()
        return next(iter(found[pick % 4 : pick % 4 + 1]), found.first())

    def fall(self) -> None:
        """Every price falls by a level, and who holds them is swept."""
        self.advance(self.now + timedelta(minutes=61))
        for of in ("XYZ", "BTC"):
            self.tick(of, -1)
        for kind in world.KINDS:
            self.sweep_all(kind, twice=False)
