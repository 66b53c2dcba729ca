"""Credit support: the formulas, and accounts of uncleared contracts measured by them.

Numbers: FINOS common domain model (delivery and return amounts), BCBS-IOSCO schedule, and pencil work beside each.
"""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import sizing
from margin.engine.assess import assess, explain
from margin.engine.build import InstrumentRow
from margin.engine.charges import list_charges
from margin.engine.columns import Contract, RegimeRule, Status
from margin.engine.methodologies import check, csa
from margin.engine.methodologies.csa import schedule, support
from tests.engine.world import ON, account, figures

D = Decimal


def swap(value, *, id=40, asset_class="rates", notional="10000000", expires_on=date(2027, 6, 3), currency="USD"):
    """A contract worth `value` to the client per unit; its residual maturity is three years."""
    contract = Contract(0, None, asset_class=asset_class, notional=D(notional), expires_on=expires_on)
    return InstrumentRow(id, f"SWAP{id}", "otc", currency, D(value), contract=contract)


def bond(price, debt_class, matures_on, *, id=60, currency="USD"):
    return InstrumentRow(
        id, f"BOND{id}", "bond", currency, D(price), multiplier=D(1), debt_class=debt_class, matures_on=matures_on
    )


def rule(measure="variation", kinds=("otc", "bond", "equity"), **terms):
    stated = csa.Terms.from_json({"currency": "USD", **terms})
    return RegimeRule("csa", "csa", measure, stated, kinds)


def found(cash, *holdings, measure="variation", **terms):
    return figures(account(cash, *holdings, regimes=(rule(measure, **terms),)))


# --- the formulas -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("posted", "more", "expected"),
    [
        (D(5), {}, D(10)),
        (D(15), {}, D(0)),
    ],
)
def test_a_delivery_fills_what_is_missing_to_the_credit_support_amount(posted, more, expected):
    held = support.held([support.Posted(posted)])
    assert support.delivery(D(15), held, support.Transfer(rounding=D("0.5"), **more)) == expected


def test_the_minimum_transfer_is_tested_before_rounding_and_then_everything_moves():
    terms = support.Transfer(minimum=D(100), rounding=D(50))
    assert support.delivery(D(99), D(0), terms) == 0  # rounded it would be 100
    assert support.delivery(D(101), D(0), terms) == 150  # all of it, not the 1 beyond the minimum
    assert support.returned(D(0), D(149), terms) == 100  # returns go down


def test_a_defaulting_party_has_neither_threshold_nor_minimum_transfer():
    assert support.credit_support_amount(exposure=D(50), threshold=D(60)) == 0
    assert support.credit_support_amount(exposure=D(50), threshold=D(60), is_defaulting=True) == 50
    assert support.delivery(D(50), D(0), support.Transfer(minimum=D(60))) == 0
    assert support.delivery(D(50), D(0), support.Transfer(minimum=D(60), is_defaulting=True)) == 50


def test_independent_amounts_of_both_parties_enter_with_opposite_signs():
    amount = support.credit_support_amount(
        exposure=D(100), posting_amount=D(30), collecting_amount=D(10), threshold=D(20)
    )
    assert amount == 100  # 100 + 30 − 10 − 20


@pytest.mark.parametrize(
    ("approach", "initial", "left"), [("distinct", 12, 18), ("allocated", 12, 3), ("greater_of", 18, 0)]
)
def test_initial_margin_and_independent_amount_go_together_as_agreed(approach, initial, left):
    """Margin 15 less a threshold of 3, and an independent amount of 18."""
    asked = support.initial_support_amount(margin=D(15), threshold=D(3), approach=approach, independent_amount=D(18))
    assert asked == initial
    assert support.independent_amount_left(independent_amount=D(18), margin=D(15), approach=approach) == left


def test_the_fx_haircut_is_taken_once_unless_the_other_reading_is_asked_for():
    item = support.Posted(D(5), D("0.1"), D("0.08"))
    assert item.adjusted() == D("4.1")
    assert item.adjusted(fx_haircut_twice=True) == D("3.7")


amounts = st.decimals(-1_000_000, 1_000_000, places=2)
positive = st.decimals(0, 1_000_000, places=2)


@given(required=positive, held=amounts, minimum=positive, unit=st.sampled_from([D(0), D("0.01"), D(7), D(1000)]))
@settings(max_examples=60, deadline=None)
def test_never_both_a_delivery_and_a_return_and_each_ends_within_one_unit_of_the_target(required, held, minimum, unit):
    terms = support.Transfer(minimum, unit)
    delivered, back = support.delivery(required, held, terms), support.returned(required, held, terms)
    assert delivered == 0 or back == 0
    after = held + delivered - back
    assert abs(required - held) < minimum or required <= after or after < held
    if delivered or back:
        assert 0 <= after - required <= unit


@given(value=amounts, ia=positive, receive=positive, pay=positive, minimum=positive)
@settings(max_examples=60, deadline=None)
def test_the_signed_form_is_both_one_sided_forms_in_one(value, ia, receive, pay, minimum):
    signed = support.bilateral_support(value=value, independent_amount=ia, threshold_receive=receive, threshold_pay=pay)
    ours = support.credit_support_amount(exposure=value, posting_amount=ia, threshold=receive)
    theirs = support.credit_support_amount(exposure=-value, collecting_amount=ia, threshold=pay)
    assert signed == ours - theirs
    call = support.bilateral_call(signed, minimum=minimum)
    assert call in (0, signed)
    assert call == 0 or abs(call) >= minimum


def test_the_schedule_of_a_published_netting_set():
    """ORE example IM_SCHEDULE: gross 989.66, as the posting party sees it nothing could be lost: 40 % is left."""
    legs = [
        ("7074.63", "1.65", "-1190.19"),
        ("1.51", "1.65", "-1154.14"),
        ("5496.62", "1.65", "1166.76"),
        ("3414.35", "2.65", "-1219.04"),
        ("12839.43", "2.65", "923.26"),
        ("2067.19", "2.65", "308.77"),
        ("9638.77", "3.65", "1246.22"),
        ("12909.46", "3.65", "-1241.49"),
        ("2327.28", "3.65", "658.80"),
    ]

    def trades(sign):
        return [
            schedule.Trade(str(k), "rates", D(notional), sign * D(value), D(years))
            for k, (notional, years, value) in enumerate(legs)
        ]

    post, call = schedule.measure(trades(1)), schedule.measure(trades(-1))
    assert float(post.margin) == pytest.approx(395.86, abs=0.02)
    assert float(call.ratio) == pytest.approx(0.104282, abs=1e-5)
    assert float(call.margin) == pytest.approx(457.79, abs=0.02)


@pytest.mark.parametrize(
    ("asset_class", "years", "rate"),
    [
        ("rates", "1.99", "0.01"),
        ("rates", "2", "0.02"),
        ("rates", "5", "0.04"),
        ("credit", "0", "0.02"),
        ("credit", "4.99", "0.05"),
        ("credit", "30", "0.10"),
        ("fx", "30", "0.06"),
        ("equity", "1", "0.15"),
        ("commodity", "1", "0.15"),
        ("other", "1", "0.15"),
    ],
)
def test_the_published_rates_of_the_schedule(asset_class, years, rate):
    """BCBS-IOSCO, Appendix A. Where nothing can be lost the ratio is 1, so the margin is the gross."""
    trade = schedule.Trade("1", asset_class, D(-1000), D(0), D(years))
    assert schedule.measure([trade]).margin == 1000 * Fraction(rate)


# --- accounts -----------------------------------------------------------------------------------------------


def test_a_contract_that_lost_is_called_for_beyond_the_threshold_rounded_up():
    """The client lost 1,234,567: less a threshold of 1,000,000 and 100,000 in cash, 134,567 are missing; 140,000."""
    made = found(100_000, (swap("-1234567"), 1), threshold="1000000", minimum_transfer="100000", rounding="10000")
    assert made.status == Status.DEFICIT
    assert (made.equity, made.requirement) == (D(100_000), D(234_567))
    assert (made.amount, made.restore_requirement) == (D(140_000), D(240_000))


@pytest.mark.parametrize(
    ("lost", "status", "amount"),
    [
        ("1199999.99", Status.QUIET, 0),
        ("1200000", Status.DEFICIT, 100_000),
        ("1200000.01", Status.DEFICIT, 110_000),
    ],
)
def test_below_the_minimum_transfer_nothing_is_called_and_from_it_on_everything(lost, status, amount):
    made = found(100_000, (swap(f"-{lost}"), 1), threshold="1000000", minimum_transfer="100000", rounding="10000")
    assert (made.status, made.amount) == (status, amount)


@pytest.mark.parametrize(
    ("each", "status"),
    [
        ("-100000.1", Status.DEFICIT),
        ("-100000.099999999999", Status.QUIET),
        ("-100000.100000000001", Status.DEFICIT),
    ],
)
@pytest.mark.parametrize("gain", ["0", "400000000000"])
def test_the_minimum_transfer_is_decided_on_exact_amounts(each, status, gain):
    """Three times 100,000.1 is the minimum of 300,000.3; no float tells the neighbours apart."""
    hedge = ((swap(gain, id=41), 1), (swap(gain, id=42), -1))
    assert found(0, (swap(each), 3), *hedge, minimum_transfer="300000.3").status == status


def test_what_the_client_won_is_no_reason_to_call():
    made = found(0, (swap("500000"), 2))
    assert (made.status, made.requirement) == (Status.QUIET, 0)


def test_gains_and_losses_of_one_netting_set_net():
    """Our exposure: 3 × 100 − 200 = 100."""
    made = found(0, (swap("-100"), 3), (swap("100", id=41), 2))
    assert made.amount == 100


def test_a_contract_held_the_other_way_round_counts_the_other_way_round():
    assert found(0, (swap("250"), -2)).amount == 500


def test_a_defaulting_client_loses_threshold_and_minimum_transfer():
    terms = {"threshold": "1000000", "minimum_transfer": "500000"}
    assert found(0, (swap("-700000"), 1), **terms).amount == 0
    assert found(0, (swap("-700000"), 1), is_defaulting=True, **terms).amount == 700_000


def test_posted_securities_count_after_regulatory_haircuts():
    """UMR: sovereign below a year 0.5 %, 5 years and more 4 %; what nobody named is not eligible."""
    short = bond("1000", "us_government", date(2025, 6, 2))
    long = bond("1000", "us_government", date(2029, 6, 3), id=61)
    stock = InstrumentRow(62, "XYZ", "equity", "USD", D(1000))
    assert found(0, (short, 1), (swap("-1"), 1)).equity == D(995)
    assert found(0, (long, 1), (swap("-1"), 1)).equity == D(960)
    assert found(0, (stock, 1), (swap("-1"), 1)).equity == 0
    assert found(0, (stock, 1), (swap("-1"), 1), haircuts={"XYZ": "0.15"}).equity == D(850)


def test_collateral_in_another_currency_takes_the_fx_haircut_unless_it_settles():
    """100 EUR at 1.0823 are 108.23; less 8 % 99.5716."""
    euro = InstrumentRow(2, "EUR", "cash", "EUR", minor_exponent=2)
    assert found(0, (euro, 100), (swap("-1"), 1)).equity == D("99.57")
    assert found(0, (euro, 100), (swap("-1"), 1), settlement_currencies=["EUR"]).equity == D("108.23")


def test_the_units_of_the_agreement_are_converted_for_an_account_in_another_currency():
    """Lost 1,500 EUR, threshold 1,000 EUR, unit 300 EUR: 600 EUR are called, 649.38 USD at 1.0823."""
    terms = {"threshold": "1000", "rounding": "300"}
    lost = (swap("-1500", currency="EUR"), 1)
    assert found(0, lost, currency="EUR", **terms).amount == D("649.38")
    assert found(0, lost, **terms).amount == 900  # an agreement in USD: 1623.45 − 1000 = 623.45


def test_initial_margin_by_the_schedule_with_the_ratio_of_what_could_be_lost():
    """Gross 10m × 2 % × 2 = 400,000; exposure 400 − 100: ratio ¾; 0.4 × 400,000 + 0.6 × ¾ × 400,000 = 340,000."""
    made = found(0, (swap("-400"), 1), (swap("100", id=41), 1), measure="initial")
    assert (made.requirement, made.amount) == (340_000, 340_000)
    free = found(0, (swap("-400"), 1), (swap("100", id=41), 1), measure="initial", threshold="50000000")
    assert (free.status, free.requirement) == (Status.QUIET, 0)


def test_the_greater_of_approach_asks_at_least_the_independent_amount():
    made = found(0, (swap("0"), 1), measure="initial", approach="greater_of", independent_amount="250000")
    assert made.requirement == 250_000  # the schedule asks 200,000
    left = found(0, (swap("0"), 1), approach="allocated", independent_amount="250000")
    assert left.requirement == 50_000  # initial margin covers 200,000 of it


def test_transfers_under_way_count_and_what_is_disputed_is_not_called():
    """1,000 lost, 200 posted and 300 on their way: 500 are missing; 150 of it disputed, 350 called."""
    book, *rest = account(200, (swap("-1000"), 1), regimes=(rule(),)).arguments
    stated = replace(book, in_transit=np.array([D(300)], object), disputed=np.array([D(150)], object))
    (made,) = assess(stated, *rest).figures(np.array([0]))
    assert (made.equity, made.requirement, made.amount) == (200, 550, 350)
    charges = list_charges(stated, *rest, np.array([0]))
    assert dict(zip(charges.code, charges.amount, strict=True)) == {
        "csa.exposure": 1000,
        "csa.in_transit": -300,
        "csa.disputed": -150,
    }


def test_what_cures_a_call_counts_transfers_under_way_too():
    """1,000 lost, 200 posted, 300 on their way: 500 in cash, whole."""
    book, *rest = account(200, (swap("-1000"), 1), regimes=(rule(minimum_transfer="100"),)).arguments
    stated = replace(book, in_transit=np.array([D(300)], object))
    assert sizing.cures(stated, *rest, regime="csa").cash == 500


def test_a_contract_without_class_or_maturity_has_no_initial_margin_and_says_so():
    made = found(0, (replace(swap("-5"), contract=Contract(0, None, notional=D(1))), 1), measure="initial")
    assert made.status == Status.UNPRICED
    assert "asset class" in made.reasons[0]


def test_collateral_held_short_is_refused():
    made = found(0, (bond("1000", "us_government", date(2025, 6, 2)), -1), (swap("-5"), 1))
    assert made.status == Status.UNPRICED


def test_equality_is_no_breach_of_an_annex():
    with pytest.raises(ValueError, match="minimum transfer"):
        check(replace(rule(), at_or_beyond=True, restore_rate=D("1.1")))


@pytest.mark.parametrize("measure", csa.MEASURES)
@pytest.mark.parametrize("approach", ["distinct", "allocated", "greater_of"])
@given(values=st.lists(amounts, min_size=1, max_size=4), cash=positive, terms=st.tuples(*[positive] * 5))
@settings(max_examples=10, deadline=None)
def test_the_requirement_is_the_sum_of_its_charges_and_what_is_called_follows_the_formulas(
    measure, approach, values, cash, terms
):
    names = ("threshold", "minimum_transfer", "rounding", "independent_amount", "our_independent_amount")
    stated = dict(zip(names, map(str, terms), strict=True))
    holdings = [(swap(value, id=40 + k), 1) for k, value in enumerate(values)]
    world = account(cash, *holdings, regimes=(rule(measure, approach=approach, **stated),))
    made = figures(world)
    charges = list_charges(*world.arguments, np.array([0]))
    assert made.requirement - D("0.01") < sum(charges.amount) <= made.requirement
    amount = called(measure, approach, values, cash, *terms)
    assert amount <= made.amount < amount + D("0.02")  # the ratio is fixed to 15 decimals, amounts to cents, up


def called(measure, approach, values, cash, threshold, minimum, rounding, ia, our_ia):
    """The same by the one-account formulas, to the cent."""
    trades = [schedule.Trade(str(k), "rates", D(10_000_000), -value, D(3)) for k, value in enumerate(values)]
    margin = schedule.measure(trades).margin
    initial = D(margin.numerator) / D(margin.denominator)
    if measure == "initial":
        required = support.initial_support_amount(
            margin=initial, threshold=threshold, approach=approach, independent_amount=ia
        )
    else:
        left = support.independent_amount_left(independent_amount=ia, margin=initial, approach=approach)
        required = support.credit_support_amount(
            exposure=-sum(values), posting_amount=left, collecting_amount=our_ia, threshold=threshold
        )
    return support.delivery(required, cash, support.Transfer(minimum, rounding))


def test_the_explanation_says_why_nothing_is_called():
    world = account(0, (swap("-700000"), 1), regimes=(rule(minimum_transfer="1000000"),))
    tree = explain(*world.arguments, 0)
    said = [charge["sentence"] for charge in tree["regimes"][0]["requirement"]["charges"]]
    assert any("below the minimum transfer amount of 1000000" in sentence for sentence in said)
    assert ON.isoformat() == tree["on"]
