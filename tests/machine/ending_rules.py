"""Rules that see a call through to one of its ends in one step: the rare ends become common, whatever came before."""

from datetime import timedelta
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import rule

from margin import approvals, calls, liquidation, requests
from margin.models import MarginCall, Plan
from margin.workflow import State, Verb
from tests.machine import world
from tests.machine.core import PICK
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
            if Plan.objects.filter(pk=plan.pk, state="approved", release__isnull=False).exists():
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
        found = MarginCall.objects.filter(state=state).select_related("account", "policy_version").order_by("pk")
        return next(iter(found[pick % 4 : pick % 4 + 1]), None)
