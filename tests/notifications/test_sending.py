"""Sending through a real SMTP server that answers as servers do: well, busy, refusing, late, or not at all."""

import socket
from datetime import timedelta

import pytest

from accounts.models import Contact
from margin import calls
from margin.models import MarginCall
from notifications import notices
from notifications.models import Attempt, Notice
from tests.margin import rows as margin_rows
from tests.notifications import rows
from tests.notifications.rows import LATER
from tests.notifications.test_addresses import BAD

pytestmark = pytest.mark.django_db


def waiting(**options) -> Notice:
    call = rows.issued(**options)
    notices.prepare(at=LATER)
    return Notice.objects.get(event__call=call)


def again(notice: Notice) -> Notice:
    return Notice.objects.get(pk=notice.pk)


def test_a_notice_goes_out_once_with_both_parts_and_the_call_is_marked_as_notified(mail_server):
    notice = waiting()
    assert notices.send(at=LATER) == 1
    assert notices.send(at=LATER + timedelta(hours=1)) == 0
    (mail,) = mail_server.received
    assert mail.recipients == [notice.to_address]
    assert mail.message_id == notice.message_id
    assert str(mail.message["Subject"]) == notice.subject
    text, html = (mail.message.get_body((part,)).get_content() for part in ("plain", "html"))
    assert [text.split(), html.split()] == [notice.text.split(), notice.html.split()]
    sent = again(notice)
    assert (sent.state, sent.attempts, sent.last_error) == ("sent", 1, "")
    assert [one.outcome for one in sent.tries.all()] == ["sent"]
    assert MarginCall.objects.get().notified_at == MarginCall.objects.get().events.get(kind="call.notified").at


def test_451_is_tried_again_after_a_pause_and_then_goes_out(mail_server):
    notice = waiting()
    mail_server.after_data.append("451 try later")
    assert notices.send(at=LATER) == 0
    held = again(notice)
    assert held.state == "queued"
    assert held.last_error == "451 try later"
    assert LATER + timedelta(seconds=19) < held.send_after < LATER + timedelta(seconds=45)
    assert notices.send(at=LATER + timedelta(seconds=15)) == 0
    assert notices.send(at=LATER + timedelta(seconds=45)) == 1
    assert [one.outcome for one in notice.tries.all()] == ["deferred", "sent"]
    assert len(mail_server.received) == 1


def test_450_for_the_recipient_is_tried_again(mail_server):
    notice = waiting()
    mail_server.at_recipient.append("450 mailbox busy")
    notices.send(at=LATER)
    assert (again(notice).state, again(notice).last_error) == ("queued", "450 mailbox busy")


@pytest.mark.parametrize("stage", ["at_recipient", "after_data"])
def test_a_permanent_refusal_is_final_and_says_why(mail_server, stage):
    notice = waiting()
    getattr(mail_server, stage).append("554 no such client")
    assert notices.send(at=LATER) == 0
    assert (again(notice).state, again(notice).last_error) == ("rejected", "554 no such client")
    assert notices.send(at=LATER + timedelta(days=1)) == 0
    assert MarginCall.objects.get().notified_at is None
    assert mail_server.received == []


@pytest.mark.parametrize("silence", ["late", "drop"])
def test_silence_after_the_text_means_unknown_and_one_more_copy_under_the_same_message_id(mail_server, silence):
    notice = waiting()
    mail_server.after_data.append(silence)
    assert notices.send(at=LATER) == 0
    held = again(notice)
    assert (held.state, held.tries.get().outcome) == ("queued", "unknown")
    assert notices.send(at=LATER + timedelta(minutes=4)) == 0
    assert notices.send(at=LATER + timedelta(minutes=6)) == 1
    assert [mail.message_id for mail in mail_server.received] == [notice.message_id] * 2


def test_a_report_of_delivery_within_the_pause_spares_the_second_copy(mail_server):
    from notifications import deliveries

    notice = waiting()
    mail_server.after_data.append("drop")
    notices.send(at=LATER)
    deliveries.record(
        deliveries.Report("Postmark", "delivered", {}, metadata={"notice": str(notice.pk)}, at=LATER), at=LATER
    )
    assert notices.send(at=LATER + timedelta(minutes=6)) == 0
    assert len(mail_server.received) == 1
    assert MarginCall.objects.get().notified_at is not None


def test_a_server_that_is_away_ends_the_run_and_what_waits_keeps_its_place(mail_server, settings):
    first, second = waiting(), waiting()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings.EMAIL_PORT = unused.getsockname()[1]
        assert notices.send(at=LATER) == 0
    assert "no connection" in again(first).last_error
    assert (again(first).attempts, again(second).attempts) == (1, 0)
    settings.EMAIL_PORT = mail_server.port
    assert notices.send(at=LATER + timedelta(minutes=1)) == 2


def test_three_hours_without_a_server_lose_nothing(mail_server, settings):
    made = [waiting() for _ in range(5)]
    settings.EMAIL_PORT = 1
    at = LATER
    while at < LATER + timedelta(hours=3):
        notices.send(at=at)
        at += timedelta(minutes=3)
    settings.EMAIL_PORT = mail_server.port
    notices.send(at=at + timedelta(minutes=20))
    assert {mail.message_id for mail in mail_server.received} == {notice.message_id for notice in made}
    assert len(mail_server.received) == 5


def test_the_most_urgent_goes_first(mail_server):
    later = waiting(due_in=timedelta(days=3))
    sooner = waiting(due_in=timedelta(hours=2))
    notices.send(at=LATER)
    assert [mail.message_id for mail in mail_server.received] == [sooner.message_id, later.message_id]


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(mail_server):
    made = [waiting() for _ in range(3)]
    mail_server.after_data.extend(["250 one", "drop", "250 three"])
    notices.send(at=LATER)
    assert [again(one).state for one in made] == ["sent", "queued", "sent"]


def test_a_lease_keeps_others_away_until_it_lapses(mail_server):
    notice = waiting()
    held = notices._lease(LATER)
    assert held.pk == notice.pk
    assert notices.send(at=LATER + timedelta(seconds=29)) == 0
    assert notices.send(at=LATER + timedelta(seconds=31)) == 1


def test_a_late_failure_does_not_disturb_who_holds_the_lease_now(mail_server):
    waiting()
    first = notices._lease(LATER)
    second = notices._lease(LATER + timedelta(seconds=31))
    notices._mark(first, notices.Answer(Attempt.Outcome.REFUSED, "554 late"), LATER + timedelta(seconds=32))
    assert (again(first).state, again(first).lease_token) == ("queued", second.lease_token)


def test_nothing_is_sent_to_a_contact_of_another_client(mail_server):
    notice = waiting()
    stranger = margin_rows.account().client
    Contact.objects.filter(pk=notice.contact_id).update(client=stranger)
    assert notices.send(at=LATER) == 0
    assert "does not belong" in again(notice).last_error
    assert (again(notice).state, mail_server.received) == ("failed", [])


def test_an_address_that_changed_after_preparing_is_not_used_unseen(mail_server):
    notice = waiting()
    Contact.objects.filter(pk=notice.contact_id).update(email="new@clients.example")
    notices.send(at=LATER)
    assert again(notice).state == "failed"
    operator = margin_rows.staff("ops", "Operations")
    notices.send_again(again(notice), at=LATER, actor=operator)
    assert notices.send(at=LATER + timedelta(seconds=1)) == 1
    assert mail_server.received[0].recipients == ["new@clients.example"]
    assert "sent again to new@clients.example" in MarginCall.objects.get().events.get(kind="call.note").body


def test_no_bad_address_reaches_the_mail_server_even_past_the_first_check(mail_server):
    storable = [one for one in BAD if "\x00" not in one and "\ud800" not in one and len(one) < 255]
    notice = waiting()
    for address in storable:
        Contact.objects.filter(pk=notice.contact_id).update(email=address)
        Notice.objects.filter(pk=notice.pk).update(to_address=address, state="queued")
        assert notices.send(at=LATER) == 0
        assert again(notice).state == "failed", address
    assert notice.tries.count() == len(storable) >= 60
    assert mail_server.received == []


def test_only_a_failed_notice_is_sent_again_and_only_by_staff(mail_server):
    notice = waiting()
    with pytest.raises(notices.NotSent, match="queued"):
        notices.send_again(notice, at=LATER, actor=margin_rows.staff("ops", "Operations"))
    mail_server.after_data.append("554 no")
    notices.send(at=LATER)
    with pytest.raises(calls.Refused):
        notices.send_again(notice, at=LATER, actor=margin_rows.staff("eve", "Auditor"))
    assert again(notice).state == "rejected"


def test_pauses_double_up_to_a_quarter_of_an_hour_and_differ():
    longest = [max(notices.pause(n) for _ in range(50)) for n in (1, 2, 3, 10, 1000)]
    assert longest[0] <= timedelta(seconds=40)
    assert longest[1] <= timedelta(seconds=80)
    assert longest[2] <= timedelta(seconds=160)
    assert timedelta(minutes=10) < longest[3] <= timedelta(minutes=20)
    assert longest[4] <= timedelta(minutes=20)
    assert len({notices.pause(3) for _ in range(50)}) > 40
