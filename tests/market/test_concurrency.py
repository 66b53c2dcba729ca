"""Real threads on a real PostgreSQL: recorders of one instrument take turns, people decide once, no quote goes back."""

import random
import threading
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection

from market import actions, calendars, fx, quotes
from market.models import CorporateAction, FxRate, HeldQuote, Instrument, Quote, QuoteFact, Session
from tests.market.conftest import NOON, instrument, quote

AT = NOON + timedelta(hours=1)


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """Run the jobs at the same moment in threads of their own; results or exceptions, in order."""
    found: list[Any] = [None] * len(jobs)
    gate = threading.Barrier(len(jobs))

    def run(place: int) -> None:
        gate.wait()
        try:
            found[place] = jobs[place]()
        except Exception as error:
            found[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def unexpected(found: list[Any]) -> list[Any]:
    return [one for one in found if isinstance(one, Exception)]


@pytest.fixture
def person(committed_db: Any) -> Callable[[str, str], Any]:
    """Committed people; pytest's own fixture of users would open a transaction no other thread sees."""

    def make(name: str, role: str) -> Any:
        user = get_user_model().objects.create_user(username=name, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        return user

    return make


def test_many_recorders_of_the_same_instruments_leave_the_newest_quote_and_lose_none(committed_db: Any) -> None:
    codes = [f"I{n}" for n in range(20)]
    for code in codes:
        instrument(code)
    dice = random.Random(1987)
    jobs = []
    for source in range(8):
        order = [(code, second) for code in codes for second in range(10)]
        dice.shuffle(order)
        batches = [order[start : start + 25] for start in range(0, len(order), 25)]

        def job(source: int = source, batches: list[list[tuple[str, int]]] = batches) -> int:
            accepted = 0
            for batch in batches:
                sent = [
                    quote(code, str(100 + second), seconds=second + source / 10, source=f"s{source}")
                    for code, second in batch
                ]
                accepted += quotes.record(sent, at=AT).accepted
            return accepted

        jobs.append(job)
    found = together(*jobs)
    assert unexpected(found) == []
    assert QuoteFact.objects.count() == sum(found)
    for current in Quote.objects.select_related("fact"):
        newest = QuoteFact.objects.filter(instrument=current.instrument_id).order_by("-as_of", "-id").first()
        assert newest == current.fact
        assert (current.mark, current.as_of) == (Decimal(109), NOON + timedelta(seconds=9.7))


def test_the_first_quotes_of_an_instrument_race_and_the_guard_still_sees_each_other(committed_db: Any) -> None:
    """Two sources a factor of five apart: whoever comes first is believed, the other is asked about, never both."""
    for trial in range(10):
        code = f"T{trial}"
        instrument(code)
        found = together(
            *(
                lambda mark=mark, source=source, ahead=ahead, code=code: quotes.record(
                    [quote(code, mark, seconds=ahead, source=source)], at=AT
                )
                for mark, source, ahead in (("100", "alpha", 0), ("530", "beta", 1))
            )
        )
        assert unexpected(found) == []
        facts, held = (
            QuoteFact.objects.filter(instrument__code=code).count(),
            HeldQuote.objects.filter(instrument__code=code).count(),
        )
        late = sum(len(one.refused) for one in found)
        assert (facts, held + late) == (1, 1)


def test_the_same_batch_from_eight_senders_is_recorded_once(committed_db: Any) -> None:
    instrument()
    batch = [quote(mark=str(100 + second), seconds=second) for second in range(10)]
    found = together(*[lambda: quotes.record(batch, at=AT)] * 8)
    assert unexpected(found) == []
    assert sum(one.accepted for one in found) == 10
    assert sum(one.repeated for one in found) == 70
    assert QuoteFact.objects.count() == 10


def test_two_agreeing_sources_at_the_same_moment_release_each_other(committed_db: Any) -> None:
    for trial in range(10):
        code = f"T{trial}"
        instrument(code)
        quotes.record([quote(code, seconds=-60)], at=AT)
        found = together(
            *(
                lambda source=source, code=code: quotes.record([quote(code, "60", source=source)], at=AT)
                for source in ("alpha", "beta")
            )
        )
        assert unexpected(found) == []
        assert Quote.objects.get(instrument__code=code).mark == 60
        assert not HeldQuote.objects.filter(instrument__code=code, state="held").exists()


def test_of_eight_people_deciding_one_quote_one_decides(committed_db: Any, person: Callable[[str, str], Any]) -> None:
    instrument()
    quotes.record([quote(seconds=-60)], at=AT)
    quotes.record([quote(mark="60")], at=AT)
    held = HeldQuote.objects.get()
    jobs: list[Callable[[], Any]] = []
    for place in range(8):
        who, mine = person(f"p{place}", "Risk"), HeldQuote.objects.get(pk=held.pk)
        if place % 2:
            jobs.append(lambda mine=mine, who=who: quotes.confirm(mine, at=AT, person=who))
        else:
            jobs.append(lambda mine=mine, who=who: quotes.reject(mine, at=AT, person=who, reason="slip"))
    found = together(*jobs)
    assert [type(error) for error in unexpected(found)] == [quotes.CannotDecide] * 7, found
    held.refresh_from_db()
    assert Quote.objects.get().mark == (60 if held.state == "confirmed" else 100)


def test_of_eight_people_deciding_one_action_one_decides(committed_db: Any, person: Callable[[str, str], Any]) -> None:
    share = instrument()
    given = {"kind": "delisting", "effective_at": NOON, "at": NOON, "reason": "venue notice"}
    action = actions.propose(instrument=share, person=person("oli", "Operations"), **given)
    people = [person(f"p{place}", "Risk") for place in range(8)]
    found = together(
        *(
            lambda who=who, place=place: (
                actions.approve(action, at=NOON, person=who)
                if place % 2
                else actions.reject(action, at=NOON, person=who, reason="no")
            )
            for place, who in enumerate(people)
        )
    )
    assert [type(error) for error in unexpected(found)] == [actions.ActionError] * 7, found
    action = CorporateAction.objects.get()
    assert (action.approved_by is None) != (action.rejected_by is None)
    assert (Instrument.objects.get().ended_at is not None) == (action.approved_by is not None)


def test_rates_sent_by_many_at_once_are_recorded_once(committed_db: Any) -> None:
    batch = [fx.Incoming("EUR", "USD", Decimal("1.1"), NOON + timedelta(seconds=second), "ecb") for second in range(5)]
    found = together(*[lambda: fx.record(batch, at=AT)] * 8)
    assert unexpected(found) == []
    assert FxRate.objects.count() == 5


def test_calendars_filled_by_many_at_once_are_filled_once(committed_db: Any) -> None:
    calendars.fill("US-BANK", date(2026, 1, 1), date(2026, 1, 31))
    found = together(*[lambda: calendars.fill("US-BANK", date(2026, 1, 1), date(2026, 12, 31))] * 4)
    assert unexpected(found) == []
    assert sum(found) == Session.objects.count() - 20
    assert len(calendars.business_days("US-BANK").dates) == 251


def test_a_recorder_that_waits_for_another_sees_what_it_wrote(committed_db: Any) -> None:
    """The second recorder starts before the first commits and must still judge its quote against it."""
    from django.db import transaction

    instrument()
    quotes.record([quote(seconds=-60)], at=AT)
    entered, release = threading.Event(), threading.Event()

    def first() -> quotes.Recorded:
        with transaction.atomic():
            done = quotes.record([quote(mark="120", seconds=1)], at=AT)
            entered.set()
            release.wait(10)
        return done

    def second() -> quotes.Recorded:
        entered.wait(10)
        threading.Timer(0.5, release.set).start()
        return quotes.record([quote(mark="145", seconds=2, source="beta")], at=AT)  # 20.8 % from 120, 45 % from 100

    found = together(first, second)
    assert unexpected(found) == []
    assert found[1].accepted == 1
    assert Quote.objects.get().mark == 145
