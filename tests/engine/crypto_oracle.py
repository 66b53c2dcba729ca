"""The scenario grid and standard margin of one book in plain loops: written from the published algorithm, sharing
nothing with the engine but the terms. Amounts are what is asked, as (maintenance, initial)."""

from dataclasses import dataclass
from math import erfc, exp, log, sqrt

YEAR = 365 * 86400
MONTH = 30 * 86400


@dataclass(frozen=True)
class Leg:
    """An option position; `expiry` is the seconds left."""

    expiry: int
    forward: float
    rate: float
    strike: float
    is_call: bool
    volatility: float
    quantity: float


def black(forward, strike, years, volatility, is_call):
    sign = 1 if is_call else -1
    width = volatility * sqrt(years)
    if width <= 0:
        return max(sign * (forward - strike), 0)
    d1 = log(forward / strike) / width + width / 2
    return sign * (forward * normal(sign * d1) - strike * normal(sign * (d1 - width)))


def normal(x):
    return erfc(-x / sqrt(2)) / 2


def moved(leg, how, grid):
    terms = grid.volatility
    left = max(leg.expiry, float(terms.least_seconds))
    reach = (MONTH / left) ** float(terms.short_power if left < MONTH else terms.long_power)
    if how == "up":
        return max(leg.volatility * (1 + float(terms.up) * reach), float(terms.least_up))
    if how == "down":
        return leg.volatility * max(1 - float(terms.down) * reach, 0)
    if how == "none":
        return leg.volatility
    skew, root, distance = grid.skew, sqrt(leg.expiry / YEAR), log(leg.strike / leg.forward)
    if how == "absolute":
        distance, slope, cap = abs(distance), float(skew.absolute_slope), float(skew.absolute_cap)
    else:
        slope, cap = float(skew.linear_slope), float(skew.linear_cap)
    cap += slope * root
    full = root * float(skew.width) * (float(skew.volatility) + float(skew.volatility_slope) * root)
    full = max(float(skew.least_distance), full)
    return leg.volatility * (1 + max(-cap, min(cap, distance * cap / full)))


def value(legs, factor, how, grid):
    return sum(
        leg.quantity
        * exp(-max(leg.rate, 0) * leg.expiry / YEAR)
        * black(leg.forward * factor, leg.strike, leg.expiry / YEAR, moved(leg, how, grid), leg.is_call)
        for leg in legs
    )


def counted(worth, leg, grid):
    """A value in a scenario, after the static discount."""
    terms, years, rate = grid.discount, leg.expiry / YEAR, max(leg.rate, 0)
    if worth >= 0:
        return (
            worth * float(terms.long_base) * exp(-years * (rate * float(terms.long_multiple) + float(terms.long_rate)))
        )
    more = float(terms.short_base) / exp(-years * (rate * float(terms.short_multiple) + float(terms.short_rate)))
    return worth * min(more, exp(rate * years))


def grid_asked(legs, spot, perpetual, coins_held, grid):
    """`perpetual` and `coins_held` in coins, both at the spot price."""
    expiries = [[leg for leg in legs if leg.expiry == day] for day in sorted({leg.expiry for leg in legs})]
    profits = []
    for scenario in grid.scenarios:
        factor, how = float(scenario.price_factor), scenario.volatility
        profit = (perpetual + coins_held) * spot * (factor - 1)
        for of_day in expiries:
            gain = counted(value(of_day, factor, how, grid), of_day[0], grid) - value(of_day, 1, "none", grid)
            profit += -abs(gain) if how in ("linear", "absolute") else gain
        profits.append(profit * float(scenario.weight))
    profits.append(sum(on_forward(of_day, grid) for of_day in expiries))
    worst = min(0, *profits)
    naked = sum(
        max(0, -sum(leg.quantity for leg in legs if (leg.expiry, leg.strike) == place))
        for place in {(leg.expiry, leg.strike) for leg in legs}
    )
    held = abs(coins_held) * spot
    maintenance = -worst * float(grid.maintenance_factor) + naked * spot * float(grid.option_rate)
    maintenance += abs(perpetual) * spot * float(grid.perpetual_rate) + held * 0.015
    initial = -worst * float(grid.initial_factor) + naked * spot * float(grid.option_rate + grid.option_initial_rate)
    initial += abs(perpetual) * spot * float(grid.perpetual_rate + grid.perpetual_initial_rate) + held * 0.02
    return maintenance, initial


def on_forward(of_day, grid):
    now = value(of_day, 1, "none", grid)
    gains = [value(of_day, float(factor), "none", grid) - now for factor in (grid.basis.up, grid.basis.down)]
    return min(*gains, 0) * (float(grid.basis.base) + float(grid.basis.yearly) * of_day[0].expiry / YEAR)


def standard_asked(legs, spot, perpetual, coins_held, terms):
    asked = []
    for is_initial in (False, True):
        total = 0.0
        for day in {leg.expiry for leg in legs}:
            of_day = [leg for leg in legs if leg.expiry == day]
            worth = sum(leg.quantity * undiscounted(leg) for leg in of_day)
            total += worth - expiry_margin(of_day, spot, terms, is_initial)
        rate = terms.perpetual_initial_rate if is_initial else terms.perpetual_rate
        total += abs(perpetual) * spot * float(rate) + abs(coins_held) * spot * float(terms.coin_rate)
        asked.append(total)
    return tuple(asked)


def undiscounted(leg):
    return black(leg.forward, leg.strike, leg.expiry / YEAR, leg.volatility, leg.is_call)


def expiry_margin(of_day, spot, terms, is_initial):
    alone = sum(short_margin(leg, spot, terms, is_initial) for leg in of_day if leg.quantity < 0)
    prices = [0.0, *(leg.strike for leg in of_day)]
    payoff = [
        sum(leg.quantity * max((price - leg.strike) * (1 if leg.is_call else -1), 0) for leg in of_day)
        for price in prices
    ]
    calls = sum(leg.quantity for leg in of_day if leg.is_call)
    factor = float(terms.unbounded_initial_factor if is_initial else terms.unbounded_factor)
    return max(alone, min(0, *payoff) + min(calls, 0) * factor * of_day[0].forward)


def short_margin(leg, spot, terms, is_initial):
    worth, size = leg.quantity * undiscounted(leg), leg.quantity * spot
    away = max((leg.strike - spot) * (1 if leg.is_call else -1), 0) / spot
    opening = size * max(float(terms.option_rate) - away, float(terms.option_least_rate)) + worth
    if leg.is_call:
        return opening if is_initial else size * float(terms.call_rate) + worth
    holding = min(size * float(terms.put_rate), worth * float(terms.put_value_rate)) + worth
    return min(opening, holding * float(terms.put_initial_factor)) if is_initial else holding
