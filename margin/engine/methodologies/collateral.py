"""Collateral: what assets count for, and what is asked of what is borrowed. docs/methodologies/collateral.md.

A part of a regime of `cross`. An account's assets count at a ratio that falls with their value, tier by tier; what is
missing to face is a negative part of the equity, a *haircut*, so that equity at face and after haircuts both show. A
debt counts at its face, and a rate of it is asked as maintenance.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine import terms as reading
from margin.engine.columns import CASH, Array, Instruments, Market
from margin.engine.columns import KINDS as ALL_KINDS
from margin.engine.exact import ONE, ZERO, exactly
from margin.engine.groups import EquityPart, GroupCharge, GroupFigures, Groups, Keys, Told, per_account
from margin.engine.measures import Sentence, worth

CODE = "collateral"
GROUP_MEASURES = ("haircut",)
KINDS = frozenset({"equity", "etf", "bond", "crypto"})
_WHOLE_ACCOUNT = 1
_LOAN = "{listed}: {value} {currency} is owed, and {rate} of it is asked"

Tier = tuple[Decimal | None, Decimal]  # upper bound of value or None, ratio


# --- formulas ------------------------------------------------------------------------------------------------


def counted(value: Decimal, tiers: Sequence[Tier]) -> Decimal:
    """What a balance counts for: each ratio on the part of its value inside the tier, as income is taxed.

    A negative balance counts at its face; value beyond the last tier counts for nothing.
    """
    if value <= 0:
        return value
    total, lower = ZERO, ZERO
    with exactly():
        for upper, ratio in tiers:
            inside = value if upper is None else min(value, upper)
            total += max(inside - lower, ZERO) * ratio
            lower = max(lower, inside)
    return total


def after_haircuts(assets: Iterable[tuple[Decimal, Decimal, Decimal]]) -> Decimal:
    """Σ quantity × price × (1 − haircut) over (quantity, price, haircut)."""
    with exactly():
        return sum((quantity * price * (ONE - haircut) for quantity, price, haircut in assets), ZERO)


def converted(quantity: Decimal, price: Decimal) -> Decimal:
    """A coin's worth in quoted money, before any ratio."""
    with exactly():
        return quantity * price


# --- terms and published ratios ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Terms:
    """`parameters` names the published ratios. `loan_rate` is asked of every debt that `loan_rates` does not name by
    its asset."""

    parameters: str
    loan_rate: Decimal
    loan_rates: Mapping[str, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.parameters:
            raise ValueError("parameters must name a published set")
        if any(rate < 0 for rate in (self.loan_rate, *self.loan_rates.values())):
            raise ValueError("loan rates must not be negative")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Terms":
        """Terms from a policy's JSON; ValueError naming the key."""
        return reading.read(cls, document)


@dataclass(frozen=True)
class RatioTier:
    """Up to a value of `upto` in the set's currency, without end where that is None, `ratio` of it counts."""

    ratio: Decimal
    upto: Decimal | None = None


@dataclass(frozen=True)
class Published:
    """Tiers by asset, else by kind of instrument. An asset is a currency, or the code of what is held."""

    source: str
    currency: str  # of the tiers' bounds
    assets: Mapping[str, tuple[RatioTier, ...]] = field(default_factory=dict)
    kinds: Mapping[str, tuple[RatioTier, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = set(self.kinds) - set(ALL_KINDS)
        if unknown:
            raise ValueError(f"kinds: unknown kinds {', '.join(sorted(unknown))}")
        for name, tiers in {**self.assets, **self.kinds}.items():
            _check(name, tiers)

    def tiers(self, asset: str, kind: str) -> tuple[RatioTier, ...] | None:
        """The tiers of an asset, None where none are published."""
        return self.assets.get(asset, self.kinds.get(kind))


def _check(name: str, tiers: Sequence[RatioTier]) -> None:
    if any(not 0 <= tier.ratio <= 1 for tier in tiers) or not tiers:
        raise ValueError(f"{name}: tiers must have ratios from 0 to 1")
    bounds = [tier.upto for tier in tiers]
    if None in bounds[:-1]:
        raise ValueError(f"{name}: only the last tier may be without end")
    ends = [bound for bound in bounds if bound is not None]
    if ends != sorted(set(ends)) or any(end <= 0 for end in ends):
        raise ValueError(f"{name}: tiers must rise in `upto`, from above 0")


# --- the part -----------------------------------------------------------------------------------------------------


def group_keys(instruments: Instruments, terms: Terms) -> Keys:
    """The whole account is one group with its cash, in its base currency."""
    everything = np.full(len(instruments), _WHOLE_ACCOUNT, np.int64)
    return Keys(everything, np.ones(len(instruments), bool), spans_currencies=True, takes_cash=True)


@dataclass(frozen=True)
class _Assets:
    """n assets of all groups, net, in the group's currency; `place` is the greatest holding of each."""

    group: Array  # int64[n]
    name: Array  # str[n]
    value: Array  # Decimal[n]
    haircut: Array  # Decimal[n]
    charge: Array  # Decimal[n]
    refused: Array  # str[n]
    members: tuple[Array, ...]  # rows of the groups' positions


def measure_groups(groups: Groups, market: Market, measure: str, terms: Terms) -> GroupFigures:
    """Haircuts as negative equity, and what loans are asked as requirement. A missing ratio refuses."""
    with exactly():
        assets, source = _assets(groups, market, terms)
        equity = per_account(-assets.haircut, assets.group, len(groups))
        requirement = per_account(assets.charge, assets.group, len(groups))
    refused = np.full(len(groups), "", object)
    for group, reason in zip(assets.group, assets.refused, strict=True):
        refused[group] = refused[group] or reason
    told = _Explained(groups, assets, terms, source).told
    return GroupFigures(requirement, requirement, equity, refused, told)


def _published(market: Market, terms: Terms) -> tuple[Published | None, str]:
    document = market.parameters.get(terms.parameters)
    if document is None:
        return None, f"no published parameters {terms.parameters!r}"
    try:
        return reading.read(Published, document), ""
    except ValueError as error:
        return None, f"published parameters {terms.parameters!r}: {error}"


def _assets(groups: Groups, market: Market, terms: Terms) -> tuple[_Assets, str]:
    held = groups.instruments
    names = np.where(held.kind == CASH, np.array(held.currencies, object)[held.currency], held.codes)
    labels, which = np.unique(names.astype(str), return_inverse=True)
    owner = np.repeat(np.arange(len(groups)), np.diff(groups.offsets))
    pairs = np.column_stack([owner, which.reshape(-1)[groups.instrument]])
    unique, of_position = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)
    of_position = of_position.reshape(-1)
    value = groups.quantity * worth(held)[groups.instrument] * groups.to_group
    net = per_account(value, of_position, len(unique))
    order = np.argsort(of_position, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(of_position, minlength=len(unique)))[:-1])
    published, reason = _published(market, terms)
    haircut, charge, refused = (np.full(len(unique), each, object) for each in (ZERO, ZERO, ""))
    bounds = _bounds(groups, market, published)
    for n, (group, label) in enumerate(unique.tolist()):
        name = str(labels[label])
        if net[n] < 0:
            charge[n] = -net[n] * terms.loan_rates.get(name, terms.loan_rate)
        elif net[n] > 0:
            kind = ALL_KINDS[held.kind[groups.instrument[members[n][0]]]]
            tiers = published.tiers(name, kind) if published else None
            haircut[n], refused[n] = _cut(net[n], tiers, bounds[group], name, reason or _unknown(terms))
    assets = _Assets(unique[:, 0], labels[unique[:, 1]], net, haircut, charge, refused, tuple(members))
    return assets, published.source if published else ""


def _unknown(terms: Terms) -> str:
    return f"no collateral ratio in the published parameters {terms.parameters!r}"


def _bounds(groups: Groups, market: Market, published: Published | None) -> list[Decimal | None]:
    """What one unit of the bounds' currency is worth in each group's; None where there is no rate."""
    if published is None:
        return [None] * len(groups)
    codes = groups.instruments.currencies
    rates = {c: market.rate(published.currency, codes[c]) for c in set(groups.currency.tolist())}
    return [rates[c] for c in groups.currency.tolist()]


def _cut(
    value: Decimal, tiers: Sequence[RatioTier] | None, rate: Decimal | None, name: str, reason: str
) -> tuple[Decimal, str]:
    """(value less what it counts for, why that is not known)."""
    if tiers is None:
        return ZERO, f"{name}: {reason}"
    if rate is None:
        return ZERO, f"{name}: no rate for the bounds of its collateral tiers"
    listed = [(None if tier.upto is None else tier.upto * rate, tier.ratio) for tier in tiers]
    return value - counted(value, listed), ""


@dataclass(frozen=True)
class _Explained:
    groups: Groups
    assets: _Assets
    terms: Terms
    source: str

    def told(self, group: int) -> Told:
        """A haircut for every asset that has one, on its greatest holding, and a charge for every debt."""
        first = int(self.groups.offsets[group])
        charges, equity = [], []
        for n in range(*np.searchsorted(self.assets.group, [group, group + 1]).tolist()):
            rows = self.assets.members[n]
            if self.assets.haircut[n]:
                greatest = max(rows.tolist(), key=lambda row: self.groups.quantity[row])
                equity.append(EquityPart("haircut", greatest - first, -self.assets.haircut[n]))
            if self.assets.charge[n]:
                charges.append(self._charge(n, [(int(row) - first, self.groups.quantity[row]) for row in rows], group))
        return Told(tuple(charges), tuple(equity))

    def _charge(self, n: int, legs: Sequence[tuple[int, Decimal]], group: int) -> GroupCharge:
        name = str(self.assets.name[n])
        inputs = {
            "value": -self.assets.value[n],
            "currency": self.groups.instruments.currencies[self.groups.currency[group]],
            "rate": self.terms.loan_rates.get(name, self.terms.loan_rate),
        }
        return GroupCharge(CODE, "loan", self.assets.charge[n], tuple(legs), inputs, Sentence(_LOAN, self.source))
