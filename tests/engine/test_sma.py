"""The memorandum account against pencils and published examples, and its promises against random days."""

from decimal import Decimal as Dec
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import account, ib_profile, sma
from margin.engine.sma import Entry, Kind, Refused, Resulting, State


def state(balance=0, called=0):
    return State(Dec(balance), Dec(called))


def posted(before, kind, amount=0, **resulting):
    known = Resulting(**{name: Dec(value) for name, value in resulting.items()})
    return sma.post(before, Entry(kind, Dec(amount), known))


# --- the table of events ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "amount", "effect"),
    [
        (Kind.DEPOSIT, 1000, 1000),
        (Kind.DIVIDEND, 30, 30),
        (Kind.INTEREST, 7, 7),
        (Kind.SECURITIES, 1000, 500),
        (Kind.SALE, 1000, 500),
        (Kind.COVER, 1000, 500),
        (Kind.PURCHASE, 1000, -500),
        (Kind.SHORT_SALE, 1000, -500),
        (Kind.CASH_PURCHASE, 1000, -1000),
        (Kind.OPTION, 800, -800),  # Cboe manual p. 28: 1,000 gross, 200 proceeds, 800 net
        (Kind.OPTION, -300, 300),  # an option sold, proceeds above its requirement
        (Kind.REVERSAL, 1000, -1000),
        (Kind.WITHDRAWAL, 1000, -1000),
    ],
)
def test_every_event_moves_sma_by_its_share(kind, amount, effect):
    assert sma.effect(Entry(kind, Dec(amount))) == effect
    assert posted(state(5000), kind, amount, maintenance_excess=9000) == state(5000 + effect)


def test_a_worked_week():
    """The table of docs/methodologies/reg_t.md, worked by hand."""
    now = posted(state(), Kind.DEPOSIT, 10000)
    now = posted(now, Kind.PURCHASE, 20000, maintenance_excess=5000)
    assert now == state(0)
    now = posted(now, Kind.CLOSE, excess=2000)  # 200 shares rise from 100 to 120
    assert now == state(2000)
    now = posted(now, Kind.CLOSE, excess=-1000)  # they fall to 90: restricted, SMA stays
    assert now == state(2000)
    now = posted(now, Kind.DIVIDEND, 100)
    now = posted(now, Kind.PURCHASE, 4000, maintenance_excess=2600)
    assert now == state(100)
    now = posted(now, Kind.SALE, 5000, excess=-400)
    assert now == state(2600)
    now = posted(now, Kind.WITHDRAWAL, 2600, maintenance_excess=1250, equity=5500)
    assert now == state(0)
    now = posted(now, Kind.PURCHASE, 2000, maintenance_excess=750)
    assert now == state(0, called=1000)
    now = posted(now, Kind.DEPOSIT, 1500)
    assert now == state(500)


def test_published_excess_becomes_sma_and_buys_twice_as_much():
    """Investopedia: 1,000 shares from 50 to 70, SMA 10,000; 10,000 of stock to 14,000 with a debit of 5,000."""
    held = account.Standing(long_value=Dec(70000), debit=Dec(25000))
    assert account.equity(held) == 45000
    assert posted(state(), Kind.CLOSE, excess=account.reg_t_excess(held)) == state(10000)
    held = account.Standing(long_value=Dec(14000), debit=Dec(5000))
    found = posted(state(), Kind.CLOSE, excess=account.reg_t_excess(held))
    assert (found.balance, account.buying_power(found.balance)) == (2000, 4000)


def test_a_sale_credits_half_its_proceeds_or_lifts_to_the_resulting_excess():
    assert posted(state(1000), Kind.SALE, 4000, excess=2500) == state(3000)
    assert posted(state(1000), Kind.SALE, 4000, excess=3500) == state(3500)
    assert posted(state(1000), Kind.SALE, 4000) == state(3000)  # excess not known: the close will see it


def test_same_day_substitution_creates_no_requirement_in_either_order():
    bought = posted(state(), Kind.PURCHASE, 10000)
    assert bought == state(0, called=5000)
    assert posted(bought, Kind.SALE, 10000) == state()
    assert posted(posted(state(), Kind.SALE, 10000), Kind.PURCHASE, 10000) == state()


def test_what_sma_does_not_cover_is_called_and_the_market_does_not_cure_it():
    now = posted(state(2000), Kind.PURCHASE, 10000, maintenance_excess=100)
    assert now == state(0, called=3000)
    assert posted(now, Kind.CLOSE, excess=-500) == now
    assert posted(now, Kind.CLOSE, excess=3500) == state(3500, called=3000)


def test_sma_is_not_used_where_that_would_leave_a_maintenance_deficiency():
    """SMA 5,000 would cover the 5,000, but 1,500 would be missing to maintenance: 1,500 is called, 3,500 used."""
    assert posted(state(5000), Kind.PURCHASE, 10000, maintenance_excess=-1500) == state(1500, called=1500)
    assert posted(state(5000), Kind.PURCHASE, 10000, maintenance_excess=-9000) == state(5000, called=5000)


def test_sma_may_be_given_for_a_call():
    assert posted(state(3500, 3000), Kind.CALL, 3000, maintenance_excess=0) == state(500)
    with pytest.raises(Refused, match="only 3000 is called"):
        posted(state(3500, 3000), Kind.CALL, 3001, maintenance_excess=0)


@pytest.mark.parametrize(
    ("before", "amount", "resulting", "why"),
    [
        (state(1000), 1001, {"maintenance_excess": 5000}, "SMA is 1000"),
        (state(1000), 1000, {}, "not known"),
        (state(1000), 1000, {"maintenance_excess": "-0.01"}, "maintenance deficiency of 0.01"),
        (state(1000, 1), 1000, {"maintenance_excess": 5000}, "called"),
        (state(1000), 1000, {"maintenance_excess": 5000, "equity": "1999.99"}, "below 2000"),
    ],
)
def test_a_withdrawal_is_refused_where_something_stands_against_it(before, amount, resulting, why):
    with pytest.raises(Refused, match=why):
        posted(before, Kind.WITHDRAWAL, amount, **resulting)


def test_usable_is_the_least_of_what_limits_a_withdrawal():
    def usable(before, **known):
        return sma.usable(before, Resulting(**{name: Dec(value) for name, value in known.items()}))

    assert usable(state(3000), maintenance_excess=5000) == 3000
    assert usable(state(3000), maintenance_excess=1200) == 1200
    assert usable(state(3000), maintenance_excess=5000, equity=2500) == 500
    assert usable(state(3000), maintenance_excess=-5) == 0
    assert usable(state(3000, 1), maintenance_excess=5000) == 0
    assert usable(state(3000)) == 0


@pytest.mark.parametrize(
    ("kind", "amount", "resulting"),
    [(Kind.DEPOSIT, Dec(-1), Resulting()), (Kind.DEPOSIT, Dec("NaN"), Resulting()), (Kind.CLOSE, Dec(0), Resulting())],
)
def test_what_makes_no_sense_is_no_event(kind, amount, resulting):
    with pytest.raises(ValueError, match=r"close|posted"):
        Entry(kind, amount, resulting)


# --- random days ------------------------------------------------------------------------------------

cents = st.integers(min_value=0, max_value=10**7).map(lambda count: Dec(count) / 100)
signed = st.integers(min_value=-(10**7), max_value=10**7).map(lambda count: Dec(count) / 100)
states = st.builds(State, cents, cents)


@settings(max_examples=100, deadline=None)
@given(before=states, excess=signed)
def test_prices_never_lower_sma_and_after_the_close_it_is_no_less_than_the_excess(before, excess):
    after = posted(before, Kind.CLOSE, excess=excess)
    assert after.balance >= before.balance
    assert after.balance >= excess
    assert after.balance in (before.balance, excess)
    assert after.called == before.called


@settings(max_examples=150, deadline=None)
@given(
    before=states,
    kind=st.sampled_from([kind for kind in Kind if kind is not Kind.CLOSE]),
    amount=cents,
    maintenance=st.none() | signed,
)
def test_no_part_turns_negative_and_nothing_is_lost_between_them(before, kind, amount, maintenance):
    entry = Entry(kind, amount, Resulting(maintenance_excess=maintenance))
    try:
        after = sma.post(before, entry)
    except Refused:
        assert kind in sma.USES
        return
    assert min(after.balance, after.called) >= 0
    moved = (after.balance - after.called) - (before.balance - before.called)
    assert moved == (0 if kind is Kind.CALL else sma.effect(entry))


days = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "pay_in", "pay_out"]),
        st.integers(min_value=1, max_value=100),
        st.integers(min_value=50, max_value=150),
    ),
    max_size=12,
)


@settings(max_examples=80, deadline=None)
@given(days=days)
def test_an_account_that_only_spends_its_sma_never_owes_regulation_t_and_never_falls_below_maintenance_by_it(days):
    """A real account of one stock beside its SMA: each day one act within what SMA allows, a price, and a close."""
    cash, shares, price, now = Dec(20000), 0, Dec(100), state(20000)

    def standing():
        return account.standing(long_value=shares * price, cash=cash)

    def resulting():
        held = standing()
        owes = held.debit > 0
        return Resulting(
            account.reg_t_excess(held), account.maintenance_excess(held), account.equity(held) if owes else None
        )

    for act, size, percent in days:
        if act == "buy":
            affordable = account.buying_power_within_maintenance(now.balance, account.maintenance_excess(standing()))
            count = min(size, int(affordable / Fraction(price)))
            cash, shares = cash - count * price, shares + count
            now = sma.post(now, Entry(Kind.PURCHASE, count * price, resulting()))
            assert now.called == 0
        elif act == "sell":
            count = min(size, shares)
            cash, shares = cash + count * price, shares - count
            now = sma.post(now, Entry(Kind.SALE, count * price, resulting()))
        elif act == "pay_in":
            cash += size
            now = sma.post(now, Entry(Kind.DEPOSIT, Dec(size), resulting()))
        else:
            was_sound = account.maintenance_excess(standing()) >= 0
            amount = min(Dec(size), sma.usable(now, resulting()))
            cash -= amount
            if amount:
                now = sma.post(now, Entry(Kind.WITHDRAWAL, amount, Resulting(None, resulting().maintenance_excess)))
            assert not was_sound or account.maintenance_excess(standing()) >= 0
        before_close = now.balance
        price = price * percent / 100
        price = max(price.quantize(Dec("0.01")), Dec("0.01"))
        now = sma.post(now, Entry(Kind.CLOSE, resulting=resulting()))
        assert now.balance >= max(before_close, account.reg_t_excess(standing()))


# --- Interactive Brokers ----------------------------------------------------------------------------


def test_the_brokers_published_example():
    """Deposit 10,000; buy 500 at 40; the price rises to 45 (its Reg T margin page)."""
    found = ib_profile.figures(Dec(10000))
    first = ib_profile.sma(found, cash_flow=Dec(10000))
    assert first == 10000
    found = ib_profile.figures(Dec(-10000), long_value=Dec(20000))
    assert found == ib_profile.Figures(Dec(10000), Dec(5000), Dec(5000), Dec(10000))
    second = ib_profile.sma(found, previous=first, reg_t_of_trades=Dec(10000))
    assert second == 0
    found = ib_profile.figures(Dec(-10000), long_value=Dec(22500))
    assert found == ib_profile.Figures(Dec(12500), Dec(5625), Dec(6875), Dec(11250))
    assert ib_profile.sma(found, previous=second) == 1250


def test_a_negative_sma_at_the_brokers_close_is_liquidated():
    found = ib_profile.figures(Dec(-20000), long_value=Dec(30000))
    at_close = ib_profile.sma(found, previous=Dec(0), reg_t_of_trades=Dec(5000))
    assert at_close == -5000
    assert ib_profile.is_liquidated(at_close)
    assert not ib_profile.is_liquidated(Dec(0))
