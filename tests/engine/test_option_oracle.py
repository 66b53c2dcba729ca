"""All the strategy rules against every possible assignment, tried one by one: written from the rule text alone.

American listed equity options of 100 shares at the rule book's rates; up to three shorts, three longs and two lots.
"""

from itertools import permutations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.option_world import D, measured, option, stock

LONG_DATED = 14  # months


def naked(spot, right, strike, price, _):
    out = max(strike - spot if right == "call" else spot - strike, 0)
    return 100 * (price + max(0.2 * spot - out, 0.1 * (spot if right == "call" else strike)))


def all_naked(spot, shorts):
    """The cheapest pairing of puts with calls; the rest alone."""
    puts = [s for s in shorts if s[0] == "put"]
    calls = [s for s in shorts if s[0] == "call"]
    alone = sum(naked(spot, *s) for s in shorts)
    few, many = (puts, calls) if len(puts) <= len(calls) else (calls, puts)
    best = 0
    for chosen in permutations(many, len(few)):
        best = max(best, sum(max(0, saved(spot, one, other)) for one, other in zip(few, chosen, strict=True)))
    return alone - best


def saved(spot, one, other):
    a, b = naked(spot, *one), naked(spot, *other)
    if a == b:
        return a - 100 * min(one[2], other[2])
    lesser = other if a > b else one
    return naked(spot, *lesser) - 100 * lesser[2]


def loss(shorts, longs):
    """Maximum potential loss of a lawful set, None where it is none."""
    for right in ("call", "put"):
        sold = sorted(s[3] for s in shorts if s[0] == right)
        bought = sorted(b[3] for b in longs if b[0] == right)
        if len(sold) != len(bought) or any(s > b for s, b in zip(sold, bought, strict=True)):
            return None

    def worth(leg, price):
        return max(price - leg[1] if leg[0] == "call" else leg[1] - price, 0)

    points = [0, *(leg[1] for leg in (*shorts, *longs))]
    return max(0, *(100 * (sum(worth(s, p) for s in shorts) - sum(worth(b, p) for b in longs)) for p in points))


def lost(leg):
    return 25 * leg[2] if leg[3] == LONG_DATED else 0


def rest(spot, longs, lots, spread):
    """Lots and longs that no other way uses: longs idle, in the spread set, or protecting a lot."""
    base = (25 if lots > 0 else 30) * spot
    best = float("inf")
    for uses in product(("idle", "spread", "protect"), repeat=len(longs)):
        in_set = [leg for leg, use in zip(longs, uses, strict=True) if use == "spread"]
        guards = [leg for leg, use in zip(longs, uses, strict=True) if use == "protect"]
        if len(guards) > abs(lots) or any((leg[0] == "put") != (lots > 0) for leg in guards):
            continue
        worst = loss(spread, in_set)
        if worst is None:
            continue
        total = worst + sum(lost(leg) for leg in (*in_set, *guards)) + base * (abs(lots) - len(guards))
        for right, strike, *_ in guards:
            out = max(spot - strike if right == "put" else strike - spot, 0)
            total += min(100 * (0.1 * strike + out), base)
        best = min(best, total)
    return best - sum(lost(leg) for leg in longs)


def need(spot, shorts, longs, lots, alone=(), spread=()):
    """The least requirement − equity, over everything that may be done with the first short and then the others."""
    if not shorts:
        return all_naked(spot, alone) + rest(spot, longs, lots, spread)
    short, *others = shorts
    right, strike, _, months = short
    found = [
        need(spot, others, longs, lots, (*alone, short), spread),
        need(spot, others, longs, lots, alone, (*spread, short)),
    ]
    if right == "call" and lots > 0:
        cut = 100 * max(spot - strike, 0)
        found.append(25 * min(spot, strike) + cut + need(spot, others, longs, lots - 1, alone, spread))
        for k, leg in enumerate(longs):
            if leg[0] == "put" and leg[3] == months and leg[1] <= strike:
                by_put = 10 * leg[1] + (100 * max(spot - leg[1], 0) if leg[1] < strike else 0)
                asked = by_put if leg[1] == strike else min(by_put, 25 * strike)
                left = need(spot, others, longs[:k] + longs[k + 1 :], lots - 1, alone, spread)
                found.append(asked + cut + left)
    if right == "put" and lots < 0:
        deep = 100 * max(strike - spot, 0)
        found.append(30 * spot + deep + need(spot, others, longs, lots + 1, alone, spread))
        for k, leg in enumerate(longs):
            if leg[0] == "call" and leg[3] == months and leg[1] == strike:
                left = need(spot, others, longs[:k] + longs[k + 1 :], lots + 1, alone, spread)
                found.append(10 * strike + deep + left)
    return min(found)


@st.composite
def contracts(draw, spot, most):
    out = []
    for _ in range(draw(st.integers(0, most))):
        right, strike = draw(st.sampled_from(["call", "put"])), draw(st.sampled_from([80, 90, 100, 110, 150]))
        months = draw(st.sampled_from([1, 2, LONG_DATED]))
        intrinsic = max(spot - strike if right == "call" else strike - spot, 0)
        out.append((right, strike, intrinsic + months, months))  # one price per series
    return out


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_the_cheapest_cover_is_the_cheapest_of_all_assignments(data):
    spot = data.draw(st.sampled_from([85, 100, 112]))
    shorts, longs = data.draw(contracts(spot, 3)), data.draw(contracts(spot, 3))
    longs = [leg for leg in longs if leg not in shorts]  # one position per series
    lots = data.draw(st.integers(-2, 2))
    held = {}
    for leg, sign in (*((leg, -1) for leg in shorts), *((leg, 1) for leg in longs)):
        held[leg] = held.get(leg, 0) + sign
    if not held:
        return
    rows = [
        (option(right, strike, price, id=1000 + k, spot=spot, months=months), D(quantity))
        for k, ((right, strike, price, months), quantity) in enumerate(held.items())
    ]
    if lots:
        rows.append((stock(spot), D(100 * lots)))
    requirement, _, equity = measured(rows)
    assert float(requirement - equity) == round(need(spot, shorts, longs, lots), 6)
