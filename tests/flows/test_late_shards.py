"""A shard whose worker died is taken again later: by then its prices are old, and what a later sweep saw counts."""

import pytest

from margin import shards, sweep
from margin.models import MarginCall
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes, quote

pytestmark = pytest.mark.django_db


@pytest.fixture
def xyz():
    rows.policy("us_margin", world.securities())
    return rows.equity("XYZ")


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
