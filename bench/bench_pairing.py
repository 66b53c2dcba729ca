"""The cheapest cover of option legs: our cost against that of HiGHS on every book, and the time of both.

    python -m bench.bench_pairing --books 10000 [--seed 1] [--record]

Needs SciPy (requirements-bench.txt). The time of HiGHS is that of `milp` alone, its matrices laid out before; ours is
all of `cover.cheapest`, from Decimals to Decimals, and beside it what of that its kernels take.
"""

import argparse
import platform
import random
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import scipy

from bench import option_books
from bench.oracles import highs_cover
from margin.engine import cover, kernels
from margin.engine.cover import Problem

LEGS = range(2, 21)
RESULTS = Path(__file__).parent / "RESULTS.md"


class Round(NamedTuple):
    """One book: seconds of each, whether the costs are equal, and nodes our search looked at."""

    ours: float
    kernels: float
    highs: float
    is_equal: bool
    nodes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="append the table to RESULTS.md")
    chosen = parser.parse_args()
    kernels.warm()
    cover.cheapest(option_books.book(random.Random(0), 5))
    rounds: dict[int, list[Round]] = defaultdict(list)
    for number in range(chosen.books):
        legs = LEGS[number % len(LEGS)]
        rounds[legs].append(_round(option_books.book(random.Random(f"{chosen.seed} {number}"), legs), number))
    table = _table(rounds, chosen.books, chosen.seed)
    print(table)
    if chosen.record:
        with RESULTS.open("a") as results:
            results.write(f"\n{table}")


def _round(book: Problem, number: int) -> Round:
    ours, found = _timed(lambda: cover.cheapest(book))
    program = highs_cover.program(book)
    highs, counts = _timed(lambda: highs_cover.solve(program))
    theirs = highs_cover.cost(book, program, counts)
    if found.cost != theirs:
        print(f"book {number}: ours {found.cost}, HiGHS {theirs}", flush=True)
    arrays = _arrays(book)
    bare, nodes = _timed(lambda: _kernels(arrays))
    return Round(ours, bare, highs, found.cost == theirs, nodes)


def _arrays(book: Problem) -> Any:
    form, _, _ = cover._canonical(book)
    members = [(leg, family) for leg, row in enumerate(form.legs) for family in row[6]]
    return cover._arrays(form, members, cover._step(form))


def _kernels(arrays: Any) -> int:
    table, whole, *_, gap = kernels.cover().lay_out(*arrays)
    return int(kernels.programs().minimise(table, whole, 0.0, gap, cover._NODES, cover._PIVOTS)[3])


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _table(rounds: dict[int, list[Round]], books: int, seed: int) -> str:
    every = [each for legs in rounds.values() for each in legs]
    equal = sum(each.is_equal for each in every)
    lines = [
        "## Pairing: the cheapest cover of option legs",
        "",
        f"`python -m bench.bench_pairing --books {books} --seed {seed}`: random books with stock, short pairs,",
        "calendars, boxes, ratios, several expiries, two families and reduced-value contracts. The same program by",
        f"SciPy {scipy.__version__} `milp` (HiGHS, gap 0), written from the rule's text, costs exactly the same",
        f"on **{equal:,} of {len(every):,} books**. Medians in µs; `milp` without laying out its matrices; ours from",
        "Decimals to Decimals, and of that the kernels.",
        "",
        f"{platform.machine()}, Python {platform.python_version()}, {date.today()}, shared with other work.",  # noqa: DTZ011
        "",
        "| legs | books | ours | kernels | 99 % ours | `milp` | `milp` ÷ ours | ÷ kernels | searched | most nodes |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(str(legs), rounds[legs]) for legs in sorted(rounds)]
    return "\n".join([*lines, _line("all", every), ""])


def _line(legs: str, rounds: list[Round]) -> str:
    ours, bare, highs = (median(getattr(each, name) for each in rounds) * 1e6 for name in ("ours", "kernels", "highs"))
    slow = sorted(each.ours for each in rounds)[int(len(rounds) * 0.99)] * 1e6
    searched = sum(each.nodes > 0 for each in rounds) / len(rounds)
    return (
        f"| {legs} | {len(rounds):,} | {ours:,.0f} | {bare:,.0f} | {slow:,.0f} | {highs:,.0f} | {highs / ours:,.0f} × "
        f"| {highs / bare:,.0f} × | {searched:.1%} | {max(each.nodes for each in rounds):,} |"
    )


if __name__ == "__main__":
    main()
