"""The figures of QuantConnect's LEAN, and of Interactive Brokers whom it imitates, for comparison with those only.

No policy of ours rests on them. Options alone follow the rule, without loan value. Stock with options is charged by the
structure it forms, with one rate for long and short stock (LEAN: 1 ÷ leverage), and what caps the value of covered
stock is asked as a requirement. Behaviour of LEAN's commit 24863901 (2026),
`OptionStrategyPositionGroupBuyingPowerModel`; where it departs from the rule by a published defect (the put wing alone
of an iron condor, issue 9775) the rule is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from margin.engine.columns import Market
from margin.engine.cover import Spread
from margin.engine.exact import ZERO, exactly
from margin.engine.groups import Groups
from margin.engine.methodologies.option_strategies.covering import Covered, Reader, covered
from margin.engine.methodologies.option_strategies.legs import Refusal
from margin.engine.methodologies.option_strategies.terms import RULE_BOOK, Terms
from margin.engine.methodologies.option_strategies.ways import Held, Position

# The option rules without loan value of any kind: LEAN grants none.
LEAN_IB: Mapping[str, Any] = {**RULE_BOOK, "long_option_classes": [], "box_loan_rate": "1.00"}


@dataclass(frozen=True)
class Profile:
    """`premium_rate` of a covered call's value is asked initially (a heuristic of LEAN's); None: as in maintenance.

    `loss_rate` multiplies the loss of a spread; one on a volatility index is asked `volatility_minimum` at least.
    """

    initial_rate: Decimal
    maintenance_rate: Decimal
    premium_rate: Decimal | None = Decimal("0.8")
    loss_rate: Decimal = Decimal(1)
    hedge_rate: Decimal = Decimal("0.10")
    collar_rate: Decimal = Decimal("0.25")
    volatility_minimum: Decimal = ZERO


def interactive_brokers(initial_rate: Decimal, maintenance_rate: Decimal) -> Profile:
    """The broker itself: covered calls without their premium, spreads at 102 % of the net maximum loss, those on a
    volatility index at 150 dollars at least."""
    loss_rate, least = Decimal("1.02"), Decimal(150)
    return Profile(initial_rate, maintenance_rate, premium_rate=None, loss_rate=loss_rate, volatility_minimum=least)


@dataclass(frozen=True)
class Figures:
    """`premium` is the signed market value of the options; the total adds it where it is a debit."""

    initial: Decimal
    maintenance: Decimal
    premium: Decimal

    @property
    def initial_total(self) -> Decimal:
        return self.initial + max(self.premium, ZERO)


def figures(
    groups: Groups, market: Market, profile: Profile, *, close_cost: Decimal | None = None
) -> tuple[Figures, ...]:
    """One per group. ValueError where a price is missing.

    `close_cost` is what buying back a short box costs with its fees; 102 % of it is asked where that is more than the
    strike difference. A holding that LEAN values at its cost is measured by giving that cost as the price.
    """
    reader = Reader(groups, market, Terms.from_json(LEAN_IB))
    with exactly():
        return tuple(_figures(reader.held(group), profile, close_cost) for group in range(len(groups)))


def _figures(held: Held, profile: Profile, close_cost: Decimal | None) -> Figures:
    initial = maintenance = premium = ZERO
    for option in held.options:
        if option.series.value is None or option.series.underlying is None:
            raise Refusal(option.series.missing)
        premium += option.contracts * option.series.value
    left = list(held.options)
    for stock in held.stocks:
        value = stock.holding.value
        units = stock.units
        if held.options and units >= held.options[0].series.multiplier:
            chosen, times = _structure(left, stock.holding.is_long, int(units // held.options[0].series.multiplier))
            if times:
                one = value * held.options[0].series.multiplier
                asked, first = _formula({_role(k): k for k in chosen}, stock.holding.is_long, one, profile)
                maintenance += times * asked
                initial += times * first
                units -= times * held.options[0].series.multiplier
                left = [_without(option, times) if option in chosen else option for option in left]
        initial += units * value * profile.initial_rate
        maintenance += units * value * profile.maintenance_rate
    alone = _options_alone(held, left, profile, close_cost)
    return Figures(initial + alone, maintenance + alone, premium)


def _role(option: Position) -> str:
    return ("short_" if option.is_short else "long_") + ("call" if option.series.is_call else "put")


def _without(option: Position, times: int) -> Position:
    return replace(option, contracts=option.contracts + (times if option.is_short else -times))


# What one contract's worth of stock may stand with, largest structures first.
_WITH_LONG = (("long_put", "short_call"), ("short_call",), ("long_put",))
_WITH_SHORT = (("long_call", "short_put"), ("short_put",), ("long_call",))


def _structure(options: list[Position], is_long: bool, most: int) -> tuple[list[Position], int]:
    """(the options of the largest structure that is there, how many times it is)."""
    for roles in _WITH_LONG if is_long else _WITH_SHORT:
        chosen = [next((k for k in options if k.contracts and _role(k) == role), None) for role in roles]
        found = [k for k in chosen if k is not None]
        same_expiry = len({k.series.expires_on for k in found}) == 1
        if len(found) == len(roles) and same_expiry:
            return found, min(most, *(abs(k.contracts) for k in found))
    return [], 0


def _formula(legs: Mapping[str, Position], is_long: bool, stock: Decimal, p: Profile) -> tuple[Decimal, Decimal]:
    """(maintenance, initial) of one contract's worth of stock with its options."""
    margin, opening = p.maintenance_rate * stock, p.initial_rate * stock
    if len(legs) == 1:
        (role, leg), *_ = legs.items()
        series = leg.series
        if role == "short_call":
            return _covered_call(leg, stock, p)
        if role == "short_put":
            return opening + series.in_the_money, opening + series.in_the_money
        return min(p.hedge_rate * series.exercise + series.out_of_the_money, margin), opening
    put = legs["long_put" if is_long else "short_put"].series
    call = legs["short_call" if is_long else "long_call"].series
    if put.exercise == call.exercise:
        depth = (call if is_long else put).in_the_money
        return p.hedge_rate * put.exercise + depth, opening + depth
    limited = p.hedge_rate * put.exercise + put.out_of_the_money
    return min(limited, p.collar_rate * call.exercise), opening + call.in_the_money


def _covered_call(leg: Position, stock: Decimal, p: Profile) -> tuple[Decimal, Decimal]:
    series = leg.series
    value = series.value or ZERO
    counted = min(stock, series.exercise)
    capped = series.in_the_money + p.maintenance_rate * counted
    if p.premium_rate is None:
        return capped, series.in_the_money + p.initial_rate * counted
    floor = min(stock, max(value, p.maintenance_rate * stock))
    return max(capped, floor), p.premium_rate * value + p.initial_rate * stock


def _options_alone(held: Held, left: list[Position], p: Profile, close_cost: Decimal | None) -> Decimal:
    """By the rule; a spread that can lose is asked `loss_rate` of it, a short box at least 102 % of closing it."""
    rest = tuple(option for option in left if option.contracts)
    if not rest:
        return ZERO
    found = covered(replace(held, options=rest, stocks=(), lost=(ZERO,) * len(rest)))
    total = sum((way.requirement * times for way, times in found.ways), ZERO)
    loss = sum((max(spread.loss * p.loss_rate, _least(found, spread, p)) for spread in found.spreads), ZERO)
    if close_cost is not None and found.spreads:
        loss = max(loss, Decimal("1.02") * close_cost)
    return total + loss


def _least(found: Covered, spread: Spread, p: Profile) -> Decimal:
    """What the spreads of a set ask at least: as many as there are shorts of one right, where these are more."""
    sold = [(found.held.options[k], contracts) for k, contracts in spread.legs if found.held.options[k].is_short]
    if any(option.series.contract.margin_class != "vol_index" for option, _ in sold):
        return ZERO
    calls = sum(contracts for option, contracts in sold if option.series.is_call)
    return p.volatility_minimum * max(calls, sum(contracts for _, contracts in sold) - calls)
