"""What could go wrong when accounts are margined as one: closed leads, older calls, sales for a member."""

from datetime import date

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction

from accounts.models import Account, Position
from margin import approvals, booking, calls, liquidation, policies, prices, releases, snapshot, stress, sweep
from margin.engine import alternatives
from margin.hypothetical.document import StressGrid
from margin.models import MarginCall
from margin.workflow import Cause
from tests.margin import rows, world
from tests.margin.rows import SWEEPER
from tests.margin.test_margined_with import D, book, join
from tests.margin.world import MONDAY, minutes, quote

pytestmark = pytest.mark.django_db
LATER = MONDAY + minutes(2)


def escalated():
    """60 XYZ with the lead and 40 with its member at 50, 3,600 borrowed: 100 short of 30 %."""
    rows.policy("us_margin", world.securities())
    xyz, dollars = rows.equity("XYZ"), rows.cash()
    lead, member = rows.account("L"), rows.account("M")
    join(member, lead)
    return lead, member, xyz, dollars


def approved_plan(held):
    book(held)
    quote(held[0][1], "50", MONDAY)
    sweep.run("securities", at=MONDAY)
    call = calls.escalate(MarginCall.objects.get(), cause=Cause.SEVERITY, at=MONDAY + minutes(1), actor=SWEEPER)
    plan = liquidation.propose(call, at=LATER, actor=rows.staff("ops", "Operations"))
    return approvals.approve(plan, at=LATER, actor=rows.staff("sue", "Supervisor"))


def fill(plan, quantity, reference="1"):
    return booking.record_fill(
        plan.lines.get(), quantity=D(quantity), price=D(50), fee=D(0), source="desk", external_reference=reference,
        at=LATER, actor=rows.staff("ops", "Operations"),
    )  # fmt: skip


def held_of(account, what):
    return sum(Position.objects.filter(account=account, instrument=what).values_list("quantity", flat=True))


def test_a_sale_of_what_the_member_holds_is_booked_on_the_member():
    lead, member, xyz, dollars = escalated()
    plan = approved_plan([(member, xyz, "100", "5000"), (lead, dollars, "-3600", None)])
    assert plan.lines.get().quantity == -7
    assert fill(plan, "-7").account_id == member.pk
    assert (held_of(lead, xyz), held_of(member, xyz)) == (0, 93)
    assert MarginCall.objects.get().state == "liquidated"


def test_a_sale_that_no_account_can_deliver_alone_is_reported_account_by_account():
    lead, member, xyz, dollars = escalated()
    plan = approved_plan(
        [
            (lead, xyz, "3", "150"),
            (member, xyz, "5", "250"),
            (lead, dollars, "-200", None),
            (member, dollars, "-160", None),
        ]
    )
    short = plan.lines.get().quantity
    assert short < -5
    with pytest.raises(calls.IllegalMove, match="none of L, M holds"), transaction.atomic():
        fill(plan, str(short))
    assert fill(plan, "-3", "1").account_id == lead.pk
    assert fill(plan, str(short + 3), "2").account_id == member.pk


def test_the_member_sold_since_is_the_client_sold_since():
    lead, member, xyz, dollars = escalated()
    plan = approved_plan([(member, xyz, "100", "5000"), (lead, dollars, "-3600", None)])
    snap = liquidation.stand(plan.call, at=LATER).snap
    assert releases.of(snap, [plan.call]) == {}
    fill(plan, "-1")
    ((sold,),) = releases.of(liquidation.stand(plan.call, at=LATER).snap, [plan.call]).values()
    assert (sold.kind, sold.used) == ("sale", 1)


def test_an_account_with_an_open_call_does_not_join_before_it_is_settled():
    """Its call would stay open for ever: no sweep measures a member."""
    rows.policy("us_margin", world.securities())
    xyz, dollars = rows.equity("XYZ"), rows.cash()
    _, member = rows.account("L"), rows.account("M")
    book([(member, xyz, "100", "5000"), (member, dollars, "-3600", None)])
    quote(xyz, "50", MONDAY)
    sweep.run("securities", at=MONDAY)
    assert MarginCall.objects.get().account == member
    with pytest.raises(CommandError, match="account M has an open margin call"):
        call_command("margin_together", "M", lead="L")
    assert not Account.objects.exclude(margined_with=None).exists()


def test_no_call_is_issued_on_a_member():
    """The sweep looked at it before it joined."""
    version = rows.policy("us_margin", world.securities())
    lead, member = rows.account("L"), rows.account("M")
    found = rows.assessment(member, version)
    join(member, lead)
    (outcome,) = calls.carry_out([rows.issue(member, version, assessment_id=found.pk)], at=rows.AT, actor=rows.SWEEPER)
    assert not outcome.is_done


def test_a_lead_does_not_close_before_its_members():
    """Nobody would measure them."""
    lead, member = rows.account("L"), rows.account("M")
    join(member, lead)
    with pytest.raises(DatabaseError, match="account M cannot outlive its lead L"), transaction.atomic():
        Account.objects.filter(pk=lead.pk).update(closed_on=date(2026, 1, 2))
    Account.objects.filter(pk=member.pk).update(closed_on=date(2026, 1, 2))
    Account.objects.filter(pk=lead.pk).update(closed_on=date(2026, 1, 2))


def test_nobody_joins_a_closed_lead():
    lead, member = rows.account("L"), rows.account("M")
    Account.objects.filter(pk=lead.pk).update(closed_on=date(2026, 1, 2))
    with pytest.raises(DatabaseError, match="account M cannot outlive its lead L"), transaction.atomic():
        join(member, lead)


def test_what_a_closed_member_holds_counts_no_more_than_a_closed_account():
    rows.policy("us_margin", world.securities())
    dollars, lead, member = rows.cash(), rows.account("L"), rows.account("M")
    join(member, lead)
    book([(lead, dollars, "10", None), (member, dollars, "5", None)])
    Account.objects.filter(pk=member.pk).update(closed_on=date(2026, 1, 2))
    snap = snapshot.take(
        prices=prices.gather(at=MONDAY),
        in_force=policies.in_force(MONDAY),
        accounts=snapshot.Accounts(ids=[lead.pk]),
    )
    assert [held for held, _ in alternatives.positions_of(snap.book, 0).values()] == [D(10)]


def test_a_stress_of_one_member_says_where_it_is_measured():
    rows.policy("us_margin", world.securities())
    rows.cash()
    lead, member = rows.account("L"), rows.account("M")
    join(member, lead)
    member.refresh_from_db()
    with pytest.raises(policies.NoPolicy, match="ask about that one"):
        stress.of_accounts([member], StressGrid(price_shocks=(D(0),)), at=MONDAY)
    asked = stress.of_accounts([lead, member], StressGrid(price_shocks=(D(0),)), at=MONDAY)
    assert asked["accounts"] == 1
