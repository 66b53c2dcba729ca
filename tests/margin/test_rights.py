"""May an order or a withdrawal go ahead? What restrictions forbid, and what margin lets leave. Figures by pencil."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from accounts.models import CashMovement, Fill, Position
from margin import calls, restrictions, rights, sma
from margin.engine.sma import Kind
from margin.models import MarginCall
from margin.restriction_terms import Effect
from margin.rights import Order, Withdrawal
from margin.workflow import Resolution
from market import strict
from market.models import Calendar
from tests.margin import options, rows, world
from tests.margin.world import MONDAY, quote

pytestmark = pytest.mark.django_db


@pytest.fixture
def xyz():
    rows.policy("us_margin", world.securities())
    made = rows.equity("XYZ")
    quote(made, "50", MONDAY)
    return made


@pytest.fixture
def account(xyz):
    """100 × 50.00 with 2,600 borrowed: equity 2,400 against 30 % of 5,000: an excess of 900."""
    return world.long_account("100", "2600", xyz)


def holder(xyz, *, cash, shares="100"):
    """Long so many shares with so much cash."""
    owner = rows.account()
    if Decimal(shares):
        rows.hold(owner, xyz, shares)
    rows.hold(owner, rows.cash(), cash)
    return owner


def under(account, effect):
    sue = rows.staff("sue", "Supervisor")
    restrictions.place(account, effect=effect, reason="by hand", at=MONDAY, actor=sue)


def asked(account, action, at=MONDAY):
    return rights.check(account, action=action, at=at)


def order(account, quantity, price=None, code="XYZ"):
    return asked(account, Order(code, Decimal(quantity), None if price is None else Decimal(price)))


def withdrawal(account, amount, currency="USD", at=MONDAY):
    return asked(account, Withdrawal(currency, Decimal(amount)), at)


# --- orders -----------------------------------------------------------------------------------------


def test_an_account_under_nothing_may_order_anything(account):
    assert all(order(account, quantity).is_allowed for quantity in ("1000", "-100", "-500"))


@pytest.mark.parametrize(
    ("effect", "quantity", "is_allowed"),
    [
        # 100 long: selling up to all of it closes; beyond, it opens a short; buying opens
        ("closing_only", "-100", True),
        ("closing_only", "-101", False),
        ("closing_only", "1", False),
        ("liquidation_only", "-100", True),
        ("liquidation_only", "-101", False),
        ("liquidation_only", "1", False),
        # 2,600 borrowed already: every purchase borrows more; sales only beyond what is held
        ("no_new_borrow", "-100", True),
        ("no_new_borrow", "-101", False),
        ("no_new_borrow", "1", False),
        ("cash_only", "-100", True),
        ("cash_only", "1", False),
        ("no_withdrawal", "100", True),
        ("higher_requirements", "100", True),
        ("due_next_day", "100", True),
    ],
)
def test_each_effect_decides_about_orders(account, effect, quantity, is_allowed):
    under(account, effect)
    answer = order(account, quantity)
    assert (answer.is_allowed, len(answer.restrictions)) == (is_allowed, 1)
    assert all("by hand" in reason for reason in answer.reasons)


def test_covering_a_short_is_closing_and_shorting_more_is_not(xyz):
    owner = holder(xyz, cash="9000", shares="-100")
    under(owner, "closing_only")
    assert order(owner, "100").is_allowed
    assert not order(owner, "101").is_allowed
    assert not order(owner, "-1").is_allowed


def test_cash_that_is_there_buys_without_borrowing(xyz):
    owner = holder(xyz, cash="1000")
    under(owner, "no_new_borrow")
    assert order(owner, "20").is_allowed  # 20 × 50.00 = 1,000.00
    assert not order(owner, "20", "50.01").is_allowed  # 1,000.20
    assert "1,000.20 USD" in order(owner, "20", "50.01").reasons[0]


def test_what_a_sale_brings_tomorrow_does_not_pay_a_cash_only_order_today(xyz):
    owner = holder(xyz, cash="1000")
    under(owner, "cash_only")
    assert order(owner, "20").is_allowed
    Fill.objects.create(
        account=owner, instrument=xyz, source="oms", external_reference="S", quantity=-10, price=50, traded_at=MONDAY,
        settles_on=MONDAY.date() + timedelta(days=1),
    )  # fmt: skip
    assert order(owner, "10").is_allowed  # 1,000 less 500 to come
    assert not order(owner, "11").is_allowed
    assert asked(owner, Order("XYZ", Decimal(20)), MONDAY + timedelta(days=1)).is_allowed is False  # the quote is stale
    assert asked(owner, Order("XYZ", Decimal(20), Decimal(50)), MONDAY + timedelta(days=1)).is_allowed


def test_funds_on_hand_opens_only_what_the_excess_margins(account):
    # initial margin is 50 %: 2,400 of equity margins 4,800, and 5,000 is held already
    under(account, "funds_on_hand")
    assert "initial margin" in order(account, "1").reasons[0]
    assert order(account, "-1").is_allowed


def test_funds_on_hand_lets_an_order_open_that_is_margined(xyz):
    owner = world.long_account("100", "2000", xyz)  # 3,000 of equity margins 6,000: 1,000 or 20 shares more
    under(owner, "funds_on_hand")
    assert order(owner, "20").is_allowed
    assert not order(owner, "21").is_allowed


def test_an_order_without_a_usable_price_is_not_guessed_at(account):
    rows.equity("NEW")
    under(account, "no_new_borrow")
    answer = order(account, "1", code="NEW")
    assert "no usable price" in answer.reasons[0]


def test_an_order_that_lowers_the_requirement_is_allowed_where_only_closing_is():
    # short 100 at 50.00: a long call at 55 caps the loss (FINRA 4210(f)(2)), so less is required; a short one adds
    options.strategies()
    shares = options.quoted_xyz()
    owner = options.account("us_margin", "9000", XYZ=-100)
    under(owner, "closing_only")
    assert order(owner, "1", code="XYZ-C55").is_allowed
    assert not order(owner, "-1", code="XYZ-C55").is_allowed
    assert not order(owner, "-1", code=shares.code).is_allowed


def test_a_member_is_bound_by_what_binds_its_lead(account, xyz):
    member = rows.account()
    member.margined_with = account
    member.save()
    under(account, "closing_only")
    assert not order(member, "1").is_allowed
    assert withdrawal(member, "900").is_allowed
    assert not withdrawal(member, "900.01").is_allowed


def test_a_malformed_action_is_refused(account):
    for action in (Order("NOBODY", Decimal(1)), Order("XYZ", Decimal(0)), Order("USD", Decimal(1))):
        with pytest.raises(strict.Refused):
            asked(account, action)
    for amount, currency in (("0", "USD"), ("-5", "USD"), ("0.001", "USD"), ("1", "ZZZ")):
        with pytest.raises(strict.Refused):
            withdrawal(account, amount, currency)


def test_a_closed_account_may_do_nothing(account):
    account.closed_on = date(2026, 3, 1)
    assert not order(account, "-1").is_allowed


# --- withdrawals ------------------------------------------------------------------------------------


def test_the_excess_may_leave_to_the_cent(account):
    assert withdrawal(account, "900").is_allowed
    answer = withdrawal(account, "900.01")
    assert (answer.is_allowed, answer.may_leave) == (False, Decimal(900))
    assert "deficit of 0.01 in house" in answer.reasons[0]


@pytest.mark.parametrize("effect", ["no_withdrawal", "liquidation_only", "no_new_borrow", "cash_only"])
def test_each_effect_decides_about_withdrawals(account, effect):
    under(account, effect)
    assert not withdrawal(account, "1").is_allowed  # 2,600 is borrowed: any withdrawal borrows more


@pytest.mark.parametrize("effect", ["closing_only", "funds_on_hand", "higher_requirements"])
def test_what_is_about_orders_lets_money_leave(account, effect):
    under(account, effect)
    assert withdrawal(account, "1").is_allowed


def test_own_cash_may_leave_where_nothing_may_be_borrowed(xyz):
    owner = holder(xyz, cash="1000")
    under(owner, "no_new_borrow")
    assert withdrawal(owner, "1000").is_allowed
    assert not withdrawal(owner, "1000.01").is_allowed


def test_nothing_leaves_an_account_that_has_no_usable_price(account):
    Position.objects.create(account=account, instrument=rows.equity("NEVERQUOTED"), quantity=1)
    answer = withdrawal(account, "1")
    assert (answer.is_allowed, answer.may_leave) == (False, None)
    assert "NEVERQUOTED" in answer.reasons[0]


def test_nothing_leaves_an_account_whose_agreement_has_no_policy(xyz):
    owner = rows.account(agreement="unheard_of")
    rows.hold(owner, rows.cash(), "1000")
    assert not withdrawal(owner, "1").is_allowed


def test_nothing_leaves_under_an_open_call(account):
    move = rows.issue(account, rows.policy("us_margin", world.securities()), at=MONDAY)
    calls.carry_out([move], at=MONDAY, actor=rows.SWEEPER)
    answer = withdrawal(account, "1")
    assert (answer.reasons, answer.may_leave) == ((f"house call {MarginCall.objects.get()} is open",), 0)


def test_sma_bounds_what_leaves_where_it_is_kept(account):
    sma.post(account, kind=Kind.DEPOSIT, amount=Decimal(250), at=MONDAY, reference="opening balance")
    assert withdrawal(account, "250").is_allowed
    assert "SMA is 250.00" in withdrawal(account, "250.01").reasons[0]


STAYS = {"regime": "day_trade", "restrictions": {"stays": {"any": 2, "ach": 6}}}


@pytest.mark.parametrize(
    ("method", "day", "is_free"), [("", 4, False), ("", 5, True), ("ach", 10, False), ("ach", 11, True)]
)
def test_money_that_met_a_day_trade_call_stays_two_business_days_and_six_by_ach(xyz, method, day, is_free):
    """FINRA 4210(f)(8)(B): two business days following the close of the day of deposit; OptionsHouse: ACH six.

    Deposited on Monday 2 March 2026: stays Tuesday 3 and Wednesday 4, free on Thursday 5; ACH until Tuesday 10.
    """
    weekdays = [date(2026, 3, day) for day in range(1, 31) if date(2026, 3, day).weekday() < 5]
    calendar = Calendar.objects.create(
        code="XNYS",
        name="New York",
        zone="America/New_York",
        known_from=date(2026, 3, 1),
        known_until=date(2026, 3, 30),
    )
    for on in weekdays:
        opens = datetime(on.year, on.month, on.day, 14, 30, tzinfo=UTC)
        calendar.sessions.create(on=on, opens_at=opens, closes_at=opens + timedelta(hours=6))
    clock = {"unit": "business_days", "count": 5, "calendar": "XNYS", "cut_off": "15:00", "zone": "America/New_York"}
    version = rows.policy("us_margin", world.securities(world.HOUSE, {**world.EXCHANGE, **STAYS, "clock": clock}))
    owner = world.long_account("100", "2600", xyz)
    move = rows.issue(owner, version, regime="day_trade", amount="500", at=MONDAY)
    call = MarginCall.objects.get(pk=calls.carry_out([move], at=MONDAY, actor=rows.SWEEPER)[0].call_id)
    money = CashMovement.objects.create(
        account=owner, currency=rows.cash(), kind="deposit", amount=500, source="bank", external_reference="D",
        effective_at=MONDAY,
    )  # fmt: skip
    cure = {"kind": "cash", "movement_id": money.pk, "used": Decimal(500), "release": Decimal(500), "method": method}
    settled = calls.Move(
        verb=calls.Verb.CURE,
        account_id=owner.pk,
        call_id=call.pk,
        cure=cure,
        changes={"amount_outstanding": Decimal(0)},
    )
    assert calls.carry_out([settled], at=MONDAY, actor=rows.SWEEPER)[0].is_done
    calls.meet(call, how=Resolution.CASH, at=MONDAY, actor=rows.SWEEPER)
    at = datetime(2026, 3, day, 15, tzinfo=UTC)
    quote(xyz, "50", at)
    assert withdrawal(owner, "400", at=at).is_allowed  # of an excess of 900, 500 must stay
    assert withdrawal(owner, "401", at=at).is_allowed is is_free


def test_every_effect_on_orders_is_one_of_the_ladder():
    assert set(rights.ORDERS) <= set(Effect)
