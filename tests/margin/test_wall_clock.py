"""A house that runs by the wall clock: whatever lets an order leave is dated when it happens, or refused."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from backoffice import checks
from margin import approvals, calls, control_switches, sending
from margin.models import LiquidationCap, Order, WallClock
from tests.margin import rows
from tests.margin.liquidating import VENUE, CountingVenue, escalated, people, plan_of
from tests.margin.world import quote

AMOUNTS = {"per_order": Decimal(9000), "per_account": Decimal(9000), "per_day": Decimal(9000)}


@pytest.fixture
def by_the_clock(db):
    return WallClock.objects.create(pk=1)


def propose(at, actor):
    return control_switches.propose_cap("USD", **AMOUNTS, reason="limits", at=at, actor=actor)


@pytest.mark.usefixtures("by_the_clock")
@pytest.mark.parametrize(
    ("off", "is_taken"),
    [(timedelta(minutes=-6), False), (timedelta(minutes=-4), True), (timedelta(minutes=1), True),
     (timedelta(minutes=3), False), (timedelta(days=-1), False)],
)  # fmt: skip
def test_five_minutes_ago_is_now_and_so_are_two_ahead(off, is_taken):
    staff, now = people(), timezone.now()
    agreed = propose(now, staff["sue"])
    if is_taken:
        propose(now + off, staff["sue"])
        control_switches.approve(agreed, at=now + off, actor=staff["rita"])
        return
    for late in (
        lambda: propose(now + off, staff["sue"]),
        lambda: control_switches.approve(agreed, at=now + off, actor=staff["rita"]),
    ):
        with pytest.raises(calls.Refused, match=r"by the database's clock, not .*; try again, and compare the clocks"):
            late()
    assert LiquidationCap.objects.filter(approved_at=None).count() == 1


@pytest.mark.usefixtures("by_the_clock")
def test_a_plan_of_now_is_approved_released_and_sent_now(tmp_path):
    staff, now = people(), timezone.now()
    plan = plan_of(escalated(venue=VENUE), [rows.equity("XYZ")], by=staff["ops"].user_id, at=now)
    quote(rows.equity("XYZ"), "50", now)
    venue = CountingVenue(tmp_path)
    assert approvals.approve(plan, at=now, actor=staff["sue"]).state == "approved"
    sending.run({VENUE: venue}, clock=timezone.now)
    assert venue.lines() == [Order.objects.get().client_order_id]


@pytest.mark.usefixtures("by_the_clock")
def test_an_order_that_leaves_is_dated_by_the_database_whatever_its_sender_says():
    staff, now = people(), timezone.now()
    plan = plan_of(escalated(venue=VENUE), [rows.equity("XYZ")], by=staff["ops"].user_id, at=now)
    quote(rows.equity("XYZ"), "50", now)
    approvals.approve(plan, at=now, actor=staff["sue"])
    for said in (now - timedelta(days=1), now + timedelta(days=1)):
        with transaction.atomic():
            Order.objects.update(state="sending", moved_at=said, lease_until=said, token="0" * 32)
            order = Order.objects.get()
            assert timedelta(0) < order.moved_at - now < timedelta(minutes=1)
            assert order.lease_until - order.moved_at == sending.LEASE
            transaction.set_rollback(True)


def test_a_production_house_is_bound_to_its_clock_with_its_rights_and_no_other_is(committed_db, settings):
    call_command("grant_roles")
    assert not WallClock.objects.exists()
    settings.ENVIRONMENT = "production"
    assert [one.id for one in checks.the_database_keeps_its_clock(databases=["default"])] == ["margin.E011"]
    for _ in range(2):
        call_command("grant_roles")
    assert WallClock.objects.count() == 1
    assert checks.the_database_keeps_its_clock(databases=["default"]) == []


def test_a_house_that_was_not_migrated_yet_is_told_so(committed_db, settings):
    settings.ENVIRONMENT = "production"
    call_command("migrate", "margin", "0033", verbosity=0)
    assert [one.id for one in checks.the_database_keeps_its_clock(databases=["default"])] == ["margin.E011"]
