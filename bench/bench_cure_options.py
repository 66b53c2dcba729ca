"""All cure options of one account: twenty holdings, three regimes, two open calls, fees.

    python -m bench.bench_cure_options [--holdings 20] [--times 30]

Warm; the best and the median of wall time and of processor time, because the machine may be shared.
"""

import argparse
import random
import time
from datetime import date
from decimal import Decimal
from statistics import median
from typing import Any

from margin.engine import build, cure_options
from margin.engine.build import AccountRow, InstrumentRow, PositionRow
from margin.engine.columns import Market, Policy, RegimeRule, Rules
from margin.engine.cure_options import Demand
from margin.engine.methodologies import reg_t

D = Decimal
HOUSE = {**reg_t.RULE_BOOK, "house": {"basic": {"long": "0.30"}}}


def account(holdings: int, seed: int) -> tuple[Any, ...]:
    """Book, instruments, market and rules of one account that misses a little of 30 %."""
    draw = random.Random(seed)
    rows = [InstrumentRow(1, "USD", "cash", "USD", minor_exponent=2)]
    prices = [D(draw.randint(500, 50000)) / 100 for _ in range(holdings)]
    rows += [InstrumentRow(10 + k, f"S{k}", "equity", "USD", price) for k, price in enumerate(prices)]
    sizes = [draw.randint(50, 3000) for _ in range(holdings)]
    worth = sum((price * size for price, size in zip(prices, sizes, strict=True)), D(0))
    held = [PositionRow(1, row.id, D(size), D(1000)) for row, size in zip(rows[1:], sizes, strict=True)]
    held.append(PositionRow(1, 1, -(worth * D("0.72")).quantize(D("0.01"))))
    kinds = ("equity",)
    rules = [RegimeRule("house", "reg_t", "house", reg_t.Terms.from_json(HOUSE), kinds)]
    plain = reg_t.Terms.from_json(reg_t.RULE_BOOK)
    rules += [RegimeRule(name, "reg_t", name, plain, kinds) for name in ("exchange", "minimum_equity")]
    columns = build.instruments(rows)
    book = build.book(columns, [AccountRow(1, "USD")], held)
    return book, columns, Market(date(2026, 6, 3), {}), Rules((Policy("us_margin", tuple(rules)),))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--holdings", type=int, default=20)
    parser.add_argument("--times", type=int, default=30)
    chosen = parser.parse_args()
    arguments = account(chosen.holdings, 1)
    demands = [Demand("MC-1", "house", D(1000)), Demand("MC-2", "reg_t", D(10000), market_cures=False)]
    walls, processor = [], []
    for run in range(chosen.times + 2):
        wall, cpu = time.perf_counter(), time.process_time()
        found = cure_options.find(*arguments, demands=demands, fee_rate=D("0.001"))
        if run >= 2:
            walls.append((time.perf_counter() - wall) * 1000)
            processor.append((time.process_time() - cpu) * 1000)
    told = f"{len(found.trades)} single sales, {len(found.deposits)} deposits, {len(found.mixes)} mix"
    print(f"{chosen.holdings} holdings, {len(demands)} calls: {told}")
    print(f"wall      best {min(walls):6.1f} ms, median {median(walls):6.1f} ms")
    print(f"processor best {min(processor):6.1f} ms, median {median(processor):6.1f} ms")


if __name__ == "__main__":
    main()
