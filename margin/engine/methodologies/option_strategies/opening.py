"""What it takes to open the positions of a group at today's prices: the triple that the Cboe manual prints.

Instrument prices are the trade prices. `gross` is what must be there before anything is paid in: long options and
stock at what they cost less what may be borrowed on them, short options including their value, short stock at its value
and the margin on it. `proceeds` is what the shorts bring, `net_call` the difference: the margin call, or the debit of
the SMA. Of the three only the last is a call, and only the first can be compared between strategies.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from margin.engine.columns import Array, Instruments, Market
from margin.engine.exact import ONE, ZERO, exactly
from margin.engine.groups import Groups
from margin.engine.measures import Units
from margin.engine.methodologies.option_strategies import shorts, spreads
from margin.engine.methodologies.option_strategies.covering import Covered, Reader, covered
from margin.engine.methodologies.option_strategies.legs import Refusal
from margin.engine.methodologies.option_strategies.terms import Terms
from margin.engine.methodologies.option_strategies.ways import Held


@dataclass(frozen=True)
class Opening:
    """One group, in its currency. None where a price is missing that this amount alone reads.

    `maintenance` is on equity: the Cboe manual's figures for short stock add `short_stock_value` to it. `separate` is
    what the options would need without any pairing: every long paid, every short naked.
    """

    maintenance: Decimal
    initial: Decimal  # on equity, of a stored account: `measure_groups` reports the same
    equity: Decimal  # what the group adds to the base methodology's equity
    max_potential_loss: Decimal  # of the spreads in the cover
    gross: Decimal | None
    proceeds: Decimal | None
    net_call: Decimal | None
    long_cost: Decimal | None
    short_stock_value: Decimal
    separate: Decimal | None


def openings(groups: Groups, market: Market, terms: Terms) -> tuple[Opening, ...]:
    """One Opening per group. Refusal (a ValueError) says which position has no rule or which price is needed.

    A short whose option price is unknown is accepted where stock or cash covers it, not in a spread or by itself.
    """
    reader = Reader(groups, market, terms)
    with exactly():
        return tuple(_opening(reader.held(group)) for group in range(len(groups)))


def opening(instruments: Instruments, base: Units, quantity: Array, market: Market, terms: Terms) -> Opening:
    """The Opening of so many of each instrument (signed Decimals, 0: none), all of one group: of nothing, all zeros.

    `base` is what the regime's own methodology says of the instruments. Refusal as `openings`.
    """
    chosen = np.flatnonzero(quantity != ZERO)
    group = Groups(
        instruments=instruments,
        base=base,
        account=np.zeros(1, np.int64),
        currency=instruments.currency[chosen[:1]] if len(chosen) else np.zeros(1, np.int32),
        offsets=np.array([0, len(chosen)], np.int64),
        position=chosen,
        instrument=chosen.astype(np.int32),
        quantity=quantity[chosen],
        to_group=np.full(len(chosen), ONE, object),
    )
    (found,) = openings(group, market, terms)
    return found


def _opening(held: Held) -> Opening:
    found = covered(held)
    _require_naked_prices(found)
    long_cost, proceeds = _long_cost(held), _proceeds(held)
    short_stock = sum((s.units * s.holding.value for s in held.stocks if not s.holding.is_long), ZERO)
    needed = _needed(found)
    gross = None if long_cost is None else long_cost + short_stock + needed
    return Opening(
        maintenance=found.requirement,
        initial=found.initial,
        equity=found.equity,
        max_potential_loss=sum((spread.loss for spread in found.spreads), ZERO),
        gross=gross,
        proceeds=proceeds,
        net_call=None if gross is None or proceeds is None else gross - proceeds,
        long_cost=long_cost,
        short_stock_value=short_stock,
        separate=_separate(held, long_cost),
    )


def _require_naked_prices(found: Covered) -> None:
    """A spread is the lesser of two amounts, so the shorts in it must have their naked requirement too."""
    if found.held.terms.account != "margin":
        return
    for spread in found.spreads:
        for k, _ in spread.legs:
            option = found.held.options[k]
            if option.is_short and option.series.missing:
                raise Refusal(option.series.missing)


def _needed(found: Covered) -> Decimal:
    """Everything but the cost of longs and the value of short stock; what longs are lent comes off."""
    total = sum((way.opening * times for way, times in found.ways), ZERO)
    total += sum((spread.loss for spread in found.spreads), ZERO)
    total -= sum((loan.counted - loan.requirement for loan in found.loans), ZERO)
    for stock, units in found.idle_stock:
        total += units * stock.holding.initial
    return total


def _long_cost(held: Held) -> Decimal | None:
    total = ZERO
    for option in held.options:
        if not option.is_short:
            if option.series.value is None:
                return None
            total += option.contracts * option.series.value
    return total


def _proceeds(held: Held) -> Decimal | None:
    total = sum((s.units * s.holding.value for s in held.stocks if not s.holding.is_long), ZERO)
    for option in held.options:
        if option.is_short:
            if option.series.value is None:
                return None
            total -= option.contracts * option.series.value
    return total


def _separate(held: Held, long_cost: Decimal | None) -> Decimal | None:
    total = long_cost
    for option in held.options:
        if option.is_short:
            alone = shorts.naked(option.series, held.terms)
            if alone is None or total is None:
                return None
            total -= option.contracts * alone[0]
    return total


def payoff_loss(groups: Groups, group: int) -> tuple[Decimal, Decimal] | None:
    """(greatest loss at expiry of all the group's options as one set, the price where it arises); None: no bound.

    Terms, prices and expiries are not read: a figure about the payoff, not a requirement.
    """
    members, rows = groups.members(group), groups.instruments
    with exactly():
        return spreads.max_potential_loss(
            [
                spreads.payoff(rows.contract[i], rows.multiplier[i], quantity)
                for i, quantity in zip(groups.instrument[members], groups.quantity[members], strict=True)
                if rows.contract[i] is not None and rows.contract[i].right
            ]
        )
