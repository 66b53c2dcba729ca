"""Orders: placed within a collar, sent at most once, followed by reports in any order, taken back after a cure."""

import itertools
import json
import os
import signal
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, connection, transaction

from accounts import cash
from margin import approvals, booking, calls, control_switches, liquidation, orders, registers, sending, sweep
from margin.models import Alarm, MarginCall, Order, OrderReport, Plan, PlanFill
from margin.register_sheets import Span
from margin.venues.interface import NotSent, Report, Told, Unknown
from market.models import Instrument
from tests.margin import rows
from tests.margin.liquidating import LATER, VENUE, CountingVenue, escalated, plan_of, released
from tests.margin.world import minutes, quote

State = Order.State
D = Decimal


@pytest.fixture
def venue(tmp_path):
    return CountingVenue(tmp_path)


@pytest.fixture
def order(db):
    """7 XYZ to sell at a venue: a share sold at 50.00 releases 14.95, and 100.00 is missing."""
    released(escalated(venue=VENUE))
    return Order.objects.get()


def clock_at(at):
    return lambda: at


def round_of(venue, at=LATER):
    return sending.run({venue.code: venue}, clock=clock_at(at))


def state(order):
    return Order.objects.get(pk=order.pk).state


# --- placing and sending ------------------------------------------------------------------------------------------


def test_an_order_is_limited_to_the_collar_around_the_last_good_price(order):
    # sold: 50.00 less 5 % of it
    assert (order.quantity, order.limit_price, order.reference_price) == (-7, D("47.50"), 50)
    assert order.client_order_id == f"MD{order.pk}-{order.release.content_hash[:12]}"


def test_a_released_order_leaves_once_however_often_the_sender_runs(order, venue):
    for _ in range(3):
        round_of(venue)
    assert venue.lines() == [order.client_order_id]
    assert state(order) == "sent"


def test_an_order_that_surely_did_not_leave_is_tried_again(order, venue, monkeypatch):
    def down(sent):
        raise NotSent("the line is down")

    with monkeypatch.context() as patch:
        patch.setattr(venue, "send", down)
        round_of(venue)
    assert (state(order), venue.lines()) == ("new", [])
    round_of(venue, LATER + sending.LEASE)
    assert venue.lines() == [order.client_order_id]


@pytest.mark.parametrize("arrives", [True, False])
def test_an_unknown_order_is_asked_about_and_sent_again_only_if_the_venue_never_heard(order, venue, arrives):
    plain = venue.send

    def lost(sent):
        if arrives:
            plain(sent)
        raise Unknown("no answer")

    venue.send = lost
    round_of(venue)
    assert state(order) == "unknown"
    venue.send = plain
    round_of(venue)
    assert state(order) == ("working" if arrives else "new")
    round_of(venue, LATER + sending.LEASE)
    assert venue.lines() == [order.client_order_id]


def test_an_order_that_never_arrived_ends_though_its_venue_refuses_to_take_back_what_it_does_not_know(order, venue):
    """A refused cancel says nothing of whether the order is there: FIX's CxlRejReason 1 comes for one that is not."""

    def lost(sent):
        raise Unknown("no answer")

    def refused(sent):
        venue.say(sent.client_order_id, Told.CANCEL_REFUSED, name="cancel-refused", text="unknown order")

    venue.send, venue.cancel = lost, refused
    round_of(venue)
    control_switches.pull(reason="stop", at=LATER, actor=rows.staff("sue", "Supervisor"), cancels_working=True)
    for at in (LATER, LATER + minutes(6), LATER + minutes(12)):
        round_of(venue, at)
    assert Order.objects.get().cancel_wanted_at == LATER
    assert (state(order), venue.lines()) == ("cancelled", [])
    assert Plan.objects.get().state == "expired"


def test_an_answer_to_an_older_question_does_not_send_an_order_again(order, venue):
    """Two questions left and one was answered: the other may still be answered by its arrival."""
    Order.objects.filter(pk=order.pk).update(state=State.SENDING, token="0" * 32, lease_until=LATER)
    sending.lapse(at=LATER + minutes(1))
    Order.objects.filter(pk=order.pk).update(asks=2, asked_at=LATER + minutes(1))
    report = Report(VENUE, "1", order.client_order_id, Told.NEVER_HEARD, LATER)
    booking.hear(report, at=LATER + minutes(1))
    assert state(order) == "unknown"
    booking.hear(Report(VENUE, "2", order.client_order_id, Told.NEVER_HEARD, LATER), at=LATER + minutes(1))
    assert state(order) == "new"


def kill_in_the_send_window(venue, number):
    """A sender of its own process that dies by SIGKILL at its first order: before it arrives, or after."""
    connection.close()
    child = os.fork()
    if not child:
        plain = venue.send

        def dying(sent):
            if number % 2:
                plain(sent)
            os.kill(os.getpid(), signal.SIGKILL)

        venue.send = dying
        try:
            round_of(venue)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_senders_killed_in_the_send_window_leave_one_order_a_line(committed_db, venue):
    survive(venue, kills=8)


@pytest.mark.long
def test_a_hundred_senders_killed_in_the_send_window_leave_one_order_a_line(committed_db, venue):
    survive(venue, kills=100)


def survive(venue, *, kills):
    names = [f"X{number:03}" for number in range(kills)]
    call = escalated(venue=VENUE, held=names)
    plan = plan_of(call, [rows.equity(name) for name in names], by=rows.staff("ops", "Operations").user_id)
    approvals.approve(plan, at=LATER, actor=rows.staff("sue", "Supervisor"))
    for number in range(kills):
        kill_in_the_send_window(venue, number)
    assert Order.objects.filter(state="sending").count() == kills
    late = LATER + sending.LEASE + timedelta(seconds=1)
    for turn in range(3):
        round_of(venue, late + turn * sending.LEASE)
    assert sorted(venue.lines()) == sorted(Order.objects.values_list("client_order_id", flat=True))
    assert len(venue.lines()) == kills


# --- reports ------------------------------------------------------------------------------------------------------


def said(order, told, name, quantity="0", price="50", *, refers_to="", second=0):
    at = LATER + timedelta(seconds=second)
    return Report(VENUE, name, order.client_order_id, told, at, D(quantity), D(price), refers_to=refers_to)


def heard_of(order):
    """Accepted; 2 and 3 executed, the first said twice; 1 more that never was; the 3 were 2 at 49.00."""
    return [
        said(order, Told.ACCEPTED, "a"),
        said(order, Told.FILLED, "f1", "2", second=1),
        said(order, Told.FILLED, "f1", "2", second=1),
        said(order, Told.FILLED, "f2", "3", second=2),
        said(order, Told.CORRECTED, "c2", "2", "49", refers_to="f2", second=3),
        said(order, Told.FILLED, "f3", "1", second=4),
        said(order, Told.BUSTED, "b3", refers_to="f3", second=5),
    ]


def test_what_stands_does_not_depend_on_the_order_of_reports(order):
    reports = [booking.orders.keep(one)[0] for one in heard_of(order)]
    for heard in itertools.permutations({one.pk: one for one in reports}.values()):
        standing = orders.executions(heard)
        assert [(one.report_id, one.quantity) for one in standing] == [("f1", 2), ("c2", 2)]
        assert orders.state_after(order, heard) == "working"


def test_more_than_was_ordered_is_kept_and_alarmed_and_not_booked(order):
    booking.hear(said(order, Told.FILLED, "f1", "8"), at=LATER)
    assert not PlanFill.objects.exists()
    assert OrderReport.objects.filter(report_id="f1").exists()
    assert "at most" in Alarm.objects.get(kind="not_booked").message
    assert booking.reconcile(at=LATER)
    assert Alarm.objects.filter(kind="order_differs", cleared_at=None).exists()


def test_a_report_of_nobodys_order_is_kept_and_alarmed(order):
    booking.hear(Report(VENUE, "1", "MD0-000000000000", Told.FILLED, LATER, D(1), D(50)), at=LATER)
    assert OrderReport.objects.get(report_id="1").order is None
    assert Alarm.objects.filter(kind="unknown_order").exists()


def test_what_venues_said_and_what_is_booked_agree(order):
    for one in heard_of(order):
        booking.hear(one, at=LATER + minutes(1))
    assert booking.reconcile(at=LATER + minutes(1)) == []


def test_all_filled_liquidates_the_call(order):
    booking.hear(said(order, Told.FILLED, "f1", "7"), at=LATER)
    assert (MarginCall.objects.get().state, Plan.objects.get().state, state(order)) == ("liquidated", "done", "filled")


def test_a_fill_after_the_end_is_booked_with_an_alarm(order):
    booking.hear(said(order, Told.FILLED, "f1", "3"), at=LATER)
    pay("60", LATER + minutes(1))
    sweep.run("securities", at=LATER + minutes(1))
    assert MarginCall.objects.get().state == "met"
    booking.hear(said(order, Told.FILLED, "f2", "4", second=90), at=LATER + minutes(2))
    assert PlanFill.objects.count() == 2
    assert MarginCall.objects.get().state == "met"
    assert Alarm.objects.filter(kind="late_fill").exists()


def test_a_bust_after_the_end_is_booked_and_reopens_nothing(order):
    booking.hear(said(order, Told.FILLED, "f1", "7"), at=LATER)
    booking.hear(said(order, Told.BUSTED, "b1", refers_to="f1", second=1), at=LATER + minutes(1))
    assert not PlanFill.objects.filter(fill__reversed_by=None).exists()
    assert MarginCall.objects.get().state == "liquidated"
    assert Alarm.objects.filter(kind="late_fill").exists()
    assert (state(order), Order.objects.get().cancel_wanted_at) == ("working", LATER + minutes(1))


def test_the_register_says_when_a_sale_was_taken_back_and_counts_it_no_more(order):
    """Sold 1, taken back, sold 2: both are listed, one call of the account counts; before the second, none."""
    sheet = lambda: registers.liquidations(Span(LATER.date(), LATER.date(), ZoneInfo("UTC")))  # noqa: E731
    say = lambda: [dict(zip(sheet().columns, row, strict=True)) for row in sheet().rows]  # noqa: E731
    booking.hear(said(order, Told.FILLED, "f1", "1"), at=LATER)
    booking.hear(said(order, Told.BUSTED, "b1", refers_to="f1", second=1), at=LATER + minutes(1))
    (taken,) = say()
    assert (taken["quantity"], taken["in_twelve_months"]) == (-1, 0)
    assert taken["taken_back_at"] is not None
    booking.hear(said(order, Told.FILLED, "f2", "2", second=2), at=LATER + minutes(1))
    assert [(one["quantity"], one["taken_back_at"] is None, one["in_twelve_months"]) for one in say()] == [
        (-1, False, 0), (-2, True, 1),
    ]  # fmt: skip


def test_a_rejected_order_ends_its_plan_and_makes_room(order):
    booking.hear(said(order, Told.REJECTED, "r"), at=LATER)
    assert (state(order), Plan.objects.get().state, MarginCall.objects.get().state) == (
        *("rejected", "expired"), "escalated",
    )  # fmt: skip
    assert Alarm.objects.filter(kind="order_rejected").exists()
    assert liquidation.propose(MarginCall.objects.get(), at=LATER, actor=rows.staff("ops", "Operations"))


# --- cures and the switch -----------------------------------------------------------------------------------------


def pay(amount, at=LATER):
    account = MarginCall.objects.get().account
    cash.deposit(account, currency="USD", amount=D(amount), source="bank", external_reference="1", at=at)


def test_a_cure_before_it_left_withdraws_the_order(order, venue):
    pay("100")
    round_of(venue)
    assert (state(order), venue.lines()) == ("cancelled", [])


def test_a_cure_while_it_works_asks_the_order_back_and_tells_staff(order, venue):
    round_of(venue)
    pay("100")
    sweep.run("securities", at=LATER + minutes(1))
    assert MarginCall.objects.get().state == "met"
    round_of(venue, LATER + minutes(1))
    assert venue.lines("cancels") == [order.client_order_id]
    assert Alarm.objects.filter(kind="cancelling").exists()
    booking.hear(said(order, Told.CANCELLED, "x"), at=LATER + minutes(1))
    assert state(order) == "cancelled"


def test_a_payment_between_approvals_expires_the_plan_instead_of_releasing_it(db):
    plan = liquidation.propose(escalated(), at=LATER, actor=rows.SWEEPER)
    approvals.approve(plan, at=LATER, actor=rows.staff("sue", "Supervisor"))
    pay("100")
    assert approvals.approve(plan, at=LATER, actor=rows.staff("rita", "Risk")).state == "expired"
    assert not Order.objects.exists()
    assert MarginCall.objects.get().events.filter(kind="plan.expired").exists()


def call_off(role="Operations", reason="the client is on the telephone"):
    plan, at = Plan.objects.get(), LATER + minutes(1)
    return approvals.call_off(plan, at=at, actor=rows.staff(role.lower(), role), reason=reason)


@pytest.mark.parametrize("role", ["Operations", "Supervisor", "Risk", "Compliance"])
def test_one_person_calls_off_a_plan_whose_orders_have_not_left_and_another_can_be_proposed(order, venue, role):
    assert call_off(role).state == "expired"
    round_of(venue, LATER + minutes(2))
    assert (state(order), venue.lines()) == ("cancelled", [])
    call = MarginCall.objects.get()
    told = json.loads(call.events.get(kind="plan.called_off").body)
    assert (told["role"], told["reason"]) == (role, "the client is on the telephone")
    assert (told["details"]["orders"], call.state) == ([order.client_order_id], "escalated")
    assert liquidation.propose(call, at=LATER + minutes(3), actor=rows.staff("ops", "Operations")).state == "proposed"


def test_a_plan_called_off_asks_back_what_is_at_its_venue_and_what_was_filled_stands(order, venue):
    round_of(venue)
    booking.hear(said(order, Told.FILLED, "f1", "2"), at=LATER)
    assert call_off().state == "approved"  # until the venue answered
    assert Order.objects.get().cancel_reason == "called off by operations"  # what was said of the client: in the event
    with pytest.raises(calls.IllegalMove, match="asked back already"):
        call_off()
    round_of(venue, LATER + minutes(2))
    assert venue.lines("cancels") == [order.client_order_id]
    booking.hear(said(order, Told.FILLED, "f2", "1", second=70), at=LATER + minutes(2))  # on its way when we asked
    booking.hear(said(order, Told.CANCELLED, "x", second=80), at=LATER + minutes(2))
    assert (state(order), Plan.objects.get().state) == ("cancelled", "done")
    assert [one.fill.quantity for one in PlanFill.objects.order_by("pk")] == [-2, -1]
    assert MarginCall.objects.get().state == "escalated"


def test_calling_off_takes_a_role_a_reason_and_a_plan_that_is_out(db):
    plan = liquidation.propose(escalated(venue=VENUE), at=LATER, actor=rows.staff("ops", "Operations"))
    with pytest.raises(calls.IllegalMove, match="not released; reject it instead"):
        call_off()
    approvals.approve(plan, at=LATER, actor=rows.staff("sue", "Supervisor"))
    with pytest.raises(calls.Refused, match="may not do this"):
        call_off("Auditor")
    with pytest.raises(calls.Refused, match="a reason is needed"):
        call_off(reason=" ")
    with pytest.raises(calls.IllegalMove, match="call it off instead"):
        approvals.reject(plan, at=LATER, actor=rows.staff("sue", "Supervisor"), reason="too late")
    assert Order.objects.get().state == "new"


def test_no_order_leaves_while_the_switch_is_pulled_and_two_others_let_it_go(order, venue):
    ops, sue, rita = rows.staff("ops", "Operations"), rows.staff("sue", "Supervisor"), rows.staff("rita", "Risk")
    switch = control_switches.pull(reason="runaway", at=LATER, actor=ops)
    round_of(venue)
    assert venue.lines() == []
    with pytest.raises(calls.Refused, match="may not release"):
        control_switches.ask_release(switch, reason="over", at=LATER, actor=ops)
    control_switches.ask_release(switch, reason="over", at=LATER, actor=sue)
    with pytest.raises(calls.Refused, match="another person"):
        control_switches.let_go(switch, at=LATER, actor=sue)
    control_switches.let_go(switch, at=LATER, actor=rita)
    round_of(venue)
    assert venue.lines() == [order.client_order_id]


def test_the_switch_pulled_mid_burst_stops_the_rest(db, venue):
    names = [f"X{number}" for number in range(6)]
    call = escalated(venue=VENUE, held=names)
    plan = plan_of(call, [rows.equity(name) for name in names], by=rows.staff("ops", "Operations").user_id)
    approvals.approve(plan, at=LATER, actor=rows.staff("sue", "Supervisor"))
    plain = venue.send

    def third_is_the_last(sent):
        plain(sent)
        if len(venue.lines()) == 3:
            control_switches.pull(reason="stop", at=LATER, actor=rows.staff("ops", "Operations"), cancels_working=True)

    venue.send = third_is_the_last
    round_of(venue)
    round_of(venue)
    assert len(venue.lines()) == 3
    assert sorted(venue.lines("cancels")) == sorted(venue.lines())


def test_nothing_is_released_while_the_switch_is_pulled(db):
    control_switches.pull(reason="runaway", at=LATER, actor=rows.staff("cora", "Compliance"))
    plan = released(escalated())
    assert plan.state == "approved"
    assert not Order.objects.exists()
    with pytest.raises(calls.Refused, match="kill switch"):
        approvals.release(plan, at=LATER, actor=rows.staff("sue", "Supervisor"))
    assert "kill switch" in Alarm.objects.get(kind="not_released").message


# --- prices, caps, standing approvals -----------------------------------------------------------------------------


@pytest.mark.parametrize(("price", "is_released"), [("49", True), ("48.99", False), ("51", True), ("51.01", False)])
def test_a_plan_whose_price_moved_more_than_two_percent_is_not_approved(db, price, is_released):
    call = escalated()
    plan = liquidation.propose(call, at=LATER, actor=rows.staff("ops", "Operations"))
    quote(rows.equity("XYZ"), price, LATER)
    if is_released:
        approvals.approve(plan, at=LATER, actor=rows.staff("sue", "Supervisor"))
    else:
        with pytest.raises(calls.Refused, match="moved from 50"):
            approvals.approve(plan, at=LATER, actor=rows.staff("sue", "Supervisor"))
    assert Order.objects.exists() == is_released


def test_an_order_needs_a_last_good_price_that_is_young_enough(db):
    plan = released(escalated(release={"price_seconds": 60}))
    assert plan.state == "approved"
    assert "120 s old, 60 s are allowed" in Alarm.objects.get(kind="not_released").message


@pytest.mark.parametrize(
    ("per_order", "per_account", "per_day", "why"),
    [
        ("349", "900", "900", "an order of 350"),
        ("900", "349", "900", "its account to 350"),
        ("900", "900", "349", "the day to 350"),
    ],
)
def test_caps_hold_a_release_and_the_approval_stays(db, per_order, per_account, per_day, why):
    sue, rita = rows.staff("sue", "Supervisor"), rows.staff("rita", "Risk")
    amounts = {"per_order": D(per_order), "per_account": D(per_account), "per_day": D(per_day)}
    cap = control_switches.propose_cap("USD", **amounts, reason="limits", at=LATER, actor=sue)
    with pytest.raises(calls.Refused, match="another person"):
        control_switches.approve(cap, at=LATER, actor=sue)
    control_switches.approve(cap, at=LATER, actor=rita)
    plan = released(escalated())  # 7 × 50.00
    assert plan.state == "approved"
    assert why in Alarm.objects.get(kind="not_released").message


def test_a_report_told_again_with_other_figures_changes_nothing_and_is_alarmed(order, venue):
    round_of(venue)
    for quantity in ("2", "2", "3"):
        booking.hear(said(order, Told.FILLED, "f1", quantity), at=LATER)
    assert [one.fill.quantity for one in PlanFill.objects.all()] == [-2]
    (alarm,) = Alarm.objects.filter(kind="contradicted")
    assert "reports f1 again and says something else (quantity was 2" in alarm.message


# --- how many leave in a minute -----------------------------------------------------------------------------------


def three_at_once():
    """Three orders of one account, ready to leave, where two a minute may."""
    sue, rita = rows.staff("sue", "Supervisor"), rows.staff("rita", "Risk")
    most = {"per_order": D(9000), "per_account": D(9000), "per_day": D(9000)}
    cap = control_switches.propose_cap("USD", **most, per_minute=2, reason="no bursts", at=LATER, actor=sue)
    control_switches.approve(cap, at=LATER, actor=rita)
    call = escalated(venue=VENUE, held=("XYZ", "ABC", "DEF"))
    plan = plan_of(call, Instrument.objects.filter(code__in=("XYZ", "ABC", "DEF")), by=None)
    approvals.approve(plan, at=LATER, actor=sue)
    approvals.approve(plan, at=LATER, actor=rita)
    return list(Order.objects.order_by("line"))


def test_no_more_orders_leave_in_a_minute_than_the_cap_allows_and_the_rest_waits(db, venue):
    orders = three_at_once()
    round_of(venue)
    assert [state(one) for one in orders] == ["sent", "sent", "new"]
    (alarm,) = Alarm.objects.filter(kind="orders_wait")
    assert "2 USD orders left within a minute, as many as the cap allows" in alarm.message
    round_of(venue, LATER + timedelta(seconds=59))
    assert len(venue.lines()) == 2
    round_of(venue, LATER + timedelta(seconds=60))
    assert [state(one) for one in orders] == ["sent", "sent", "sent"]
    alarm.refresh_from_db()
    assert alarm.cleared_at is not None


def test_the_database_keeps_the_cap_whoever_sends(db, venue):
    orders = three_at_once()
    round_of(venue)
    with (
        pytest.raises(IntegrityError, match="2 USD orders left within a minute; the cap allows 2"),
        transaction.atomic(),
    ):
        Order.objects.filter(pk=orders[2].pk).update(
            state="sending", token=uuid4(), lease_until=LATER + timedelta(seconds=89), moved_at=LATER, attempts=1
        )


def test_a_cap_without_a_number_of_orders_lets_all_of_them_leave(db, venue):
    cap = control_switches.propose_cap(
        "USD", per_order=D(9000), per_account=D(9000), per_day=D(9000), reason="amounts alone", at=LATER,
        actor=rows.staff("sue", "Supervisor"),
    )  # fmt: skip
    assert control_switches.approve(cap, at=LATER, actor=rows.staff("rita", "Risk")).per_minute is None
    released(escalated(venue=VENUE))
    round_of(venue)
    assert len(venue.lines()) == 1
