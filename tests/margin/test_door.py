"""The door: what its verbs leave behind, and what it refuses."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from margin import calls, history, requests
from margin.models import Chain, Event, MarginCall
from margin.workflow import Cause, Resolution
from tests.margin import rows
from tests.margin.rows import AT, SWEEPER

pytestmark = pytest.mark.django_db
LATER = AT + timedelta(hours=1)


@pytest.fixture
def call() -> MarginCall:
    made = calls.carry_out([rows.issue(rows.account(), rows.policy())], at=AT, actor=SWEEPER)[0]
    assert made.error is None
    return MarginCall.objects.get(pk=made.call_id)


def test_issuing_leaves_a_call_and_one_event_that_says_the_same(call):
    event = Event.objects.get(account=call.account)
    body = json.loads(event.body)
    assert (call.state, call.seq, event.seq, event.kind) == ("issued", 1, 1, "call.issued")
    assert body["row"]["amount_called"] == "100"
    assert body["actor"] == "sweep 1"
    assert body["call"] == call.pk
    assert Chain.objects.get(pk=call.account_id).head == event.hash


def test_the_largest_event_stays_within_one_kilobyte(call):
    assert max(len(event.body.encode()) for event in Event.objects.all()) <= 1024


def test_a_second_call_of_the_same_regime_is_refused_and_leaves_no_event(call):
    outcome = calls.carry_out([rows.issue(call.account, call.policy_version)], at=LATER, actor=SWEEPER)[0]
    assert isinstance(outcome.error, calls.StaleCall)
    assert call.number in str(outcome.error)
    assert MarginCall.objects.count() == Event.objects.count() == 1


def test_another_regime_of_the_same_account_gets_its_own_call_in_the_same_chain(call):
    calls.carry_out([rows.issue(call.account, call.policy_version, regime="exchange")], at=LATER, actor=SWEEPER)
    assert list(MarginCall.objects.order_by("seq").values_list("regime", "seq")) == [("house", 1), ("exchange", 2)]


def test_two_moves_on_one_account_in_one_batch_follow_each_other(call):
    account = rows.account()
    outcomes = calls.carry_out(
        [rows.issue(account, call.policy_version, regime=regime) for regime in ("house", "exchange", "house")],
        at=AT,
        actor=SWEEPER,
    )
    assert [outcome.seq for outcome in outcomes] == [1, 2, None]
    assert isinstance(outcomes[2].error, calls.StaleCall)


def test_a_call_is_met_escalated_and_closed_only_along_the_legal_paths(call):
    with pytest.raises(calls.IllegalMove, match="issued"):
        calls.liquidate(call, residual=Decimal(0), at=LATER, actor=SWEEPER)
    call = calls.escalate(call, cause=Cause.DEADLINE, at=LATER, actor=SWEEPER)
    assert (call.state, call.escalation_level, call.escalation_cause) == ("escalated", 1, "deadline")
    with pytest.raises(calls.IllegalMove):
        calls.escalate(call, cause=Cause.DEADLINE, at=LATER, actor=SWEEPER)
    call = calls.meet(call, how=Resolution.CASH, at=LATER, actor=SWEEPER)
    assert (call.state, call.amount_outstanding, call.resolution) == ("met", 0, "cash")
    with pytest.raises(calls.IllegalMove):
        calls.meet(call, how=Resolution.CASH, at=LATER, actor=SWEEPER)


def test_a_stale_reader_is_told_to_reload(call):
    calls.note(call, text="client rang", at=LATER, actor=rows.staff("ops", "Operations"))
    with pytest.raises(calls.StaleCall, match="reload and decide again"):
        calls.escalate(call, cause=Cause.DEADLINE, at=LATER, actor=SWEEPER, seq=call.seq)


def test_a_decision_on_an_older_revision_of_the_account_is_refused(call):
    account = rows.account()
    move = rows.issue(account, call.policy_version)
    account.revision.number = 5
    account.revision.save()
    stale = calls.Move(**{**move.__dict__, "revision": 4})
    assert isinstance(calls.carry_out([stale], at=AT, actor=SWEEPER)[0].error, calls.StaleCall)
    fresh = calls.Move(**{**move.__dict__, "revision": 5})
    assert calls.carry_out([fresh], at=AT, actor=SWEEPER)[0].is_done


def test_retraction_takes_two_people_and_leaves_the_call_in_the_history(call):
    asker, decider = rows.staff("ops", "Operations"), rows.staff("sue", "Supervisor")
    (asked,) = requests.ask_retraction([call], reason_code="bad_price", reason="bad price", at=LATER, actor=asker)
    with pytest.raises(calls.Refused):
        requests.grant(asked, at=LATER, actor=asker, reason="bad price")
    cancelled = requests.grant(asked, at=LATER, actor=decider, reason="bad price of XYZ").call
    cancelled.refresh_from_db()
    assert (cancelled.state, cancelled.resolution) == ("cancelled", "retraction")


def test_a_supervisor_who_asked_cannot_also_decide(call):
    supervisor = rows.staff("sue", "Supervisor")
    (asked,) = requests.ask_retraction([call], reason_code="bad_price", reason="bad price", at=LATER, actor=supervisor)
    with pytest.raises(calls.Refused, match="another person"):
        requests.grant(asked, at=LATER, actor=supervisor, reason="bad price")


@pytest.mark.parametrize("role", ["Auditor", "Administrator", ""])
def test_those_who_only_read_or_administer_move_nothing(call, role):
    with pytest.raises(calls.Refused):
        calls.note(call, text="hello", at=LATER, actor=rows.staff("eve", role))


def test_a_person_gives_a_reason(call):
    with pytest.raises(calls.Refused, match="reason"):
        calls.escalate(call, cause=Cause.PERSON, at=LATER, actor=rows.staff("sue", "Supervisor"), reason=" ")


def test_a_closed_call_takes_notes_and_nothing_else(call):
    call = calls.meet(call, how=Resolution.MARKET, at=LATER, actor=SWEEPER)
    calls.note(call, text="client thanked us", at=LATER, actor=rows.staff("ops", "Operations"))
    call.refresh_from_db()
    assert call.state == "met"
    assert Event.objects.filter(call=call).count() == 3


def test_time_never_runs_backwards_in_a_chain(call):
    calls.note(call, text="later", at=LATER, actor=rows.staff("ops", "Operations"))
    calls.escalate(call, cause=Cause.SEVERITY, at=AT, actor=SWEEPER)
    assert [event.at for event in Event.objects.filter(call=call)] == [AT, LATER, LATER]


def test_the_chain_verifies_after_all_verbs(call):
    calls.notified([call.pk], at=LATER, actor=SWEEPER)
    calls.escalate(call, cause=Cause.DEADLINE, at=LATER, actor=SWEEPER)
    calls.meet(call, how=Resolution.CASH, at=LATER, actor=SWEEPER)
    assert history.verify(call.account) == []


@pytest.mark.parametrize(
    "change", [{"closed_on": AT.date()}, {"agreement": "other"}], ids=["closing it", "another agreement"]
)
def test_an_account_with_an_open_call_is_neither_closed_nor_reassigned(call, change):
    account = type(call.account).objects.filter(pk=call.account_id)
    with pytest.raises(IntegrityError, match="has an open margin call"), transaction.atomic():
        account.update(**change)
    calls.meet(call, how=Resolution.CASH, at=LATER, actor=SWEEPER)
    assert account.update(**change) == 1


def test_an_account_with_an_open_call_does_not_go_over_to_another_client(call):
    other = rows.account()
    with pytest.raises(IntegrityError, match="has an open margin call"), transaction.atomic():
        type(other).objects.filter(pk=call.account_id).update(client=other.client)


def test_a_reason_too_long_for_an_event_is_refused_with_its_length(call):
    with pytest.raises(calls.Refused, match="701 bytes long"):
        calls.note(call, text="x" * 701, at=LATER, actor=rows.staff("ops", "Operations"))
    calls.note(call, text="ä" * 350, at=LATER, actor=rows.staff("ops", "Operations"))
