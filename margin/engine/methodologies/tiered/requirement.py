"""Maintenance and initial margin of every position by its table, and how each is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine import terms as reading
from margin.engine.columns import KINDS, Array, Instruments, Market
from margin.engine.exact import ZERO, exactly, inverse
from margin.engine.groups import GroupCharge, GroupFigures, Groups, Told
from margin.engine.measures import Sentence, larger, pick, worth
from margin.engine.methodologies.tiered.brackets import Power
from margin.engine.methodologies.tiered.terms import Published, Table, Terms

CODE = "tiered"
_RATE_DIGITS = 18  # of 1 ÷ leverage, fixed once
_MODEL_DECIMALS = 6  # of power-law margins
_TEMPLATES = {
    "bracket": "{listed}: a notional of {notional} is in the bracket from {floor}: {rate} of it, less {deduction}",
    "range": "{listed}: {size} contracts are in the range {least} to {most}: {rate} of a notional of {notional}",
    "power": "{listed}: the rate of a notional of {notional} grows with its size to {rate}",
    "power_base": "{listed}: {rate} of a notional of {notional}, below the size at which the rate grows",
}


@dataclass(frozen=True)
class Found:
    """Per position: what is asked, in its settlement currency, and the step of its table that asks it."""

    notional: Array  # Decimal
    maintenance: Array  # Decimal
    initial: Array  # Decimal
    step: Array  # int64, index into the table's brackets or ranges; -1: the power law
    refused: Array  # str


def published(market: Market, terms: Terms) -> tuple[Published | None, str]:
    """The set that the terms name, or why there is none."""
    document = market.parameters.get(terms.parameters)
    if document is None:
        return None, f"no published parameters {terms.parameters!r}"
    try:
        return reading.read(Published, document), ""
    except ValueError as error:
        return None, f"published parameters {terms.parameters!r}: {error}"


def tables_of(instruments: Instruments, tables: Published) -> list[Table | None]:
    """The table of each instrument, by code, else by kind."""
    kinds = [KINDS[kind] for kind in instruments.kind.tolist()]
    return [tables.table(str(code), kind) for code, kind in zip(instruments.codes, kinds, strict=True)]


def measure(groups: Groups, market: Market, terms: Terms) -> GroupFigures:
    """Every group is one position: maintenance as its requirement, initial by the leverage allowed."""
    tables, reason = published(market, terms)
    listed = tables_of(groups.instruments, tables) if tables else [None] * len(groups.instruments)
    with exactly():
        found = _measured(groups, listed, terms, reason)
    zero = np.full(len(groups), ZERO, object)
    source = tables.source if tables else ""
    told = _Explained(groups, listed, found, source).told
    return GroupFigures(found.maintenance, found.initial, zero, found.refused, told)


def _measured(groups: Groups, tables: Sequence[Table | None], terms: Terms, reason: str) -> Found:
    count = len(groups)
    unit = worth(groups.instruments)[groups.instrument]
    notional = abs(groups.quantity * unit)
    found = Found(
        notional,
        np.full(count, ZERO, object),
        np.full(count, ZERO, object),
        np.full(count, -1, np.int64),
        np.full(count, "", object),
    )
    for i in np.unique(groups.instrument):
        rows = np.flatnonzero(groups.instrument == i)
        table = tables[i]
        if table is None:
            code = groups.instruments.codes[i]
            found.refused[rows] = f"{code}: {reason or f'no table in the published parameters {terms.parameters!r}'}"
        elif table.power is not None:
            _by_power(found, rows, table.power, terms)
        else:
            _by_steps(found, rows, table, abs(groups.quantity[rows]), str(groups.instruments.codes[i]), terms)
    return found


def _by_steps(found: Found, rows: Array, table: Table, size: Array, code: str, terms: Terms) -> None:
    """Brackets by notional, half-open; ranges by contracts, closed. A floor itself is in the upper bracket."""
    notional = found.notional[rows]
    if table.ranges:
        rates, deductions = [one.rate for one in table.ranges], [ZERO] * len(table.ranges)
        step = np.searchsorted(_objects([one.least for one in table.ranges]), size, side="right") - 1
        outside = (step < 0) | np.array([held > table.ranges[k].most for held, k in zip(size, step, strict=True)], bool)
        found.refused[rows[outside]] = f"{code}: its size is in no published range"
        leverages = [one.leverage for one in table.ranges]
    else:
        brackets = table.bracketed()
        rates, deductions = [one.rate for one in brackets], [one.amount for one in brackets]
        step = np.searchsorted(_objects([one.floor for one in brackets]), notional, side="right") - 1
        outside = np.zeros(len(rows), bool)
        leverages = [one.leverage for one in table.brackets]
    maintenance = notional * _objects(rates)[step] - _objects(deductions)[step]
    initial = notional * _objects([_initial_rate(leverage, terms) for leverage in leverages])[step]
    found.step[rows] = step
    found.maintenance[rows] = pick(outside, ZERO, maintenance)
    found.initial[rows] = pick(outside, ZERO, larger(initial, maintenance))


def _by_power(found: Found, rows: Array, power: Power, terms: Terms) -> None:
    house = _initial_rate(None, terms)
    for row in rows:
        notional = found.notional[row]
        found.maintenance[row] = _rounded(power.maintenance(float(notional)))
        opening = _rounded(power.initial_rate(float(notional)) * float(notional))
        found.initial[row] = max(opening, notional * house, found.maintenance[row])


def _initial_rate(leverage: Decimal | None, terms: Terms) -> Decimal:
    """1 ÷ the lower of the leverages allowed; 0 where none is stated, so that maintenance is what opening needs."""
    stated = [one for one in (leverage, terms.leverage) if one is not None]
    return inverse(min(stated), _RATE_DIGITS) if stated else ZERO


def _rounded(amount: float) -> Decimal:
    """A model value, rounded once."""
    return Decimal(f"{amount:.{_MODEL_DECIMALS}f}")


def _objects(values: Sequence[Any]) -> Array:
    out = np.empty(len(values), object)
    out[:] = list(values)
    return out


@dataclass(frozen=True)
class _Explained:
    groups: Groups
    tables: Sequence[Table | None]
    found: Found
    source: str

    def told(self, group: int) -> Told:
        """One charge: the position, with the step that binds."""
        table = self.tables[self.groups.instrument[group]]
        if table is None or self.found.refused[group]:
            return Told()
        branch, name, inputs = self._step(table, group)
        stated = {"notional": self.found.notional[group], **inputs}
        legs = ((0, self.groups.quantity[group]),)
        sentence = Sentence(_TEMPLATES[name], self.source)
        return Told((GroupCharge(CODE, branch, self.found.maintenance[group], legs, stated, sentence),))

    def _step(self, table: Table, group: int) -> tuple[str, str, dict[str, Any]]:
        """(branch, template, inputs)."""
        step = int(self.found.step[group])
        if table.power is not None:
            notional = float(self.found.notional[group])
            name = "power" if table.power.rate(notional) > float(table.power.base_rate) else "power_base"
            return name, name, {"rate": Decimal(f"{table.power.rate(notional):.12f}")}
        if table.ranges:
            one = table.ranges[step]
            size = abs(self.groups.quantity[group])
            inputs = {"size": size, "least": one.least, "most": one.most, "rate": one.rate}
            return f"range_{step + 1}", "range", inputs
        bracket = table.bracketed()[step]
        inputs = {"floor": bracket.floor, "rate": bracket.rate, "deduction": bracket.amount}
        return f"bracket_{step + 1}", "bracket", inputs
