"""For each position of an account: the price to which a regime stays covered while every other price, and every
exchange rate, stands at its mark. Spot prices of contracts stand too, for a contract has a mark of its own.

A formula is given where what is asked is one: brackets of futures and perpetuals (`margin.engine.liquidation_prices`),
4210(c) of stock and the minimum equity (`margin.engine.triggers`), loans against collateral, rates that follow
volatility, and what only counts as equity. Elsewhere the reason says whose figure is not a formula of one price.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np

from margin.engine.charges import levels_of
from margin.engine.columns import CASH, KINDS, Market
from margin.engine.exact import ZERO, exactly
from margin.engine.liquidation_prices import LiquidationPrice, liquidation_prices
from margin.engine.measures import REQUIREMENT, Levels
from margin.engine.methodologies import cross, loan, reg_t, volatility
from margin.engine.parts import Part
from margin.engine.sums import PolicySums
from margin.engine.triggers import Lines, ShortTerms, long_requirement, short_requirement, trigger_price

_ONLY = 0  # the account that is explained
_FEWEST_DECIMALS = 2
_NOTHING_ASKED = long_requirement(ZERO)
_SHORT_ANYWHERE = "the account is short of its requirement whatever its price"
_PROPORTIONAL = (reg_t.CODE, cross.CODE, loan.CODE, volatility.CODE)  # what they ask is a share of value, or nothing
_STOCK = (KINDS.index("equity"), KINDS.index("etf"))


@dataclass(frozen=True)
class CallPrice:
    """`covered_to` is the last price, with as many decimals as the mark has, at which the regime does not ask for more
    than there is; None where no price of this position alone changes that, or where `reason` says why none is told."""

    position: int  # row of the book's positions
    covered_to: Decimal | None
    reason: str


def call_prices(of_policy: PolicySums, market: Market, regime: int) -> list[CallPrice]:
    """Of every position, but cash, that counts in the regime, in the first account of `of_policy`; it is priced."""
    with exactly():
        levels = levels_of(of_policy, regime, np.array([_ONLY]))
        tables = {one.position: one for one in liquidation_prices(of_policy, market, regime, [_ONLY])[_ONLY]}
        return [_found(of_policy, market, regime, levels, p, tables) for p in _counted(of_policy, regime)]


def _counted(of_policy: PolicySums, regime: int) -> Iterator[int]:
    lanes = [of_policy.table.lanes[k] for k in of_policy.lane_of[regime].values()]
    looked_at = {int(p) for part in of_policy.parts[regime] for p in part.groups.position}
    for segment in range(len(of_policy.segments)):
        for p in of_policy.positions(segment):
            i, quantity = of_policy.instrument[p], of_policy.quantity(p)
            counts = any(lane.short[i] if quantity < 0 else lane.long[i] for lane in lanes) or p in looked_at
            if quantity and of_policy.held.kind[i] != CASH and counts:
                yield p


def _found(
    of_policy: PolicySums,
    market: Market,
    regime: int,
    levels: Levels,
    position: int,
    tables: Mapping[int, LiquidationPrice],
) -> CallPrice:
    mark = of_policy.held.price[of_policy.instrument[position]]
    excess = levels.equity[0] - levels.requirement[0]
    reason = _whole_account(of_policy, regime, position) or ("" if mark > 0 else "its price is not above nothing")
    if reason:
        return CallPrice(position, None, reason)
    reaches, places = of_policy.policy.regimes[regime].at_or_beyond, _places(mark)
    if position in tables:
        known = tables[position]
        last = known.quoted(places)
        return CallPrice(position, _covered(last, known.exact, known.quantity, reaches, places), known.reason)
    if not levels.applies[0]:
        return CallPrice(position, None, "")  # nothing is asked, whatever its price
    free = _free(of_policy, regime, position)
    per_unit = _per_unit(of_policy, market, regime, position, free)
    if isinstance(per_unit, str):
        return CallPrice(position, None, per_unit)
    trigger = trigger_price(*per_unit, rest=excess - free, exponent=places)
    if trigger is None:
        return CallPrice(position, None, _SHORT_ANYWHERE if excess < 0 else "")
    return CallPrice(position, _covered(trigger.quoted, trigger.exact, per_unit[0], reaches, places), "")


def _places(mark: Decimal) -> int:
    return max(-int(mark.normalize().as_tuple().exponent), _FEWEST_DECIMALS)


def _covered(
    last: Decimal | None, exact: Fraction | None, quantity: Decimal, reaches: bool, places: int
) -> Decimal | None:
    """The last price that is covered: one tick earlier where reaching the requirement is short of it already."""
    if last is None or not reaches or Fraction(last) != exact:
        return last
    tick = Decimal(1).scaleb(-places)
    return last - tick if quantity < 0 else last + tick


def _whole_account(of_policy: PolicySums, regime: int, position: int) -> str:
    """Why no formula of one position holds for this one in its account."""
    held = of_policy.held
    times = Counter(
        int(held.ids[of_policy.instrument[p]])
        for segment in range(len(of_policy.segments))
        for p in of_policy.positions(segment)
    )
    if times[int(held.ids[of_policy.instrument[position]])] > 1:
        return "it is held in more than one position"
    for part in of_policy.parts[regime]:
        if part.floors is not None and part.floors[_ONLY] > 0:
            return f"{part.rule.methodology} asks an amount of the whole account at least"
    return ""


def _per_unit(
    of_policy: PolicySums, market: Market, regime: int, position: int, free: Decimal
) -> tuple[Decimal, Lines] | str:
    """(signed units that the price is for, in the account's currency; what a unit is asked over the price), or why
    there is no such formula. `free` is what the position adds to the excess at its mark."""
    rule, i, held = of_policy.policy.regimes[regime], of_policy.instrument[position], of_policy.held
    parts = _looking(of_policy, regime, position)
    if rule.methodology == reg_t.CODE and rule.measure != "minimum_equity" and not parts:
        if held.kind[i] not in _STOCK:
            return "what debt is asked is not a formula of its price alone"
        return _stock(of_policy, market, regime, position)
    charging = [part.rule.methodology for part in parts] or [rule.methodology]
    contract = held.contract[i]
    if len(charging) > 1 or charging[0] not in _PROPORTIONAL or (contract is not None and contract.is_inverse):
        names = " and ".join(sorted(set(charging)))
        return f"what {names} asks is not a formula of its price alone"
    if free and (free > 0) != (of_policy.book.quantity[position] > 0):
        return "more than its value is asked of it"
    return free / held.price[i], _NOTHING_ASKED


def _looking(of_policy: PolicySums, regime: int, position: int) -> list[Part]:
    return [part for part in of_policy.parts[regime] if position in part.groups.position]


def _free(of_policy: PolicySums, regime: int, position: int) -> Decimal:
    """What the position adds to equity less what it is asked, by itself, in the account's currency."""
    lanes = of_policy.units[regime].equity.items()
    counted = sum((sign * _lane(of_policy, regime, name, position) for name, sign in lanes), ZERO)
    free: Decimal = counted - _lane(of_policy, regime, REQUIREMENT, position)
    for part in _looking(of_policy, regime, position):
        (place,) = np.flatnonzero(part.groups.position == position)
        group = int(np.searchsorted(part.groups.offsets, place, side="right")) - 1
        free -= part.figures.requirement[group] * part.fx[group]
    return free


def _lane(of_policy: PolicySums, regime: int, name: str, position: int) -> Decimal:
    """What the position adds to a lane, in the account's currency; nothing where there is no such lane."""
    if name not in of_policy.lane_of[regime]:
        return ZERO
    lane = of_policy.table.lanes[of_policy.lane_of[regime][name]]
    i, quantity = of_policy.instrument[position], of_policy.quantity(position)
    amount: Decimal = abs(quantity) * (lane.short[i] if quantity < 0 else lane.long[i]) * _fx(of_policy, position)
    return amount


def _fx(of_policy: PolicySums, position: int) -> Decimal:
    """The rate from the position's currency to the account's."""
    segment = next(k for k in range(len(of_policy.segments)) if position in of_policy.positions(k))
    rate: Decimal = of_policy.fx.exact(segment)
    return rate


def _stock(of_policy: PolicySums, market: Market, regime: int, position: int) -> tuple[Decimal, Lines]:
    """4210(c): straight lines over the price, and house rates that only raise them."""
    held, i = of_policy.held, of_policy.instrument[position]
    quantity = of_policy.quantity(position)
    side = "short_rate" if quantity < 0 else "long_rate"
    rates = {charge.code: charge.inputs[side][i] for charge in of_policy.units[regime].charges if side in charge.inputs}
    house_rate = rates.get("house", ZERO)
    units = quantity * held.multiplier[i] * _fx(of_policy, position)
    if quantity > 0:
        return units, long_requirement(max(rates["finra_4210_c"], house_rate))
    terms = of_policy.policy.regimes[regime].terms
    rate = market.rate(terms.currency, held.currencies[held.currency[i]]) or ZERO  # without one it is unpriced
    rule = ShortTerms(
        short_rate=terms.short_rate,
        short_floor=terms.short_floor * rate,
        low_price=terms.low_price * rate,
        low_short_rate=terms.low_short_rate,
        low_short_floor=terms.low_short_floor * rate,
    )
    return units, short_requirement(rule, leverage=held.leverage[i], house_rate=house_rate)
