"""Loans: the ways back to a target, health, interest curves, and accounts measured by their health.

Sources: Nexo, Exactly, Aave v3, Compound, Mango v4 and Drift v2 as documented; what has no source beside it is pencil
work.
"""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.columns import RegimeRule, Status
from margin.engine.methodologies.loan import cures, health, interest
from tests.engine.world import account, figures, loan_terms, stock

D = Decimal
BTC = stock("60000", code="BTC", kind="crypto", lot=D("0.00000001"))
ETH = stock("3000", id=12, code="ETH", kind="crypto", lot=D("0.00000001"))


# --- the three ways back --------------------------------------------------------------------------------------


def test_each_way_back_to_a_target():
    """L = 150,000, C = 180,000, T = 0.65."""
    lent = {"loan": D(150_000), "collateral": D(180_000), "target": D("0.65")}
    assert cures.repayment(**lent) == 33_000
    assert float(cures.deposit(**lent)) == pytest.approx(50_769.23, abs=0.005)
    assert float(cures.sale(**lent)) == pytest.approx(94_285.71, abs=0.005)
    assert cures.sale(**lent, fee_rate=D("0.02")) == 100_000  # 33,000 ÷ (0.98 − 0.65)


amounts = st.decimals("0.01", 1_000_000, places=2)
targets = st.decimals("0.05", "0.94", places=2)
fees = st.decimals(0, "0.05", places=3)


@given(loan=amounts, collateral=amounts, target=targets, fee=fees)
@settings(max_examples=100, deadline=None)
def test_every_cure_ends_at_the_target_or_was_not_needed(loan, collateral, target, fee):
    lent = {"loan": loan, "collateral": collateral, "target": target}
    owed, held, aim = Fraction(loan), Fraction(collateral), Fraction(target)
    repaid, added = cures.repayment(**lent), cures.deposit(**lent)
    if owed <= aim * held:
        assert repaid == added == cures.sale(**lent, fee_rate=fee) == 0
        return
    assert owed - repaid == aim * held
    assert owed == aim * (held + added)
    try:
        sold = cures.sale(**lent, fee_rate=fee)
    except cures.NotCurable:
        assert 1 - Fraction(fee) <= aim or owed > (1 - Fraction(fee)) * held
    else:
        assert owed - sold * (1 - Fraction(fee)) == aim * (held - sold)


def test_no_sale_helps_a_loan_beyond_its_collateral():
    with pytest.raises(cures.NotCurable, match="all collateral"):
        cures.sale(loan=D(200), collateral=D(180), target=D("0.65"))
    with pytest.raises(cures.NotCurable, match="does not lower"):
        cures.sale(loan=D(150), collateral=D(180), target=D("0.75"), fee_rate=D("0.3"))


def test_the_liquidation_price_of_a_loan():
    """Nexo: 150,000 on 3.5 BTC at 83.3 % is 51,450 in its example; Aave: 2,250 on 1 ETH at 80 % is 2,812.50."""
    assert float(cures.price_at(loan=D(150_000), quantity=D("3.5"), rate=D("0.833"))) == pytest.approx(51_450, abs=5)
    assert cures.price_at(loan=D(2_250), quantity=D(1), rate=D("0.8")) == D("2812.5")


# --- health ---------------------------------------------------------------------------------------------------


def test_borrow_factors_divide_the_debt():
    """Exactly: 1,000 × 0.91 over 500 ÷ 0.91 is 1.65 in its example, 1.6562 in full."""
    found = health.factor([health.Supplied(D(1000), D("0.91"))], [health.Owed(D(500), D("0.91"))])
    assert found == Fraction("1.6562")
    assert health.factor([health.Supplied(D(1000), D("0.91"))], []) is None


@pytest.mark.parametrize(
    ("factor", "debt", "collateral", "share"),
    [
        ("1", 10_000, 12_000, "0"),
        ("0.96", 10_000, 12_000, "0.5"),
        ("0.95", 10_000, 12_000, "1"),
        ("0.96", 1_999, 12_000, "1"),
        ("0.96", 10_000, 1_999, "1"),
        ("0.96", 2_000, 2_000, "0.5"),
    ],
)
def test_a_half_is_closed_unless_health_is_low_or_the_loan_small(factor, debt, collateral, share):
    found = health.Closing().share(health=D(factor), debt=D(debt), collateral=D(collateral))
    assert found == D(share)


@pytest.mark.parametrize(
    ("debt_left", "collateral_left", "leaves"), [(999, 5000, True), (5000, 1, True), (1000, 1000, False), (0, 0, False)]
)
def test_a_partial_liquidation_leaves_no_dust(debt_left, collateral_left, leaves):
    closing = health.Closing()
    assert closing.leaves_dust(debt_left=D(debt_left), collateral_left=D(collateral_left)) is leaves


def test_collateral_is_seized_at_prices_with_an_incentive():
    """Compound's own test vector."""
    found = health.seized(
        repaid=D("10002.45"),
        incentive=D("1.3"),
        price_borrowed=D("5.230480842"),
        price_collateral=D("771.32"),
        exchange_rate=D("2.789"),
    )
    assert float(found) == pytest.approx(31.616096631969334, rel=1e-12)


@given(debt=amounts, cover=st.decimals("1", "1.25", places=2), bonus=fees)
@settings(max_examples=50, deadline=None)
def test_a_liquidation_with_a_bonus_ends_at_its_target(debt, cover, bonus):
    """Threshold 0.8, so health is below 1 up to a cover of 1.25; the target is 1.1."""
    stated = {"debt": debt, "collateral": debt * cover, "threshold": D("0.8"), "bonus_rate": bonus}
    try:
        repaid = health.repayment_to(**stated, target=D("1.1"))
    except health.NotCurable:
        return
    owed, held = Fraction(debt) - repaid, Fraction(debt * cover) - repaid * (1 + Fraction(bonus))
    assert repaid >= 0
    assert held * Fraction("0.8") == Fraction("1.1") * owed


def test_a_bonus_that_takes_more_than_it_gives_is_told():
    with pytest.raises(health.NotCurable, match="bonus"):
        health.repayment_to(debt=D(100), collateral=D(101), threshold=D("0.95"), bonus_rate=D("0.1"), target=D("1.01"))
    with pytest.raises(health.NotCurable, match="not enough"):
        health.repayment_to(debt=D(100), collateral=D(90), threshold=D("0.8"), bonus_rate=D(0), target=D("1.1"))


def test_amounts_that_restore_health():
    """Deposit: 90 of health at 0.9 × 20 a unit: 5. Transfer: 1.2 × 10 gained, 0.8 × 10 × 1.05 lost: 36 ÷ 3.6 = 10.
    Perpetual: 500 ÷ (1,000 × (0.05 − 0.0075)) = 11.76; with a fee of 0.0025 for the fund 12.5."""
    assert health.deposit_for(health=D(-90), price=D(20), weight=D("0.9")) == 5
    assert health.deposit_for(health=D(90), price=D(20), weight=D("0.9")) == 0
    debt = {"price": D(10), "liability_weight": D("1.2"), "asset_weight": D("0.8")}
    assert health.transfer_for(health=D(-36), **debt, fee=D("1.05")) == 10
    with pytest.raises(health.NotCurable):
        health.transfer_for(health=D(-36), **debt, fee=D("1.5"))
    stated = {"shortage": D(500), "price": D(1000), "margin_rate": D("0.05"), "liquidation_fee": D("0.0075")}
    assert float(health.perpetual_for(**stated)) == pytest.approx(11.7647, abs=1e-4)
    assert health.perpetual_for(**stated, insurance_fee=D("0.0025")) == D("12.5")
    with pytest.raises(health.NotCurable):
        health.perpetual_for(**{**stated, "liquidation_fee": D("0.05")})


def borrowed(eth, **terms):
    """10 BTC at 60,000 against so many ETH at 3,000; rates are 1 ÷ health: called below 1 ÷ 0.95."""
    stated = loan_terms(
        call="0.95", liquidate="1", restore="0.80", warn="0.90", kind_haircuts={"crypto": "0.2"}, **terms
    )
    regime = RegimeRule("loan", "loan", "health", stated, ("crypto",), at_or_beyond=True)
    return figures(account(0, (BTC, 10), (ETH, -eth), regimes=(regime,)))


@pytest.mark.parametrize(
    ("eth", "status"),
    [
        (143, Status.QUIET),  # 429,000 of 480,000 counted: 0.894
        (144, Status.WARNING),  # 432,000: 0.90
        (152, Status.DEFICIT),  # 456,000: 0.95
        (160, Status.SEVERE),  # 480,000: health 1
    ],
)
def test_the_rungs_of_health_are_reached_at_or_beyond_them(eth, status):
    assert borrowed(eth).status == status


def test_a_borrow_factor_makes_a_debt_weigh_more():
    """120 ETH are 360,000; ÷ 0.75 they are 480,000: health 1. To restore 0.80: 480,000 − 0.8 × 480,000 = 96,000."""
    assert borrowed(120).status == Status.QUIET
    found = borrowed(120, borrow_factors={"ETH": "0.75"})
    assert found.equity == D("0.00") or abs(found.equity) <= D("0.01")  # 1 ÷ 0.75 is fixed to 12 digits
    assert found.amount == pytest.approx(D(96_000), abs=D("0.01"))


def test_loan_to_value_knows_no_borrow_factors():
    terms = loan_terms(borrow_factors={"USD": "0.5"})
    regime = RegimeRule("loan", "loan", "ltv", terms, ("crypto",), at_or_beyond=True)
    found = figures(account(-30_000, (replace(BTC, price=D(60_000)), 1), regimes=(regime,)))
    assert found.equity == 30_000


@pytest.mark.parametrize("factor", ["0", "-1", "1.01"])
def test_a_borrow_factor_is_above_zero_and_at_most_one(factor):
    with pytest.raises(ValueError, match="borrow factor of ETH"):
        loan_terms(borrow_factors={"ETH": factor})


# --- interest ---------------------------------------------------------------------------------------------


def test_a_kinked_curve_is_flat_outside_its_points():
    """Mango v4: 1 % at nothing, 3 % at a half, 7 % at three quarters, 13 % at all."""
    points = [(D(0), D(1)), (D("0.5"), D(3)), (D("0.75"), D(7)), (D(1), D(13))]
    at = {"-1": 1, "0": 1, "0.25": 2, "0.5": 3, "0.625": 5, "0.75": 7, "0.875": 10, "1": 13, "1.5": 13}
    assert {used: interest.kinked(D(used), points) for used in at} == at
    with pytest.raises(ValueError, match="rise"):
        interest.kinked(D(0), [(D(1), D(1)), (D(1), D(2))])


def test_a_jump_rate_jumps_beyond_its_kink():
    """Compound: base 10, slope 20, kink 90, jump 100 per cent."""
    model = {"base": D("0.1"), "slope": D("0.2"), "kink": D("0.9"), "jump": D(1)}
    at = {"0": "0.1", "0.1": "0.12", "0.9": "0.28", "1": "0.38"}
    assert {used: interest.jumping(D(used), **model) for used in at} == {u: Fraction(r) for u, r in at.items()}


def test_interest_compounds_at_every_step():
    """Mango v4: 200 % a year in steps of 5 seconds for a day."""
    assert float(interest.growth(D(2), seconds=86_400, step_seconds=5)) == pytest.approx(1.0054944908, abs=1e-10)
    year = 365 * 86_400
    assert interest.growth(D("0.5"), seconds=year * 3 // 2, step_seconds=year) == D("1.875")  # 1.5 × 1.25


def test_utilisation_is_averaged_over_time():
    seen = [(D(0), D(1000)), (D("0.5"), D(1010)), (D("0.8"), D(1015)), (D(1), D(1020))]
    assert interest.average_utilisation(D(1000), seen) == (0, Fraction("0.5"), Fraction("0.6"), Fraction("0.7"))
    assert interest.average_utilisation(D(0), [(D("0.4"), D(0))]) == (Fraction("0.4"),)


@pytest.mark.parametrize(("now", "weight"), [(0, "1"), (100, "1"), (600, "1.5"), (1000, "1.9"), (2000, "2")])
def test_a_parameter_moves_without_a_cliff(now, weight):
    found = interest.shifted(now=D(now), start=D(100), end=D(1100), before=D(1), after=D(2))
    assert found == Fraction(weight)
