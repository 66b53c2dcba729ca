"""Account arithmetic against published examples and pencils; trigger prices against the definition of a trigger."""

from decimal import Decimal as Dec
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from margin.engine import account, lean_profile, triggers
from margin.engine.account import Standing

# --- published examples -----------------------------------------------------------------------------


def test_equity_is_the_long_side_and_the_short_side_together():
    mixed = Standing(long_value=Dec(20000), short_value=Dec(8000), debit=Dec(9000), credit=Dec(12000))
    assert account.long_equity(mixed) == 11000
    assert account.short_equity(mixed) == 4000
    assert account.equity(mixed) == 15000
    assert account.reg_t_requirement(mixed) == 10000 + 4000
    assert account.reg_t_excess(mixed) == 1000
    assert account.maintenance_requirement(mixed) == 5000 + 2400


def test_net_cash_is_a_debit_or_a_credit():
    assert account.standing(long_value=Dec(100), cash=Dec(-40)) == Standing(long_value=Dec(100), debit=Dec(40))
    assert account.standing(short_value=Dec(100), cash=Dec(150)) == Standing(short_value=Dec(100), credit=Dec(150))


def test_a_balance_is_never_negative():
    with pytest.raises(ValueError, match="debit"):
        Standing(debit=Dec(-1))
    with pytest.raises(ValueError, match="long_value"):
        Standing(long_value=Dec("NaN"))


@pytest.mark.parametrize(
    ("value", "debit", "excess", "restricted", "call"),
    [  # textbook account: bought 8,000 with 4,000; then the market moves
        (8000, 4000, 0, False, 0),
        (9000, 4000, 500, False, 0),
        (6000, 4000, -1000, True, 0),  # restricted is a state, not a call
        (5333, 4000, Dec("-1333.5"), True, Dec("0.25")),  # below 4,000 × 4/3 a call begins
        (5000, 4000, -1500, True, 250),
    ],
)
def test_restricted_comes_long_before_a_call(value, debit, excess, restricted, call):
    held = Standing(long_value=Dec(value), debit=Dec(debit))
    assert account.reg_t_excess(held) == excess
    assert account.is_restricted(held) is restricted
    assert account.maintenance_call(held) == call


def test_a_short_of_a_thousand_at_45_credits_150_percent():
    """Investopedia: 45,000 of proceeds and 22,500 of margin."""
    assert account.short_credit(Dec(-1000), Dec(45)) == 67500


@pytest.mark.parametrize(("cost", "deposit"), [(1800, 1800), (2000, 2000), (3000, 2000), (4000, 2000), (5000, 2500)])
def test_a_first_purchase_is_paid_in_full_below_2000_and_by_half_above_4000(cost, deposit):
    assert account.first_deposit(Dec(cost)) == deposit


@pytest.mark.parametrize(
    ("proceeds", "maintenance", "deposit"),
    [(1000, 0, 2000), (3000, 0, 2000), (6000, 0, 3000), (20000, 25000, 25000)],  # the last: 10,000 shares at 2.00
)
def test_a_first_short_sale_gets_no_relief_from_the_2000(proceeds, maintenance, deposit):
    assert account.first_short_deposit(Dec(proceeds), Dec(maintenance)) == deposit


def test_sma_and_deposits_are_set_against_the_initial_call():
    assert account.initial_call(Dec(5000)) == 5000
    assert account.initial_call(Dec(5000), sma=Dec(2000)) == 3000
    assert account.initial_call(Dec(5000), sma=Dec(2000), deposited=Dec(3500)) == 0
    assert account.may_be_disregarded(Dec(1000))
    assert not account.may_be_disregarded(Dec("1000.01"))


def test_three_ways_to_meet_a_maintenance_call():
    """A call of 250 at 25 %: 250 in cash, 333.33 of margin stock, or 1,000 sold."""
    assert account.cures(Dec(250)) == account.Cures(Dec(250), Fraction(1000, 3), Fraction(1000))
    assert account.sale_for_initial_call(Dec(2500)) == 5000
    with pytest.raises(ValueError, match="rate"):
        account.cures(Dec(250), Dec(1))


def test_selling_releases_only_the_requirement_of_what_is_sold():
    """Regulatory Notice 26-10's reading: a 35 % security, 1,000 sold."""
    assert account.released(Dec(1000), Dec("0.35")) == 350


def test_buying_power_is_twice_the_sma_unless_maintenance_is_short():
    assert account.buying_power(Dec(2000)) == 4000
    assert account.buying_power_within_maintenance(Dec(2000), Dec(5500)) == 4000
    assert account.buying_power_within_maintenance(Dec(2000), Dec(250)) == 1000  # a purchase of 1,000 asks 250
    assert account.buying_power_within_maintenance(Dec(2000), Dec(-1)) == 0


def test_a_day_trader_bought_four_times_yesterdays_excess_and_twice_with_an_open_call():
    assert account.day_trading_buying_power(Dec(10000)) == 40000
    assert account.day_trading_buying_power(Dec(10000), has_open_call=True) == 20000
    assert account.day_trading_buying_power(Dec(10000), is_pattern=False) == 20000
    assert account.day_trading_buying_power(Dec(-10)) == 0
    assert account.may_day_trade(Dec(25000))
    assert not account.may_day_trade(Dec("24999.99"))


# --- cures, as properties ---------------------------------------------------------------------------

money = st.decimals(min_value=0, max_value=10**9, places=2)
rates = st.integers(min_value=1, max_value=99).map(lambda percent: Dec(percent) / 100)


@settings(max_examples=60, deadline=None)
@given(value=money, debit=money, rate=rates)
def test_each_cure_alone_leaves_an_excess_of_exactly_zero(value, debit, rate):
    def excess(long_value, loan):
        return Fraction(long_value) * (1 - Fraction(rate)) - Fraction(loan)

    call = debit - value * (1 - rate)
    assume(call > 0)
    found = account.cures(call, rate)
    assert excess(value, Fraction(debit) - Fraction(found.cash)) == 0
    assert excess(Fraction(value) + found.securities, debit) == 0
    assert excess(Fraction(value) - found.sale, Fraction(debit) - found.sale) == 0


# --- trigger prices ---------------------------------------------------------------------------------


def exact(found):
    assert found is not None
    return found.exact


def test_published_long_triggers():
    """Debit 10,000 at 25 %: 13,333.33. Bought at 40 with 60 % paid: 21.33."""
    found = triggers.long_trigger_value(Dec(10000), Dec("0.25"))
    assert (exact(found), found.quoted) == (Fraction(40000, 3), Dec("13333.34"))
    found = triggers.long_trigger_price(Dec(40), Dec("0.6"), Dec("0.25"))
    assert (exact(found), found.quoted) == (Fraction(64, 3), Dec("21.34"))
    assert triggers.long_trigger_value(Dec(0), Dec("0.25")) is None
    assert triggers.long_trigger_price(Dec(40), Dec(1), Dec("0.25")) is None


def test_a_short_at_45_with_half_deposited_is_called_at_51_92():
    """Credit 67,500 ÷ 1.3 = 51,923.08, at 1,000 shares 51.92."""
    assert exact(triggers.short_trigger_value(Dec(67500), Dec("0.30"))) == Fraction(675000, 13)
    found = triggers.short_trigger_price(Dec(67500), Dec(1000))
    assert (exact(found), found.quoted) == (Fraction(675, 13), Dec("51.92"))


@pytest.mark.parametrize(
    ("credit", "price"),
    [  # per share, by pencil: p + max(...) = credit
        ("2.50", "0"),  # 2.50 binds: the call begins with the first cent
        ("4.00", "1.50"),
        ("5.00", "2.50"),  # both branches agree at the breakpoint
        ("7.00", "3.50"),  # 100 %: half the credit
        ("10.00", "5.00"),
        ("12.00", "7.00"),  # 5.00 binds
        ("21.00", "16.00"),
        ("26.00", "20.00"),  # 30 %: 26 ÷ 1.3
    ],
)
def test_a_short_is_called_where_its_binding_branch_says(credit, price):
    assert exact(triggers.short_trigger_price(Dec(credit), Dec(1))) == Fraction(price)


def test_a_short_that_cannot_hold_its_least_amount_is_called_at_every_price():
    assert triggers.short_trigger_price(Dec("2.49"), Dec(1)) is None


def test_breakpoints_of_the_short_requirement_are_those_of_the_rule():
    assert [line.start for line in triggers.short_requirement()] == [0, Fraction(5, 2), 5, Fraction(50, 3)]
    assert [line.start for line in triggers.short_requirement(leverage=Dec(3))] == [
        0,
        Fraction(5, 2),
        5,
        Fraction(50, 9),
    ]
    assert [line.start for line in triggers.short_requirement(leverage=Dec(4))] == [0, Fraction(5, 2), 5]


@pytest.mark.parametrize(
    ("price", "charge"),
    [("0.34", "2.5"), ("2.49", "2.5"), ("2.50", "2.5"), ("4.99", "4.99"), ("5", "5"), ("16.66", "5"), ("20", "6")],
)
def test_the_lines_say_what_4210_c_says(price, charge):
    at = Fraction(price)
    lines = triggers.short_requirement()
    assert next(line for line in reversed(lines) if line.start <= at).at(at) == Fraction(charge)


def test_a_mixed_account_is_called_where_its_combined_excess_ends():
    """Long 200 at 50, short 100 at 30, cash −1,000: by pencil.

    Long moves: 0.75 × 200 p = 1,000 + 3,000 + 900, so p = 32.67. Short moves: 7,500 − 1,000 = 130 p, so p = 50.
    """
    long_rest = Dec(-1000) - Dec(3000) - Dec(900)
    found = triggers.trigger_price(Dec(200), triggers.long_requirement(Dec("0.25")), rest=long_rest)
    assert (exact(found), found.quoted) == (Fraction(98, 3), Dec("32.67"))
    short_rest = Dec(-1000) + Dec(10000) - Dec(2500)
    assert exact(triggers.trigger_price(Dec(-100), triggers.short_requirement(), rest=short_rest)) == 50


def test_a_jump_of_the_requirement_is_a_trigger_too():
    """A house that asks 70 % from 10.00 and 20 % below: at 10.00 the excess drops from 400 to −100."""
    lines = (
        triggers.Line(Fraction(), Fraction(), Fraction(1, 5)),
        triggers.Line(Fraction(10), Fraction(), Fraction(7, 10)),
    )
    found = triggers.trigger_price(Dec(-100), lines, rest=Dec(1600))
    assert (exact(found), found.quoted) == (10, Dec("9.99"))


def test_a_long_paid_in_full_has_no_trigger_and_a_hopeless_one_neither():
    lines = triggers.long_requirement(Dec("0.25"))
    assert triggers.trigger_price(Dec(100), lines, rest=Dec(0)) is None
    assert triggers.trigger_price(Dec(100), triggers.long_requirement(Dec(1)), rest=Dec(-1)) is None


def test_all_prices_moving_together_may_call_a_mixed_account_from_either_side():
    """By pencil, factor f on all prices.

    Long 100 at 50, cash −2,000: 0.75 × 5,000 f = 2,000, so 8/15 and no rise harms. Short 100 at 20, cash 3,000, the
    excess 3,000 − 2,600 f is gone at 15/13. Both: 1,000 + 1,150 f never ends above 16.67; below, by 5.00 a share,
    500 + 1,750 f. Long 100 at 10 and short 100 at 20 with 2,000: 2,000 + 750 f − 2,600 f ends at 40/37.
    """
    long = triggers.Holding(Dec(100), Dec(50), triggers.long_requirement(Dec("0.25")))
    short = triggers.Holding(Dec(-100), Dec(20), triggers.short_requirement())
    assert triggers.market_moves([long], cash=Dec(-2000)) == triggers.Moves(Fraction(8, 15), None)
    assert triggers.market_moves([short], cash=Dec(3000)) == triggers.Moves(None, Fraction(15, 13))
    assert triggers.market_moves([long, short], cash=Dec(1000)) == triggers.Moves(None, None)
    light = triggers.Holding(Dec(100), Dec(10), triggers.long_requirement(Dec("0.25")))
    assert triggers.market_moves([light, short], cash=Dec(2000)) == triggers.Moves(None, Fraction(40, 37))
    assert triggers.market_moves([long], cash=Dec(-4000)) is None  # called already


@settings(max_examples=80, deadline=None)
@given(
    held=st.lists(
        st.tuples(st.integers(min_value=-500, max_value=500), st.integers(min_value=1, max_value=9000)), max_size=4
    ),
    cash=st.integers(min_value=-(10**5), max_value=10**5),
)
def test_between_the_moves_there_is_no_call_and_just_beyond_them_there_is(held, cash):
    positions = [
        triggers.Holding(
            Dec(quantity),
            Dec(cents) / 100,
            triggers.long_requirement(Dec("0.25")) if quantity >= 0 else triggers.short_requirement(),
        )
        for quantity, cents in held
    ]

    def excess(factor):
        """By the rule itself, not by lines: 25 % long; 2.50, the price, 5.00 or 30 % short."""
        total = Fraction(cash)
        for quantity, cents in held:
            price = factor * cents / 100
            short = max(Fraction(5, 2), price) if price < 5 else max(Fraction(5), price * 3 / 10)
            total += quantity * price - (price / 4 * quantity if quantity >= 0 else -quantity * short)
        return total

    moves = triggers.market_moves(positions, cash=Dec(cash))
    if moves is None:
        assert excess(Fraction(1)) < 0
        return
    tick = Fraction(1, 10**6)
    for edge, beyond in ((moves.down, -tick), (moves.up, tick)):
        if edge is not None:
            assert excess(edge) == 0
            assert excess(edge + beyond) < 0
    lowest, highest = moves.down or Fraction(), moves.up or Fraction(100)
    for step in range(11):
        assert excess(lowest + (highest - lowest) * step / 10) >= 0


shares = st.integers(min_value=1, max_value=10**6).map(Dec)
requirements = st.builds(
    triggers.short_requirement,
    leverage=st.sampled_from([Dec(1), Dec(2), Dec(3)]),
    house_rate=st.sampled_from([Dec(0), Dec("0.35"), Dec("0.5"), Dec("1.2")]),
)


@settings(max_examples=150, deadline=None)
@given(quantity=shares, rest=st.decimals(min_value=-(10**9), max_value=10**9, places=2), lines=requirements, rate=rates)
def test_at_the_trigger_the_excess_is_zero_and_one_tick_beyond_it_is_negative(quantity, rest, lines, rate):
    for held, requirement, beyond in (
        (quantity, triggers.long_requirement(rate), Dec("-0.01")),
        (-quantity, lines, Dec("0.01")),
    ):
        found = triggers.trigger_price(held, requirement, rest=rest)

        def excess(price, held=held, requirement=requirement):
            return triggers.excess_at(price, held, requirement, rest=rest)

        if found is None:  # then no price on the way turns it: a long at zero, a short from zero
            assert excess(Fraction()) >= 0 if held > 0 else excess(Fraction()) < 0
            continue
        jumped = excess(found.exact) < 0
        assert excess(found.exact) == 0 or (jumped and found.exact in {line.start for line in requirement})
        assert excess(found.quoted) >= 0
        assert found.quoted + beyond < 0 or excess(found.quoted + beyond) < 0


# --- LEAN -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "cash", "is_open", "value", "used", "shares"),
    [  # LEAN's own tests, commit 24863901
        (300, -24700, False, 5300, 15000, -194),
        (-300, 34700, True, 4700, 7500, 112),
    ],
)
def test_lean_sells_until_margin_used_equals_the_portfolios_value(quantity, cash, is_open, value, used, shares):
    holding = lean_profile.Holding(Dec(quantity), Dec(100))
    leverage = lean_profile.leverage(is_open=is_open)
    assert lean_profile.net_liquidation_value(Dec(cash), holding) == value
    assert lean_profile.margin_used(leverage, holding) == used
    terms = {"leverage": leverage, "net_liquidation": Dec(value), "used": Fraction(used)}
    assert lean_profile.shares_to_trade(holding, **terms) == shares


def test_lean_trades_whole_shares_never_more_than_are_held_and_waits_for_its_buffer():
    holding = lean_profile.Holding(Dec(300), Dec(100))

    def traded(value, used, of=holding):
        return lean_profile.shares_to_trade(of, leverage=Dec(2), net_liquidation=Dec(value), used=Fraction(used))

    assert traded(10000, 11000) == 0  # 10 % over is still borne
    assert traded(10000, 11001) == -21  # 1,001 ÷ 50 = 20.02
    assert traded(-1000, 15000) == -300  # 320 would be asked
    assert traded(0, 15000, lean_profile.Holding(Dec(0), Dec(100))) == 0
    assert lean_profile.is_warned(Dec(10000), Fraction(9500))
    assert not lean_profile.is_warned(Dec(10000), Fraction(9499))
    with pytest.raises(ValueError, match="price"):
        lean_profile.Holding(Dec(1), Dec(0))
