"""List charges: who, why and how much, for chosen accounts. Their sums are the requirements, exactly (law 4).

Charges are computed from positions with Decimals of any size; the sweep's 128-bit sums never enter, so comparing the
two is a check of both.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from margin.engine import build, sums
from margin.engine.columns import Array, Book, Charges, Instruments, Market, Rules, Status
from margin.engine.exact import ONE, ZERO, exactly
from margin.engine.groups import GroupCharge
from margin.engine.levels import classify, thresholds
from margin.engine.measures import Levels, UnitCharge
from margin.engine.methodologies import by_code

ACCOUNT = -1  # in place of a position: the charge is on the whole account


@dataclass(frozen=True)
class Line:
    """One charge before it becomes a row: `local` is in the instrument's currency, `amount` in the base currency.

    It is on one position, on the legs of a group, or on the whole account.
    """

    position: int
    code: str
    branch: str
    local: Decimal
    fx: Decimal
    amount: Decimal
    unit: UnitCharge | None = None
    group: GroupCharge | None = None
    legs: tuple[tuple[int, Decimal], ...] = ()  # (position, signed quantity) of a group's charge


def list_charges(book: Book, instruments: Instruments, market: Market, rules: Rules, account_rows: Array) -> Charges:
    """The charges of the chosen accounts, by account, regime and position. Unpriced accounts have none."""
    rows: list[tuple[int, int, Line]] = []
    for index, policy in enumerate(rules.policies):
        chosen = np.asarray(account_rows, np.int64)
        chosen = chosen[book.policy[chosen] == index]
        part = build.take(book, chosen)
        of_policy = sums.of_policy(part, instruments, market, policy, np.arange(len(chosen)))
        positions = build.runs(book.offsets, chosen)
        for regime in range(len(policy.regimes)):
            for k, line in lines(of_policy, regime):
                at = ACCOUNT if line.position == ACCOUNT else int(positions[line.position])
                rows.append((int(chosen[k]), regime, replace(line, position=at)))
    rows.sort(key=lambda row: (row[0], row[1]))
    return Charges(
        account=np.array([account for account, _, _ in rows], np.int64),
        regime=np.array([regime for _, regime, _ in rows], np.int16),
        position=np.array([line.position for _, _, line in rows], np.int64),
        code=_objects([line.code for _, _, line in rows]),
        branch=_objects([line.branch for _, _, line in rows]),
        amount=_objects([line.amount for _, _, line in rows]),
    )


def lines(of_policy: sums.PolicySums, regime: int) -> Iterator[tuple[int, Line]]:
    """(account, charge) of all priced accounts of a policy in one regime; `position` is a row of the policy's book."""
    priced = np.flatnonzero(~of_policy.unpriced)
    with exactly():
        levels = levels_of(of_policy, regime, priced)
        asked = asks(of_policy, regime, levels)
        for k, account in enumerate(priced):
            if asked[k]:
                listed = [
                    *_position_lines(of_policy, regime, int(account)),
                    *group_lines(of_policy, regime, int(account)),
                    *account_lines(levels, k),
                ]
                listed += floor_lines(of_policy, regime, int(account), sum((line.amount for line in listed), ZERO))
                yield from ((int(account), line) for line in listed)


def asks(of_policy: sums.PolicySums, regime: int, levels: Levels) -> Array:
    """bool per account: the regime asks something of it and knows how much. Call inside `exact.exactly()`."""
    rule = of_policy.policy.regimes[regime]
    status = classify(levels, thresholds(levels, rule, Decimal), rule, Decimal)
    return np.asarray(levels.applies & (status != Status.UNPRICED), bool)


def levels_of(of_policy: sums.PolicySums, regime: int, accounts: Array) -> Levels:
    """Exact levels of the chosen accounts. Call inside `exact.exactly()`."""
    rule = of_policy.policy.regimes[regime]
    return by_code(rule.methodology).levels(of_policy.exact(regime, accounts), rule.measure, rule.terms)


def _position_lines(of_policy: sums.PolicySums, regime: int, account: int) -> Iterator[Line]:
    for segment in range(int(of_policy.first[account]), int(of_policy.first[account + 1])):
        fx = of_policy.fx.exact(segment)
        for position in of_policy.positions(segment):
            quantity, i = of_policy.quantity(position), of_policy.instrument[position]
            for charge in of_policy.units[regime].charges:
                unit = charge.amount.short[i] if quantity < 0 else charge.amount.long[i]
                if unit:
                    branch = charge.branch.short[i] if quantity < 0 else charge.branch.long[i]
                    local = abs(quantity) * unit
                    yield Line(position, charge.code, branch, local, fx, local * fx, unit=charge)


def group_lines(of_policy: sums.PolicySums, regime: int, account: int) -> Iterator[Line]:
    """What the parts' groups charge one account. Call inside `exact.exactly()`, as the two below."""
    for part in of_policy.parts[regime]:
        for group in part.groups.of_account(account):
            positions = part.groups.position[part.groups.members(group)]
            fx = part.fx[group]
            for charge in part.figures.told(group).charges:
                legs = tuple((int(positions[place]), quantity) for place, quantity in charge.legs)
                at = legs[0][0] if len(legs) == 1 else ACCOUNT
                amount = charge.amount * fx
                yield Line(at, charge.code, charge.branch, charge.amount, fx, amount, group=charge, legs=legs)


def floor_lines(of_policy: sums.PolicySums, regime: int, account: int, charged: Decimal) -> Iterator[Line]:
    """Top-ups to the floors of parts: what each asks beyond all that is charged so far."""
    for part in of_policy.parts[regime]:
        if part.floors is None or part.floors[account] <= charged:
            continue
        (group,) = part.groups.of_account(account)
        told = part.figures.told(group).floor
        if told is None:
            raise ValueError(f"{part.rule.methodology} does not tell where its floor of {part.floors[account]} is from")
        amount = part.floors[account] - charged
        stated = {**told.inputs, "floor": part.floors[account], "charged": charged}
        yield Line(ACCOUNT, told.code, told.branch, amount, ONE, amount, group=replace(told, inputs=stated))
        charged = part.floors[account]


def account_lines(levels: Levels, k: int) -> Iterator[Line]:
    """The charges on a whole account; `k` is its row of the levels."""
    for charge in levels.charges:
        if charge.amount[k]:
            amount = charge.amount[k]
            yield Line(ACCOUNT, charge.code, charge.branch[k], amount, ONE, amount)


def _objects(values: list[object]) -> Array:
    out = np.empty(len(values), object)
    out[:] = values
    return out
