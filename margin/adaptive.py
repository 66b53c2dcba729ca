"""Publish margin rates that follow volatility: one document a day per model that policies ask for.

The rates are estimated from official closes (`margin.engine.adaptive`) and recorded like an exchange's parameters, so
that snapshots, replays and what-ifs read them in one way. An instrument without a rate is named there with the reason.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from margin import policies
from margin.engine import adaptive
from margin.engine.adaptive import Model
from margin.engine.methodologies import volatility
from market import closes, parameters
from market.models import Instrument, ParameterSet

SOURCE = "margin-desk"
HISTORY_DAYS = 3_700  # calendar days of closes that are read: ten years of trading, and a little


class Contradiction(ValueError):
    """Two policies ask for different rates under one name."""


@dataclass(frozen=True)
class Wanted:
    """One document that policies in force name: by which model, and for which kinds."""

    name: str
    model: Model
    kinds: frozenset[str]


@dataclass(frozen=True)
class Published:
    """A document as recorded: how many instruments have a rate, why the others have none, and whether it is new."""

    name: str
    on: date
    rates: int
    refused: Mapping[str, str]
    is_new: bool


def publish(*, on: date, at: datetime) -> list[Published]:
    """Record the documents of the day `on` for every policy in force at `at`. Safe to run again.

    Raises Contradiction before anything is written.
    """
    return [_publish(one, on) for one in wanted(policies.read(version) for version in policies.in_force(at).values())]


def wanted(readings: Iterable[policies.Reading]) -> list[Wanted]:
    """The documents that these policies name, by name. Raises Contradiction."""
    found: dict[str, Wanted] = {}
    for reading in readings:
        for part in (part for rule in reading.policy.regimes for part in rule.parts):
            if part.methodology == volatility.CODE:
                one = Wanted(part.terms.parameters, part.terms.model, frozenset(part.kinds))
                known = found.get(one.name, one)
                if known.model != one.model:
                    raise Contradiction(
                        f"{reading.policy.code}: {one.name} is of the model {known.model.name} in another policy and "
                        f"of {one.model.name} here; give them different names"
                    )
                found[one.name] = Wanted(one.name, one.model, known.kinds | one.kinds)
    return [found[name] for name in sorted(found)]


def _publish(one: Wanted, on: date) -> Published:
    instruments = Instrument.objects.filter(kind__in=one.kinds).order_by("code")
    alive = [row for row in instruments if row.ended_at is None or row.ended_at.date() > on]
    rates, refused = _rates(alive, one.model, on)
    document: dict[str, Any] = {
        "model": one.model.name,
        "on": on.isoformat(),
        "rates": {code: format(rate, "f") for code, rate in rates.items()},
        "refused": refused,
    }
    kind = ParameterSet.Kind.VOLATILITY
    done = parameters.record(one.name, document, kind=kind, effective_on=on, source=SOURCE)
    return Published(one.name, on, len(rates), refused, done.is_new)


def _rates(instruments: Sequence[Instrument], model: Model, on: date) -> tuple[dict[str, Decimal], dict[str, str]]:
    """(rates, reasons why there is none) by code, each exactly one of the two."""
    rates: dict[str, Decimal] = {}
    refused: dict[str, str] = {}
    history = closes.history(instruments, until=on, days=HISTORY_DAYS)
    for instrument in instruments:
        prices = np.array(history.get(instrument.pk, ()), np.float64)
        try:
            if len(prices) < 2:
                raise adaptive.TooShort(f"{len(prices)} closes are known")
            rates[instrument.code] = adaptive.rate(prices, model).rate
        except ValueError as error:
            refused[instrument.code] = str(error)
    return rates, refused


def told(published: Iterable[Published]) -> dict[str, list[str]]:
    """Reason → codes, over all documents: what a person looks at."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for one in published:
        for code, reason in one.refused.items():
            by_reason[reason].append(code)
    return dict(by_reason)
