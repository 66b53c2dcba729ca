"""Storms wait for a person and are never dropped; what flaps or grows is one call; short books meet nothing."""

from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from accounts.models import Cause, PositionFact
from margin import batches, calls, gate, reconciling, requests, shards, sweep
from margin.models import Alarm, Event, MarginCall, Reconciliation, StormGate
from tests.margin import rows, world
from tests.margin.world import HOUSE, MONDAY, minutes, quote

pytestmark = pytest.mark.django_db
STORM = {"least_calls": 5, "accounts_rate": "0.50", "instrument_rate": "0.80", "minutes": 15}


def swept(after):
    return sweep.run("securities", at=MONDAY + minutes(after))


@pytest.fixture
def xyz():
    rows.cash()
    return rows.equity("XYZ")


def house(number, xyz, *, storm=STORM, borrowed="3600"):
    """So many accounts long 100 XYZ with 3,600 borrowed: fine at 55, short of 100 at 50."""
    if not StormGate.objects.exists() and not MarginCall.objects.exists():
        rows.policy(terms={**world.securities(), "storm": storm})
    accounts = [world.long_account("100", borrowed, xyz) for _ in range(number)]
    quote(xyz, "55", MONDAY)
    swept(0)
    return accounts


def test_a_storm_is_held_for_a_person_and_nobody_is_called_meanwhile(xyz):
    house(8, xyz)
    quote(xyz, "50", MONDAY + minutes(1))
    run = swept(1)
    opened = StormGate.objects.get()
    assert (opened.calls, opened.accounts, opened.instrument, opened.explained) == (8, 8, xyz, 8)
    assert opened.until == MONDAY + minutes(16)
    assert run.counts["calls held"] == 8
    assert run.state == "complete"
    assert not MarginCall.objects.exists()
    assert "8 new calls of 8 accounts are held" in Alarm.objects.get(kind="storm", cleared_at=None).message


def test_a_person_releases_the_storm_and_the_next_sweep_calls_everybody(xyz):
    house(8, xyz)
    quote(xyz, "50", MONDAY + minutes(1))
    swept(1)
    opened = StormGate.objects.get()
    with pytest.raises(calls.Refused, match="may not release"):
        gate.release(opened, reason="real", at=MONDAY + minutes(2), actor=rows.staff("ops", "Operations"))
    with pytest.raises(calls.Refused, match="reason"):
        gate.release(opened, reason=" ", at=MONDAY + minutes(2), actor=rows.staff("rita", "Risk"))
    gate.release(opened, reason="the whole market fell", at=MONDAY + minutes(2), actor=rows.staff("rita", "Risk"))
    swept(3)
    assert MarginCall.objects.count() == 8
    assert not Alarm.objects.filter(kind="storm", cleared_at=None).exists()
    with pytest.raises(calls.IllegalMove):
        gate.release(opened, reason="again", at=MONDAY + minutes(4), actor=rows.staff("rita", "Risk"))


def test_after_its_time_the_storm_goes_out_by_itself_and_is_not_held_again(xyz):
    house(8, xyz)
    quote(xyz, "50", MONDAY + minutes(1))
    swept(1)
    assert swept(15).counts["calls held"] == 8
    quote(xyz, "50", MONDAY + minutes(16))
    swept(16)
    assert MarginCall.objects.count() == 8
    assert StormGate.objects.get().state == "lapsed"


def test_a_corrected_price_was_never_called(xyz):
    house(8, xyz)
    quote(xyz, "5", MONDAY + minutes(1))
    swept(1)
    quote(xyz, "55", MONDAY + minutes(2))
    swept(2)
    assert StormGate.objects.get().state == "passed"
    assert not MarginCall.objects.exists()


def test_a_look_at_a_few_accounts_neither_ends_a_storm_nor_calls_past_it(xyz):
    """Attention sweeps run each minute: were they to end the gate, its last minute would never come."""
    first, *_ = house(8, xyz)
    quote(xyz, "50", MONDAY + minutes(1))
    swept(1)
    looked = sweep.run(sweep.ATTENTION, at=MONDAY + minutes(2), ids=[first.pk])
    assert looked.counts["calls held"] == 1
    assert StormGate.objects.get().state == "open"
    assert not MarginCall.objects.exists()
    swept(16)
    assert MarginCall.objects.count() == 8


def test_a_shard_without_a_storm_does_not_end_the_storm_of_another(xyz, monkeypatch):
    house(8, xyz)
    world.long_account("100", "3600", rows.equity("ABC"))
    quote(rows.equity("ABC"), "50", MONDAY)  # one call: no storm
    monkeypatch.setattr(shards, "LARGEST", 8)
    quote(xyz, "50", MONDAY + minutes(1))
    swept(1)
    swept(2)
    assert StormGate.objects.get().state == "open"
    assert MarginCall.objects.count() == 1
    quote(xyz, "55", MONDAY + minutes(3))
    swept(3)
    assert StormGate.objects.get().state == "passed"


def test_calls_that_one_instrument_explains_are_held_though_few_accounts_hold_it(xyz):
    house(6, xyz)
    for _ in range(20):
        world.long_account("100", "100", rows.equity("CALM"))
    quote(rows.equity("CALM"), "50", MONDAY)
    quote(xyz, "50", MONDAY + minutes(1))
    swept(1)
    opened = StormGate.objects.get()
    assert (opened.calls, opened.accounts, opened.explained) == (6, 26, 6)


def test_a_few_calls_are_no_storm_and_a_policy_without_a_gate_holds_nothing(xyz):
    house(4, xyz)
    quote(xyz, "50", MONDAY + minutes(1))
    swept(1)
    assert MarginCall.objects.count() == 4


def test_without_storm_terms_everybody_is_called_at_once(xyz):
    house(8, xyz, storm=None)
    quote(xyz, "50", MONDAY + minutes(1))
    swept(1)
    assert MarginCall.objects.count() == 8
    assert not StormGate.objects.exists()


def test_a_closed_gate_is_final_in_the_database(xyz):
    house(8, xyz)
    quote(xyz, "50", MONDAY + minutes(1))
    swept(1)
    gate.release(StormGate.objects.get(), reason="real", at=MONDAY, actor=rows.staff("rita", "Risk"))
    with pytest.raises(IntegrityError, match="closed once"), transaction.atomic():
        StormGate.objects.update(state="open", closed_at=None)


# --- flapping, growing, one wrong price -------------------------------------------------------------------


def test_a_price_that_flaps_around_the_threshold_makes_one_call(xyz):
    """500 ticks of ±0.1 % around the level at which the account is just covered (fault C11)."""
    rows.policy(terms=world.securities({**HOUSE, "dwell_seconds": 600, "clock": {"unit": "hours", "count": 48}}))
    world.long_account("100", "3500", xyz)  # 5,000 − 3,500 = 30 % of 5,000
    for tick in range(500):
        quote(xyz, "49.95" if tick % 2 == 0 else "50.05", MONDAY + minutes(tick))
        swept(tick)
    assert MarginCall.objects.count() == 1
    told = Event.objects.filter(kind__in=("call.issued", "call.met", "call.amount_changed", "call.escalated"))
    assert told.count() == 1


def test_a_deficit_that_grows_twenty_times_is_one_call_with_twenty_amounts(xyz):
    rows.policy(terms=world.securities({**HOUSE, "severe_rate": None, "increase_rate": "0"}))
    world.long_account("100", "3600", xyz)
    for tick in range(21):
        quote(xyz, str(50 - tick), MONDAY + minutes(tick))
        swept(tick)
    call = MarginCall.objects.get()
    # 30 × 100 − 3,600 = −600 against 900
    assert (call.amount_called, call.original_due_at) == (1500, call.due_at)
    assert call.events.filter(kind="call.amount_changed").count() == 20


def test_the_calls_of_one_bad_price_are_found_and_retracted_in_one_action(xyz):
    other = rows.equity("OTHER")
    house(3, xyz, storm=None)
    world.long_account("100", "3600", other)
    quote(other, "50", MONDAY)
    quote(xyz, "5", MONDAY + minutes(1))
    swept(1)
    assert MarginCall.objects.count() == 4
    wrong = batches.resting_on(xyz, since=MONDAY + minutes(1), mark=Decimal(5))
    assert len(wrong) == 3
    assert batches.resting_on(xyz, since=MONDAY + minutes(2)) == []
    ops, sue = rows.staff("ops", "Operations"), rows.staff("sue", "Supervisor")
    asked = requests.ask_retraction(
        wrong, reason_code="bad_price", reason="XYZ printed 5 instead of 50", at=MONDAY + minutes(3), actor=ops
    )
    requests.grant_batch(asked[0].batch, at=MONDAY + minutes(4), actor=sue)
    assert list(MarginCall.objects.open().values_list("account__positions__instrument__code", flat=True)) != []
    assert MarginCall.objects.filter(state="cancelled").count() == 3


# --- short books ------------------------------------------------------------------------------------------


def lose(account, instrument, change, after):
    """A book load that leaves the account with less, as a truncated file would."""
    position = account.positions.get(instrument=instrument)
    position.quantity += Decimal(change)
    position.save()
    PositionFact.objects.create(
        account=account, instrument=instrument, change=Decimal(change), quantity=position.quantity, cause=Cause.BOOK,
        reference="book:short.csv", effective_at=MONDAY + minutes(after),
    )  # fmt: skip


def called(xyz):
    (account,) = house(1, xyz)
    quote(xyz, "50", MONDAY + minutes(1))
    swept(1)
    assert MarginCall.objects.get().state == "issued"
    return account


def test_a_short_file_does_not_meet_a_call(xyz):
    account = called(xyz)
    lose(account, rows.cash(), "3600", 2)  # the debt is missing from the file: it looks like plenty of equity
    swept(3)
    call = MarginCall.objects.get()
    assert (call.state, call.amount_outstanding) == ("issued", 100)
    assert account.code in Alarm.objects.get(kind="unreconciled", cleared_at=None).message


def test_a_file_that_brings_it_back_ends_the_doubt(xyz):
    account = called(xyz)
    lose(account, rows.cash(), "3600", 2)
    swept(3)
    lose(account, rows.cash(), "-3600", 4)
    quote(xyz, "60", MONDAY + minutes(5))
    swept(5)
    assert MarginCall.objects.get().state == "met"
    assert not Alarm.objects.filter(kind="unreconciled", cleared_at=None).exists()


def test_a_person_who_looked_ends_the_doubt_too(xyz):
    account = called(xyz)
    lose(account, rows.cash(), "3600", 2)
    swept(3)
    with pytest.raises(calls.Refused):
        reconciling.confirm(account, reason="checked", at=MONDAY + minutes(4), actor=rows.staff("eve", "Auditor"))
    reconciling.confirm(
        account, reason="the loan was moved to another custodian", at=MONDAY + minutes(4),
        actor=rows.staff("ops", "Operations"),
    )  # fmt: skip
    swept(5)
    assert MarginCall.objects.get().state == "met"
    assert Reconciliation.objects.count() == 1


def test_a_small_change_by_a_book_load_is_believed(xyz):
    account = called(xyz)
    lose(account, rows.cash(), "300", 2)  # 300 of 8,600: below the tenth
    swept(3)
    assert MarginCall.objects.get().state == "met"


def test_what_got_worse_by_a_short_file_is_still_called(xyz):
    account = called(xyz)
    lose(account, xyz, "-40", 2)  # 3,000 − 3,600: beyond saving
    swept(3)
    assert MarginCall.objects.get().state == "escalated"
