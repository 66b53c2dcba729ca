"""`quotes.record` on a real database: what stands after accepting, holding, confirming, rejecting and repeating."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market import calendars, guard, quotes
from market.guard import Incoming
from market.models import CorporateAction, HeldQuote, Instrument, Quote, QuoteFact
from tests.market.conftest import NOON, instrument, quote

People = Callable[[str, str], Any]
AT = NOON + timedelta(hours=1)


def record(*batch: Incoming, at: datetime = AT) -> quotes.Recorded:
    return quotes.record(batch, at=at)


def current(code: str = "ACME") -> Quote:
    return Quote.objects.select_related("fact").get(instrument__code=code)


def held(code: str = "ACME") -> list[tuple[str, str, Decimal]]:
    rows = HeldQuote.objects.filter(instrument__code=code).order_by("id")
    return [(row.source, row.state, row.mark) for row in rows]


def test_an_accepted_quote_is_a_fact_and_the_current_quote(acme: Instrument) -> None:
    done = record(quote(mark="100", bid="99.9", ask="100.1", implied_volatility="0.31"))
    assert (done.accepted, done.held, done.refused) == (1, (), ())
    fact = QuoteFact.objects.get()
    for row in (fact, current()):
        figures = (row.bid, row.ask, row.mark, row.implied_volatility)
        assert figures == tuple(map(Decimal, ("99.9", "100.1", "100", "0.31")))
        assert (row.source, row.as_of) == ("alpha", NOON)
    assert current().fact == fact


def test_the_database_says_when_and_in_which_transaction_a_fact_was_recorded(acme: Instrument) -> None:
    record(quote())
    fact = QuoteFact.objects.get()
    assert abs((fact.recorded_at - datetime.now(UTC)).total_seconds()) < 60
    assert fact.transaction_id > 0


def test_bad_quotes_are_listed_by_row_and_the_good_ones_are_taken(acme: Instrument) -> None:
    instrument("BETA")
    done = record(
        quote(mark="100"),
        quote("NOBODY"),
        quote("BETA", mark="NaN"),
        quote("BETA", mark="20"),
        quote("BE\x00TA"),
    )
    assert done.accepted == 2
    assert [(problem.row, problem.field) for problem in done.refused] == [
        (2, "instrument"),
        (3, "mark"),
        (5, "instrument"),
    ]
    assert current("BETA").mark == 20


def test_the_current_quote_never_goes_back(acme: Instrument) -> None:
    record(quote(mark="101", seconds=10))
    done = record(quote(mark="99", seconds=5))
    assert done.refused[0].field == "as_of"
    assert current().mark == 101
    assert QuoteFact.objects.count() == 1


def test_a_batch_sent_again_changes_nothing_even_when_it_is_late(acme: Instrument) -> None:
    batch = [quote(mark=str(100 + second), seconds=second) for second in range(5)]
    assert record(*batch).accepted == 5
    again = record(*batch)
    assert (again.accepted, again.repeated, again.refused) == (0, 5, ())
    assert QuoteFact.objects.count() == 5


def test_a_quote_twice_in_one_batch_or_written_otherwise_is_a_repeat_and_another_price_is_not(acme: Instrument) -> None:
    done = record(quote(mark="100"), quote(mark="100"), quote(mark="100.00"), quote(mark="101"))
    assert (done.accepted, done.repeated) == (1, 2)
    assert [(problem.row, problem.field) for problem in done.refused] == [(4, "as_of")]
    assert record(quote(mark="1e2")).repeated == 1


def test_several_quotes_of_one_instrument_in_one_batch_are_all_facts_and_the_newest_stands(acme: Instrument) -> None:
    record(quote(mark="100", seconds=1), quote(mark="120", seconds=2), quote(mark="140", seconds=3))
    assert QuoteFact.objects.count() == 3
    assert current().mark == 140


def test_an_empty_batch_is_nothing(db: None) -> None:
    assert record() == quotes.Recorded()


def test_too_large_a_batch_is_refused_whole(acme: Instrument) -> None:
    with pytest.raises(ValueError, match="smaller batches"):
        quotes.record([quote()] * 20_001, at=AT)


# --- quarantine -------------------------------------------------------------------------------------------


@pytest.fixture
def jumped(acme: Instrument) -> HeldQuote:
    """ACME at 100, then one source says 60."""
    record(quote(mark="100", seconds=-60))
    done = record(quote(mark="60"))
    assert [problem.row for problem in done.held] == [1]
    return HeldQuote.objects.get()


def test_a_jump_waits_and_the_last_good_quote_stays(jumped: HeldQuote) -> None:
    assert jumped.reason.startswith("jump: 60 is -40.0 % from 100")
    assert (jumped.state, jumped.previous_mark, jumped.decided_at) == ("held", 100, None)
    assert current().mark == 100
    assert QuoteFact.objects.count() == 1


def test_the_same_source_insisting_confirms_nothing(jumped: HeldQuote) -> None:
    for second in range(1, 4):
        assert len(record(quote(mark="60", seconds=second)).held) == 1
    assert current().mark == 100
    assert held() == [("alpha", "held", Decimal(60))]
    jumped.refresh_from_db()
    assert jumped.as_of == NOON + timedelta(seconds=3)


def test_the_same_held_quote_again_is_a_repeat(jumped: HeldQuote) -> None:
    assert record(quote(mark="60")).repeated == 1


def test_an_older_quote_of_the_same_source_does_not_replace_what_is_held(jumped: HeldQuote) -> None:
    done = record(quote(mark="61", seconds=-1))
    assert done.refused[0].field == "as_of"
    assert held() == [("alpha", "held", Decimal(60))]


def test_a_second_source_that_agrees_releases_it(jumped: HeldQuote) -> None:
    done = record(quote(mark="60.5", seconds=1, source="beta"))
    assert (done.accepted, done.released, done.held) == (1, 1, ())
    assert (current().mark, current().source) == (Decimal("60.5"), "beta")
    jumped.refresh_from_db()
    assert (jumped.state, jumped.decided_source, jumped.decided_at) == ("confirmed", "beta", AT)
    assert sorted(QuoteFact.objects.values_list("source", "mark")) == [
        ("alpha", Decimal(60)),
        ("alpha", Decimal(100)),
        ("beta", Decimal("60.5")),
    ]


def test_two_sources_of_one_instant_release_it(acme: Instrument) -> None:
    record(quote(mark="100", seconds=-60))
    done = record(quote(mark="60"), quote(mark="60", source="beta"))
    assert (done.accepted, done.released) == (1, 1)
    assert current().mark == 60


def test_a_second_source_that_says_something_else_waits_too(jumped: HeldQuote) -> None:
    done = record(quote(mark="62", seconds=1, source="beta"))  # 2 of 62 is 3.2 %, more than 2 %
    assert len(done.held) == 1
    assert held() == [("alpha", "held", Decimal(60)), ("beta", "held", Decimal(62))]
    assert current().mark == 100


def test_a_second_source_much_later_does_not_release_it(jumped: HeldQuote) -> None:
    assert jumped.instrument.max_age_seconds == 900
    record(quote(mark="60", seconds=901, source="beta"))
    assert current().mark == 100


def test_two_sources_do_not_release_a_suspected_split(acme: Instrument) -> None:
    record(quote(mark="645.57", seconds=-60))
    record(quote(mark="93.70"), quote(mark="93.70", source="beta"))
    assert current().mark == Decimal("645.57")
    assert [state for _, state, _ in held()] == ["held", "held"]


def test_a_source_that_returns_to_normal_ends_its_own_quarantine(jumped: HeldQuote) -> None:
    record(quote(mark="101", seconds=1))
    jumped.refresh_from_db()
    assert (jumped.state, jumped.decided_source) == ("rejected", "alpha")
    assert current().mark == 101


def test_another_source_at_the_old_price_leaves_the_question_open(jumped: HeldQuote) -> None:
    record(quote(mark="101", seconds=1, source="beta"))
    assert held() == [("alpha", "held", Decimal(60))]
    assert current().mark == 101


def test_after_a_decision_the_same_source_may_be_held_again(jumped: HeldQuote) -> None:
    record(quote(mark="101", seconds=1), quote(mark="61", seconds=2))
    assert held() == [("alpha", "rejected", Decimal(60)), ("alpha", "held", Decimal(61))]


def test_a_held_quote_that_moved_before_it_was_released_is_kept_as_released(jumped: HeldQuote) -> None:
    record(quote(mark="59", seconds=1), quote(mark="59", seconds=2, source="beta"))
    assert held() == [("alpha", "confirmed", Decimal(59))]


def test_a_person_confirms_and_the_quote_counts(jumped: HeldQuote, people: People) -> None:
    ria = people("ria", "Risk")
    assert quotes.confirm(jumped, at=AT, person=ria).mark == 60
    assert (jumped.state, jumped.decided_by, jumped.decided_at) == ("confirmed", ria, AT)
    assert record(quote(mark="61", seconds=1)).accepted == 1


def test_what_a_person_confirms_releases_the_other_sources_that_agree(jumped: HeldQuote, people: People) -> None:
    HeldQuote.objects.filter(pk=jumped.pk).update(reason="split suspected")
    record(
        quote(mark="50", seconds=1), quote(mark="50", seconds=2, source="beta")
    )  # 2 for 1: neither releases the other
    mine = HeldQuote.objects.get(source="alpha")
    quotes.confirm(mine, at=AT, person=people("ria", "Risk"))
    assert [state for _, state, _ in held()] == ["confirmed", "confirmed"]
    assert (current().mark, current().source) == (50, "beta")


def test_a_person_rejects_with_a_reason_and_the_old_quote_stays(jumped: HeldQuote, people: People) -> None:
    with pytest.raises(quotes.CannotDecide, match="why"):
        quotes.reject(jumped, at=AT, person=people("oli", "Operations"), reason=" ")
    quotes.reject(jumped, at=AT, person=people("ola", "Operations"), reason="slip of the venue")
    assert (jumped.state, jumped.decided_reason) == ("rejected", "slip of the venue")
    assert current().mark == 100


@pytest.mark.parametrize("role", ["Auditor", "Compliance", "Administrator"])
def test_other_roles_neither_confirm_nor_reject(jumped: HeldQuote, people: People, role: str) -> None:
    person = people("ann", role)
    with pytest.raises(quotes.CannotDecide, match="role"):
        quotes.confirm(jumped, at=AT, person=person)
    with pytest.raises(quotes.CannotDecide, match="role"):
        quotes.reject(jumped, at=AT, person=person, reason="no")
    assert current().mark == 100


def test_nobody_decides_twice(jumped: HeldQuote, people: People) -> None:
    stale = HeldQuote.objects.get(pk=jumped.pk)
    quotes.confirm(jumped, at=AT, person=people("ria", "Risk"))
    for decide in (
        lambda: quotes.confirm(stale, at=AT, person=people("rob", "Risk")),
        lambda: quotes.reject(stale, at=AT, person=people("rex", "Risk"), reason="no"),
    ):
        with pytest.raises(quotes.CannotDecide, match="decided already"):
            decide()


def test_a_person_confirms_only_what_they_saw(jumped: HeldQuote, people: People) -> None:
    record(quote(mark="40", seconds=1))
    with pytest.raises(quotes.CannotDecide, match="moved on"):
        quotes.confirm(jumped, at=AT, person=people("ria", "Risk"))
    assert current().mark == 100


def test_a_quote_overtaken_by_an_accepted_one_cannot_be_confirmed(jumped: HeldQuote, people: People) -> None:
    record(quote(mark="101", seconds=1, source="beta"))
    with pytest.raises(quotes.CannotDecide, match="newer quote"):
        quotes.confirm(jumped, at=AT, person=people("ria", "Risk"))


def test_an_applied_split_lets_the_new_price_in_and_an_unapplied_one_does_not(acme: Instrument, people: People) -> None:
    record(quote(mark="645.57", seconds=-60))
    action = CorporateAction.objects.create(
        kind="split",
        instrument=acme,
        effective_at=NOON - timedelta(seconds=30),
        new_per_old=7,
        reason="announced",
        proposed_by=people("oli", "Operations"),
        approved_by=people("ria", "Risk"),
        approved_at=AT,
    )
    assert len(record(quote(mark="93.70")).held) == 1
    CorporateAction.objects.filter(pk=action.pk).update(applied_at=AT)
    assert record(quote(mark="93.80", seconds=1)).accepted == 1
    assert held() == [("alpha", "rejected", Decimal("93.70"))]


# --- order ------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(12)), cuts=st.lists(st.integers(1, 11), max_size=4, unique=True))
def test_a_shuffled_day_ends_in_the_same_state(acme: Instrument, order: list[int], cuts: list[int]) -> None:
    """Marks stay within the limit of each other, so that nothing is held on the way."""
    Instrument.objects.get_or_create(code="SHUFFLED", defaults={"name": "s", "kind": "equity", "currency": "USD"})
    base = Quote.objects.filter(instrument__code="SHUFFLED").first()
    start = base.as_of if base else NOON - timedelta(days=300)
    day = [
        quote("SHUFFLED", mark=str(100 + tick))._replace(as_of=start + timedelta(seconds=tick + 1))
        for tick in range(12)
    ]
    edges = [0, *sorted(cuts), 12]
    for first, last in pairwise(edges):
        record(*(day[place] for place in order[first:last]))
    assert (current("SHUFFLED").mark, current("SHUFFLED").as_of) == (111, day[-1].as_of)


def test_the_current_quote_is_always_the_newest_fact(acme: Instrument) -> None:
    dice = random.Random(20081013)
    for _ in range(60):
        record(
            *(
                quote(
                    mark=str(dice.randint(80, 120)), seconds=dice.randint(0, 600), source=dice.choice(("alpha", "beta"))
                )
                for _ in range(dice.randint(1, 4))
            )
        )
    newest = QuoteFact.objects.order_by("-as_of", "-id").first()
    assert newest is not None
    assert current().fact == newest
    assert (current().mark, current().as_of) == (newest.mark, newest.as_of)


# --- staleness --------------------------------------------------------------------------------------------


def test_a_quote_is_stale_when_it_is_older_than_its_limit_and_not_before() -> None:
    as_of = np.array([calendars.microseconds(NOON - timedelta(seconds=age)) for age in (0, 900, 901)])
    found = quotes.staleness(as_of, NOON, clock=calendars.ALWAYS, max_age_seconds=900)
    assert found.age_seconds.tolist() == [0, 900, 901]
    assert found.is_stale.tolist() == [False, False, True]


def test_the_guard_and_the_table_agree_on_how_long_a_source_may_be() -> None:
    assert Quote._meta.get_field("source").max_length == guard.SOURCE_LENGTH
