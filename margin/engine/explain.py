"""Explain one account: a tree of plain values, JSON-able, in which every figure adds up and every charge is a sentence.

Amounts are strings of exact digits. Only the lines named "rounded" are rounded, and the tree says so.
"""

from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine import build, charges, sums
from margin.engine.call_prices import call_prices
from margin.engine.columns import Array, Book, Instruments, Market, RegimeRule, Rules, Status
from margin.engine.exact import ZERO, exactly, plain, round_down, round_up
from margin.engine.levels import Thresholds, classify, thresholds
from margin.engine.measures import PROFIT, Levels, Sentence

Tree = dict[str, Any]
_ROUNDING = "Exact until here; then once, to {exponent} decimals: requirement and amount called up, equity down."


def explain(
    book: Book,
    instruments: Instruments,
    market: Market,
    rules: Rules,
    account_row: int,
    *,
    with_forecast: bool = False,
    with_prices: bool = False,
) -> Tree:
    """The whole calculation of one account. An unpriced account has reasons and no numbers.

    `with_forecast` adds, per regime, the days on which the calendar alone will change what is needed; `with_prices`
    to which price of each position the regime stays covered, all others standing still.
    """
    part = build.take(book, np.array([account_row]))
    policy = rules.policies[int(part.policy[0])]
    of_policy = sums.of_policy(part, instruments, market, policy, np.array([0]))
    base = int(part.base[0])
    tree: Tree = {
        "account": int(part.accounts[0]),
        "revision": int(part.revision[0]),
        "currency": instruments.currencies[base],
        "on": market.on.isoformat(),
        "policy": policy.code,
        "unpriced": list(of_policy.why_unpriced(np.array([0]))[0]),
    }
    if tree["unpriced"]:
        return {
            **tree,
            "regimes": [{**_head(rule), "status": "unpriced", "unpriced": tree["unpriced"]} for rule in policy.regimes],
        }
    exponent = instruments.minor_exponent(base)
    with exactly():
        tree["regimes"] = [_regime(of_policy, k, rule, exponent) for k, rule in enumerate(policy.regimes)]
        if with_forecast:
            for k, regime in enumerate(tree["regimes"]):
                regime["forecast"] = _forecast(of_policy, k)
        if with_prices:
            for k, regime in enumerate(tree["regimes"]):
                regime["prices"] = [] if "equity" not in regime else _prices(of_policy, market, k)
    return tree


def _head(rule: RegimeRule) -> Tree:
    return {"regime": rule.regime, "methodology": rule.methodology, "measure": rule.measure}


def _regime(of_policy: sums.PolicySums, regime: int, rule: RegimeRule, exponent: int) -> Tree:
    levels = charges.levels_of(of_policy, regime, np.array([0]))
    limits = thresholds(levels, rule, Decimal)
    status = Status(int(classify(levels, limits, rule, Decimal)[0]))
    if status == Status.UNPRICED:
        return {**_head(rule), "status": "unpriced", "unpriced": list(of_policy.unknown_costs(regime, 0))}
    equity, requirement = levels.equity[0], levels.requirement[0]
    called = limits.restore[0] - equity if status in (Status.DEFICIT, Status.SEVERE) else ZERO
    return {
        **_head(rule),
        "status": status.name.lower(),
        "applies": bool(levels.applies[0]),
        "equity": {"amount": plain(equity), "parts": _equity_parts(of_policy, regime)},
        "requirement": {"amount": plain(requirement), "charges": _charges(of_policy, regime, levels)},
        "initial": plain(levels.initial[0]),
        "levels": _limits(limits),
        "deficit": plain(max(requirement - equity, ZERO)),
        "amount": plain(called),
        "rounding": {
            "exponent": exponent,
            "sentence": _ROUNDING.format(exponent=exponent),
            "equity": f"{round_down(equity, exponent):f}",
            "requirement": f"{round_up(requirement, exponent):f}",
            "deficit": f"{round_up(max(requirement - equity, ZERO), exponent):f}",
            "amount": f"{round_up(called, exponent):f}",
        },
    }


def _forecast(of_policy: sums.PolicySums, regime: int) -> list[Tree]:
    changes = [
        (change.on, change.amount * part.fx[change.group], change.reason)
        for part in of_policy.parts[regime]
        for change in part.figures.forecast()
    ]
    return [{"on": on.isoformat(), "amount": plain(amount), "reason": reason} for on, amount, reason in sorted(changes)]


def _prices(of_policy: sums.PolicySums, market: Market, regime: int) -> list[Tree]:
    return [
        {
            **_position(of_policy, one.position),
            "covered_to": None if one.covered_to is None else f"{one.covered_to:f}",
            "direction": "up" if of_policy.book.quantity[one.position] < 0 else "down",
            "reason": one.reason,
        }
        for one in call_prices(of_policy, market, regime)
    ]


def _limits(limits: Thresholds) -> Tree:
    columns = {"watch": limits.watch, "warning": limits.warning, "restore": limits.restore, "severe": limits.severe}
    return {name: plain(column[0]) for name, column in columns.items() if column is not None}


def _equity_parts(of_policy: sums.PolicySums, regime: int) -> list[Tree]:
    units, lane_of = of_policy.units[regime], of_policy.lane_of[regime]
    parts = []
    for segment in range(len(of_policy.segments)):
        for position in of_policy.positions(segment):
            quantity, i = of_policy.quantity(position), of_policy.instrument[position]
            for name, sign in units.equity.items():
                lane = of_policy.table.lanes[lane_of[name]]
                local = sign * abs(quantity) * (lane.short[i] if quantity < 0 else lane.long[i])
                if name == PROFIT and local:
                    local -= of_policy.cost(position) or ZERO
                if local:
                    parts.append(
                        {
                            **_position(of_policy, position),
                            "part": name,
                            "local_amount": plain(local),
                            "fx": plain(of_policy.fx.exact(segment)),
                            "amount": plain(local * of_policy.fx.exact(segment)),
                        }
                    )
    for part in of_policy.parts[regime]:
        for group in range(len(part.groups)):
            positions = part.groups.position[part.groups.members(group)]
            for one in part.figures.told(group).equity:
                parts.append(
                    {
                        **_position(of_policy, int(positions[one.place])),
                        "part": one.name,
                        "local_amount": plain(one.amount),
                        "fx": plain(part.fx[group]),
                        "amount": plain(one.amount * part.fx[group]),
                    }
                )
    return parts


def _position(of_policy: sums.PolicySums, position: int) -> Tree:
    return holding(of_policy.held, int(of_policy.instrument[position]), plain(of_policy.quantity(position)))


def holding(held: Instruments, i: int, quantity: str) -> Tree:
    """So much of the instrument in row `i`, as charges name it."""
    return {
        "instrument": int(held.ids[i]),
        "code": str(held.codes[i]),
        "quantity": quantity,
        "price": plain(held.price[i]),
        "multiplier": plain(held.multiplier[i]),
        "currency": held.currencies[held.currency[i]],
    }


def _charges(of_policy: sums.PolicySums, regime: int, levels: Levels) -> list[Tree]:
    return [charge(of_policy, line, levels, 0) for _, line in charges.lines(of_policy, regime)]


def charge(of_policy: sums.PolicySums, line: charges.Line, levels: Levels, row: int) -> Tree:
    """One charge, told; `row` is its account's row of the levels."""
    who: Tree
    inputs: Tree
    if line.group is not None:
        who, inputs = _legs(of_policy, line)
        sentence = line.group.sentence
    elif line.unit is None:
        on_account = next(c for c in levels.charges if c.code == line.code)
        who = {"instrument": None, "code": ""}
        inputs = dict(values(on_account.inputs, row))
        sentence = on_account.sentences[line.branch]
    else:
        who = _position(of_policy, line.position)
        inputs = {**who, **values(line.unit.inputs, int(of_policy.instrument[line.position]))}
        sentence = line.unit.sentences[line.branch]
    figures = {"local_amount": plain(line.local), "fx": plain(line.fx), "amount": plain(line.amount)}
    return charge_tree(who, inputs, line.code, line.branch, sentence, figures)


def charge_tree(who: Tree, inputs: Tree, code: str, branch: str, sentence: Sentence, figures: dict[str, str]) -> Tree:
    """A charge as auditors read it. `figures` are its local_amount, fx and amount."""
    return {
        **who,
        "rule": code,
        "branch": branch,
        "law": sentence.law,
        "template": sentence.template,
        "sentence": told(sentence, inputs),
        "inputs": inputs,
        **figures,
    }


def _legs(of_policy: sums.PolicySums, line: charges.Line) -> tuple[Tree, Tree]:
    """(who, inputs) of a group's charge: one position by itself, or the legs it is for."""
    legs = [{**_position(of_policy, position), "quantity": plain(used)} for position, used in line.legs]
    who: Tree = dict(legs[0]) if len(legs) == 1 else {"instrument": None, "code": "", "legs": legs}
    listed = ", ".join(f"{leg['quantity']} {leg['code']}" for leg in legs)
    stated = {} if line.group is None else {name: _stated(value) for name, value in line.group.inputs.items()}
    return who, {**(who if len(legs) == 1 else {}), "listed": listed, **stated}


def _stated(value: Any) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def values(inputs: Any, i: int) -> dict[str, str]:
    """The inputs of a charge in row `i`, in plain digits."""
    columns: dict[str, Array] = dict(inputs)
    return {name: plain(column[i]) for name, column in columns.items()}


def told(sentence: Sentence, inputs: dict[str, Any]) -> str:
    """The sentence with its numbers in it; rates read as per cent."""
    return sentence.template.format(**{name: _shown(name, value) for name, value in inputs.items()})


def _shown(name: str, value: Any) -> str:
    if name.endswith("rate"):
        return f"{plain(Decimal(value) * 100)} %"
    return str(value)
