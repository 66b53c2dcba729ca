"""What every rule is made of: one schedule, its clock, the promises after each step, the oracle about people."""

import sys
from collections.abc import Callable, Collection
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from django.db import DatabaseError, connection, transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from accounts.models import Account, CashMovement
from backoffice import invariants
from margin import calls, history
from margin.actors import Actor
from margin.models import MarginCall, Plan
from margin.workflow import Verb
from market import clock
from tests.machine import world
from tests.machine.reach import Reach
from tests.machine.world import House
from tests.workflow import table

PICK = st.integers(0, 11)
STEPS = 100
"""Of a schedule; after each, and before the first, every promise is asked."""
PROMISES = "machine_promises"
DONE, REFUSED = "done", "refused"
No = type[Exception] | tuple[type[Exception], ...] | None


class Broken(AssertionError):
    """A promise did not hold; the message names it and the rows."""


class Core(RuleBasedStateMachine):
    """One schedule: a transaction over the house, undone at the end."""

    house: ClassVar[House]
    reach: ClassVar[Reach]

    def __init__(self) -> None:
        super().__init__()
        self.schedule = world.Schedule()
        self.schedule.begin()
        self.now = self.house.opened
        self.numbers = self.steps = 0
        self.written = ""
        self.reach.schedules += 1
        clock.now = lambda: self.now  # views and tasks read the time here

    def teardown(self) -> None:
        if isinstance(sys.exc_info()[1], Exception) and not self.reach.found_in:  # not hypothesis' own cutting short
            self.reach.found_in = self.reach.schedules
        self.reach.whole += self.steps > STEPS
        try:
            self.reach.gather(self.house.last_event)
            faults = history.verify_all().faults
            if faults:
                raise Broken("; ".join(map(str, faults)))
        finally:
            self.schedule.undo()

    @invariant()
    def every_promise_holds(self) -> None:
        """Asked anew whenever the server has written anything: none of these promises depends on time alone."""
        self.steps += 1
        self.reach.steps += 1
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_insert_lsn()")
            written, self.written = self.written, cursor.fetchone()[0]
            if written == self.written:
                return
            cursor.execute(
                "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED;"
                f"EXECUTE {PROMISES} (%s)", [self.now]
            )  # fmt: skip
            broken = cursor.fetchall()
        if broken:
            raise Broken("; ".join(f"{name}: {row}" for name, row in broken))

    # --- what rules are made of---------------------------------------------------------------------------------

    def attempt(
        self,
        verb: Verb,
        call: MarginCall,
        actor: Actor,
        *,
        deed: Callable[[], Any],
        also: No = None,
        perhaps: No = None,
        state_matters: bool = True,
        role_matters: bool = True,
    ) -> bool:
        """Do what the verb says of a call, and hold what became of it against the oracle: role × state × `also`."""
        wrong = [calls.Refused] if role_matters and not table.may(verb, actor.role) else []
        if state_matters and not table.fits(verb, call.state):
            wrong += [calls.IllegalMove, calls.Refused]
        wrong += list(also) if isinstance(also, tuple) else [also] if also else []
        what = f"{verb} of {call.state} {call} by {actor.name} ({actor.role})"
        return self.try_it(verb, what=what, also=tuple(wrong), perhaps=perhaps, deed=deed)

    def try_it(
        self,
        verb: str,
        *,
        deed: Callable[[], Any],
        also: tuple[type[Exception], ...],
        perhaps: No = None,
        what: str = "",
    ) -> bool:
        """Do it; one of the errors in `also`, where there are any, must come, and that of `perhaps` may.

        Refused means that nothing was written.
        """
        before = self.traces()
        savepoint = transaction.savepoint()
        try:
            deed()
        except (calls.CallError, DatabaseError) as refusal:
            if isinstance(refusal, DatabaseError):
                transaction.savepoint_rollback(savepoint)
                connection.needs_rollback = False  # it was: the server is as before the deed
            if not isinstance(refusal, also or perhaps or ()):
                raise Broken(f"{what or verb} should be done: {refusal!r}") from refusal
            if self.traces() != before:
                raise Broken(f"refused, yet it left traces: {refusal!r}") from refusal
            self.count(verb, REFUSED)
            return False
        if also:
            raise Broken(f"{what or verb} should be refused: {also}")
        self.count(verb, DONE)
        return True

    def traces(self) -> tuple[Any, ...]:
        """What a refused deed must leave as it was."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT (SELECT count(*) FROM margin_event),"
                " (SELECT count(*) FROM margin_plan WHERE state = 'proposed'),"
                " (SELECT count(*) FROM margin_approval), (SELECT count(*) FROM accounts_positionfact)"
            )
            return tuple(cursor.fetchone())

    def now_holds(self, name: str) -> None:
        """A promise that holds once somebody has looked."""
        with connection.cursor() as cursor:
            cursor.execute(invariants.QUERIES[name].replace("{at}", "%(at)s::timestamptz"), {"at": self.now})
            broken = cursor.fetchall()
        if broken:
            raise Broken(f"{name}: {broken}")

    def count(self, what: str, how: str) -> None:
        self.reach.cells[f"{what} {how}"] += 1

    def call(self, pick: int, verb: Verb, among: Collection[int] = ()) -> MarginCall | None:
        """Any call; mostly one in a state that takes the verb, and one of `among` where there are some."""
        known = list(MarginCall.objects.order_by("pk").values_list("pk", "state"))
        if not known:
            return None
        fitting = [pk for pk, state in known if table.fits(verb, state) and (state in table.OPEN or pick < 3)]
        named = [pk for pk in fitting if pk in among]
        chosen = (named or fitting) if pick else []
        chosen = chosen or [pk for pk, _ in known]
        wanted = chosen[(pick or self.numbers) % len(chosen)]
        return MarginCall.objects.select_related("account", "policy_version").get(pk=wanted)

    def plan(self, pick: int, state: str) -> Plan | None:
        known = list(Plan.objects.order_by("-pk").values_list("pk", "state"))
        fitting = [pk for pk, stands in known if stands == state]
        chosen = fitting if fitting and pick else [pk for pk, _ in known]
        wanted = Plan.objects.select_related("call__account", "call__policy_version")
        return wanted.get(pk=chosen[pick % len(chosen)]) if chosen else None

    def newest(self, model: Any, pick: int, *related: str) -> Any:
        """One of the last few rows of a table."""
        return next(iter(model.objects.select_related(*related).order_by("-pk")[pick % 5 : pick % 5 + 1]), None)

    def person(self, pick: int, verb: Verb) -> Actor:
        """Anybody; mostly somebody who may."""
        people = list(self.house.people.values())
        permitted = [actor for actor in people if table.may(verb, actor.role)]
        return people[(pick + self.numbers) % len(people)] if pick % 4 == 0 else permitted[pick % len(permitted)]

    def deposited(self, pick: int) -> CashMovement | None:
        known = CashMovement.objects.filter(kind="deposit", reverses=None).order_by("-pk").select_related("account")
        return next(iter(known[pick % 4 : pick % 4 + 1]), None)

    def account(self, pick: int) -> Account:
        return self.house.accounts[pick % len(self.house.accounts)]

    def mark(self, of: str) -> Decimal:
        with connection.cursor() as cursor:
            cursor.execute("SELECT mark FROM market_quote WHERE instrument_id = %s", [self.house.instruments[of].pk])
            mark: Decimal = cursor.fetchone()[0]
        return mark

    def reference(self, what: str) -> str:
        self.numbers += 1
        return f"{what}-{self.numbers}"

    def advance(self, to: datetime) -> None:
        self.now = max(self.now, min(to, datetime(2026, 11, 1, tzinfo=self.now.tzinfo)))


def prepare_promises() -> None:
    """All invariants as one prepared statement of this session: one round trip after every step."""
    with connection.cursor() as cursor:
        cursor.execute("SET jit = off")
        cursor.execute("SET plan_cache_mode = force_generic_plan")
        statement = invariants.all_in_one(cursor, without=invariants.LIVENESS)
        cursor.execute(f"PREPARE {PROMISES} (timestamptz) AS {statement}")
