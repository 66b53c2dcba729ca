"""Liquidation prices of a stored account: for each of its `tiered` positions, the price at which equity meets what is
required while everything else, exchange rates included, stands at its mark. docs/methodologies/tiered.md.

One formula serves linear and inverse contracts. Let N be the position's notional in its settlement currency. Its value
is σN, σ = side of a linear and −side of an inverse contract, its maintenance N × m − a, and everything else a constant:
the excess is a few straight lines over N. Where it crosses nothing gives N, and N gives the price. For linear contracts
this is (WB − TMM + UPNL + a − s q EP) ÷ (q m − s q) in the bracket that holds the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np

from margin.engine.charges import levels_of
from margin.engine.columns import KINDS, Contract, Market
from margin.engine.exact import exactly
from margin.engine.measures import worth
from margin.engine.methodologies import tiered
from margin.engine.methodologies.tiered.liquidation import power_notional
from margin.engine.methodologies.tiered.requirement import published
from margin.engine.methodologies.tiered.terms import Published, Table
from margin.engine.parts import Part
from margin.engine.sums import PolicySums
from margin.engine.triggers import Line, Lines, trigger_price

_ANYWHERE = Fraction()
_AT_EVERY_PRICE = "the account is short of its requirement whatever its price"


@dataclass(frozen=True)
class LiquidationPrice:
    """Of one position. `exact` is None where no price above nothing liquidates it, or where `reason` says why the
    formula does not hold."""

    position: int  # row of the book's positions
    code: str
    quantity: Decimal
    mark: Decimal
    exact: Fraction | None = None
    reason: str = ""

    def quoted(self, exponent: int) -> Decimal | None:
        """The last price with `exponent` decimals at which the requirement is covered."""
        if self.exact is None:
            return None
        scaled = self.exact * 10**exponent
        below = scaled.numerator // scaled.denominator
        tick = below if self.quantity < 0 or below == scaled else below + 1
        return Decimal(tick).scaleb(-exponent)


@dataclass(frozen=True)
class _Position:
    """What the formula reads of one position, at its mark, in its settlement currency."""

    quantity: Decimal
    price: Decimal
    multiplier: Decimal
    value: Decimal  # signed
    contract: Contract | None

    @property
    def is_inverse(self) -> bool:
        return self.contract is not None and self.contract.is_inverse

    @property
    def side(self) -> int:
        """How the value moves with the notional: +1 together, −1 against it."""
        return 1 if (self.quantity > 0) != self.is_inverse else -1

    def price_at(self, notional: Fraction) -> Fraction:
        """The price at which the notional is so much; above nothing."""
        size = abs(Fraction(self.quantity)) * Fraction(self.multiplier)
        return size / notional if self.is_inverse else notional / size


def liquidation_prices(
    of_policy: PolicySums, market: Market, regime: int, accounts: Sequence[int]
) -> dict[int, list[LiquidationPrice]]:
    """Of every `tiered` position of the chosen accounts (indices into `of_policy.rows`), by account; no prices where an
    account is unpriced."""
    priced = [account for account in accounts if not of_policy.unpriced[account]]
    found: dict[int, list[LiquidationPrice]] = {account: [] for account in accounts}
    with exactly():
        levels = levels_of(of_policy, regime, np.array(priced, np.int64))
        excess = dict(zip(priced, levels.equity - levels.requirement, strict=True))
        for part in of_policy.parts[regime]:
            if part.rule.methodology == tiered.CODE:
                tables, _ = published(market, part.rule.terms)
                for account in priced:
                    for group in part.groups.of_account(account):
                        also = _also_reading(of_policy, regime, part, group)
                        found[account].append(_solved(of_policy, part, tables, group, excess[account], also))
    return found


def _also_reading(of_policy: PolicySums, regime: int, part: Part, group: int) -> str:
    """The other part that asks something that changes with this position's price, '' where none does."""
    (position,) = part.groups.position[part.groups.members(group)]
    for other in of_policy.parts[regime]:
        if other is not part and position in other.groups.position:
            return other.rule.methodology
    return ""


def _solved(
    of_policy: PolicySums, part: Part, tables: Published | None, group: int, excess: Decimal, also: str
) -> LiquidationPrice:
    held = _position(part, group)
    (position,) = part.groups.position[part.groups.members(group)]
    i = of_policy.instrument[position]
    head = (int(position), str(of_policy.held.codes[i]), held.quantity, held.price)
    table = tables.table(head[1], KINDS[of_policy.held.kind[i]]) if tables else None
    if table is None:
        return LiquidationPrice(*head, reason="no table is published for it")
    if also:
        return LiquidationPrice(*head, reason=f"what {also} asks also changes with its price")
    if held.price <= 0:
        return LiquidationPrice(*head, reason="its price is not above nothing, where notional and price part")
    fx, maintenance = part.fx[group], part.figures.requirement[group]
    rest = excess - fx * (held.value - maintenance)
    notional = _crossing(table, held, rest, fx)
    if notional:
        return LiquidationPrice(*head, exact=held.price_at(notional))
    return LiquidationPrice(*head, reason="" if held.side > 0 and rest >= 0 else _AT_EVERY_PRICE)


def _position(part: Part, group: int) -> _Position:
    (member,) = range(*part.groups.members(group).indices(len(part.groups.position)))
    rows = part.groups.instrument[[member]]
    one = part.groups.instruments.take(rows)
    quantity = part.groups.quantity[member]
    return _Position(quantity, one.price[0], one.multiplier[0], quantity * worth(one)[0], one.contract[0])


def _crossing(table: Table, held: _Position, rest: Decimal, fx: Decimal) -> Fraction | None:
    """The notional at which rest + fx × (σN − MM(N)) is nothing."""
    if table.power is not None:
        near = abs(float(held.value))
        found = power_notional(free=float(rest) / float(fx), side=held.side, power=table.power, near=near)
        return None if found is None else Fraction(found)
    trigger = trigger_price(fx * held.side, _lines(table, held), rest=rest)
    return None if trigger is None else trigger.exact


def _lines(table: Table, held: _Position) -> Lines:
    """Maintenance over the notional: a range goes by contracts, so its rate stands whatever the price."""
    if table.ranges:
        rate = tiered.brackets.range_at(table.ranged(), abs(held.quantity)).rate
        return (Line(_ANYWHERE, Fraction(), Fraction(rate)),)
    return tuple(Line(Fraction(one.floor), -Fraction(one.amount), Fraction(one.rate)) for one in table.bracketed())
