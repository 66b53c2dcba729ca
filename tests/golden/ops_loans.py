"""Operations of `derivatives_cases.csv`: loans, health and interest curves."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from margin.engine.methodologies.loan import cures, health, interest

Inputs = Mapping[str, Any]
_PER_CENT = Decimal(100)


def _decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)


# --- ltv_loan ---------------------------------------------------------------------------------------------


def ltv(inputs: Inputs) -> Inputs:
    return {"ltv": _decimal(cures.loan_to_value(inputs["loan"], inputs["collateral"]))}


def price_at_ltv(inputs: Inputs) -> Inputs:
    found = cures.price_at(loan=inputs["loan"], quantity=inputs["qty"], rate=inputs["ltv"])
    return {"price": _decimal(found)}


def breakeven(inputs: Inputs) -> Inputs:
    quantity = Fraction(inputs["collateral"]) / Fraction(inputs["price"])
    price = cures.price_at(loan=inputs["loan"], quantity=quantity, rate=Decimal(1))
    return {"collateral_btc": _decimal(quantity), "price_100": _decimal(price)}


def health_factor(inputs: Inputs) -> Inputs:
    supplied = [health.Supplied(one["value"], one["liq_threshold"]) for one in inputs["collateral"]]
    owed = [health.Owed(one["value"], one.get("borrow_factor", Decimal(1))) for one in inputs["debt"]]
    found = health.factor(supplied, owed)
    return {"health_factor": None if found is None else _decimal(found)}


def liquidation_price_loan(inputs: Inputs) -> Inputs:
    found = cures.price_at(loan=inputs["debt"], quantity=inputs["qty"], rate=inputs["liq_threshold"])
    return {"price": _decimal(found)}


def close_factor(inputs: Inputs) -> Inputs:
    terms = health.Closing(half_threshold=inputs["half_threshold"], full_below=inputs["full_below"])
    return {"close_factor": terms.share(health=inputs["hf"], debt=inputs["debt"], collateral=inputs["collateral"])}


def seize(inputs: Inputs) -> Inputs:
    found = health.seized(
        repaid=inputs["repay"],
        incentive=inputs["incentive"],
        price_borrowed=inputs["price_borrow"],
        price_collateral=inputs["price_collateral"],
        exchange_rate=inputs["exchange_rate"],
    )
    return {"seize_tokens": _decimal(found)}


def account_liquidity(inputs: Inputs) -> Inputs:
    supplied = [(one["value"], one["cf"]) for one in inputs["supplied"]]
    left, short = cures.liquidity(supplied=supplied, borrowed=inputs["borrowed"])
    return {"liquidity": _decimal(left), "shortfall": _decimal(short)}


# --- interest_curve ---------------------------------------------------------------------------------------


def kinked_linear(inputs: Inputs) -> Inputs:
    points = [
        (Decimal(0), inputs["zero"]),
        (inputs["u0"], inputs["r0"]),
        (inputs["u1"], inputs["r1"]),
        (Decimal(1), inputs["max"]),
    ]
    return {"rate": _decimal(interest.kinked(inputs["util"], points))}


def jump_rate(inputs: Inputs) -> Inputs:
    found = interest.jumping(
        inputs["util"] / _PER_CENT,
        base=inputs["base"] / _PER_CENT,
        slope=inputs["slope"] / _PER_CENT,
        kink=inputs["kink"] / _PER_CENT,
        jump=inputs["jump"] / _PER_CENT,
    )
    return {"rate": _decimal(found) * _PER_CENT}


def compound_steps(inputs: Inputs) -> Inputs:
    seconds, step = int(inputs["seconds"]), int(inputs["step_s"])
    return {"index_growth": interest.growth(inputs["annual_rate"], seconds=seconds, step_seconds=step)}


def avg_utilisation(inputs: Inputs) -> Inputs:
    observations = [(utilisation, instant) for utilisation, instant in inputs["obs"]]
    return {"avg": [_decimal(one) for one in interest.average_utilisation(inputs["start"], observations)]}


def weight_shift(inputs: Inputs) -> Inputs:
    when = {"now": inputs["now"], "start": inputs["start"], "end": inputs["end"]}
    return {
        "asset_w": _decimal(interest.shifted(**when, before=inputs["a0"], after=inputs["a1"])),
        "liab_w": _decimal(interest.shifted(**when, before=inputs["l0"], after=inputs["l1"])),
    }


OPERATIONS: dict[str, Callable[[Inputs], Inputs]] = {
    "ltv": ltv,
    "price_at_ltv": price_at_ltv,
    "breakeven": breakeven,
    "health_factor": health_factor,
    "liquidation_price_loan": liquidation_price_loan,
    "close_factor": close_factor,
    "seize": seize,
    "account_liquidity": account_liquidity,
    "kinked_linear": kinked_linear,
    "jump_rate": jump_rate,
    "compound_steps": compound_steps,
    "avg_utilisation": avg_utilisation,
    "weight_shift": weight_shift,
}
