"""What the demonstration's desk has done by the time its first visitor comes: every part of a call's life once.

Calls of the days before were made by hand and their money came in; then the first sweep runs, and the desk works on
what it called. Everything goes through the rooms' own doors, by the logins of `build`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache

from django.contrib.auth.models import User

from accounts import alerts, cash
from accounts.models import Account, CashMovement
from margin import (
    calls,
    casework,
    claims,
    consequences,
    disputes,
    reconciling,
    requests,
    restrictions,
    reversals,
    sweep,
)
from margin.actors import Actor, person, system
from margin.calls import Move
from margin.models import MarginCall
from margin.workflow import Cause, Verb

BANK = "demo-bank"
LATE_PAYER, BOUNCED_PAYER = "A1005", "M6001"
CALLED_EARLIER = {LATE_PAYER: Decimal(25_000), BOUNCED_PAYER: Decimal(8_000)}
ISSUED_BEFORE = timedelta(days=9)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

Who = Callable[[str], Actor]


def play(*, at: datetime) -> None:
    """Days of desk work that end at `at`, on a house just built. Its securities accounts are swept on the way."""

    @cache
    def who(login: str) -> Actor:
        return person(User.objects.get(username=login))

    alerts.state(_account("A1002"), Decimal("1.25"), reason="the client asked to hear early", by="operations")
    paid = {code: _called_and_paid(code, who, at) for code in CALLED_EARLIER}
    sweep.run("securities", at=at)
    cash.reverse(paid[BOUNCED_PAYER], source=BANK, external_reference="DEMO-R1", at=at, note="recalled by its bank")
    reversals.carry_out(at=at)
    _ask_and_answer(who, at)
    _look_into(who, at)
    _watch_rights(who, at)
    consequences.settle(at=at, actor=system("restrictions"))


def _called_and_paid(code: str, who: Who, at: datetime) -> CashMovement:
    """A call by two people some days ago, told, reminded of, and paid: late by the one, in time by the other."""
    issued_at, amount = at - ISSUED_BEFORE, CALLED_EARLIER[code]
    why = "one position outgrew what we lend against"
    asked = requests.ask_issue(
        _account(code), regime="house", amount=amount, reason=why, at=issued_at, actor=who("operations")
    )
    requests.grant(asked, at=issued_at + MINUTE, actor=who("supervisor"), reason="agreed with Risk")
    call = _open_call(code)
    calls.notified([call.pk], at=issued_at + 2 * MINUTE, actor=system("notices"))
    reminded_at = call.due_at - 2 * HOUR
    reminder = Move(Verb.REMIND, call.account_id, call_id=call.pk, changes={"reminded_at": reminded_at})
    calls.carry_out([reminder], at=reminded_at, actor=system("deadlines"))
    paid_at = call.due_at - HOUR
    if code == LATE_PAYER:
        calls.escalate(_open_call(code), cause=Cause.DEADLINE, at=call.due_at + MINUTE, actor=system("deadlines"))
        paid_at = call.due_at + 20 * HOUR
    return cash.deposit(
        call.account,
        currency="USD",
        amount=amount,
        source=BANK,
        external_reference=f"DEMO-{code}",
        at=at,
        effective_at=min(paid_at, at),
    )


def _ask_and_answer(who: Who, at: datetime) -> None:
    """More time asked and granted, more time asked and waiting, a hold by two people."""
    alder, fir, hazel = _open_call("A1001"), _open_call("A1006"), _open_call("A1008")
    asked = requests.ask_extension(
        alder,
        until=alder.due_at + DAY,
        reason_code="bank_transfer",
        reason="the client's bank confirmed a wire for tomorrow",
        at=at,
        actor=who("operations"),
    )
    requests.grant(asked, at=at, actor=who("supervisor"), reason="the confirmation is on file")
    requests.ask_extension(
        fir,
        until=fir.due_at + DAY,
        reason_code="foreign_holiday",
        reason="the client's bank is closed on the due day",
        at=at,
        actor=who("operations2"),
    )
    held = requests.ask_hold(
        hazel,
        until=at + 20 * HOUR,
        reason_code="price_check",
        reason="the quote of ALFA-P165 is being checked with the venue",
        at=at,
        actor=who("operations"),
    )
    requests.grant(held, at=at, actor=who("supervisor2"), reason="the venue answers within the day")


def _look_into(who: Who, at: datetime) -> None:
    """A payment under way, an objection, a telephone call, a book that was compared."""
    cedar, larch, alder = _open_call("A1003"), _open_call("A1012"), _open_call("A1001")
    claim = claims.claim(
        cedar,
        amount=cedar.amount_outstanding,
        currency="USD",
        method="wire",
        reference="WIRE 77-1042",
        at=at,
        actor=who("operations"),
        expected_at=at + DAY,
    )
    claims.check(
        claim, finding="in_transit", reason="the sending bank shows it as released", at=at, actor=who("operations2")
    )
    disputes.dispute(
        larch,
        amount=Decimal(1_000),
        reason_code="mark_to_market",
        reason="the client sees a higher price for NOMG on its own screen",
        opened_by="Larch Estate",
        at=at,
        actor=who("operations"),
    )
    casework.contact(
        alder,
        channel="phone",
        direction="out",
        outcome="reached",
        who="Alder Treasury",
        text="Told amount and deadline; a wire is under way, its confirmation follows by mail.",
        at=at,
        actor=who("operations"),
    )
    reconciling.confirm(
        _account("A1004"), reason="compared with the custodian's statement of the day", at=at, actor=who("operations2")
    )


def _watch_rights(who: Who, at: datetime) -> None:
    restrictions.place(
        _account("A1011"),
        effect=restrictions.Effect.NO_WITHDRAWAL,
        reason="the structured note has no price: nothing leaves until it is valued",
        at=at,
        actor=who("risk"),
        ends_at=at + 30 * DAY,
    )


def _account(code: str) -> Account:
    return Account.objects.get(code=code)


def _open_call(code: str) -> MarginCall:
    """The account's oldest open call."""
    return MarginCall.objects.open().filter(account__code=code).order_by("pk")[0]
