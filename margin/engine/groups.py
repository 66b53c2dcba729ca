"""Groups: positions that a part of a regime measures together, such as the options on one stock and the stock itself.

A regime's own methodology measures position by position (`measures.Units`). Its *parts* measure groups: each says which
instruments belong together and which of them it claims; what is claimed is charged by the part alone and never twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine.columns import Array, Instruments
from margin.engine.measures import Sentence, Units

NO_GROUP = 0


@dataclass(frozen=True)
class Keys:
    """Per instrument: the group it belongs to within an account (NO_GROUP: none), and whether it claims that group.

    A group is measured in an account that holds at least one instrument that claims it: shares alone do not make an
    option group. Where nothing is `claimed`, the part only adds to what others charge (concentration).
    """

    keys: Array  # int64
    claims: Array  # bool
    is_addition: bool = False  # others charge these positions as well
    spans_currencies: bool = False  # amounts are then in the account's base currency
    takes_cash: bool = False  # cash belongs to the groups too


@dataclass(frozen=True)
class Groups:
    """g groups by (account, key), and their positions by instrument id.

    Amounts of a group are in its currency: that of its positions, or the account's base currency where a part spans
    currencies. `to_group` converts a position's currency to it.
    """

    instruments: Instruments
    base: Units  # what the regime's own methodology says of one unit of each instrument
    account: Array  # int64[g] index of the account within the policy's accounts, rising
    currency: Array  # int32[g] index into the instruments' currencies
    offsets: Array  # int64[g + 1]
    position: Array  # int64[q] row of the book's positions
    instrument: Array  # int32[q] row of `instruments`
    quantity: Array  # Decimal[q], signed
    to_group: Array  # Decimal[q]

    def __len__(self) -> int:
        return len(self.account)

    def members(self, group: int) -> slice:
        """The group's positions, as a slice of the position arrays."""
        return slice(int(self.offsets[group]), int(self.offsets[group + 1]))

    def of_account(self, account: int) -> range:
        """The account's groups."""
        first, beyond = np.searchsorted(self.account, [account, account + 1]).tolist()
        return range(first, beyond)


@dataclass(frozen=True)
class GroupCharge:
    """One charge of a group: the legs it is for, with the quantities it uses of each, and how it is told.

    `legs` are (place among the group's positions, signed quantity); none: a charge on the whole group.
    """

    code: str
    branch: str
    amount: Decimal  # in the group's currency; negative: a release
    legs: tuple[tuple[int, Decimal], ...]
    inputs: Mapping[str, Any]  # Decimals, dates and strings that the sentence names
    sentence: Sentence


@dataclass(frozen=True)
class EquityPart:
    """What a part adds to the equity on account of one position, such as the loan value of a long option."""

    name: str
    place: int  # among the group's positions
    amount: Decimal  # in the group's currency


@dataclass(frozen=True)
class Told:
    """A group's explanation: its charges add up to the requirement, its parts to the equity, exactly.

    `floor` tells where the group's floor comes from; its amount is the floor itself.
    """

    charges: tuple[GroupCharge, ...] = ()
    equity: tuple[EquityPart, ...] = ()
    floor: GroupCharge | None = None


@dataclass(frozen=True)
class Change:
    """A day on which a group's need changes though no price does. `amount` is how much more it needs (negative: less)
    than on the day before, at today's prices, in the group's currency."""

    group: int
    on: date
    amount: Decimal
    reason: str


def no_changes() -> tuple[Change, ...]:
    """The forecast of groups whose need the calendar alone never changes."""
    return ()


@dataclass(frozen=True)
class GroupFigures:
    """Exact amounts per group, in its currency. Where `refused` says why, there is no number and the amounts are 0.

    `initial` is what the positions need when they are opened; `equity` is added to what the base methodology counts.
    """

    requirement: Array  # Decimal[g]
    initial: Array  # Decimal[g]
    equity: Array  # Decimal[g]
    refused: Array  # str[g]
    told: Callable[[int], Told]
    floor: Array | None = None  # Decimal[g]: what the whole account must at least hold, whatever the charges say
    forecast: Callable[[], Sequence[Change]] = no_changes  # in order of days within each group


def nothing_told(_: int) -> Told:
    """The explanation of groups that charge nothing."""
    return Told()


def none(count: int) -> GroupFigures:
    """Figures of groups that ask nothing."""
    zero, silent = np.full(count, Decimal(0), object), np.full(count, "", object)
    return GroupFigures(zero, zero, zero, silent, nothing_told)


def arrange(
    *,
    instruments: Instruments,
    base: Units,
    keys: Keys,
    account: Array,
    base_currency: Array,
    position: Array,
    instrument: Array,
    quantity: Callable[[Array], Array],
    convert: Callable[[int, int], Decimal | None],
) -> Groups:
    """Gather the positions of some accounts (`account` is an index per position) into the groups that are claimed.

    `quantity` gives Decimals for rows of the book; `convert` the rate between two currencies, None where it is missing
    (the position's `to_group` is then 0, and the account unpriced anyway).
    """
    chosen = np.flatnonzero((keys.keys[instrument] != NO_GROUP) & holds_a_claim(keys, account, instrument))
    order = np.lexsort((instruments.ids[instrument[chosen]], keys.keys[instrument[chosen]], account[chosen]))
    chosen = chosen[order]
    starts = _starts(account[chosen], keys.keys[instrument[chosen]])
    first = np.flatnonzero(starts)
    group = np.cumsum(starts) - 1
    claimed = np.zeros(len(first), bool)
    claimed[group[keys.claims[instrument[chosen]]]] = True
    kept = claimed[group] if len(group) else np.zeros(0, bool)
    chosen, first = chosen[kept], first[claimed]
    counts = np.bincount(group[kept], minlength=len(claimed))[claimed] if len(group) else np.zeros(0, np.int64)
    rows = instrument[chosen]
    owner = account[chosen][np.concatenate(([0], np.cumsum(counts)))[:-1]] if len(counts) else np.zeros(0, np.int64)
    own = instruments.currency[rows]
    currency = base_currency[owner] if keys.spans_currencies else own[np.cumsum(counts) - counts]
    target = np.repeat(currency, counts)
    return Groups(
        instruments=instruments,
        base=base,
        account=owner,
        currency=currency,
        offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        position=position[chosen],
        instrument=rows,
        quantity=quantity(position[chosen]),
        to_group=_rates(own, target, convert),
    )


def holds_a_claim(keys: Keys, account: Array, instrument: Array) -> Array:
    """bool per position: its account holds something that claims a group. Most accounts do not, and need no sorting."""
    holds = np.zeros(int(account.max(initial=-1)) + 1, bool)
    holds[account[keys.claims[instrument]]] = True
    return holds[account]


def _starts(account: Array, key: Array) -> Array:
    starts = np.ones(len(account), bool)
    starts[1:] = (account[1:] != account[:-1]) | (key[1:] != key[:-1])
    return starts


def _rates(own: Array, target: Array, convert: Callable[[int, int], Decimal | None]) -> Array:
    known: dict[tuple[int, int], Decimal] = {}
    out = np.empty(len(own), object)
    for k, pair in enumerate(zip(own.tolist(), target.tolist(), strict=True)):
        if pair not in known:
            known[pair] = convert(*pair) or Decimal(0)
        out[k] = known[pair]
    return out


def per_account(values: Sequence[Decimal] | Array, owner: Array, count: int) -> Array:
    """Exact sums per account. Call inside `exact.exactly()`."""
    sums = np.empty(count, object)
    sums[:] = Decimal(0)
    np.add.at(sums, owner, np.asarray(values, object))
    return sums
