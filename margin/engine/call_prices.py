"""For each position of an account: the price to which a regime stays covered while every other price, and every
exchange rate, stands at its mark. Spot prices of contracts stand too, for a contract has a mark of its own.

A formula is given where what is asked is one: brackets of futures and perpetuals (`margin.engine.liquidation_prices`),
4210(c) of stock and the minimum equity (`margin.engine.triggers`), loans against collateral, rates that follow
volatility, and what only counts as equity. Elsewhere the reason says whose figure is not a formula of one price.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np

from margin.engine.charges import levels_of
from margin.engine.columns import CASH, KINDS, Market
from margin.engine.exact import ZERO, exactly
from margin.engine.liquidation_prices import LiquidationPrice, liquidation_prices
from margin.engine.measures import REQUIREMENT
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
        held = of_policy.held.ids[of_policy.instrument[_positions(of_policy)]]
        account = _Account(
            of_policy=of_policy,
            market=market,
            regime=regime,
            excess=levels.equity[0] - levels.requirement[0],
            applies=bool(levels.applies[0]),
            brackets={one.position: one for one in liquidation_prices(of_policy, market, regime, [_ONLY])[_ONLY]},
            times=Counter(held.tolist()),
        )
        return [account.price(position) for position in account.counted()]


def _positions(of_policy: PolicySums) -> list[int]:
    return [p for segment in range(len(of_policy.segments)) for p in of_policy.positions(segment)]


@dataclass(frozen=True)
class _Account:
    """One account in one regime, and what it reads of its positions. Amounts are in the account's currency."""

    of_policy: PolicySums
    market: Market
    regime: int
    excess: Decimal
    applies: bool
    brackets: Mapping[int, LiquidationPrice]  # by position
    times: Counter[int]  # how many positions an instrument has

    def counted(self) -> list[int]:
        """Positions whose price can matter to the regime."""
        looked_at = {int(p) for part in self.of_policy.parts[self.regime] for p in part.groups.position}
        return [
            p
            for p in _positions(self.of_policy)
            if self.of_policy.held.kind[self.of_policy.instrument[p]] != CASH
            if p in looked_at or any(self.lane(name, p) for name in self.of_policy.lane_of[self.regime])
        ]

    def price(self, position: int) -> CallPrice:
        mark = self.mark(position)
        reason = self.why_none(position)
        if reason:
            return CallPrice(position, None, reason)
        places = max(-int(mark.normalize().as_tuple().exponent), _FEWEST_DECIMALS)
        if position in self.brackets:
            known = self.brackets[position]
            last = self.covered(known.quoted(places), known.exact, known.quantity, places)
            return CallPrice(position, last, known.reason)
        if not self.applies:
            return CallPrice(position, None, "")  # nothing is asked, whatever its price
        free = self.free(position)
        per_unit = self.per_unit(position, free)
        if isinstance(per_unit, str):
            return CallPrice(position, None, per_unit)
        trigger = trigger_price(*per_unit, rest=self.excess - free, exponent=places)
        if trigger is None:
            return CallPrice(position, None, _SHORT_ANYWHERE if self.excess < 0 else "")
        return CallPrice(position, self.covered(trigger.quoted, trigger.exact, per_unit[0], places), "")

    def mark(self, position: int) -> Decimal:
        mark: Decimal = self.of_policy.held.price[self.of_policy.instrument[position]]
        return mark

    def why_none(self, position: int) -> str:
        """Why no formula of this position alone holds; '' where one may."""
        if self.mark(position) <= 0:
            return "its price is not above nothing"
        if self.times[int(self.of_policy.held.ids[self.of_policy.instrument[position]])] > 1:
            return "it is held in more than one position"
        for part in self.of_policy.parts[self.regime]:
            if part.floors is not None and part.floors[_ONLY] > 0:
                return f"{part.rule.methodology} asks an amount of the whole account at least"
        return ""

    def covered(self, last: Decimal | None, exact: Fraction | None, quantity: Decimal, places: int) -> Decimal | None:
        """The last price that is covered: one tick earlier where reaching the requirement is short of it already."""
        reaches = self.of_policy.policy.regimes[self.regime].at_or_beyond
        if last is None or not reaches or Fraction(last) != exact:
            return last
        tick = Decimal(1).scaleb(-places)
        return last - tick if quantity < 0 else last + tick

    def looking(self, position: int) -> list[Part]:
        """The parts that measure the position."""
        return [part for part in self.of_policy.parts[self.regime] if position in part.groups.position]

    def lane(self, name: str, position: int) -> Decimal:
        """What the position adds to a lane; nothing where there is no such lane."""
        column = self.of_policy.lane_of[self.regime].get(name)
        if column is None:
            return ZERO
        lane, i = self.of_policy.table.lanes[column], self.of_policy.instrument[position]
        quantity = self.of_policy.quantity(position)
        amount: Decimal = abs(quantity) * (lane.short[i] if quantity < 0 else lane.long[i]) * self.fx(position)
        return amount

    def fx(self, position: int) -> Decimal:
        """The rate from the position's currency to the account's."""
        segment = next(k for k in range(len(self.of_policy.segments)) if position in self.of_policy.positions(k))
        rate: Decimal = self.of_policy.fx.exact(segment)
        return rate

    def free(self, position: int) -> Decimal:
        """What the position adds to equity less what it is asked, by itself."""
        signs = self.of_policy.units[self.regime].equity.items()
        free = sum((sign * self.lane(name, position) for name, sign in signs), ZERO) - self.lane(REQUIREMENT, position)
        for part in self.looking(position):
            (place,) = np.flatnonzero(part.groups.position == position)
            group = int(np.searchsorted(part.groups.offsets, place, side="right")) - 1
            free -= part.figures.requirement[group] * part.fx[group]
        return free

    def per_unit(self, position: int, free: Decimal) -> tuple[Decimal, Lines] | str:
        """(signed units that the price is for, what a unit is asked over the price), or why there is no such formula.

        `free` is what the position adds to the excess at its mark.
        """
        rule, i = self.of_policy.policy.regimes[self.regime], self.of_policy.instrument[position]
        parts = self.looking(position)
        if rule.methodology == reg_t.CODE and rule.measure != "minimum_equity" and not parts:
            if self.of_policy.held.kind[i] not in _STOCK:
                return "what debt is asked is not a formula of its price alone"
            return self.stock(position)
        charging = [part.rule.methodology for part in parts] or [rule.methodology]
        contract = self.of_policy.held.contract[i]
        if len(charging) > 1 or charging[0] not in _PROPORTIONAL or (contract is not None and contract.is_inverse):
            return f"what {' and '.join(sorted(set(charging)))} asks is not a formula of its price alone"
        if free and (free > 0) != (self.of_policy.book.quantity[position] > 0):
            return "more than its value is asked of it"
        return free / self.mark(position), _NOTHING_ASKED

    def stock(self, position: int) -> tuple[Decimal, Lines]:
        """4210(c): straight lines over the price, and house rates that only raise them."""
        held, i = self.of_policy.held, self.of_policy.instrument[position]
        quantity = self.of_policy.quantity(position)
        side = "short_rate" if quantity < 0 else "long_rate"
        charges = self.of_policy.units[self.regime].charges
        rates = {charge.code: charge.inputs[side][i] for charge in charges if side in charge.inputs}
        house_rate = rates.get("house", ZERO)
        units = quantity * held.multiplier[i] * self.fx(position)
        if quantity > 0:
            return units, long_requirement(max(rates["finra_4210_c"], house_rate))
        terms = self.of_policy.policy.regimes[self.regime].terms
        rate = self.market.rate(terms.currency, held.currencies[held.currency[i]]) or ZERO  # without one it is unpriced
        rule = ShortTerms(
            short_rate=terms.short_rate,
            short_floor=terms.short_floor * rate,
            low_price=terms.low_price * rate,
            low_short_rate=terms.low_short_rate,
            low_short_floor=terms.low_short_floor * rate,
        )
        return units, short_requirement(rule, leverage=held.leverage[i], house_rate=house_rate)
