"""From a group to its cheapest lawful cover: read what is held, list the ways, solve, and add up what is left."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from margin.engine import cover
from margin.engine.columns import Market
from margin.engine.exact import ZERO
from margin.engine.groups import Groups
from margin.engine.methodologies.option_strategies import hedges, shorts, spreads
from margin.engine.methodologies.option_strategies.legs import (
    OPTION,
    Holding,
    Refusal,
    Series,
    is_loanable,
    read_holding,
    read_series,
    recognised,
)
from margin.engine.methodologies.option_strategies.terms import Terms
from margin.engine.methodologies.option_strategies.ways import Held, Position, Stock, Way

_ROWS_PER_LEG = 3  # of the program, which has a column for each pair
_MOST_CELLS = 1 << 26  # of the program: half a gigabyte, held more than once


@dataclass(frozen=True)
class Loan:
    """Long contracts left alone that have loan value: what they count for, and what is asked of that."""

    option: int
    contracts: int
    counted: Decimal
    requirement: Decimal


@dataclass(frozen=True)
class Covered:
    """A group's cover, and what its longs and its stock come to where no way and no spread uses them.

    Amounts are on equity, exact. `requirement − equity` is the least that the rules allow.
    """

    held: Held
    ways: tuple[tuple[Way, int], ...]  # and how many times each
    spreads: tuple[cover.Spread, ...]

    @cached_property
    def idle_stock(self) -> tuple[tuple[Stock, Decimal], ...]:
        """Units of each stock that no way uses."""
        left = [stock.units for stock in self.held.stocks]
        for way, times in self.ways:
            for s, units in way.stocks:
                left[s] -= units * times
        return tuple((stock, units) for stock, units in zip(self.held.stocks, left, strict=True) if units)

    @cached_property
    def loans(self) -> tuple[Loan, ...]:
        """Long options beyond nine months that no way and no spread uses (Manual pages 5, 23 to 27)."""
        idle = [option.contracts for option in self.held.options]
        used = [*((way.options, times) for way, times in self.ways), *((spread.legs, 1) for spread in self.spreads)]
        for legs, times in used:
            for k, contracts in legs:
                idle[k] -= contracts * times
        terms, out = self.held.terms, []
        for k, contracts in enumerate(idle):
            series = self.held.options[k].series
            value = recognised(series) if contracts > 0 and is_loanable(series, self.held.market, terms) else None
            if value:
                counted = value * contracts
                out.append(Loan(k, contracts, counted, terms.long_option_rate * counted))
        return tuple(out)

    @property
    def requirement(self) -> Decimal:
        return (
            sum((way.requirement * times for way, times in self.ways), ZERO)
            + sum((spread.loss for spread in self.spreads), ZERO)
            + sum((loan.requirement for loan in self.loans), ZERO)
            + sum((units * stock.holding.requirement for stock, units in self.idle_stock), ZERO)
        )

    @property
    def initial(self) -> Decimal:
        """On the equity of a stored account, from which what was paid for longs has gone already."""
        return (
            sum((way.initial * times for way, times in self.ways), ZERO)
            + sum((spread.loss for spread in self.spreads), ZERO)
            + sum((loan.requirement for loan in self.loans), ZERO)
            + sum((units * stock.holding.initial for stock, units in self.idle_stock), ZERO)
        )

    @property
    def equity(self) -> Decimal:
        return (
            sum((way.equity * times for way, times in self.ways), ZERO)
            + sum((loan.counted for loan in self.loans), ZERO)
            + sum((stock.units * stock.holding.added for stock in self.held.stocks), ZERO)
        )


@dataclass
class Reader:
    """Series and holdings of one set of groups, each read once."""

    groups: Groups
    market: Market
    terms: Terms

    def __post_init__(self) -> None:
        self._series: dict[int, Series] = {}
        self._holdings: dict[tuple[int, bool], Holding] = {}

    def held(self, group: int) -> Held:
        """The group's positions; Refusal where one cannot be read."""
        options, stocks, currencies = [], [], set()
        members = self.groups.members(group)
        rows = self.groups.instrument[members].tolist()
        for place, (i, quantity) in enumerate(zip(rows, self.groups.quantity[members], strict=True)):
            currencies.add(int(self.groups.instruments.currency[i]))
            if self.groups.instruments.kind[i] == OPTION:
                options.append(Position(place, self._series_in(i), self._contracts(i, quantity)))
            else:
                stocks.append(Stock(place, self._holding_in(i, quantity > 0), abs(quantity)))
        if len(currencies) > 1:
            names = ", ".join(sorted(self.groups.instruments.currencies[c] for c in currencies))
            code = self.groups.instruments.codes[rows[0]]
            raise Refusal(f"{code}: held with its options in several currencies ({names}); price them in one")
        lost = tuple(self._lost(option) for option in options)
        return Held(tuple(options), tuple(stocks), lost, self.market, self.terms)

    def _series_in(self, i: int) -> Series:
        if i not in self._series:
            self._series[i] = read_series(self.groups.instruments, i, self.market, self.terms)
        return self._series[i]

    def _holding_in(self, i: int, is_long: bool) -> Holding:
        if (i, is_long) not in self._holdings:
            self._holdings[i, is_long] = read_holding(self.groups.instruments, i, self.groups.base, is_long, self.terms)
        holding = self._holdings[i, is_long]
        if holding.missing:
            raise Refusal(holding.missing)
        if not is_long and self.terms.account == "cash":
            raise Refusal(
                f"{holding.code}: a cash account cannot be short of stock; buy it back or open a margin account"
            )
        return holding

    def _contracts(self, i: int, quantity: Decimal) -> int:
        if quantity != int(quantity):
            code = self.groups.instruments.codes[i]
            raise Refusal(f"{code}: {quantity} is not a whole number of contracts; correct the position")
        return int(quantity)

    def _lost(self, option: Position) -> Decimal:
        if option.is_short or not is_loanable(option.series, self.market, self.terms):
            return ZERO
        return (1 - self.terms.long_option_rate) * (recognised(option.series) or ZERO)


def require_prices(held: Held) -> None:
    """Refusal where a price is missing that the requirement reads; a long option alone needs none."""
    for option in held.options:
        series = option.series
        has_loan = is_loanable(series, held.market, held.terms)
        needs_value = option.is_short or (has_loan and series.contract.venue == "listed")
        needs_underlying = option.is_short or has_loan or bool(held.stocks)  # a long may be the hedge of stock
        if (needs_value and series.value is None) or (needs_underlying and series.underlying is None):
            raise Refusal(series.missing)


def covered(held: Held) -> Covered:
    """The cheapest cover. Refusal names a short that nothing covers. Call inside `exact.exactly()`."""
    _require_size(held)
    offered = (*shorts.ways(held), *hedges.ways(held), *spreads.boxes(held))
    if not offered and all(option.contracts > 0 for option in held.options):
        return Covered(held, (), ())
    families = spreads.families(held)
    problem = cover.Problem(
        legs=tuple(
            cover.Leg(
                right=option.series.contract.right,
                strike=option.series.strike,
                expires_on=spreads.moment(held, option.series),
                contracts=option.contracts,
                size=option.series.size,
                families=families[k],
                spread_cost=held.lost[k],
            )
            for k, option in enumerate(held.options)
        ),
        stocks=tuple(stock.units for stock in held.stocks),
        pieces=tuple(cover.Piece(way.options, way.stocks, way.cost) for way in offered),
    )
    try:
        found = cover.cheapest(problem)
    except cover.NoCover as error:
        raise Refusal(_uncovered(held, str(error))) from None
    except ArithmeticError:  # the cover failed its check in whole numbers
        codes = ", ".join(option.series.code for option in held.options)
        raise Refusal(
            f"{codes}: no cover of so many contracts can be proven the cheapest; margin them by hand"
        ) from None
    return Covered(held, tuple((offered[k], times) for k, times in found.pieces), found.spreads)


def _require_size(held: Held) -> None:
    """Refusal where the pairs of short puts and calls alone would fill the memory, and so stop a sweep."""
    calls = sum(option.is_short and option.series.is_call for option in held.options)
    puts = sum(option.is_short for option in held.options) - calls
    if puts * calls * _ROWS_PER_LEG * len(held.options) > _MOST_CELLS:
        first = held.options[0].series.code
        raise Refusal(
            f"{first} and {len(held.options) - 1} more options, {puts} of them short puts and {calls} short calls: "
            "too large to solve exactly; margin them by hand"
        )


def _uncovered(held: Held, reason: str) -> str:
    """Why there is no cover: a price that is missing, a call that a cash account may not write, or a search's end."""
    for option in held.options:
        if option.is_short and option.series.missing and held.terms.account == "margin":
            return option.series.missing
    calls = [option.series.code for option in held.options if option.is_short and option.series.is_call]
    if held.terms.account == "cash" and calls:
        return (
            f"{', '.join(calls)}: a call written in a cash account must be covered by the stock or a European "
            "cash-settled spread of one expiry; buy it back, or deposit the stock"
        )
    return reason
