"""Liquidation plans: of fifty positions, and of small books that are tried out whole.

    python -m bench.bench_plans [--times 20]

Warm; the best and the median of wall time and of processor time, because the machine may be shared.
"""

import argparse
import time
from collections.abc import Callable
from decimal import Decimal
from statistics import median
from typing import Any

from bench.bench_cure_options import account
from margin.engine import plans
from margin.engine.plans import Costs, Demand, Wants

D = Decimal
POSITIONS = (5, 20, 50)
HALVES = {10 + k: D(k % 7) / 100 for k in range(max(POSITIONS))}
WANTS = {
    "smallest": Wants(costs=Costs(D("0.001"))),
    "cheapest, with spreads": Wants("cheapest", Costs(D("0.001"), half_spreads=HALVES)),
    "smallest, with a minimum fee": Wants(costs=Costs(D("0.001"), D(5))),
}


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
    for positions in POSITIONS:
        arguments = account(positions, 1)
        for name, wants in WANTS.items():
            plan = plans.find(*arguments, demand=demand, wants=wants)
            other = next(one for one in plan.alternatives if one.name == "by_release")
            walls, cpu = timed(lambda a=arguments, w=wants: plans.find(*a, demand=demand, wants=w), times)  # type: ignore[misc]
            saved = other.total.value + other.total.fee + other.total.spread
            saved -= plan.total.value + plan.total.fee + plan.total.spread
            print(
                f"| {positions} | {name} | {min(walls):.0f} ms | {median(walls):.0f} ms | {min(cpu):.0f} ms"
                f" | {median(cpu):.0f} ms | {plan.total.orders} | {saved:,.2f} |"
            )


if __name__ == "__main__":
    main()
