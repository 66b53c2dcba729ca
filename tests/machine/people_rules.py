"""Rules of people: every verb by everybody, held against an oracle of role × state × what else must hold.

A new verb is one rule: say who may do it in which state (tests/workflow/table.py), and call `attempt`.
"""

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import rule

from accounts.models import Fill
from margin import actors, approvals, calls, casework, claims, disputes, liquidation, requests
from margin.models import Cure, Dispute, MarginCall, Order, Plan, PlanFill, Release, Request, Task
from margin.order_models import DESK
from margin.workflow import Cause, Resolution, Verb
from market.models import HeldQuote
from notifications import notices
from tests.machine import world
from tests.machine.core import PICK
from tests.machine.letter_rules import Letters
from tests.machine.world import D

HOURS = st.sampled_from([2, 5, 20])
WHY = "the client asked"
Kind = Request.Kind


def reasons(**conditions: bool) -> tuple[type[Exception], ...]:
    """The errors whose condition holds: `refused=…`, `illegal=…`, `stale=…`."""
    kinds = {"refused": calls.Refused, "illegal": calls.IllegalMove, "stale": calls.StaleCall}
    return tuple(kinds[name.rstrip("_")] for name, holds in conditions.items() if holds)


class People(Letters):
    """What staff and clients do about calls."""

    @rule(pick=PICK, who=PICK, stale=st.booleans())
    def escalate(self, pick: int, who: int, stale: bool) -> None:
        call, actor = self.call(pick, Verb.ESCALATE), self.person(who, Verb.ESCALATE)
        if call is None:
            return
        is_stale = stale and pick == 1
        seq = call.seq - 1 if is_stale else call.seq
        self.attempt(
            Verb.ESCALATE, call, actor, also=reasons(stale=is_stale),
            deed=lambda: calls.escalate(call, cause=Cause.PERSON, at=self.now, actor=actor, reason=WHY, seq=seq),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK)
    def confirm_met(self, pick: int, who: int) -> None:
        call, actor = self.call(pick, Verb.MEET), self.person(who, Verb.MEET)
        if call is None:
            return
        self.attempt(
            Verb.MEET, call, actor, also=reasons(refused=call.amount_outstanding > call.tolerance),
            deed=lambda: calls.meet(call, how=Resolution.CASH, at=self.now, actor=actor, reason="seen at the bank"),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK, words=st.sampled_from(["client rang", "client rang", " "]))
    def note(self, pick: int, who: int, words: str) -> None:
        call, actor = self.call(pick, Verb.NOTE), self.person(who, Verb.NOTE)
        if call is None:
            return
        self.attempt(
            Verb.NOTE, call, actor, also=reasons(refused=not words.strip()),
            deed=lambda: calls.note(call, text=words, at=self.now, actor=actor),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK, quotes_it=st.sampled_from(["nothing", "right", "wrong"]))
    def speak(self, pick: int, who: int, quotes_it: str) -> None:
        """A conversation; the client who heard amount and deadline counts as told."""
        call, actor = self.call(pick, Verb.CONTACT), self.person(who, Verb.CONTACT)
        if call is None:
            return
        said = {"nothing": None, "right": call.amount_outstanding, "wrong": call.amount_outstanding + 1}[quotes_it]
        self.attempt(
            Verb.CONTACT, call, actor,
            deed=lambda: casework.contact(
                call, channel="phone", direction="out", outcome="reached", text="spoke", at=self.now, actor=actor,
                amount_quoted=said, deadline_quoted=None if said is None else call.due_at,
            ),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK)
    def open_task(self, pick: int, who: int) -> None:
        call, actor = self.call(pick, Verb.OPEN_TASK), self.person(who, Verb.OPEN_TASK)
        if call is None:
            return
        before = Task.objects.count()
        is_new = not Task.objects.filter(call=call, kind="look", closed_at=None).exists()
        if self.attempt(
            Verb.OPEN_TASK, call, actor,
            deed=lambda: casework.open_task(
                call, kind="look", title="look at it", due_at=self.now + timedelta(hours=1), at=self.now, actor=actor
            ),
        ):  # fmt: skip
            assert Task.objects.count() == before + is_new

    @rule(pick=PICK, who=PICK)
    def close_task(self, pick: int, who: int) -> None:
        task, actor = self.newest(Task, pick, "call"), self.person(who, Verb.CLOSE_TASK)
        if task is None:
            return
        self.attempt(
            Verb.CLOSE_TASK, task.call, actor, also=reasons(illegal=task.closed_at is not None),
            deed=lambda: casework.close_task(task, outcome="done", at=self.now, actor=actor),
        )  # fmt: skip

    # --- one asks, another decides -------------------------------------------------------------------------------

    @rule(pick=PICK, who=PICK, hours=HOURS)
    def ask_extension(self, pick: int, who: int, hours: int) -> None:
        call, actor = self.call(pick, Verb.REQUEST_EXTENSION), self.person(who, Verb.REQUEST_EXTENSION)
        if call is None:
            return
        granted = call.requests.filter(kind=Kind.EXTENSION, state="granted").count()
        refused = granted >= 1 or self.is_asked(call, Kind.EXTENSION)
        self.attempt(
            Verb.REQUEST_EXTENSION, call, actor,
            also=reasons(refused=refused, illegal=self.now >= call.due_at),
            deed=lambda: requests.ask_extension(
                call, until=call.due_at + timedelta(hours=hours), reason_code="bank_transfer", reason=WHY,
                at=self.now, actor=actor,
            ),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK, hours=HOURS)
    def ask_hold(self, pick: int, who: int, hours: int) -> None:
        call, actor = self.call(pick, Verb.REQUEST_HOLD), self.person(who, Verb.REQUEST_HOLD)
        if call is None:
            return
        last = call.requests.filter(kind=Kind.HOLD, state="granted").order_by("-pk").first()
        is_own = last is not None and last.asked_by_id == actor.user_id
        self.attempt(
            Verb.REQUEST_HOLD, call, actor, also=reasons(refused=is_own or self.is_asked(call, Kind.HOLD)),
            deed=lambda: requests.ask_hold(
                call, until=self.now + timedelta(hours=hours), reason=WHY, at=self.now, actor=actor
            ),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK, emergency=st.booleans())
    def ask_acceleration(self, pick: int, who: int, emergency: bool) -> None:
        call, actor = self.call(pick, Verb.PROPOSE_ACCELERATION), self.person(who, Verb.PROPOSE_ACCELERATION)
        if call is None:
            return
        refused = self.now >= call.due_at or self.is_asked(call, Kind.ACCELERATION)
        self.attempt(
            Verb.PROPOSE_ACCELERATION, call, actor, also=reasons(refused=refused),
            deed=lambda: requests.ask_acceleration(
                call, due_at=self.now + (call.due_at - self.now) / 2, reason=WHY, at=self.now, actor=actor,
                is_emergency=emergency,
            ),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK)
    def ask_retraction(self, pick: int, who: int) -> None:
        call, actor = self.call(pick, Verb.PROPOSE_CANCEL), self.person(who, Verb.PROPOSE_CANCEL)
        if call is None:
            return
        self.attempt(
            Verb.PROPOSE_CANCEL, call, actor,
            also=reasons(refused=self.is_asked(call, Kind.RETRACTION), illegal=self.is_sold(call)),
            deed=lambda: requests.ask_retraction(
                [call], reason_code="bad_price", reason="a bad price", at=self.now, actor=actor
            ),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK, decision=st.sampled_from(["grant", "grant", "grant", "deny", "withdraw"]))
    def decide_request(self, pick: int, who: int, decision: str) -> None:
        """Yes or no by another person, or taken back by whoever asked."""
        request = self.newest(Request, pick, "call__account", "call__policy_version")
        if request is None or request.call is None:
            return
        deed = {"grant": requests.GRANTED, "deny": requests.DENIED, "withdraw": requests.DENIED}[decision]
        verb = deed[Kind(request.kind)]
        if decision == "withdraw" and request.kind == Kind.EXTENSION:
            verb = Verb.WITHDRAW_EXTENSION
        actor = self.person(who, verb)
        is_own = request.asked_by_id == actor.user_id
        unfit = decision == "grant" and self.is_unfit(request)
        also = reasons(
            illegal=request.state != "open" or unfit or not request.call.is_open,
            refused=is_own != (decision == "withdraw"),
        )
        self.attempt(
            verb, request.call, actor, also=also, role_matters=decision != "withdraw", state_matters=False,
            deed=lambda: getattr(requests, decision)(request, at=self.now, actor=actor, reason="looked at"),
        )  # fmt: skip

    def is_unfit(self, request: Request) -> bool:
        """Whether a yes would come too late for what was asked."""
        call, until, now = request.call, request.until, self.now
        assert call is not None
        if request.kind == Kind.RETRACTION:
            return self.is_sold(call)
        assert until is not None
        if request.kind == Kind.EXTENSION:
            return call.state != "issued" or until <= max(now, call.due_at)
        return until <= now if request.kind == Kind.HOLD else not now < until < call.due_at

    @rule(pick=PICK, who=PICK)
    def release(self, pick: int, who: int) -> None:
        held = set(MarginCall.objects.filter(held_until__gt=self.now).values_list("pk", flat=True))
        call, actor = self.call(pick, Verb.RELEASE, among=held), self.person(who, Verb.RELEASE)
        if call is None:
            return
        self.attempt(
            Verb.RELEASE, call, actor, also=reasons(illegal=call.pk not in held),
            deed=lambda: requests.release(call, reason="checked", at=self.now, actor=actor),
        )  # fmt: skip

    # --- what clients say ------------------------------------------------------------------------------------------

    @rule(pick=PICK, who=PICK, part=st.sampled_from(["all", "half", "more"]), by_client=st.booleans())
    def dispute(self, pick: int, who: int, part: str, by_client: bool, call: MarginCall | None = None) -> None:
        call, actor = call or self.call(pick, Verb.DISPUTE), self.person(who, Verb.DISPUTE)
        if call is None:
            return
        actor = actors.client(1) if by_client else actor
        share = {"all": D(1), "half": D("0.5"), "more": D(2)}[part]
        amount = (call.amount_outstanding * share).quantize(D("0.01"))
        is_disputed = Dispute.objects.filter(call=call, state="open").exists()
        self.attempt(
            Verb.DISPUTE, call, actor,
            also=reasons(refused=not 0 < amount <= call.amount_outstanding, illegal=is_disputed),
            deed=lambda: disputes.dispute(
                call, amount=amount, reason_code="mark_to_market", reason="that is wrong", at=self.now, actor=actor
            ),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK, finding=st.sampled_from(["upheld", "partly", "rejected", "perhaps"]))
    def decide_dispute(self, pick: int, who: int, finding: str) -> None:
        dispute, actor = self.newest(Dispute, pick, "call__account"), self.person(who, Verb.DECIDE)
        if dispute is None:
            return
        call = dispute.call
        half = (dispute.amount / 2).quantize(D("0.01"))
        cut = {"upheld": dispute.amount, "partly": half}.get(finding, D(0))
        refused = finding == "perhaps" or (cut >= call.amount_called and call.is_open)
        refused = refused or (finding == "partly" and not 0 < half < dispute.amount)
        self.attempt(
            Verb.DECIDE, call, actor, also=reasons(refused=refused, illegal=dispute.state != "open"),
            state_matters=False,
            deed=lambda: disputes.decide(
                dispute, finding=finding, granted=half, reason="looked at", at=self.now, actor=actor
            ),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK, by_client=st.booleans(), arrives=st.booleans())
    def claim(self, pick: int, who: int, by_client: bool, arrives: bool, call: MarginCall | None = None) -> None:
        """ "I have paid", and perhaps the money with that reference is there already."""
        call, actor = call or self.call(pick, Verb.CLAIM), self.person(who, Verb.CLAIM)
        if call is None:
            return
        actor, reference = actors.client(1) if by_client else actor, self.reference("claim")
        amount = call.amount_outstanding or D(100)
        self.attempt(
            Verb.CLAIM, call, actor,
            deed=lambda: claims.claim(
                call, amount=amount, currency=call.currency, method="wire", reference=reference, at=self.now,
                actor=actor,
            ),
        )  # fmt: skip
        if arrives:
            world.deposit(call.account, amount, reference, self.now)

    @rule(pick=PICK, who=PICK)
    def pledge(self, pick: int, who: int) -> None:
        call, actor = self.call(pick, Verb.PLEDGE), self.person(who, Verb.PLEDGE)
        if call is None:
            return
        reference = self.reference("pledge")
        self.attempt(
            Verb.PLEDGE, call, actor,
            deed=lambda: claims.pledge(
                call, kind="cash", method="ach", reference=reference, at=self.now, actor=actor, amount=D(50),
                currency=call.currency, is_in_transit=True,
            ),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK, finding=st.sampled_from(["in_transit", "not_found", "arrived", "lost"]))
    def check_claim(self, pick: int, who: int, finding: str) -> None:
        cure = self.newest(Cure, pick, "call__account")
        actor = self.person(who, Verb.CHECK)
        if cure is None:
            return
        movement = self.deposited(pick) if finding == "arrived" else None
        refused = finding == "lost" or (finding == "arrived" and movement is None)
        illegal = cure.state not in ("claimed", "in_transit")
        self.attempt(
            Verb.CHECK, cure.call, actor, also=reasons(refused=refused, illegal=illegal),
            perhaps=calls.Refused if finding == "arrived" else None,
            deed=lambda: claims.check(
                cure, finding=finding, reason="looked", at=self.now, actor=actor, movement=movement
            ),
        )  # fmt: skip

    # --- forced closing ------------------------------------------------------------------------------------------

    @rule(pick=PICK, who=PICK)
    def propose(self, pick: int, who: int) -> None:
        """Only what the account itself tells may refuse it further: no price, nothing to sell, a plan already."""
        call, actor = self.call(pick, Verb.PROPOSE), self.person(who, Verb.PROPOSE)
        if call is None:
            return
        self.attempt(
            Verb.PROPOSE, call, actor, perhaps=calls.Refused,
            deed=lambda: liquidation.propose(call, at=self.now, actor=actor, reason="overdue"),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK)
    def approve(self, pick: int, who: int, plan: Plan | None = None) -> None:
        plan, actor = plan or self.plan(pick, "proposed"), self.person(who, Verb.APPROVE)
        if plan is None:
            return
        given = set(plan.approvals.values_list("approver_id", flat=True))
        is_own = actor.user_id in {plan.proposed_by_id, *given}
        is_held = plan.call.held_until is not None and self.now < plan.call.held_until
        moved = self.moved_since(plan)
        is_doubtful = HeldQuote.objects.filter(state="held", instrument__in=moved).exists()
        refused = is_own or is_held or self.now > plan.expires_at or (bool(moved) and not is_doubtful)
        self.attempt(
            Verb.APPROVE, plan.call, actor, also=reasons(illegal=plan.state != "proposed", refused=refused),
            perhaps=reasons(refused=is_doubtful),
            deed=lambda: approvals.approve(plan, at=self.now, actor=actor),
        )  # fmt: skip

    def moved_since(self, plan: Plan) -> list[int]:
        """The plan's instruments whose price is more than 2 % off the one it was sized at: the firm's default."""
        lines = plan.lines.values_list("instrument", "instrument__code", "price")
        return [pk for pk, code, price in lines if abs(self.mark(code) - price) > D("0.02") * price]

    @rule(pick=PICK, who=PICK)
    def reject(self, pick: int, who: int) -> None:
        plan, actor = self.plan(pick, "proposed"), self.person(who, Verb.REJECT)
        if plan is None or pick % 3:
            return
        self.attempt(
            Verb.REJECT, plan.call, actor, also=reasons(illegal=not self.may_be_rejected(plan)),
            deed=lambda: approvals.reject(plan, at=self.now, actor=actor, reason="let us wait"),
        )  # fmt: skip

    @staticmethod
    def may_be_rejected(plan: Plan) -> bool:
        """Also one that was approved and could not leave."""
        return plan.state == "proposed" or (plan.state == "approved" and not Release.objects.filter(plan=plan).exists())

    @rule(pick=PICK, who=PICK, part=st.sampled_from(["all", "all", "some", "more"]), copies=st.integers(1, 2))
    def fill(self, pick: int, who: int, part: str, copies: int) -> None:
        """The venue reports a fill of a line: part of it, all of it, twice, or more than was asked for."""
        plan, actor = self.plan(pick, "approved"), self.person(who, Verb.FILL)
        if plan is None:
            return
        line = plan.lines.select_related("instrument", "plan").order_by("pk")[0]
        left = line.quantity - sum((one.fill.quantity for one in line.fills.select_related("fill")), D(0))
        quantity = {"all": left, "some": (left / 2).quantize(D("0.001")), "more": line.quantity * 2}[part]
        if not quantity:
            return
        reference, price = self.reference("fill"), self.mark(line.instrument.code)
        deed = lambda: world.fill(line, quantity, price, reference, self.now, actor)  # noqa: E731
        order = Order.objects.filter(line=line).first()
        also = reasons(illegal=order is None or part == "more", refused=order is not None and order.venue != DESK)
        if self.attempt(Verb.FILL, plan.call, actor, also=also, deed=deed):
            before = Fill.objects.count()
            for _ in range(copies - 1):
                deed()
            assert Fill.objects.count() == before

    # --- the last minute ---------------------------------------------------------------------------------------------

    @rule(pick=PICK, saying=st.sampled_from(["paid", "paid", "hold", "wrong", "nothing"]))
    def speak_late(self, pick: int, saying: str) -> None:
        """A client who was told says something half an hour before the deadline; then it passes."""
        calls_due = MarginCall.objects.filter(state="issued", due_at__gt=self.now).order_by("due_at", "pk")
        calls_due = calls_due.select_related("account", "policy_version")
        call = next(iter(calls_due[pick % 3 : pick % 3 + 1]), None)
        if call is None:
            return
        notices.prepare(at=self.now)
        notices.send(at=self.now)
        self.advance(call.due_at - timedelta(minutes=30))
        if saying == "paid":
            self.claim(pick=1, who=1, by_client=True, arrives=False, call=call)
        elif saying == "wrong":
            self.dispute(pick=1, who=1, part="half", by_client=True, call=call)
        elif saying == "hold":
            self.hold(call)
        self.advance(call.due_at)
        self.sweep_all("crypto" if call.account.agreement == "loan" else "securities", twice=False)

    def hold(self, call: MarginCall) -> None:
        ops, sue = self.house.people["ops"], self.house.people["sue"]
        if self.is_asked(call, Kind.HOLD) or call.requests.filter(kind=Kind.HOLD, state="granted").exists():
            return
        until = self.now + timedelta(hours=20)
        asked = requests.ask_hold(call, until=until, reason=WHY, at=self.now, actor=ops)
        requests.grant(asked, at=self.now, actor=sue)

    # --- what the oracle looks at ------------------------------------------------------------------------------------

    def is_asked(self, call: MarginCall, kind: str) -> bool:
        return call.requests.filter(kind=kind, state="open").exists()

    def is_sold(self, call: MarginCall) -> bool:
        return PlanFill.objects.filter(line__plan__call=call).exists()
