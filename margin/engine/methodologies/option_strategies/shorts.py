"""Short options by themselves, and a short put paired with a short call.

FINRA Rule 4210(f)(2), Cboe Rule 10.3, Cboe Margin Manual pages 6, 7, 28 to 35 and 45.

A call asks its market value + max(b × underlying − out of the money, m × underlying), a put the same with m × strike.
A pair asks the greater side and the option value of the other.
"""

from collections.abc import Iterator
from decimal import Decimal
from math import gcd
from typing import Any

from margin.engine.exact import scaled
from margin.engine.methodologies.option_strategies.legs import Series
from margin.engine.methodologies.option_strategies.terms import Terms
from margin.engine.methodologies.option_strategies.ways import Held, Way

_HALF = Decimal("0.5")  # of a stock's special rate, asked of the options on it


def naked(series: Series, terms: Terms) -> tuple[Decimal, str] | None:
    """(requirement of one contract including its value, the branch that binds); None where a price is missing."""
    if series.underlying is None or series.value is None:
        return None
    leverage, rates = series.contract.leverage, series.rates
    basic = rates.basic * leverage * series.underlying - series.out_of_the_money
    floor = rates.minimum * leverage * (series.underlying if series.is_call else series.exercise)
    branches = {"basic": basic, "minimum": floor, "house_minimum": terms.minimum_per_contract}
    if series.special is not None:
        branches["special"] = series.special * _HALF * series.underlying - series.out_of_the_money
    branch = max(branches, key=lambda name: branches[name])  # the first named wins a tie
    return series.value + branches[branch], branch


def ways(held: Held) -> Iterator[Way]:
    """Every short option alone, and every pair; in a cash account puts alone, against their strike in cash."""
    if held.terms.account == "cash":
        yield from _secured_puts(held)
        return
    alone = {k: _naked_way(held, k) for k, option in enumerate(held.options) if option.is_short}
    yield from (way for way in alone.values() if way is not None)
    puts = [k for k in alone if not held.options[k].series.is_call]
    calls = [k for k in alone if held.options[k].series.is_call]
    for put in puts:
        for call in calls:
            one, other = alone[put], alone[call]
            if one is not None and other is not None:
                yield from _pair(held, one, other)


def _naked_way(held: Held, k: int) -> Way | None:
    series = held.options[k].series
    found = naked(series, held.terms)
    if found is None:
        return None
    amount, branch = found
    rule = "short_call" if series.is_call else "short_put"
    inputs = stated(series)
    return Way(rule, branch, ((k, 1),), (), amount, amount, amount, inputs, cost=amount)


def stated(series: Series) -> dict[str, Any]:
    """What the sentences of a short option name, per contract."""
    return {
        "option_value": series.value,
        "underlying_value": series.underlying,
        "exercise_value": series.exercise,
        "out_of_the_money": series.out_of_the_money,
        "basic_rate": series.rates.basic * series.contract.leverage,
        "minimum_rate": series.rates.minimum * series.contract.leverage,
        **({} if series.special is None else {"half_special_rate": series.special * _HALF}),
    }


def _pair(held: Held, put: Way, call: Way) -> Iterator[Way]:
    """On the same underlying, in the contract numbers at which both sides are equally large."""
    (p, _), (c, _) = put.options[0], call.options[0]
    one, other = held.options[p].series, held.options[c].series
    if one.delivered != other.delivered:
        return
    puts, calls = _equal_sizes(one.size, other.size)
    if puts > -held.options[p].contracts or calls > -held.options[c].contracts:
        return
    put_side, call_side = puts * put.requirement, calls * call.requirement
    put_value, call_value = puts * put.inputs["option_value"], calls * call.inputs["option_value"]
    greater_put = put_side + call_value
    greater_call = call_side + put_value
    if put_side == call_side:  # either side may be called the greater
        branch, amount = min(("put", greater_put), ("call", greater_call), key=lambda side: side[1])
    else:
        branch, amount = ("put", greater_put) if put_side > call_side else ("call", greater_call)
    inputs = {
        "put_requirement": put_side,
        "call_requirement": call_side,
        "other_value": call_value if branch == "put" else put_value,
    }
    legs = ((p, puts), (c, calls))
    yield Way("short_put_and_call", branch, legs, (), amount, amount, amount, inputs, cost=amount)


def _equal_sizes(one: Decimal, other: Decimal) -> tuple[int, int]:
    """The least contract numbers of two sizes that come to the same number of units."""
    if one == other:
        return 1, 1
    (a, a_places), (b, b_places) = scaled(one), scaled(other)
    places = max(a_places, b_places)
    a, b = a * 10 ** (places - a_places), b * 10 ** (places - b_places)
    common = gcd(a, b)
    return b // common, a // common


def _secured_puts(held: Held) -> Iterator[Way]:
    """Cash account, 12 CFR 220.8 and Cboe Rule 10.3: the full strike in cash or escrow."""
    for k, option in enumerate(held.options):
        if option.is_short and not option.series.is_call:
            amount = option.series.exercise
            inputs = {"exercise_value": amount}
            yield Way("cash_secured_put", "strike", ((k, 1),), (), amount, amount, amount, inputs, cost=amount)
