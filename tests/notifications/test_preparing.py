"""From events to notices: which events, which recipients, exactly once, in whatever order transactions commit."""

from decimal import Decimal

import pytest
from django.db import connection

from margin import calls
from margin.models import MarginCall
from margin.workflow import Cause, Resolution, Verb
from notifications import cases, notices
from notifications.cure_options import MOST_SIZED
from notifications.models import Horizon, Notice
from tests.margin import rows as margin_rows
from tests.notifications import rows
from tests.notifications.rows import LATER, SWEEPER

pytestmark = pytest.mark.django_db


def changed(call: MarginCall, amount: str, outstanding: str | None = None) -> None:
    changes = {"amount_called": Decimal(amount), "amount_outstanding": Decimal(outstanding or amount)}
    move = calls.Move(Verb.CHANGE, call.account_id, call_id=call.pk, changes=changes)
    assert calls.carry_out([move], at=LATER, actor=SWEEPER)[0].is_done


def test_an_event_is_told_once_however_often_prepare_runs():
    rows.issued()
    assert [notices.prepare(at=LATER) for _ in range(3)] == [1, 0, 0]


def test_every_contact_that_receives_notices_gets_one():
    owner = margin_rows.account()
    rows.contact(owner, "second@clients.example")
    rows.contact(owner, "silent@clients.example", receives_notices=False)
    rows.issued(owner)
    assert notices.prepare(at=LATER) == 2
    addresses = set(Notice.objects.values_list("to_address", flat=True))
    assert addresses == {owner.client.contacts.get(name="Desk").email, "second@clients.example"}
    assert Notice.objects.values("message_id").distinct().count() == 2


def test_a_client_without_a_contact_leaves_one_failed_notice_that_says_so():
    owner = margin_rows.account()
    owner.client.contacts.all().delete()
    rows.issued(owner)
    assert notices.prepare(at=LATER) == 1
    notice = Notice.objects.get()
    assert (notice.state, notice.contact, notice.to_address) == ("failed", None, "")
    assert "has no contact" in notice.last_error
    assert "71,964.00 USD" in notice.text  # so that operations can read it out on the phone
    assert notices.send(at=LATER) == 0


def test_a_contact_added_later_is_told_when_somebody_asks_for_it():
    owner = margin_rows.account()
    owner.client.contacts.all().delete()
    rows.issued(owner)
    notices.prepare(at=LATER)
    operator = margin_rows.staff("ops", "Operations")
    with pytest.raises(notices.NotSent, match="still has no contact"):
        notices.send_again(Notice.objects.get(), at=LATER, actor=operator)
    rows.contact(owner, "found@clients.example")
    (queued,) = notices.send_again(Notice.objects.get(), at=LATER, actor=operator)
    assert (queued.to_address, queued.state) == ("found@clients.example", "queued")
    assert Notice.objects.count() == 2


def test_a_bad_address_fails_alone_and_holds_nobody_up():
    owner = margin_rows.account()
    rows.contact(owner, "ada@clients.example,eve@evil.example")
    rows.issued(owner)
    assert notices.prepare(at=LATER) == 2
    assert sorted(Notice.objects.values_list("state", flat=True)) == ["failed", "queued"]


def test_a_changed_amount_is_told_only_when_it_grew():
    call = rows.issued(amount="100.00")
    changed(call, "100.00", outstanding="60.00")
    changed(call, "130.00")
    changed(call, "130.00", outstanding="90.00")
    notices.prepare(at=LATER)
    told = Notice.objects.filter(kind="call.amount_changed").get()
    assert "rose from 100.00 USD to 130.00 USD" in told.text


def test_notes_and_inner_steps_are_not_told():
    call = rows.issued()
    calls.note(call, text="client rang", at=LATER, actor=margin_rows.staff("ops", "Operations"))
    calls.notified([call.pk], at=LATER, actor=SWEEPER)
    notices.prepare(at=LATER)
    assert list(Notice.objects.values_list("kind", flat=True)) == ["call.issued"]


def test_each_step_of_a_call_is_told():
    call = rows.issued()
    calls.escalate(call, cause=Cause.DEADLINE, at=LATER, actor=SWEEPER)
    call.refresh_from_db()
    calls.meet(call, how=Resolution.CASH, at=LATER, actor=SWEEPER)
    notices.prepare(at=LATER)
    kinds = list(Notice.objects.order_by("event").values_list("kind", flat=True))
    assert kinds == ["call.issued", "call.escalated", "call.met"]
    assert not Notice.objects.exclude(state="queued").exists()


def test_an_event_that_cannot_be_told_fails_visibly_and_the_others_go_on():
    rows.issued()
    broken = rows.issued()
    with connection.cursor() as cursor:  # an assessment that holds an instrument nobody knows
        cursor.execute(
            "INSERT INTO margin_assessment (sweep_id, account_id, policy_version_id, at, status, reasons, currency,"
            " revision, holdings, digest) SELECT sweep_id, %s, policy_version_id, at, status, reasons, currency,"
            " revision, '[[999999, \"1\", null, null]]', '' FROM margin_assessment WHERE id = %s RETURNING id",
            [broken.account_id, margin_rows.assessment(margin_rows.account(), broken.policy_version).pk],
        )
        (pk,) = cursor.fetchone()
        cursor.execute(
            "INSERT INTO margin_measure (assessment_id, regime, equity, requirement, restore_requirement, deficit)"
            " VALUES (%s, 'house', 1, 2, 2, 1)",
            [pk],
        )
    move = calls.Move(
        Verb.ESCALATE,
        broken.account_id,
        call_id=broken.pk,
        changes={"escalation_cause": "deadline"},
        details={"assessment": pk},
    )
    calls.carry_out([move], at=LATER, actor=SWEEPER)
    assert notices.prepare(at=LATER) == 3
    failed = Notice.objects.get(state="failed")
    assert failed.kind == "call.escalated"
    assert "999999" in failed.last_error


def test_in_a_restored_system_with_a_new_identity_everything_is_looked_at_again():
    rows.issued()
    notices.prepare(at=LATER)
    Horizon.objects.update(name="notices 42", transaction_id=2**60)  # the horizon of the system that was lost
    rows.issued()
    assert notices.prepare(at=LATER) == 1


def test_a_storm_of_notices_is_gathered_in_a_fixed_number_of_queries(django_assert_num_queries):
    made = [rows.issued() for _ in range(MOST_SIZED + 10)]
    events = [rows.event(call, "call.issued").pk for call in made]
    with django_assert_num_queries(3):
        some = cases.gather(events[: MOST_SIZED + 1])
    with django_assert_num_queries(3):
        all_of_them = cases.gather(events)
    assert len(all_of_them.events) == MOST_SIZED + 10
    assert some.case(events[0]) == all_of_them.case(events[0])
