"""Margin from sensitivities, in the shape of ISDA's SIMM. The parameters are each test's own: none is shipped.

Sources: published unit-test results (IR two factors, equity concentration), the rest by pencil with the formulas of
the published methodology.
"""

from dataclasses import replace
from decimal import Decimal
from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.assess import assess, explain, list_charges
from margin.engine.build import InstrumentRow
from margin.engine.columns import Contract, PartRule, RegimeRule, Status
from margin.engine.methodologies import cross
from margin.engine.methodologies import simm as simm_part
from margin.engine.methodologies.simm import crif
from margin.engine.methodologies.simm import margins as simm
from margin.engine.methodologies.simm.parameters import Parameters
from tests.engine.world import account

MILLION = 1_000_000
FLAT = {"*": {"*": "1"}}


def one_class(**more):
    return {"buckets": "bucket", "delta": {"weights": FLAT}, **more}


def parameters(psi=None, **classes):
    stated = {name: one_class(**more) for name, more in classes.items()}
    return Parameters.from_json({"version": "test", "currency": "USD", "risk_classes": stated, "psi": psi or {}})


def delta(amount, *, product="RatesFX", risk="rates", qualifier="A", bucket="1", label1="", label2="", kind="delta"):
    return simm.Sensitivity(product, risk, kind, qualifier, Decimal(amount), bucket, label1, label2)


def total(rows, stated, add_ons=None):
    return simm.measure(rows, stated, add_ons).total


def test_two_sub_curves_of_one_currency_are_almost_one():
    """Weighted 132m and 198m, sub-curve correlation 0.99: 329,207,047 (published unit test C56)."""
    stated = parameters(rates={"buckets": "qualifier", "sub_curves": "0.99", "concentration": "bucket"})
    rows = [
        delta(132 * MILLION, qualifier="USD", label1="1y", label2="OIS"),
        delta(198 * MILLION, qualifier="USD", label1="1y", label2="Libor3m"),
    ]
    assert total(rows, stated) == pytest.approx(329_207_047, abs=1)


def test_a_large_net_sensitivity_is_weighed_up_by_its_concentration():
    """12m of one name against a threshold of 10m: 26 × 12m × √1.2 = 341,778,876 (published unit test C193)."""
    stated = parameters(equity={"delta": {"weights": {"1": {"*": "26"}}, "thresholds": {"1": str(10 * MILLION)}}})
    rows = [delta(15 * MILLION, risk="equity"), delta(-3 * MILLION, risk="equity")]
    assert total(rows, stated) == pytest.approx(341_778_876, abs=1)


def test_opposite_sensitivities_cancel_before_concentration_and_trades_of_other_classes_never_do():
    stated = parameters(fx={"buckets": "all", "delta": {"weights": FLAT, "thresholds": {"*": "1"}}})
    assert total([delta(50, risk="fx"), delta(-50, risk="fx")], stated) == 0
    apart = [delta(1, risk="fx"), delta(-1, risk="fx", product="Equity")]
    assert total(apart, stated) == 2


def test_names_of_a_bucket_are_less_alike_when_only_one_is_concentrated():
    """Names 4 and 1 with threshold 1: CR 2 and 1, WS 8 and 1, rho ½ × f ½: √(64 + 1 + 2 × ¼ × 8) = √69."""
    stated = parameters(equity={"delta": {"weights": FLAT, "thresholds": {"*": "1"}}, "names": {"1": {"1": "0.5"}}})
    rows = [delta(4, risk="equity"), delta(1, risk="equity", qualifier="B")]
    assert total(rows, stated) == pytest.approx(sqrt(69))


def test_currencies_aggregate_with_gamma_and_the_ratio_of_their_concentrations():
    """Thresholds 1: USD 4 → CR 2, WS 8; EUR 1 → WS 1; gamma ½, g ½: √(64 + 1 + 2 × ¼ × 8)."""
    stated = parameters(
        rates={
            "buckets": "qualifier",
            "concentration": "bucket",
            "delta": {"weights": FLAT, "thresholds": {"*": "1"}},
            "gamma": {"*": {"*": "0.5"}},
        }
    )
    assert total([delta(4, qualifier="USD"), delta(1, qualifier="EUR")], stated) == pytest.approx(sqrt(69))


def test_three_currencies_of_one_size_aggregate_with_gamma():
    """K = 100 each, gamma 0.24: 100 × √(3 + 6 × 0.24)."""
    stated = parameters(rates={"buckets": "qualifier", "gamma": {"*": {"*": "0.24"}}})
    rows = [delta(100, qualifier=currency) for currency in ("USD", "EUR", "GBP")]
    assert total(rows, stated) == pytest.approx(100 * sqrt(4.44))


def test_what_buckets_add_to_one_another_is_bounded_by_their_sizes():
    """Bucket 1: 3 and 4 with rho 0: K = 5, S = min(7, 5); bucket 2: 10. √(25 + 100 + 2 × ½ × 5 × 10)."""
    stated = parameters(equity={"names": {"*": {"*": "0"}}, "gamma": {"1": {"2": "0.5"}}})
    rows = [
        delta(3, risk="equity"),
        delta(4, risk="equity", qualifier="B"),
        delta(10, risk="equity", qualifier="C", bucket="2"),
    ]
    assert total(rows, stated) == pytest.approx(sqrt(175))


def test_the_residual_bucket_is_added():
    stated = parameters(equity={"gamma": {"1": {"2": "0"}}})
    rows = [
        delta(3, risk="equity"),
        delta(4, risk="equity", qualifier="B", bucket="2"),
        delta(-7, risk="equity", qualifier="C", bucket="Residual"),
    ]
    assert total(rows, stated) == pytest.approx(5 + 7)


def test_tenors_of_a_currency_are_correlated_and_a_basis_does_not_concentrate():
    """Tenors 3 and −3 with rho ⅔: √(9 + 9 − 12) = √6; the net is 0, so nothing concentrates, whatever the basis."""
    stated = parameters(
        rates={
            "buckets": "qualifier",
            "concentration": "bucket",
            "tenors": {"1y": {"5y": "0.6666666666666667"}, "xccy": {"*": "0"}},
            "delta": {"weights": FLAT, "thresholds": {"*": "2"}},
            "unconcentrated": ["xccy"],
        }
    )
    rows = [delta(3, qualifier="USD", label1="1y"), delta(-3, qualifier="USD", label1="5y")]
    assert total(rows, stated) == pytest.approx(sqrt(6))
    assert total([*rows, delta(8, qualifier="USD", label1="xccy")], stated) == pytest.approx(sqrt(70))


def test_risk_classes_of_one_product_class_diversify_and_product_classes_add():
    """√(3² + 4² + 2 × 0.25 × 3 × 4) = √31, and 36 of another product class on top."""
    stated = parameters(psi={"rates": {"fx": "0.25"}}, rates={}, fx={"buckets": "all"}, equity={})
    rows = [delta(3), delta(4, risk="fx"), delta(36, risk="equity", product="Equity")]
    assert total(rows, stated) == pytest.approx(sqrt(31) + 36)


def test_the_currency_of_the_calculation_is_no_risk():
    stated = parameters(fx={"buckets": "all"})
    assert total([delta(100, risk="fx", qualifier="USD")], stated) == 0


def test_add_ons_are_fixed_amounts_factors_of_notionals_and_multiples_of_a_product_class():
    """100 × 1.5 + 7 + 2 % of 1,000."""
    add_ons = simm.AddOns((Decimal(7),), ((Decimal(-1000), Decimal("0.02")),), {"RatesFX": Decimal("1.5")})
    assert total([delta(100)], parameters(rates={}), add_ons) == pytest.approx(177)


def test_vega_is_weighted_by_its_own_weight_and_the_historical_ratio():
    """0.5 × 200 × 0.2 = 20 for interest rates, whose amounts are times volatility already; curvature beside it."""
    stated = parameters(rates={"vega": {"weights": {"*": {"*": "0.2"}}}, "historical_ratio": "0.5"})
    (risk,) = simm.measure([delta(200, kind="vega", label1="1y")], stated).risks
    assert (risk.delta, risk.vega) == (0, pytest.approx(20))


def test_the_volatility_of_shares_is_derived_from_their_weight():
    """σ = 25 × √(365 ÷ 14) ÷ 2.3263 = 54.87; vega 10 × σ × 0.3."""
    stated = parameters(
        equity={
            "delta": {"weights": {"*": {"*": "25"}}},
            "vega": {"weights": {"*": {"*": "0.3"}}},
            "volatility": "derived",
        }
    )
    (risk,) = simm.measure([delta(10, risk="equity", kind="vega", label1="1y")], stated).risks
    assert risk.vega == pytest.approx(10 * 25 * sqrt(365 / 14) / NormalDist().inv_cdf(0.99) * 0.3)
    assert risk.vega == pytest.approx(164.62, abs=0.01)


def test_curvature_of_long_and_of_short_options():
    """One factor, two weeks: SF ½, so CVR = ±50. Long: θ = 0, λ = z² − 1 = 5.6349, so 50 + 5.6349 × 50 = 331.74.
    Short: θ = −1, λ = 1, so −50 + 50 = 0."""
    stated = parameters(rates={"vega": {"weights": FLAT}})
    (long,) = simm.measure([delta(100, kind="vega", label1="2w")], stated).risks
    (short,) = simm.measure([delta(-100, kind="vega", label1="2w")], stated).risks
    assert long.curvature == pytest.approx(331.745, abs=0.01)
    assert short.curvature == pytest.approx(0, abs=1e-9)


def test_curvature_fades_with_the_expiry_and_scales_with_the_historical_ratio():
    """A year: SF = ½ × 14 ÷ 365; and ÷ 0.5² for interest rates."""
    plain = parameters(rates={"vega": {"weights": FLAT}, "historical_ratio": "0.5"})
    scaled = parameters(rates={"vega": {"weights": FLAT}, "historical_ratio": "0.5", "scales_curvature": True})
    rows = [delta(100, kind="vega", label1="1y")]
    (one,), (four,) = simm.measure(rows, plain).risks, simm.measure(rows, scaled).risks
    assert one.curvature == pytest.approx(331.745 * 14 / 365, abs=0.01)
    assert four.curvature == pytest.approx(4 * one.curvature)


def test_base_correlations_aggregate_with_one_correlation():
    """Weight 10, sensitivities 3 and 4, correlation 0.25: 10 × √(9 + 16 + 6)."""
    stated = parameters(credit_qualifying={"base_correlation": {"weight": "10", "correlation": "0.25"}})
    rows = [
        delta(amount, risk="credit_qualifying", kind="base_correlation", qualifier=index)
        for amount, index in ((3, "CDX"), (4, "iTraxx"))
    ]
    assert total(rows, stated) == pytest.approx(10 * sqrt(31))


@pytest.mark.parametrize(
    ("rows", "classes", "what"),
    [
        ([delta(1, risk="equity")], {"rates": {}}, "risk class"),
        ([delta(1)], {"rates": {"delta": {"weights": {"USD": {"1y": "1"}}}}}, "no weight"),
        ([delta(1)], {"rates": {"delta": {"weights": FLAT, "thresholds": {"USD": "1"}}}}, "threshold"),
        ([delta(1), delta(1, qualifier="B")], {"rates": {}}, "names"),
        ([delta(1), delta(1, bucket="2")], {"rates": {}}, "gamma"),
        ([delta(1, kind="vega", label1="1y")], {"rates": {}}, "vega"),
        ([delta(1, kind="vega", label1="soon")], {"rates": {"vega": {"weights": FLAT}}}, "tenor"),
        ([delta(1), delta(1, risk="fx")], {"rates": {}, "fx": {}}, "psi"),
    ],
)
def test_what_the_document_does_not_state_is_refused(rows, classes, what):
    with pytest.raises(ValueError, match=what):
        total(rows, parameters(**classes))


@given(amounts=st.lists(st.integers(-1000, 1000), min_size=1, max_size=6), factor=st.integers(2, 9))
@settings(max_examples=30, deadline=None)
def test_margin_is_homogeneous_blind_to_sign_and_to_how_a_sensitivity_is_split(amounts, factor):
    stated = parameters(equity={"names": {"*": {"*": "0.3"}}, "gamma": {"*": {"*": "0.2"}}})

    def rows(scale):
        return [
            delta(scale * amount, risk="equity", qualifier=f"N{k}", bucket=str(k % 2))
            for k, amount in enumerate(amounts)
        ]

    once = total(rows(1), stated)
    assert total(rows(factor), stated) == pytest.approx(factor * once)
    assert total(rows(-1), stated) == pytest.approx(once)
    assert total([*rows(2), *rows(-1)], stated) == pytest.approx(once)


# --- as a part of cross margin ------------------------------------------------------------------------------------

DOCUMENTS = {
    "model": {
        "version": "1.0",
        "currency": "USD",
        "risk_classes": {
            "rates": {"buckets": "qualifier", "delta": {"weights": {"*": {"*": "2"}}}, "gamma": {"*": {"*": "0"}}},
            "equity": {"buckets": "bucket", "delta": {"weights": FLAT}, "names": FLAT},
        },
        "psi": {},
    },
    "book": {
        "SWAP40": [
            {"product_class": "RatesFX", "risk_class": "rates", "kind": "delta", "qualifier": "USD", "amount": "30"},
        ],
        "SWAP41": [
            {"product_class": "RatesFX", "risk_class": "rates", "kind": "delta", "qualifier": "EUR", "amount": "-40"},
            {"product_class": "Equity", "risk_class": "equity", "kind": "delta", "qualifier": "XYZ", "amount": "5",
             "bucket": "1"},
        ],
    },
}  # fmt: skip


def contract(value, *, id=40, notional="1000"):
    written = Contract(0, None, asset_class="rates", notional=Decimal(notional))
    return InstrumentRow(id, f"SWAP{id}", "otc", "USD", Decimal(value), contract=written)


def netting_set(*holdings, cash=1000, documents=DOCUMENTS, currency="USD", **terms):
    stated = simm_part.Terms.from_json({"parameters": "model", "sensitivities": "book", **terms})
    part = PartRule("simm", "requirement", stated, ("otc",))
    regime = RegimeRule("csa", "cross", "requirement", cross.Terms(), ("otc",), parts=(part,))
    book, columns, market, rules = account(cash, *holdings, regimes=(regime,), currency=currency).arguments
    return book, columns, replace(market, parameters=documents), rules


def asked(*holdings, **more):
    (found,) = assess(*netting_set(*holdings, **more)).figures(np.array([0]))
    return found


def test_an_account_of_contracts_is_asked_the_models_margin():
    """2 × 30 × 3 = 180 and 2 × −40 × 1 = −80 on currencies without correlation: √(180² + 80²) = 196.977…; equity 5
    on top. 1,000 in cash, worth 3 × 10 − 7: 1,023."""
    found = asked((contract("10"), 3), (contract("-7", id=41), 1))
    assert (found.equity, found.requirement) == (Decimal("1023.00"), Decimal("201.98"))
    assert found.status == Status.QUIET


def test_the_charges_of_product_classes_and_add_ons_are_the_requirement():
    """Equity 5; rates 80 × 1.5; a fixed 7; 1 % of a notional of 1,000."""
    world = netting_set(
        (contract("-7", id=41), 1),
        fixed="7",
        multipliers={"RatesFX": "1.5"},
        notional_factors={"SWAP41": "0.01"},
    )
    charges = list_charges(*world, np.array([0]))
    assert list(zip(charges.branch, charges.amount, strict=True)) == [
        ("product_class", 5),
        ("product_class", 80),
        ("add_ons", 57),
    ]
    tree = explain(*world, 0)
    assert any("version 1.0" in charge["sentence"] for charge in tree["regimes"][0]["requirement"]["charges"])


def test_the_margin_of_the_model_is_converted_to_the_accounts_currency():
    """60 USD at 156.4."""
    assert asked((contract("0"), 1), cash=0, currency="JPY").requirement == Decimal(9384)


@pytest.mark.parametrize(
    ("documents", "terms", "reason"),
    [
        ({}, {}, "no parameter document 'model'"),
        ({"model": DOCUMENTS["model"]}, {}, "no parameter document 'book'"),
        ({**DOCUMENTS, "book": {}}, {}, "SWAP40: no sensitivities"),
        ({**DOCUMENTS, "book": []}, {}, "an object of lists"),
        ({**DOCUMENTS, "book": {"SWAP40": [{"kind": "delta"}]}}, {}, "missing"),
        ({**DOCUMENTS, "model": {**DOCUMENTS["model"], "risk_classes": {}}}, {}, "risk class"),
        ({**DOCUMENTS, "model": {"version": "1"}}, {}, "missing"),
        (DOCUMENTS, {"notional_factors": {"SWAP40": "0.1"}}, "factor of its notional"),
    ],
)
def test_what_a_document_does_not_tell_leaves_the_account_unpriced(documents, terms, reason):
    found = asked((contract("10", notional="0"), 3), documents=documents, **terms)
    assert found.status == Status.UNPRICED
    assert any(reason in stated for stated in found.reasons)


def test_rows_of_an_interchange_file_are_read_by_risk_type():
    rows = [
        {"ProductClass": "RatesFX", "RiskType": "Risk_IRCurve", "Qualifier": "USD", "Bucket": "1", "Label1": "1y",
         "Label2": "OIS", "AmountUSD": "100.5"},
        {"ProductClass": "RatesFX", "RiskType": "Risk_XCcyBasis", "Qualifier": "EUR", "AmountUSD": "-7"},
        {"RiskType": "Param_ProductClassMultiplier", "Qualifier": "RatesFX", "Amount": "1.2"},
        {"RiskType": "Param_AddOnFixedAmount", "AmountUSD": "5"},
        {"RiskType": "Param_AddOnNotionalFactor", "Qualifier": "exotic", "Amount": "2"},
        {"RiskType": "Notional", "Qualifier": "exotic", "AmountUSD": "1000"},
    ]  # fmt: skip
    found, add_ons = crif.read(rows)
    assert found[0] == delta("100.5", qualifier="USD", label1="1y", label2="OIS")
    assert found[1].label1 == "xccy"
    assert add_ons == simm.AddOns((Decimal(5),), ((Decimal(1000), Decimal("0.02")),), {"RatesFX": Decimal("1.2")})


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"RiskType": "Risk_Weather", "AmountUSD": "1"}, "row 1: unknown risk type"),
        ({"RiskType": "Risk_FX", "AmountUSD": "much"}, "row 1: AmountUSD 'much'"),
        ({"RiskType": "Param_AddOnNotionalFactor", "Qualifier": "x", "Amount": "1"}, "no notional"),
    ],
)
def test_a_bad_row_is_named(row, what):
    with pytest.raises(ValueError, match=what):
        crif.read([row])
