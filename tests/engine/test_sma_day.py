"""A day's postings to SMA together: the day ends as Regulation T computes it, however it is cut."""

from dataclasses import replace
from decimal import Decimal as Dec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.sma import UNKNOWN, Entry, Kind, Resulting, State, post
from margin.engine.sma_day import plan

SOUND = Dec(10**9)
FULL = {Kind.DEPOSIT: 1, Kind.DIVIDEND: 1, Kind.REVERSAL: -1, Kind.WITHDRAWAL: -1, Kind.CASH_PURCHASE: -1}
HALF = {Kind.SALE: Dec("0.5"), Kind.COVER: Dec("0.5"), Kind.PURCHASE: Dec("-0.5"), Kind.SHORT_SALE: Dec("-0.5")}
SHARES = {**FULL, **HALF}

cents = st.integers(0, 2_000_000).map(lambda amount: Dec(amount) * 2 / 100)  # even, so that half is whole
entries = st.lists(st.builds(Entry, st.sampled_from(sorted(SHARES)), cents), max_size=6)
excesses = st.integers(-3_000_000, 3_000_000).map(lambda amount: Dec(amount) / 100)
states = cents.map(State)


def lived(state, entries, close):
    """The state after the plan was posted and the day closed."""
    day = plan(state, entries, close, 2)
    if day.raised_to is not None:
        state = post(state, Entry(Kind.CLOSE, resulting=Resulting(day.raised_to)))
    for entry in day.entries:
        state = post(state, entry)
    return post(state, Entry(Kind.CLOSE, resulting=Resulting(close.excess)))


@given(states, entries, excesses)
def test_the_day_ends_at_the_greater_of_the_postings_and_the_excess_and_what_is_below_nothing_is_called(
    state, entries, excess
):
    """12 CFR 220.4(c)(1) and 220.5: max(before + credits − debits, excess); a deficiency is called, and no more."""
    after = lived(state, entries, Resulting(excess, SOUND))
    ends = max(state.balance + sum(SHARES[one.kind] * one.amount for one in entries), excess)
    assert after == State(max(ends, Dec(0)), max(-ends, Dec(0)))


@given(states, entries, excesses, excesses, st.integers(0, 6))
def test_a_day_half_posted_and_planned_again_ends_the_same(state, entries, excess, maintenance, cut):
    close = Resulting(excess, max(maintenance, Dec(0)))
    day = plan(state, entries, close, 2)
    half = state
    if day.raised_to is not None and entries[:cut]:
        half = post(half, Entry(Kind.CLOSE, resulting=Resulting(day.raised_to)))
    for entry in day.entries[:cut]:
        half = post(half, entry)
    assert lived(half, entries[cut:], close) == lived(state, entries, close)


@given(states, entries, excesses, excesses)
def test_a_maintenance_deficiency_keeps_sma_from_the_net_debits_alone(state, entries, excess, maintenance):
    sound, short = (lived(state, entries, Resulting(excess, m)) for m in (SOUND, min(maintenance, Dec(0))))
    net = sum((SHARES[one.kind] * one.amount for one in entries), Dec(0))
    assert short.called >= min(max(-maintenance, Dec(0)), max(-net, Dec(0)))
    assert short.balance >= sound.balance
    if net >= 0:
        assert short.called == sound.called


def test_credits_and_debits_are_rounded_against_the_account():
    day = plan(State(), [Entry(Kind.SALE, Dec("0.01")), Entry(Kind.PURCHASE, Dec("0.03"))], Resulting(Dec(0), SOUND), 2)
    assert day.raised_to == Dec("0.02")  # 0.005 down to nothing, 0.015 up to 0.02


def test_a_withdrawal_that_may_not_be_is_a_reversal_and_one_that_may_stays():
    money = [Entry(Kind.WITHDRAWAL, Dec(600)), Entry(Kind.WITHDRAWAL, Dec(600))]
    day = plan(State(Dec(1000)), money, Resulting(Dec(-5000), SOUND), 2)
    assert [one.kind for one in day.entries] == [Kind.WITHDRAWAL, Kind.REVERSAL]
    below = plan(State(Dec(1000)), money[:1], Resulting(Dec(-5000), SOUND, Dec(1999)), 2)
    assert below.entries[0].kind is Kind.REVERSAL


@pytest.mark.parametrize("unknown", [UNKNOWN, replace(UNKNOWN, excess=Dec(1))])
def test_a_day_is_not_planned_on_a_guess(unknown):
    with pytest.raises(ValueError, match="known"):
        plan(State(), [], unknown, 2)
