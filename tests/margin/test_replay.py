"""A sweep done again from what it saw equals the stored one; a difference is named."""

from decimal import Decimal

import pytest

from accounts import cash, positions
from margin import replay, sweep
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes, quote


@pytest.fixture
def done(committed_db):
    """Three accounts long 100 XYZ at 50.00: quiet, warned and called; then money and prices move on."""
    rows.policy("us_margin", world.securities())
    xyz, dollars = rows.equity("XYZ"), rows.cash()
    accounts = [rows.account() for _ in range(3)]
    held = [(account.pk, xyz.pk, Decimal(100), Decimal(5000)) for account in accounts]
    owed = [
        (account.pk, dollars.pk, -Decimal(borrowed), None)
        for account, borrowed in zip(accounts, (1000, 3400, 3600), strict=True)
    ]
    positions.write(held + owed, cause="book", reference="test", effective_at=MONDAY)
    quote(xyz, "50", MONDAY)
    finished = sweep.run("securities", at=MONDAY)
    later = MONDAY + minutes(1)
    cash.deposit(accounts[2], currency="USD", amount=Decimal(100), source="bank", external_reference="1", at=later)
    quote(xyz, "40", later)
    sweep.run("securities", at=later)
    return finished


def test_a_replay_equals_the_sweep_whatever_happened_since(done):
    result = replay.run(done)
    assert (result.evaluated, result.compared, result.differences) == (3, 2, [])


def test_a_changed_fact_is_named_with_its_account(done, superuser):
    connected = superuser()
    with connected, connected.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_positionfact DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE accounts_positionfact SET change = 99 WHERE change = 100"
            " AND account_id = (SELECT max(account_id) FROM accounts_positionfact)"
        )
    (difference,) = replay.run(done).differences
    assert "differ" in str(difference)


def test_a_changed_price_of_the_sweep_is_noticed(done, superuser):
    connected = superuser()
    with connected, connected.cursor() as cursor:
        cursor.execute("UPDATE margin_sweepprice SET mark = 51 WHERE sweep_id = %s", [done.pk])
    assert len(replay.run(done).differences) == 2
