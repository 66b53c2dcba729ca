"""Variation margin where days, trades and accounts do not come in order. Figures by pencil."""

from datetime import date

import pytest
from django.core.management import CommandError, call_command

from accounts import holdings, positions, settlement
from accounts.models import Account, CashMovement
from tests.accounts import world
from tests.accounts.test_settlement import AT, ON, D, close, oil, settle, trade

pytestmark = pytest.mark.django_db


def bust(fill):
    return positions.bust(fill, source="exchange", external_reference=world.reference(), at=AT)


def test_a_trade_taken_back_after_its_settlement_pays_the_settlement_back():
    """Bought at 70 and settled at 71: the 1,000 received belong to a trade that never was."""
    account, usd, future = world.account(), world.usd(), oil()
    fill = trade(account, future, "1", "70")
    close(future, "71")
    settle()
    bust(fill)
    assert (world.holds(account, future), world.cost(account, future)) == (0, 0)
    assert world.holds(account, usd) == 0
    world.assert_positions_are_the_sums_of_their_facts()


def test_one_of_two_settled_trades_taken_back_leaves_the_other_whole():
    """1 at 70 and 1 at 74, settled at 75: the second alone has earned 1,000; 75,000 are settled."""
    account, usd, future = world.account(), world.usd(), oil()
    first = trade(account, future, "1", "70")
    trade(account, future, "1", "74")
    close(future, "75")
    settle()
    bust(first)
    value = D(75_000)
    assert world.holds(account, usd) + value - world.cost(account, future) == 1000


def test_a_close_taken_back_after_later_trades_leaves_what_is_held_its_profit():
    """Sold 2 at 70, bought 1 at 68 (a mistake), bought 1 at 69. Without the mistake: 1,000 earned, 1 short at 70."""
    account, usd, future = world.account(), world.usd(), oil()
    trade(account, future, "-2", "70")
    mistake = trade(account, future, "1", "68")
    trade(account, future, "1", "69")
    bust(mistake)
    at_66 = world.holds(account, usd) + D(-66_000) - world.cost(account, future)
    assert (world.holds(account, future), at_66) == (-1, 1000 + 4000)


def test_an_account_closed_on_the_day_keeps_nobody_waiting():
    """Around the clock the day ends at midnight, when the date is the next one and the account is closed already."""
    account, usd, future = world.account(), world.usd(), oil()
    other = world.account("A2")
    for one in (account, other):
        trade(one, future, "1", "70")
    Account.objects.filter(pk=account.pk).update(closed_on=ON)
    close(future, "71")
    assert settle().refused == []
    assert world.holds(other, usd) == 1000


def test_who_appears_while_the_accounts_are_locked_waits_for_the_next_run(monkeypatch):
    account, future = world.account(), oil()
    late = world.account("A2")
    trade(account, future, "1", "70")
    close(future, "71")
    lock = holdings.lock_accounts

    def locking(accounts):
        monkeypatch.setattr(holdings, "lock_accounts", lock)
        lock(accounts)
        trade(late, future, "1", "70")

    monkeypatch.setattr(holdings, "lock_accounts", locking)
    assert settle().posted == 1
    assert not CashMovement.objects.filter(account=late).exists()
    assert settle().posted == 1


def test_days_to_come_are_not_listed_and_a_span_has_a_limit():
    account, usd, future = world.account(), world.usd(), oil()
    trade(account, future, "1", "70")
    close(future, "71")
    assert settlement.settle(on=date.max, since=ON, at=AT).posted == 1
    assert world.holds(account, usd) == 1000
    with pytest.raises(CommandError, match="settle in shorter spans"):
        call_command("settle_futures", since="1900-01-01")


@pytest.mark.parametrize("wrong", [{"since": "x"}, {"on": "2026-02-30"}, {"on": "20261120"}])
def test_bad_days_are_refused(wrong):
    with pytest.raises(CommandError):
        call_command("settle_futures", **wrong)


@pytest.mark.parametrize("since", ["x", "2026-11-20", "2026-11-20T00:00:00", "9999-12-31T23:59:59Z\0"])
def test_bad_instants_are_refused(since):
    with pytest.raises(CommandError):
        call_command("pay_funding", since=since)
