"""A shard whose worker died is taken again later: by then its prices are old, and what a later sweep saw counts."""

from decimal import Decimal

import pytest

from accounts import cash, positions
from margin import replay, shards, sweep
from margin.models import Assessment, ChargeList, MarginCall, Shard
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes, quote


def house():
    rows.policy("us_margin", world.securities())
    return rows.equity("XYZ")


@pytest.fixture
def xyz(db):
    return house()


def begun(at):
    """A sweep whose worker died before its shard."""
    return sweep.begin("securities", at=at, slot_at=at).shards.select_related("sweep").get()


def taken_again(shard, at):
    assert shards.work(shard, now=at, in_force=sweep.policies_of("securities", shard.sweep.at))
    assert sweep.finish(shard.sweep, now=at)


def test_a_late_shard_does_not_meet_a_call_on_prices_from_before_it(xyz):
    world.long_account("100", "3600", xyz)
    quote(xyz, "55", MONDAY)
    late = begun(MONDAY)
    quote(xyz, "50", MONDAY + minutes(1))
    sweep.run("securities", at=MONDAY + minutes(1))  # 100.00 short: called
    taken_again(late, MONDAY + minutes(2))
    assert MarginCall.objects.get().state == "issued"


def test_a_late_shard_does_not_call_on_prices_that_recovered(xyz):
    world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    late = begun(MONDAY)
    quote(xyz, "55", MONDAY + minutes(1))
    sweep.run("securities", at=MONDAY + minutes(1))
    taken_again(late, MONDAY + minutes(2))
    assert not MarginCall.objects.exists()


def test_a_late_shard_that_nothing_overtook_calls(xyz):
    world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    taken_again(begun(MONDAY), MONDAY + minutes(2))
    assert MarginCall.objects.get().issued_at == MONDAY


# --- its assessments were stored before it died -------------------------------------------------------------------


def bought(owed, xyz):
    """100 XYZ at 50.00, of which so much is owed."""
    account = rows.account()
    held = [(account.pk, xyz.pk, Decimal(100), Decimal(5000)), (account.pk, rows.cash().pk, -Decimal(owed), None)]
    positions.write(held, cause="book", reference="test", effective_at=MONDAY)
    quote(xyz, "50", MONDAY)
    return account


def died_after_its_assessments(at, monkeypatch):
    shard = begun(at)
    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(shards, "_through_the_door", lambda moves, shard: (_ for _ in ()).throw(KeyboardInterrupt))
        shards.work(shard, now=at, in_force=sweep.policies_of("securities", at))
    return Shard.objects.select_related("sweep").get(pk=shard.pk)


def pay_out(account, amount, at):
    cash.withdraw(account, currency="USD", amount=amount, source="bank", external_reference="W-1", at=at)


def test_a_late_shard_calls_on_what_it_stored_before_it_died(committed_db, monkeypatch):
    bought("3600", house())
    late = died_after_its_assessments(MONDAY, monkeypatch)
    assert (Assessment.objects.count(), MarginCall.objects.count()) == (1, 0)
    taken_again(late, MONDAY + minutes(1))
    call = MarginCall.objects.get()
    assert (call.amount_called, call.assessment.sweep_id) == (100, late.sweep_id)
    assert Assessment.objects.count() == 1
    assert replay.run(late.sweep).differences == []


@pytest.mark.parametrize(("owed", "paid_out"), [("3500", 80), ("3600", 80)])
def test_a_late_shard_leaves_an_account_whose_book_changed_since_it_died_to_the_next_sweep(
    committed_db, monkeypatch, owed, paid_out
):
    """At 50.00 a debt of 3,500.00 is just covered: what was stored says 0.00 short, or 100.00, and 80.00 more are."""
    account = bought(owed, house())
    late = died_after_its_assessments(MONDAY, monkeypatch)
    pay_out(account, Decimal(paid_out), MONDAY + minutes(1))
    taken_again(late, MONDAY + minutes(2))
    assert not MarginCall.objects.exists()
    assert replay.run(late.sweep).differences == []
    sweep.run("securities", at=MONDAY + minutes(3))
    call = MarginCall.objects.get()
    assert call.amount_called == int(owed) - 3500 + paid_out
    assert call.assessment.at == MONDAY + minutes(3)
    assert ChargeList.objects.filter(measure__assessment=call.assessment).exists()
