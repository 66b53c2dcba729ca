"""Interest on borrowed cash: one day at a time, charged once. Figures by pencil; the desk is in New York."""

from datetime import UTC, date, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts import cash, interest, positions, tasks
from accounts.models import CashMovement
from market import clock
from market.models import Rate
from market.strict import Refused
from tests.accounts import world
from tests.accounts.world import AT, DAY, HOUR, D

pytestmark = pytest.mark.django_db
ON = date(2026, 11, 19)
NIGHT = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)  # midnight in New York: the end of the 19th


def lend(currency="USD", value="0.0725", *, since=AT - 100 * DAY, kind="lending", venue=""):
    Rate.objects.create(
        kind=kind, currency=currency, venue=venue, value=D(value), source="house", effective_at=since
    )  # fmt: skip


def owe(account, quantity="-50000", *, currency=None, since=AT - 40 * DAY):
    held = currency or world.usd()
    rows = [(account.pk, held.pk, D(quantity), None)]
    positions.write(rows, cause="book", reference="opening", effective_at=since)


CASES = [
    # currency, minor exponent, balance, rate, charge, pencil
    ("USD", 2, "-50000", "0.0725", "-10.07", "50000 x 0.0725 / 360 = 10.0694"),
    ("GBP", 2, "-50000", "0.0725", "-9.93", "50000 x 0.0725 / 365 = 9.9315"),
    ("EUR", 2, "-36000", "0.05005", "-5.00", "5.005 rounds half-even to 5.00"),
    ("EUR", 2, "-36000", "0.05015", "-5.02", "5.015 rounds half-even to 5.02"),
    ("JPY", 0, "-1000000", "0.018", "-50", "1000000 x 0.018 / 360 = 50"),
    ("BTC", 8, "-1.5", "0.06", "-0.00025", "1.5 x 0.06 / 360"),
    ("CHF", 2, "-360000", "-0.0075", "7.50", "a negative rate pays the borrower"),
]


@pytest.mark.parametrize(("currency", "exponent", "balance", "rate", "charge", "pencil"), CASES)
def test_a_day_of_interest(currency, exponent, balance, rate, charge, pencil):
    account = world.account()
    held = world.instrument(f"{currency}-CASH", "cash", currency=currency, minor_exponent=exponent)
    owe(account, balance, currency=held, since=NIGHT - HOUR)
    lend(currency, rate)
    assert interest.accrue(through=ON, at=AT) == (1, [])
    movement = CashMovement.objects.get()
    assert movement.amount == D(charge), pencil
    assert movement.external_reference == f"interest:A1:{currency}:2026-11-19"
    assert (movement.kind, movement.effective_at) == ("interest", NIGHT)
    assert world.holds(account, held) == D(balance) + D(charge)


def test_charging_again_and_again_charges_nothing_twice():
    owe(world.account())
    lend()
    first = interest.accrue(through=ON, at=AT).posted
    assert first == 31  # the balance is forty days old, and a run looks one month back
    assert [interest.accrue(through=ON, at=AT).posted for _ in range(3)] == [0, 0, 0]
    assert interest.accrue(through=date(2026, 11, 20), at=AT + DAY).posted == 1
    assert interest.accrue(through=date(2026, 11, 20), since=date(2026, 10, 12), at=AT + DAY).posted == 8


def test_one_late_run_charges_what_daily_runs_charge():
    daily, usd = world.account("DAILY"), world.usd()
    owe(daily, "-1000000", since=NIGHT - 5 * DAY)
    lend(value="0.09")
    lend(value="0.12", since=NIGHT - 2 * DAY)
    for back in range(3, -1, -1):
        interest.accrue(through=date(2026, 11, 19 - back), since=date(2026, 11, 16), at=AT)
    late = world.account("LATE")
    owe(late, "-1000000", since=NIGHT - 5 * DAY)
    interest.accrue(through=ON, since=date(2026, 11, 16), at=AT)
    # 16th: 250.00, 17th: 1000250.00 x 0.09/360 = 250.06, 18th: 1000500.06 x 0.12/360 = 333.50, 19th: 333.61
    assert world.holds(daily, usd) == world.holds(late, usd) == D("-1001167.17")


def test_without_a_rate_nothing_is_charged_and_the_day_waits():
    account, usd = world.account(), world.usd()
    owe(account, since=NIGHT - HOUR)
    lend(venue="another venue")
    lend("EUR")
    lend(since=NIGHT + HOUR)
    lend(kind="risk_free")
    accrued = interest.accrue(through=ON, at=AT)
    assert (accrued.posted, [(row.currency, row.on) for row in accrued.refused]) == (0, [("USD", ON)])
    assert "no lending rate of USD is in force" in accrued.refused[0].reason
    lend(since=NIGHT - HOUR)
    assert interest.accrue(through=ON, at=AT) == (1, [])
    assert world.holds(account, usd) == D("-50010.07")


def test_a_currency_without_a_lending_rate_uses_its_borrow_rate():
    owe(world.account(), since=NIGHT - HOUR)
    lend(kind="borrow")
    assert interest.accrue(through=ON, at=AT).posted == 1


def test_credit_balances_and_missing_rates_nobody_needs_are_left_alone():
    account = world.account()
    owe(account, "50000")
    owe(account, "-50000", currency=world.instrument("GOLD"))
    assert interest.accrue(through=ON, at=AT) == (0, [])


def test_a_day_ends_at_midnight_of_the_desk():
    account, usd = world.account(), world.usd()
    owe(account, "-36000", since=NIGHT - DAY)
    lend(value="0.05")
    cash.deposit(
        account, currency="USD", amount=D(36000), source="b", external_reference="d", at=AT, effective_at=NIGHT
    )
    interest.accrue(through=ON, at=AT)  # repaid the moment the 19th was over: that day still costs 5.00
    assert CashMovement.objects.get(kind="interest").amount == D("-5.00")
    with pytest.raises(Refused, match="2026-11-20 is not over"):
        interest.accrue(through=date(2026, 11, 20), at=AT)
    assert world.holds(account, usd) == D("-5.00")


def test_the_task_and_the_command_charge_yesterday():
    account = world.account()
    yesterday = interest.day_before(clock.now())
    owe(account, since=interest.end_of(yesterday) - HOUR)
    lend()
    assert tasks.accrue_interest() == 1
    assert tasks.accrue_interest() == 0
    out = StringIO()
    call_command("accrue_interest", stdout=out)
    assert "0 interest charges posted" in out.getvalue()
    owe(account, "-5", currency=world.instrument("EUR", "cash"), since=interest.end_of(yesterday) - HOUR)
    errors = StringIO()
    with pytest.raises(CommandError, match="could not be charged"):
        call_command("accrue_interest", stdout=out, stderr=errors)
    assert f"EUR {yesterday}: no lending rate of EUR" in errors.getvalue()
    with pytest.raises(CommandError, match=r"--through: .* is not a day"):
        call_command("accrue_interest", through="yesterday")


def test_the_task_applies_what_is_approved():
    share, account, now = world.instrument("X"), world.account(), clock.now()
    positions.write(
        [(account.pk, share.pk, D(10), None)], cause="book", reference="opening", effective_at=now - DAY
    )  # fmt: skip
    world.action("split", share, effective_at=now - HOUR, new_per_old=D(3))
    assert [tasks.apply_corporate_actions() for _ in range(2)] == [1, 0]
    assert world.holds(account, share) == D(30)
