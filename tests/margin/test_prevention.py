"""How many warned accounts came back without a call, by pencil over two weeks; and chances from stored closes."""

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core import mail
from django.core.management import CommandError, call_command

from margin import calls, rows, sweep, warnings, watch
from margin.models import Alarm, Event
from margin.workflow import Verb
from market.models import Close
from tests.margin import rows as made
from tests.margin.world import HOUSE, MONDAY, long_account, quote, securities

pytestmark = pytest.mark.django_db
D = Decimal
WEEK, DAY = timedelta(days=7), timedelta(days=1)
NEXT = MONDAY + WEEK


def told(account, verb, at, **more):
    move = calls.Move(verb=verb, account_id=account.pk, regime="house", **more)
    assert calls.carry_out([move], at=at, actor=made.SWEEPER)[0].error is None


@pytest.fixture
def two_weeks():
    """First week: one came back, one was called, one stays warned. Second: the first came back again, a fourth came
    back and was then called."""
    version = made.policy("us_margin", securities(HOUSE))
    back, called, still, twice = (made.account() for _ in range(4))

    def warned(account, at, end=None):
        found = made.assessment(account, version, at=at)
        told(account, Verb.WARN, at, changes={"assessment_id": found.pk, "cover": D("1.05")})
        if end:
            told(account, Verb.CLEAR, at + DAY, reason=end)

    warned(back, MONDAY, "recovery")
    warned(called, MONDAY, "call")
    warned(still, MONDAY)
    warned(back, NEXT, "recovery")
    warned(twice, NEXT, "recovery")
    warned(twice, NEXT + 2 * DAY, "call")


def counted(found):
    return found.warned, found.prevented, found.called, found.undecided, found.rate


def test_every_account_counts_once_in_each_time(two_weeks):
    assert counted(warnings.prevention(MONDAY, NEXT)) == (3, 1, 1, 1, D("0.5"))
    assert counted(warnings.prevention(NEXT, NEXT + WEEK)) == (2, 1, 1, 0, D("0.5"))
    assert counted(warnings.prevention(MONDAY, NEXT + WEEK)) == (4, 1, 2, 1, D("0.3333"))
    assert counted(warnings.prevention(MONDAY - WEEK, MONDAY)) == (0, 0, 0, 0, None)


def test_the_command_tells_the_figures_as_a_sentence_and_as_values(two_weeks):
    asked = ("--first", "2026-03-02", "--last", "2026-03-16")
    out = StringIO()
    call_command("prevention", *asked, stdout=out)
    assert "4 accounts warned, 1 came back without a call, 2 were called, 1 undecided; prevention rate 33.33%" in (
        out.getvalue()
    )
    out = StringIO()
    call_command("prevention", *asked, "--json", stdout=out)
    tree = json.loads(out.getvalue())
    assert [tree[name] for name in ("warned", "prevented", "called", "undecided", "rate")] == [4, 1, 2, 1, "0.3333"]
    with pytest.raises(CommandError, match="must lie before"):
        call_command("prevention", "--first", "2026-03-16", "--last", "2026-03-02")


def test_the_weekly_report_is_kept_once_a_week_and_replaces_the_last(two_weeks):
    warnings.report(NEXT)
    warnings.report(NEXT + timedelta(hours=1))
    first = Alarm.objects.get(kind="prevention")
    assert "3 accounts warned" in first.message
    warnings.report(NEXT + WEEK)
    first.refresh_from_db()
    assert first.cleared_at == NEXT + WEEK
    assert "2 accounts warned" in Alarm.objects.get(kind="prevention", cleared_at=None).message


def test_the_watchdog_mails_the_report_to_operations(two_weeks, monkeypatch, settings):
    monkeypatch.setattr("margin.management.commands.watchdog.close_old_connections", lambda: None)  # ours is the test's
    found = warnings.report(NEXT)
    call_command("watchdog", "--once")
    (sent,) = [one for one in mail.outbox if one.subject == "Alarm: prevention"]
    assert sent.body == found.sentence
    assert sent.to == list(settings.OPERATIONS_EMAIL)
    assert not watch.unmailed().exists()


CHANCES = {"horizon_days": 1, "least_days": 20, "history_days": 365}


def test_a_sweep_takes_its_chances_from_the_closes_we_keep():
    made.policy("us_margin", {**securities(HOUSE), "chances": CHANCES})
    stock = made.equity("AAA")
    account = long_account("1000", "67500", stock)
    for back in range(1, 42):  # 40 returns of about 5 per cent, up and down in turn: as many of each
        price = D(100) if back % 2 else D("105.127")
        Close.objects.create(instrument=stock, on=(MONDAY - back * DAY).date(), price=price, source="x")
    quote(stock, "100", MONDAY)
    sweep.run("securities", at=MONDAY)
    # Called below 67,500 ÷ 700 = 96.43: every second day, a fall of 4.88 per cent to 95.12, brings the call.
    details = rows.read(Event.objects.get(account=account, kind="warning.raised"))["details"]
    assert abs(D(details["chance"]) - D("0.5")) <= D("0.02")
    assert details["horizon_days"] == 1
