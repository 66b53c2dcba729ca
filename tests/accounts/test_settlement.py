"""Variation margin of futures and funding of perpetuals: paid once, in cash. Figures by pencil."""

from datetime import UTC, date, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts import funding, positions, settlement, tasks
from accounts.models import CashMovement, Position
from market import clock
from market.models import Close, QuoteFact, Rate
from tests.accounts import world
from tests.accounts.world import AT, DAY, HOUR, D

pytestmark = pytest.mark.django_db
ON = date(2026, 11, 19)
CLOSED_AT = datetime(2026, 11, 20, tzinfo=UTC)  # around the clock a day closes at midnight UTC


def oil(**terms):
    world.usd()
    given = {"multiplier": D(1000), "expires_at": AT + 30 * DAY, "may_be_negative": True, **terms}
    return world.instrument("CLF7", "future", **given)


def trade(account, what, quantity, price, *, when=CLOSED_AT - HOUR):
    return positions.apply_fill(
        account,
        instrument=what,
        quantity=D(quantity),
        price=D(price),
        source="exchange",
        external_reference=world.reference(),
        traded_at=when,
        at=AT + 5 * DAY,
    )


def close(what, price, on=ON):
    Close.objects.create(instrument=what, on=on, price=D(price), source="exchange")


def settle(on=ON, at=AT):
    return settlement.settle(on=on, since=ON, at=at)


def test_a_day_is_settled_once_and_the_cost_says_what_was_settled():
    account, usd, future = world.account(), world.usd(), oil()
    trade(account, future, "2", "70.05")
    close(future, "71.10")
    assert [settle() for _ in range(3)] == [(1, []), (0, []), (0, [])]
    movement = CashMovement.objects.get()
    assert (movement.amount, movement.kind) == (D(2100), "settlement")  # 2 x 1000 x 1.05
    assert movement.external_reference == f"settlement:A1:{future.pk}:2026-11-19"
    assert (world.cost(account, future), world.holds(account, usd)) == (D(142_200), D(2100))
    world.assert_positions_are_the_sums_of_their_facts()


def test_a_negative_price_is_paid_in_full_below_nothing():
    """WTI of May 2020: 18.27 on 17 April, -37.63 on 20 April: 55,900 a contract (CFTC interim report, 2020)."""
    account, usd, future = world.account(), world.usd(), oil()
    trade(account, future, "1", "18.27")
    close(future, "-37.63")
    settle()
    assert (world.holds(account, usd), world.cost(account, future)) == (D(-55_900), D(-37_630))


def test_what_is_traded_after_the_close_waits_for_the_next():
    account, usd, future = world.account(), world.usd(), oil()
    trade(account, future, "1", "70")
    trade(account, future, "1", "75", when=CLOSED_AT + HOUR)
    close(future, "72")
    close(future, "74", date(2026, 11, 20))
    assert settle(date(2026, 11, 20), AT + DAY).posted == 2  # both days in one run
    paid = list(CashMovement.objects.order_by("effective_at").values_list("amount", flat=True))
    assert paid == [D(2000), D(1000)]  # 72 - 70; then 74 - 72 of the first, 74 - 75 of the second
    assert (world.cost(account, future), world.holds(account, usd)) == (D(148_000), D(3000))


def test_what_is_reported_late_is_settled_with_its_own_price():
    account, usd, future = world.account(), world.usd(), oil()
    trade(account, future, "1", "75", when=CLOSED_AT + HOUR)
    trade(account, future, "1", "70")  # before the close, reported after
    close(future, "72")
    settle()
    assert (world.holds(account, usd), world.cost(account, future)) == (D(2000), D(147_000))


def test_closing_after_a_settlement_leaves_the_profit_of_the_whole_trade():
    account, usd, future = world.account(), world.usd(), oil()
    trade(account, future, "-3", "70")
    close(future, "71")
    settle()
    trade(account, future, "3", "69.50", when=CLOSED_AT + HOUR)
    assert (world.holds(account, usd), Position.objects.get(instrument=future).quantity) == (D(1500), 0)
    assert settle(date(2026, 11, 20), AT + DAY) == (0, [])


def test_without_a_close_or_a_cost_nothing_is_paid_and_the_day_waits():
    account, future = world.account(), oil()
    trade(account, future, "1", "70")
    assert settle().refused == [("CLF7", ON, settle().refused[0].reason)]
    assert "close: is missing" in settle().refused[0].reason
    close(future, "71")
    other = world.account("A2")
    positions.write([(other.pk, future.pk, D(1), None)], cause="book", reference="opening", effective_at=AT - 3 * DAY)
    assert "of A2 and 0 more is not known" in settle().refused[0].reason
    assert not CashMovement.objects.exists()


def test_a_day_that_is_not_over_is_left_alone():
    account, future = world.account(), oil()
    trade(account, future, "1", "70")
    close(future, "71")
    assert settle(at=CLOSED_AT - HOUR) == (0, [])


def test_the_task_and_the_command_settle_what_is_over():
    account, future, now = world.account(), oil(expires_at=clock.now() + 30 * DAY), clock.now()
    trade(account, future, "1", "70", when=now - 2 * DAY)
    for back in range(3):
        close(future, "71", (now - back * DAY).date())
    assert tasks.settle_futures() == 1
    assert tasks.settle_futures() == 0
    out = StringIO()
    call_command("settle_futures", stdout=out)
    assert "0 positions settled" in out.getvalue()
    Close.objects.create(instrument=future, on=(now - 3 * DAY).date(), price=D(1), source="x")
    bare = world.instrument("NGF7", "future", expires_at=now + 30 * DAY)
    trade(account, bare, "1", "3", when=now - 2 * DAY)
    with pytest.raises(CommandError, match="could not be settled"):
        call_command("settle_futures", stdout=out, stderr=StringIO())


# --- funding ------------------------------------------------------------------------------------------

EIGHT = datetime(2026, 11, 20, 8, tzinfo=UTC)


def swap(mark="65000", **terms):
    found = world.instrument("BTC-PERP", "perpetual", **terms)
    QuoteFact.objects.create(instrument=found, source="venue", as_of=EIGHT, mark=D(mark))
    return found


def rate(what, value="0.0001", at=EIGHT):
    Rate.objects.create(kind="funding", instrument=what, value=D(value), source="venue", effective_at=at)


def test_a_positive_rate_is_paid_by_longs_to_shorts_once():
    longs, shorts, usd, perpetual = world.account("L"), world.account("S"), world.usd(), swap()
    trade(longs, perpetual, "0.5", "64000", when=EIGHT - HOUR)
    trade(shorts, perpetual, "-0.5", "64000", when=EIGHT - HOUR)
    rate(perpetual)
    assert [funding.pay(at=AT).posted for _ in range(3)] == [2, 0, 0]
    assert (world.holds(longs, usd), world.holds(shorts, usd)) == (D("-3.25"), D("3.25"))  # 0.5 x 65000 x 0.0001
    assert set(CashMovement.objects.values_list("kind", "effective_at")) == {("funding", EIGHT)}


@pytest.mark.parametrize(
    ("opened_at", "closed_at", "paid"),
    [
        (EIGHT, EIGHT + HOUR, "-3.25"),
        (EIGHT - HOUR, EIGHT, "-3.25"),
        (EIGHT + HOUR, EIGHT + 2 * HOUR, "0"),
        (EIGHT - 2 * HOUR, EIGHT - HOUR, "0"),
    ],
)
def test_who_opens_or_closes_at_the_instant_held_it(opened_at, closed_at, paid):
    account, usd, perpetual = world.account(), world.usd(), swap()
    trade(account, perpetual, "0.5", "65000", when=opened_at)
    trade(account, perpetual, "-0.5", "65000", when=closed_at)
    rate(perpetual)
    funding.pay(at=AT)
    assert world.holds(account, usd) == D(paid)


def test_an_inverse_perpetual_pays_in_coins():
    account, coin = world.account(), world.instrument("BTC-CASH", "cash", currency="BTC", minor_exponent=8)
    perpetual = swap("50000", currency="BTC", inverse=True, multiplier=D(100))
    trade(account, perpetual, "1000", "50000", when=EIGHT - HOUR)
    rate(perpetual, "-0.0003")
    funding.pay(at=AT)
    assert world.holds(account, coin) == D("0.0006")  # 100,000 USD are 2 BTC; a negative rate pays longs


def test_without_a_mark_at_the_instant_nothing_is_paid():
    account, usd, perpetual = world.account(), world.usd(), swap()
    trade(account, perpetual, "0.5", "65000", when=EIGHT - HOUR)
    rate(perpetual, at=EIGHT - HOUR)
    done = funding.pay(at=AT)
    assert (done.posted, world.holds(account, usd)) == (0, D(0))
    assert "no quote of BTC-PERP stood" in done.refused[0].reason
