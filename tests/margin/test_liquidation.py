"""Forced closing: sized by the engine, approved by another person, filled, settled; and what is refused."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from accounts import cash, positions
from margin import approvals, booking, calls, liquidation, requests, sweep
from margin.models import Approval, MarginCall, Plan
from margin.workflow import Cause
from tests.margin import rows, world
from tests.margin.rows import SWEEPER
from tests.margin.world import MONDAY, minutes, quote

pytestmark = pytest.mark.django_db
LATER = MONDAY + minutes(2)


@pytest.fixture
def escalated():
    """Long 100 XYZ at 50.00 with 3,600 borrowed: 100.00 short of 30 %; escalated by a person."""
    rows.policy("us_margin", world.securities())
    xyz, dollars = rows.equity("XYZ"), rows.cash()
    account = rows.account()
    held = [(account.pk, xyz.pk, Decimal(100), Decimal(5000)), (account.pk, dollars.pk, Decimal(-3600), None)]
    positions.write(held, cause="book", reference="test", effective_at=MONDAY)
    quote(xyz, "50", MONDAY)
    sweep.run("securities", at=MONDAY)
    call = MarginCall.objects.get()
    return calls.escalate(call, cause=Cause.SEVERITY, at=MONDAY + minutes(1), actor=SWEEPER)


@pytest.fixture
def maker(db):
    return rows.staff("ops", "Operations")


@pytest.fixture
def checker(db):
    return rows.staff("sue", "Supervisor")


def fill(plan, quantity, *, reference="1", price="50", at=LATER, actor):
    line = plan.lines.get()
    return booking.record_fill(
        line, quantity=Decimal(quantity), price=Decimal(price), fee=Decimal(0), source="desk",
        external_reference=reference, at=at, actor=actor,
    )  # fmt: skip


def test_the_plan_is_the_smallest_whole_number_of_shares_that_cures(escalated, maker):
    # a share sold at 50.00 releases 15.00 less the fee of 0.05: 100 ÷ 14.95 = 6.69, so 7 (6 give 89.70)
    plan = liquidation.propose(escalated, at=LATER, actor=maker, reason="deadline passed")
    line = plan.lines.get()
    assert (line.quantity, line.price, line.fee) == (-7, 50, Decimal("0.35"))
    assert plan.expires_at == LATER + minutes(15)


def test_another_person_approves_fills_follow_and_the_call_is_liquidated(escalated, maker, checker):
    plan = liquidation.propose(escalated, at=LATER, actor=maker)
    assert approvals.approve(plan, at=LATER, actor=checker).state == "approved"
    fill(plan, "-7", actor=maker)
    call = MarginCall.objects.get()
    assert (call.state, call.resolution, call.amount_outstanding) == ("liquidated", "liquidation", 0)
    assert Plan.objects.get().state == "done"
    kinds = list(call.events.order_by("seq").values_list("kind", flat=True))
    assert kinds[2:] == [
        *("plan.proposed", "plan.approved", "order.moved", "plan.released"),
        *("plan.filled", "order.moved", "call.liquidated"),
    ]


def test_part_of_a_fill_leaves_the_call_escalated(escalated, maker, checker):
    plan = approvals.approve(liquidation.propose(escalated, at=LATER, actor=maker), at=LATER, actor=checker)
    fill(plan, "-3", actor=maker)
    assert MarginCall.objects.get().state == "escalated"
    assert Plan.objects.get().state == "approved"


def test_the_same_fill_reported_twice_counts_once(escalated, maker, checker):
    plan = approvals.approve(liquidation.propose(escalated, at=LATER, actor=maker), at=LATER, actor=checker)
    first = fill(plan, "-3", actor=maker)
    assert fill(plan, "-3", at=LATER + minutes(1), actor=maker) == first
    assert plan.lines.get().fills.count() == 1


def test_more_than_the_line_is_refused_by_the_database_and_moves_nothing(escalated, maker, checker):
    plan = approvals.approve(liquidation.propose(escalated, at=LATER, actor=maker), at=LATER, actor=checker)
    with pytest.raises(calls.IllegalMove, match="at most"), transaction.atomic():
        fill(plan, "-8", actor=maker)
    assert escalated.account.fills.count() == 0


def test_the_proposer_cannot_approve_even_past_the_door(escalated, checker):
    plan = liquidation.propose(escalated, at=LATER, actor=checker)
    with pytest.raises(calls.Refused, match="another person"):
        approvals.approve(plan, at=LATER, actor=checker)
    with pytest.raises(DatabaseError, match="two people"), transaction.atomic():
        Approval.objects.create(
            plan=plan, content_hash=plan.content_hash, approver_id=checker.user_id, approved_at=LATER
        )


def test_a_plan_of_the_system_takes_two_people(escalated, checker):
    plan = liquidation.propose(escalated, at=LATER, actor=SWEEPER)
    assert approvals.approve(plan, at=LATER, actor=checker).state == "proposed"
    with pytest.raises(calls.Refused, match="already"):
        approvals.approve(plan, at=LATER, actor=checker)
    assert approvals.approve(plan, at=LATER, actor=rows.staff("rita", "Risk")).state == "approved"


def test_nothing_is_filled_before_approval(escalated, maker):
    plan = liquidation.propose(escalated, at=LATER, actor=maker)
    with pytest.raises(calls.IllegalMove, match="proposed"):
        fill(plan, "-7", actor=maker)


def test_an_approval_is_bound_to_the_content(escalated, maker, checker):
    plan = liquidation.propose(escalated, at=LATER, actor=maker)
    with pytest.raises(DatabaseError), transaction.atomic():
        Plan.objects.filter(pk=plan.pk).update(content=plan.content.replace("-7", "-70"))
    with pytest.raises(DatabaseError), transaction.atomic():
        Approval.objects.create(plan=plan, content_hash="0" * 64, approver_id=checker.user_id, approved_at=LATER)
        with transaction.get_connection().cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_an_expired_plan_is_not_approved_and_makes_room(escalated, maker, checker):
    plan = liquidation.propose(escalated, at=LATER, actor=maker)
    late = plan.expires_at + timedelta(seconds=1)
    with pytest.raises(calls.Refused, match="expired"):
        approvals.approve(plan, at=late, actor=checker)
    quote(rows.equity("XYZ"), "49", late)
    assert liquidation.propose(escalated, at=late, actor=maker).pk != plan.pk
    assert Plan.objects.get(pk=plan.pk).state == "expired"


def test_a_stale_price_proposes_nothing(escalated, maker):
    with pytest.raises(calls.Refused, match="stale"):
        liquidation.propose(escalated, at=LATER + minutes(60), actor=maker)


def test_an_issued_call_cannot_be_liquidated(db, maker):
    call = calls.carry_out([rows.issue(rows.account(), rows.policy())], at=MONDAY, actor=SWEEPER)[0]
    with pytest.raises(calls.IllegalMove, match="only an escalated"):
        liquidation.propose(MarginCall.objects.get(pk=call.call_id), at=LATER, actor=maker)


def test_a_deposit_after_part_of_the_plan_meets_the_call_as_mixed(escalated, maker, checker):
    plan = approvals.approve(liquidation.propose(escalated, at=LATER, actor=maker), at=LATER, actor=checker)
    fill(plan, "-3", actor=maker)
    later = LATER + minutes(1)
    cash.deposit(escalated.account, currency="USD", amount=Decimal(60), source="bank", external_reference="1", at=later)
    sweep.run("securities", at=later)
    call = MarginCall.objects.get()
    assert (call.state, call.resolution) == ("met", "mixed")


def test_a_rejected_plan_keeps_its_reason_in_the_history(escalated, maker, checker):
    plan = liquidation.propose(escalated, at=LATER, actor=maker)
    with pytest.raises(calls.Refused, match="reason"):
        approvals.reject(plan, at=LATER, actor=checker, reason="")
    approvals.reject(plan, at=LATER, actor=checker, reason="client rang")
    assert Plan.objects.get().state == "rejected"
    assert "client rang" in escalated.events.get(kind="plan.rejected").body


@pytest.mark.parametrize("role", ["Auditor", "Administrator", "Compliance"])
def test_others_neither_propose_nor_approve(escalated, maker, role):
    eve = rows.staff("eve", role)
    with pytest.raises(calls.Refused):
        liquidation.propose(escalated, at=LATER, actor=eve)
    plan = liquidation.propose(escalated, at=LATER, actor=maker)
    with pytest.raises(calls.Refused):
        approvals.approve(plan, at=LATER, actor=eve)


def test_nothing_is_proposed_or_approved_while_the_call_is_held(escalated, maker, checker):
    plan = liquidation.propose(escalated, at=LATER, actor=maker)
    rita = rows.staff("rita", "Risk")
    asked = requests.ask_hold(
        escalated, until=LATER + minutes(10), reason="tracing a wire", at=LATER, actor=rows.staff("sam", "Supervisor")
    )
    requests.grant(asked, at=LATER, actor=rita)
    with pytest.raises(calls.Refused, match="is held until"):
        approvals.approve(plan, at=LATER, actor=checker)
    assert approvals.approve(plan, at=LATER + minutes(10), actor=checker).state == "approved"
