from datetime import date
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError

from accounts import cash
from accounts.ledgers import Conflict
from accounts.models import CashMovement, PositionFact
from market.strict import Refused
from tests.accounts import world
from tests.accounts.world import AT, DAY, HOUR, D

pytestmark = pytest.mark.django_db


def give(account, amount="5000", reference="FT-1", **terms):
    terms = {"currency": "USD", "source": "bank", "at": AT, **terms}
    return cash.deposit(account, amount=D(amount), external_reference=reference, **terms)


def test_a_deposit_moves_cash_with_its_fact_and_the_revision():
    account, usd = world.account(), world.usd()
    movement = give(account, effective_at=AT - HOUR)
    assert world.holds(account, usd) == D(5000)
    fact = PositionFact.objects.get()
    assert (fact.change, fact.quantity, fact.cause, fact.reference) == (D(5000), D(5000), "cash", "cash:bank:FT-1")
    assert fact.effective_at == movement.effective_at == AT - HOUR
    assert world.revision(account) == 1


def test_a_deposit_sent_five_times_counts_once():
    account, usd = world.account(), world.usd()
    assert len({give(account).pk for _ in range(5)}) == 1
    assert (world.holds(account, usd), world.revision(account), CashMovement.objects.count()) == (D(5000), 1, 1)


@pytest.mark.parametrize("other", [{"amount": "5001"}, {"currency": "JPY"}])
def test_a_reference_used_for_something_else_is_a_conflict(other):
    account, usd = world.account(), world.usd()
    world.instrument("JPY", "cash", minor_exponent=0)
    give(account)
    with pytest.raises(Conflict, match="bank FT-1 is already used"):
        give(account, **other)
    with pytest.raises(Conflict, match="account"):
        give(world.account("A2"))
    assert world.holds(account, usd) == D(5000)


def test_a_withdrawal_takes_out_and_may_leave_less_than_nothing():
    account, usd = world.account(), world.usd()
    cash.withdraw(account, currency="USD", amount=D("20.50"), source="bank", external_reference="W-1", at=AT)
    assert world.holds(account, usd) == D("-20.50")


def test_a_reversal_takes_back_once_and_says_what_it_reverses():
    account, usd = world.account(), world.usd()
    movement = give(account)
    back = cash.reverse(movement, source="bank", external_reference="FT-1-R", at=AT + DAY)
    assert (back.reverses_id, back.amount, world.holds(account, usd)) == (movement.pk, D(-5000), D(0))
    assert cash.reverse(movement, source="bank", external_reference="FT-1-R", at=AT + DAY).pk == back.pk
    with pytest.raises(Conflict, match="reversed already"):
        cash.reverse(movement, source="bank", external_reference="FT-1-R2", at=AT + DAY)
    with pytest.raises(Refused, match="itself a reversal"):
        cash.reverse(back, source="bank", external_reference="FT-1-RR", at=AT + DAY)
    assert world.holds(account, usd) == D(0)


@pytest.mark.parametrize(
    ("terms", "match"),
    [
        ({"amount": "0"}, "amount: is zero"),
        ({"amount": "-1"}, "amount: a deposit is positive"),
        ({"amount": "0.001"}, "amount: 0.001 is finer than 0.01 USD"),
        ({"amount": "NaN"}, "amount: NaN is not a finite number"),
        ({"amount": "Infinity"}, "amount: Infinity is not a finite number"),
        ({"amount": "1e20"}, "amount: .* digits before the point"),
        ({"currency": "GBP"}, "currency: there is no cash instrument for GBP"),
        ({"currency": "AAPL"}, "currency: there is no cash instrument for AAPL"),
        ({"reference": ""}, "external_reference: is missing"),
        ({"source": ""}, "source: is missing"),
        ({"reference": "a\nb"}, "external_reference: .* is not a code"),
        ({"reference": "x" * 81}, "external_reference: .* is longer than 80"),
        ({"note": "bell\x07"}, "note: .* unprintable"),
        ({"effective_at": AT + HOUR}, "effective_at: .* is after now"),
        ({"effective_at": AT.replace(tzinfo=None)}, "effective_at: .* names no time zone"),
    ],
)
def test_a_wrong_deposit_is_refused_with_its_field(terms, match):
    account, _ = world.account(), world.usd()
    world.instrument("AAPL")
    with pytest.raises(Refused, match=match):
        give(account, **terms)
    assert not CashMovement.objects.exists()
    assert not PositionFact.objects.exists()


def test_yen_have_no_decimals_and_bitcoin_eight():
    account = world.account()
    yen = world.instrument("JPY", "cash", minor_exponent=0)
    bitcoin = world.instrument("BTC", "cash", minor_exponent=8)
    with pytest.raises(Refused, match=r"0\.5 is finer than 1 JPY"):
        give(account, amount="0.5", currency="JPY")
    give(account, amount="100.00", currency="JPY", reference="J-1")
    give(account, amount="0.00000001", currency="BTC", reference="B-1")
    assert (world.holds(account, yen), world.holds(account, bitcoin)) == (D(100), D("0.00000001"))


def test_a_batch_is_taken_whole_or_not_at_all_and_names_the_rows():
    account, usd = world.account(), world.usd()

    def movement(amount, reference):
        return CashMovement(
            account=account, currency=usd, kind="fee", amount=D(amount), source="s", external_reference=reference,
            effective_at=AT,
        )  # fmt: skip

    with pytest.raises(Refused) as refused:
        cash.post([movement("-1", "F-1"), movement("0.001", "F-2"), movement("-1", "F-1")], at=AT)
    assert [(problem.row, problem.field) for problem in refused.value.problems] == [
        (2, "amount"), (3, "external_reference"),
    ]  # fmt: skip
    posted = cash.post([movement("-2", "F-2"), movement("-1", "F-1")], at=AT)
    assert [row.external_reference for row in posted] == ["F-2", "F-1"]
    assert (world.holds(account, usd), world.revision(account)) == (D(-3), 1)


def test_nothing_is_booked_after_an_account_closed():
    account, _ = world.account(), world.usd()
    account.closed_on = date(2026, 11, 19)
    account.save()
    with pytest.raises(Refused, match="A1 closed on 2026-11-19"):
        give(account)


@pytest.mark.parametrize("table", ["accounts_positionfact", "accounts_cashmovement"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_history_refuses_to_be_changed(table, statement):
    give((world.usd(), world.account())[1])
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(table))


def test_amounts_of_28_digits_survive():
    account, usd = world.account(), world.usd()
    give(account, amount="99999999999999999999.99", reference="big")
    cash.withdraw(
        account, currency="USD", amount=Decimal("99999999999999999999.98"), source="b", external_reference="o", at=AT
    )
    assert world.holds(account, usd) == D("0.01")
