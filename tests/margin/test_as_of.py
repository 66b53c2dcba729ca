"""Rows as of any event and any instant: what events rebuild equals what the table held then, column by column."""

from datetime import timedelta
from decimal import Decimal

import pytest

from margin import as_of, calls, history
from margin.calls import Move
from margin.models import Cure, Event, MarginCall
from margin.workflow import Cause, Resolution, Verb
from tests.margin import rows
from tests.margin.rows import AT, SWEEPER

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def held(account):
    """The account's rows now, as the database says them."""
    found = (MarginCall.objects.filter(account=account), Cure.objects.filter(call__account=account))
    return tuple(list(rows.order_by("pk").values()) for rows in found)


def told(standing):
    return tuple(
        [{field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields} for row in found]
        for found in (standing.calls, standing.cures)
    )


def lively(account):
    """What happens to the account, an hour between each: two calls that overlap, cures of every fate, an end each."""
    version = rows.policy()

    def call(regime):
        return MarginCall.objects.filter(account=account, regime=regime).latest("pk").pk

    def move(verb, regime="house", **options):
        return lambda: Move(verb, account.pk, call_id=call(regime), **options)

    def cure(verb, state, **columns):
        known = {"id": Cure.objects.latest("pk").pk} if verb != Verb.CLAIM else {"kind": "cash", "currency": "USD"}
        return Move(verb, account.pk, call_id=call("house"), cure={**known, "state": state, **columns})

    yield lambda: rows.issue(account, version)
    yield move(Verb.NOTIFIED, changes={"notified_at": AT})
    yield move(Verb.CHANGE, changes={"amount_called": Decimal("120.50"), "amount_outstanding": Decimal("120.50")})
    yield lambda: cure(Verb.CLAIM, "claimed", amount=Decimal("70"), method="wire", reference="X 12", expected_at=AT)
    yield lambda: rows.issue(account, version, regime="exchange", amount="0.01")
    yield lambda: cure(Verb.MOVE_CURE, "in_transit")
    yield move(Verb.NOTE, reason="rang, no answer")
    yield move(Verb.EXTEND, changes={"due_at": AT + 90 * HOUR})
    yield lambda: cure(Verb.MOVE_CURE, "rejected")
    yield move(Verb.HOLD, changes={"held_until": AT + 40 * HOUR}, reason="a test")
    yield move(Verb.DISPUTE, changes={"disputed": Decimal("30"), "clock_stopped_at": AT})
    yield move(Verb.RELEASE)
    yield move(Verb.PROVISIONALLY_MEET, "exchange")
    yield move(Verb.BREACH_AGAIN, "exchange")
    yield move(Verb.DECIDE, changes={"disputed": Decimal(0), "clock_stopped_at": None})
    yield move(Verb.ESCALATE, changes={"escalation_cause": Cause.DEADLINE})
    yield move(Verb.MEET, "exchange", changes={"resolution": Resolution.MARKET})
    yield move(Verb.LEVEL, changes={"escalation_level": 2})
    yield move(Verb.NOTE, "exchange", reason="after its end")
    yield move(Verb.CANCEL, reason="a wrong price")
    yield lambda: rows.issue(account, version, amount="7")


@pytest.fixture
def lived():
    """The account, and (event's seq, its instant, rows then) of every step."""
    rows.account()  # ids of others between
    account = rows.account()
    seen = []
    for hours, move in enumerate(lively(account)):
        (outcome,) = calls.carry_out([move()], at=AT + hours * HOUR, actor=SWEEPER)
        assert outcome.is_done, outcome.error
        seen.append((outcome.seq, AT + hours * HOUR, held(account)))
    return account, seen


def test_at_every_event_the_rebuilt_rows_are_those_of_then(lived):
    account, seen = lived
    assert len(seen) == 21
    assert len({str(then) for *_, then in seen}) == 20, "all but the note on the closed call change a row"
    for seq, _, then in seen:
        standing = as_of.event(account.pk, seq=seq)
        assert (standing.seq, told(standing)) == (seq, then)
    assert history.verify(account) == []


def test_an_instant_counts_what_happened_up_to_it(lived):
    account, seen = lived
    for seq, at, then in seen:
        assert told(as_of.instant(account.pk, at=at)) == then
        assert as_of.instant(account.pk, at=at + HOUR / 2).seq == seq
    before = as_of.instant(account.pk, at=AT - HOUR)
    assert (before.seq, before.head, before.calls, before.cures) == (0, "", (), ())


def test_the_head_is_that_of_the_last_event_counted(lived):
    account, _ = lived
    fifth = Event.objects.get(account=account, seq=5)
    assert as_of.event(account.pk, seq=5).head == fifth.hash


def test_rows_of_today_are_not_looked_at(lived, django_assert_num_queries):
    account, _ = lived
    with django_assert_num_queries(1) as asked:
        as_of.event(account.pk, seq=9)
    assert '"margin_event"' in asked[0]["sql"]
