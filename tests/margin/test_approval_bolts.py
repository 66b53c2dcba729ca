"""Four eyes by the database alone: whatever approves, releases, orders or fills, tried as the application role.

Ten attacks of the design's experiment on four eyes, and those on releases, orders and fills (reliability B7).
"""

import psycopg2
import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection

from margin import approvals, booking, calls, control_switches
from margin.models import Alarm, Approval, KillSwitch, Order, Release, RightsChange
from margin.venues.interface import Report, Told
from tests.conftest import committed_clone
from tests.margin import rows
from tests.margin.liquidating import LATER, VENUE, called, escalated, people, plan_of
from tests.margin.world import quote

WHEN = f"'{LATER.isoformat()}'"


@pytest.fixture(scope="module")
def house(django_db_setup, django_db_blocker, server):
    """Plans of a person and of the system, not approved, approved, and released; nothing an attack does is kept."""
    with committed_clone(server, django_db_blocker):
        staff = people()
        xyz = rows.equity("XYZ")
        first, second, third, fourth = called(4, venue=VENUE)
        made = {
            "own": plan_of(first, [xyz], by=staff["sue"].user_id),
            "system": plan_of(second, [xyz], by=None),
            "out": plan_of(third, [xyz], by=staff["ops"].user_id),
        }
        control_switches.pull(reason="so that the approved plan waits", at=LATER, actor=staff["ops"])
        made["approved"] = plan_of(fourth, [xyz], by=staff["ops"].user_id)
        approvals.approve(made["approved"], at=LATER, actor=staff["sue"])
        switch = KillSwitch.objects.get()
        control_switches.ask_release(switch, reason="go on", at=LATER, actor=staff["sue"])
        control_switches.let_go(switch, at=LATER, actor=staff["rita"])
        approvals.approve(made["out"], at=LATER, actor=staff["sue"])
        fired = User.objects.create(username="fired", is_active=False)
        fired.groups.add(Group.objects.get(name="Risk"))
        boss = User.objects.create(username="boss", is_superuser=True)
        boss.groups.add(Group.objects.get(name="Risk"))
        keys = User.objects.create(username="keys")
        keys.groups.add(Group.objects.get(name="Risk"))
        keys.user_permissions.add(Permission.objects.get(codename="change_user"))
        names = {name: actor.user_id for name, actor in staff.items()}
        names |= {user.username: user.pk for user in (fired, boss, keys)}
        connection.close()
        yield {**{name: plan.pk for name, plan in made.items()}, **names}


APPROVE = (
    "INSERT INTO margin_approval (plan_id, content_hash, creator, approver_id, approved_at)"
    " SELECT p.id, p.content_hash, {creator}, {by}, " + WHEN + " FROM margin_plan p WHERE p.id = {plan}"
)
LET_OUT = (
    "INSERT INTO margin_release (plan_id, content_hash, creator, first_id, second_id, venue, currency, notional,"
    " largest, released_at) SELECT p.id, {hash}, {creator}, {first}, {second}, 'desk', 'USD', 0, 0, " + WHEN +
    " FROM margin_plan p WHERE p.id = {plan}"
)  # fmt: skip


def approve(plan, by, creator="p.creator"):
    return APPROVE.format(plan=f"{{{plan}}}", by=f"{{{by}}}", creator=creator)


def let_out(plan, first="NULL", second="NULL", creator="p.creator", hash="p.content_hash"):
    return LET_OUT.format(plan=f"{{{plan}}}", first=first, second=second, creator=creator, hash=hash)


OF = "(SELECT min(id) FROM margin_approval WHERE plan_id = {%s})"
MAKE_APPROVED = "UPDATE margin_plan SET state = 'approved' WHERE id = {%s}"
ORDER = (
    "INSERT INTO margin_order (line_id, release_id, client_order_id, venue, quantity, currency, state, attempts, asks,"
    " cancel_reason, last_error, created_at, moved_at) SELECT l.id, p.id, 'MD' || l.id || '-' || left(p.content_hash,"
    " 12), 'desk', l.quantity, 'USD', 'new', 0, 0, '', '', now(), now() FROM margin_planline l JOIN margin_plan p"
    " ON p.id = l.plan_id WHERE p.id = {%s}"
)
FILL = (
    "INSERT INTO accounts_fill (account_id, instrument_id, source, external_reference, quantity, price, fee, traded_at)"
    " SELECT c.account_id, l.instrument_id, 'forged', '1', {quantity}, 50, 0, now() FROM margin_planline l"
    " JOIN margin_plan p ON p.id = l.plan_id JOIN margin_margincall c ON c.id = p.call_id WHERE p.id = {{{plan}}};"
    " INSERT INTO margin_planfill (line_id, fill_id, report_id) SELECT l.id, f.id, {report}"
    " FROM margin_planline l, accounts_fill f WHERE l.plan_id = {{{plan}}} AND f.source = 'forged'"
)
REPORT = (
    "INSERT INTO margin_orderreport (venue, report_id, client_order_id, order_id, told, at, quantity, price, fee,"
    " refers_to, venue_order_id, text) SELECT o.venue, 'forged', o.client_order_id, o.line_id, 'filled', now(), 9, 50,"
    " 0, '', '', '' FROM margin_order o WHERE o.release_id = {out}; "
)
FORGED = "(SELECT id FROM margin_orderreport WHERE report_id = 'forged')"

ATTACKS = {
    # approvals
    "approve one's own plan": approve("own", "sue"),
    "approve one's own plan in another's name as creator": approve("own", "sue", creator="{rita}"),
    "approve while lying that the system proposed": approve("own", "rita", creator="0"),
    "approve the same plan twice": approve("system", "sue") + "; " + approve("system", "sue"),
    "approve another content": approve("own", "rita").replace("p.content_hash", "repeat('0', 64)"),
    "approve without the role": approve("own", "ops"),
    "approve as who manages users": approve("own", "adam"),
    "approve as a checker with a right to manage users": approve("own", "keys"),
    "approve as a superuser": approve("own", "boss"),
    "approve after one left": approve("own", "fired"),
    "take an approval back": "DELETE FROM margin_approval",
    "hand an approval to another": "UPDATE margin_approval SET approver_id = {rita}",
    # plans
    "edit an approved plan": "UPDATE margin_plan SET content = replace(content, '-1', '-100') WHERE id = {approved}",
    "edit a hash": "UPDATE margin_plan SET content_hash = repeat('0', 64) WHERE id = {approved}",
    "change who proposed": "UPDATE margin_plan SET proposed_by_id = {rita} WHERE id = {own}",
    "add a line to an approved plan": "INSERT INTO margin_planline (plan_id, instrument_id, quantity, price, fee)"
    " SELECT {approved}, min(id), -5, 50, 0 FROM market_instrument WHERE kind = 'cash'",
    "call a plan approved": MAKE_APPROVED % "own",
    "call a plan of the system approved by one": approve("system", "sue") + "; " + MAKE_APPROVED % "system",
    # releases
    "release without approval": let_out("own"),
    "release a plan of the system on one approval": approve("system", "sue") + "; " + let_out("system", OF % "system"),
    "release one person's yes as two": approve("system", "sue") + "; "
    + let_out("system", OF % "system", OF % "system"),
    "release on another plan's approval": let_out("approved", OF % "out"),
    "release another content": let_out("approved", OF % "approved", hash="repeat('0', 64)"),
    "release while lying about the creator": let_out("approved", OF % "approved", creator="0"),
    "release twice": let_out("out", OF % "out"),
    "release on approval by a right since lost":
    "DELETE FROM auth_user_groups WHERE user_id = {sue}; " + let_out("approved", OF % "approved"),
    "release on approval by who left": "UPDATE auth_user SET is_active = false WHERE id = {sue}; "
    + let_out("approved", OF % "approved"),
    "release on approval by who now manages users":
    "INSERT INTO auth_user_user_permissions (user_id, permission_id) SELECT {sue}, id FROM auth_permission"
    " WHERE codename = 'add_user'; " + let_out("approved", OF % "approved"),
    "release too late": let_out("approved", OF % "approved").replace(WHEN, WHEN + "::timestamptz + interval '1 hour'"),
    "release while the switch is pulled": "INSERT INTO margin_killswitch (is_pulled, reason, pulled_by_id, pulled_at,"
    " cancels_working, release_reason) VALUES (true, 'stop', {ops}, now(), false, ''); "
    + let_out("approved", OF % "approved"),
    "change a release": "UPDATE margin_release SET venue = 'elsewhere'",
    "undo a release": "DELETE FROM margin_release",
    # orders
    "order without a release": ORDER % "approved",
    "order a line twice": ORDER % "out",
    "order more": "UPDATE margin_order SET quantity = quantity * 2",
    "send an order again": "UPDATE margin_order SET state = 'sending', token = gen_random_uuid(), lease_until = now();"
    " UPDATE margin_order SET state = 'sent'; UPDATE margin_order SET state = 'new'",
    "send an unknown order again unasked": "UPDATE margin_order SET state = 'sending', token = gen_random_uuid(),"
    " lease_until = now(); UPDATE margin_order SET state = 'unknown'; UPDATE margin_order SET state = 'new'",
    "call an order filled": "UPDATE margin_order SET state = 'filled'",
    "send while the switch is pulled": "INSERT INTO margin_killswitch (is_pulled, reason, pulled_by_id, pulled_at,"
    " cancels_working, release_reason) VALUES (true, 'stop', {ops}, now(), false, ''); UPDATE margin_order"
    " SET state = 'sending', token = gen_random_uuid(), lease_until = now()",
    "forget an order": "DELETE FROM margin_order",
    "forget a report": REPORT + "DELETE FROM margin_orderreport",
    "change a report": REPORT + "UPDATE margin_orderreport SET quantity = 1",
    # fills and the end
    "fill without a release": FILL.format(plan="approved", quantity=-1, report="NULL"),
    "fill without a report": FILL.format(plan="out", quantity=-1, report="NULL"),
    "fill of another order's report": REPORT + FILL.format(plan="approved", quantity=-1, report=FORGED),
    "fill more than the order": REPORT + FILL.format(plan="out", quantity=-2, report=FORGED),
    "fill the other way": REPORT + FILL.format(plan="out", quantity=1, report=FORGED),
    "call a call liquidated without fills": "UPDATE margin_margincall SET state = 'liquidated', closed_at = now(),"
    " resolution = 'liquidation', seq = seq + 1",
    # what people decide
    "let the switch go alone": "INSERT INTO margin_killswitch (is_pulled, reason, pulled_by_id, pulled_at,"
    " cancels_working, release_reason) VALUES (true, 'stop', {ops}, now(), false, ''); UPDATE margin_killswitch SET"
    " is_pulled = false, release_asked_by_id = {sue}, released_by_id = {sue}, released_at = now() WHERE is_pulled",
    "forget that the switch was pulled": "DELETE FROM margin_killswitch",
    "set a cap alone": "INSERT INTO margin_liquidationcap (currency, per_order, per_account, per_day, reason,"
    " proposed_by_id, proposed_at, approved_by_id, approved_at) VALUES ('USD', 1, 1, 1, 'x', {sue}, now(), {rita},"
    " now())",
    "manage users and approve": "INSERT INTO auth_user_groups (user_id, group_id) SELECT {adam}, id FROM auth_group"
    " WHERE name = 'Risk'",
    "forget a change of rights": "DELETE FROM margin_rightschange",
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_the_application_role_is_refused(house, as_application, attack):
    connected = as_application()
    with pytest.raises(psycopg2.Error) as refusal, connected, connected.cursor() as cursor:
        cursor.execute(attack.format(**house))
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        connected.rollback()
    assert refusal.value.pgcode in {"23001", "23503", "23505", "23514", "42501", "428C9"}, refusal.value


def test_what_the_attacks_imitate_is_taken_when_it_is_right(house, as_application):
    """Else a broken statement would look like a refused one."""
    connected = as_application()
    for allowed in (
        approve("own", "rita"),
        approve("system", "sue") + "; " + approve("system", "rita") + "; " + MAKE_APPROVED % "system",
        let_out("approved", OF % "approved"),
        let_out("approved", OF % "approved") + "; " + ORDER % "approved",
        REPORT + FILL.format(plan="out", quantity=-1, report=FORGED),
    ):
        with connected.cursor() as cursor:
            cursor.execute(allowed.format(**house))
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
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
    plan.lines.create(instrument=rows.equity("OTHER"), quantity=-50, price=50)
    assert approvals.approve(plan, at=LATER, actor=rows.staff("sue", "Supervisor")).state == "approved"
    assert not Order.objects.exists()
    assert not Release.objects.exists()
    assert "OTHER cannot be ordered" in Alarm.objects.get(kind="not_released").message
    quote(rows.equity("OTHER"), "50", LATER)
    with pytest.raises(calls.Refused, match="is not what plan"):
        approvals.release(plan, at=LATER, actor=rows.staff("sue", "Supervisor"))


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
