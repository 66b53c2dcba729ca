"""Rules about accounts rather than calls: rights, calls by hand, storms, confirmed books, closed days, repeated POSTs.

The oracle is `table.RIGHTS`: who may; each rule says what else must hold.
"""

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import rule

from accounts.models import CashMovement, PositionFact
from margin import gate, reconciling, requests, restrictions, strikes
from margin.actors import Actor
from margin.models import MarginCall, Request, Restriction, StormGate, Waiver
from margin.restriction_terms import Effect
from margin.workflow import Verb
from market import closures
from market.models import Session
from market.strict import Refused as RefusedDay
from tests.api import house as api
from tests.machine.core import DONE, PICK, REFUSED
from tests.machine.people_rules import WHY, People, reasons
from tests.machine.world import D
from tests.workflow import table

CLOSED_ON = "a hurricane"


class Rights(People):
    """What binds accounts, and what people do about them without a call."""

    def officer(self, who: int, deed: str) -> tuple[Actor, bool]:
        """Anybody, and whether the specification lets them; mostly somebody whom it does."""
        people = list(self.house.people.values())
        able = [actor for actor in people if actor.role in table.RIGHTS[deed]]
        actor = people[who % len(people)] if who % 4 == 0 else able[who % len(able)]
        return actor, actor in able

    @rule(pick=PICK, who=PICK, days=st.sampled_from([1, 30, 100]), effect=st.sampled_from(sorted(Effect)))
    def restrict(self, pick: int, who: int, days: int, effect: Effect) -> None:
        account = self.account(pick)
        actor, may = self.officer(who, "restrict")
        is_there = Restriction.objects.in_force(self.now).filter(account=account, effect=effect, origin="person")
        self.try_it(
            "restrict", also=reasons(refused=not may or is_there.exists()),
            deed=lambda: restrictions.place(
                account, effect=effect, reason=WHY, at=self.now, actor=actor, ends_at=self.now + timedelta(days=days)
            ),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK)
    def lift(self, pick: int, who: int) -> None:
        one = self.newest(Restriction, pick, "account")
        if one is None:
            return
        actor, may = self.officer(who, "restrict")
        refused = not may or one.ends_at is None or one.ends_at - one.starts_at >= timedelta(days=90)
        self.try_it(
            "lift", also=reasons(refused=refused, stale=one.lifted_at is not None),
            deed=lambda: restrictions.lift(one, reason=WHY, at=self.now, actor=actor),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK)
    def waive(self, pick: int, who: int) -> None:
        one = self.newest(Restriction, pick, "account")
        if one is None:
            return
        actor, may = self.officer(who, "waive")
        asked = one.waivers.filter(state="open").exists()
        self.try_it(
            "waive", also=reasons(refused=not may or asked, stale=one.lifted_at is not None),
            deed=lambda: strikes.waive(one, reason=WHY, at=self.now, actor=actor),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK, yes=st.booleans())
    def decide_waiver(self, pick: int, who: int, yes: bool) -> None:
        """Never by whoever proposed it."""
        one = self.newest(Waiver, pick)
        if one is None:
            return
        actor, may = self.officer(who, "waive")
        refused = not may or one.proposed_by_id == actor.user_id
        self.try_it(
            "decide waiver", also=reasons(refused=refused, stale=one.state != "open"),
            deed=lambda: strikes.decide(one, is_granted=yes, reason=WHY, at=self.now, actor=actor),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK, amount=st.sampled_from([D(0), D(50), D(400)]), alone=st.booleans())
    def call_by_hand(self, pick: int, who: int, amount: Decimal, alone: bool) -> None:
        """One asks and another issues: these policies let nobody issue alone."""
        account = self.account(pick)
        regime = "loan" if account.agreement == "loan" else "house"
        actor, may = self.officer(who, "ask for a call")
        deed = requests.issue if alone else requests.ask_issue
        self.try_it(
            "ask for a call", also=reasons(refused=not may or amount <= 0 or alone),
            deed=lambda: deed(account, regime=regime, amount=amount, reason=WHY, at=self.now, actor=actor),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK, yes=st.booleans())
    def decide_call_by_hand(self, pick: int, who: int, yes: bool) -> None:
        asked = Request.objects.filter(kind="issue").select_related("account").order_by("-pk")
        one = next(iter(asked[pick % 3 : pick % 3 + 1]), None)
        if one is None:
            return
        actor, may = self.officer(who, "issue a call")
        called = MarginCall.objects.open().filter(account=one.account, regime=one.terms["regime"]).exists()
        also = reasons(
            refused=not may or one.asked_by_id == actor.user_id, illegal=one.state != "open", stale=yes and called
        )
        deed = requests.grant if yes else requests.deny
        self.try_it(Verb.ISSUE, also=also, deed=lambda: deed(one, reason=WHY, at=self.now, actor=actor))

    @rule(pick=PICK, who=PICK)
    def release_storm(self, pick: int, who: int) -> None:
        one = self.newest(StormGate, pick % 2, "policy")
        if one is None:
            return
        actor, may = self.officer(who, "release a storm")
        self.try_it(
            "release a storm", also=reasons(refused=not may, illegal=one.state != "open"),
            deed=lambda: gate.release(one, reason=WHY, at=self.now, actor=actor),
        )  # fmt: skip

    @rule(pick=PICK, who=PICK)
    def confirm_book(self, pick: int, who: int) -> None:
        actor, may = self.officer(who, "confirm a book")
        self.try_it(
            "confirm a book", also=reasons(refused=not may),
            deed=lambda: reconciling.confirm(self.account(pick), reason=WHY, at=self.now, actor=actor),
        )  # fmt: skip

    @rule(ahead=st.integers(1, 4), shut=st.booleans())
    def change_a_day(self, ahead: int, shut: bool) -> None:
        """The exchange stays shut on a coming day, or opens after all: deadlines follow by events of their own."""
        on: date = (self.now + timedelta(days=ahead)).date()
        was_open = Session.objects.filter(calendar__code="XNYS", on=on).exists()
        try:
            (closures.close_day if shut else closures.open_day)("XNYS", on, reason=CLOSED_ON, source="exchange")
        except RefusedDay:
            assert was_open != shut or not shut
            self.count("change a day", REFUSED)
        else:
            assert was_open == shut
            self.count("change a day", DONE)

    @rule(pick=PICK, amount=st.sampled_from([25, 100, 500]))
    def post_twice(self, pick: int, amount: int) -> None:
        """I28: the same POST again gets the same reply and moves nothing."""
        row = {
            "account": self.account(pick).code, "currency": self.account(pick).base_currency, "kind": "deposit",
            "amount": f"{amount}.00", "source": "bank", "external_reference": self.reference("api"),
            "effective_at": self.now.isoformat().replace("+00:00", "Z"),
        }  # fmt: skip
        before = (CashMovement.objects.count(), PositionFact.objects.count())
        first, again = (api.post(self.house.feed, "cash-movements", {"rows": [row]}, once=row["external_reference"])
                        for _ in range(2))  # fmt: skip
        assert first.status_code == 201, first.content
        assert (first.content, first.status_code) == (again.content, again.status_code)
        assert (CashMovement.objects.count(), PositionFact.objects.count()) == (before[0] + 1, before[1] + 1)
