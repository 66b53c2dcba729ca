"""Four eyes by the database alone: whatever approves, releases, orders or fills, tried as the application role.

Each attack of `tests.margin.attacks` names the threat of the catalogue (reliability B7, E21) that it is an attempt at:

* L1 self-approval, the same person twice, a false creator, too few people: approvals and releases.
* L2 a plan edited after approval, another content, other lines.
* L3 a right that was lost, a person who left, between approval and release.
* L4 a plan released twice, a line ordered or sent twice, an order without a release.
* L5 an unknown order sent again unasked. L6 fills without order or report, too many, the other way.
* L8 expiry. L9 caps, slices, two plans of one account, the kill switch.
* L10 power over users turned into approvals. L11 `liquidated` without fills.
* E21 the bolts switched off; its fills at once are in test_fill_race.
"""

import re

import psycopg2
import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection

from margin import approvals, booking, control_switches
from margin.models import Alarm, Approval, KillSwitch, MarginCall, Order, Release, RightsChange
from margin.venues.interface import Report, Told
from tests.conftest import committed_clone
from tests.margin import rows
from tests.margin.attacks import (
    ATTACKS,
    GOOD_FILL,
    LEAVE,
    MAKE_APPROVED,
    OF,
    ORDER,
    SECOND_OF,
    approve,
    let_out,
)
from tests.margin.liquidating import LATER, VENUE, called, escalated, people, plan_of
from tests.margin.world import quote


@pytest.fixture(scope="module")
def house(django_db_setup, django_db_blocker, server):
    """Plans of a person and of the system, not approved, approved, and released; nothing an attack does is kept."""
    with committed_clone(server, django_db_blocker):
        staff = people()
        plans = planned(staff)
        wait_approved(plans, staff)
        for name in ("out", "other", "staged", "beside"):
            approvals.approve(plans[name], at=LATER, actor=staff["sue"])
        assert set(Release.objects.values_list("plan", flat=True)) == {
            plans[one].pk for one in ("out", "other", "staged")
        }
        names = {name: actor.user_id for name, actor in staff.items()} | odd_people()
        names |= {name: plan.pk for name, plan in plans.items()} | named(plans)
        connection.close()
        yield names


def planned(staff):
    """Own: proposed by sue. System and agreed: by nobody. The others: by ops. Beside: for a second call of one."""
    xyz, abc = rows.equity("XYZ"), rows.equity("ABC")
    called(6, venue=VENUE, held=("XYZ", "ABC"), regimes=({}, {"regime": "exchange"}))
    mine = iter(MarginCall.objects.filter(regime="house").order_by("account"))
    made = {name: plan_of(next(mine), [xyz], by=staff["ops"].user_id) for name in ("out", "approved", "other")}
    made["own"] = plan_of(next(mine), [xyz], by=staff["sue"].user_id)
    made["system"] = plan_of(next(mine), [xyz], by=None)
    made["staged"] = plan_of(next(mine), [xyz, abc], by=staff["ops"].user_id, in_slices=True)
    exchange = MarginCall.objects.filter(regime="exchange")
    made["beside"] = plan_of(exchange.get(account=made["other"].call.account), [xyz], by=staff["ops"].user_id)
    made["agreed"] = plan_of(exchange.get(account=made["own"].call.account), [xyz], by=None)
    return made


def wait_approved(plans, staff):
    """Approved while the switch is pulled, and so not released."""
    control_switches.pull(reason="so that approved plans wait", at=LATER, actor=staff["ops"])
    approvals.approve(plans["approved"], at=LATER, actor=staff["sue"])
    for name in ("sue", "rita"):
        approvals.approve(plans["agreed"], at=LATER, actor=staff[name])
    switch = KillSwitch.objects.get()
    control_switches.ask_release(switch, reason="go on", at=LATER, actor=staff["sue"])
    control_switches.let_go(switch, at=LATER, actor=staff["rita"])


def odd_people():
    """One who left, a superuser and one with a right to manage users, all of the role that approves."""
    fired = User.objects.create(username="fired", is_active=False)
    boss = User.objects.create(username="boss", is_superuser=True)
    keys = User.objects.create(username="keys")
    keys.user_permissions.add(Permission.objects.get(codename="change_user"))
    for user in (fired, boss, keys):
        user.groups.add(Group.objects.get(name="Risk"))
    return {user.username: user.pk for user in (fired, boss, keys)}


def named(plans):
    """What refusals name besides plans and people."""
    order = Order.objects.get(release=plans["out"].pk)
    earlier, later = plans["staged"].lines.order_by("id").values_list("pk", flat=True)
    return {
        "line": order.pk, "order": order.client_order_id, "out_call": plans["out"].call_id,
        "other_line": plans["other"].lines.get().pk, "earlier": earlier, "later": later,
    }  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_the_application_role_is_refused_by_what_names_the_row(house, as_application, attack):
    connected = as_application()
    with pytest.raises(psycopg2.Error) as refusal, connected, connected.cursor() as cursor:
        cursor.execute(attack.sql.format(**house))
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        connected.rollback()
    assert refusal.value.pgcode in {"23001", "23503", "23505", "23514", "42501", "428C9"}, refusal.value
    assert re.search(re.sub(r"{(\w+)}", lambda name: str(house[name[1]]), attack.said), str(refusal.value), re.DOTALL)


def test_every_threat_is_attacked():
    assert {attack.threat for attack in ATTACKS.values()} == {f"L{n}" for n in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11)} | {
        "E21"
    }


DATED = (
    approve("own", "rita"),
    approve("system", "sue") + "; " + approve("system", "rita") + "; " + MAKE_APPROVED % "system",
    let_out("approved", OF % "approved"),
    let_out("approved", OF % "approved") + "; " + ORDER % "approved",
    let_out("agreed", OF % "agreed", SECOND_OF % "agreed"),
)
RIGHT = (*DATED, LEAVE, LEAVE.replace("release_id = {out}", "line_id = {earlier}"), GOOD_FILL)


@pytest.mark.parametrize("allowed", RIGHT)
def test_what_the_attacks_imitate_is_taken_when_it_is_right(house, as_application, allowed):
    """Else a broken statement would look like a refused one."""
    with as_application() as connected, connected.cursor() as cursor:
        cursor.execute(allowed.format(**house))
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        connected.rollback()


@pytest.mark.parametrize("allowed", DATED)
def test_it_is_refused_at_another_time_where_the_house_runs_by_the_wall_clock(house, as_owner, allowed):
    """The rows of this house are of an earlier day; by its own clock each of them was right."""
    with as_owner() as connected, connected.cursor() as cursor:
        cursor.execute("INSERT INTO margin_wallclock (id) VALUES (1)")
        with pytest.raises(
            psycopg2.errors.RestrictViolation, match=r"_at is .* by the database's clock, not 2026-03-02"
        ):
            cursor.execute(allowed.format(**house))
        connected.rollback()


@pytest.mark.django_db
def test_a_release_on_an_approval_whose_right_is_lost_is_refused_and_told():
    sue, rita = rows.staff("sue", "Supervisor"), rows.staff("rita", "Risk")
    plan = plan_of(escalated(), [rows.equity("XYZ")], by=None)
    approvals.approve(plan, at=LATER, actor=sue)
    User.objects.filter(username="sue").update(is_active=False)
    assert approvals.approve(plan, at=LATER, actor=rita).state == "approved"
    assert not Release.objects.exists()
    assert "may no longer approve" in Alarm.objects.get(kind="not_released").message


@pytest.mark.django_db
def test_every_change_of_rights_leaves_a_row():
    before = RightsChange.objects.count()
    eve = User.objects.create(username="eve")
    eve.groups.add(Group.objects.get(name="Risk"))
    eve.user_permissions.add(Permission.objects.get(codename="add_user"))
    User.objects.filter(pk=eve.pk).update(is_active=False)
    eve.groups.clear()
    said = list(RightsChange.objects.order_by("id").values_list("subject", "change")[before:])
    assert said[1:] == [
        ("user eve", "with Risk"),
        ("user eve", "with add_user"),
        ("eve", "is_active: true → false"),
        ("user eve", "without Risk"),
    ]


@pytest.mark.django_db
def test_a_plan_line_that_was_not_approved_is_never_ordered():
    """Lines are rows beside the content: one that the approved words do not have is no order."""
    plan = plan_of(escalated(venue=VENUE), [rows.equity("XYZ")], by=rows.staff("ops", "Operations").user_id)
    plan.lines.create(instrument=rows.equity("OTHER"), quantity=-50, price="0.01")
    rows.hold(plan.call.account, rows.equity("OTHER"), "50")
    quote(rows.equity("OTHER"), "0.01", LATER)
    assert approvals.approve(plan, at=LATER, actor=rows.staff("sue", "Supervisor")).state == "approved"
    assert not Order.objects.exists()
    assert not Release.objects.exists()
    assert "another quantity or price than its line" in Alarm.objects.get(kind="not_released").message


@pytest.mark.django_db
def test_a_person_fills_what_the_desk_works_and_no_venues_order():
    ops = rows.staff("ops", "Operations")
    plan = plan_of(escalated(venue=VENUE), [rows.equity("XYZ")], by=ops.user_id)
    approvals.approve(plan, at=LATER, actor=rows.staff("sue", "Supervisor"))
    told = {"quantity": -1, "price": 50, "fee": 0, "source": "desk", "external_reference": "1"}
    with pytest.raises(Exception, match="reports its fills itself"):
        booking.record_fill(plan.lines.get(), **told, at=LATER, actor=ops)
    order = Order.objects.get()
    report = Report("elsewhere", "1", order.client_order_id, Told.FILLED, LATER)
    assert booking.hear(report, at=LATER).order is None  # another venue's word says nothing of this order
    assert Approval.objects.count() == 1
