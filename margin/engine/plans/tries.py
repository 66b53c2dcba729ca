"""Tries: so many lots of every line closed together, what that costs, and what is then left beyond the demand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

from margin.engine.cure_options.lines import Line
from margin.engine.cure_options.searches import Fewest, Left, Search, fewest, together
from margin.engine.cure_options.trials import Trials
from margin.engine.exact import ZERO, exactly
from margin.engine.plans.terms import CHEAPEST
from margin.engine.sizing import Account

Counts = tuple[int, ...]  # lots of each line, in the lines' order


@dataclass(frozen=True)
class Outlay:
    """What trades come to, in base currency and exact: value traded, fees, half spreads."""

    value: Decimal = ZERO
    fee: Decimal = ZERO
    spread: Decimal = ZERO

    @property
    def paid(self) -> Decimal:
        """What is lost by trading. Call inside `exact.exactly()`."""
        return self.fee + self.spread


@dataclass(frozen=True)
class _Move:
    """So many lots of one line: what they change, and what that comes to."""

    row: int
    quantity: Decimal
    cash_row: int
    brings: Decimal
    outlay: Outlay


@dataclass(frozen=True)
class Tries:
    """One demand and the lines that may be closed for it, a holding each; `ranks` says which only after others."""

    trials: Trials
    lines: tuple[Line, ...]
    ranks: tuple[int, ...]
    objective: str
    _moves: dict[tuple[int, int], _Move] = field(default_factory=dict, init=False, repr=False)
    _left: dict[Counts, Decimal] = field(default_factory=dict, init=False, repr=False)

    @property
    def account(self) -> Account:
        """The account, and the world around it."""
        return self.trials.account

    @cached_property
    def most(self) -> Counts:
        """Everything closed."""
        return tuple(line.most for line in self.lines)

    @cached_property
    def none(self) -> Counts:
        """Nothing closed."""
        return (0,) * len(self.lines)

    @cached_property
    def start(self) -> Decimal:
        """What is left as the account stands: below zero, or there is nothing to do."""
        return self.left([self.none])[0]

    def left(self, wanted: Sequence[Counts]) -> list[Decimal]:
        """What is left beyond the demand after each, in base currency and exact; enough where not below zero."""
        new = list(dict.fromkeys(counts for counts in wanted if counts not in self._left))
        if new:
            with exactly():
                changes = [self._changes(counts) for counts in new]
            for counts, standing in zip(new, self.trials.measure(changes), strict=True):
                (left,) = standing.left
                self._left[counts] = ZERO if left is None else left
        return [self._left[counts] for counts in wanted]

    def changes(self, counts: Counts) -> dict[int, Decimal]:
        """What the holdings and the cash change by, by row of Instruments."""
        with exactly():
            return self._changes(counts)

    def _changes(self, counts: Counts) -> dict[int, Decimal]:
        changes: dict[int, Decimal] = {}
        for k, lots in enumerate(counts):
            if lots:
                move = self._move(k, lots)
                changes[move.row] = move.quantity
                changes[move.cash_row] = changes.get(move.cash_row, ZERO) + move.brings
        return changes

    def quantity(self, k: int, lots: int) -> Decimal:
        """The trade of so many lots of a line: never more than is held, so never a change of sign."""
        return self.lines[k].legs[0].closing(lots)

    def outlay(self, counts: Counts) -> Outlay:
        """What the trades come to."""
        with exactly():
            parts = [self._move(k, lots).outlay for k, lots in enumerate(counts) if lots]
            return Outlay(*(sum((getattr(one, name) for one in parts), ZERO) for name in ("value", "fee", "spread")))

    def outlay_of(self, k: int, lots: int) -> Outlay:
        """What so many lots of one line come to."""
        return self._move(k, lots).outlay

    def cost(self, counts: Counts) -> tuple[Decimal, ...]:
        """How plans are compared, the lower the better: the objective of the highest rank first, then of the lower
        ones; then value, for what pays alike, orders, and the older lines."""
        with exactly():
            by_rank = dict.fromkeys(self._ranks, ZERO)
            value = ZERO
            for k, lots in enumerate(counts):
                if lots:
                    by_rank[self.ranks[k]] += self.amount(k, lots)
                    value += self._move(k, lots).outlay.value
        orders = sum(1 for lots in counts if lots)
        return (*by_rank.values(), value, Decimal(orders), *(Decimal(-lots) for lots in counts))

    @cached_property
    def _ranks(self) -> tuple[int, ...]:
        return tuple(sorted({0, *self.ranks}, reverse=True))

    def amount(self, k: int, lots: int) -> Decimal:
        """What the objective counts of so many lots of a line. Call inside `exact.exactly()`."""
        outlay = self._move(k, lots).outlay
        return outlay.paid if self.objective == CHEAPEST else outlay.value + outlay.paid

    def _move(self, k: int, lots: int) -> _Move:
        if (k, lots) not in self._moves:
            account, row = self.account, self.lines[k].legs[0].row
            quantity = self.quantity(k, lots)
            gross, fee, spread = (
                account.proceeds(row, quantity),
                account.fee(row, quantity),
                account.spread(row, quantity),
            )
            with exactly():
                rate = account.rate(row)
                brings = account.brings(row, quantity) - fee - spread
                outlay = Outlay(abs(gross) * rate, fee * rate, spread * rate)
            cash = account.cash_row(int(account.instruments.currency[row]))
            self._moves[k, lots] = _Move(row, quantity, cash, brings, outlay)
        return self._moves[k, lots]

    def fewest(self, sought: Mapping[tuple[int, Counts], int]) -> dict[tuple[int, Counts], Fewest]:
        """Per (line, counts), the fewest lots of the line, at least one, that are enough with the other lines' counts;
        at most as many as stated."""
        searches: dict[tuple[int, Counts], Search] = {}
        for (k, counts), most in sought.items():
            line, noise = self.lines[k], self.noise({k, *held(counts)})
            pieces = line.pieces and tuple((first, min(last, most)) for first, last in line.pieces if first <= most)
            searches[k, counts] = fewest(most, pieces, noise)

        def measure(asked: Mapping[tuple[int, Counts], Sequence[int]]) -> dict[tuple[int, Counts], Left]:
            flat = [(key, lots) for key, numbers in asked.items() for lots in numbers]
            left = self.left([put(key[1], key[0], lots) for key, lots in flat])
            found: dict[tuple[int, Counts], dict[int, tuple[Decimal, ...]]] = {key: {} for key in asked}
            for (key, lots), rest in zip(flat, left, strict=True):
                found[key][lots] = (rest,)
            return dict(found)

        return together(searches, measure)

    def noise(self, lines: Iterable[int]) -> Decimal:
        """What booking trades of these lines may lose, in base currency."""
        with exactly():
            return sum((self.lines[k].noise for k in lines), ZERO)


def put(counts: Counts, k: int, lots: int) -> Counts:
    """The counts with so many lots of a line."""
    return (*counts[:k], lots, *counts[k + 1 :])


def held(counts: Counts) -> list[int]:
    """The lines of which something is closed."""
    return [k for k, lots in enumerate(counts) if lots]
