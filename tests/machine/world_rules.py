"""Rules of the world and of the clockwork: prices, money, trades, files; time, sweeps, crashes, recovery."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from hypothesis import strategies as st
from hypothesis.stateful import rule

from accounts import cash, fills, ledgers
from accounts.models import CashMovement, PositionFact
from backoffice import invariants
from margin import shards, sweep, watch
from margin.models import Assessment, Cure, Event, MarginCall, Sweep
from margin.workflow import Verb
from market import fx, quotes, strict
from market.guard import Incoming
from market.models import HeldQuote, QuoteFact
from notifications import notices
from tests.machine import world
from tests.machine.core import PICK, REFUSED, Broken, Core
from tests.machine.world import KINDS, D

LEVELS = {
    "XYZ": [D(text) for text in ("36", "40", "43", "46", "48", "49", "50", "51", "52", "54", "57", "63")],
    "QQQ": [D(text) for text in ("60", "70", "80", "90", "100")],
    "BTC": [D(text) for text in ("38000", "42000", "44000", "46000", "48000", "50000", "53000", "58000")],
}
JUNK = (D("NaN"), D(0), D(-5), D("Infinity"), D("1E+30"), D("0.0000000000001"))
# Open calls of accounts that the sweep at this instant priced, under the same book, unlike `least`.
OUTSTANDING = """
SELECT c.id, c.amount_outstanding, k.least FROM margin_margincall c
JOIN margin_assessment a ON a.account_id = c.account_id AND a.at = %s AND a.status = 'priced'
JOIN margin_measure m ON m.assessment_id = a.id AND m.regime = c.regime
JOIN margin_policyversion v ON v.id = c.policy_version_id
CROSS JOIN LATERAL jsonb_array_elements(v.terms -> 'regimes') t
CROSS JOIN LATERAL (
    SELECT greatest(0, c.amount_called - coalesce(sum(k.release) FILTER (WHERE k.state = 'settled'), 0)) AS left_over
    FROM margin_cure k WHERE k.call_id = c.id) settled
CROSS JOIN LATERAL (
    SELECT CASE WHEN c.market_cures THEN least(settled.left_over, m.deficit) ELSE settled.left_over END AS least) k
WHERE c.state IN ('issued', 'escalated') AND t ->> 'regime' = c.regime
  AND abs(c.amount_outstanding - k.least) > c.amount_called * 0.01
"""
TOO_LATE = """
SELECT e.id, e.kind FROM margin_event e JOIN margin_sweep s ON e.body::jsonb ->> 'actor' = 'sweep ' || s.id
WHERE e.id > %s AND e.kind ~ '^(call|warning)[.]' AND EXISTS (
    SELECT FROM margin_assessment a JOIN margin_sweep l ON l.id = a.sweep_id
    JOIN margin_shard d ON d.sweep_id = l.id AND d.done_at IS NOT NULL
    WHERE a.account_id = e.account_id AND l.id > s.id AND l.at > s.at AND l.kind IN (s.kind, 'attention'))
"""
AMOUNTS = (D(10), D(40), D(100), D(500), D(2000))
JUMPS = tuple(timedelta(minutes=count) for count in (1, 7, 30, 61, 180, 600, 1500))


class World(Core):
    """Prices, money, trades and files come as they please; the clockwork runs, dies and recovers."""

    # --- the world: prices, rates, money, trades ---------------------------------------------------------------

    @rule(of=st.sampled_from(["XYZ", "XYZ", "BTC", "QQQ"]), step=st.sampled_from([-2, -1, -1, 1, 1, 2]))
    def tick(self, of: str, step: int) -> None:
        """The price moves to a neighbouring level; two levels may be a jump that the guard holds."""
        levels = LEVELS[of]
        place = min(range(len(levels)), key=lambda k: abs(levels[k] - self.mark(of)))
        mark = levels[max(0, min(len(levels) - 1, place + step))]
        quotes.record([Incoming(of, "venue", self.now, mark)], at=self.now)

    @rule(of=st.sampled_from(["XYZ", "BTC"]), times=st.sampled_from([D("0.1"), D("0.01"), D(10), D("0.5"), D("1.6")]))
    def fat_finger(self, of: str, times: Decimal) -> None:
        """A slip of the key is held, never used."""
        before = self.mark(of)
        quotes.record([Incoming(of, "venue-b", self.now, before * times)], at=self.now)
        assert self.mark(of) == before

    @rule(junk=st.sampled_from(JUNK))
    def send_junk(self, junk: Decimal) -> None:
        before = QuoteFact.objects.count()
        done = quotes.record([Incoming("XYZ", "venue", self.now, junk)], at=self.now)
        assert len(done.refused) == 1
        assert QuoteFact.objects.count() == before

    @rule(pick=PICK, who=PICK, says_yes=st.booleans())
    def decide_quarantine(self, pick: int, who: int, says_yes: bool) -> None:
        held = list(HeldQuote.objects.filter(state="held").order_by("pk"))
        if not held:
            return
        quote = held[pick % len(held)]
        user = self.house.users[list(self.house.users)[who % len(self.house.users)]]
        try:
            if says_yes:
                quotes.confirm(quote, at=self.now, person=user)
            else:
                quotes.reject(quote, at=self.now, person=user, reason="a slip")
        except quotes.CannotDecide:
            self.count("quarantine", REFUSED)
        else:
            assert world.STAFF[user.username] in ("Operations", "Supervisor", "Risk")

    @rule(value=st.sampled_from(["1.06", "1.10", "1.14", "2.00", "0"]))
    def tick_fx(self, value: str) -> None:
        try:
            fx.record([fx.Incoming("EUR", "USD", D(value), self.now, "ecb")], at=self.now)
        except strict.Refused:
            assert value in ("2.00", "0", "1.06", "1.10", "1.14")

    @rule(pick=PICK, amount=st.sampled_from(AMOUNTS), exact=st.booleans())
    def deposit(self, pick: int, amount: Decimal, exact: bool) -> None:
        """Money comes in; often just what is outstanding."""
        account = self.account(pick)
        call = MarginCall.objects.open().filter(account=account).order_by("pk").first()
        if exact and call is not None and call.amount_outstanding:
            amount = call.amount_outstanding
        world.deposit(account, amount, self.reference("in"), self.now)

    @rule(pick=PICK, again=st.booleans())
    def repeat_deposit(self, pick: int, again: bool) -> None:
        """The same reference twice is one movement; with another amount it is refused."""
        one = self.deposited(pick)
        if one is None:
            return
        before = (CashMovement.objects.count(), PositionFact.objects.count())
        try:
            world.deposit(one.account, one.amount + (0 if again else 1), one.external_reference, self.now)
        except ledgers.Conflict:
            assert not again
        else:
            assert again
        assert (CashMovement.objects.count(), PositionFact.objects.count()) == before

    @rule(pick=PICK, amount=st.sampled_from(AMOUNTS))
    def withdraw(self, pick: int, amount: Decimal) -> None:
        account = self.account(pick)
        cash.withdraw(
            account, currency=account.base_currency, amount=min(amount, D(300)), source="bank",
            external_reference=self.reference("out"), at=self.now,
        )  # fmt: skip

    @rule(pick=PICK)
    def reverse_deposit(self, pick: int) -> None:
        """The bank takes a deposit back, also one that has met a call."""
        one = self.deposited(pick)
        if one is None:
            return
        is_first = not CashMovement.objects.filter(reverses=one).exists()
        try:
            with transaction.atomic():
                cash.reverse(one, source="bank", external_reference=self.reference("back"), at=self.now)
        except ledgers.Conflict:
            assert not is_first
        else:
            assert is_first

    @rule(pick=PICK, units=st.sampled_from([-20, -5, 5, 20]))
    def trade(self, pick: int, units: int) -> None:
        """The client trades; the same report again changes nothing."""
        account = self.account(pick)
        of = "BTC" if account.agreement == "loan" else "XYZ"
        quantity = D(units) / (1000 if of == "BTC" else 1)
        report: dict[str, Any] = {
            "instrument": self.house.instruments[of], "quantity": quantity, "price": self.mark(of), "source": "oms",
            "external_reference": self.reference("trade"), "traded_at": self.now, "at": self.now,
        }  # fmt: skip
        fills.apply_fill(account, **report)
        before = PositionFact.objects.count()
        fills.apply_fill(account, **report)
        assert PositionFact.objects.count() == before

    @rule(pick=PICK, cut=st.sampled_from([None, None, 3, 40, 60]))
    def load_quotes(self, pick: int, cut: int | None) -> None:
        """A file is taken whole or leaves nothing."""
        mark = LEVELS["QQQ"][pick % 5]
        at = self.now.isoformat().replace("+00:00", "Z")
        text = f"instrument,source,as_of,mark\nQQQ,file,{at},{mark}\nXYZ,file,{at},{self.mark('XYZ')}\n"
        text += f"#rows=2,total={mark + self.mark('XYZ')}\n"
        before = QuoteFact.objects.count()
        try:
            with transaction.atomic():
                quotes.load(text[: -cut if cut else None].encode(), at=self.now, control=strict.Control(rows=2))
        except strict.Refused:
            assert QuoteFact.objects.count() == before
        else:
            assert cut is None

    # --- the clockwork: time, sweeps, recovery -------------------------------------------------------------------

    @rule(jump=st.sampled_from(JUMPS))
    def wait(self, jump: timedelta) -> None:
        self.advance(self.now + jump)

    @rule()
    def fall_due(self) -> None:
        """Letters go out and the next deadline passes, across nights, weekends and the change of clocks.

        The simplest of all rules: hypothesis ends its simplest schedules with nothing but this one.
        """
        call = MarginCall.objects.open().filter(due_at__gte=self.now).order_by("due_at").first()
        if call is None:
            return
        notices.prepare(at=self.now)
        notices.send(at=self.now)
        self.advance(call.due_at)
        self.sweep_attention()

    @rule(of=st.sampled_from(["XYZ", "XYZ", "BTC"]), step=st.sampled_from([-1, 1]), told=st.booleans())
    def an_hour_passes(self, of: str, step: int, told: bool) -> None:
        """What an hour brings: a price, the sweep of those who hold it, perhaps the letters."""
        self.advance(self.now + timedelta(minutes=61))
        self.tick(of, step)
        kind = "crypto" if of == "BTC" else "securities"
        sweep.run(kind, at=self.now)
        self.what_was_swept_is_sound(kind)
        if told:
            notices.prepare(at=self.now)
            notices.send(at=self.now)

    @rule(kind=st.sampled_from(KINDS), twice=st.booleans())
    def sweep_all(self, kind: str, twice: bool) -> None:
        self.advance(self.now + timedelta(seconds=1))
        assert sweep.run(kind, at=self.now) is not None
        self.what_was_swept_is_sound(kind)
        if twice and kind == "crypto":  # the slot is taken, and nothing is called twice on the same prices
            assert sweep.run(kind, at=self.now) is None
            issued = Event.objects.filter(kind=Verb.ISSUE).count()
            sweep.run(kind, at=self.now, slot_at=self.now + timedelta(milliseconds=1))
            assert Event.objects.filter(kind=Verb.ISSUE).count() == issued

    def what_was_swept_is_sound(self, kind: str) -> None:
        """I25: what holds a price in quarantine was not assessed. T11: what was taken back no longer counts."""
        held = list(HeldQuote.objects.filter(state="held").values_list("instrument_id", flat=True))
        assessed = Assessment.objects.filter(sweep__kind=kind, at=self.now, status="priced")
        used = (
            {row[0] for holdings in assessed.values_list("holdings", flat=True) for row in holdings} if held else set()
        )
        assert not used & set(held), f"prices in quarantine were used: {used & set(held)}"
        assert not Cure.objects.filter(state="settled", movement__reversed_by__isnull=False).exists()
        self.what_is_outstanding_is_the_less()

    def what_is_outstanding_is_the_less(self) -> None:
        """settled.md 26, of every open call that was just looked at; moves of a hundredth of the call may wait."""
        with connection.cursor() as cursor:
            cursor.execute(OUTSTANDING, [self.now])
            wrong = cursor.fetchall()
        if wrong:
            raise Broken(f"outstanding is not the less of what cures left and the deficit: {wrong}")

    @rule()
    def sweep_attention(self) -> None:
        """What fell due or was paid is looked at between two sweeps."""
        self.advance(self.now + timedelta(seconds=1))
        ids = sweep.wanting_attention(self.now)
        if ids:
            sweep.run(sweep.ATTENTION, at=self.now, ids=ids)

    @rule(kind=st.sampled_from([*KINDS, "attention"]), statements=st.integers(1, 60))
    def die_while_sweeping(self, kind: str, statements: int) -> None:
        self.advance(self.now + timedelta(seconds=1))
        ids = sweep.wanting_attention(self.now) if kind == sweep.ATTENTION else None
        with world.killed_after(statements):
            sweep.run(kind, at=self.now, ids=ids)

    @rule(steps=st.integers(2, 4))
    def crash(self, steps: int) -> None:
        """Coins fall step by step, then a sweep finds all who hold them: a storm, where several are new."""
        for _ in range(steps):
            self.advance(self.now + timedelta(minutes=1))
            self.tick("BTC", -1)
        self.sweep_all("crypto", twice=False)

    @rule(kind=st.sampled_from(KINDS), statements=st.integers(10, 60), step=st.sampled_from([-2, -1, 1, 2]))
    def come_late(self, kind: str, statements: int, step: int) -> None:
        """A sweep dies, the price moves, the next sweep is done: then the shard of the dead one is taken again."""
        of = "BTC" if kind == "crypto" else "XYZ"
        self.tick(of, -step)
        self.die_while_sweeping(kind, statements)
        self.tick(of, step)
        self.sweep_all(kind, twice=False)
        self.recover()

    @rule()
    def recover(self) -> None:
        """What beat does every few seconds: shards of the dead are taken again, and act on nobody seen since."""
        self.advance(self.now + timedelta(seconds=31))
        last = Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        for shard in sweep.lapsed(self.now):
            whole = shard.sweep
            shards.work(shard, now=self.now, in_force=sweep.policies_of(whole.kind, whole.at))
            sweep.finish(whole, now=self.now)
        for whole in Sweep.objects.filter(state=Sweep.State.RUNNING):
            sweep.finish(whole, now=self.now)
        with connection.cursor() as cursor:
            cursor.execute(TOO_LATE, [last])
            late = cursor.fetchall()
        if late:
            raise Broken(f"a sweep acted on an account that a later one had seen: {late}")
        self.now_holds(invariants.STUCK)

    @rule()
    def watch_over(self) -> None:
        """I13: once the watchdog has looked, a kind that nobody sweeps has its alarm."""
        watch.check(self.now)
        self.now_holds(invariants.UNWATCHED)
