"""The trial of autumn 2008, played once on recorded prices: every call by hand, the history intact."""

from datetime import datetime
from pathlib import Path

import pytest
from django.core import mail

from backoffice.trial import bars, sales, trials
from margin import replay, rows
from margin.models import Approval, Assessment, Event, MarginCall, Measure, Plan, Receivable, Sweep
from market.models import HeldQuote, Instrument
from notifications.models import Notice
from tests.conftest import committed_clone
from tests.golden import trial

DATA = Path(__file__).parents[2] / "../shared/data/market"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared")
DOCUMENT = Path(__file__).parents[2] / "docs/trial_2008.md"


@pytest.fixture(scope="module")
def report(server, django_db_setup, django_db_blocker):
    """What the trial printed; its database stays open for the tests of this module, which only read."""
    with committed_clone(server, django_db_blocker):
        yield trials.carry_out(trials.TRIALS["2008"], bars.folder(str(DATA)))


def assert_as_worked_out(day):
    """The sweep found the figures worked out by hand, and the history says of the call what it must say."""
    found = Assessment.objects.get(account__code=day.account, sweep__at=day.at)
    if day.equity is None:
        assert (found.status, day.state) == ("unpriced", "unpriced")
    else:
        measure = Measure.objects.get(assessment=found, regime=day.regime)
        assert (measure.equity, measure.requirement) == (day.equity, day.requirement)
    told = [
        rows.read(event)["row"]
        for event in Event.objects.filter(account__code=day.account, call__regime=day.regime, at__lte=day.at).order_by(
            "seq"
        )
        if "row" in rows.read(event)
    ]
    if day.called is None:
        assert not told
        return
    last = told[-1]
    assert trial.Decimal(last["amount_called"]) == day.called
    assert trial.Decimal(last["amount_outstanding"]) == day.outstanding
    assert day.state in (last["state"], "unpriced")


def assert_in_document(printed):
    """If it differs for a good reason, put what `manage.py trial` prints into docs/trial_2008.md."""
    document = DOCUMENT.read_text(encoding="utf-8")
    assert [part for part in printed.strip().split("\n\n") if part not in document] == []


@pytest.mark.parametrize("day", trial.days("2008"), ids=str)
def test_the_trial_finds_what_was_worked_out_by_hand(report, day):
    assert_as_worked_out(day)


def test_plans_and_other_ways_are_as_their_page_says(report):
    drawn = sales.see()
    page = (DOCUMENT.parent / "liquidation.md").read_text(encoding="utf-8")
    assert [part for part in drawn.text.strip().split("\n\n") if part not in page] == []
    for name, chart in drawn.charts.items():
        assert (DOCUMENT.parent / "charts" / f"{name}.svg").read_text(encoding="utf-8") == chart


def test_the_history_is_intact_and_every_invariant_holds(report):
    assert report.faults == ()
    assert "all chains are intact" in report.text
    assert "check_invariants: all hold" in report.text


def test_there_is_one_complete_sweep_per_close(report):
    sweeps = Sweep.objects.values_list("state", "eligible")
    assert list(sweeps) == [("complete", 14)] * 32  # sessions from 2008-09-02 to 2008-10-15


def test_every_sweep_replays_to_the_cent(report):
    assert [str(found) for past in Sweep.objects.all() for found in replay.run(past).differences] == []


def test_every_outcome_occurs(report):
    assert set(MarginCall.objects.values_list("state", "resolution")) >= {
        ("issued", ""),
        ("escalated", ""),
        ("met", "cash"),
        ("met", "market"),
        ("met", "sale"),
        ("met", "mixed"),
        ("liquidated", "liquidation"),
    }
    causes = set(MarginCall.objects.values_list("escalation_cause", flat=True))
    assert causes == {"", "deadline", "severity", "person"}


def test_nothing_acts_on_an_account_without_a_price(report):
    unpriced = Assessment.objects.filter(status="unpriced").values_list("account_id", "at", "sweep_id")
    assert unpriced
    for account, at, sweep in unpriced:
        assert not [
            e for e in Event.objects.filter(account=account, at=at) if rows.read(e)["actor"] == f"sweep {sweep}"
        ]


def test_washington_mutual_has_no_price_after_its_last_until_it_is_written_off(report):
    wamu = Instrument.objects.get(code="WAMU")
    without = Assessment.objects.filter(
        account__code="M06", status="unpriced", at__gte=datetime.fromisoformat("2008-09-26T00:00Z")
    )
    assert [found.at.date().isoformat() for found in without.order_by("at")] == [
        "2008-09-29",
        "2008-09-30",
        "2008-10-01",
    ]
    assert all("WAMU" in found.reasons[0] and "stale" in found.reasons[0] for found in without)
    (written_off,) = wamu.actions.all()
    assert (written_off.proposed_by.username, written_off.approved_by.username) == ("operations", "risk")
    assert not wamu.positions.exclude(quantity=0).exists()


def test_a_jump_waits_until_a_person_or_the_next_price_decides(report):
    held = HeldQuote.objects.filter(instrument__code="AIG", decided_by__username="operations")
    assert {str(one.mark.normalize()) for one in held} == {"12.16", "5.09", "2.05", "4.22", "3.35", "3.48"}
    returned = HeldQuote.objects.filter(state="rejected", decided_by=None)
    assert {(one.instrument.code, str(one.mark.normalize())) for one in returned} == {
        ("WAMU", "2.37"),
        ("WAMU", "2.01"),
    }


def test_columbus_day_trades_but_is_no_settlement_day(report):
    call = MarginCall.objects.get(account__code="M12", regime="house", issued_at__date="2008-10-09")
    assert f"{call.due_at:%Y-%m-%d %H:%M}" == "2008-10-15 19:00"  # 10, 14 and 15 October: 15:00 in New York
    assert Sweep.objects.filter(at__date="2008-10-13").exists()


def test_every_liquidation_has_a_proposer_and_another_approver(report):
    done = Plan.objects.filter(state="done")
    assert done.count() == 6
    for plan in done:
        approvers = set(Approval.objects.filter(plan=plan).values_list("approver__username", flat=True))
        assert (plan.proposed_by.username, approvers) == ("operations", {"supervisor"})


def test_what_is_missing_after_everything_was_sold_is_owed_once(report):
    # 24,000 − (4,800 − 4.80) and 22,000 − (11,340 − 11.34)
    owed = Receivable.objects.order_by("account__code").values_list("account__code", "amount")
    assert list(owed) == [("M03", trial.Decimal("19204.80")), ("M06", trial.Decimal("10671.34"))]
    assert not MarginCall.objects.filter(account__code__in=["M03", "M06"], state__in=["issued", "escalated"]).exists()


def test_every_client_was_told_of_every_call(report):
    assert not Notice.objects.exclude(state="sent").exists()
    assert not MarginCall.objects.filter(notified_at=None).exists()
    assert MarginCall.objects.count() == Notice.objects.filter(kind="call.issued").count()


def test_the_accounts_that_should_stay_quiet_do(report):
    assert not MarginCall.objects.filter(account__code__in=["M01", "M11"]).exists()


def test_the_document_shows_what_the_trial_prints(report):
    assert_in_document(report.text)


def test_no_mail_left_the_house(report):
    assert mail.get_connection().__class__.__module__ == "django.core.mail.backends.locmem"
