"""Corporate actions and corrections by hand. Figures by pencil; the cases are real ones."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import adjustments, positions
from accounts.models import Adjustment, CashMovement, Fill, PositionFact
from market.models import CorporateAction
from market.strict import Refused
from tests.accounts import world
from tests.accounts.world import AT, DAY, HOUR, D

pytestmark = pytest.mark.django_db


def hold(account, instrument, quantity, cost=None, *, since=AT - 10 * DAY):
    rows = [(account.pk, instrument.pk, D(quantity), None if cost is None else D(cost))]
    positions.write(rows, cause="book", reference="opening", effective_at=since)


def test_apple_seven_for_one_multiplies_longs_and_shorts_and_keeps_the_cost():
    # Apple, 2014-06-09: seven shares for one.
    at = datetime(2014, 6, 9, 13, 30, tzinfo=UTC)
    apple, long, short = world.instrument("AAPL"), world.account("LONG"), world.account("SHORT")
    hold(long, apple, "100", "64557", since=at - DAY)
    hold(short, apple, "-3.5", "-2250", since=at - DAY)
    split = world.action("split", apple, effective_at=at, new_per_old=D(7))
    assert positions.apply_action(split, at=at + HOUR) is True
    assert (world.holds(long, apple), world.cost(long, apple)) == (D(700), D(64557))
    assert (world.holds(short, apple), world.cost(short, apple)) == (D("-24.5"), D(-2250))
    split.refresh_from_db()
    assert split.applied_at == at + HOUR
    assert {fact.effective_at for fact in PositionFact.objects.filter(cause="adjustment")} == {at}
    world.assert_positions_are_the_sums_of_their_facts()


def test_a_reverse_split_of_one_for_twenty_keeps_the_fraction():
    share, account = world.instrument("AMC"), world.account()
    hold(account, share, "1010", "4040")
    split = world.action("split", share, effective_at=AT, new_per_old=D("0.05"))
    positions.apply_action(split, at=AT)
    assert (world.holds(account, share), world.cost(account, share)) == (D("50.5"), D(4040))


def test_one_for_three_is_a_third_although_the_column_holds_twelve_threes():
    share, account = world.instrument("X"), world.account()
    hold(account, share, "300")
    positions.apply_action(world.action("split", share, effective_at=AT, new_per_old=D("0.333333333333")), at=AT)
    assert world.holds(account, share) == D(100)
    assert adjustments.ratio(D("0.666666666667")) == Fraction(2, 3)
    assert adjustments.ratio(D("1.0123")) == Fraction(10123, 10000)


def test_washington_mutual_is_written_off_and_the_last_fact_keeps_what_it_had_cost():
    # Seized 2008-09-25; the holding company filed for Chapter 11 on 2008-09-26.
    at = datetime(2008, 9, 26, 20, 0, tzinfo=UTC)
    mutual, account = world.instrument("WAMU"), world.account()
    hold(account, mutual, "5000", "21300", since=at - 20 * DAY)
    positions.apply_action(world.action("write_off", mutual, effective_at=at), at=at + HOUR)
    assert (world.holds(account, mutual), world.cost(account, mutual)) == (D(0), D(0))
    fact = PositionFact.objects.latest("id")
    assert (fact.change, fact.quantity, fact.cost, fact.cause) == (D(-5000), D(0), D(21300), "adjustment")


@pytest.mark.parametrize(
    ("quantity", "cash"), [("1", "-37630"), ("-2", "75260"), ("3", "-112890")], ids=["buyer", "seller", "three"]
)
def test_crude_oil_expires_at_minus_37_63_and_the_long_pays(quantity, cash):
    # NYMEX WTI for May 2020 settled at -37.63 dollars a barrel on 2020-04-20; a contract is 1000 barrels.
    at = datetime(2020, 4, 20, 18, 30, tzinfo=UTC)
    terms = {"kind": "otc", "multiplier": D(1000), "may_be_negative": True, "cash_settled": True}
    oil, account, usd = world.instrument("WTI-MAY20", **terms), world.account(), world.usd()
    hold(account, oil, quantity, since=at - DAY)
    expiry = world.action("expiry", oil, effective_at=at, settlement_price=D("-37.63"))
    positions.apply_action(expiry, at=at)
    assert (world.holds(account, oil), world.holds(account, usd)) == (D(0), D(cash))
    movement = CashMovement.objects.get()
    assert (movement.kind, movement.amount, movement.effective_at) == ("settlement", D(cash), at)


@pytest.mark.parametrize(
    ("quantity", "cost", "cash"), [("2", "140000", "2000"), ("-2", "-140000", "-2000")], ids=["buyer", "seller"]
)
def test_a_future_expires_by_paying_the_profit_since_it_was_opened_or_last_settled(quantity, cost, cash):
    # two of 1,000 barrels held at 70.00, expired at 71.00: 2 × 1,000 × 1.00, once
    terms = {"kind": "future", "multiplier": D(1000), "expires_at": AT}
    oil, account, usd = world.instrument("CLZ", **terms), world.account(), world.usd()
    hold(account, oil, quantity, cost, since=AT - DAY)
    positions.apply_action(world.action("expiry", oil, effective_at=AT - HOUR, settlement_price=D(71)), at=AT)
    assert (world.holds(account, oil), world.holds(account, usd)) == (D(0), D(cash))


def test_a_late_fill_of_an_expired_future_pays_its_own_profit():
    terms = {"kind": "future", "multiplier": D(1000), "expires_at": AT}
    oil, account, usd = world.instrument("CLZ", **terms), world.account(), world.usd()
    hold(account, oil, "2", "140000", since=AT - DAY)
    positions.apply_action(world.action("expiry", oil, effective_at=AT - HOUR, settlement_price=D(71)), at=AT)
    fill(account, oil, "1", traded_at=AT - DAY, price="70.5")
    assert (world.holds(account, oil), world.holds(account, usd)) == (D(0), D(2500))


def test_a_future_of_unknown_cost_cannot_expire_and_says_whose():
    terms = {"kind": "future", "multiplier": D(1000), "expires_at": AT}
    oil, account, _ = world.instrument("CLZ", **terms), world.account(), world.usd()
    hold(account, oil, "2", since=AT - DAY)
    expiry = world.action("expiry", oil, effective_at=AT - HOUR, settlement_price=D(71))
    with pytest.raises(Refused, match=f"what account {account.pk} paid for CLZ is not known"):
        positions.apply_action(expiry, at=AT)
    assert world.holds(account, oil) == D(2)


def test_an_option_expires_worthless_without_cash_and_a_missing_price_is_not_zero():
    share, account, usd = world.instrument("X"), world.account(), world.usd()
    terms = {"underlying": share, "strike": D(50), "right": "call", "style": "american", "multiplier": D(100)}
    option = world.instrument("X C50", "option", expires_at=AT, **terms)
    hold(account, option, "-4")
    with pytest.raises(Refused, match=r"settlement_price: expiry .* has none"):
        positions.apply_action(world.action("expiry", option, effective_at=AT), at=AT)
    worthless = world.action("expiry", option, effective_at=AT - HOUR, settlement_price=D(0))
    positions.apply_action(worthless, at=AT)
    assert (world.holds(account, option), world.holds(account, usd)) == (D(0), D(0))
    assert not CashMovement.objects.exists()


@pytest.mark.parametrize(("kind", "terms"), [("delisting", {}), ("symbol_change", {"new_symbol": "WAMUQ"})])
def test_a_delisting_and_a_new_symbol_leave_positions_as_they_are(kind, terms):
    share, account = world.instrument("WM"), world.account()
    hold(account, share, "10", "100")
    action = world.action(kind, share, effective_at=AT, **terms)
    assert positions.apply_action(action, at=AT) is True
    assert (world.holds(account, share), world.revision(account)) == (D(10), 1)
    assert positions.apply_action(action, at=AT) is False


def test_an_action_applied_five_times_applies_once():
    share, account = world.instrument("X"), world.account()
    hold(account, share, "10")
    split = world.action("split", share, effective_at=AT, new_per_old=D(2))
    assert [positions.apply_action(split, at=AT) for _ in range(5)] == [True, False, False, False, False]
    assert (world.holds(account, share), Adjustment.objects.count()) == (D(20), 1)


def test_an_action_is_applied_neither_before_its_approval_nor_before_its_instant():
    share, account = world.instrument("X"), world.account()
    hold(account, share, "10")
    alone = world.action("split", share, effective_at=AT, new_per_old=D(2))
    CorporateAction.objects.filter(pk=alone.pk).update(approved_by=None, approved_at=None)
    with pytest.raises(Refused, match="not approved; a second person"):
        positions.apply_action(alone, at=AT)
    early = world.action("split", share, effective_at=AT + DAY, new_per_old=D(2))
    with pytest.raises(Refused, match="takes effect at"):
        positions.apply_action(early, at=AT)
    assert world.holds(account, share) == D(10)


def test_two_actions_at_one_instant_need_an_order():
    share, account = world.instrument("X"), world.account()
    hold(account, share, "10")
    positions.apply_action(world.action("split", share, effective_at=AT, new_per_old=D(2)), at=AT)
    with pytest.raises(Refused, match="same instant; say which comes first"):
        positions.apply_action(world.action("write_off", share, effective_at=AT), at=AT)


def test_a_run_applies_what_is_due_oldest_first_and_reports_the_rest():
    share, option, account = world.instrument("X"), world.instrument("Y"), world.account()
    hold(account, share, "10")
    world.action("write_off", share, effective_at=AT - HOUR)
    world.action("split", share, effective_at=AT - DAY, new_per_old=D(2))
    priceless = world.action("expiry", option, effective_at=AT - DAY)
    world.action("split", share, effective_at=AT + DAY, new_per_old=D(9))
    done = positions.apply_approved_actions(at=AT)
    assert done.applied == 2
    assert [(action.pk, "settlement_price" in reason) for action, reason in done.refused] == [(priceless.pk, True)]
    assert list(Adjustment.objects.order_by("id").values_list("change", flat=True)) == [D(10), D(-20)]


def fill(account, share, quantity, *, traded_at, price="1"):
    return positions.apply_fill(
        account, instrument=share, quantity=D(quantity), price=D(price), source="x",
        external_reference=world.reference(), traded_at=traded_at, at=AT,
    )  # fmt: skip


def test_a_fill_traded_before_a_split_and_reported_after_it_is_split_too():
    share, account, _ = world.instrument("X"), world.account(), world.usd()
    hold(account, share, "100")
    positions.apply_action(world.action("split", share, effective_at=AT - DAY, new_per_old=D(7)), at=AT)
    late = fill(account, share, "10", traded_at=AT - DAY - HOUR)
    fill(account, share, "1", traded_at=AT - DAY)  # at the instant of the split it trades in new shares
    assert world.holds(account, share) == D(7 * 110 + 1)
    positions.bust(late, source="x", external_reference=world.reference(), at=AT)
    assert world.holds(account, share) == D(701)


def test_a_trade_in_new_shares_reported_before_the_split_is_applied_is_not_split():
    share, account, _ = world.instrument("X"), world.account(), world.usd()
    hold(account, share, "100")
    fill(account, share, "1", traded_at=AT - HOUR)
    positions.apply_action(world.action("split", share, effective_at=AT - DAY, new_per_old=D(7)), at=AT)
    assert world.holds(account, share) == D(701)


def test_a_late_fill_of_an_expired_contract_is_settled_in_cash():
    account, usd = world.account(), world.usd()
    contract = world.instrument("K", "otc", multiplier=D(10), may_be_negative=True)
    hold(account, contract, "1")
    expiry = world.action("expiry", contract, effective_at=AT - HOUR, settlement_price=D("-2.5"))
    positions.apply_action(expiry, at=AT)
    fill(account, contract, "3", traded_at=AT - DAY, price="0")
    assert (world.holds(account, contract), world.holds(account, usd)) == (D(0), D(-100))


EVENTS = st.permutations(["before", "between", "after", "first split", "second split"])


@given(order=EVENTS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_two_splits_and_three_fills_reported_in_any_order_end_the_same(order):
    share, account, _ = world.instrument(world.reference()), world.account(world.reference()), world.usd()
    first = world.action("split", share, effective_at=AT - 4 * DAY, new_per_old=D(7))
    second = world.action("split", share, effective_at=AT - 2 * DAY, new_per_old=D("0.05"))
    deeds = {
        "before": lambda: fill(account, share, "100", traded_at=AT - 5 * DAY),
        "between": lambda: fill(account, share, "-20", traded_at=AT - 3 * DAY),
        "after": lambda: fill(account, share, "3", traded_at=AT - 1 * DAY),
        "first split": lambda: positions.apply_action(first, at=AT),
        "second split": lambda: positions.apply_action(second, at=AT),
    }
    for name in order:
        deeds[name]()
    assert world.holds(account, share) == D("37")  # (100 x 7 - 20) / 20 + 3
    world.assert_positions_are_the_sums_of_their_facts()


# --- by hand ----------------------------------------------------------------------------------------


def correct(account, share, change="5", reference="K-1", **terms):
    given = {"reason": "transfer in kind", "at": AT, **terms}
    return positions.adjust(account, instrument=share, change=D(change), external_reference=reference, **given)


def test_a_correction_moves_once_with_its_reason_and_its_author():
    share, account = world.instrument("X"), world.account()
    rows = {correct(account, share, cost=D(50), entered_by=world.person("ann")).pk for _ in range(5)}
    assert len(rows) == 1
    assert (world.holds(account, share), world.cost(account, share)) == (D(5), D(50))
    assert Adjustment.objects.get().entered_by.username == "ann"
    with pytest.raises(positions.Conflict, match="K-1 is already used"):
        correct(account, share, "6")


@pytest.mark.parametrize(
    ("terms", "match"),
    [
        ({"change": "0"}, "change: is zero"),
        ({"change": "NaN"}, "change: NaN"),
        ({"reason": ""}, "reason: is missing"),
        ({"reason": "two\nlines"}, "reason: .* unprintable"),
        ({"reference": "action:1:1:1"}, "external_reference: references that begin with action"),
        ({"effective_at": AT + timedelta(minutes=1)}, "effective_at: .* is after now"),
        ({"cost": D("NaN")}, "cost: NaN"),
    ],
)
def test_a_wrong_correction_is_refused(terms, match):
    with pytest.raises(Refused, match=match):
        correct(world.account(), world.instrument("X"), **terms)
    assert not Adjustment.objects.exists()


def test_cash_is_not_corrected_by_adjustment():
    with pytest.raises(Refused, match="USD is cash; post a correction"):
        correct(world.account(), world.usd())


def test_a_correction_dated_before_a_split_is_split():
    share, account = world.instrument("X"), world.account()
    hold(account, share, "10")
    positions.apply_action(world.action("split", share, effective_at=AT - HOUR, new_per_old=D(2)), at=AT)
    correct(account, share, "5", effective_at=AT - DAY)
    assert world.holds(account, share) == D(30)
    assert not Fill.objects.exists()
