"""Tell the charges of many accounts at once: what is said of a unit of an instrument is worded once, with what it is
charged, and each account adds how many it holds.

`filled` puts the two together: the JSON of exactly the charge that `explain` tells of the account alone.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from margin.engine import build, charges, sums
from margin.engine.columns import Array
from margin.engine.exact import ZERO, exactly, plain
from margin.engine.explain import Tree, charge, charge_tree, holding, values
from margin.engine.measures import Levels, UnitCharge

# Where the figures of an account go in a wording: characters for private use, which no text of ours has.
MARKS = ("\ue000", "\ue001", "\ue002", "\ue003")
_QUANTITY = MARKS[0]
_FIGURES = dict(zip(("local_amount", "fx", "amount"), MARKS[1:], strict=True))
_MARKED = re.compile(f"[{''.join(MARKS)}]")


@dataclass(frozen=True, eq=False)
class Wording:
    """The JSON of a charge, with MARKS in place of an account's own figures, and what one unit is charged."""

    instrument: int | None
    code: str
    text: str
    unit: str


class Told(NamedTuple):
    """One charge of one account: a wording, the quantity held and the rate of exchange, both in plain digits."""

    wording: Wording
    quantity: str
    fx: str

    @property
    def local_amount(self) -> str:
        return _times(self.quantity.removeprefix("-"), self.wording.unit)

    @property
    def amount(self) -> str:
        return _times(self.local_amount, self.fx)


class Unit(NamedTuple):
    """A charge per unit: its amount, and its words, None where each holder has its own."""

    amount: str
    wording: Wording | None
    charge: UnitCharge
    branch: str


def filled(told: Told) -> str:
    """The charge's JSON with the account's figures in it."""
    text = told.wording.text
    for mark, figure in zip(MARKS, (told.quantity, told.local_amount, told.fx, told.amount), strict=True):
        text = text.replace(mark, figure)
    return text


def _times(one: str, other: str) -> str:
    with exactly():
        return plain(Decimal(one) * Decimal(other))


def tell(of_policy: sums.PolicySums, regime: int, accounts: Array) -> list[list[Told]]:
    """The charges of some accounts (indices into the policy's rows) in one regime, each account's in their order.

    All of the accounts must be priced. One that the regime asks nothing of, or not yet, has none.
    """
    with exactly():
        levels = charges.levels_of(of_policy, regime, accounts)
        asked = charges.asks(of_policy, regime, levels)
        told: list[list[Told]] = [[] for _ in range(len(accounts))]
        _tell_units(of_policy, regime, accounts, asked, told)
        if of_policy.parts[regime] or levels.charges:
            for k in np.flatnonzero(asked).tolist():
                told[k] += _others(of_policy, regime, levels, int(accounts[k]), k, told[k])
    return told


def _tell_units(of_policy: sums.PolicySums, regime: int, accounts: Array, asked: Array, told: list[list[Told]]) -> None:
    """Add what is charged per unit, position by position."""
    book = of_policy.book
    chosen = np.flatnonzero(asked)
    segments = build.runs(of_policy.first, accounts[chosen])
    owner = np.repeat(chosen, (of_policy.first[1:] - of_policy.first[:-1])[accounts[chosen]])
    within = of_policy.segments[segments]
    lengths = (book.segment_offsets[1:] - book.segment_offsets[:-1])[within]
    positions = build.runs(book.segment_offsets, within)
    sides = of_policy.instrument[positions].astype(np.int64) * 2 + (book.quantity[positions] < 0)
    known, which = np.unique(sides, return_inverse=True)
    units = [_units(of_policy, regime, side // 2, bool(side % 2)) for side in known.tolist()]
    rates = [plain(rate) for rate in of_policy.fx.listed]
    columns = (
        np.repeat(owner, lengths).tolist(),
        positions.tolist(),
        which.reshape(-1).tolist(),
        _shown(book.quantity[positions], book.decimals[positions]),
        np.repeat(of_policy.fx.which[segments], lengths).tolist(),
    )
    for k, position, place, held, rate in zip(*columns, strict=True):
        for unit in units[place]:
            told[k].append(
                Told(unit.wording, held, rates[rate])
                if unit.wording
                else _own(of_policy, position, unit, held, rates[rate])
            )


def _shown(mantissas: Array, decimals: Array) -> list[str]:
    """Each mantissa / 10^decimals in plain digits; of equal ones, one is written."""
    known: dict[tuple[int, int], str] = {}
    numbers = list(zip(mantissas.tolist(), decimals.tolist(), strict=True))
    for number in numbers:
        if number not in known:
            known[number] = digits(*number)
    return [known[number] for number in numbers]


def digits(mantissa: int, decimals: int) -> str:
    """mantissa / 10^decimals as `exact.plain` writes it."""
    if not decimals:
        return str(mantissa)
    text = str(abs(mantissa)).rjust(decimals + 1, "0")
    shown = f"{text[:-decimals]}.{text[-decimals:]}".rstrip("0").rstrip(".")
    return f"-{shown}" if mantissa < 0 else shown


def _units(of_policy: sums.PolicySums, regime: int, i: int, is_short: bool) -> list[Unit]:
    """What one unit of the held instrument in row `i` is charged, with the words for it."""
    found = []
    for unit in of_policy.units[regime].charges:
        amount = unit.amount.short[i] if is_short else unit.amount.long[i]
        if amount:
            branch = unit.branch.short[i] if is_short else unit.branch.long[i]
            found.append(Unit(plain(amount), _shared(of_policy, unit, branch, i, plain(amount)), unit, branch))
    return found


def _shared(of_policy: sums.PolicySums, unit: UnitCharge, branch: str, i: int, amount: str) -> Wording | None:
    """The words for every holder; None where the instrument's own text has marks in it."""
    sentence = unit.sentences[branch]
    who = holding(of_policy.held, i, "")
    if _MARKED.search("".join((who["code"], who["currency"], unit.code, branch, sentence.law, sentence.template))):
        return None
    tree = _unit_tree(of_policy, unit, branch, i, _QUANTITY, _FIGURES)
    return Wording(int(of_policy.held.ids[i]), unit.code, json.dumps(tree, ensure_ascii=False), amount)


def _own(of_policy: sums.PolicySums, position: int, unit: Unit, quantity: str, fx: str) -> Told:
    """A charge per unit in words of its holder's own."""
    i, local = int(of_policy.instrument[position]), _times(quantity.removeprefix("-"), unit.amount)
    figures = dict(zip(_FIGURES, (local, fx, _times(local, fx)), strict=True))
    return _alone(_unit_tree(of_policy, unit.charge, unit.branch, i, quantity, figures))


def _unit_tree(
    of_policy: sums.PolicySums, unit: UnitCharge, branch: str, i: int, quantity: str, figures: dict[str, str]
) -> Tree:
    who = holding(of_policy.held, i, quantity)
    inputs = {**who, **values(unit.inputs, i)}
    return charge_tree(who, inputs, unit.code, branch, unit.sentences[branch], figures)


def _others(
    of_policy: sums.PolicySums, regime: int, levels: Levels, account: int, row: int, so_far: list[Told]
) -> Iterator[Told]:
    """What groups, the whole account and floors are charged: said of this account alone."""
    lines = [*charges.group_lines(of_policy, regime, account), *charges.account_lines(levels, row)]
    if any(part.floors is not None for part in of_policy.parts[regime]):
        charged = sum((Decimal(one.amount) for one in so_far), ZERO) + sum((line.amount for line in lines), ZERO)
        lines += charges.floor_lines(of_policy, regime, account, charged)
    for line in lines:
        yield _alone(charge(of_policy, line, levels, row))


def _alone(tree: Tree) -> Told:
    """A charge with its figures in its words, told of one account: once its amount. A mark in its text is escaped."""
    text = json.dumps(tree, ensure_ascii=False)
    text = json.dumps(tree) if _MARKED.search(text) else text
    return Told(Wording(tree["instrument"], tree["rule"], text, tree["amount"]), "1", "1")


__all__ = ["MARKS", "Told", "Wording", "digits", "filled", "tell"]
