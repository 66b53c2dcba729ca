"""Class groups: what moves with one underlying or one index, and how far that is moved.

Eligible are margin securities, listed options and warrants with known terms; unlisted options only in the tier that
asks for the equity they need (FINRA 4210(g)(1), (5)).
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from margin.engine.columns import KINDS, Array, Contract, Instruments
from margin.engine.exact import ONE
from margin.engine.groups import NO_GROUP, Groups, Keys
from margin.engine.measures import nothing, silence
from margin.engine.methodologies.portfolio.terms import Terms

_ACCOUNT = 1  # the one group of an account: offsets between underlyings need all of them
_STOCK = (KINDS.index("equity"), KINDS.index("etf"))
OPTION, _WARRANT = KINDS.index("option"), KINDS.index("warrant")
WRITTEN = (OPTION, _WARRANT)
_INDEXES = ("narrow_index", "broad_index", "high_cap_index", "vol_index")


def keys(instruments: Instruments, terms: Terms) -> Keys:
    """One group per account, claimed by whatever is eligible; the rest stays with the regime's own methodology."""
    eligible = np.isin(instruments.kind, _STOCK) & instruments.margin_eligible
    takes_unlisted = terms.tier == "unlisted"
    for i in np.flatnonzero(np.isin(instruments.kind, WRITTEN)):
        contract = instruments.contract[i]
        if instruments.kind[i] == OPTION:
            eligible[i] = contract is None or contract.venue == "listed" or takes_unlisted
        else:
            eligible[i] = _has_terms(contract) and (contract.venue == "listed" or takes_unlisted)
    return Keys(np.where(eligible, _ACCOUNT, NO_GROUP).astype(np.int64), eligible, spans_currencies=True)


def _has_terms(contract: Contract | None) -> bool:
    return contract is not None and contract.expires_on is not None and contract.conversion > 0


@dataclass(frozen=True)
class Underlyings:
    """Per instrument: what it is written on or is, and how far the rule and the house move that."""

    key: Array  # int64: id of the index it follows, else of the underlying
    name: Array  # str: code of the underlying, '' when only its id is known
    margin_class: Array  # str
    leverage: Array  # Decimal
    factor: Array  # Decimal: the house's multiplier of the range
    refused: Array  # str


def underlyings(instruments: Instruments, terms: Terms) -> Underlyings:
    """A fund moves with its index in per cent, so both are of one class; a leveraged fund is a class of its own, for
    its leverage is known without its sign."""
    count = len(instruments)
    found = Underlyings(
        key=instruments.ids.copy(),
        name=instruments.codes.copy(),
        margin_class=instruments.margin_class.copy(),
        leverage=instruments.leverage.copy(),
        factor=nothing(count) + ONE,
        refused=silence(count),
    )
    for i in range(count):
        contract, index = instruments.contract[i], int(instruments.index[i])
        if contract is not None and instruments.kind[i] in WRITTEN:
            found.key[i], found.name[i], index = contract.underlying, contract.underlying_code, contract.index
            found.margin_class[i], found.leverage[i] = contract.margin_class, contract.leverage
        if index and found.leverage[i] == ONE:
            found.key[i] = index
        found.factor[i] = _factor(str(found.margin_class[i]), (instruments.codes[i], found.name[i]), terms)
        if found.margin_class[i] not in terms.ranges:
            found.refused[i] = f"{instruments.codes[i]}: no range for {found.margin_class[i]}"
    return found


def _factor(margin_class: str, names: tuple[str, ...], terms: Terms) -> Decimal:
    house = terms.house
    return max(house.classes.get(margin_class, ONE), *(house.instruments.get(name, ONE) for name in names))


@dataclass(frozen=True)
class Classes:
    """c class groups by (group, key). Positions are places in the groups' position arrays, sorted by class group."""

    place: Array  # int64[q] the positions, sorted
    offsets: Array  # int64[c + 1] into `place`
    group: Array  # int64[c]
    margin_class: Array  # str[c]
    moves: Array  # int64[c] row of `listed_moves`
    listed_moves: tuple[tuple[Decimal, ...], ...]  # signed fractions, one per point

    def __len__(self) -> int:
        return len(self.group)


def arrange(groups: Groups, instrument: Array, found: Underlyings, terms: Terms) -> Classes:
    """Class groups of all groups; `instrument` is each position's row in `found`.

    A class group is of the gravest margin class among its members: an index's class decides over a fund's, then the
    wider range. The largest leverage and the largest house multiplier count.
    """
    group = np.repeat(np.arange(len(groups)), np.diff(groups.offsets))
    key = found.key[instrument]
    place = np.lexsort((np.arange(len(key)), key, group))
    group, key = group[place], key[place]
    starts = np.flatnonzero(np.concatenate(([True], (group[1:] != group[:-1]) | (key[1:] != key[:-1])))[: len(key)])
    rows = instrument[place]
    order = sorted(terms.ranges, key=lambda name: (name in _INDEXES, _width(name, terms), name))
    ranks = np.array([order.index(name) if name in order else 0 for name in found.margin_class], np.int64)
    highest = tuple(
        _highest(column[rows], starts) for column in (ranks, _ranked(found.leverage), _ranked(found.factor))
    )
    leverages, factors = sorted(set(found.leverage)), sorted(set(found.factor))
    shape = (len(order), len(leverages), len(factors))
    distinct, moves = np.unique(np.ravel_multi_index(highest, shape), return_inverse=True)
    return Classes(
        place=place,
        offsets=np.append(starts, len(place)).astype(np.int64),
        group=group[starts],
        margin_class=np.array(order, object)[highest[0]],
        moves=moves,
        listed_moves=tuple(
            _moves(order[rank], leverages[leverage] * factors[factor], terms)
            for rank, leverage, factor in zip(*np.unravel_index(distinct, shape), strict=True)
        ),
    )


def _width(name: str, terms: Terms) -> Decimal:
    return max(terms.ranges[name].down, terms.ranges[name].up)


def _ranked(numbers: Array) -> Array:
    """Each Decimal's place among the distinct ones."""
    places = {number: place for place, number in enumerate(sorted(set(numbers)))}
    return np.array([places[number] for number in numbers], np.int64)


def _highest(ranks: Array, starts: Array) -> Array:
    highest: Array = np.maximum.reduceat(ranks, starts) if len(starts) else np.zeros(0, np.int64)
    return highest


def _moves(margin_class: str, widening: Decimal, terms: Terms) -> tuple[Decimal, ...]:
    """Equidistant points, half of them below the price and half above; no price falls by more than all of itself."""
    side = terms.points // 2
    down = min(terms.ranges[margin_class].down * widening, ONE)
    up = terms.ranges[margin_class].up * widening
    below = tuple(-(down * step) / side for step in range(side, 0, -1))
    return (*below, *(up * step / side for step in range(1, side + 1)))
