from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import cash, positions
from accounts.models import Account, Fill, PositionFact
from market.models import Instrument
from market.strict import Refused
from tests.accounts import world
from tests.accounts.world import AT, DAY, HOUR, D

pytestmark = pytest.mark.django_db


def trade(account, instrument, quantity, price, reference=None, **terms):
    terms = {"traded_at": AT - HOUR, "at": AT, "source": "exchange", **terms}
    name = reference or world.reference()
    return positions.apply_fill(
        account, instrument=instrument, quantity=D(quantity), price=D(price), external_reference=name, **terms
    )


def test_a_purchase_moves_the_shares_and_the_cash_with_the_fee():
    account, usd, share = world.account(), world.usd(), world.instrument("AAPL")
    trade(account, share, "100", "189.255", fee=D("4.95"))
    # 100 x 189.255 = 18925.50, and 4.95 on top
    assert (world.holds(account, share), world.holds(account, usd)) == (D(100), D("-18930.45"))
    assert world.cost(account, share) == D("18925.50")
    assert world.revision(account) == 1
    trade(account, share, "-40", "200", fee=D("4.95"))
    # 40 x 200 - 4.95 comes in; 60 of 100 shares keep 60 % of the cost
    assert world.holds(account, usd) == D("-18930.45") + D("7995.05")
    assert world.cost(account, share) == D("11355.30")


MOVES = [
    # kind, terms, quantity, price, cash moved, pencil
    ("equity", {}, "3", "10.005", "-30.02", "30.015 rounds half-even to 30.02"),
    ("equity", {}, "1", "10.005", "-10.00", "10.005 rounds half-even to 10.00"),
    ("equity", {"price_divisor": 100}, "200", "350.5", "-701.00", "200 x 3.505 pounds, quoted in pence"),
    ("option", {"multiplier": D(100)}, "-2", "1.35", "270.00", "two contracts of 100 at 1.35"),
    ("crypto", {}, "0.12345678", "65000", "-8024.69", "8024.6907 to the cent"),
    ("future", {"multiplier": D(1000), "may_be_negative": True}, "1", "-37.63", "0", "variation margin pays it"),
    ("perpetual", {}, "5", "65000", "0", "funding and variation pay it"),
    ("otc", {"may_be_negative": True}, "2", "-1.50", "3.00", "whoever buys at a negative price is paid"),
]


@pytest.mark.parametrize(("kind", "terms", "quantity", "price", "moved", "pencil"), MOVES)
def test_what_a_fill_moves_in_cash(kind, terms, quantity, price, moved, pencil):
    account, usd = world.account(), world.usd()
    if kind == "option":
        terms = {**terms, "underlying": world.instrument("X"), "strike": D(50), "right": "call", "style": "american"}
    if kind in ("option", "future"):
        terms = {**terms, "expires_at": AT + DAY}
    held = world.instrument("H", kind, **terms)
    trade(account, held, quantity, price)
    assert world.holds(account, usd) == D(moved), pencil
    assert world.holds(account, held) == D(quantity)


def test_a_future_pays_its_fee_alone_and_keeps_its_cost():
    account, usd = world.account(), world.usd()
    oil = world.instrument("CLK0", "future", multiplier=D(1000), expires_at=AT + DAY, may_be_negative=True)
    trade(account, oil, "2", "-37.63", fee=D("2.50"))
    assert (world.holds(account, usd), world.cost(account, oil)) == (D("-2.50"), D("-75260"))


def test_closing_a_future_pays_the_profit_of_what_is_closed():
    account, usd = world.account(), world.usd()
    gold = world.instrument("GCZ6", "future", multiplier=D(100), expires_at=AT + DAY)
    trade(account, gold, "2", "2000", fee=D("2.50"))
    trade(account, gold, "-1", "2010.10", fee=D("2.50"))  # 100 x 10.10
    assert (world.holds(account, usd), world.cost(account, gold)) == (D("1005.00"), D(200_000))
    last = trade(account, gold, "-3", "1990")  # one closed at -1,000.00, two opened short
    assert (world.holds(account, usd), world.cost(account, gold)) == (D("5.00"), D(-398_000))
    positions.bust(last, source="exchange", external_reference="bust", at=AT)
    assert (world.holds(account, usd), world.cost(account, gold)) == (D("1005.00"), D(200_000))


def test_an_inverse_contract_costs_coins():
    """100 contracts of 1 USD: -100 / 65000 BTC when bought at 65,000, -100 / 60000 when sold at 60,000."""
    account, coin = world.account(), world.instrument("BTC-CASH", "cash", currency="BTC", minor_exponent=8)
    perpetual = world.instrument("BTCUSD", "perpetual", currency="BTC", inverse=True)
    trade(account, perpetual, "100", "65000", fee=D("0.00000077"))
    assert (world.cost(account, perpetual), world.holds(account, coin)) == (D("-0.00153846"), D("-0.00000077"))
    trade(account, perpetual, "-100", "60000")  # 0.00153846 - 0.00166667: a fall loses coins
    assert (world.cost(account, perpetual), world.holds(account, coin)) == (D(0), D("-0.00012898"))


def test_a_fill_reported_five_times_moves_once():
    account, usd, share = world.account(), world.usd(), world.instrument("AAPL")
    assert len({trade(account, share, "10", "5", "T-1").pk for _ in range(5)}) == 1
    assert (world.holds(account, share), world.holds(account, usd), world.revision(account)) == (D(10), D(-50), 1)


@pytest.mark.parametrize("other", [{"quantity": "11"}, {"price": "5.01"}, {"fee": D(1)}, {"traded_at": AT - DAY}])
def test_a_fill_of_other_content_under_a_used_reference_is_a_conflict(other):
    account, _, share = world.account(), world.usd(), world.instrument("AAPL")
    trade(account, share, "10", "5", "T-1")
    with pytest.raises(positions.Conflict, match="exchange T-1 is already used"):
        trade(account, share, **{"quantity": "10", "price": "5", "reference": "T-1", **other})
    assert world.holds(account, share) == D(10)


WRONG = [
    ({"quantity": "0"}, "quantity: is zero"),
    ({"quantity": "NaN"}, "quantity: NaN is not a finite number"),
    ({"quantity": "0.0000000000001"}, "quantity: .* more than 12 decimals"),
    ({"quantity": "1e20"}, "quantity: .* digits before the point"),
    ({"price": "-1"}, "price: -1 is negative, which AAPL may not be"),
    ({"price": "Infinity"}, "price: Infinity is not a finite number"),
    ({"fee": D("-1")}, "fee: -1 is negative"),
    ({"fee": D("0.001")}, "fee: 0.001 is finer than 0.01 USD"),
    ({"reference": "x y z "}, "external_reference: .* is not a code"),
    ({"source": "s" * 33}, "source: .* longer than 32"),
    ({"traded_at": AT + timedelta(seconds=6)}, "traded_at: .* is after now"),
]


@pytest.mark.parametrize(("terms", "match"), WRONG)
def test_a_wrong_fill_is_refused_with_its_field(terms, match):
    account, _, share = world.account(), world.usd(), world.instrument("AAPL")
    with pytest.raises(Refused, match=match):
        trade(account, share, **{"quantity": "1", "price": "1", **terms})
    assert not Fill.objects.exists()
    assert not PositionFact.objects.exists()


def test_a_venue_whose_clock_is_a_breath_ahead_is_heard_but_never_counted_in_the_future():
    account, _, share = world.account(), world.usd(), world.instrument("AAPL")
    fill = trade(account, share, "1", "1", traded_at=AT + timedelta(seconds=4))
    assert fill.traded_at == AT + timedelta(seconds=4)
    assert set(PositionFact.objects.values_list("effective_at", flat=True)) == {AT}


def test_cash_an_ended_share_and_a_share_without_its_currency_cannot_be_traded():
    account, usd = world.account(), world.usd()
    ended = world.instrument("LEH", ended_at=AT - DAY)
    with pytest.raises(Refused, match="USD is cash"):
        trade(account, usd, "1", "1")
    with pytest.raises(Refused, match="LEH ended at 2026-11-19"):
        trade(account, ended, "1", "1")
    trade(account, ended, "1", "1", traded_at=AT - 2 * DAY)
    with pytest.raises(Refused, match="no cash instrument for SEK"):
        trade(account, world.instrument("ERIC", currency="SEK"), "1", "1")


def test_one_wrong_fill_refuses_the_batch_and_is_named_by_its_place():
    account, _, share = world.account(), world.usd(), world.instrument("AAPL")

    def fill(reference, price):
        return Fill(
            account=account, instrument=share, source="x", external_reference=reference, quantity=D(1), price=D(price),
            fee=D(0), traded_at=AT,
        )  # fmt: skip

    with pytest.raises(Refused) as refused:
        positions.apply_fills([fill("a", "1"), fill("b", "-1"), fill("a", "1")], at=AT)
    assert [(problem.row, problem.field) for problem in refused.value.problems] == [
        (2, "price"), (3, "external_reference"),
    ]  # fmt: skip
    assert not Fill.objects.exists()
    assert [row.external_reference for row in positions.apply_fills([fill("z", "1"), fill("a", "1")], at=AT)] == [
        "z", "a",
    ]  # fmt: skip
    assert world.revision(account) == 1


# --- busts ------------------------------------------------------------------------------------------


def test_a_bust_puts_everything_back():
    account, usd, share = world.account(), world.usd(), world.instrument("AAPL")
    trade(account, share, "100", "10")
    fill = trade(account, share, "100", "20", fee=D("4.95"))
    back = positions.bust(fill, source="exchange", external_reference="B-1", at=AT)
    assert (back.quantity, back.price, back.fee, back.reverses_id) == (D(-100), D(20), D("4.95"), fill.pk)
    assert (world.holds(account, share), world.cost(account, share)) == (D(100), D(1000))
    assert world.holds(account, usd) == D(-1000)
    assert positions.bust(fill, source="exchange", external_reference="B-1", at=AT + HOUR).pk == back.pk
    assert world.holds(account, share) == D(100)


def test_a_fill_is_busted_once_and_a_bust_never():
    account, _, share = world.account(), world.usd(), world.instrument("AAPL")
    fill = trade(account, share, "100", "10")
    back = positions.bust(fill, source="exchange", external_reference="B-1", at=AT)
    with pytest.raises(positions.Conflict, match="taken back already"):
        positions.bust(fill, source="exchange", external_reference="B-2", at=AT)
    with pytest.raises(Refused, match="itself a bust"):
        positions.bust(back, source="exchange", external_reference="B-3", at=AT)
    assert world.cost(account, share) == D(0)


def test_after_further_trades_a_bust_leaves_the_cost_unknown_rather_than_wrong():
    account, usd, share = world.account(), world.usd(), world.instrument("AAPL")
    fill = trade(account, share, "100", "10")
    trade(account, share, "-50", "12")
    positions.bust(fill, source="exchange", external_reference="B-1", at=AT)
    assert (world.holds(account, share), world.cost(account, share)) == (D(-50), None)
    assert world.holds(account, usd) == D(600)


# --- properties -------------------------------------------------------------------------------------

QUANTITIES = st.decimals(min_value=-1000, max_value=1000, places=3).filter(bool)
PRICES = st.decimals(min_value=0, max_value=5000, places=4)
TRADES = st.lists(st.tuples(QUANTITIES, PRICES, st.integers(0, 2)), min_size=1, max_size=6)


def fills_of(account: Account, trades: list, instruments: list[Instrument]) -> list[Fill]:
    return [
        Fill(
            account=account, instrument=instruments[which], source="p", external_reference=f"{account.code}-{number}",
            quantity=quantity, price=price, fee=Decimal("0.10"), traded_at=AT - number * HOUR,
        )
        for number, (quantity, price, which) in enumerate(trades)
    ]  # fmt: skip


@given(trades=TRADES, order=st.randoms(use_true_random=False), cut=st.integers(0, 6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fills_in_any_order_repeated_or_in_batches_end_in_the_same_positions(trades, order, cut):
    one, other = world.account(world.reference()), world.account(world.reference())
    usd = world.usd()
    shares = [Instrument.objects.filter(code=code).first() or world.instrument(code) for code in ("P1", "P2", "P3")]
    for fill in fills_of(one, trades, shares):
        positions.apply_fills([fill], at=AT)
    shuffled = fills_of(other, trades, shares)
    order.shuffle(shuffled)
    for batch in (shuffled[:cut], shuffled[cut:], shuffled):
        positions.apply_fills(batch, at=AT)
    for held in (usd, *shares):
        assert world.holds(one, held) == world.holds(other, held)
    for number, share in enumerate(shares):
        assert world.holds(one, share) == sum((q for q, _, which in trades if which == number), D(0))
    paid = sum((-(q * p).quantize(D("0.01")) - D("0.10") for q, p, _ in trades), D(0))
    assert world.holds(one, usd) == paid
    world.assert_positions_are_the_sums_of_their_facts()


AMOUNTS = st.decimals(min_value=-(10**9), max_value=10**9, places=2).filter(bool)


@given(opening=AMOUNTS, amounts=st.lists(st.tuples(AMOUNTS, st.booleans()), max_size=6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cash_is_the_opening_balance_and_all_movements(opening, amounts):
    account, usd = world.account(world.reference()), world.usd()
    positions.write([(account.pk, usd.pk, opening, None)], cause="book", reference="opening", effective_at=AT)
    kept = opening
    for amount, is_taken_back in amounts:
        move = cash.deposit if amount > 0 else cash.withdraw
        sent = {"currency": "USD", "amount": abs(amount), "source": "b", "external_reference": world.reference()}
        movement = move(account, at=AT, **sent)
        assert move(account, at=AT, **sent).pk == movement.pk
        if is_taken_back:
            cash.reverse(movement, source="b", external_reference=world.reference(), at=AT)
        else:
            kept += amount
    assert world.holds(account, usd) == kept
    world.assert_positions_are_the_sums_of_their_facts()
