"""Volatility: margin at a rate that follows an instrument's own volatility. docs/methodologies/volatility.md.

A part of a regime for anything linear. The rate of each instrument is estimated from its closes once a day
(`margin.engine.adaptive`) and published as a document of the day, like an exchange's; the initial requirement is that
rate of the value, maintenance a share of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine import adaptive
from margin.engine import terms as reading
from margin.engine.columns import Array, Instruments, Market
from margin.engine.exact import ONE, ZERO, exactly
from margin.engine.groups import GroupCharge, GroupFigures, Groups, Keys, Told, nothing_told
from margin.engine.measures import Sentence, larger, pick, silence, worth

CODE = "volatility"
GROUP_MEASURES = ("requirement",)
KINDS = frozenset({"equity", "etf", "bond", "crypto", "future", "perpetual"})
_LAW = "House model; EMIR RTS 153/2013 articles 24 to 28"
_SENTENCES = {
    "model": Sentence("{listed}: {rate} of its value of {value}, from {model}; {share_rate} of that to hold it", _LAW),
    "least": Sentence("{listed}: the least rate, {rate} of its value of {value}; {share_rate} of it to hold it", _LAW),
}


@dataclass(frozen=True)
class Terms:
    """`parameters` names the document of rates, `model` says how they are found; `least_rate` is a floor under them.
    Maintenance is `maintenance_rate` of the initial requirement. A document older than `max_age_days` does not count.
    """

    parameters: str
    model: adaptive.Model
    least_rate: Decimal = ZERO
    maintenance_rate: Decimal = ONE
    max_age_days: int = 7

    def __post_init__(self) -> None:
        if not self.parameters:
            raise ValueError("parameters must name a document of rates")
        if self.max_age_days < 0:
            raise ValueError("max_age_days must not be negative")
        if not 0 <= self.least_rate <= 1:
            raise ValueError("least_rate must be from 0 to 1")
        if not 0 < self.maintenance_rate <= 1:
            raise ValueError("maintenance_rate must be above 0 and at most 1")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Terms":
        """Terms from a policy's JSON; ValueError naming the key."""
        return reading.read(cls, document)


@dataclass(frozen=True)
class Published:
    """The document: the model that made it, the day whose closes it has seen, rates by instrument code, and the reason
    for every instrument that has none."""

    model: str
    on: str
    rates: Mapping[str, Decimal]
    refused: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        date.fromisoformat(self.on)
        if any(rate < 0 for rate in self.rates.values()):
            raise ValueError("rates must not be negative")


def group_keys(instruments: Instruments, terms: Terms) -> Keys:
    """Each holding is a group of its own."""
    return Keys(instruments.ids.copy(), np.ones(len(instruments), bool))


def measure_groups(groups: Groups, market: Market, measure: str, terms: Terms) -> GroupFigures:
    """Rate × |value| per holding. One without a rate has no number."""
    if not len(groups):
        zero = np.zeros(0, object)
        return GroupFigures(zero, zero, zero, silence(0), nothing_told)
    rates, refused = _rates(groups.instruments, market, terms)
    with exactly():
        value = abs(groups.quantity * worth(groups.instruments)[groups.instrument])
        initial = value * rates[groups.instrument]
        requirement = initial * np.full(len(groups), terms.maintenance_rate, object)
    zero = np.full(len(groups), ZERO, object)
    told = _Explained(groups, value, rates[groups.instrument], requirement, terms).told
    return GroupFigures(requirement, initial, zero, refused[groups.instrument], told)


def _rates(instruments: Instruments, market: Market, terms: Terms) -> tuple[Array, Array]:
    """(rate, why there is none) per instrument."""
    count = len(instruments)
    rates, refused = np.full(count, ZERO, object), silence(count)
    try:
        published = _published(market, terms)
    except ValueError as error:
        refused[:] = [f"{code}: {error}" for code in instruments.codes]
        return rates, refused
    for i, code in enumerate(instruments.codes):
        if code in published.rates:
            rates[i] = published.rates[code]
        else:
            why = published.refused.get(code, "it is not in the document")
            refused[i] = f"{code}: no rate in {terms.parameters} of {published.on}: {why}"
    least = larger(rates, np.full(count, terms.least_rate, object))
    return pick(refused == "", least, ZERO), refused


def _published(market: Market, terms: Terms) -> Published:
    """The document that the terms name; ValueError, saying why, where none serves on the day."""
    if terms.parameters not in market.parameters:
        raise ValueError(f"no parameters {terms.parameters} are in force")
    published = reading.read(Published, market.parameters[terms.parameters], terms.parameters)
    if published.model != terms.model.name:
        raise ValueError(f"{terms.parameters} is of the model {published.model}, not {terms.model.name}")
    age = (market.on - date.fromisoformat(published.on)).days
    if age < 0:
        raise ValueError(f"{terms.parameters} of {published.on} is from a day to come")
    if age > terms.max_age_days:
        raise ValueError(f"{terms.parameters} of {published.on} is {age} days old")
    return published


@dataclass(frozen=True)
class _Explained:
    groups: Groups
    value: Array
    rate: Array
    requirement: Array
    terms: Terms

    def told(self, group: int) -> Told:
        """One charge per holding."""
        branch = "least" if self.rate[group] == self.terms.least_rate else "model"
        inputs = {
            "rate": self.rate[group],
            "value": self.value[group],
            "model": self.terms.model.name,
            "share_rate": self.terms.maintenance_rate,
        }
        legs = ((0, self.groups.quantity[group]),)
        return Told((GroupCharge(CODE, branch, self.requirement[group], legs, inputs, _SENTENCES[branch]),))
