"""What clients read about deadlines that move, payments looked for or taken back, objections and restrictions."""

from datetime import timedelta
from decimal import Decimal

import pytest

from margin import calls, casework, claims, disputes, requests
from margin.actors import client
from margin.calls import Move
from margin.models import MarginCall, Task
from margin.workflow import Resolution, Verb
from notifications import cases, layouts, notices, unreached, writers
from notifications.models import Notice
from tests.margin import rows as margin_rows
from tests.notifications import rows
from tests.notifications.rows import LATER, MONDAY, SWEEPER

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def call() -> MarginCall:
    rows.swept_house()
    return MarginCall.objects.get()


def told(call: MarginCall, kind: str) -> layouts.Mail:
    event = rows.event(call, kind)
    return layouts.write(cases.gather([event.pk]).case(event.pk), locale="en")


def staff(name: str):
    return margin_rows.staff(name, {"ops": "Operations", "sue": "Supervisor", "rita": "Risk"}[name])


def test_a_reminder_repeats_amount_and_deadline_and_says_that_it_is_one(call):
    calls.make(Move(Verb.REMIND, call.account_id, call_id=call.pk), at=LATER, actor=SWEEPER)
    mail = told(call, "call.reminded")
    assert mail.subject == "Reminder: 100.00 USD due tomorrow 10:00 New York time (Tue 3 Mar 2026)"
    assert "This is a reminder" in mail.text


def test_an_extension_states_the_new_deadline(call):
    asked = requests.ask_extension(
        call, until=call.due_at + 24 * HOUR, reason_code="bank_transfer", reason="wire", at=LATER, actor=staff("ops")
    )
    requests.grant(asked, at=LATER, actor=staff("sue"))
    mail = told(call, "call.extended")
    assert "More time" in mail.subject
    assert "Wednesday" in mail.text or "Wed 4 Mar" in mail.text


def test_an_accelerated_deadline_counts_only_after_its_own_notice_went_out(call):
    calls.notified([call.pk], at=LATER, actor=SWEEPER)
    call.refresh_from_db()
    asked = requests.ask_acceleration(call, due_at=LATER + HOUR, reason="gap", at=LATER, actor=staff("sue"))
    requests.grant(asked, at=LATER, actor=staff("rita"))
    notices.prepare(at=LATER)
    Notice.objects.filter(kind="call.issued").update(state="sent", sent_at=LATER)
    assert notices.tell_margin(at=LATER) == 0
    Notice.objects.filter(kind="call.accelerated").update(state="sent", sent_at=LATER)
    assert notices.tell_margin(at=LATER) == 1
    assert "no longer wait" in told(call, "call.accelerated").text


def test_a_claim_is_acknowledged_with_its_reference_and_does_not_count_yet(call):
    claims.claim(
        call, amount=Decimal(60), currency="USD", method="wire", reference="FT-8841", at=LATER, actor=client(1)
    )
    mail = told(call, "claim.made")
    assert "60.00 USD" in mail.text
    assert "FT-8841" in mail.text
    assert "100.00 USD" in mail.text  # still due


def test_only_a_payment_that_settled_is_told_as_received(call):
    cure = claims.claim(
        call, amount=Decimal(60), currency="USD", method="wire", reference="FT-8841", at=LATER, actor=client(1)
    )
    claims.check(cure, finding="in_transit", reason="advice seen", at=LATER, actor=staff("ops"))
    notices.prepare(at=LATER)
    assert not Notice.objects.filter(kind="claim.checked").exists()


@pytest.mark.parametrize(
    ("finding", "granted", "sentence"),
    [("upheld", "0", "taken the disputed amount off"), ("partly", "10", "lowered your margin call by 10.00 USD"),
     ("rejected", "0", "stands as it was made")],
)  # fmt: skip
def test_an_objection_is_acknowledged_and_answered(call, finding, granted, sentence):
    opened = disputes.dispute(call, amount=Decimal(30), reason_code="position", reason="x", at=LATER, actor=client(1))
    assert "You dispute 30.00 USD. The deadline does not change" in " ".join(told(call, "dispute.opened").text.split())
    disputes.decide(opened, finding=finding, granted=Decimal(granted), reason="x", at=LATER, actor=staff("sue"))
    assert sentence in " ".join(told(call, "dispute.decided").text.split())


def test_a_restriction_says_what_no_longer_works_and_until_when(call):
    details = {"effect": "closing_only", "ends_at": "2026-05-31T20:00:00Z"}
    calls.tell(call.account_id, verb=Verb.RESTRICT, details=details, at=LATER, actor=SWEEPER)
    event = call.account.events.get(kind="restriction.placed")
    mail = layouts.write(cases.gather([event.pk]).case(event.pk), locale="en")
    text = " ".join(mail.text.split())
    assert "Positions can only be reduced or closed." in text
    assert "31 May 2026" in text


def test_every_kind_has_both_layouts():
    missing = [
        f"{kind}.{extension}"
        for kind in writers.KINDS
        for extension in ("txt", "mjml")
        if not (layouts.FOLDER / f"{kind}.{extension}").exists()
    ]
    assert missing == []


# --- clients whom nothing reached -------------------------------------------------------------------------


def bounced(call: MarginCall, state: str = "bounced") -> None:
    notices.prepare(at=MONDAY)
    Notice.objects.filter(event__call=call).update(state=state, prepared_at=MONDAY)


def test_a_bounced_notice_is_a_task_at_once_and_an_escalation_after_the_policys_time(call):
    bounced(call)
    assert unreached.carry_out(at=MONDAY + timedelta(minutes=1)) == 0
    assert Task.objects.get().kind == "phone_client"
    assert unreached.carry_out(at=MONDAY + timedelta(minutes=15)) == 1
    assert unreached.carry_out(at=MONDAY + timedelta(minutes=16)) == 0
    call.refresh_from_db()
    assert (call.state, call.escalation_cause) == ("escalated", "undeliverable")
    assert Task.objects.count() == 1


def test_a_notice_that_only_waits_escalates_nothing(call):
    bounced(call, "queued")
    assert unreached.carry_out(at=MONDAY + timedelta(minutes=20)) == 0
    assert Task.objects.get().kind == "phone_client"
    call.refresh_from_db()
    assert call.state == "issued"


def test_a_client_who_was_spoken_with_is_reached(call):
    bounced(call)
    casework.contact(
        call, channel="phone", direction="out", outcome="reached", text="read the notice to them", at=MONDAY + HOUR / 6,
        actor=staff("ops"), amount_quoted=call.amount_outstanding, deadline_quoted=call.due_at,
    )  # fmt: skip
    assert unreached.carry_out(at=MONDAY + HOUR) == 0
    call.refresh_from_db()
    assert (call.state, call.notified_at) == ("issued", MONDAY + HOUR / 6)


def test_one_contact_who_got_it_is_enough(call):
    rows.contact(call.account, "second@clients.example")
    bounced(call)
    Notice.objects.filter(to_address="second@clients.example").update(state="delivered")
    assert unreached.found() == []


# --- provisional calls ------------------------------------------------------------------------------------


def provisional() -> MarginCall:
    owner, version = margin_rows.account(), margin_rows.policy()
    move = margin_rows.issue(owner, version, regime="reg_t", at=MONDAY)
    move.changes.update(is_provisional=True, market_cures=False)
    made = calls.carry_out([move], at=MONDAY, actor=SWEEPER)[0]
    return MarginCall.objects.get(pk=made.call_id)


def test_a_call_that_its_day_may_still_undo_is_told_to_nobody_until_it_is_final():
    call = provisional()
    notices.prepare(at=MONDAY)
    assert not Notice.objects.exists()
    calls.make(Move(Verb.FINALISE, call.account_id, call_id=call.pk), at=LATER, actor=SWEEPER)
    notices.prepare(at=LATER)
    notice = Notice.objects.get()
    assert notice.kind == "call.finalised"
    assert "Federal Reserve" in notice.text
    notice.state, notice.sent_at = "sent", LATER
    notice.save()
    assert notices.tell_margin(at=LATER) == 1


def test_nothing_is_told_of_a_call_that_its_own_day_undid():
    call = provisional()
    calls.meet(call, how=Resolution.SALE, at=LATER, actor=SWEEPER)
    notices.prepare(at=LATER)
    assert not Notice.objects.exists()
