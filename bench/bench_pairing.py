"""The cheapest cover of option legs: our cost against that of HiGHS on every book, and the time of both.

    python -m bench.bench_pairing --books 10000 [--seed 1] [--record]

Needs SciPy (requirements-bench.txt). The time of HiGHS is that of `milp` alone, its matrices laid out before; ours is
all of `cover.cheapest`, from Decimals to Decimals, and beside it what of that its kernels take.
"""

import argparse
import platform
import random
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
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


class Ours(NamedTuple):
    """One book: the cost, seconds of the whole and of the kernels, and nodes the search looked at."""

    cost: Decimal
    whole: float
    kernels: float
    nodes: int


class Theirs(NamedTuple):
    """One book: seconds of HiGHS, whether its cost is ours, and whether only without its presolve."""

    seconds: float
    is_equal: bool
    again: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="append the table to RESULTS.md")
    chosen = parser.parse_args()
    kernels.warm()
    numbers = range(chosen.books)
    books = [option_books.book(random.Random(f"{chosen.seed} {k}"), LEGS[k % len(LEGS)]) for k in numbers]
    cover.cheapest(option_books.book(random.Random(0), 5))
    ours = [_ours(book) for book in books]  # all of them first: the threads of HiGHS spin on after a solution
    theirs = [_theirs(book, ours[k], k) for k, book in enumerate(books)]
    table = _table(list(zip(ours, theirs, strict=True)), chosen.seed)
    print(table)
    if chosen.record:
        with RESULTS.open("a") as results:
            results.write(f"\n{table}")


def _ours(book: Problem) -> Ours:
    whole, found = _timed(lambda: cover.cheapest(book))
    arrays = _arrays(book)
    bare, nodes = _timed(lambda: _kernels(arrays))
    return Ours(found.cost, whole, bare, nodes)


def _theirs(book: Problem, ours: Ours, number: int) -> Theirs:
    program = highs_cover.program(book)
    seconds, counts = _timed(lambda: highs_cover.solve(program))
    cost = highs_cover.cost(book, program, counts)
    if cost == ours.cost:
        return Theirs(seconds, is_equal=True, again=False)
    plain = highs_cover.cost(book, program, highs_cover.solve(program, presolve=False))
    print(f"book {number}: ours {ours.cost}, HiGHS {cost}, without presolve {plain}", flush=True)
    return Theirs(seconds, is_equal=plain == ours.cost, again=True)


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


def _table(rounds: list[tuple[Ours, Theirs]], seed: int) -> str:
    equal = sum(theirs.is_equal for _, theirs in rounds)
    again = sum(theirs.again for _, theirs in rounds)
    lines = [
        "## Pairing: the cheapest cover of option legs",
        "",
        f"`python -m bench.bench_pairing --books {len(rounds)} --seed {seed}`: random books with stock, short pairs,",
        "calendars, boxes, ratios, several expiries, two families and reduced-value contracts. The same program,",
        f"written from the rule's text, by SciPy {scipy.__version__} `milp` (HiGHS, gap 0) costs exactly the same on",
        f"**{equal:,} of {len(rounds):,} books**; on {again} of them only without HiGHS's presolve, which misses the",
        "optimum there. Medians in µs: ours from Decimals to Decimals, of that the kernels; `milp` without laying out",
        "its matrices.",
        "",
        f"{platform.machine()}, Python {platform.python_version()}, {date.today()}, shared with other work.",  # noqa: DTZ011
        "",
        "| legs | books | ours | kernels | 99 % ours | `milp` | `milp` ÷ ours | ÷ kernels | searched | most nodes |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(str(legs), rounds[k :: len(LEGS)]) for k, legs in enumerate(LEGS)]
    return "\n".join([*lines, _line("all", rounds), ""])


def _line(legs: str, rounds: list[tuple[Ours, Theirs]]) -> str:
    whole = median(ours.whole for ours, _ in rounds) * 1e6
    bare = median(ours.kernels for ours, _ in rounds) * 1e6
    highs = median(theirs.seconds for _, theirs in rounds) * 1e6
    slow = sorted(ours.whole for ours, _ in rounds)[int(len(rounds) * 0.99)] * 1e6
    searched = sum(ours.nodes > 0 for ours, _ in rounds) / len(rounds)
    return (
        f"| {legs} | {len(rounds):,} | {whole:,.0f} | {bare:,.0f} | {slow:,.0f} | {highs:,.0f} "
        f"| {highs / whole:,.0f} × | {highs / bare:,.0f} × | {searched:.1%} "
        f"| {max(ours.nodes for ours, _ in rounds):,} |"
    )


if __name__ == "__main__":
    main()
