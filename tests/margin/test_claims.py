"""What is announced, disputed, said on the phone and taken on: events that prove it, rows that show it."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from accounts import cash
from backoffice.demo.policies import US_MARGIN
from margin import actors, calls, casework, claims, disputes, history
from margin import rows as door_rows
from margin.models import Cure, Dispute, MarginCall, Task
from margin.workflow import Cause, Resolution, Verb
from tests.margin import rows
from tests.margin.rows import AT, SWEEPER

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
LATER = AT + HOUR
CLIENT = actors.client(7)


@pytest.fixture
def terms():
    return {**US_MARGIN, "regimes": [{**US_MARGIN["regimes"][0], "clock": {"unit": "hours", "count": 48}}]}


@pytest.fixture
def call(terms) -> MarginCall:
    rows.cash()
    made = calls.carry_out([rows.issue(rows.account(), rows.policy(terms=terms))], at=AT, actor=SWEEPER)[0]
    return MarginCall.objects.get(pk=made.call_id)


@pytest.fixture
def ops():
    return rows.staff("ops", "Operations")


@pytest.fixture
def sue():
    return rows.staff("sue", "Supervisor")


def claimed(call, actor=CLIENT, **options) -> Cure:
    wanted = {"amount": Decimal(60), "currency": "USD", "method": "wire", "reference": "FT-8841", "at": LATER}
    return claims.claim(call, actor=actor, **{**wanted, **options})


def deposit(call, amount="60", reference="FT-8841"):
    return cash.deposit(
        call.account, currency="USD", amount=Decimal(amount), source="bank", external_reference=reference, at=LATER
    )


def test_a_claim_pauses_automation_for_a_bounded_time_and_asks_a_person_to_look(call):
    cure = claimed(call)
    call.refresh_from_db()
    task = Task.objects.get()
    assert (cure.state, cure.release, call.paused_until) == ("claimed", 0, LATER + 2 * HOUR)
    assert (task.kind, task.due_at, task.call) == ("verify_payment", LATER + timedelta(minutes=30), call)
    assert (call.state, call.amount_outstanding) == ("issued", 100)
    assert history.verify(call.account) == []


def test_a_second_claim_does_not_pause_again(call):
    claimed(call)
    claimed(call, reference="FT-8842", at=LATER + 3 * HOUR)
    call.refresh_from_db()
    assert call.paused_until == LATER + 2 * HOUR


def test_a_claim_that_nobody_finds_ends_the_pause(call, ops):
    cure = claims.check(claimed(call), finding="not_found", reason="no such wire", at=LATER, actor=ops)
    call.refresh_from_db()
    assert (cure.state, call.paused_until) == ("rejected", None)
    assert Task.objects.get().closed_by == "ops"


def test_a_claim_that_arrived_releases_what_came_and_is_used_once(call, ops):
    cure = claimed(call)
    money = deposit(call, reference="another")
    settled = claims.check(cure, finding="arrived", movement=money, reason="seen", at=LATER, actor=ops)
    call.refresh_from_db()
    assert (settled.state, settled.release, settled.movement) == ("settled", 60, money)
    assert call.amount_outstanding == 40
    again = claimed(call, reference="FT-9")
    with pytest.raises(calls.Refused, match="nothing of movement"):
        claims.check(again, finding="arrived", movement=money, reason="seen", at=LATER, actor=ops)


def test_money_of_another_account_settles_nothing(call, ops):
    stranger = rows.account()
    money = cash.deposit(stranger, currency="USD", amount=Decimal(60), source="bank", external_reference="X", at=LATER)
    with pytest.raises(calls.Refused, match="is not of account"):
        claims.check(claimed(call), finding="arrived", movement=money, reason="seen", at=LATER, actor=ops)


def test_who_announced_a_payment_cannot_confirm_that_it_arrived(call, ops, sue):
    cure = claimed(call, actor=ops)
    money = deposit(call)
    with pytest.raises(calls.Refused, match="another person confirms"):
        claims.check(cure, finding="arrived", movement=money, reason="seen", at=LATER, actor=ops)
    assert claims.check(cure, finding="arrived", movement=money, reason="seen", at=LATER, actor=sue).is_settled


def test_a_pledge_goes_in_transit_and_counts_for_nothing_until_it_settles(call, ops):
    bond = rows.equity("BND")
    cure = claims.pledge(
        call, kind="securities", instrument=bond, amount=Decimal(10), method="transfer", reference="ACATS-1", at=LATER,
        actor=ops,
    )  # fmt: skip
    claims.check(cure, finding="in_transit", reason="the other firm confirms", at=LATER, actor=ops)
    cure.refresh_from_db()
    call.refresh_from_db()
    assert (cure.state, call.amount_outstanding) == ("in_transit", 100)


def test_the_database_refuses_a_cure_that_settles_without_its_event(call):
    cure, money = claimed(call), deposit(call)
    statement = "UPDATE margin_cure SET state = 'settled', movement_id = %s, release = 60, used = 60 WHERE id = %s"
    with connection.cursor() as cursor, pytest.raises(IntegrityError, match="without its event"), transaction.atomic():
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statement, [money.pk, cure.pk])


@pytest.mark.parametrize(
    ("before", "after"), [("claimed", "reversed"), ("settled", "claimed"), ("rejected", "settled")]
)
def test_the_database_knows_which_state_of_a_cure_follows_which(call, ops, before, after):
    cure = claimed(call)
    if before == "settled":
        claims.check(cure, finding="arrived", movement=deposit(call), reason="seen", at=LATER, actor=ops)
    if before == "rejected":
        claims.check(cure, finding="not_found", reason="no", at=LATER, actor=ops)
    refusal = pytest.raises(IntegrityError, match=f"cannot go from {before} to {after}")
    with connection.cursor() as cursor, refusal, transaction.atomic():
        cursor.execute("UPDATE margin_cure SET state = %s WHERE id = %s", [after, cure.pk])


def test_a_dispute_says_how_much_and_why_and_by_default_the_clock_goes_on(call, ops):
    opened = disputes.dispute(
        call, amount=Decimal(30), reason_code="mark_to_market", reason="XYZ closed at 101", at=LATER, actor=ops,
        opened_by="contact 7",
    )  # fmt: skip
    call.refresh_from_db()
    assert (opened.stops_clock, call.disputed, call.clock_stopped_at, opened.opened_by) == (
        False,
        30,
        None,
        "contact 7",
    )
    with pytest.raises(calls.IllegalMove, match="disputed already"):
        disputes.dispute(call, amount=Decimal(1), reason_code="other", reason="x", at=LATER, actor=ops)


def test_no_more_is_disputed_than_is_outstanding(call, ops):
    with pytest.raises(calls.Refused, match="outstanding"):
        disputes.dispute(call, amount=Decimal("100.01"), reason_code="other", reason="x", at=LATER, actor=ops)


def test_a_stopped_clock_goes_on_after_the_decision_by_as_long_as_it_stood(terms, ops, sue):
    terms["regimes"][0]["dispute_stops_clock"] = True
    made = calls.carry_out([rows.issue(rows.account(), rows.policy(terms=terms))], at=AT, actor=SWEEPER)[0]
    call = MarginCall.objects.get(pk=made.call_id)
    opened = disputes.dispute(call, amount=Decimal(30), reason_code="position", reason="x", at=LATER, actor=ops)
    disputes.decide(opened, finding="rejected", reason="positions agree", at=LATER + 5 * HOUR, actor=sue)
    call.refresh_from_db()
    assert (call.disputed, call.clock_stopped_at) == (0, None)
    assert (call.due_at, call.original_due_at) == (AT + 53 * HOUR, AT + 48 * HOUR)
    assert [event.kind for event in call.events.order_by("seq")][-2:] == ["dispute.decided", "call.extended"]


@pytest.mark.parametrize(
    ("finding", "granted", "called"), [("upheld", 0, 70), ("partly", 10, 90), ("rejected", 0, 100)]
)
def test_a_dispute_that_is_upheld_makes_the_call_smaller(call, ops, sue, finding, granted, called):
    opened = disputes.dispute(call, amount=Decimal(30), reason_code="position", reason="x", at=LATER, actor=ops)
    disputes.decide(opened, finding=finding, granted=Decimal(granted), reason="checked", at=LATER, actor=sue)
    call.refresh_from_db()
    assert (call.amount_called, call.amount_outstanding) == (called, called)
    assert Dispute.objects.get().state == finding


def test_a_call_that_is_wrong_altogether_is_retracted_instead(call, ops, sue):
    opened = disputes.dispute(call, amount=Decimal(100), reason_code="position", reason="x", at=LATER, actor=ops)
    with pytest.raises(calls.Refused, match="ask for its retraction"):
        disputes.decide(opened, finding="upheld", reason="not theirs", at=LATER, actor=sue)


def test_who_works_the_call_does_not_decide_the_dispute(call, ops):
    opened = disputes.dispute(call, amount=Decimal(30), reason_code="position", reason="x", at=LATER, actor=ops)
    with pytest.raises(calls.Refused, match="may not"):
        disputes.decide(opened, finding="upheld", reason="x", at=LATER, actor=ops)


def test_a_dispute_of_a_call_met_meanwhile_is_still_decided(call, ops, sue):
    opened = disputes.dispute(call, amount=Decimal(30), reason_code="position", reason="x", at=LATER, actor=ops)
    calls.meet(call, how=Resolution.CASH, at=LATER, actor=SWEEPER)
    assert disputes.decide(opened, finding="rejected", reason="x", at=LATER, actor=sue).state == "rejected"
    call.refresh_from_db()
    assert call.state == "met"


def talk(call, actor, **options):
    said = {"channel": "phone", "direction": "out", "outcome": "reached", "text": "explained the call", "at": LATER}
    quoted = {"amount_quoted": call.amount_outstanding, "deadline_quoted": call.due_at}
    return casework.contact(call, actor=actor, **{**said, **quoted, **options})


def test_the_contact_log_keeps_the_amount_and_the_deadline_that_were_quoted(call, ops):
    talk(call, ops, who="contact 7")
    event = call.events.get(kind="contact.logged")
    told = door_rows.read(event)["details"]
    assert (told["amount_quoted"], told["deadline_quoted"]) == ("100", "2026-03-04T15:00:00Z")
    call.refresh_from_db()
    assert call.notified_at == LATER  # spoken with: told
    assert not Task.objects.exists()


@pytest.mark.parametrize(
    "wrong", [{"amount_quoted": Decimal(35)}, {"deadline_quoted": AT + timedelta(days=9)}], ids=["amount", "deadline"]
)
def test_a_client_who_was_told_something_else_is_a_task(call, ops, wrong):
    talk(call, ops, **wrong)
    assert Task.objects.get().kind == "misquoted"


def test_a_message_left_is_no_proof_that_the_client_knows(call, ops):
    talk(call, ops, outcome="message")
    call.refresh_from_db()
    assert call.notified_at is None


def test_a_task_is_taken_and_closed_with_what_came_of_it(call, ops, sue):
    task = casework.open_task(
        call, kind="phone_client", title="Ring the client", due_at=LATER + HOUR, at=LATER, actor=ops
    )
    same = casework.open_task(call, kind="phone_client", title="Again", due_at=LATER + HOUR, at=LATER, actor=sue)
    assert same.pk == task.pk
    casework.take_task(task, at=LATER, actor=sue)
    done = casework.close_task(task, outcome="reached, will wire today", at=LATER, actor=sue)
    assert (done.owner.username, done.closed_by) == ("sue", "sue")
    with pytest.raises(calls.IllegalMove, match="closed by sue"):
        casework.close_task(task, outcome="again", at=LATER, actor=ops)
    assert history.verify(call.account) == []


def test_an_escalated_call_is_a_task_of_the_duty_desk_once_a_level(call, terms):
    call = calls.escalate(call, cause=Cause.SEVERITY, at=LATER, actor=SWEEPER)
    assert casework.see_to_escalated(at=LATER) == 1
    assert casework.see_to_escalated(at=LATER) == 0
    moved = calls.Move(Verb.LEVEL, call.account_id, call_id=call.pk, changes={"escalation_level": 2})
    calls.make(moved, at=LATER + HOUR, actor=SWEEPER)
    assert casework.see_to_escalated(at=LATER + HOUR) == 1
    assert list(Task.objects.order_by("pk").values_list("kind", flat=True)) == ["escalation_1", "escalation_2"]
    assert history.verify(call.account) == []


@pytest.mark.parametrize(
    ("amount", "hours", "method", "is_expected"),
    [
        ("100", 20, "sweep", True),  # a phantom call: swept cash comes before it is due
        ("99.99", 20, "sweep", False),
        ("100", 100, "sweep", False),  # too late: due after 48 hours
        ("100", 20, "wire", False),  # anybody can say that a wire is under way
    ],
)
def test_a_call_that_swept_cash_should_meet_in_time_is_flagged_and_stays_open(
    call, ops, amount, hours, method, is_expected
):
    claims.pledge(
        call, kind="cash", amount=Decimal(amount), currency="USD", method=method, reference="CORE-1", at=LATER,
        actor=ops, expected_at=LATER + hours * HOUR, is_in_transit=True,
    )  # fmt: skip
    call.refresh_from_db()
    assert claims.is_auto_cover_expected(call) is is_expected
    assert (call.state, call.amount_outstanding) == ("issued", 100)
