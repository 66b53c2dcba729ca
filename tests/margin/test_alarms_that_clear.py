"""Alarms that go when their cause is gone: a calendar that ends too soon, a call for which no plan could be sized."""

from datetime import date

import pytest

from margin import liquidation, sweep, watch
from margin.models import Alarm, MarginCall
from market import calendars
from tests.margin import liquidating, rows, world
from tests.margin.world import MONDAY, minutes, quote

pytestmark = pytest.mark.django_db
BUSINESS_DAYS = {
    "unit": "business_days", "count": 2, "calendar": "XNYS", "zone": "America/New_York", "cut_off": "15:00",
}  # fmt: skip


def open_alarms(kind):
    return list(Alarm.objects.filter(kind=kind, cleared_at=None).values_list("subject", flat=True))


@pytest.fixture
def undated():
    """A call that is due in two business days on a calendar that ends on Tuesday."""
    calendars.fill("XNYS", date(2026, 2, 2), date(2026, 3, 3))
    rows.policy("us_margin", world.securities({**world.HOUSE, "clock": BUSINESS_DAYS}))
    xyz = rows.equity("XYZ")
    rows.cash()
    account = world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    sweep.run("securities", at=MONDAY)
    assert (MarginCall.objects.count(), open_alarms("calendar")) == (0, [f"account {account.pk}, house"])
    return xyz


def test_a_call_without_a_date_is_an_alarm_until_the_calendar_reaches_it(undated):
    sweep.run("securities", at=MONDAY + minutes(1))
    assert Alarm.objects.filter(kind="calendar").count() == 1  # still the same
    calendars.fill("XNYS", date(2026, 3, 4), date(2026, 3, 31))
    sweep.run("securities", at=MONDAY + minutes(2))
    assert (MarginCall.objects.count(), open_alarms("calendar")) == (1, [])
    assert Alarm.objects.get(kind="calendar").cleared_at == MONDAY + minutes(2)


def test_an_account_that_is_called_no_more_needs_no_date(undated):
    quote(undated, "60", MONDAY + minutes(1))
    sweep.run("securities", at=MONDAY + minutes(1))
    assert (MarginCall.objects.count(), open_alarms("calendar")) == (0, [])


def test_a_sweep_of_other_accounts_leaves_the_alarm(undated):
    other = world.long_account("10", "100", undated)
    sweep.run("securities", at=MONDAY + minutes(1), ids=[other.pk])
    assert len(open_alarms("calendar")) == 1


@pytest.fixture
def unplanned():
    """An escalated call for which the sweep found no plan."""
    call = liquidating.escalated()
    watch.raise_alarm(watch.NO_PLAN, call.number, "no liquidation plan: XYZ has no price", at=MONDAY + minutes(1))
    return call


def test_an_escalated_call_without_a_plan_stays_an_alarm(unplanned):
    watch.check(MONDAY + minutes(2))
    assert open_alarms("no_plan") == [unplanned.number]


def test_it_goes_once_a_person_proposed_a_plan(unplanned):
    liquidation.propose(unplanned, at=MONDAY + minutes(2), actor=rows.staff("ops", "Operations"))
    watch.check(MONDAY + minutes(3))
    assert open_alarms("no_plan") == []


def test_it_goes_once_the_call_is_over(unplanned):
    quote(rows.equity("XYZ"), "60", MONDAY + minutes(2))
    sweep.run("securities", at=MONDAY + minutes(2))
    assert MarginCall.objects.get().state == "met"
    watch.check(MONDAY + minutes(3))
    assert open_alarms("no_plan") == []
