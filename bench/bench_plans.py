"""Liquidation plans: of fifty positions, and of small books that are tried out whole.

    python -m bench.bench_plans [--times 20]

Warm; the best and the median of wall time and of processor time, because the machine may be shared.
"""

import argparse
import random
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from statistics import median
from typing import Any

import numpy as np

from bench.bench_cure_options import account
from margin.engine import build, plans
from margin.engine.assess import assess
from margin.engine.build import AccountRow, InstrumentRow, PositionRow
from margin.engine.columns import Contract, Market, PartRule, Policy, RegimeRule, Rules
from margin.engine.methodologies import option_strategies, reg_t
from margin.engine.plans import Costs, Demand, Wants

D = Decimal
POSITIONS = (5, 20, 50)
EXPIRY = date(2026, 9, 18)
STOCK = ("equity", "etf", "bond")
BOOK = option_strategies.RULE_BOOK
HALVES = {10 + k: D(k % 7) / 100 for k in range(max(POSITIONS))}
WANTS = {
    "smallest": Wants(costs=Costs(D("0.001"))),
    "cheapest, with spreads": Wants("cheapest", Costs(D("0.001"), half_spreads=HALVES)),
    "smallest, with a minimum fee": Wants(costs=Costs(D("0.001"), D(5))),
}


def options(underlyings: int, seed: int) -> tuple[Any, ...]:
    """Book, instruments, market and rules of one account with four options and shares of each of its underlyings, a
    tenth of the requirement short."""
    draw = random.Random(seed)
    rows, held = [InstrumentRow(1, "USD", "cash", "USD", minor_exponent=2)], []
    for place in range(underlyings):
        spot, stock = D(draw.randint(40, 160)), 1000 + place
        rows.append(InstrumentRow(stock, f"S{place}", "equity", "USD", spot))
        held.append(PositionRow(1, stock, D(draw.randint(50, 900)), D(1000)))
        for k in range(4):
            right, strike = draw.choice(("call", "put")), D(draw.randrange(40, 160, 5))
            price = max(spot - strike if right == "call" else strike - spot, D(0)) + draw.randint(1, 8)
            written = Contract(stock, spot, right=right, strike=strike, style="american", expires_on=EXPIRY)
            rows.append(InstrumentRow(2000 + 10 * place + k, f"O{place}{k}", "option", "USD", price, multiplier=D(100),
                                      contract=written))  # fmt: skip
            held.append(PositionRow(1, rows[-1].id, D(draw.choice((-1, -1, 1)) * draw.randint(1, 40)), D(1000)))
    part = PartRule("option_strategies", "maintenance", option_strategies.Terms.from_json(BOOK), (*STOCK, "option"))
    rule = RegimeRule("house", "reg_t", "exchange", reg_t.Terms.from_json(reg_t.RULE_BOOK), STOCK, parts=(part,))
    columns = build.instruments(rows)
    rules, market = Rules((Policy("us_margin", (rule,)),)), Market(date(2026, 6, 3), {})
    book = build.book(columns, [AccountRow(1, "USD")], held)
    (figures,) = assess(book, columns, market, rules).figures(np.array([0]))
    if figures.equity is None or figures.requirement is None:
        raise SystemExit(f"the account is unpriced: {figures.reasons}")
    owed = figures.equity - figures.requirement * D("0.9")
    book = build.book(columns, [AccountRow(1, "USD")], [*held, PositionRow(1, 1, -owed.quantize(D("0.01")))])
    return book, columns, market, rules


def timed(work: Callable[[], Any], times: int) -> tuple[list[float], list[float]]:
    """Wall and processor milliseconds of each run but the first two."""
    walls, processor = [], []
    for run in range(times + 2):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        if run >= 2:
            walls.append((time.perf_counter() - wall) * 1000)
            processor.append((time.process_time() - cpu) * 1000)
    return walls, processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    times = parser.parse_args().times
    demand = Demand("MC-1", "house", D(1000))
    print("| positions | objective | wall, best | median | processor, best | median | orders | less than by release |")
    books = {f"{count} of stock": account(count, 1) for count in POSITIONS} | {"50, of them 40 options": options(10, 3)}
    for called, arguments in books.items():
        for name, wants in WANTS.items():
            plan = plans.find(*arguments, demand=demand, wants=wants)
            other = next(one for one in plan.alternatives if one.name == "by_release")
            walls, cpu = timed(lambda a=arguments, w=wants: plans.find(*a, demand=demand, wants=w), times)  # type: ignore[misc]
            saved = other.total.value + other.total.fee + other.total.spread
            saved -= plan.total.value + plan.total.fee + plan.total.spread
            print(
                f"| {called} | {name} | {min(walls):.0f} ms | {median(walls):.0f} ms | {min(cpu):.0f} ms"
                f" | {median(cpu):.0f} ms | {plan.total.orders} | {saved:,.2f} |"
            )


if __name__ == "__main__":
    main()
