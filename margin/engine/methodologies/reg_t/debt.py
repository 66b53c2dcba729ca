"""FINRA 4210(e)(2): debt by class and time to maturity. Prices are per 100 of principal."""

from datetime import MAXYEAR, date
from decimal import Decimal

import numpy as np

from margin.engine.columns import KINDS, Array, Instruments, Market
from margin.engine.exact import ONE
from margin.engine.measures import Lane, Sentence, UnitCharge, greatest, nothing, pick, worth
from margin.engine.methodologies.reg_t.terms import Terms

_LAW = "FINRA Rule 4210(e)(2)"
_GOVERNMENT = ("us_government", "us_government_zero")
_CLASSES = (*_GOVERNMENT, "municipal", "investment_grade", "other_listed", "convertible")
_HUNDRED = Decimal(100)

SENTENCES = {
    "market": Sentence("{quantity} {code} at {price}: {rate} of market value", _LAW),
    "principal": Sentence("{quantity} {code} at {price}: {principal_rate} of principal {principal}", _LAW),
    "ineligible": Sentence(
        "{quantity} {code} at {price}, not margin-eligible: {rate} of market value",
        "FINRA Rule 4210(c); Regulatory Notice 12-44",
    ),
    "short_market": Sentence("{quantity} {code} short at {price}: {short_rate} of market value", _LAW),
    "short_principal": Sentence(
        "{quantity} {code} short at {price}: {short_principal_rate} of principal {principal}", _LAW
    ),
}


def is_debt(instruments: Instruments) -> Array:
    return instruments.kind == KINDS.index("bond")


def charge(instruments: Instruments, market: Market, terms: Terms) -> tuple[UnitCharge, Array]:
    """(the SRO charge per unit, why a holding cannot be measured). Amounts are right for bonds only."""
    value, principal = worth(instruments), instruments.multiplier * _HUNDRED
    rate, principal_rate, refused = _rates(instruments, market.on, terms)
    long, branch = greatest({"market": rate * value, "principal": principal_rate * principal})
    ineligible = ~instruments.margin_eligible
    long = pick(ineligible, terms.ineligible_rate * value, long)
    branch = pick(ineligible, "ineligible", branch)
    short_rate, short_principal_rate = _short_rates(instruments, rate, principal_rate, terms)
    short, short_branch = greatest(
        {"short_market": short_rate * value, "short_principal": short_principal_rate * principal}
    )
    made = UnitCharge(
        code="finra_4210_e2",
        amount=Lane(long, short),
        branch=Lane(branch, short_branch),
        inputs={
            "price": instruments.price,
            "multiplier": instruments.multiplier,
            "principal": principal,
            "rate": pick(ineligible, terms.ineligible_rate, rate),
            "principal_rate": principal_rate,
            "short_rate": short_rate,
            "short_principal_rate": short_principal_rate,
        },
        sentences=SENTENCES,
    )
    return made, refused


def _rates(instruments: Instruments, on: date, terms: Terms) -> tuple[Array, Array, Array]:
    """(rate of market value, rate of principal, reason why not) per instrument."""
    rate, principal_rate = nothing(len(instruments)), nothing(len(instruments))
    refused = np.full(len(instruments), "", object)
    fixed = {
        "municipal": terms.municipal_rate,
        "investment_grade": terms.investment_grade_rate,
        "other_listed": terms.other_debt_rate,
        "convertible": terms.convertible_rate,
    }
    for i in np.flatnonzero(is_debt(instruments)):
        debt_class, matures_on = instruments.debt_class[i], instruments.matures_on[i]
        if debt_class not in _CLASSES:
            refused[i] = f"{instruments.codes[i]}: no rule for debt of class {debt_class!r}"
        elif debt_class in _GOVERNMENT and matures_on is None:
            refused[i] = f"{instruments.codes[i]}: no maturity"
        elif debt_class in _GOVERNMENT:
            rate[i] = _government_rate(on, matures_on, terms)
            long_dated = matures_on >= years_later(on, terms.zero_coupon_years)
            if debt_class == "us_government_zero" and long_dated:
                principal_rate[i] = terms.zero_coupon_principal_rate
        else:
            rate[i] = fixed[debt_class]
            if debt_class == "other_listed":
                principal_rate[i] = terms.other_debt_principal_rate
    return rate, principal_rate, refused


def _government_rate(on: date, matures_on: date, terms: Terms) -> Decimal:
    for bracket in terms.government:
        if bracket.years is None or matures_on < years_later(on, bracket.years):
            return bracket.rate
    return ONE  # the last bracket has no bound (checked by Terms), so this is never reached


def years_later(on: date, years: int) -> date:
    """The same day `years` later; 29 February becomes 1 March. The last day there is, at most."""
    if on.year + years > MAXYEAR:
        return date.max
    try:
        return on.replace(year=on.year + years)
    except ValueError:
        return date(on.year + years, 3, 1)


def _short_rates(instruments: Instruments, rate: Array, principal_rate: Array, terms: Terms) -> tuple[Array, Array]:
    """Government debt is charged alike both ways; other debt 30 % of market or 5 % of principal when short."""
    government = np.isin(instruments.debt_class, _GOVERNMENT)
    return (
        pick(government, rate, terms.short_debt_rate),
        pick(government, principal_rate, terms.short_debt_principal_rate),
    )
