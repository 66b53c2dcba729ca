"""What calls come to together: the greatest regime of an account, the sum within a regime, the sum of accounts."""

from decimal import Decimal as Dec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin import totals
from margin.models import MarginCall


def call(regime, outstanding, *, account=1, currency="USD", state="issued", key=""):
    return MarginCall(
        account_id=account,
        regime=regime,
        deficiency_key=key,
        state=state,
        currency=currency,
        amount_outstanding=Dec(outstanding),
    )


def test_a_deposit_clears_a_house_and_a_fed_call_at_once():
    """NFS: 18,000 of the house and 30,000 of the Fed are met by 30,000."""
    assert totals.to_clear([call("house", 18000), call("reg_t", 30000)]) == Dec(30000)


def test_two_trade_dates_of_one_regime_add_up():
    dates = [call("reg_t", 4000, key="2026-03-02"), call("reg_t", 6000, key="2026-03-03")]
    assert totals.to_clear([*dates, call("house", 7000)]) == Dec(10000)


def test_accounts_add_up():
    assert totals.to_clear([call("house", 100), call("house", 250, account=2), call("exchange", 300, account=2)]) == 400


def test_closed_calls_ask_nothing():
    assert totals.to_clear([call("house", 100, state="met"), call("exchange", 40)]) == Dec(40)
    assert totals.to_clear([]) == Dec(0)


def test_currencies_are_never_added():
    both = [call("house", 100), call("loan", 3, currency="BTC", account=2)]
    with pytest.raises(ValueError, match="BTC, USD"):
        totals.to_clear(both)
    assert totals.to_clear_by_currency(both) == {"USD": Dec(100), "BTC": Dec(3)}


CALLS = st.lists(
    st.builds(
        call,
        st.sampled_from(["house", "exchange", "reg_t", "intraday"]),
        st.integers(0, 10**6),
        account=st.integers(1, 3),
        state=st.sampled_from(["issued", "escalated", "met"]),
    ),
    max_size=12,
)


@given(CALLS)
def test_that_much_cash_clears_every_regime_and_one_cent_less_does_not(calls):
    """Cash releases its whole amount in every regime, once within each."""
    for account_id in {one.account_id for one in calls}:
        mine = [one for one in calls if one.account_id == account_id and one.is_open]
        cash = totals.to_clear(mine)
        lacking = {
            regime: sum(one.amount_outstanding for one in mine if one.regime == regime) - cash
            for regime in {one.regime for one in mine}
        }
        assert all(left <= 0 for left in lacking.values())
        assert not mine or max(lacking.values()) == 0


@given(CALLS)
def test_the_total_lies_between_the_largest_call_and_the_sum(calls):
    outstanding = [one.amount_outstanding for one in calls if one.is_open]
    assert max(outstanding, default=Dec(0)) <= totals.to_clear(calls) <= sum(outstanding)
