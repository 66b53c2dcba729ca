"""More time, less time, holds, retractions and calls by hand: one asks, another decides, the history keeps both."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from backoffice.demo.policies import US_MARGIN
from margin import calls, history, requests
from margin.models import Event, MarginCall, Request
from margin.workflow import Cause, Resolution
from tests.margin import rows
from tests.margin.rows import AT, SWEEPER

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
LATER = AT + HOUR


@pytest.fixture
def terms():
    house = {**US_MARGIN["regimes"][0], "second_approval_above": "500"}
    return {**US_MARGIN, "calendar": "24/7", "regimes": [{**house, "clock": {"unit": "hours", "count": 48}}]}


@pytest.fixture
def call(terms) -> MarginCall:
    made = calls.carry_out([rows.issue(rows.account(), rows.policy(terms=terms))], at=AT, actor=SWEEPER)[0]
    return MarginCall.objects.get(pk=made.call_id)


@pytest.fixture
def people():
    return {
        name: rows.staff(name, role)
        for name, role in (
            ("ops", "Operations"), ("sue", "Supervisor"), ("sam", "Supervisor"), ("rita", "Risk"),
            ("carl", "Compliance"),
        )
    }  # fmt: skip


def extension(call, actor, **options):
    wanted = {"until": call.due_at + 24 * HOUR, "reason_code": "bank_transfer", "reason": "wire in flight", "at": LATER}
    return requests.ask_extension(call, actor=actor, **{**wanted, **options})


def test_an_extension_moves_the_deadline_when_another_person_grants_it(call, people):
    asked = extension(call, people["ops"])
    granted = requests.grant(asked, at=LATER + HOUR, actor=people["sue"], reason="seen the bank's advice")
    call.refresh_from_db()
    assert (granted.state, call.due_at, call.original_due_at) == (
        "granted", AT + timedelta(days=3), AT + timedelta(days=2),
    )  # fmt: skip
    assert "bank transfer" in call.due_basis
    assert [event.kind for event in call.events.order_by("seq")] == [
        "call.issued", "extension.requested", "call.extended",
    ]  # fmt: skip
    assert history.verify(call.account) == []


def test_nobody_grants_what_they_asked_nor_decides_twice(call, people):
    asked = extension(call, people["sue"])
    with pytest.raises(calls.Refused, match="another person"):
        requests.grant(asked, at=LATER, actor=people["sue"])
    requests.deny(asked, at=LATER, actor=people["sam"], reason="no advice shown")
    with pytest.raises(calls.IllegalMove, match="denied already"):
        requests.grant(asked, at=LATER, actor=people["sam"])
    call.refresh_from_db()
    assert call.due_at == call.original_due_at


def test_the_database_refuses_a_decision_by_whoever_asked(call, people):
    asked = extension(call, people["sue"])
    with pytest.raises(IntegrityError, match="request_needs_two_people"), transaction.atomic():
        Request.objects.filter(pk=asked.pk).update(
            state="granted", decided_by_id=people["sue"].user_id, decided_at=LATER
        )


def test_the_database_refuses_a_request_that_changes_without_its_event(call, people):
    asked = extension(call, people["ops"])
    with connection.cursor() as cursor, pytest.raises(IntegrityError, match="without its event"), transaction.atomic():
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        Request.objects.filter(pk=asked.pk).update(reason="something else", seq=99)


def test_an_extension_is_filed_before_the_deadline_and_only_as_often_as_the_policy_allows(call, people):
    with pytest.raises(calls.IllegalMove, match="filed before"):
        extension(call, people["ops"], at=call.due_at)
    requests.grant(extension(call, people["ops"]), at=LATER, actor=people["sue"])
    call.refresh_from_db()
    with pytest.raises(calls.Refused, match="extended 1 time"):
        extension(call, people["ops"])


def test_the_grant_of_an_examining_authority_needs_its_reference(terms, people):
    terms["regimes"][0]["clock"]["extension_authority"] = "examining_authority"
    made = calls.carry_out([rows.issue(rows.account(), rows.policy(terms=terms))], at=AT, actor=SWEEPER)[0]
    asked = extension(MarginCall.objects.get(pk=made.call_id), people["ops"], external_reference="MD-1")
    with pytest.raises(calls.Refused, match="reference of its grant"):
        requests.grant(asked, at=LATER, actor=people["sue"])
    granted = requests.grant(asked, at=LATER, actor=people["sue"], external_reference="REX-77")
    assert granted.external_reference == "REX-77"


def test_a_reason_that_nobody_coded_is_refused(call, people):
    with pytest.raises(calls.Refused, match="is not one of"):
        extension(call, people["ops"], reason_code="because")


def test_a_request_is_withdrawn_by_whoever_asked(call, people):
    asked = extension(call, people["ops"])
    with pytest.raises(calls.Refused, match="only who asked"):
        requests.withdraw(asked, at=LATER, actor=people["sue"])
    assert requests.withdraw(asked, at=LATER, actor=people["ops"]).state == "withdrawn"
    assert extension(call, people["ops"]).state == "open"


def test_one_request_of_a_kind_is_open_at_a_time(call, people):
    extension(call, people["ops"])
    with pytest.raises(calls.Refused, match="already"):
        extension(call, people["sue"])


def test_a_hold_ends_by_itself_and_the_same_person_cannot_ask_for_the_next(call, people):
    def ask(who, until):
        return requests.ask_hold(call, until=until, reason="tracing the wire", at=LATER, actor=people[who])

    with pytest.raises(calls.Refused, match="a hold ends within"):
        ask("ops", LATER + 25 * HOUR)
    with pytest.raises(calls.Refused, match="may not"):
        requests.grant(ask("ops", LATER + HOUR), at=LATER, actor=people["carl"])
    requests.grant(Request.objects.get(), at=LATER, actor=people["rita"])
    call.refresh_from_db()
    assert call.held_until == LATER + HOUR
    with pytest.raises(calls.Refused, match="another person must ask"):
        ask("ops", LATER + 2 * HOUR)
    requests.release(call, reason="found", at=LATER, actor=people["rita"])
    call.refresh_from_db()
    assert call.held_until is None


def test_an_accelerated_deadline_counts_once_the_client_was_told_of_it(call, people):
    calls.notified([call.pk], at=LATER, actor=SWEEPER)
    call.refresh_from_db()
    was = call.due_at
    asked = requests.ask_acceleration(
        call, due_at=LATER + HOUR, reason="gap at the open", reason_code="volatility", at=LATER, actor=people["rita"]
    )
    with pytest.raises(calls.Refused, match="another person"):
        requests.grant(asked, at=LATER, actor=people["rita"])
    requests.grant(asked, at=LATER, actor=people["sue"])
    call.refresh_from_db()
    assert (call.due_at, call.notified_at) == (LATER + HOUR, None)
    assert call.due_basis == f"brought forward from {was:%Y-%m-%d %H:%M} UTC"  # no words: they could not be erased


def test_in_an_emergency_the_accelerated_deadline_counts_at_once(call, people):
    calls.notified([call.pk], at=LATER, actor=SWEEPER)
    call.refresh_from_db()
    asked = requests.ask_acceleration(
        call, due_at=LATER + HOUR, reason="gap", at=LATER, actor=people["sue"], is_emergency=True
    )
    requests.grant(asked, at=LATER, actor=people["rita"])
    call.refresh_from_db()
    assert call.notified_at == LATER


def test_a_hundred_calls_on_one_bad_price_are_retracted_in_one_proposal_with_an_event_each(terms, people):
    version = rows.policy(terms=terms)
    moves = [rows.issue(rows.account(), version) for _ in range(100)]
    calls.carry_out(moves, at=AT, actor=SWEEPER)
    wrong = list(MarginCall.objects.all())
    asked = requests.ask_retraction(
        wrong, reason_code="bad_price", reason="XYZ printed at 1 instead of 100", at=LATER, actor=people["ops"]
    )
    assert len({request.batch for request in asked}) == 1
    requests.grant_batch(asked[0].batch, at=LATER, actor=people["sue"], reason="confirmed with the venue")
    assert set(MarginCall.objects.values_list("state", "resolution")) == {("cancelled", Resolution.RETRACTION)}
    assert Event.objects.filter(kind="call.cancelled").count() == 100


def test_a_batch_is_refused_as_a_whole_by_whoever_asked(terms, people):
    version = rows.policy(terms=terms)
    calls.carry_out([rows.issue(rows.account(), version) for _ in range(3)], at=AT, actor=SWEEPER)
    asked = requests.ask_retraction(
        list(MarginCall.objects.all()), reason_code="bad_price", reason="XYZ", at=LATER, actor=people["sue"]
    )
    with pytest.raises(calls.Refused), transaction.atomic():
        requests.grant_batch(asked[0].batch, at=LATER, actor=people["sue"])
    assert MarginCall.objects.open().count() == 3


def test_a_retraction_may_be_refused_and_the_call_goes_on(call, people):
    (asked,) = requests.ask_retraction([call], reason_code="bad_price", reason="XYZ?", at=LATER, actor=people["ops"])
    assert calls.retraction_asked_by(call) == "ops"
    requests.deny(asked, reason="the print was good", at=LATER, actor=people["carl"])
    call.refresh_from_db()
    assert call.is_open
    assert calls.retraction_asked_by(call) is None


def test_a_call_by_hand_above_the_limit_takes_two_people(terms, people):
    rows.policy(terms=terms)
    account = rows.account()
    small = requests.issue(
        account, regime="house", amount=Decimal(500), reason="agreed by phone", at=AT, actor=people["ops"]
    )
    assert (small.state, small.due_at) == ("issued", AT + 48 * HOUR)
    other = rows.account()
    with pytest.raises(calls.Refused, match="second person"):
        requests.issue(other, regime="house", amount=Decimal(501), reason="x", at=AT, actor=people["ops"])
    asked = requests.ask_issue(other, regime="house", amount=Decimal(501), reason="x", at=AT, actor=people["ops"])
    with pytest.raises(calls.Refused):
        requests.grant(asked, at=AT, actor=people["ops"])
    made = requests.grant(asked, at=AT, actor=people["sue"]).call
    assert (made.account, made.amount_called) == (other, 501)


def test_a_call_by_hand_in_a_regime_the_policy_does_not_have_is_refused(terms, people):
    rows.policy(terms=terms)
    with pytest.raises(calls.Refused, match="has no regime 'loan'"):
        requests.ask_issue(rows.account(), regime="loan", amount=Decimal(1), reason="x", at=AT, actor=people["ops"])


@pytest.mark.parametrize("close", ["meet", "escalate"])
def test_what_came_meanwhile_decides_whether_a_request_can_still_be_granted(call, people, close):
    asked = extension(call, people["ops"])
    if close == "meet":
        calls.meet(call, how=Resolution.CASH, at=LATER, actor=SWEEPER)
    else:
        calls.escalate(call, cause=Cause.SEVERITY, at=LATER, actor=SWEEPER)
    with pytest.raises(calls.IllegalMove):
        requests.grant(asked, at=LATER, actor=people["sue"])
    asked.refresh_from_db()
    assert asked.state == "open"
