"""The shapes of a call: up to the maintenance requirement, up to the initial one, to a target ratio, or a delivery.

Each regime has exactly one, and no term of another shape changes it.
"""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from margin import workflow
from margin.engine.build import InstrumentRow
from margin.engine.columns import Contract, RegimeRule, Status
from margin.engine.levels import thresholds
from margin.engine.measures import Totals
from margin.engine.methodologies import METHODOLOGIES, by_code, cross, csa, portfolio
from tests.engine.world import account, figures, loan_terms, reg_t_terms, stock

D = Decimal
FACTOR, TARGET, DELIVERY = "a factor of the requirement, or the initial one", "target ratio", "delivery"
SHAPES = {
    ("reg_t", "exchange"): FACTOR,
    ("reg_t", "house"): FACTOR,
    ("reg_t", "minimum_equity"): FACTOR,
    ("portfolio", "minimum_equity"): FACTOR,
    ("cross", "requirement"): FACTOR,
    ("loan", "ltv"): TARGET,
    ("loan", "health"): TARGET,
    ("csa", "variation"): DELIVERY,
    ("csa", "initial"): DELIVERY,
}
TERMS = {
    "reg_t": reg_t_terms(),
    "portfolio": portfolio.Terms.from_json(portfolio.RULE_BOOK),
    "cross": cross.Terms(),
    "loan": loan_terms(),
    "csa": csa.Terms("USD", rounding=D(10)),
}


def test_every_measure_has_its_shape():
    assert {(m.CODE, measure) for m in METHODOLOGIES for measure in m.MEASURES} == set(SHAPES)


def levels(code, measure):
    """An account with equity 40 that owes 60 of 100, or whose contracts are worth 100 to us, as levels."""
    lanes = {"loan": 60, "collateral": 100, "requirement": 30, "value": 40, "initial": 50}
    lanes |= {"short": 0, "debit": 60, "cost": 90}
    if code == "csa":
        lanes = {"collateral": 40, "exposure": 95, "gross_exposure": 95, "margin": 95, "requirement": 95}
    columns = {name: np.array([D(amount)], object) for name, amount in lanes.items()}
    totals = Totals(columns, Decimal, np.array([D(1)], object), np.array([False]))
    return by_code(code).levels(totals, measure, TERMS[code])


def restored(code, measure, **more):
    rule = RegimeRule("house", code, measure, None, (), **more)
    return thresholds(levels(code, measure), rule, Decimal).restore[0]


@pytest.mark.parametrize(
    ("code", "measure", "expected"),
    [
        ("loan", "ltv", 35),  # restore 0.65 of 100: equity 35
        ("loan", "health", 35),
        ("csa", "variation", 100),  # 95 are asked, 55 missing, in units of 10: 60 on top of 40
        ("csa", "initial", 100),
    ],
)
@pytest.mark.parametrize("more", [{}, {"restore_rate": D("1.5")}, {"restores_initial": True}])
def test_a_target_and_a_delivery_are_the_methodologys_own(code, measure, expected, more):
    assert SHAPES[code, measure] != FACTOR
    assert restored(code, measure, **more) == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, 30),
        ({"restore_rate": D("1.5")}, 45),
        ({"restores_initial": True}, 50),
        ({"restores_initial": True, "restore_rate": D("1.5")}, 75),
    ],
)
def test_a_factor_is_taken_of_the_requirement_or_of_the_initial_one(more, expected):
    assert restored("cross", "requirement", **more) == expected


EXPECTED = {  # of those levels: the requirement is 30, the target of the loan 35, the delivery 60 on top of 40
    ("reg_t", "exchange"): 30,
    ("reg_t", "house"): 30,
    ("reg_t", "minimum_equity"): 90,  # 2,000, but no more than the cost: FINRA Rule 4210(b)
    ("portfolio", "minimum_equity"): 150_000,  # 4210(g)(5)
    ("cross", "requirement"): 30,
    ("loan", "ltv"): 35,
    ("loan", "health"): 35,
    ("csa", "variation"): 100,
    ("csa", "initial"): 100,
}


@pytest.mark.parametrize(("code", "measure"), SHAPES)
@pytest.mark.parametrize("regime", workflow.Regime)
def test_the_methodology_decides_the_shape_whatever_the_regime_is_called(regime, code, measure):
    rule = RegimeRule(regime.value, code, measure, None, ())
    assert thresholds(levels(code, measure), rule, Decimal).restore[0] == EXPECTED[code, measure]


@pytest.mark.parametrize(("code", "measure"), SHAPES)
def test_only_targets_and_deliveries_are_levels_of_their_own(code, measure):
    assert (levels(code, measure).restore is None) == (SHAPES[code, measure] == FACTOR)


def test_one_shortfall_is_called_in_three_ways():
    """A loan of 150,000 on 180,000 is called to its target, 33,000, where the rung itself would ask 24,000; contracts
    that lost 150,000 are called as one delivery."""
    coin = stock("180000", code="BTC", kind="crypto")
    lent = RegimeRule("loan", "loan", "ltv", loan_terms(), ("crypto",), at_or_beyond=True)
    found = figures(account(-150_000, (coin, 1), regimes=(lent,)))
    assert (found.deficit, found.amount) == (24_000, 33_000)

    contract = Contract(0, None, asset_class="rates", notional=D(1), expires_on=date(2027, 6, 3))
    swap = InstrumentRow(40, "SWAP", "otc", "USD", D(-150_000), contract=contract)
    annex = RegimeRule("csa", "csa", "variation", csa.Terms("USD", D(30_000), D(100_000), D(50_000)), ("otc",))
    found = figures(account(1_000, (swap, 1), regimes=(annex,)))
    assert (found.status, found.deficit, found.amount) == (Status.DEFICIT, 119_000, 150_000)
