"""What supposed trades of options take by themselves: the triple of the Cboe manual, before and after them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine import alternatives, parts
from margin.engine.columns import Array, Instruments, Market, PartRule, RegimeRule
from margin.engine.exact import ZERO, exactly, round_down, round_up
from margin.engine.measures import Units, pick
from margin.engine.methodologies import option_strategies
from margin.engine.methodologies.option_strategies.legs import OPTION
from margin.engine.methodologies.option_strategies.opening import opening
from margin.engine.tables import governed_units
from margin.hypothetical.answers import text
from margin.hypothetical.books import Case
from margin.hypothetical.document import Hypotheses
from margin.hypothetical.supposing import World, price_of

Tree = dict[str, Any]
TRIPLE = ("gross", "proceeds", "net_call")


def of_trades(world: World, supposed: Hypotheses, now: Case, then: Case) -> list[Tree]:
    """Per regime with option strategies, and per group in which options are traded: what the trades change of gross,
    proceeds and net call, at the prices at which they are done. Null with the reason where they have no figures."""
    prices, twice = _prices(world, supposed)
    if not any(world.snap.instruments.kind[row] == OPTION for row in prices):
        return []
    held = [alternatives.positions_of(case.book, 0) for case in (now, then)]  # rows agree: only prices may differ
    rows = np.array(sorted({*held[0], *held[1], *prices}), np.int64)
    instruments = _priced(world.snap.instruments, prices).take(rows)
    quantities = np.stack([_column([of.get(row, (ZERO, None))[0] for row in rows.tolist()]) for of in held])
    traded = np.isin(rows, list(prices))
    found = []
    for rule, part in _strategies(then):
        with exactly():
            base = governed_units(instruments, now.market, rule)
        for members in _groups(instruments, part, traded):
            chosen = pick(members, quantities, ZERO)
            currency = int(instruments.currency[members & traded][0])
            codes = [str(code) for code in instruments.codes[members & traded]]
            refused = [f"{code}: traded at two prices; suppose it at one" for code in codes if code in twice]
            answer = _answer(instruments, base, chosen, currency, now.market, part.terms, refused)
            found.append({"regime": rule.regime, "trades": codes, **answer})
    return found


def _prices(world: World, supposed: Hypotheses) -> tuple[dict[int, Decimal], set[str]]:
    """(row → price in the main unit of what is traded, the codes that are traded at two prices)."""
    found: dict[int, Decimal] = {}
    twice = set()
    for trade in supposed.trades:
        row = world.rows[trade.instrument]
        listed = world.listed(row)
        price = price_of(world, trade, supposed, listed.id)
        if price is not None:
            of_one = price / listed.price_divisor
            if found.setdefault(row, of_one) != of_one:
                twice.add(trade.instrument)
    return found, twice


def _priced(instruments: Instruments, prices: Mapping[int, Decimal]) -> Instruments:
    price, priced, reason = instruments.price.copy(), instruments.priced.copy(), instruments.unpriced_reason.copy()
    for row, traded_at in prices.items():
        price[row], priced[row], reason[row] = traded_at, True, ""
    return replace(instruments, price=price, priced=priced, unpriced_reason=reason)


def _strategies(case: Case) -> Iterator[tuple[RegimeRule, PartRule]]:
    for rule in case.rules.policies[0].regimes:
        for part in rule.parts:
            if part.methodology == option_strategies.CODE:
                yield rule, part


def _groups(instruments: Instruments, part: PartRule, traded: Array) -> Iterator[Array]:
    """Which instruments belong together, of each group in which options are traded."""
    keys = parts.keys_of(instruments, part)
    options = traded & keys.claims & (instruments.kind == OPTION)
    for key in np.unique(keys.keys[options]).tolist():
        yield keys.keys == key


def _answer(
    instruments: Instruments,
    base: Units,
    quantities: Array,
    currency: int,
    market: Market,
    terms: Any,
    refused: list[str],
) -> Tree:
    """After less before, rounded once: what is asked up, proceeds down. `quantities` has two rows: before and after."""
    nothing: Tree = {"currency": instruments.currencies[currency], **dict.fromkeys(TRIPLE)}
    if refused:
        return {**nothing, "unpriced": refused}
    try:
        before, after = (opening(instruments, base, quantity, market, terms) for quantity in quantities)
    except (ArithmeticError, ValueError) as error:  # a Refusal says what is missing
        return {**nothing, "unpriced": [str(error)]}
    amounts = [(getattr(before, name), getattr(after, name)) for name in TRIPLE]
    if any(amount is None for pair in amounts for amount in pair):
        held = (quantities != ZERO).any(axis=0) & (instruments.unpriced_reason != "")
        return {**nothing, "unpriced": [str(reason) for reason in instruments.unpriced_reason[held]]}
    exponent = instruments.minor_exponent(currency)
    with exactly():
        gross, proceeds, net_call = (late - early for early, late in amounts)
    rounded = round_up(gross, exponent), round_down(proceeds, exponent), round_up(net_call, exponent)
    return {**nothing, **dict(zip(TRIPLE, map(text, rounded), strict=True)), "unpriced": []}


def _column(values: list[Decimal]) -> Array:
    out = np.empty(len(values), object)
    out[:] = values
    return out
