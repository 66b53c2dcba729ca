"""What the sender must not do: jump a slice, sell twice, send blindly, stop for one bad report, outlive the switch."""

import os
import signal
import time
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from accounts import cash, fills
from margin import approvals, booking, calls, control_switches, liquidation, orders, sending, sweep
from margin.models import Alarm, KillSwitch, MarginCall, Order, Plan, PlanFill, Release
from margin.venues.interface import NotSent, Report, Told, Unknown
from tests.margin import rows
from tests.margin.liquidating import LATER, VENUE, CountingVenue, called, escalated, plan_of, released
from tests.margin.world import minutes, quote

State = Order.State
D = Decimal


@pytest.fixture
def venue(tmp_path):
    return CountingVenue(tmp_path)


def round_of(venue, at=LATER):
    return sending.run({venue.code: venue}, clock=lambda: at)


def let_out(call, names=("XYZ",), **options):
    """A plan of one share of each, proposed by Operations and let out by a Supervisor; its orders by line."""
    ops, sue = rows.staff("ops", "Operations"), rows.staff("sue", "Supervisor")
    plan = plan_of(call, [rows.equity(name) for name in names], by=ops.user_id, **options)
    approvals.approve(plan, at=LATER, actor=sue)
    return list(Order.objects.filter(release=plan.pk).order_by("line"))


def hear(order, told, name, quantity="0", *, refers_to="", at=LATER):
    report = Report(
        VENUE, f"{order.pk}-{name}", order.client_order_id, told, at, D(quantity), D(50), refers_to=refers_to
    )
    booking.hear(report, at=at)


def states():
    return list(Order.objects.order_by("line").values_list("state", flat=True))


# --- slice after slice --------------------------------------------------------------------------------------------


@pytest.fixture
def staged(db):
    """Three lines, each in a slice of its own, two shares each."""
    return let_out(escalated(venue=VENUE, held=("A", "B", "C")), ("A", "B", "C"), quantity=-2, in_slices=True)


def test_a_slice_leaves_only_when_every_slice_before_it_is_filled_whole(staged, venue):
    first, second, third = staged
    for _ in range(3):
        round_of(venue)
    assert venue.lines() == [first.client_order_id]
    hear(first, Told.FILLED, "f1", "1")
    round_of(venue)
    assert venue.lines() == [first.client_order_id]
    hear(first, Told.FILLED, "f2", "1")
    round_of(venue)
    round_of(venue)
    assert venue.lines() == [first.client_order_id, second.client_order_id]
    hear(second, Told.FILLED, "f1", "2")
    round_of(venue)
    assert venue.lines() == [one.client_order_id for one in (first, second, third)]


def test_a_slice_that_is_busted_holds_the_next_and_tells_staff(staged, venue):
    first, _, _ = staged
    round_of(venue)
    hear(first, Told.FILLED, "f1", "2")
    hear(first, Told.BUSTED, "b1", refers_to=f"{first.pk}-f1")
    round_of(venue)
    assert venue.lines() == [first.client_order_id]
    assert "ask what becomes of it" in Alarm.objects.get(kind="busted").message


@pytest.mark.parametrize("end", [Told.REJECTED, Told.CANCELLED])
def test_a_slice_that_ends_unfilled_ends_its_plan_and_what_is_left_is_planned_anew(staged, venue, end):
    first, _, _ = staged
    round_of(venue)
    hear(first, end, "x")
    assert states() == [end.value, "cancelled", "cancelled"]
    assert Plan.objects.get().state == "expired"
    assert liquidation.propose(MarginCall.objects.get(), at=LATER, actor=rows.staff("ops", "Operations"))
    round_of(venue)
    assert venue.lines() == [first.client_order_id]


def test_a_slice_filled_in_part_and_then_cancelled_ends_the_plan_as_done(staged, venue):
    first, _, _ = staged
    round_of(venue)
    hear(first, Told.FILLED, "f1", "1")
    hear(first, Told.CANCELLED, "x")
    assert states() == ["cancelled"] * 3
    assert (Plan.objects.get().state, MarginCall.objects.get().state) == ("done", "escalated")


# --- never twice --------------------------------------------------------------------------------------------------


def unknown(venue, at=LATER):
    """A round in which the answer to every order is lost, and the order with it."""

    def lost(sent):
        raise Unknown("no answer")

    venue.send, plain = lost, venue.send
    round_of(venue, at)
    venue.send = plain


def test_an_old_answer_told_again_does_not_send_an_order_that_is_unknown_once_more(db, venue):
    (order,) = let_out(escalated(venue=VENUE))
    unknown(venue)
    later = LATER + sending.LEASE
    answer = Report(VENUE, "never", order.client_order_id, Told.NEVER_HEARD, LATER)
    order = Order.objects.get()
    assert sending.ask(order, venue, at=LATER)
    venue.told.clear()
    booking.hear(answer, at=LATER)
    assert states() == ["new"]
    unknown(venue, later)
    booking.hear(answer, at=later)
    assert states() == ["unknown"]
    round_of(venue, later)  # asked anew, and never heard of
    assert states() == ["new"]


def test_an_order_that_is_unknown_time_and_again_is_left_to_people(db, venue):
    let_out(escalated(venue=VENUE))
    for turn in range(sending.MOST_ATTEMPTS + 2):
        unknown(venue, LATER + turn * sending.LEASE)
        round_of(venue, LATER + turn * sending.LEASE + timedelta(seconds=1))
    order = Order.objects.get()
    assert (order.state, order.attempts) == ("new", sending.MOST_ATTEMPTS)
    assert venue.lines() == []
    assert "could not be sent 5 times: no answer" in Alarm.objects.get(kind="not_sent").message


def test_two_plans_of_one_account_are_not_out_at_once(db):
    """A second call of the account would sell the shares that the first one's plan sells already."""
    call, other = called(1, venue=VENUE, regimes=({}, {"regime": "exchange"}))
    (order,) = let_out(call)
    sue = rows.staff("sue", "Supervisor")
    plan = plan_of(other, [rows.equity("XYZ")], by=rows.staff("ops", "Operations").user_id)
    assert approvals.approve(plan, at=LATER, actor=sue).state == "approved"
    assert not Release.objects.filter(plan=plan).exists()
    with pytest.raises(calls.Refused, match=f"plan {plan.pk} waits: plan {order.release_id} of the same account"):
        approvals.release(plan, at=LATER, actor=sue)
    hear(order, Told.CANCELLED, "x")
    approvals.release(plan, at=LATER, actor=sue)
    assert Order.objects.filter(release=plan.pk).exists()


def test_a_plan_stays_while_a_venue_executed_what_is_not_booked(db):
    """Another plan would sell again what the venue has sold."""
    (order,) = let_out(escalated(venue=VENUE))
    hear(order, Told.FILLED, "f1", "2")  # one was ordered
    assert (states(), Plan.objects.get().state) == (["filled"], "approved")
    with pytest.raises(calls.Refused, match="has a plan already"):
        liquidation.propose(MarginCall.objects.get(), at=LATER, actor=rows.staff("ops", "Operations"))
    hear(order, Told.CORRECTED, "c1", "1", refers_to=f"{order.pk}-f1")
    assert (PlanFill.objects.get().fill.quantity, Plan.objects.get().state) == (-1, "done")


def test_reconciling_books_what_could_not_be_booked_once_it_can_be(db, monkeypatch):
    (order,) = let_out(escalated(venue=VENUE))
    with monkeypatch.context() as patch:

        def refuse(*args, **columns):
            raise calls.Refused("its holder is closed")

        patch.setattr(fills, "apply_fill", refuse)
        hear(order, Told.FILLED, "f1", "1")
        assert [said.partition(": ")[2] for said in booking.reconcile(at=LATER)] == [
            "counting executed 1, 0 is booked; look at it"
        ]
    assert booking.reconcile(at=LATER) == []
    assert PlanFill.objects.get().fill.quantity == -1
    assert Alarm.objects.get(kind="order_differs").cleared_at == LATER


# --- cures --------------------------------------------------------------------------------------------------------


def pay(amount, at=LATER):
    account = MarginCall.objects.get().account
    cash.deposit(account, currency="USD", amount=D(amount), source="bank", external_reference="1", at=at)


def test_a_cure_before_it_left_ends_the_plan_so_that_another_can_follow(db, venue):
    released(escalated(venue=VENUE))
    pay("100")
    round_of(venue)
    assert (states(), Plan.objects.get().state, venue.lines()) == (["cancelled"], "expired", [])


def test_a_cure_while_the_first_of_three_works_cancels_the_rest(staged, venue):
    first, _, _ = staged
    round_of(venue)
    hear(first, Told.FILLED, "f1", "1")
    pay("300", LATER + timedelta(seconds=30))
    sweep.run("securities", at=LATER + minutes(1))
    assert MarginCall.objects.get().state == "met"
    round_of(venue, LATER + minutes(1))
    assert (venue.lines(), venue.lines("cancels")) == ([first.client_order_id], [first.client_order_id])
    assert states() == ["working", "cancelled", "cancelled"]
    assert Plan.objects.get().state == "done"
    hear(first, Told.CANCELLED, "x", at=LATER + minutes(2))
    round_of(venue, LATER + minutes(2))
    assert (states(), len(venue.lines())) == (["cancelled"] * 3, 1)


def test_an_account_that_holds_again_for_now_has_its_orders_asked_back(db, venue):
    (order,) = let_out(escalated(venue=VENUE, regimes=[{"dwell_seconds": 900}]))
    round_of(venue)
    quote(rows.equity("XYZ"), "52", LATER + minutes(1))
    sweep.run("securities", at=LATER + minutes(1))
    call = MarginCall.objects.get()
    assert (call.state, call.provisionally_met_at) == ("escalated", LATER + minutes(1))
    round_of(venue, LATER + minutes(1))
    assert venue.lines("cancels") == [order.client_order_id]


# --- the switch ---------------------------------------------------------------------------------------------------


def test_an_order_asked_back_while_nobody_knew_of_it_never_leaves_after_the_switch(db, venue):
    let_out(escalated(venue=VENUE))
    unknown(venue)
    switch = control_switches.pull(reason="x", at=LATER, actor=rows.staff("ops", "Operations"), cancels_working=True)
    round_of(venue)
    control_switches.ask_release(switch, reason="over", at=LATER, actor=rows.staff("sue", "Supervisor"))
    control_switches.let_go(KillSwitch.objects.get(), at=LATER, actor=rows.staff("rita", "Risk"))
    round_of(venue, LATER + sending.LEASE)
    assert (states(), venue.lines(), Plan.objects.get().state) == (["cancelled"], [], "expired")


def test_a_pulled_switch_pulled_again_asks_working_orders_back(db, venue):
    (order,) = let_out(escalated(venue=VENUE))
    round_of(venue)
    ops = rows.staff("ops", "Operations")
    control_switches.pull(reason="stop", at=LATER, actor=ops)
    round_of(venue)
    assert venue.lines("cancels") == []
    control_switches.pull(reason="and back", at=LATER, actor=ops, cancels_working=True)
    round_of(venue)
    assert (KillSwitch.objects.get().cancels_working, venue.lines("cancels")) == (True, [order.client_order_id])


def test_the_switch_stops_a_sender_at_work_at_once_though_it_holds_an_order(committed_db, venue):
    """A process sends forty orders, each for a tenth of a second; the switch is pulled by another without waiting."""
    names = [f"X{number:03}" for number in range(40)]
    let_out(escalated(venue=VENUE, held=names), names)
    ops = rows.staff("ops", "Operations")
    connection.close()
    child = os.fork()
    if not child:
        plain = venue.send

        def slowly(sent):
            time.sleep(0.1)
            plain(sent)

        venue.send = slowly
        try:
            while True:
                round_of(venue)
        finally:
            os._exit(1)
    try:
        while len(venue.lines()) < 3:
            time.sleep(0.01)
        began = time.monotonic()
        control_switches.pull(reason="runaway", at=LATER, actor=ops, cancels_working=True)
        took = time.monotonic() - began
        time.sleep(0.5)
        left = len(venue.lines())
        while len(venue.lines("cancels")) < left and time.monotonic() < began + 20:
            time.sleep(0.01)
        assert took < 2
        assert 3 <= left == len(venue.lines()) < 40
        assert sorted(venue.lines("cancels")) == sorted(venue.lines())
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


# --- one bad thing stops nothing else -----------------------------------------------------------------------------


def test_a_report_that_cannot_be_stored_is_told_again_and_holds_up_no_other(db, venue, monkeypatch):
    order = let_out(escalated(venue=VENUE))[0]
    round_of(venue)
    plain = booking.hear

    def hear_all_but_one(report, *, at):
        if report.report_id.endswith("bad"):
            raise calls.Refused("it is odd")
        return plain(report, at=at)

    monkeypatch.setattr(booking, "hear", hear_all_but_one)
    venue.say(order.client_order_id, Told.ACCEPTED, name="bad")
    venue.say(order.client_order_id, Told.FILLED, name="f1", quantity=D(1), price=D(50))
    round_of(venue)
    assert states() == ["filled"]
    assert [report.report_id for report in venue.told] == [f"{order.client_order_id}:bad"]
    assert "it is odd" in Alarm.objects.get(kind="not_heard").message


def test_a_venue_that_is_gone_holds_up_no_other(db, venue, tmp_path):
    (order,) = let_out(escalated(venue=VENUE))

    class Gone(CountingVenue):
        def reports(self):
            raise NotSent("its disk is full")

    venues = {"gone": Gone(tmp_path / "gone", "gone"), VENUE: venue}
    sending.run(venues, clock=lambda: LATER)
    assert venue.lines() == [order.client_order_id]
    assert "its disk is full" in Alarm.objects.get(kind="venue_down").message


def test_earlier_orders_are_those_of_smaller_slices(staged):
    first, second, third = staged
    assert list(orders.earlier(third)) == [first, second]
    assert not orders.earlier(first).exists()
