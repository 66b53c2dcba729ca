"""The bitcoin lender: twenty loans by the day over the fall to 2018-02-06, twenty by the minute over 2017-12-17."""

from datetime import timedelta

import pytest

from backoffice.trial import bars, trials
from margin.models import Approval, Event, MarginCall, Plan, Sweep
from tests.conftest import committed_clone
from tests.flows.test_trial_2008 import DATA, assert_as_worked_out, assert_in_document
from tests.golden import trial

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared")


@pytest.fixture(scope="module", params=["btc_days", pytest.param("btc_minutes", marks=pytest.mark.long)])
def played(request, server, django_db_setup, django_db_blocker):
    """The name of a trial and what it printed; its database stays open for the tests, which only read."""
    with committed_clone(server, django_db_blocker):
        yield request.param, trials.carry_out(trials.TRIALS[request.param], bars.folder(str(DATA)))


def test_the_trial_finds_what_was_worked_out_by_hand(played):
    for day in trial.days(played[0]):
        assert_as_worked_out(day)


def test_the_history_is_intact_and_every_invariant_holds(played):
    assert played[1].faults == ()


def test_every_close_or_minute_has_one_complete_sweep(played):
    sweeps = Sweep.objects.order_by("at").values_list("at", "state", "eligible")
    step, count = {"btc_days": (timedelta(days=1), 52), "btc_minutes": (timedelta(minutes=1), 1440)}[played[0]]
    first = sweeps[0][0]
    assert list(sweeps) == [(first + number * step, "complete", 20) for number in range(count)]


def test_what_the_system_proposes_two_people_approve(played):
    plans = Plan.objects.filter(state="done")
    assert plans
    for plan in plans:
        approvers = set(Approval.objects.filter(plan=plan).values_list("approver__username", flat=True))
        assert (plan.proposed_by, approvers) == (None, {"supervisor", "risk"})


def test_calls_are_issued_met_escalated_and_liquidated(played):
    assert set(MarginCall.objects.values_list("state", flat=True)) >= {"met", "liquidated"}
    assert Event.objects.filter(kind="call.escalated").exists()


def test_the_document_shows_what_the_trial_prints(played):
    assert_in_document(played[1].text)
