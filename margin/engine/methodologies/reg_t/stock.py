"""FINRA 4210(c): what one share must be covered with, held long or short; leveraged funds by RN 09-53."""

from collections.abc import Callable
from decimal import Decimal

import numpy as np

from margin.engine.columns import KINDS, Array, Instruments, Market
from margin.engine.exact import ONE, ZERO
from margin.engine.measures import Lane, Sentence, UnitCharge, greatest, is_of, nothing, pick, smaller
from margin.engine.methodologies.reg_t.terms import Terms

_STOCK = (KINDS.index("equity"), KINDS.index("etf"))
_LONG = "FINRA Rule 4210(c)(1)"
_LEVERAGED = "FINRA Rule 4210(c); Regulatory Notice 09-53"
_LOW_SHORT = "FINRA Rule 4210(c)(2)"
_SHORT = "FINRA Rule 4210(c)(3)"
_INELIGIBLE = "FINRA Rule 4210(c); Regulatory Notice 12-44"

SENTENCES = {
    "long": Sentence("{quantity} {code} long at {price}: {long_rate} of market value", _LONG),
    "long_leveraged": Sentence(
        "{quantity} {code} long at {price}, leverage {leverage}: {long_rate} of market value", _LEVERAGED
    ),
    "long_ineligible": Sentence(
        "{quantity} {code} long at {price}, not margin-eligible: {long_rate} of market value", _INELIGIBLE
    ),
    "short_floor": Sentence("{quantity} {code} short at {price}: {floor} per share", _SHORT),
    "short_percentage": Sentence("{quantity} {code} short at {price}: {short_rate} of market value", _SHORT),
    "low_short_floor": Sentence("{quantity} {code} short at {price}, low-priced: {floor} per share", _LOW_SHORT),
    "low_short_percentage": Sentence(
        "{quantity} {code} short at {price}, low-priced: {short_rate} of market value", _LOW_SHORT
    ),
}


def is_stock(instruments: Instruments) -> Array:
    return is_of(instruments, _STOCK)


def charge(instruments: Instruments, market: Market, terms: Terms) -> tuple[UnitCharge, Array]:
    """(the SRO charge per share, why a short holding cannot be measured). Amounts are right for stock rows only."""
    long, long_rate, long_branch = _long(instruments, terms)
    floors, refused = _in_local_currency(instruments, market, terms)
    short, short_rate, short_branch, floor = _short(instruments, terms, floors)
    made = UnitCharge(
        code="finra_4210_c",
        amount=Lane(long, short),
        branch=Lane(long_branch, short_branch),
        inputs={
            "price": instruments.price,
            "multiplier": instruments.multiplier,
            "leverage": instruments.leverage,
            "long_rate": long_rate,
            "short_rate": short_rate,
            "floor": floor,
        },
        sentences=SENTENCES,
    )
    return made, refused


def _long(instruments: Instruments, terms: Terms) -> tuple[Array, Array, Array]:
    """min(100 %, 25 % × leverage) of market value; 100 % when not margin-eligible."""
    eligible_rate = smaller(terms.long_rate * instruments.leverage, ONE)
    rate = pick(instruments.margin_eligible, eligible_rate, terms.ineligible_rate)
    leveraged = (instruments.leverage > ONE).astype(bool)
    branch = pick(leveraged, "long_leveraged", "long").astype(object)
    branch = pick(instruments.margin_eligible, branch, "long_ineligible")
    return rate * instruments.price * instruments.multiplier, rate, branch


def _short(
    instruments: Instruments, terms: Terms, local: Callable[[Decimal], Array]
) -> tuple[Array, Array, Array, Array]:
    """Below 5.00: the greater of 2.50 and 100 %; at 5.00 and above: the greater of 5.00 and 30 % × leverage."""
    price = instruments.price
    low = (price < local(terms.low_price)).astype(bool)
    rate = pick(low, terms.low_short_rate, smaller(terms.short_rate * instruments.leverage, ONE))
    floor = pick(low, local(terms.low_short_floor), local(terms.short_floor))
    amount, branch = greatest({"floor": floor, "percentage": rate * price})
    prefix = pick(low, "low_short_", "short_").astype(object)
    return amount * instruments.multiplier, rate, prefix + branch, floor


def _in_local_currency(
    instruments: Instruments, market: Market, terms: Terms
) -> tuple[Callable[[Decimal], Array], Array]:
    """The rule's amounts per share are in its own currency; elsewhere they are converted, or refused without a rate."""
    rates = [market.rate(terms.currency, code) for code in instruments.currencies]
    per_instrument = nothing(len(instruments))
    refused = np.full(len(instruments), "", object)
    for k, rate in enumerate(rates):
        rows = instruments.currency == k
        per_instrument[rows] = ZERO if rate is None else rate
        if rate is None:
            reason = f": no rate {terms.currency}/{instruments.currencies[k]} for amounts per share"
            refused[rows] = instruments.codes[rows] + reason
    refused[~is_stock(instruments)] = ""
    return (lambda amount: per_instrument * amount), refused
