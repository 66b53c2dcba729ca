"""Sizing: what restores an account in one regime. Every answer is a what-if, assessed like any account.

`plan` finds the smallest whole-lot sales (and purchases that cover shorts), those with the highest release per unit
traded first, which is the least turnover. `cures` lists the other ways: cash, one sale alone, a deposit of securities.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from margin.engine import alternatives, sums
from margin.engine.charges import levels_of
from margin.engine.columns import CASH, Book, Instruments, Market, RegimeRule, Rules
from margin.engine.exact import ZERO, exactly, round_down, round_quotient_up, round_up
from margin.engine.levels import thresholds
from margin.engine.measures import MARGINED, governed, worth

_BRANCHES = 32  # what-ifs per assessment while searching
_SLICES = 64
_MOST_ROUNDS = 64  # 32^64 lots is more than any position


class NotSizable(ValueError):
    """Nothing can be sized for this account; the message says why."""


@dataclass(frozen=True)
class Trade:
    """One line of a plan: sold is negative, bought to cover is positive. Money is in the instrument's currency."""

    instrument_id: int
    quantity: Decimal
    price: Decimal
    proceeds: Decimal  # before the fee, rounded down; negative when bought
    fee: Decimal  # rounded up


@dataclass(frozen=True)
class Plan:
    """Trades that restore the regime, or everything eligible and the residual that remains, in base currency."""

    trades: tuple[Trade, ...]
    is_enough: bool
    residual: Decimal


@dataclass(frozen=True)
class Amount:
    """So much of one instrument, alone: `value` in base currency, `quantity` in whole lots."""

    instrument_id: int
    quantity: Decimal
    value: Decimal


@dataclass(frozen=True)
class Cures:
    """Each alone restores the regime. Empty where that way does not lead there."""

    cash: Decimal  # in base currency, rounded up
    sales: tuple[Amount, ...]
    deposits: tuple[Amount, ...]


@dataclass(frozen=True)
class Account:
    """One account in one regime, and the world around it: what every what-if shares."""

    book: Book
    row: int
    instruments: Instruments
    market: Market
    rules: Rules
    regime: str
    fee_rate: Decimal
    fee_minimum: Decimal = ZERO  # per trade, in the instrument's currency
    half_spreads: Mapping[int, Decimal] = field(default_factory=dict)  # by row of Instruments, as prices are stated
    _cash: dict[int, int] = field(default_factory=dict, init=False, repr=False, compare=False)
    _units: dict[int, Decimal] = field(default_factory=dict, init=False, repr=False, compare=False)

    def excess(self, changes: Sequence[Mapping[int, Decimal]]) -> list[Decimal]:
        """Equity beyond the restore requirement in each alternative; where nothing is asked any more, at least 0."""
        copies = alternatives.books(self.instruments, self.book, self.row, changes)
        policy = self.rules.policies[int(self.book.policy[self.row])]
        everyone = np.arange(len(changes))
        summed = sums.of_policy(copies, self.instruments, self.market, policy, everyone)
        unpriced = summed.why_unpriced(everyone)
        if any(unpriced):
            raise NotSizable(f"Account {self.id} is unpriced ({'; '.join(next(filter(None, unpriced)))})")
        index = policy.regimes.index(self.rule)
        with exactly():
            levels = levels_of(summed, index, everyone)
            restore = thresholds(levels, policy.regimes[index], Decimal).restore
            left = levels.equity - restore
            return [max(x, ZERO) if not applies else x for x, applies in zip(left, levels.applies, strict=True)]

    def start(self) -> Decimal:
        """The excess as it stands. Raises NotSizable where the requirement itself is in doubt."""
        (excess,) = self.excess([{}])
        rows = np.array([self.row])
        policy = self.rules.policies[int(self.book.policy[self.row])]
        summed = sums.of_policy(self.book, self.instruments, self.market, policy, rows)
        with exactly():
            levels = levels_of(summed, policy.regimes.index(self.rule), np.array([0]))
        if excess < 0 and levels.doubtful is not None and levels.doubtful[0]:
            costs = "; ".join(summed.unknown_costs(policy.regimes.index(self.rule), 0))
            raise NotSizable(f"Account {self.id}: the {self.regime} requirement is in doubt ({costs})")
        return excess

    @property
    def rule(self) -> RegimeRule:
        policy = self.rules.policies[int(self.book.policy[self.row])]
        for rule in policy.regimes:
            if rule.regime == self.regime:
                return rule
        raise NotSizable(f"Policy {policy.code} has no regime {self.regime!r}")

    @property
    def id(self) -> int:
        return int(self.book.accounts[self.row])

    @property
    def base(self) -> int:
        return int(self.book.base[self.row])

    def traded(self, quantities: Mapping[int, Decimal]) -> dict[int, Decimal]:
        """Changes of the holdings when these quantities are traded: the instruments, and the cash they move."""
        changes: dict[int, Decimal] = {}
        with exactly():
            for i, quantity in quantities.items():
                cash = self.cash_row(int(self.instruments.currency[i]))
                changes[i] = changes.get(i, ZERO) + quantity
                brings = self.brings(i, quantity) - self.fee(i, quantity) - self.spread(i, quantity)
                changes[cash] = changes.get(cash, ZERO) + brings
        return changes

    def brings(self, i: int, quantity: Decimal) -> Decimal:
        """What the trade moves in cash before its fee: the proceeds, of a future or perpetual the profit it realises.

        Raises NotSizable where that profit is not known.
        """
        if self.instruments.kind[i] not in MARGINED:
            return self.proceeds(i, quantity)
        held, cost = alternatives.positions_of(self.book, self.row).get(i, (ZERO, ZERO))
        with exactly():
            kept = alternatives.cost_after(held, held + quantity, cost)
            if cost is None or kept is None:
                raise NotSizable(f"Account {self.id}: the cost of its {self.instruments.codes[i]} is not known")
            profit = -quantity * self.unit(i) - (cost - kept)
        return round_down(profit, self.instruments.minor_exponent(int(self.instruments.currency[i])))

    def proceeds(self, i: int, quantity: Decimal) -> Decimal:
        """What the trade brings into cash, booked in whole minor units and never in the account's favour."""
        with exactly():
            value = -quantity * self.unit(i)
        return round_down(value, self.instruments.minor_exponent(int(self.instruments.currency[i])))

    def unit(self, i: int) -> Decimal:
        """Value of one unit, in the instrument's currency. Call inside `exact.exactly()`."""
        if i not in self._units:
            self._units[i] = worth(self.instruments.take(np.array([i])))[0]
        return self._units[i]

    def fee(self, i: int, quantity: Decimal) -> Decimal:
        """What the trade is charged: the rate on its proceeds or the minimum, whichever is more."""
        if not quantity:
            return ZERO
        with exactly():
            charged = max(abs(self.proceeds(i, quantity)) * self.fee_rate, self.fee_minimum)
        return round_up(charged, self.instruments.minor_exponent(int(self.instruments.currency[i])))

    def spread(self, i: int, quantity: Decimal) -> Decimal:
        """What crossing half the quoted spread loses against the mark; nothing where no spread is known."""
        half = self.half_spreads.get(i, ZERO)
        if not half or not quantity:
            return ZERO
        price = abs(self.instruments.price[i])
        exponent = self.instruments.minor_exponent(int(self.instruments.currency[i]))
        with exactly():
            if not price:
                return round_up(abs(quantity) * half * self.instruments.multiplier[i], exponent)
            return round_quotient_up(abs(quantity * self.unit(i)) * half, price, exponent)

    def cash_row(self, currency: int) -> int:
        if currency not in self._cash:
            rows = np.flatnonzero((self.instruments.kind == CASH) & (self.instruments.currency == currency))
            if not rows.size:
                raise NotSizable(f"There is no cash instrument in {self.instruments.currencies[currency]}")
            self._cash[currency] = int(rows[0])
        return self._cash[currency]

    def rate(self, i: int) -> Decimal:
        """The instrument's currency in base currency; known, because the account is priced."""
        codes = self.instruments.currencies
        rate = self.market.rate(codes[self.instruments.currency[i]], codes[self.base])
        if rate is None:
            raise NotSizable(f"There is no rate {codes[self.instruments.currency[i]]}/{codes[self.base]}")
        return rate


@dataclass(frozen=True)
class Holding:
    """A position that may be traded away, in whole lots; the last lot may be a broken one."""

    row: int
    quantity: Decimal
    lot: Decimal

    @property
    def lots(self) -> int:
        return int(round_quotient_up(abs(self.quantity), self.lot, 0))

    def closing(self, lots: int) -> Decimal:
        """The trade that gives up so many lots: never more than is held, so never a change of sign."""
        with exactly():
            size = min(lots * self.lot, abs(self.quantity))
            return -size if self.quantity > 0 else size


def plan(
    book: Book,
    instruments: Instruments,
    market: Market,
    rules: Rules,
    *,
    regime: str,
    fee_rate: Decimal = ZERO,
    account_row: int = 0,
    excluded: Collection[int] = (),
) -> Plan:
    """The smallest whole-lot trades that restore `regime`, fees included; instruments `excluded` (ids) stay.

    One lot less of any line would not be enough. If nothing is enough, everything whose sale helps is sold and the
    residual says what is still missing. Raises NotSizable for an unpriced account.
    """
    account = Account(book, account_row, instruments, market, rules, regime, fee_rate)
    excess = account.start()
    if excess >= 0:
        return Plan((), True, ZERO)
    order = _by_release(account, _eligible(account, excluded), excess)
    sold: dict[int, int] = {}
    for k, holding in enumerate(order):
        sold[k] = holding.lots
        if account.excess([_trades(account, order, sold)])[0] >= 0:
            sold = _least(account, order, sold)
            return _finished(account, order, sold, ZERO)
    (excess,) = account.excess([_trades(account, order, sold)])
    residual = round_up(-excess, instruments.minor_exponent(account.base))
    return _finished(account, order, sold, residual)


def _eligible(account: Account, excluded: Collection[int]) -> list[Holding]:
    may_be_traded = governed(account.instruments, account.rule.governs) & (account.instruments.kind != CASH)
    return [
        Holding(row, quantity, account.instruments.lot[row])
        for row, (quantity, _) in alternatives.positions_of(account.book, account.row).items()
        if may_be_traded[row] and int(account.instruments.ids[row]) not in excluded
    ]


def _by_release(account: Account, holdings: list[Holding], excess: Decimal) -> list[Holding]:
    """Holdings whose sale helps, the highest release per unit traded first (ties: lower instrument id).

    Release is measured on a slice of the holding, large enough for cents not to matter.
    """
    if not holdings:
        return []
    slices = [holding.closing(max(holding.lots // _SLICES, 1)) for holding in holdings]
    wholes = [account.traded({holding.row: holding.closing(holding.lots)}) for holding in holdings]
    parts = [account.traded({holding.row: size}) for holding, size in zip(holdings, slices, strict=True)]
    left = account.excess([*wholes, *parts])
    ranked = []
    for holding, size, whole, part in zip(holdings, slices, left, left[len(holdings) :], strict=False):
        if max(whole, part) > excess:
            value = abs(account.proceeds(holding.row, size)) * account.rate(holding.row)
            release = float(part - excess) / float(value) if value else 0.0
            ranked.append((-release, int(account.instruments.ids[holding.row]), holding))
    ranked.sort(key=lambda entry: entry[:2])
    return [holding for _, _, holding in ranked]


def _trades(account: Account, order: Sequence[Holding], sold: Mapping[int, int]) -> dict[int, Decimal]:
    return account.traded({order[k].row: order[k].closing(lots) for k, lots in sold.items() if lots})


def _least(account: Account, order: Sequence[Holding], sold: dict[int, int]) -> dict[int, int]:
    """Shrink every line as far as the others allow, the latest (least releasing) first, until none can shrink."""
    for _ in range(_MOST_ROUNDS):
        before = dict(sold)
        for k in reversed(list(sold)):
            sold[k] = _fewest_lots(account, order, sold, k)
        if sold == before:
            break
    return sold


def _fewest_lots(account: Account, order: Sequence[Holding], sold: Mapping[int, int], k: int) -> int:
    """The lots of line k that are enough while one fewer is not; the present number is enough."""
    low, high = -1, sold[k]  # `high` is enough; `low` is not, or does not exist
    for _ in range(_MOST_ROUNDS):
        if high - low <= 1:
            break
        step = max((high - low) // _BRANCHES, 1)
        points = list(range(low + step, high, step))
        left = account.excess([_trades(account, order, {**sold, k: lots}) for lots in points])
        enough = [lots for lots, excess in zip(points, left, strict=True) if excess >= 0]
        short = [lots for lots, excess in zip(points, left, strict=True) if excess < 0]
        high = min(enough, default=high)
        low = max((lots for lots in short if lots < high), default=low)
    return high


def _finished(account: Account, order: Sequence[Holding], sold: Mapping[int, int], residual: Decimal) -> Plan:
    trades = []
    for k, lots in sold.items():
        if lots:
            row, quantity = order[k].row, order[k].closing(lots)
            trades.append(
                Trade(
                    instrument_id=int(account.instruments.ids[row]),
                    quantity=quantity,
                    price=account.instruments.price[row],
                    proceeds=account.proceeds(row, quantity),
                    fee=account.fee(row, quantity),
                )
            )
    return Plan(tuple(trades), residual == 0, residual)


def cures(
    book: Book,
    instruments: Instruments,
    market: Market,
    rules: Rules,
    *,
    regime: str,
    fee_rate: Decimal = ZERO,
    account_row: int = 0,
) -> Cures:
    """Cash, one sale, or a deposit of a security that is held: each alone restores the regime."""
    account = Account(book, account_row, instruments, market, rules, regime, fee_rate)
    excess = account.start()
    if excess >= 0:
        return Cures(ZERO, (), ())
    holdings = _by_release(account, _eligible(account, ()), excess)
    return Cures(
        cash=round_up(-excess, instruments.minor_exponent(account.base)),
        sales=tuple(filter(None, (_sale(account, holding) for holding in holdings))),
        deposits=_deposits(account, excess),
    )


def _sale(account: Account, holding: Holding) -> Amount | None:
    whole = {0: holding.lots}
    if account.excess([_trades(account, [holding], whole)])[0] < 0:
        return None
    quantity = holding.closing(_fewest_lots(account, [holding], whole, 0))
    return _amount(account, holding.row, quantity)


def _amount(account: Account, row: int, quantity: Decimal) -> Amount:
    with exactly():
        value = abs(account.proceeds(row, quantity)) * account.rate(row)
    exponent = account.instruments.minor_exponent(account.base)
    return Amount(int(account.instruments.ids[row]), quantity, round_up(value, exponent))


def _deposits(account: Account, excess: Decimal) -> tuple[Amount, ...]:
    """What must be deposited of each security held long: the deficit ÷ what one lot of it releases."""
    longs = [holding for holding in _eligible(account, ()) if holding.quantity > 0]
    if not longs:
        return ()
    after = account.excess([{holding.row: holding.lot} for holding in longs])
    found = []
    exponent = account.instruments.minor_exponent(account.base)
    for holding, left in zip(longs, after, strict=True):
        with exactly():
            release = left - excess
            value = holding.lot * worth(account.instruments)[holding.row] * account.rate(holding.row)
            if release <= 0:
                continue
            quantity = round_quotient_up(-excess, release, 0) * holding.lot
            amount = round_quotient_up(-excess * value, release, exponent)
        found.append(Amount(int(account.instruments.ids[holding.row]), quantity, amount))
    return tuple(found)
