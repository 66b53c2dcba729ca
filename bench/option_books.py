"""Random books of options on one underlying, with the pieces that strategy-based margin knows (Cboe Rule 10.3).

A book mixes single legs with what clients trade: verticals, condors, boxes, calendars, straddles, ratios, stock and
what is written against it. Prices are rough (intrinsic value and some time value, in cents), because a cover is chosen
by its cost whatever the prices are.
"""

import random
from datetime import date, timedelta
from decimal import Decimal

from margin.engine.cover import Leg, Piece, Problem

TODAY = date(2026, 1, 16)
EXPIRIES = tuple(TODAY + timedelta(days=days) for days in (28, 63, 126, 364))
CENT = Decimal("0.01")


def book(choose: random.Random, legs: int, most: int = 10) -> Problem:
    """A book of so many legs, each of at most about `most` contracts; about half of the books hold stock."""
    spot = Decimal(choose.choice([23, 98, 104, 411])) + Decimal(choose.randrange(100)) * CENT
    held: dict[tuple[str, Decimal, date], int] = {}
    while len(held) < legs:
        for right, steps, expiry, contracts in _trade(choose, most):
            strike = _grid(spot) * (round(spot / _grid(spot)) + steps)
            if len(held) < legs or (right, strike, expiry) in held:
                key = (right, strike, expiry)
                held[key] = held.get(key, 0) + contracts
                if not held[key]:
                    del held[key]
    mixed = choose.random()
    listed = tuple(_leg(choose, key, contracts, spot, mixed) for key, contracts in held.items())
    stock = choose.choice([0, 0, 100, 300, 350, 1000, -100, -250])
    return problem(listed, [price(leg, spot, choose) for leg in listed], spot, stock)


def problem(legs: tuple[Leg, ...], prices: list[Decimal], spot: Decimal, stock: int) -> Problem:
    """The legs with their naked shorts, short pairs and stock pieces, under the 20 % and 10 % of an equity option."""
    alone = [naked(leg, each, spot) for leg, each in zip(legs, prices, strict=True)]
    pieces = [Piece(((k, 1),), (), alone[k]) for k, leg in enumerate(legs) if leg.contracts < 0]
    for p, put in enumerate(legs):
        for c, call in enumerate(legs):
            both_short = put.contracts < 0 and call.contracts < 0
            if put.right == "put" and call.right == "call" and both_short and put.size == call.size:
                cost = max(alone[p] + prices[c] * call.size, alone[c] + prices[p] * put.size)
                pieces.append(Piece(((p, 1), (c, 1)), (), cost))
    if stock:
        pieces += _long_stock(legs, spot) if stock > 0 else _short_stock(legs, spot)
    return Problem(legs, (Decimal(abs(stock)),) if stock else (), tuple(pieces))


def price(leg: Leg, spot: Decimal, choose: random.Random) -> Decimal:
    inside = spot - leg.strike if leg.right == "call" else leg.strike - spot
    months = Decimal((leg.expires_on - TODAY).days) / 30
    time_value = max(spot * Decimal("0.02") * months.sqrt() - abs(inside) / 4, CENT)
    return (max(inside, Decimal(0)) + time_value * choose.randint(90, 110) / 100).quantize(CENT)


def naked(leg: Leg, each: Decimal, spot: Decimal) -> Decimal:
    """Cboe Rule 10.3: the premium and 20 % of the underlying less what is out of the money, at least 10 %."""
    outside = leg.strike - spot if leg.right == "call" else spot - leg.strike
    least = (spot if leg.right == "call" else leg.strike) * Decimal("0.1")
    return leg.size * (each + max(spot * Decimal("0.2") - max(outside, Decimal(0)), least))


def _grid(spot: Decimal) -> Decimal:
    return Decimal("2.5") if spot < 50 else Decimal(5) if spot < 200 else Decimal(10)


def _leg(choose: random.Random, key: tuple[str, Decimal, date], contracts: int, spot: Decimal, mixed: float) -> Leg:
    right, strike, expires_on = key
    families = (0,)
    if mixed < 0.15:
        families = choose.choice([(0,), (1,), ()])
    elif mixed < 0.25:
        families = choose.choice([(0,), (0, 1), (1,)])
    size = Decimal(100)
    if mixed > 0.9:
        size = choose.choice([Decimal(100), Decimal(10)])
    long_dated = contracts > 0 and (expires_on - TODAY).days > 270
    loan = (spot * Decimal("0.03") * size).quantize(CENT) if long_dated else Decimal(0)
    return Leg(right, strike, expires_on, contracts, size, families, loan)


def _trade(choose: random.Random, most: int) -> list[tuple[str, int, date, int]]:
    """Legs of one trade: right, strike in steps from the money, expiry, contracts."""
    n = choose.randint(1, most)
    first, second = sorted(choose.sample(EXPIRIES, 2))
    right = choose.choice(["call", "put"])
    at, wide = choose.randint(-5, 5), choose.randint(1, 4)
    sign = choose.choice([-1, 1])
    match choose.choice(
        ["single", "single", "vertical", "condor", "box", "calendar", "straddle", "ratio", "butterfly"]
    ):
        case "single":
            return [(right, at, first, choose.choice([-1, -1, 1]) * n)]
        case "vertical":
            return [(right, at, first, sign * n), (right, at + wide, first, -sign * n)]
        case "condor":
            more = n + choose.choice([0, 0, 1])
            puts = [("put", at - wide, first, n), ("put", at, first, -n)]
            return [*puts, ("call", at + 1, second, -more), ("call", at + 1 + choose.randint(1, 4), second, more)]
        case "box":
            calls = [("call", at, first, sign * n), ("call", at + wide, first, -sign * n)]
            return [*calls, ("put", at, first, -sign * n), ("put", at + wide, first, sign * n)]
        case "calendar":
            return [(right, at, first, -sign * n), (right, at + choose.choice([0, 0, 1]), second, sign * n)]
        case "straddle":
            return [("call", at + choose.choice([0, wide]), first, -n), ("put", at, second, -n)]
        case "ratio":
            return [(right, at, first, sign * n), (right, at + wide, first, -2 * sign * n)]
    return [(right, at - wide, first, n), (right, at, first, -2 * n), (right, at + choose.randint(1, 4), first, n)]


def _long_stock(legs: tuple[Leg, ...], spot: Decimal) -> list[Piece]:
    """Covered calls, protective puts and collars: what they cost less the 25 % the shares cost alone."""
    pieces = []
    quarter = spot / 4
    for k, leg in enumerate(legs):
        if leg.right == "call" and leg.contracts < 0:
            pieces.append(Piece(((k, 1),), ((0, leg.size),), Decimal(0)))
        if leg.right == "put" and leg.contracts > 0:
            protected = leg.strike / 10 + max(spot - leg.strike, Decimal(0))
            pieces.append(Piece(((k, 1),), ((0, leg.size),), leg.size * (min(protected, quarter) - quarter)))
            for c, call in enumerate(legs):
                same = call.expires_on == leg.expires_on and call.size == leg.size and call.strike > leg.strike
                if same and call.right == "call" and call.contracts < 0:
                    kept = min(protected, call.strike / 4)
                    pieces.append(Piece(((k, 1), (c, 1)), ((0, leg.size),), leg.size * (kept - quarter)))
    return pieces


def _short_stock(legs: tuple[Leg, ...], spot: Decimal) -> list[Piece]:
    """Covered puts, and short stock with a long call, less the 30 % the short shares cost alone."""
    pieces = []
    alone = spot * Decimal("0.3")
    for k, leg in enumerate(legs):
        if leg.right == "put" and leg.contracts < 0:
            pieces.append(Piece(((k, 1),), ((0, leg.size),), leg.size * max(leg.strike - spot, Decimal(0))))
        if leg.right == "call" and leg.contracts > 0:
            protected = leg.strike / 10 + max(leg.strike - spot, Decimal(0))
            pieces.append(Piece(((k, 1),), ((0, leg.size),), leg.size * (min(protected, alone) - alone)))
    return pieces
