"""Concentration: more margin for what one name could do to an account. FINRA 4210(d), (f)(1): no schedule is printed
there, so every step is policy data. docs/methodologies/concentration.md.

It only adds. A *surcharge* raises the rate on positions in a name that is a large share of the account, or that would
take days to sell. The *stress* is a floor under the account's whole requirement: the loss if its worst single name
moved by the stated rate while everything else stood still.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine import terms as reading
from margin.engine import valuation
from margin.engine.columns import KINDS as ALL_KINDS
from margin.engine.columns import Array, Instruments, Market
from margin.engine.exact import ZERO, exactly
from margin.engine.groups import GroupCharge, GroupFigures, Groups, Keys, Told, nothing_told, per_account
from margin.engine.measures import REQUIREMENT, Sentence, gain, larger, pick, worth

CODE = "concentration"
GROUP_MEASURES = ("addition",)
KINDS = frozenset(
    {"equity", "etf", "bond", "option", "warrant", "crypto", "future", "perpetual", "future_option", "otc"}
)
_SURCHARGED = [ALL_KINDS.index(kind) for kind in ("equity", "etf", "bond", "warrant", "crypto")]
_WHOLE_ACCOUNT = 1
_VALUE_DECIMALS = 6  # of model values, rounded once per instrument
_LAW = "House requirement, FINRA Rule 4210(d) and (f)(1)"
_SENTENCES = {
    "share": Sentence("{listed}: {name} is {share_rate} of the account, so {rate} of market value is asked", _LAW),
    "volume": Sentence("{listed}: {days} days of average volume, so {rate} of market value is asked", _LAW),
    "stress": Sentence(
        "Were {name} alone to move by {move_rate}, the account would lose {floor}: so much at least", _LAW
    ),
}


@dataclass(frozen=True)
class Step:
    """From `above` on (a share of the account, or days of volume) `rate` of market value is asked."""

    above: Decimal
    rate: Decimal


@dataclass(frozen=True)
class Terms:
    """Steps rise in `above`. `minimum_value`: names worth less, in `currency`, are never surcharged."""

    currency: str = "USD"
    minimum_value: Decimal = ZERO
    share: tuple[Step, ...] = ()
    volume: tuple[Step, ...] = ()
    stress_rate: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("share", "volume"):
            above = [step.above for step in getattr(self, name)]
            if above != sorted(set(above)) or any(bound < 0 for bound in above):
                raise ValueError(f"{name}: steps must rise in `above`, from 0")
            if any(step.rate < 0 for step in getattr(self, name)):
                raise ValueError(f"{name}: rates must not be negative")
        if self.minimum_value < 0:
            raise ValueError("minimum_value must not be negative")
        if self.stress_rate is not None and not 0 < self.stress_rate <= 1:
            raise ValueError("stress_rate must be above 0 and at most 1")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Terms":
        """Terms from a policy's JSON; ValueError naming the key."""
        return reading.read(cls, document)


def group_keys(instruments: Instruments, terms: Terms) -> Keys:
    """The whole account is one group; nothing is claimed, because this only adds."""
    everything = np.full(len(instruments), _WHOLE_ACCOUNT, np.int64)
    return Keys(everything, np.ones(len(instruments), bool), is_addition=True, spans_currencies=True)


@dataclass(frozen=True)
class _Names:
    """The single names of every group: n of them, and what they are worth in the group's currency."""

    group: Array  # int64[n]
    label: Array  # str[n]
    of_position: Array  # int64[q]
    value: Array  # Decimal[n], gross
    share: Array  # float64[n] of the group's gross value, for telling; decisions compare products


def measure_groups(groups: Groups, market: Market, measure: str, terms: Terms) -> GroupFigures:
    """Surcharges as requirement, the single-name stress as floor."""
    with exactly():
        value = abs(groups.quantity * worth(groups.instruments)[groups.instrument] * groups.to_group)
        names = _names(groups, value)
        gross = per_account(names.value, names.group, len(groups))
        rate, branch = _rates(groups, names, gross, market, terms)
        surcharge = _surcharges(groups, value, rate)
        stress = _stress(groups, names, market, terms)
        requirement = per_account(surcharge, _group_of(groups), len(groups))
    zero = np.full(len(groups), ZERO, object)
    told = _Explained(groups, names, rate, branch, surcharge, stress, terms).told if len(groups) else nothing_told
    floor = None if terms.stress_rate is None else stress.floor
    refused = _refused(groups, stress, market, terms)
    return GroupFigures(requirement, requirement, zero, refused, told, floor)


def _group_of(groups: Groups) -> Array:
    return np.repeat(np.arange(len(groups)), np.diff(groups.offsets))


def _labels(instruments: Instruments) -> Array:
    """One name per instrument: its issuer, else the name of what it is written on, else itself."""
    stated = instruments.issuer != ""
    labels = np.where(stated, instruments.issuer, instruments.codes)
    named = dict(zip(instruments.ids.tolist(), labels, strict=True))
    for i, contract in enumerate(instruments.contract):
        if contract is not None and not stated[i]:
            known = contract.issuer or named.get(contract.underlying) or contract.underlying_code or contract.commodity
            labels[i] = known or f"underlying {contract.underlying}"
    return labels


def _names(groups: Groups, value: Array) -> _Names:
    labels, which = np.unique(_labels(groups.instruments).astype(str), return_inverse=True)
    pairs = np.column_stack([_group_of(groups), which[groups.instrument]])
    unique, of_position = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)
    of_position = of_position.reshape(-1)
    worths = per_account(value, of_position, len(unique))
    gross = per_account(worths, unique[:, 0], len(groups))[unique[:, 0]]
    share = np.divide(
        worths.astype(float), gross.astype(float), out=np.zeros(len(unique)), where=gross.astype(float) > 0
    )
    return _Names(unique[:, 0], labels[unique[:, 1]], of_position, worths, share)


def _rates(groups: Groups, names: _Names, gross: Array, market: Market, terms: Terms) -> tuple[Array, Array]:
    """(rate of market value, branch) per position; 0 and '' where nothing is asked. Shares are compared as products."""
    rate = np.full(len(groups.instrument), ZERO, object)
    branch = np.full(len(groups.instrument), "", object)
    minimum = _minimum(groups, market, terms)[names.group]
    of_name = np.full(len(names.group), ZERO, object)
    for step in terms.share:
        beyond = (names.value >= step.above * gross[names.group]).astype(bool) & (names.value >= minimum).astype(bool)
        of_name[beyond] = step.rate
    by_share = of_name[names.of_position]
    by_volume = np.full(len(rate), ZERO, object)
    volume = groups.instruments.daily_volume[groups.instrument]
    stated = np.array([one is not None for one in volume], bool)
    for step in terms.volume:
        beyond = stated.copy()
        beyond[stated] = (abs(groups.quantity[stated]) >= step.above * volume[stated]).astype(bool)
        by_volume[beyond] = step.rate
    rate = larger(by_share, by_volume)
    branch = pick(rate > ZERO, pick(by_volume > by_share, "volume", "share"), "").astype(object)
    return rate, branch


def _minimum(groups: Groups, market: Market, terms: Terms) -> Array:
    """The minimum value in each group's currency; 0 without a rate, and the group is then refused."""
    codes = groups.instruments.currencies
    rates = {c: market.rate(terms.currency, codes[c]) or ZERO for c in set(groups.currency.tolist())}
    out = np.full(len(groups), ZERO, object)
    out[:] = [terms.minimum_value * rates[c] for c in groups.currency.tolist()]
    return out


def _refused(groups: Groups, stress: "_Stress", market: Market, terms: Terms) -> Array:
    """Why a group has no number: a name that cannot be stressed, or a minimum value that cannot be converted."""
    refused = stress.refused.copy()
    if terms.share and terms.minimum_value:
        for group, currency in enumerate(groups.currency.tolist()):
            quoted = groups.instruments.currencies[currency]
            if market.rate(terms.currency, quoted) is None:
                refused[group] = refused[group] or f"no rate {terms.currency}/{quoted} for the minimum value of a name"
    return refused


def _surcharges(groups: Groups, value: Array, rate: Array) -> Array:
    """What the raised rate asks beyond the base methodology's own requirement, per position; never negative."""
    lane = groups.base.lanes[REQUIREMENT]
    unit = pick(groups.quantity < ZERO, lane.short[groups.instrument], lane.long[groups.instrument])
    own = abs(groups.quantity) * unit * groups.to_group
    linear = np.isin(groups.instruments.kind[groups.instrument], _SURCHARGED)
    return pick(linear & (rate > ZERO).astype(bool), larger(rate * value - own, ZERO), ZERO)


@dataclass(frozen=True)
class _Stress:
    """Per group: the loss of its worst name, that name's row (-1: none loses), and why it cannot be told."""

    floor: Array
    worst: Array
    refused: Array


def _stress(groups: Groups, names: _Names, market: Market, terms: Terms) -> _Stress:
    found = _Stress(*(np.full(len(groups), value, object) for value in (ZERO, -1, "")))
    if terms.stress_rate is None or not len(groups):
        return found
    moves = (-terms.stress_rate, terms.stress_rate)
    model = valuation.model_of(groups.instruments, market, valuation.PARITY_TOLERANCE)
    owner = _group_of(groups)
    for p in np.flatnonzero(model.refused[groups.instrument] != ""):
        reason = model.refused[groups.instrument[p]]
        found.refused[owner[p]] = f"{reason}; it cannot be valued for the single-name stress"
    unit = valuation.unit_values(model, np.array(moves, np.float64), np.zeros(len(moves)))
    for point, move in enumerate(moves):
        linear, modelled = gain(groups.instruments, move), _decimals(np.nan_to_num(unit[:, point]))
        per_unit = pick(model.is_option, modelled, linear)[groups.instrument]
        profit = per_account(groups.quantity * per_unit * groups.to_group, names.of_position, len(names.group))
        for name in np.flatnonzero(profit < ZERO):
            group = names.group[name]
            if -profit[name] > found.floor[group]:
                found.floor[group], found.worst[group] = -profit[name], name
    return found


def _decimals(values: Array) -> Array:
    out = np.empty(len(values), object)
    out[:] = [Decimal(f"{value:.{_VALUE_DECIMALS}f}") for value in values.tolist()]
    return out


def _days(quantity: Decimal, volume: Decimal | None) -> str:
    if volume is None:
        return ""
    return f"{float(quantity) / float(volume):.1f}" if volume else "endless"


@dataclass(frozen=True)
class _Explained:
    groups: Groups
    names: _Names
    rate: Array
    branch: Array
    surcharge: Array
    stress: _Stress
    terms: Terms

    def told(self, group: int) -> Told:
        """One charge per surcharged position, and the floor."""
        members = self.groups.members(group)
        charges = [
            self._charge(place, p) for place, p in enumerate(range(members.start, members.stop)) if self.surcharge[p]
        ]
        return Told(tuple(charges), (), self._floor(group))

    def _charge(self, place: int, p: int) -> GroupCharge:
        name, branch = self.names.of_position[p], str(self.branch[p])
        volume = self.groups.instruments.daily_volume[self.groups.instrument[p]]
        days = _days(abs(self.groups.quantity[p]), volume)
        share = Decimal(f"{self.names.share[name]:.3f}")
        inputs = {"name": str(self.names.label[name]), "share_rate": share, "days": days, "rate": self.rate[p]}
        legs = ((place, self.groups.quantity[p]),)
        return GroupCharge(CODE, branch, self.surcharge[p], legs, inputs, _SENTENCES[branch])

    def _floor(self, group: int) -> GroupCharge | None:
        worst = self.stress.worst[group]
        if worst < 0:
            return None
        inputs = {"name": str(self.names.label[worst]), "move_rate": self.terms.stress_rate}
        return GroupCharge(CODE, "stress", self.stress.floor[group], (), inputs, _SENTENCES["stress"])
