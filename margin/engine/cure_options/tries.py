"""Tries: lines in so many steps each, what they cost, and what is left of the demands after them."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple, TypeVar

from margin.engine.cure_options.lines import Line
from margin.engine.cure_options.searches import Fewest, Left, Search, fewest, together
from margin.engine.cure_options.trials import Changes, Standing, Trials
from margin.engine.exact import ZERO, exactly

Counts = Mapping[int, int]  # line → steps, more than 0
Name = TypeVar("Name", bound=Hashable)


class Cost(NamedTuple):
    """What a way costs, as ways are compared: fees first, then turnover, then how many trades, then the older lines."""

    fee: Decimal  # base currency
    turnover: Decimal  # base currency, market value traded
    lines: tuple[int, ...]


@dataclass(frozen=True)
class Tries:
    """The lines of a scope, and what they cost."""

    trials: Trials
    scope: tuple[int, ...]  # of the trials' demands
    lines: tuple[Line, ...]
    _changes: dict[tuple[tuple[int, int], ...], Changes] = field(default_factory=dict, init=False)
    _costs: dict[tuple[int, int], tuple[Decimal, Decimal]] = field(default_factory=dict, init=False)

    def extended(self, lines: Sequence[Line]) -> "Tries":
        """With more lines; those there are keep their places."""
        more = replace(self, lines=(*self.lines, *lines))
        more._changes.update(self._changes)
        more._costs.update(self._costs)
        return more

    def standings(self, wanted: Sequence[Counts]) -> list[Standing]:
        """What each leads to; those not tried before are tried together."""
        return self.trials.measure([self.changes(counts) for counts in wanted])

    def left(self, standing: Standing) -> tuple[Decimal, ...]:
        """What is left beyond each demand of the scope, all of them measured."""
        return tuple(left for k in self.scope if (left := standing.left[k]) is not None)

    def changes(self, counts: Counts) -> Changes:
        """What the holdings and the cash change by."""
        key = tuple(sorted(counts.items()))
        if key not in self._changes:
            traded: dict[int, Decimal] = {}
            brought: dict[int, Decimal] = {}
            with exactly():
                for k, steps in counts.items():
                    into = brought if self.lines[k].is_deposit else traded
                    for row, quantity in self.lines[k].quantities(steps).items():
                        into[row] = into.get(row, ZERO) + quantity
            self._changes[key] = {**self.trials.account.traded(traded), **brought}
        return self._changes[key]

    def cost(self, counts: Counts) -> Cost:
        """What it costs to do so many steps of each line; a deposit costs nothing."""
        with exactly():
            fees, values = zip(*(self._cost_of(k, steps) for k, steps in counts.items()), strict=True)
            return Cost(sum(fees, ZERO), sum(values, ZERO), (len(counts), *sorted(counts)))

    def _cost_of(self, k: int, steps: int) -> tuple[Decimal, Decimal]:
        if (k, steps) not in self._costs:
            account, line = self.trials.account, self.lines[k]
            fee = value = ZERO
            for row, quantity in line.quantities(steps).items():
                rate = account.rate(row)
                value += abs(account.proceeds(row, quantity)) * rate
                fee += ZERO if line.is_deposit else account.fee(row, quantity) * rate
            self._costs[k, steps] = (fee, value)
        return self._costs[k, steps]

    def fewest(self, sought: Mapping[Name, tuple[int, Counts]]) -> dict[Name, Fewest]:
        """Per key, the fewest steps of a line that meet the scope when so much of other lines is done besides."""
        searches: dict[Name, Search] = {
            key: fewest(self.lines[k].most, self.lines[k].pieces, self._noise(k, besides))
            for key, (k, besides) in sought.items()
        }

        def measure(asked: Mapping[Name, Sequence[int]]) -> dict[Name, Left]:
            flat = [(key, n) for key, numbers in asked.items() for n in numbers]
            wanted = [{**sought[key][1], sought[key][0]: n} for key, n in flat]
            left: dict[Name, dict[int, tuple[Decimal, ...]]] = {key: {} for key in asked}
            for (key, n), standing in zip(flat, self.standings(wanted), strict=True):
                left[key][n] = self.left(standing)
            return dict(left)

        return together(searches, measure)

    def _noise(self, k: int, besides: Counts) -> Decimal:
        with exactly():
            return sum((self.lines[j].noise for j in (k, *besides)), ZERO)
