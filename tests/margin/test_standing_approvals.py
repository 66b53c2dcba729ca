"""Standing approvals: what two people agreed on beforehand leaves by itself, round the clock, within caps."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from margin import calls, control_switches, sweep
from margin.models import Alarm, MarginCall, Order, Plan, PolicyVersion, Release
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes, quote

pytestmark = pytest.mark.django_db
# 10 of 18 coins at 10,000: 100,000 (test_sweep: a loan beyond the liquidation rung)
CAPS = {"per_order": Decimal(100000), "per_account": Decimal(100000), "per_day": Decimal(150000)}


@pytest.fixture
def version():
    return rows.policy("crypto_loan", world.crypto())


@pytest.fixture
def sue():
    return rows.staff("sue", "Supervisor")


@pytest.fixture
def rita():
    return rows.staff("rita", "Risk")


def loans(count):
    coin = rows.equity("COIN", kind="crypto", max_age_seconds=120)
    for _ in range(count):
        world.long_account("18", "150000", coin, agreement="crypto_loan")
    quote(coin, "10000", MONDAY)
    for minute in range(3):
        sweep.run("crypto", at=MONDAY + minutes(minute))


def agreed(version, sue, rita, **changes):
    said = {**CAPS, "regime": "loan", "currency": "USD", "expires_at": MONDAY + timedelta(days=30), **changes}
    proposed = control_switches.propose_standing(version, **said, reason="nights", at=MONDAY, actor=sue)
    return control_switches.approve(proposed, at=MONDAY, actor=rita)


def test_without_one_the_plan_of_the_system_waits_for_two_people(version):
    loans(1)
    assert Plan.objects.get().state == "proposed"
    assert not Release.objects.exists()


def test_the_systems_plan_leaves_at_once_and_cites_it(version, sue, rita):
    given = agreed(version, sue, rita)
    loans(1)
    release = Release.objects.get()
    assert (release.standing, release.first, release.released_by, release.notional) == (given, None, None, 100000)
    assert (Plan.objects.get().state, Order.objects.get().quantity) == ("approved", -10)
    told = MarginCall.objects.get().events.get(kind="plan.released")
    assert f"standing approval {given.pk}" in told.body


def test_the_database_counts_its_caps(version, sue, rita):
    agreed(version, sue, rita)
    loans(2)
    assert Release.objects.count() == 1
    assert "the day to 200000" in Alarm.objects.get(kind="not_released").message


@pytest.mark.parametrize(
    ("column", "why"), [("per_order", "an order of 100000"), ("per_account", "its account to 100000")]
)
def test_an_order_and_an_account_have_caps_too(version, sue, rita, column, why):
    agreed(version, sue, rita, **{column: Decimal(99999)})
    loans(1)
    assert not Release.objects.exists()
    assert why in Alarm.objects.get(kind="not_released").message


def test_one_that_is_revoked_or_expired_lets_nothing_out(version, sue, rita):
    control_switches.revoke(agreed(version, sue, rita), at=MONDAY, actor=sue)
    agreed(version, sue, rita, expires_at=MONDAY + timedelta(seconds=1))
    loans(1)
    assert Plan.objects.get().state == "proposed"


def test_one_whose_second_person_left_lets_nothing_out(version, sue, rita):
    agreed(version, sue, rita)
    User.objects.filter(username="rita").update(is_active=False)
    loans(1)
    assert Plan.objects.get().state == "proposed"
    assert "not in force" in Alarm.objects.get(kind="not_released").message


def test_one_person_is_not_two(version, sue):
    said = {**CAPS, "regime": "loan", "currency": "USD", "expires_at": MONDAY + timedelta(days=1), "reason": "nights"}
    proposed = control_switches.propose_standing(version, **said, at=MONDAY, actor=sue)
    with pytest.raises(calls.Refused, match="another person"):
        control_switches.approve(proposed, at=MONDAY, actor=sue)
    loans(1)
    assert Plan.objects.get().state == "proposed"


def test_only_what_is_swept_round_the_clock_can_have_one(sue):
    day = rows.policy("us_margin", world.securities())
    said = {**CAPS, "regime": "house", "currency": "USD", "expires_at": MONDAY + timedelta(days=1), "reason": "nights"}
    with pytest.raises(calls.Refused, match="people approve each plan"):
        control_switches.propose_standing(day, **said, at=MONDAY, actor=sue)
    assert PolicyVersion.objects.count() == 1
