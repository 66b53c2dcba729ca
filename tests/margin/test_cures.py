"""What meets a call: trades and deliveries by what they release, each source once per regime, and money taken back."""

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, connection, transaction

from accounts import adjustments, cash, fills
from margin import calls, claims, history, registers, reversals, sweep
from margin.actors import client
from margin.models import Cure, Event, MarginCall
from margin.register_sheets import Span
from tests.margin import rows, world
from tests.margin.world import EXCHANGE, HOUSE, MONDAY, minutes, quote

pytestmark = pytest.mark.django_db
STUBBORN = {**HOUSE, "market_cures": False, "reversal_minutes": 30}


@pytest.fixture
def xyz():
    rows.cash()
    return rows.equity("XYZ")


def swept(after: float):
    return sweep.run("securities", at=MONDAY + minutes(after))


def called(xyz, *regimes, quantity="100", borrowed="3600"):
    """100 XYZ at 50 with 3,600 borrowed: equity 1,400 against 30 % of 5,000, short of 100."""
    rows.policy(terms=world.securities(*regimes))
    account = world.long_account(quantity, borrowed, xyz)
    quote(xyz, "50", MONDAY)
    swept(0)
    return account


def deposit(account, amount, after, reference="FT-1"):
    return cash.deposit(
        account, currency="USD", amount=Decimal(amount), source="bank", external_reference=reference,
        at=MONDAY + minutes(after),
    )  # fmt: skip


def trade(account, instrument, quantity, after, price="50"):
    return fills.apply_fill(
        account, instrument=instrument, quantity=Decimal(quantity), price=Decimal(price), source="oms",
        external_reference=f"T{after}", traded_at=MONDAY + minutes(after), at=MONDAY + minutes(after),
    )  # fmt: skip


def test_a_sale_releases_its_own_requirement(xyz):
    account = called(xyz)
    trade(account, xyz, "-4", 1)  # 4 × 50 × 30 % = 60
    swept(5)
    cure = Cure.objects.get()
    call = MarginCall.objects.get()
    assert (cure.kind, cure.state, cure.release, cure.used) == ("sale", "settled", 60, 4)
    assert (call.state, call.amount_outstanding) == ("issued", 40)
    trade(account, xyz, "-3", 6)
    swept(10)
    call.refresh_from_db()
    assert (call.state, call.resolution) == ("met", "sale")
    assert list(call.cures.values_list("release", flat=True)) == [60, 45]
    assert history.verify(account) == []


def test_a_purchase_that_asks_for_more_cures_nothing(xyz):
    trade(called(xyz), xyz, "1", 1)
    swept(5)
    assert not Cure.objects.exists()


def test_securities_brought_in_release_their_value_less_their_requirement(xyz):
    account = called(xyz)
    adjustments.adjust(
        account, instrument=xyz, change=Decimal(3), reason="ACATS", external_reference="ACATS-1",
        at=MONDAY + minutes(1), is_delivery=True,
    )  # fmt: skip
    swept(5)
    call = MarginCall.objects.get()
    assert call.cures.get().release == 105  # 3 × 50 × 70 %
    assert (call.state, call.resolution) == ("met", "securities")


def test_a_correction_by_hand_is_no_cure(xyz):
    account = called(xyz)
    adjustments.adjust(
        account, instrument=xyz, change=Decimal(3), reason="book was short", external_reference="C-1",
        at=MONDAY + minutes(1),
    )  # fmt: skip
    swept(5)
    assert not Cure.objects.exists()
    assert MarginCall.objects.get().resolution == "market"


def test_one_deposit_meets_calls_of_different_regimes_at_once(xyz):
    account = called(xyz, HOUSE, EXCHANGE, borrowed="3900")  # house 400, exchange 1,250 − 1,100 = 150
    deposit(account, "400", 1)
    swept(5)
    assert set(MarginCall.objects.values_list("regime", "state")) == {("house", "met"), ("exchange", "met")}
    assert list(Cure.objects.order_by("call__regime").values_list("call__regime", "release", "used")) == [
        ("exchange", 400, 400), ("house", 400, 400),
    ]  # fmt: skip


def test_within_a_regime_a_deposit_serves_the_older_call_first_and_is_never_used_twice(xyz):
    account = called(xyz, {**STUBBORN, "stacking": "incremental"})
    quote(xyz, "49", MONDAY + minutes(5))  # 4,900 − 3,600 = 1,300 against 1,470: 170 in all
    swept(5)
    deposit(account, "150", 6)
    swept(10)
    first, second = MarginCall.objects.order_by("pk")
    assert (first.amount_called, second.amount_called) == (100, 70)
    assert [(cure.call_id, cure.used) for cure in Cure.objects.order_by("pk")] == [(first.pk, 100), (second.pk, 50)]
    assert (first.state, second.state, second.amount_outstanding) == ("met", "issued", 20)
    assert sweep.wanting_attention(MONDAY + minutes(11)) == []  # nothing of the money is left


def test_the_database_refuses_to_use_a_deposit_twice_in_a_regime(xyz):
    account = called(xyz, {**STUBBORN, "stacking": "incremental"})
    quote(xyz, "49", MONDAY + minutes(5))
    swept(5)
    deposit(account, "150", 6)
    swept(10)
    cure = Cure.objects.last()
    copied = "call_id, kind, state, movement_id, release, currency, method, reference, seq"
    with connection.cursor() as cursor, pytest.raises(IntegrityError), transaction.atomic():
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            f"INSERT INTO margin_cure ({copied}, used) SELECT {copied}, 150 FROM margin_cure WHERE id = %s", [cure.pk]
        )


def test_a_payment_that_was_announced_settles_its_claim_when_it_arrives(xyz):
    account = called(xyz)
    call = MarginCall.objects.get()
    claim = claims.claim(
        call, amount=Decimal(100), currency="USD", method="wire", reference="FT-77", at=MONDAY + minutes(1),
        actor=client(1),
    )  # fmt: skip
    deposit(account, "100", 2, reference="FT-77")
    swept(5)
    claim.refresh_from_db()
    call.refresh_from_db()
    assert (claim.state, claim.release, call.state, call.resolution) == ("settled", 100, "met", "cash")
    assert list(Event.objects.filter(call=call).values_list("kind", flat=True)) == [
        "call.issued", "claim.made", "task.opened", "cure.moved", "call.met",
    ]  # fmt: skip


def test_a_claim_keeps_the_call_from_escalating_and_no_longer_than_its_time(xyz):
    rows.policy(terms=world.securities({**HOUSE, "clock": {"unit": "minutes", "count": 10}}))
    world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    swept(0)
    call = MarginCall.objects.get()
    calls.notified([call.pk], at=MONDAY + minutes(1), actor=rows.SWEEPER)
    claims.claim(
        call, amount=Decimal(100), currency="USD", method="wire", reference="FT-77", at=MONDAY + minutes(9),
        actor=client(1),
    )  # fmt: skip
    swept(11)
    call.refresh_from_db()
    assert call.state == "issued"
    assert sweep.wanting_attention(MONDAY + minutes(20)) == []
    quote(xyz, "50", MONDAY + minutes(129))
    assert sweep.wanting_attention(MONDAY + minutes(129)) == [call.account_id]
    swept(129)
    call.refresh_from_db()
    assert (call.state, call.escalation_cause) == ("escalated", "deadline")


def taken_back(account, movement, after):
    return cash.reverse(movement, source="bank", external_reference=f"R-{movement.pk}", at=MONDAY + minutes(after))


def test_a_payment_taken_back_makes_an_open_call_short_of_it_again(xyz):
    account = called(xyz, STUBBORN)
    money = deposit(account, "60", 1)
    swept(5)
    taken_back(account, money, 6)
    swept(10)
    call = MarginCall.objects.get()
    assert (call.cures.get().state, call.amount_outstanding) == ("reversed", 100)


def test_a_call_that_the_market_holds_met_waits_anew_where_a_payment_is_taken_back(xyz):
    """It was held met with money that is gone; the sweep after looks at the account without it."""
    account = called(xyz, {**HOUSE, "dwell_seconds": 1200})
    money = deposit(account, "60", 1)
    swept(5)
    quote(xyz, "60", MONDAY + minutes(6))  # 6,000 − 3,540 = 2,460 against 1,800
    swept(10)
    taken_back(account, money, 11)
    reversals.carry_out(at=MONDAY + minutes(12))
    call = MarginCall.objects.get()
    assert (call.amount_outstanding, call.provisionally_met_at) == (60, None)
    swept(15)
    call.refresh_from_db()
    assert (call.amount_outstanding, call.provisionally_met_at) == (0, MONDAY + minutes(15))
    quote(xyz, "60", MONDAY + minutes(31))
    swept(31)  # 20 minutes after the first, not after the second
    call.refresh_from_db()
    assert call.state == "issued"
    swept(36)
    call.refresh_from_db()
    assert (call.state, call.resolution) == ("met", "market")
    assert history.verify(account) == []


def test_a_payment_taken_back_after_it_met_a_call_makes_a_new_linked_one_due_at_once(xyz):
    account = called(xyz, STUBBORN)
    money = deposit(account, "100", 1)
    swept(5)
    taken_back(account, money, 6)
    assert sweep.wanting_attention(MONDAY + minutes(7)) == [account.pk]
    swept(10)
    swept(11)
    first, second = MarginCall.objects.order_by("pk")
    assert (first.state, first.resolution) == ("met", "cash")
    assert (second.predecessor, second.amount_called, second.due_at) == (first, 100, MONDAY + minutes(40))
    assert [event.kind for event in Event.objects.filter(call=first).order_by("seq")][-1] == "cure.reversed"
    assert history.verify(account) == []


def test_where_the_market_cures_the_account_itself_says_whether_a_new_call_follows(xyz):
    account = called(xyz, {**HOUSE, "reversal_minutes": 30})
    money = deposit(account, "100", 1)
    swept(5)
    quote(xyz, "60", MONDAY + minutes(6))
    taken_back(account, money, 6)
    swept(10)
    assert MarginCall.objects.count() == 1  # 6,000 − 3,600 = 2,400 against 1,800
    quote(xyz, "50", MONDAY + minutes(11))
    swept(15)
    first, second = MarginCall.objects.order_by("pk")
    assert (second.predecessor, second.amount_called, second.due_at) == (first, 100, MONDAY + minutes(45))


def test_reversing_twice_is_once(xyz):
    account = called(xyz, STUBBORN)
    money = deposit(account, "100", 1)
    swept(5)
    taken_back(account, money, 6)
    assert reversals.carry_out(at=MONDAY + minutes(7)) == [account.pk]
    assert reversals.carry_out(at=MONDAY + minutes(8)) == []
    assert MarginCall.objects.count() == 2


def test_a_day_that_was_printed_says_the_same_after_its_payment_was_taken_back(xyz):
    """On Monday 60.00 came in and 40.00 stayed due; on Tuesday the bank takes the payment back."""
    account = called(xyz, STUBBORN)
    money = deposit(account, "60", 1)
    swept(5)
    monday = Span(MONDAY.date(), MONDAY.date(), ZoneInfo("UTC"))
    printed = registers.daily(monday).rows
    assert [(row[7], row[14]) for row in printed] == [(40, "cash 60")]
    taken_back(account, money, 60 * 26)
    assert reversals.carry_out(at=MONDAY + minutes(60 * 26 + 1))
    assert registers.daily(monday).rows == printed
