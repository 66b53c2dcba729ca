"""Who watches the sweeps, the slots that the clock asks for, and the commands people type."""

import json
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from django.core import mail
from django.core.management import CommandError, call_command

from margin import policies, sweep, tasks, watch
from margin.models import Alarm, MarginCall, Shard, Sweep
from market import calendars
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes, quote

pytestmark = pytest.mark.django_db


@pytest.fixture
def xyz():
    rows.policy("us_margin", world.securities())
    xyz = rows.equity("XYZ", max_age_seconds=10**8)
    quote(xyz, "50", MONDAY)
    world.long_account("100", "3600", xyz, code="A1001")
    return xyz


def said(*words, **options):
    out = StringIO()
    call_command(*words, stdout=out, stderr=out, **options)
    return out.getvalue()


def test_a_house_that_never_swept_is_late_half_an_hour_after_its_first_policy():
    rita, ron = rows.staff("rita", "Risk"), rows.staff("ron", "Risk")
    version = policies.publish("p", terms=world.securities(), effective_at=MONDAY, at=MONDAY, actor=rita)
    policies.approve(version, at=MONDAY, actor=ron)
    assert watch.ages(MONDAY + minutes(30))["securities"].is_ok
    assert not watch.ages(MONDAY + minutes(31))["securities"].is_ok


def test_a_sweep_is_late_after_two_intervals(xyz):
    sweep.run("securities", at=MONDAY)
    assert watch.ages(MONDAY + minutes(30))["securities"].is_ok
    assert not watch.ages(MONDAY + minutes(31))["securities"].is_ok


def test_a_kind_without_policies_is_not_expected(xyz):
    assert watch.ages(MONDAY)["crypto"].is_ok


def test_out_of_session_nobody_is_late_and_the_night_does_not_count():
    calendars.fill("XNYS", date(2026, 2, 1), date(2026, 3, 31))
    rows.policy("us_margin", {**world.securities(), "calendar": "XNYS"})
    sweep.run("securities", at=MONDAY)  # 10:00 in New York
    midnight = datetime(2026, 3, 3, 5, 0, tzinfo=UTC)
    assert watch.ages(midnight)["securities"].is_ok
    tuesday = datetime(2026, 3, 3, 14, 31, tzinfo=UTC)  # a minute after the opening; six hours of Monday were missed
    assert not watch.ages(tuesday)["securities"].is_ok


def test_the_alarm_is_raised_once_mailed_and_cleared(xyz, settings):
    (alarm,) = watch.check(MONDAY)
    assert watch.check(MONDAY + minutes(1)) == []
    sweep.run("securities", at=MONDAY + minutes(2))
    watch.check(MONDAY + minutes(2))
    alarm.refresh_from_db()
    assert alarm.cleared_at == MONDAY + minutes(2)


def test_a_calendar_that_ends_within_sixty_days_is_an_alarm(db):
    calendars.fill("24/7", date(2026, 1, 1), date(2026, 4, 30))
    assert watch.check(MONDAY - timedelta(days=2)) == []  # 28 February: 61 days are left
    (alarm,) = watch.check(MONDAY)
    assert (alarm.kind, alarm.subject) == ("calendar_ends", "24/7")
    calendars.fill("24/7", date(2026, 1, 1), date(2027, 12, 31))
    watch.check(MONDAY)
    assert not Alarm.objects.filter(cleared_at=None).exists()


def test_the_watchdog_mails_operations(xyz, monkeypatch):
    monkeypatch.setattr("margin.management.commands.watchdog.close_old_connections", lambda: None)  # ours is the test's
    said("watchdog", once=True)
    late = next(one for one in mail.outbox if "late" in one.subject)
    assert "are the worker and beat running?" in late.body
    assert {alarm.kind for alarm in Alarm.objects.exclude(mailed_at=None)} == {"sweep_late", "rights"}
    (rights,) = [one for one in mail.outbox if one is not late]
    assert "rights were changed" in rights.body  # the people that this test's policy needed came to be


def test_a_slot_is_the_start_of_its_interval():
    at = datetime(2026, 3, 2, 15, 14, 59, tzinfo=UTC)
    assert tasks.slot(at, "securities") == datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
    assert tasks.slot(at, "crypto") == datetime(2026, 3, 2, 15, 14, tzinfo=UTC)


def test_the_sweep_task_runs_its_slot_once(xyz):
    tasks.run_sweep("securities")
    tasks.run_sweep("securities")
    assert Sweep.objects.count() <= 2  # two only if the quarter of an hour turned between the calls
    assert MarginCall.objects.count() == 1


def test_the_attention_task_does_nothing_where_nothing_waits(xyz):
    sweep.run("securities", at=MONDAY)
    tasks.run_attention()
    assert not Sweep.objects.filter(kind=sweep.ATTENTION).exists()


def test_an_account_with_a_due_call_gets_attention(xyz):
    sweep.run("securities", at=MONDAY)
    call = MarginCall.objects.get()
    from margin import calls
    from margin.actors import system

    calls.notified([call.pk], at=MONDAY, actor=system("notices"))
    assert sweep.wanting_attention(MONDAY + timedelta(hours=23)) == []
    due = MONDAY + timedelta(hours=24)
    assert sweep.wanting_attention(due) == [call.account_id]
    sweep.run(sweep.ATTENTION, at=due, ids=sweep.wanting_attention(due))
    assert MarginCall.objects.get().state == "escalated"


def test_a_shard_whose_worker_died_is_handed_out_again(xyz):
    begun = sweep.begin("securities", at=MONDAY, slot_at=MONDAY)
    Shard.objects.update(lease_until=MONDAY + timedelta(seconds=30), attempts=1)
    assert sweep.lapsed(MONDAY + timedelta(seconds=29)) == []
    assert [shard.sweep for shard in sweep.lapsed(MONDAY + timedelta(seconds=30))] == [begun]


def test_a_shard_that_always_fails_is_given_up_and_the_sweep_is_incomplete(xyz):
    begun = sweep.begin("securities", at=MONDAY, slot_at=MONDAY)
    Shard.objects.update(attempts=5, last_error="boom")
    assert sweep.finish(begun, now=MONDAY)
    assert (begun.state, begun.failed) == ("incomplete", 1)
    assert {alarm.kind for alarm in watch.check(MONDAY)} == {"shard_failed", "sweep_late"}


def test_the_sweep_command_prints_what_it_saw(xyz):
    printed = said("sweep", "securities", "--at", MONDAY.isoformat())
    assert "complete" in printed
    assert "call.issued" in printed
    with pytest.raises(CommandError, match="there is a securities sweep"):
        said("sweep", "securities", "--at", MONDAY.isoformat())
    with pytest.raises(CommandError, match="no UTC offset"):
        said("sweep", "securities", "--at", "2026-03-02T15:00:00")


def test_explain_shows_every_charge_and_adds_up(xyz):
    printed = said("explain", "A1001")
    assert "1500.00 USD" in printed.replace(",", "")
    tree = json.loads(said("explain", "A1001", "--json"))
    charges = tree["regimes"][0]["requirement"]["charges"]
    assert sum(float(charge["amount"]) for charge in charges) == 1500
    assert "covered down to" in printed
    with pytest.raises(CommandError, match="there is no account"):
        said("explain", "A9999")


def test_the_auditors_commands_say_what_they_checked(xyz):
    sweep.run("securities", at=MONDAY)
    assert "intact: 1 chains, 1 events" in said("verify_history")
