"""From class groups to accounts: requirements less what offsets release, equity, and how both are told."""

from collections.abc import Callable, Iterator
from decimal import Decimal

import numpy as np

from margin.engine import valuation
from margin.engine.columns import Array, Instruments, Market
from margin.engine.exact import ZERO, exactly
from margin.engine.groups import EquityPart, GroupFigures, Groups, Told
from margin.engine.measures import nothing, pick, silence, worth
from margin.engine.methodologies.portfolio import classes, offsets, profits, telling
from margin.engine.methodologies.portfolio.offsets import Relief
from margin.engine.methodologies.portfolio.profits import Measured, python_integers
from margin.engine.methodologies.portfolio.terms import Terms


def measure(groups: Groups, market: Market, terms: Terms) -> GroupFigures:
    """The requirement of every group, what its options add to the equity, and how it is told."""
    used, instrument = np.unique(groups.instrument, return_inverse=True)
    instruments = groups.instruments.take(used)
    model = valuation.model_of(instruments, market, terms.parity_tolerance_rate)
    with exactly():
        found = classes.underlyings(instruments, terms)
        minimum, no_rate = _unit_minimum(instruments, market, terms)
        refused = _first_reason(groups, instrument, (model.refused, found.refused, no_rate))
        measured = profits.measured_of(groups, instruments, instrument.reshape(-1), found, model, minimum, terms)
        reliefs = offsets.reliefs(measured, terms)
        asked = _scattered(measured.requirements, measured.classes.group, len(groups), measured.decimals)
        for relief in reliefs:
            asked = asked - _scattered(relief.amount, relief.group, len(groups), measured.decimals + relief.decimals)
        missing = _missing_value(groups, used, instruments)
        amounts = _equity_amounts(groups, instrument.reshape(-1), missing)
        is_known = refused == ""
        return GroupFigures(
            requirement=pick(is_known, asked, ZERO),
            initial=pick(is_known, asked * terms.house.initial_rate, ZERO),
            equity=pick(is_known, _summed(amounts, groups), ZERO),
            refused=refused,
            told=_teller(measured, reliefs, amounts, is_known, terms),
        )


def _unit_minimum(instruments: Instruments, market: Market, terms: Terms) -> tuple[Array, Array]:
    """(what one contract asks at least, in its currency, why it cannot be said): of options alone."""
    rates = [market.rate(terms.currency, code) for code in instruments.currencies]
    is_option = instruments.kind == classes.OPTION
    minimum, refused = nothing(len(instruments)), silence(len(instruments))
    for k, rate in enumerate(rates):
        rows = is_option & (instruments.currency == k)
        if rate is None:
            refused[rows] = f"no rate {terms.currency}/{instruments.currencies[k]} for the minimum per contract"
        else:
            minimum[rows] = instruments.multiplier[rows] * (terms.minimum * rate)
    return minimum, refused


def _first_reason(groups: Groups, instrument: Array, reasons: tuple[Array, ...]) -> Array:
    """The first member's reason why a group has no number, '' where it has one."""
    owner = np.repeat(np.arange(len(groups)), np.diff(groups.offsets))
    refused = silence(len(groups))
    for column in reversed(reasons):
        of_position = column[instrument.reshape(-1)]
        for position in np.flatnonzero(of_position != "")[::-1]:
            refused[owner[position]] = of_position[position]
    return refused


def _scattered(amounts: Array, owner: Array, count: int, decimals: int) -> Array:
    """Sums per group of integers ÷ 10^decimals, as Decimals."""
    whole = np.zeros(count, object)
    np.add.at(whole, owner, python_integers(amounts))
    out = np.empty(count, object)
    out[:] = [Decimal(number).scaleb(-decimals) for number in whole]
    return out


def _missing_value(groups: Groups, used: Array, instruments: Instruments) -> tuple[Array, Array]:
    """What the base methodology's equity lacks of the market value of one unit held (long, short): NLV has it all."""
    value = worth(instruments)
    long, short = value, -value
    for name, sign in groups.base.equity.items():
        lane = groups.base.lanes[name].take(used)
        long, short = long - sign * lane.long, short - sign * lane.short
    return long, short


def _equity_amounts(groups: Groups, instrument: Array, missing: tuple[Array, Array]) -> Array:
    """Per position, in its group's currency."""
    is_long = (groups.quantity > ZERO).astype(bool)
    unit = pick(is_long, missing[0][instrument], missing[1][instrument])
    amounts: Array = np.abs(groups.quantity) * unit * groups.to_group
    return amounts


def _summed(amounts: Array, groups: Groups) -> Array:
    sums = nothing(len(groups))
    np.add.at(sums, np.repeat(np.arange(len(groups)), np.diff(groups.offsets)), amounts)
    return sums


def _teller(
    measured: Measured, reliefs: tuple[Relief, ...], amounts: Array, is_known: Array, terms: Terms
) -> Callable[[int], Told]:
    def told(group: int) -> Told:
        """Charges of each class group, releases of each offset, and what each position adds to the equity."""
        if not is_known[group]:
            return Told()
        with exactly():
            members = measured.groups.members(group)
            kinds = measured.instruments.kind[measured.instrument[members]]
            parts = tuple(_equity_parts(amounts[members], kinds == classes.OPTION))
            return Told((*telling.charges(measured, group, terms), *telling.releases(measured, reliefs, group)), parts)

    return told


def _equity_parts(amounts: Array, is_option: Array) -> Iterator[EquityPart]:
    for place, (amount, of_option) in enumerate(zip(amounts, is_option, strict=True)):
        if amount:
            yield EquityPart("option_value" if of_option else "market_value", place, amount)


def stress_values(groups: Groups, market: Market, terms: Terms) -> Array:
    """Profit [g, points] of every group at the firm's stress points (`terms.stress`), in its currency: float64, for
    reports. NaN where a member cannot be valued."""
    prices = np.array([point.price_rate for point in terms.stress], np.float64)
    volatilities = np.array([point.volatility_rate for point in terms.stress], np.float64)
    used, instrument = np.unique(groups.instrument, return_inverse=True)
    model = valuation.model_of(groups.instruments.take(used), market, terms.parity_tolerance_rate)
    unit = valuation.unit_values(model, prices, volatilities)[instrument.reshape(-1)]
    weights = (groups.quantity.astype(np.float64) * groups.to_group.astype(np.float64))[:, None]
    out = np.zeros((len(groups), len(prices)))
    np.add.at(out, np.repeat(np.arange(len(groups)), np.diff(groups.offsets)), unit * weights)
    return out
